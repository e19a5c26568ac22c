"""The comparator: what a design of state machines and polling functions makes of the same estate.

Written from the description in TRS sections 3.1 to 3.3 and 4 (DRS adapter), to the design's favour
where it leaves room:

* each plan is an execution of its own, and they run beside each other; waves strictly in sequence;
* in a wave at most four technologies at once, of each at most five accounts;
* per account all batches of at most 100 servers are sent at once, one StartRecovery each, and each
  is polled by its job until the job is COMPLETED, every 30 s;
* then all instances of the account are started by one call per batch, and polled every 30 s until
  their status checks are ok;
* the next wave begins when every account of the wave is through.

Left out, to its favour: the time that state machines, function starts, validation steps and
notifications take; the phases that run for all resources before the first wave; approvals. Settings
that keep launched servers stopped are made before its clock starts.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from recovery import BATCH, bound, losses, recovery
from reference import WAVES
from table import Figure, progress
from testbed import Site

POLL = 30.0
"""Seconds of AWS's clock between two polls."""
ACCOUNTS = 5

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Account:
    """One account's part of one wave."""

    site: Site
    account: str
    servers: Sequence[str]

    def recover(self) -> None:
        """Launch, wait, start, wait."""
        batches = [self.servers[n : n + BATCH] for n in range(0, len(self.servers), BATCH)]
        instances = _at_once(len(batches), self._launch, batches)
        _at_once(len(batches), self._start, instances)

    def _launch(self, batch: Sequence[str]) -> list[str]:
        drs = self.site.client("drs", self.account)
        servers = [{"sourceServerID": server} for server in batch]
        job = drs.start_recovery(sourceServers=servers)["job"]["jobID"]

        def completed() -> bool:
            (found,) = drs.describe_jobs(filters={"jobIDs": [job]})["items"]
            return bool(found["status"] == "COMPLETED")

        self._poll(completed)
        pages = drs.get_paginator("describe_recovery_instances")
        found = pages.paginate(filters={"sourceServerIDs": list(batch)})
        return [item["recoveryInstanceID"] for page in found for item in page["items"]]

    def _start(self, instances: Sequence[str]) -> None:
        ec2 = self.site.client("ec2", self.account)
        ec2.start_instances(InstanceIds=list(instances))

        def checked() -> bool:
            shown = ec2.describe_instance_status(InstanceIds=list(instances))["InstanceStatuses"]
            return len(shown) == len(instances) and all(_ok(status) for status in shown)

        self._poll(checked)

    def _poll(self, over: Callable[[], bool]) -> None:
        while not over():
            time.sleep(POLL / self.site.scale)


def _ok(status: Mapping[str, Any]) -> bool:
    return all(status[kind]["Status"] == "ok" for kind in ("SystemStatus", "InstanceStatus"))


def _at_once(most: int, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    with ThreadPoolExecutor(most) as threads:
        return list(threads.map(work, items))


def prepare(site: Site) -> dict[int, dict[str, list[str]]]:
    """Servers by wave and account; they are set to launch stopped."""
    waves: defaultdict[int, dict[str, list[str]]] = defaultdict(dict)
    for account in site.estate.accounts:
        drs = site.client("drs", account.id)
        for page in drs.get_paginator("describe_source_servers").paginate(filters={}):
            for item in page["items"]:
                server = item["sourceServerID"]
                drs.update_launch_configuration(sourceServerID=server, launchDisposition="STOPPED")
                wave = waves[int(item["tags"]["dr:wave"])]
                wave.setdefault(account.id, []).append(server)
    return waves


def figures(site: Site) -> list[Figure]:
    """Recover the estate by that design; its makespan beside the same bound."""
    waves = prepare(site)
    progress("the TRS design's failover begins")
    since = site.control.last_seq()
    spans = dict(_at_once(len(WAVES), lambda plan: (plan, _run(site, plan, waves)), WAVES))
    done = recovery(site, site.control.calls(since=since))
    found = []
    for plan, (began, ended) in spans.items():
        mine = done.of(WAVES[plan])
        least, took = bound(mine, site.estate.drs.quotas), (ended - began).total_seconds()
        lost = losses(mine, began, ended)
        rest = ", ".join(f"{seconds:.0f} s {what}" for what, seconds in lost.items())
        note = f"{took:.0f} s of at least {least:.0f} s; lost: {rest}"
        name = f"TRS design: makespan ÷ lower bound, {plan}"
        found.append(Figure(name, f"{took / least:.3f}", "", note))
    return found


def _run(
    site: Site, plan: str, waves: Mapping[int, Mapping[str, Sequence[str]]]
) -> tuple[datetime, datetime]:
    began = site.control.now()
    for number in WAVES[plan]:
        parts = [_Account(site, account, servers) for account, servers in waves[number].items()]
        # The estate has one technology; the design would run up to four of them side by side.
        _at_once(min(ACCOUNTS, len(parts)), _Account.recover, parts)
    return began, site.control.now()
