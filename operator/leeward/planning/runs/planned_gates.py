"""The gates of a run, with everything resolved that people left open.

They come from the plan and from the execution, which may add gates and make the plan's stricter,
but takes none away.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final, Literal, cast

from leeward.api.account import TargetAccount
from leeward.api.chain import FOLLOWS_LABEL
from leeward.api.common import OnTrouble, RecoveryPhase
from leeward.api.execution import DRExecution, DRExecutionSpec, ExecutionGate
from leeward.api.gate_record import FrozenGate
from leeward.api.plan import Approvers, Gate, RecoveryPlanSpec, Wave
from leeward.api.task import DRTaskSpec
from leeward.planning.estate.scope import waves_of
from leeward.planning.runs.explicit import run_accounts
from leeward.planning.runs.gates import destroys
from leeward.planning.runs.waves import CLOSING, PHASES

GATE_TIMEOUT: Final = "30m"
LAG: Final = "lag-"
BEGIN: Final = "begin-"
CLEANUP: Final = "cleanup-"
RESERVED: Final = (LAG, BEGIN, CLEANUP)
"""How names of gates begin that are put into a run whatever people said. No other gate may be named
so: with two of one name an answer would not say which is meant, and no status could hold both."""


@dataclass(frozen=True, slots=True)
class PlannedGate:
    """A gate of a run, with everything resolved that people left open."""

    wave: str
    ordinal: int
    before: RecoveryPhase
    name: str
    required: int
    approvers: Approvers
    four_eyes: Literal["Required", "Off"]
    timeout: str
    """A Go duration."""
    on_timeout: OnTrouble
    on_reject: OnTrouble
    data_loss: Literal["None", "Question"] = "None"
    opening: bool = False
    """Whether the run begins with it."""

    def frozen(self) -> FrozenGate:
        """The gate as the execution's status keeps it."""
        return FrozenGate(
            name=self.name,
            wave=self.wave,
            before=self.before,
            required=self.required,
            approvers=self.approvers,
            four_eyes=self.four_eyes,
            timeout=self.timeout,
            on_timeout=self.on_timeout,
            on_reject=self.on_reject,
            data_loss=self.data_loss,
            opening=self.opening,
        )


@dataclass(frozen=True, slots=True)
class Opening:
    """Where a run begins with a gate."""

    wave: str
    phase: RecoveryPhase
    prefix: str
    """Beginning of the gate's name, if people put none there: BEGIN or CLEANUP."""


def gate_name(wave: str, gate: Gate, place: int) -> str:
    """The gate's name: its own, or `wave-WAVE`, with the phase for all but the first (place 0)."""
    if gate.name:
        return gate.name
    return f"wave-{wave}" if place == 0 else f"wave-{wave}-{gate.before.lower()}"


def ceilings(plan: RecoveryPlanSpec, accounts: Mapping[str, TargetAccount]) -> tuple[int, bool]:
    """Approvals that the accounts demand at least, and whether they demand four eyes."""
    allows = [accounts[n].spec.allow for n in run_accounts(plan) if n in accounts]
    least = max((allow.min_approvals for allow in allows), default=0)
    return least, any(allow.four_eyes == "Required" for allow in allows)


def opening(
    execution: DRExecution,
    plan: RecoveryPlanSpec,
    accounts: Mapping[str, TargetAccount],
    first: DRTaskSpec | None,
) -> Opening | None:
    """The gate with which the run begins, whatever the plan says. `first` is its first task.

    One that follows another run does not go on by itself, nothing is destroyed unasked, and what an
    account demands does not go away with the gates of a plan. A drill changes nothing that serves.
    """
    if first is None:
        return None
    operation = execution.spec.operation
    follows = FOLLOWS_LABEL in execution.metadata.labels
    destructive = destroys(operation, first.recovery_phase)
    demanded = operation != "Test" and floored(plan, accounts)
    if not (follows or destructive or demanded):
        return None
    prefix = CLEANUP if destructive and not follows else BEGIN
    return Opening(first.wave, first.recovery_phase, prefix)


def demands_people(account: TargetAccount) -> bool:
    """Whether nothing but a drill goes on in the account without people's approval."""
    allow = account.spec.allow
    refused = allow.automatic_approval == "Refused"
    return refused or allow.min_approvals > 0 or allow.four_eyes == "Required"


def floored(plan: RecoveryPlanSpec, accounts: Mapping[str, TargetAccount]) -> bool:
    """Whether runs of the plan begin with a gate because of an account of it; Tests do not."""
    return any(demands_people(accounts[n]) for n in run_accounts(plan) if n in accounts)


def reserved(name: str) -> str:
    """The beginning of the gate's name that is the operator's own; empty: it is free."""
    return next((prefix for prefix in RESERVED if name.startswith(prefix)), "")


