"""Jobs of AWS Elastic Disaster Recovery: whose they are, how each server fared, how many fit.

A job only ever becomes COMPLETED, also when every server in it failed; what happened is in its
participatingServers and in its log (DRS API reference, Job and JobLog).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from leeward_adapters import drs_lists, quotas
from leeward_adapters.base import Call, Earlier, Scope, Step
from leeward_adapters.ec2 import place

TASK_TAG: Final = "leeward:task"
CALL_TAG: Final = "leeward:call"
EXECUTION_TAG: Final = "leeward:execution"
EXECUTION_UID_TAG: Final = "leeward:execution-uid"
NAMESPACE_TAG: Final = "leeward:namespace"
HUB_TAG: Final = "leeward:hub"

CLOCK_SKEW: Final = timedelta(minutes=2)
"""How far AWS's clock may be behind the operator's."""
LONGEST_JOB: Final = timedelta(days=1)
"""No job is expected to run longer; look-back for running jobs of others."""

BATCH: Final = 100
"""Servers of one job (DRS service quota L-B827C881, not adjustable)."""
_ENDED: Final = frozenset({"FAILED", "TERMINATED"})
_PAGE: Final = 100
"""Jobs on a page, if DRS gives so many."""
_KEPT: Final = 86400.0
"""Seconds for which is remembered when a job was asked for, which never changes."""


@dataclass(frozen=True, slots=True)
class Part:
    """One server's part in a job."""

    job: str
    type: str
    """`LAUNCH`, `TERMINATE`, …"""
    active: bool
    """Whether the job still runs."""
    status: str
    """launchStatus: `PENDING`, `IN_PROGRESS`, `LAUNCHED`, `FAILED`, `TERMINATED`."""
    tags: Mapping[str, str]
    """Tags of the job."""
    server: str
    created: datetime | None = None
    """When the job was asked for, by DRS's clock."""

    @property
    def failed(self) -> bool:
        """Whether there is no instance at its end."""
        return self.type == "LAUNCH" and self.status in _ENDED

    def of(self, token: str) -> bool:
        """Whether the task with that token launched it."""
        return self.type == "LAUNCH" and self.tags.get(TASK_TAG) == token


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many servers DRS would accept in StartRecovery now."""

    servers: int
    reason: str


def since(drs: Any, moment: datetime) -> list[Part]:
    """Parts of all jobs created at or after `moment`, newest job first (DescribeJobs)."""
    # The model's pattern wants the Z; an offset such as +00:00 is refused.
    text = f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return _parts(drs, {"fromDate": text})


def shared_since(scope: Scope, moment: datetime, as_of: float | None) -> list[Part]:
    """Like `since`, asked once for all tasks that began together; some older jobs may be among it.

    Args:
        scope: account and recovery Region.
        moment: AWS's time.
        as_of: how new the answer must be, see `Step.since`.
    """
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    begin = hour + timedelta(minutes=moment.minute - moment.minute % 10)
    drs = scope.client("drs")
    return scope.views.ask(("drs-jobs-since", begin), as_of, lambda: since(drs, begin))


def with_ids(drs: Any, ids: Iterable[str]) -> list[Part]:
    """Parts of the jobs with those ids."""
    wanted = sorted(set(ids))
    return _parts(drs, {"jobIDs": wanted}) if wanted else []


def shared_with_ids(scope: Scope, ids: Iterable[str], as_of: float | None) -> list[Part]:
    """Like `with_ids`, asked once for all who want them."""
    drs = scope.client("drs")

    def ask(some: Sequence[str]) -> Mapping[str, list[Part]]:
        found = with_ids(drs, some)
        return {job: [p for p in found if p.job == job] for job in some}

    answers = scope.views.look_up("drs-jobs", ids, as_of, ask)
    return [part for parts in answers.values() for part in parts]


def asked_at(scope: Scope, ids: Iterable[str]) -> dict[str, datetime]:
    """When jobs were asked for, by DRS's clock; what it does not know any more is left out.

    One call, or none where this process asked for all of them (`note_asked`).
    """
    wanted = sorted(set(ids))

    @cache
    def listed() -> dict[str, datetime | None]:
        return {part.job: part.created for part in with_ids(scope.client("drs"), wanted)}

    def one(job: str) -> datetime | None:
        return scope.cached(_asked_key(job), _KEPT, lambda: listed().get(job))

    return {job: at for job in wanted if (at := one(job)) is not None}


def note_asked(scope: Scope, job: Mapping[str, Any]) -> None:
    """Remember when a job was asked for, by DRS's answer to it."""
    scope.cached(_asked_key(job["jobID"]), _KEPT, lambda: _time(job.get("creationDateTime")))


