"""The summary and the conditions of a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from leeward.api.common import Condition
from leeward.api.conditions import Reason, Type, drop_condition, set_condition
from leeward.api.plan_record import (
    RecoveryPlanStatus,
)
from leeward.planning.estate import protection
from leeward.planning.launch import launch_estate
from leeward.planning.plans import drill
from leeward.planning.plans.plan_estate import Estate
from leeward.planning.runs import fencing, left_stopped
from leeward.planning.times import render_time
from leeward.planning.wording import clip, counted, some


@dataclass(frozen=True, slots=True)
class _Says:
    """A condition before it has times; None in its place means that it is absent."""

    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""


def summary(estate: Estate) -> str:
    """One line for people, on what would be recovered and what stands against it."""
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


def _reservations(estate: Estate) -> list[str]:
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
    if estate.launch and estate.launch.problem_count:
        result.append(counted(estate.launch.problem_count, "problem") + " of launch settings")
    if estate.silent:
        result.append(f"{counted(len(estate.silent), 'account')} silent")
    if estate.lost:
        many = "dependencies do" if len(estate.lost) > 1 else "dependency does"
        result.append(f"{len(estate.lost)} {many} not hold")
    if estate.missing:
        result.append(f"{estate.missing} vanished")
    if idle := sum(s.count for s in estate.plan.status.left_stopped):
        result.append(f"{idle} stopped by a run that ended")
    return result


def _empty(estate: Estate) -> bool:
    return not estate.undiscovered and not estate.selected and not estate.tasks


def _ready(estate: Estate) -> _Says:
    if estate.valid:
        problems = some([problem.message for problem in estate.valid], 10)
        return _Says("False", Reason.INVALID, problems)
    told = summary(estate)
    if estate.undiscovered:
        return _Says("False", Reason.DISCOVERING, told)
    if _empty(estate):
        return _Says("False", Reason.NOTHING_SELECTED, told)
    blocked = any(problem.severity == "Blocking" for problem in estate.readiness)
    wrong = estate.launch and estate.launch.problem_count
    degraded = blocked or estate.silent or estate.lost or estate.missing or wrong
    return _Says("True", Reason.DEGRADED if degraded else Reason.READY, told)


def _reconciling(estate: Estate) -> _Says | None:
    """Only the first discovery counts; later ones go on while the plan is Ready."""
    if estate.valid or not estate.undiscovered:
        return None
    return _Says("True", Reason.DISCOVERING, summary(estate))


def _stalled(estate: Estate) -> _Says | None:
    """People must change the plan, or the tags of the resources."""
    if not estate.valid and not _empty(estate):
        return None
    ready = _ready(estate)
    return _Says("True", ready.reason, ready.message)


def _discovered(estate: Estate) -> _Says:
    if silent := [a for a in estate.accounts if a.problem]:
        who = f"{len(silent)} of {counted(len(estate.accounts), 'account')} did not answer: "
        first = f"{silent[0].name}: {clip(silent[0].problem or '', 400)}"
        others = some([a.name for a in silent[1:]])
        more = f"; nor did {others}, see status.accounts" if others else ""
        return _Says("False", Reason.ACCOUNT_SILENT, who + first + more)
    if estate.undiscovered:
        message = f"not heard of yet: {some(estate.undiscovered)}"
        return _Says("Unknown", Reason.DISCOVERING, message)
    if lost := [f"{a.missing} of {a.resources} of {a.name}" for a in estate.accounts if a.missing]:
        message = f"vanished, and nobody is known to have deleted them: {some(lost)}"
        return _Says("False", Reason.INVENTORY_SHRANK, message)
    number = counted(len(estate.found), "resource")
    accounts = counted(len(estate.accounts), "account")
    return _Says("True", Reason.DISCOVERED, f"{number} found in {accounts}")


def _compliant(estate: Estate) -> _Says:
    if len(estate.undiscovered) == len(estate.accounts):
        return _Says("Unknown", Reason.DISCOVERING, "no account has answered yet")
    if estate.compliance.problems:
        kinds = [f"{problem.reason} ({problem.count})" for problem in estate.compliance.problems]
        left_out = counted(estate.compliance.excluded, "resource")
        return _Says("False", Reason.TAG_PROBLEMS, f"{left_out} left out: {some(kinds, 10)}")
    number = counted(estate.compliance.compliant, "resource")
    return _Says("True", Reason.TAGS_IN_ORDER, f"the tags of {number} are in order")


def _protected(estate: Estate) -> _Says:
    spec, servers = estate.plan.spec, estate.replicating
    if wrong := protection.shortcomings(spec, servers):
        # The gravest reason names the condition: no replication before lag, lag before doubt.
        gravest = min(wrong, key=lambda p: _GRAVITY.index(p.reason)).reason
        message = f"{len(wrong)} of {counted(len(servers), 'server')}: "
        return _Says("False", gravest, message + protection.told(wrong))
    if estate.undiscovered:
        return _Says("Unknown", Reason.DISCOVERING, f"unheard: {some(estate.undiscovered)}")
    if not servers:
        return _Says("Unknown", Reason.NOTHING_REPLICATES, "the plan selects no DRS source server")
    if old := protection.outdated(spec, estate.inventories, estate.now):
        return _Says("Unknown", Reason.INVENTORY_OLD, f"too long ago discovered: {some(old)}")
    return _Says("True", Reason.REPLICATING, f"{counted(len(servers), 'server')} replicating")


def _source_fenced(estate: Estate) -> _Says | None:
    """Only a plan that was moved has a side that was left, or one that a run began to move."""
    status = estate.plan.status
    said = fencing.verdict(status)
    if not status.left_stopped:
        return _Says(*said) if said else None
    idle = left_stopped.summary(status.left_stopped)
    if said and said[0] == "False":
        return _Says(said[0], said[1], f"{said[2]}. Besides, {idle}")
    return _Says("True", Reason.LEFT_STOPPED, idle)


def _drill_current(estate: Estate) -> _Says:
    return _Says(*drill.verdict(estate.plan.status.last_drill, estate.changed))


def _launch_settings(estate: Estate) -> _Says | None:
    """Only a plan with layers has launch settings of its own."""
    return _Says(*launch_estate.verdict(estate.launch)) if estate.launch else None


_GRAVITY: Final = (Reason.NOT_REPLICATING, Reason.LAG_ABOVE_OBJECTIVE, Reason.LAG_UNKNOWN)

_CONDITIONS: Final[Mapping[str, Callable[[Estate], _Says | None]]] = {
    Type.READY: _ready,
    Type.RECONCILING: _reconciling,
    Type.STALLED: _stalled,
    Type.DISCOVERED: _discovered,
    Type.COMPLIANT: _compliant,
    Type.PROTECTED: _protected,
    Type.SOURCE_FENCED: _source_fenced,
    Type.DRILL_CURRENT: _drill_current,
    Type.LAUNCH_SETTINGS_VALID: _launch_settings,
}


def conditions(estate: Estate, previous: RecoveryPlanStatus) -> list[Condition]:
    """The conditions as they are now; of those that do not change, the time stays."""
    result = list(previous.conditions)
    for kind, speak in _CONDITIONS.items():
        says = speak(estate)
        if says is None:
            result = drop_condition(result, kind)
            continue
        new = Condition(
            type=kind,
            status=says.status,
            reason=says.reason,
            message=clip(says.message, 4096),
            last_transition_time=render_time(estate.now),
            observed_generation=estate.plan.metadata.generation,
        )
        result = set_condition(result, new)
    return result
