"""Checks of preflight on what discovery found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from leeward.api.conditions import Reason
from leeward.planning.estate import protection
from leeward.planning.estate.inventory import Located
from leeward.planning.estate.scope import unknown_waves
from leeward.planning.plans.named import named_in_run
from leeward.planning.plans.readiness import NOT_ALLOWED, readiness, refused
from leeward.planning.plans.request import Request
from leeward.planning.problem import Problem
from leeward.planning.runs.explicit import known, runs_in
from leeward.planning.runs.freeze import origin
from leeward.planning.wording import counted, listed, some

_LIVE: Final = "LiveRecoveryInstance"
"""What `RecoveryInstanceExists` says of the run's servers already."""


def something_to_recover(request: Request) -> Iterator[Problem]:
    """There is anything that the run would work on, of what it names rightly."""
    if request.selected or unknown_waves(request.execution.spec, request.plan.spec):
        return
    if silent := request.undiscovered:
        yield Problem(
            "NotDiscovered",
            f"discovery has not heard of {listed('account', silent)} yet, and nothing to recover "
            "is known; look at the plan's status.accounts for the cause",
        )
    elif request.test or not any(runs_in(t, "Failover") for t in request.tasks):
        name, namespace = request.plan.metadata.name, request.plan.metadata.namespace
        yield Problem(
            "EmptyInventory",
            f"plan {name} selects no resource; `kubectl get rp {name} -n {namespace} -o yaml` "
            "shows under status.compliance which tags are missing",
        )


def drill_networks(request: Request) -> Iterator[Problem]:
    """A Test has an isolated network in every account."""
    if not request.test:
        return
    given = {network.account_id for network in request.plan.spec.drill.networks}
    missing = {(f.account, f.account_id) for f in request.selected if f.account_id not in given}
    for account, account_id in sorted(missing):
        yield Problem(
            "NoDrillNetwork",
            f"plan {request.plan.metadata.name} has no drill network for account {account} "
            f"({account_id}); add one to spec.drill.networks, with an isolated subnet in "
            f"{request.plan.spec.regions.recovery} and its security groups",
        )


def resources_are_free(request: Request) -> Iterator[Problem]:
    """No other live run works on the same resources."""
    held: dict[str, list[str]] = {}
    for found in request.selected:
        other = request.live_elsewhere.get((found.account_id, found.resource.arn))
        if other:
            held.setdefault(other, []).append(str(found))
    for other, names in sorted(held.items()):
        yield Problem(
            "ResourcesBusy",
            f"{counted(len(names), 'resource')} of this run "
            f"{'is' if len(names) == 1 else 'are'} in the live execution {other}: {some(names)}; "
            "wait for its end or cancel it, then create an execution of another name",
        )


def no_drill_over_production(request: Request) -> Iterator[Problem]:
    """A Test launches over no real recovery instance."""
    if not request.test:
        return
    live = [str(found) for found in request.selected if protection.recovered(found)]
    if live:
        yield Problem(
            "RecoveryInstanceExists",
            f"{counted(len(live), 'server')} already recovered for real, and a drill would "
            f"replace that: {some(live)}; rehearse after the estate is back, or retire these "
            "recovery instances first",
        )
    half = [str(found) for found in request.selected if protection.unfinished(found)]
    if half:
        yield Problem(
            "FailbackUnfinished",
            f"{counted(len(half), 'server')} whose failback is not through, so that its recovery "
            f"instance holds the newest data and a drill would replace it: {some(half)}; go on "
            "with the Failback, and rehearse after its Cleanup",
        )


def inventory_complete(request: Request) -> Iterator[Problem]:
    """Every account answered the last discovery."""
    if request.selected:
        for account in request.undiscovered:
            yield Problem(
                "AccountSilent",
                f"account {account} never answered discovery; nothing in it would be recovered",
            )
    silent = {
        i.spec.account: i.status.problem or "no answer"
        for i in request.inventories
        if not i.status.current and i.status.discovered_at
    }
    for account, why in sorted(silent.items()):
        yield Problem(
            "AccountSilent",
            f"account {account} did not answer the last discovery ({why}); what it said before "
            "is used",
        )


def inventory_recent(request: Request) -> Iterator[Problem]:
    """What is known is not too old."""
    old = protection.outdated(request.plan.spec, request.inventories, request.now)
    if old:
        yield Problem(
            "InventoryOld",
            f"account {some(old)} was last discovered too long ago; wait for the next discovery "
            "and look at the plan's status.accounts",
        )