def planned_gates(
    execution: DRExecutionSpec,
    plan: RecoveryPlanSpec,
    accounts: Mapping[str, TargetAccount],
    losing: Collection[str] = (),
    opening: Opening | None = None,
) -> tuple[PlannedGate, ...]:
    """The gates of a run: those of the plan, then those that the execution adds.

    Where the execution adds one in the place of one of the plan's, the plan's stays, with the
    larger number of approvals and the stricter rule on four eyes. A gate before Fence stops the
    wave before it does anything: where the operation has no Fence it stands before the first phase
    that it has, and if another stands there, is asked before that one. Other gates before phases
    that the operation does not have are left out.

    `losing` are waves in which data would be lost, because servers lag beyond their objective or
    nobody knows how far: that is a question at the gate before Activate, and a wave without one
    gets one for it. `opening` is a place that has a gate, or one before it, whatever people said.
    """
    inside = PHASES.get(execution.operation, ())
    phases = (*inside, *CLOSING.get(execution.operation, ()))
    found: list[PlannedGate] = []
    for ordinal, wave in waves_of(execution, plan):
        extra = [gate for gate in execution.gates if gate.wave == wave.name]
        gates = _wave_gates(wave, ordinal, extra, plan, ceilings(plan, accounts))
        gates.sort(key=lambda g: g.before != "Fence")  # first also where it shares a place
        gates = [g if g.before in phases else _earliest(g, inside) for g in gates]
        if opening is not None and opening.wave == wave.name:
            upto = phases[: phases.index(opening.phase) + 1]
            gates = _opened(gates, opening, upto, ordinal, plan, accounts)
        found += _questioned(gates, wave, ordinal, plan, accounts) if wave.name in losing else gates
    kept = [gate for gate in found if gate.before in phases]
    closing = sorted((g for g in kept if g.before not in inside), key=lambda g: -g.ordinal)
    running = sorted(
        (g for g in kept if g.before in inside), key=lambda g: (g.ordinal, phases.index(g.before))
    )
    return (*running, *closing)


def _opened(
    gates: Sequence[PlannedGate],
    opening: Opening,
    upto: Collection[str],
    ordinal: int,
    plan: RecoveryPlanSpec,
    accounts: Mapping[str, TargetAccount],
) -> list[PlannedGate]:
    """The gates of the wave with which the run begins: there is one before its first work.

    `upto` are the phases of the operation up to that of the first work.
    """
    if not any(gate.before in upto for gate in gates):
        extra, least = Gate(before=opening.phase), ceilings(plan, accounts)
        name = f"{opening.prefix}{opening.wave}"
        gates = [_planned(extra, name, opening.wave, ordinal, plan, least), *gates]
    return [replace(gate, opening=gate.before in upto) for gate in gates]


def _earliest(gate: PlannedGate, inside: Sequence[str]) -> PlannedGate:
    """A gate before Fence, in an operation that has none, stands before what comes first."""
    if gate.before != "Fence" or not inside:
        return gate
    return replace(gate, before=cast(RecoveryPhase, inside[0]))


def _questioned(
    gates: Sequence[PlannedGate],
    wave: Wave,
    ordinal: int,
    plan: RecoveryPlanSpec,
    accounts: Mapping[str, TargetAccount],
) -> list[PlannedGate]:
    """The gates of a wave that would lose data: the one before Activate asks about it."""
    if not any(gate.before == "Activate" for gate in gates):
        extra, least = Gate(before="Activate"), ceilings(plan, accounts)
        question = _planned(extra, f"{LAG}{wave.name}", wave.name, ordinal, plan, least)
        # Accepting the loss is the answer, beside the approvals that the accounts demand.
        gates = [*gates, replace(question, required=least[0])]
    return [replace(g, data_loss="Question") if g.before == "Activate" else g for g in gates]


def _wave_gates(
    wave: Wave,
    ordinal: int,
    extra: Sequence[ExecutionGate],
    plan: RecoveryPlanSpec,
    least: tuple[int, bool],
) -> list[PlannedGate]:
    """One gate for each place of the wave; what comes later in the lists only makes it stricter."""
    gates: dict[str, PlannedGate] = {}
    ordered: list[Gate] = [*wave.gates, *extra]
    for place, gate in enumerate(ordered):
        new = _planned(gate, gate_name(wave.name, gate, place), wave.name, ordinal, plan, least)
        known = gates.get(new.before)
        gates[new.before] = _stricter(known, new) if known else new
    return list(gates.values())


def _planned(
    gate: Gate,
    name: str,
    wave: str,
    ordinal: int,
    plan: RecoveryPlanSpec,
    least: tuple[int, bool],
) -> PlannedGate:
    default = plan.approval
    four_eyes = gate.four_eyes or default.four_eyes or "Off"
    return PlannedGate(
        wave=wave,
        ordinal=ordinal,
        before=gate.before,
        name=name,
        required=max(gate.required or default.required or 1, least[0]),
        approvers=gate.approvers or default.approvers or Approvers(),
        four_eyes="Required" if least[1] else four_eyes,
        timeout=gate.timeout or default.timeout or GATE_TIMEOUT,
        on_timeout=gate.on_timeout or default.on_timeout or "Hold",
        on_reject=gate.on_reject or default.on_reject or "Hold",
    )


def _stricter(known: PlannedGate, new: PlannedGate) -> PlannedGate:
    fields = asdict(known) | {"approvers": known.approvers}
    fields["required"] = max(known.required, new.required)
    if new.four_eyes == "Required":
        fields["four_eyes"] = "Required"
    return PlannedGate(**fields)
