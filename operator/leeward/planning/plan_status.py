"""The whole status of a RecoveryPlan, conditions included, from what is known of it.

`Ready` says that the plan is valid, was discovered and could start; how well it is protected is
said by `Protected` alone, so that one lagging server does not hold up a roll-out that waits for
readiness (kstatus).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from leeward.api.account import TargetAccount
from leeward.api.common import Condition
from leeward.api.conditions import Reason, Type, drop_condition, set_condition
from leeward.api.inventory import RecoveryInventory
from leeward.api.marks import unsupported
from leeward.api.plan import RecoveryPlan
from leeward.api.plan_record import (
    AccountStatus,
    Compliance,
    ReadinessProblem,
    RecoveryPlanStatus,
    TechnologyCount,
)
from leeward.planning import (
    compliance,
    dependencies,
    drill,
    fencing,
    grouping,
    plan_accounts,
    protection,
)
from leeward.planning.digests import digest
from leeward.planning.explicit import resource_ids, runs_in
from leeward.planning.inventory import Located, located, of_plan
from leeward.planning.location import estate_location, wave_statuses
from leeward.planning.problem import Problem
from leeward.planning.readiness import of_accounts, readiness
from leeward.planning.taxonomy import TAXONOMY, Words
from leeward.planning.times import parse_time, render_time
from leeward.planning.wording import clip, counted, some

_MOST_TECHNOLOGIES: Final = 60
_MOST_PROBLEMS: Final = 40


@dataclass(frozen=True, slots=True)
class _Estate:
    """What is known of a plan."""

    plan: RecoveryPlan
    inventories: Sequence[RecoveryInventory]
    found: Sequence[Located]
    selected: Sequence[Located]
    accounts: Sequence[AccountStatus]
    compliance: Compliance
    readiness: Sequence[ReadinessProblem]
    valid: Sequence[Problem]
    changed: Sequence[str]
    now: datetime

    @property
    def tasks(self) -> int:
        """Explicit tasks that a Failover carries out."""
        waves = self.plan.spec.waves
        return sum(runs_in(task, "Failover") for wave in waves for task in wave.tasks)

    @property
    def numbers(self) -> dict[str, int]:
        """By wave: what a Failover works on; of hosted zones, the record sets of its tasks."""
        numbers = {wave.name: 0 for wave in self.plan.spec.waves}
        for found in self.selected:
            if found.resource.technology != "route53" and found.resource.wave in numbers:
                numbers[found.resource.wave] += 1
        for wave in self.plan.spec.waves:
            carried_out = [task for task in wave.tasks if runs_in(task, "Failover")]
            numbers[wave.name] += sum(len(resource_ids(task)) for task in carried_out)
        return numbers

    @property
    def undiscovered(self) -> list[str]:
        """Accounts that never answered."""
        return [account.name for account in self.accounts if account.discovered_at is None]

    @property
    def lost(self) -> list[str]:
        """Dependencies that do not hold, or of which nothing is known."""
        return [d.name for d in dependencies.current(self.plan) if d.state != "Holds"]

    @property
    def silent(self) -> list[str]:
        """Accounts that did not answer the last time."""
        return [account.name for account in self.accounts if account.problem]

    @property
    def missing(self) -> int:
        """Resources that vanished without a known deletion."""
        return sum(account.missing for account in self.accounts)


@dataclass(frozen=True, slots=True)
class _Says:
    """A condition before it has times; None in its place means that it is absent."""

    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""


def assess(
    plan: RecoveryPlan,
    accounts: Mapping[str, TargetAccount],
    inventories: Sequence[RecoveryInventory],
    *,
    now: datetime,
    valid: Sequence[Problem],
    previous: RecoveryPlanStatus,
    adapters: frozenset[str],
    words: Words = TAXONOMY,
) -> RecoveryPlanStatus:
    """The plan's status.

    `valid` is what `rules.problems_of` says; `adapters` are the technologies that this version can
    recover, `words` the values that tags may have. From `previous` come what runs wrote (history,
    active execution, `Recovery` as location) and the times at which conditions last changed.
    """
    estate = _estate(plan, accounts, inventories, valid, now, words)
    waves = wave_statuses(
        plan.spec, estate.selected, estate.numbers, previous, discovered=not estate.undiscovered
    )
    heard = [a.discovered_at for a in estate.accounts if a.discovered_at]
    return RecoveryPlanStatus(
        observed_generation=plan.metadata.generation,
        conditions=_conditions(estate, previous),
        summary=clip(_summary(estate), 256),
        location=estate_location(plan.spec.waves, waves),
        resources=sum(wave.resources for wave in waves),
        waves=waves,
        technologies=_technologies(estate.found, adapters),
        groups=grouping.groups(estate.selected, [w.name for w in plan.spec.waves], words),
        accounts=list(estate.accounts),
        compliance=estate.compliance if heard else None,
        readiness=list(estate.readiness),
        dependencies=dependencies.current(plan),
        discovered_at=max(heard, key=parse_time, default=None),
        inventory_digest=_digest(estate.found) if heard else None,
        active_execution=previous.active_execution,
        history=previous.history,
        last_drill=previous.last_drill,
        changed_since_drill=list(estate.changed),
        deferred_fence=previous.deferred_fence,
        unsupported=[clip(line, 256) for line in unsupported(plan)],
    )


def _estate(
    plan: RecoveryPlan,
    accounts: Mapping[str, TargetAccount],
    inventories: Sequence[RecoveryInventory],
    valid: Sequence[Problem],
    now: datetime,
    words: Words,
) -> _Estate:
    mine = of_plan(plan, inventories)
    found = located(mine)
    selected = [r for r in found if r.resource.verdict == "Selected"]
    return _Estate(
        plan=plan,
        inventories=mine,
        found=found,
        selected=selected,
        accounts=plan_accounts.accounts(plan, accounts, mine),
        compliance=compliance.report(found, words),
        readiness=[*of_accounts(plan.spec, accounts), *readiness(plan.spec, mine, selected)][
            :_MOST_PROBLEMS
        ],
        valid=valid,
        changed=drill.changes(plan, selected, mine),
        now=now,
    )


def _technologies(found: Sequence[Located], adapters: frozenset[str]) -> list[TechnologyCount]:
    counts = Counter(r.resource.technology for r in found)
    taken = Counter(r.resource.technology for r in found if r.resource.verdict == "Selected")
    return [
        TechnologyCount(
            technology=technology,
            count=count,
            adapter="Available" if technology in adapters else "None",
            selected=taken[technology],
        )
        for technology, count in sorted(counts.items())
    ][:_MOST_TECHNOLOGIES]


def _digest(found: Sequence[Located]) -> str:
    """Of everything that decides what is recovered; not of lag, which never stands still."""
    kept = ("id", "arn", "technology", "region", "tags", "verdict", "wave")
    return digest([[r.account, {k: r.resource.to_api().get(k) for k in kept}] for r in found])


def _summary(estate: _Estate) -> str:
    if estate.valid:
        more = f" (and {len(estate.valid) - 1} more)" if len(estate.valid) > 1 else ""
        return f"invalid: {clip(estate.valid[0].message, 220)}{more}"
    if estate.undiscovered:
        causes = [f"{a.name}: {a.problem}" for a in estate.accounts if a.problem]
        heard = len(estate.accounts) - len(estate.undiscovered)
        accounts = counted(len(estate.accounts), "account")
        return "; ".join([f"discovering: {heard} of {accounts} answered", *causes])
    found = [number for number in estate.numbers.values() if number]
    ready = f"{counted(sum(found), 'resource')} in {counted(len(found), 'wave')} ready"
    if not found:
        ready = "nothing to recover"
    return "; ".join([ready, *_reservations(estate)])


def _reservations(estate: _Estate) -> list[str]:
    """What the summary adds to the number of resources that are ready."""
    result = []
    verdicts = Counter(found.resource.verdict for found in estate.found)
    if verdicts["Excluded"]:
        result.append(f"{verdicts['Excluded']} excluded by tags")
    if verdicts["SharedElsewhere"]:
        result.append(f"{verdicts['SharedElsewhere']} shared with applications elsewhere")
    if verdicts["NoWave"]:
        result.append(f"{verdicts['NoWave']} without a wave of the plan")
    missing = {r.resource.technology for r in estate.found if r.resource.verdict == "NoAdapter"}
    if missing:
        has = "has" if len(missing) == 1 else "have"
        result.append(f"{some(sorted(missing), 8)} {has} no adapter")
    blocking = sum(p.count for p in estate.readiness if p.severity == "Blocking")
    if blocking:
        result.append(counted(blocking, "blocking finding"))
    if estate.silent:
        result.append(f"{counted(len(estate.silent), 'account')} silent")
    if estate.missing:
        result.append(f"{estate.missing} vanished")
    if estate.lost:
        many = "dependencies do" if len(estate.lost) > 1 else "dependency does"
        result.append(f"{len(estate.lost)} {many} not hold")
    return result


# --- conditions --------------------------------------------------------------------------------


def _empty(estate: _Estate) -> bool:
    return not estate.undiscovered and not estate.selected and not estate.tasks


def _ready(estate: _Estate) -> _Says:
    if estate.valid:
        problems = some([problem.message for problem in estate.valid], 10)
        return _Says("False", Reason.INVALID, problems)
    summary = _summary(estate)
    if estate.undiscovered:
        return _Says("False", Reason.DISCOVERING, summary)
    if _empty(estate):
        return _Says("False", Reason.NOTHING_SELECTED, summary)
    blocked = any(problem.severity == "Blocking" for problem in estate.readiness)
    degraded = blocked or estate.silent or estate.missing or estate.lost
    return _Says("True", Reason.DEGRADED if degraded else Reason.READY, summary)


def _reconciling(estate: _Estate) -> _Says | None:
    """Only the first discovery counts; later ones go on while the plan is Ready."""
    if estate.valid or not estate.undiscovered:
        return None
    return _Says("True", Reason.DISCOVERING, _summary(estate))


def _stalled(estate: _Estate) -> _Says | None:
    """People must change the plan, or the tags of the resources."""
    if not estate.valid and not _empty(estate):
        return None
    ready = _ready(estate)
    return _Says("True", ready.reason, ready.message)


def _discovered(estate: _Estate) -> _Says:
    problems = [f"{a.name}: {a.problem}" for a in estate.accounts if a.problem]
    if problems:
        return _Says("False", Reason.ACCOUNT_SILENT, f"did not answer: {some(problems)}")
    if estate.undiscovered:
        message = f"not heard of yet: {some(estate.undiscovered)}"
        return _Says("Unknown", Reason.DISCOVERING, message)
    if lost := [f"{a.missing} of {a.resources} of {a.name}" for a in estate.accounts if a.missing]:
        message = f"vanished, and nobody is known to have deleted them: {some(lost)}"
        return _Says("False", Reason.INVENTORY_SHRANK, message)
    number = counted(len(estate.found), "resource")
    accounts = counted(len(estate.accounts), "account")
    return _Says("True", Reason.DISCOVERED, f"{number} found in {accounts}")


def _compliant(estate: _Estate) -> _Says:
    if len(estate.undiscovered) == len(estate.accounts):
        return _Says("Unknown", Reason.DISCOVERING, "no account has answered yet")
    if estate.compliance.problems:
        kinds = [f"{problem.reason} ({problem.count})" for problem in estate.compliance.problems]
        left_out = counted(estate.compliance.excluded, "resource")
        return _Says("False", Reason.TAG_PROBLEMS, f"{left_out} left out: {some(kinds, 10)}")
    return _Says("True", Reason.TAGS_IN_ORDER)


def _protected(estate: _Estate) -> _Says:
    spec, servers = estate.plan.spec, protection.servers(estate.selected)
    if estate.undiscovered:
        return _Says("Unknown", Reason.DISCOVERING, f"unheard: {some(estate.undiscovered)}")
    if not servers:
        return _Says("Unknown", Reason.NOTHING_REPLICATES, "the plan selects no DRS source server")
    if wrong := protection.shortcomings(spec, servers):
        # The gravest reason names the condition: no replication before lag, lag before doubt.
        gravest = min(wrong, key=lambda p: _GRAVITY.index(p.reason)).reason
        message = f"{len(wrong)} of {counted(len(servers), 'server')}: "
        return _Says("False", gravest, message + some([p.message for p in wrong]))
    if old := protection.outdated(spec, estate.inventories, estate.now):
        return _Says("Unknown", Reason.INVENTORY_OLD, f"too long ago discovered: {some(old)}")
    return _Says("True", Reason.REPLICATING, f"{counted(len(servers), 'server')} replicating")


def _source_fenced(estate: _Estate) -> _Says | None:
    """Only a plan that was moved has a side that was left."""
    status = estate.plan.status
    if left := status.deferred_fence:
        back = [duty for duty in left if duty.seen == "Running"]
        summary = fencing.summary(back or left)
        if back:
            message = f"the side that was left answers again: {summary}; stop them there now"
            return _Says("False", Reason.SOURCE_RETURNED, message)
        message = f"{summary}; they are looked for until the side that was left answers again"
        return _Says("False", Reason.FENCE_DEFERRED, message)
    if status.location not in {"Recovery", "Mixed"}:
        return None
    return _Says("True", Reason.FENCED, "nothing of the last failover is left to be fenced")


def _drill_current(estate: _Estate) -> _Says:
    last = estate.plan.status.last_drill
    if last is None:
        return _Says("False", Reason.NEVER_DRILLED, "no Test of the whole plan has passed yet")
    what = f"{last.execution} of {last.completion_time}"
    if estate.changed:
        message = f"since drill {what}: {'; '.join(estate.changed)}"
        return _Says("False", Reason.CHANGED_SINCE_DRILL, message)
    return _Says("True", Reason.DRILL_PASSED, f"drill {what} passed, and nothing has changed")


_GRAVITY: Final = (Reason.NOT_REPLICATING, Reason.LAG_ABOVE_OBJECTIVE, Reason.LAG_UNKNOWN)

_CONDITIONS: Final[Mapping[str, Callable[[_Estate], _Says | None]]] = {
    Type.READY: _ready,
    Type.RECONCILING: _reconciling,
    Type.STALLED: _stalled,
    Type.DISCOVERED: _discovered,
    Type.COMPLIANT: _compliant,
    Type.PROTECTED: _protected,
    Type.SOURCE_FENCED: _source_fenced,
    Type.DRILL_CURRENT: _drill_current,
}


def _conditions(estate: _Estate, previous: RecoveryPlanStatus) -> list[Condition]:
    conditions = list(previous.conditions)
    for kind, speak in _CONDITIONS.items():
        says = speak(estate)
        if says is None:
            conditions = drop_condition(conditions, kind)
            continue
        new = Condition(
            type=kind,
            status=says.status,
            reason=says.reason,
            message=clip(says.message, 4096),
            last_transition_time=render_time(estate.now),
            observed_generation=estate.plan.metadata.generation,
        )
        conditions = set_condition(conditions, new)
    return conditions