def _asked_key(job: str) -> tuple[str, str]:
    return ("drs-job-asked", job)


def newest(parts: Iterable[Part]) -> dict[str, Part]:
    """The newest part of each server; `parts` come newest first."""
    found: dict[str, Part] = {}
    for part in parts:
        found.setdefault(part.server, part)
    return found


def counts(part: Part, call: Call | None) -> bool:
    """Whether a launch of this task says something about its present attempt.

    A failure counts for the call that it answers only: with a newer launch, or in a new attempt,
    it is history. Everything else counts, also when a call that was thought lost turns up.

    Args:
        part: the server's part in a job of this task.
        call: the server's launch in the present attempt, if it was asked for.
    """
    if call is None:
        return part.active or not part.failed
    return not part.failed or answers(part, call)


def answers(part: Part, call: Call | None) -> bool:
    """Whether the job is the one that the present attempt launched."""
    return call is not None and part.tags.get(CALL_TAG) == call.id


def earlier(drs: Any, hub: str, namespace: str, execution: str, uid: str) -> list[Earlier]:
    """Launch jobs of an execution of that name under another uid, newest first.

    DescribeJobs filters by no tag, so that all jobs that DRS still has are listed.
    """
    of_name = {HUB_TAG: hub, NAMESPACE_TAG: namespace, EXECUTION_TAG: execution}
    return [
        Earlier(
            reference=job["jobID"],
            uid=job["tags"].get(EXECUTION_UID_TAG, ""),
            at=job.get("creationDateTime", ""),
            targets=tuple(s["sourceServerID"] for s in job.get("participatingServers", [])),
        )
        for job in _jobs(drs, {})
        if of_name.items() <= job.get("tags", {}).items()
        and job["tags"].get(EXECUTION_UID_TAG) != uid
    ]


def capacity(scope: Scope, parts: Sequence[Part]) -> Capacity:
    """Head-room below both quotas; jobs of others, and TERMINATE jobs, count too."""
    jobs = {part.job for part in parts if part.active}
    servers = sum(1 for part in parts if part.active)
    most_jobs = int(quotas.read(scope, quotas.DRS_JOBS).value)
    most_servers = int(quotas.read(scope, quotas.DRS_SERVERS_IN_JOBS).value)
    room = min((most_jobs - len(jobs)) * BATCH, most_servers - servers)
    reason = (
        f"DRS in {place(scope)} runs {len(jobs)} of at most {most_jobs} jobs with {servers} of at "
        f"most {most_servers} servers"
    )
    return Capacity(max(room, 0), reason)


def failures(scope: Scope, parts: Iterable[Part]) -> dict[str, tuple[str, str]]:
    """Reason and message of each failed server, from the logs of its job.

    Args:
        scope: account and recovery Region.
        parts: parts whose launch failed.
    """
    by_job: dict[str, list[Part]] = {}
    for part in parts:
        by_job.setdefault(part.job, []).append(part)
    said: dict[str, tuple[str, str]] = {}
    for job, group in by_job.items():
        log = _log(scope, job, active=any(part.active for part in group))
        for part in group:
            items = [i for i in log if i.get("eventData", {}).get("sourceServerID") == part.server]
            said[part.server] = _explain(part, items, place(scope))
    return said


def describe(part: Part, step: Step) -> str:
    """A running part, for people."""
    doing = {"PENDING": "snapshot and conversion", "IN_PROGRESS": "launching"}
    call = step.calls.get(part.server)
    # A TERMINATE job takes no tags; the journal knows which one is ours.
    if part.of(step.token) or (call is not None and call.reference == part.job):
        return f"job {part.job}: {doing.get(part.status, part.status)}"
    owner = part.tags.get(EXECUTION_TAG)
    whose = f"of execution {owner}" if owner else "of somebody else"
    return f"in {part.type} job {part.job} {whose} ({part.status}): waiting for its end"