def nothing_vanished(request: Request) -> Iterator[Problem]:
    """No account shows much less than before without deletions that explain it."""
    lost: dict[str, list[Located]] = {}
    for found in request.eligible:
        if found.resource.missing_since:
            lost.setdefault(found.account, []).append(found)
    for account, missing in sorted(lost.items()):
        since = min(found.resource.missing_since or "" for found in missing)
        yield Problem(
            Reason.INVENTORY_SHRANK,
            f"{counted(len(missing), 'resource')} of account {account} vanished at {since}, and "
            f"nobody is known to have deleted them: {some([str(f) for f in missing])}; a Test or "
            "Planned run would leave them behind, an Unplanned one works on them. See why AWS no "
            "longer shows them, or name them in spec.selection.excludeResources; they are "
            "forgotten after a day",
        )


def can_be_fenced(request: Request) -> Iterator[Problem]:
    """Servers whose machine on the side that is left the run cannot stop."""
    fences = request.execution.spec.operation in {"Failover", "Reprotect"}
    if not fences or request.plan.spec.fence.servers == "Leave":
        return
    home, servers = request.plan.spec.regions.primary, protection.servers(request.selected)
    names = [str(found) for found in servers if not origin(found, request.accounts, home)]
    if names:
        yield Problem(
            "NotFenced",
            f"{counted(len(names), 'server')} would not be stopped on the side that is left, "
            f"being no EC2 instance of an account that has a TargetAccount: {some(names)}; stop "
            "them by hand or by a task of phase Fence before users write there",
        )


def waves_still_exist(request: Request) -> Iterator[Problem]:
    """Resources are sorted into waves that the plan still has."""
    waves = {wave.name for wave in request.plan.spec.waves}
    lost = [str(found) for found in request.selected if found.resource.wave not in waves]
    if lost:
        yield Problem(
            "InventoryOutdated",
            f"{counted(len(lost), 'resource')} would be left behind, being sorted into waves "
            f"that the plan no longer has: {some(lost)}; wait for the next discovery",
        )


def _readiness(request: Request, *severities: str) -> Iterator[Problem]:
    said = {_LIVE} if any(map(protection.recovered, request.selected)) else set()
    for problem in readiness(request.plan.spec, request.inventories, request.selected):
        if problem.severity in severities and problem.reason not in said:
            yield Problem(
                problem.reason,
                f"{counted(problem.count, 'finding')}, such as {', '.join(problem.examples[:3])}: "
                f"{problem.message}",
            )


def nothing_blocks(request: Request) -> Iterator[Problem]:
    """No readiness finding says that something cannot be recovered."""
    if request.outward:
        yield from _readiness(request, "Blocking")


def allowed_by_name(request: Request) -> Iterator[Problem]:
    """The recovery roles may use what the run would: instance profiles, documents, their roles."""
    if not request.outward:
        return
    for name, account in request.known_accounts:
        if lacking := refused(account, named_in_run(name, request)):
            where = f"TargetAccount {name} ({account.spec.account_id})"
            yield Problem(NOT_ALLOWED, f"{where}: {some(lacking, 3)}")


def what_degrades(request: Request) -> Iterator[Problem]:
    """Readiness findings that cost something, but stop nothing."""
    if request.outward:
        yield from _readiness(request, "Degraded", "Warning")


def replication(request: Request) -> Iterator[Problem]:
    """Servers that do not replicate, or lag behind their objective."""
    by_reason: dict[str, list[protection.Shortcoming]] = {}
    for wrong in protection.shortcomings(request.plan.spec, request.losing):
        by_reason.setdefault(wrong.reason, []).append(wrong)
    for reason, wrongs in sorted(by_reason.items()):
        yield Problem(reason, f"{counted(len(wrongs), 'server')}: {protection.told(wrongs, 3)}")


def adopted(request: Request) -> Iterator[Problem]:
    """Servers that were recovered before; a Failover keeps them."""
    live = [str(found) for found in request.selected if protection.recovered(found)]
    if live and request.execution.spec.operation == "Failover":
        yield Problem(
            "RecoveryInstanceExists",
            f"{counted(len(live), 'server')} already recovered; the instances are verified and "
            f"kept, not launched anew: {some(live)}",
        )


def left_out(request: Request) -> Iterator[Problem]:
    """Resources that the run leaves behind."""
    reasons = (
        ("Excluded", "by tags"),
        ("NoWave", "without a wave"),
        ("SharedElsewhere", "being shared with applications that the plan does not move"),
    )
    for verdict, why in reasons:
        names = [str(f) for f in request.found if f.resource.verdict == verdict]
        if names:
            yield Problem(
                verdict, f"{counted(len(names), 'resource')} left out {why}: {some(names)}"
            )
    technologies = {
        f.resource.technology for f in request.found if f.resource.verdict == "NoAdapter"
    }
    if technologies:
        yield Problem("NoAdapter", f"no adapter for {', '.join(sorted(technologies))}; left out")


def tasks_left_out(request: Request) -> Iterator[Problem]:
    """Explicit tasks that the run leaves out."""
    names = [t.name for t in request.tasks if not known(t)]
    if names:
        yield Problem("Unsupported", f"explicit tasks that this version leaves out: {some(names)}")
