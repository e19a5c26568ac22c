"""Checks of preflight on the way back: whether the estate is where the operation begins.

What makes an operation meaningless is refused in every mode. What it lacks refuses a Planned run,
and is a finding of an Unplanned one, whose tasks then fail or succeed by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from leeward.api.execution import DRExecution
from leeward.api.plan import RecoveryPlan
from leeward.api.plan_record import AccountStatus
from leeward.planning.estate.direction import OUTWARD, away, takes, toward
from leeward.planning.estate.inventory import Located
from leeward.planning.estate.protection import REPLICATING, servers
from leeward.planning.estate.scope import waves_of
from leeward.planning.plans.request import Request
from leeward.planning.problem import Problem
from leeward.planning.runs import explicit, fencing
from leeward.planning.times import parse_time
from leeward.planning.wording import counted, listed, some

_BACK: Final = frozenset({"Reprotect", "Failback"})
_NOTHING_YET: Final = frozenset({"", "INITIATING", "INITIAL_SYNC", "STOPPED", "DISCONNECTED"})
"""States of reversed replication in which there is no point in time to go back to. One that stalls,
as it does once the recovery instance was stopped, has one; its lag is a question at the gate."""


def _taken(request: Request) -> list[Located]:
    operation = request.execution.spec.operation
    return [found for found in servers(request.selected) if takes(operation, found)]


def _waves_away(request: Request) -> list[str]:
    waves = waves_of(request.execution.spec, request.plan.spec)
    return [w.name for _, w in waves if away(request.plan, w.name, request.eligible)]


def _stops_what_was_left(request: Request, gone: list[str]) -> Iterator[Problem]:
    """A Reprotect, which asks nobody, has nothing to do with waves that may serve at home."""
    plan, busy = request.plan, {found.resource.wave for found in _taken(request)}
    left = explicit.duties(plan.status)
    for _, wave in waves_of(request.execution.spec, plan.spec):
        if any(explicit.runs_in(task, "Reprotect", left) for task in wave.tasks):
            busy.add(wave.name)
    serving = [w for w in gone if w in busy and not fencing.may_fence("Reprotect", plan, w)]
    if serving:
        home = plan.spec.regions.primary
        yield Problem(
            "WrongLocation",
            f"a Reprotect stops what writes in {home}, and {listed('wave', serving)} of plan "
            f"{plan.metadata.name} may still serve from {home} (by its location in status.waves, "
            "which is not Recovery): end its Failover first (in an execution with continueFrom, "
            "or a new one), or name other waves in spec.waves",
        )


def location_fits(request: Request) -> Iterator[Problem]:
    """The estate serves from the side that the operation begins with."""
    operation, plan = request.execution.spec.operation, request.plan
    place = plan.status.location
    remote = plan.spec.regions.recovery
    gone = _waves_away(request)
    if operation in _BACK and not gone:
        yield Problem(
            "WrongLocation",
            f"{operation} is for an estate that serves from {remote}, and the location of plan "
            f"{plan.metadata.name} is {place} (status.location, and status.waves for each wave): "
            "there is nothing to bring back",
        )
    if operation == "Reprotect":
        yield from _stops_what_was_left(request, gone)
    if operation == "Cleanup" and gone and place != "Primary":
        yield Problem(
            "WrongLocation",
            f"Cleanup retires what a Failback left in {remote}, and {listed('wave', gone)} of plan "
            f"{plan.metadata.name} may still serve from there (location {place}): fail back first, "
            "or name other waves in spec.waves. Nothing of the primary side is ever cleaned up: "
            "it is the way back",
        )
    elif operation == "Cleanup" and not _taken(request):
        yield Problem(
            "NothingToCleanUp",
            f"no Failback of plan {plan.metadata.name} left a recovery instance in {remote}, as "
            "far as discovery knows",
        )


def something_to_do(request: Request) -> Iterator[Problem]:
    """The way back has any work: servers, or explicit tasks of waves that are away."""
    operation, gone = request.execution.spec.operation, set(_waves_away(request))
    if operation not in _BACK or not gone or _taken(request):
        return
    left = explicit.duties(request.plan.status)
    waves = waves_of(request.execution.spec, request.plan.spec)
    tasks = (task for _, wave in waves if wave.name in gone for task in wave.tasks)
    if not any(explicit.runs_in(task, operation, left) for task in tasks):
        yield Problem(
            "NothingToBringBack",
            f"no server of this run has a recovery instance in "
            f"{request.plan.spec.regions.recovery}, as far as discovery knows, and no explicit "
            f"task belongs to a {operation}",
        )


def cleanup_allowed(request: Request) -> Iterator[Problem]:
    """Plan and accounts let something be destroyed."""
    if request.execution.spec.operation != "Cleanup":
        return
    remedy = "create an execution of another name when that has changed"
    if request.plan.spec.cleanup.recovery_instances != "Retire":
        yield Problem(
            "CleanupNotAllowed",
            f"plan {request.plan.metadata.name} keeps recovery instances "
            f"(spec.cleanup.recoveryInstances is Keep, not Retire); {remedy}",
        )
    accounts = {found.account for found in _taken(request)}
    for name, account in request.known_accounts:
        if name in accounts and account.spec.allow.destructive != "Allowed":
            yield Problem(
                "CleanupNotAllowed",
                f"TargetAccount {name} ({account.spec.account_id}) does not let anything be "
                "destroyed; a platform administrator can set its spec.allow.destructive to "
                f"Allowed; {remedy}",
            )


def never_the_last_copy(request: Request) -> Iterator[Problem]:
    """What is retired has a successor that is protected."""
    if request.execution.spec.operation != "Cleanup":
        return
    bare = [
        f"{found} ({found.resource.attributes.get('replicationState') or 'unknown'})"
        for found in _taken(request)
        if found.resource.attributes.get("replicationState") not in REPLICATING
    ]
    if bare:
        yield Problem(
            "NotProtected",
            f"{counted(len(bare), 'server')} would lose the last copy in "
            f"{request.plan.spec.regions.recovery}, because nothing replicates there: "
            f"{some(bare)}; let replication come back to CONTINUOUS first",
        )


def same_account(request: Request) -> Iterator[Problem]:
    """Replication is reversed within an account alone."""
    if request.execution.spec.operation not in _BACK:
        return
    others = [
        f"{found} from {found.resource.attributes['originAccountId']}"
        for found in _taken(request)
        if found.resource.attributes.get("originAccountId", found.account_id) != found.account_id
    ]
    if others:
        yield Problem(
            "CrossAccountFailback",
            f"{counted(len(others), 'server')} was replicated from another account, and this "
            f"version reverses replication within one account alone: {some(others)}; exclude them "
            "(spec.resources.exclude) and bring them back by hand",
        )


def reversed_replication(request: Request) -> Iterator[Problem]:
    """What is to come back replicates to the primary Region."""
    if request.execution.spec.operation != "Failback":
        return
    home, name = request.plan.spec.regions.primary, request.plan.metadata.name
    taken = [toward("Failback", found) for found in _taken(request)]
    bare = [str(f) for f in taken if not f.resource.attributes.get("reversedServerId")]
    if bare:
        yield Problem(
            "NotReprotected",
            f"nothing replicates {counted(len(bare), 'server')} of plan {name} to {home}, as far "
            f"as discovery knows: {some(bare)}; run a Reprotect first",
        )
    late = [
        f"{f}: {f.resource.attributes.get('replicationState') or 'unknown'}"
        for f in taken
        if f.resource.attributes.get("reversedServerId")
        and f.resource.attributes.get("replicationState", "") in _NOTHING_YET
    ]
    if late:
        yield Problem(
            "NotReprotected",
            f"replication of {counted(len(late), 'server')} to {home} is not through: "
            f"{some(late)}; wait until Reprotect has brought it to CONTINUOUS",
        )


def nothing_left_to_fence(request: Request) -> Iterator[Problem]:
    """Nobody writes in the Region to which the estate comes back."""
    if request.execution.spec.operation != "Failback":
        return
    home = request.plan.spec.regions.primary
    if left := [d for d in request.plan.status.deferred_fence if d.region == home]:
        yield Problem(
            "FenceDeferred",
            f"{fencing.summary(left)} since a failover could not stop them; two copies would "
            "serve after the failback. Run a Reprotect, which fences them first",
        )


def sides_known(request: Request) -> Iterator[Problem]:
    """Explicit tasks say what things are when the estate is home again."""
    if request.execution.spec.operation != "Failback":
        return
    gone = set(_waves_away(request))
    waves = waves_of(request.execution.spec, request.plan.spec)
    for task in (t for _, wave in waves if wave.name in gone for t in wave.tasks):
        if not explicit.runs_in(task, "Failback"):
            continue
        for record in task.route53.records if task.route53 else []:
            if record.primary is None:
                yield Problem(
                    "NoPrimarySide",
                    f"task {task.name} does not say what {explicit.record_id(record)} is on the "
                    "primary side; give the record `primary`, or a Failback leaves it",
                )
        if explicit.phase_in(task, "Failback") != "Activate" or not task.auto_scaling:
            continue
        account = task.auto_scaling.account_ref.name
        for group in task.auto_scaling.groups:
            if not explicit.has_size(group) and (account, group.name) not in request.sizes:
                yield Problem(
                    "SizesUnknown",
                    f"nothing says how many instances group {group.name} of task {task.name} is "
                    "to have again: no Failover of this plan whose tasks still exist emptied it; "
                    "give the group desired, or min",
                )


def not_recovered(request: Request) -> Iterator[Problem]:
    """Servers that stay where they are."""
    if request.execution.spec.operation not in _BACK:
        return
    operation, gone = request.execution.spec.operation, set(_waves_away(request))
    names = [
        str(found)
        for found in servers(request.selected)
        if found.resource.wave in gone and not takes(operation, found)
    ]
    if names:
        yield Problem(
            "NotRecovered",
            f"{counted(len(names), 'server')} has no recovery instance and is left out: "
            f"{some(names)}",
        )


def awaits_discovery(execution: DRExecution, plan: RecoveryPlan) -> bool:
    """Whether what is known of the estate is from before a run that this one builds upon.

    On the way back that is the plan's last run, for which an Unplanned one does not wait. On the
    way out it is a Failback: since then other instances serve at home, and one that fences those
    from before would let both sides serve.
    """
    spec = execution.spec
    if spec.operation in OUTWARD:
        ended = _came_home(plan)
    else:
        past = () if spec.mode == "Unplanned" else plan.status.history[-1:]
        ended = past[0].completion_time if past else None
    return any(not a.problem for a in _not_seen_since(plan, ended))


def _came_home(plan: RecoveryPlan) -> str | None:
    """When the plan's last Failback ended."""
    ended = [run.completion_time for run in plan.status.history if run.operation == "Failback"]
    return ended[-1] if ended else None


def _not_seen_since(plan: RecoveryPlan, time: str | None) -> list[AccountStatus]:
    """Accounts that were not looked at since then."""
    if time is None:
        return []
    return [
        account for account in plan.status.accounts
        if account.discovered_at is None or parse_time(account.discovered_at) <= parse_time(time)
    ]  # fmt: skip


def seen_since_it_came_home(request: Request) -> Iterator[Problem]:
    """What a Failover fences is what serves at home since the last Failback."""
    ended = _came_home(request.plan)
    if not request.outward or not (old := _not_seen_since(request.plan, ended)):
        return
    name, namespace = request.plan.metadata.name, request.plan.metadata.namespace
    where = some([f"{a.account_id} ({a.name})" for a in old])
    yield Problem(
        "InventoryOutdated",
        f"account {where} was not looked at since the last Failback ended at {ended}: the "
        "instances that it started at home may not be known, and would not be stopped; kubectl "
        f"leeward plan refresh {name} -n {namespace}, or stop them by hand",
    )