def _jobs(drs: Any, filters: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Jobs as DRS describes them, newest first."""
    jobs = drs_lists.items(drs, "describe_jobs", size=_PAGE, filters=filters)
    return sorted(jobs, key=lambda job: str(job.get("creationDateTime", "")), reverse=True)


def _parts(drs: Any, filters: Mapping[str, Any]) -> list[Part]:
    return [
        Part(
            job=job["jobID"],
            type=job.get("type", ""),
            active=job.get("status") != "COMPLETED",
            status=server.get("launchStatus", "PENDING"),
            tags=job.get("tags", {}),
            server=server.get("sourceServerID", ""),
            created=_time(job.get("creationDateTime")),
        )
        for job in _jobs(drs, filters)
        for server in job.get("participatingServers", [])
    ]


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _log(scope: Scope, job: str, *, active: bool) -> list[dict[str, Any]]:
    def read() -> list[dict[str, Any]]:
        return list(drs_lists.items(scope.client("drs"), "describe_job_log_items", jobID=job))

    return read() if active else scope.cached(("drs-log", job), 3600, read)


_CAUSES: Final = (
    (
        ("InsufficientInstanceCapacity", "Insufficient capacity"),
        "InsufficientInstanceCapacity",
        "EC2 has no room for the instance type in the subnet's zone: choose another type or "
        "subnet in the server's launch template",
    ),
    (
        ("VcpuLimitExceeded", "InstanceLimitExceeded"),
        "VcpuLimitExceeded",
        "the account's EC2 quota is used up: ask Service Quotas for more, or stop what is not "
        "needed",
    ),
    (
        ("UnauthorizedOperation", "AccessDenied", "not authorized"),
        "UnauthorizedOperation",
        "DRS acts with the rights of the recovery role: give it the EC2, KMS and PassRole rights "
        "that the drs adapter documents, PassRole also on the role of the launch template's "
        "instance profile (sts decode-authorization-message shows which is missing)",
    ),
    (
        ("InsufficientFreeAddressesInSubnet",),
        "InsufficientFreeAddresses",
        "the subnet has no free address: use a larger one in the launch template",
    ),
    (
        ("InvalidSubnet", "InvalidGroup", "InvalidSecurityGroup", "belong to different networks"),
        "InvalidNetwork",
        "subnet and security groups of the launch template must exist, in one VPC",
    ),
    (
        ("InvalidLaunchTemplate",),
        "InvalidLaunchTemplate",
        "mend the server's launch template in DRS's launch settings",
    ),
    (
        ("VolumeLimitExceeded", "MaxIOPSLimitExceeded", "SnapshotLimitExceeded"),
        "StorageLimitExceeded",
        "the account's EBS quota is used up: ask Service Quotas for more",
    ),
    (
        ("KMS", "InvalidKmsKey", "CMK"),
        "KeyNotUsable",
        "the key of the volumes may not be used in this account and Region: mend its policy",
    ),
)

_EVENTS: Final = {
    "USING_PREVIOUS_SNAPSHOT_FAILED": (
        "NoSnapshot",
        "DRS has no point in time to launch from: bring replication back to CONTINUOUS",
    ),
    "CONVERSION_FAIL": (
        "ConversionFailed",
        "look at the conversion server's log in the DRS console",
    ),
    "SERVER_SKIPPED": ("ServerSkipped", "DRS left the server out"),
    "JOB_CANCEL": ("JobCancelled", "somebody cancelled the job"),
}


def _explain(part: Part, items: Sequence[Mapping[str, Any]], where: str) -> tuple[str, str]:
    head = f"DRS job {part.job} in {where} ended with launch status {part.status}"
    if part.status == "TERMINATED":
        return "Terminated", f"{head}: somebody ended the instance; retry to launch it again"
    raw = "; ".join(
        dict.fromkeys(i["eventData"]["rawError"] for i in items if i["eventData"].get("rawError"))
    )
    for marks, reason, remedy in _CAUSES:
        if any(mark in raw for mark in marks):
            return reason, f"{head}: {raw}. {remedy[0].upper()}{remedy[1:]}, then retry"
    events = {i.get("event", "") for i in items}
    for event, (reason, remedy) in _EVENTS.items():
        if event in events:
            why = f"{event}{f': {raw}' if raw else ''}"
            return reason, f"{head}: {why}. {remedy[0].upper()}{remedy[1:]}, then retry"
    why = raw or "its log names no cause"
    return "LaunchFailed", f"{head}: {why}. Look at the job's log in the DRS console, then retry"
