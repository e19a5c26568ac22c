"""What the objects say as values of gauges. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from leeward.api.account import RegionStatus, TargetAccount
from leeward.api.conditions import Type, find
from leeward.api.execution import TERMINAL, DRExecution
from leeward.api.plan import RecoveryPlan
from leeward.api.schedule import DRSchedule
from leeward.metrics import definitions as d
from leeward.planning.durations import parse
from leeward.planning.times import parse_time


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one gauge."""

    metric: d.Metric
    labels: tuple[str, ...]
    """Values, in the order of the metric's labels."""
    value: float


_WAITS = {
    Type.WAITING_FOR_APPROVAL: "Approval",
    Type.WAITING_FOR_DECISION: "Decision",
    Type.PAUSED: "Resume",
}


def of_execution(run: DRExecution) -> Iterator[Sample]:
    """Of a live execution; of one that ended, nothing."""
    status, spec = run.status, run.spec
    if status.state in TERMINAL or spec.dry_run != "None":
        return
    who = (run.metadata.namespace, run.metadata.name, spec.plan_ref.name)
    yield Sample(d.EXECUTION, (*who, spec.operation, run.mode, status.state or "Pending"), 1)
    if status.start_time:
        yield Sample(d.EXECUTION_STARTED, who, _at(status.start_time))
    for kind, what in _WAITS.items():
        condition = find(status.conditions, kind)
        if condition and condition.status == "True":
            yield Sample(d.WAITING, (*who, what), _at(condition.last_transition_time))
    counts = status.resources
    states = {
        "Total": counts.total, "Complete": counts.complete, "InProgress": counts.in_progress,
        "Failed": counts.failed, "Skipped": counts.skipped,
    }  # fmt: skip
    for state, number in states.items():
        yield Sample(d.PROGRESS, (*who, state), number)
    if status.objectives and status.objectives.rto_target:
        yield Sample(d.RTO_MISSED, who, status.objectives.rto == "Missed")
    guard = find(status.conditions, Type.GUARD_ACTIVE)
    if guard and guard.status != "Unknown":
        yield Sample(d.GUARDED, who, guard.status == "True")


def of_plan(plan: RecoveryPlan) -> Iterator[Sample]:
    """Of a plan."""
    status, who = plan.status, (plan.metadata.namespace, plan.metadata.name)
    for condition in status.conditions:
        labels = (*who, condition.type, condition.status, condition.reason)
        yield Sample(d.PLAN_CONDITION, labels, 1)
    yield Sample(d.PLAN_LOCATION, (*who, status.location), 1)
    yield Sample(d.PLAN_RESOURCES, who, status.resources)
    found = Counter({"Blocking": 0, "Degraded": 0, "Warning": 0})
    for finding in status.readiness:
        found[finding.severity] += finding.count
    for severity, number in found.items():
        yield Sample(d.PLAN_FINDINGS, (*who, severity), number)
    made = plan.metadata.creation_timestamp
    if made:
        yield Sample(d.PLAN_CREATED, who, _at(made))
    heard = [account.discovered_at or made for account in status.accounts]
    if heard and all(heard):
        yield Sample(d.PLAN_DISCOVERED, who, min(_at(at) for at in heard if at))
    yield from _objectives(plan, who)
    yield from _past(plan, who)


def _objectives(plan: RecoveryPlan, who: tuple[str, str]) -> Iterator[Sample]:
    lag = plan.status.lag
    if lag is not None:
        if lag.worst:
            yield Sample(d.LAG, who, parse(lag.worst).total_seconds())
        servers = {"All": lag.servers, "Above": lag.above, "Unknown": lag.unknown}
        for which, number in servers.items():
            yield Sample(d.LAG_SERVERS, (*who, which), number)
    for metric, given in ((d.RPO, plan.spec.objectives.rpo), (d.RTO, plan.spec.objectives.rto)):
        if (target := _span(given)) is not None:
            yield Sample(metric, who, target.total_seconds())


def _past(plan: RecoveryPlan, who: tuple[str, str]) -> Iterator[Sample]:
    status = plan.status
    if status.last_drill:
        yield Sample(d.LAST_DRILL, who, _at(status.last_drill.completion_time))
    # Drills apart from the rest, so that neither hides how the other ended. What people cancelled
    # says nothing about the estate, and hides nothing either.
    told = [h for h in status.history if h.state != "Cancelled"]
    for drills in (False, True):
        last = next((h for h in reversed(told) if (h.operation == "Test") is drills), None)
        if last is not None:
            yield Sample(d.LAST_RUN, (*who, last.operation, last.state), _at(last.completion_time))
    left = Counter({"Silent": 0, "Running": 0})
    for duty in status.deferred_fence:
        left[duty.seen] += duty.count
    for seen, number in left.items():
        yield Sample(d.UNFENCED, (*who, seen), number)


def of_schedule(schedule: DRSchedule) -> Iterator[Sample]:
    """Of a schedule."""
    status, metadata = schedule.status, schedule.metadata
    who = (metadata.namespace, metadata.name, schedule.spec.plan_ref.name)
    if status.next_schedule_time:
        yield Sample(d.SCHEDULE_NEXT, who, _at(status.next_schedule_time))
    if status.last_successful_time:
        yield Sample(d.SCHEDULE_SUCCEEDED, who, _at(status.last_successful_time))
    yield Sample(d.SCHEDULE_MISSED, who, status.missed.count if status.missed else 0)


def of_account(account: TargetAccount) -> Iterator[Sample]:
    """Of a TargetAccount."""
    who = (account.metadata.name, account.spec.account_id)
    ready = find(account.status.conditions, Type.READY)
    if ready:
        yield Sample(d.ACCOUNT_READY, (*who, ready.reason), ready.status == "True")
    if account.status.last_checked_time:
        yield Sample(d.ACCOUNT_CHECKED, who, _at(account.status.last_checked_time))
    for region in account.status.regions:
        yield from _of_region(region, (*who, region.region))


def _of_region(region: RegionStatus, where: tuple[str, str, str]) -> Iterator[Sample]:
    if region.drs == "Unknown":
        return
    servers = {
        "Source": region.source_servers, "Replicating": region.replicating_servers,
        "Free": region.free_servers, "InJobs": region.servers_in_jobs,
    }  # fmt: skip
    for what, number in servers.items():
        yield Sample(d.ACCOUNT_SERVERS, (*where, what), number)
    yield Sample(d.ACCOUNT_JOBS, where, region.jobs)


def _at(text: str) -> float:
    return parse_time(text).timestamp()


def _span(text: str | None) -> timedelta | None:
    try:
        return parse(text) if text else None
    except ValueError:
        return None
