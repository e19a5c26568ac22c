"""What AWS did for a recovery, read off AWS after it, and how fast that could have been.

The bound is the critical path through AWS alone: for each wave, the launches that DRS made, packed
under its quotas, and then the time from StartInstances to passed status checks; the waves one after
the other. It supposes an operator that needs no time at all between two of AWS's steps, asks for
nothing in between, and sees every end at the moment at which it happens.
"""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from testbed import Site

from leeward_sandbox.aws.drs.settings import Quotas
from leeward_sandbox.aws.drs.timing import JOB_END_AFTER_LAST_SERVER
from leeward_sandbox.aws.ec2_states import CHECKING, STARTING

ACTIVATION = (STARTING + CHECKING).total_seconds()
"""Seconds from StartInstances until the status checks are ok, in the sandbox's EC2."""
BATCH = 100
"""Servers of one DRS job."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One server's launch by DRS; all times are AWS's."""

    server: str
    account: str
    wave: int
    job: str
    asked: datetime
    """When its job was created."""
    ended: datetime
    """When its instance was there."""

    @property
    def seconds(self) -> float:
        """What AWS took."""
        return (self.ended - self.asked).total_seconds()


@dataclass(frozen=True, slots=True)
class Start:
    """One StartInstances."""

    account: str
    wave: int
    asked: datetime
    instances: int

    @property
    def ended(self) -> datetime:
        """When the status checks of its instances were ok."""
        return self.asked + timedelta(seconds=ACTIVATION)


@dataclass(frozen=True, slots=True)
class Recovery:
    """Launches and starts of all accounts."""

    launches: list[Launch]
    starts: list[Start]

    def of(self, waves: Iterable[int]) -> Recovery:
        """Those of some waves."""
        chosen = set(waves)
        return Recovery(
            [launch for launch in self.launches if launch.wave in chosen],
            [start for start in self.starts if start.wave in chosen],
        )

    @property
    def waves(self) -> list[int]:
        """Numbers of the waves, in order."""
        return sorted({launch.wave for launch in self.launches})


def recovery(site: Site, calls: Sequence[Mapping[str, Any]]) -> Recovery:
    """What DRS's jobs and the call record tell."""
    launches: list[Launch] = []
    wave_of: dict[str, int] = {}
    for account in site.estate.accounts:
        found = _launches(site, account.id)
        launches += found
        waves = {launch.server: launch.wave for launch in found}
        pages = site.client("drs", account.id).get_paginator("describe_recovery_instances")
        for page in pages.paginate():
            wave_of |= {
                item["recoveryInstanceID"]: waves[item["sourceServerID"]] for item in page["items"]
            }
    starts = []
    for call in calls:
        if call["operation"] == "StartInstances" and not call["error"]:
            ids = call["params"]["InstanceIds"]
            moment = datetime.fromisoformat(call["virtual_at"])
            starts.append(Start(call["account"], wave_of[ids[0]], moment, len(ids)))
    return Recovery(launches, starts)


def _launches(site: Site, account: str) -> list[Launch]:
    drs = site.client("drs", account)
    servers = drs.get_paginator("describe_source_servers").paginate(filters={})
    waves = {
        item["sourceServerID"]: int(item["tags"]["dr:wave"])
        for page in servers
        for item in page["items"]
    }
    found = []
    for page in drs.get_paginator("describe_jobs").paginate(filters={}):
        for job in page["items"]:
            asked = datetime.fromisoformat(job["creationDateTime"])
            log = drs.get_paginator("describe_job_log_items").paginate(
                jobID=job["jobID"], PaginationConfig={"PageSize": 1000}
            )
            for item in itertools.chain.from_iterable(part["items"] for part in log):
                if item["event"] == "LAUNCH_END":
                    server = item["eventData"]["sourceServerID"]
                    ended = datetime.fromisoformat(item["logDateTime"])
                    wave = waves[server]
                    found.append(Launch(server, account, wave, job["jobID"], asked, ended))
    return found


def bound(done: Recovery, quotas: Quotas) -> float:
    """Seconds that the waves take one after the other, if the operator takes none."""
    total = 0.0
    for wave in done.waves:
        by_account: defaultdict[str, dict[str, list[float]]] = defaultdict(dict)
        for launch in done.of([wave]).launches:
            by_account[launch.account].setdefault(launch.job, []).append(launch.seconds)
        total += max(packed(list(jobs.values()), quotas) for jobs in by_account.values())
        total += ACTIVATION
    return total


def packed(jobs: Sequence[Sequence[float]], quotas: Quotas) -> float:
    """Seconds until the last launch of the jobs has ended, as many at once as the quotas allow.

    Jobs begin in the order of how long they take, longest first, each as soon as there is room.

    Args:
        jobs: what each server of each job takes, in seconds.
        quotas: those of one account and Region.
    """
    running: list[tuple[float, int]] = []
    now, servers, last = 0.0, 0, 0.0
    for job in sorted(jobs, key=max, reverse=True):
        while len(running) >= quotas.jobs or servers + len(job) > quotas.servers_in_jobs:
            now, freed = heapq.heappop(running)
            servers -= freed
        last = max(last, now + max(job))
        heapq.heappush(running, (now + max(job) + JOB_END_AFTER_LAST_SERVER, len(job)))
        servers += len(job)
    return last


def losses(done: Recovery, began: datetime, ended: datetime) -> dict[str, float]:
    """Seconds of AWS's clock in which AWS had nothing to do for the wave that was due.

    Args:
        done: the waves of one run, which followed each other.
        began: when the run was asked for.
        ended: when it said that it was done.
    """
    lost: defaultdict[str, float] = defaultdict(float)
    idle_since, first = began, True
    for wave in done.waves:
        mine = done.of([wave])
        asked = max(launch.asked for launch in mine.launches)
        lost["before the first launch" if first else "to the next wave's launches"] += (
            asked - idle_since
        ).total_seconds()
        launched = max(launch.ended for launch in mine.launches)
        lost["from launched to started"] += (
            max(start.asked for start in mine.starts) - launched
        ).total_seconds()
        idle_since, first = max(start.ended for start in mine.starts), False
    lost["from started to the verdict"] = (ended - idle_since).total_seconds()
    return dict(lost)
