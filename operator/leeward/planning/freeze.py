"""The plan as one run carries it out: its tasks and gates, fixed before anything is touched.

Later edits of the plan change nothing in the run. Order between waves and phases is not written
into the tasks (`leeward.planning.waves` holds it); `dependsOn` carries the explicit edges alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Final, Literal, cast

from leeward.api.account import TargetAccount
from leeward.api.common import OnTrouble, RecoveryPhase
from leeward.api.execution import DRExecution, DRExecutionSpec, ExecutionGate
from leeward.api.gate_record import FrozenGate
from leeward.api.inventory import RecoveryInventory
from leeward.api.plan import Approvers, DrillNetwork, Gate, RecoveryPlan, RecoveryPlanSpec, Wave
from leeward.api.task import DRTaskSpec, ExecutionRef, TaskResource
from leeward.api.tasks import BLOCKS, ExplicitTask
from leeward.planning import explicit
from leeward.planning.digests import digest
from leeward.planning.inventory import Located, chunks, of_plan, selected
from leeward.planning.waves import CLOSING, PHASES

CHUNK: Final = 100
"""Resources that one DRTask works on."""
TASK_TIMEOUT: Final = "2h"
GATE_TIMEOUT: Final = "30m"
TECHNOLOGY_PHASES: Final[Mapping[str, Collection[str]]] = {
    "drs": ("Instantiate", "Activate", "Cleanup"),
}
"""Phases that a technology has; for others Instantiate and Activate are assumed."""
_COMPASS: Final = {"north", "south", "east", "west", "central"}


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
        )


@dataclass(frozen=True, slots=True)
class FrozenTask:
    """A DRTask before it is written."""

    name: str
    spec: DRTaskSpec
    digest: str
    """Of the spec as it is stored."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """What a run will do."""

    tasks: tuple[FrozenTask, ...]
    """In the order in which stages run."""
    gates: tuple[PlannedGate, ...]
    """In the order in which the run meets them."""
    digest: str
    """Of all tasks and gates."""


def region_short(region: str) -> str:
    """A Region's name in an object's name: `us-east-2` → `use2`, `ap-southeast-1` → `apse1`."""
    head, *words, number = region.split("-")
    return head + "".join(_initials(word) for word in words) + number


def _initials(word: str) -> str:
    for first in _COMPASS:
        rest = word.removeprefix(first)
        if word.startswith(first) and rest in _COMPASS:
            return first[0] + rest[0]
    return word[:1]


# --- gates -------------------------------------------------------------------------------------


def gate_name(wave: str, gate: Gate, place: int) -> str:
    """The gate's name: its own, or `wave-WAVE`, with the phase for all but the first (place 0)."""
    if gate.name:
        return gate.name
    return f"wave-{wave}" if place == 0 else f"wave-{wave}-{gate.before.lower()}"


def ceilings(plan: RecoveryPlanSpec, accounts: Mapping[str, TargetAccount]) -> tuple[int, bool]:
    """Approvals that the accounts demand at least, and whether they demand four eyes."""
    allows = [accounts[n].spec.allow for n in explicit.run_accounts(plan) if n in accounts]
    least = max((allow.min_approvals for allow in allows), default=0)
    return least, any(allow.four_eyes == "Required" for allow in allows)


def planned_gates(
    execution: DRExecutionSpec, plan: RecoveryPlanSpec, accounts: Mapping[str, TargetAccount]
) -> tuple[PlannedGate, ...]:
    """The gates of a run: those of the plan, then those that the execution adds.

    Where the execution adds one in the place of one of the plan's, the plan's stays, with the
    larger number of approvals and the stricter rule on four eyes. A gate before Fence stops
    Instantiate, which comes first as long as there is no Fence phase. Gates before phases that
    the operation does not have are left out.
    """
    inside = PHASES.get(execution.operation, ())
    phases = (*inside, *CLOSING.get(execution.operation, ()))
    found: list[PlannedGate] = []
    for ordinal, wave in enumerate(plan.waves, start=1):
        extra = [gate for gate in execution.gates if gate.wave == wave.name]
        found += _wave_gates(wave, ordinal, extra, plan, ceilings(plan, accounts))
    kept = [gate for gate in found if gate.before in phases]
    closing = sorted((g for g in kept if g.before not in inside), key=lambda g: -g.ordinal)
    running = sorted(
        (g for g in kept if g.before in inside), key=lambda g: (g.ordinal, phases.index(g.before))
    )
    return (*running, *closing)


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
        before="Instantiate" if gate.before == "Fence" else gate.before,
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


# --- tasks -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Run:
    """What every task of the run is made from."""

    execution: DRExecution
    plan: RecoveryPlan
    accounts: Mapping[str, TargetAccount]
    phases: Mapping[str, Collection[str]]

    def drill_network(self, account_id: str) -> DrillNetwork | None:
        if self.execution.spec.operation != "Test":
            return None
        networks = self.plan.spec.drill.networks
        return next((n for n in networks if n.account_id == account_id), None)

    def has_phase(self, technology: str, phase: str) -> bool:
        return phase in self.phases.get(technology, ("Instantiate", "Activate"))


@dataclass(frozen=True, slots=True)
class _Stage:
    wave: Wave
    ordinal: int
    phase: RecoveryPhase

    def prefix(self, execution: str) -> str:
        return f"{execution}-w{self.ordinal}-{self.phase.lower()}"


def freeze(
    execution: DRExecution,
    plan: RecoveryPlan,
    accounts: Mapping[str, TargetAccount],
    inventories: Sequence[RecoveryInventory],
    *,
    phases: Mapping[str, Collection[str]] = TECHNOLOGY_PHASES,
) -> Frozen:
    """The tasks and gates of the run.

    `phases` says which phases a technology has. Preflight comes first: a TargetAccount that is
    missing raises KeyError here.
    """
    run = _Run(execution, plan, accounts, phases)
    found = selected(of_plan(plan, inventories))
    resources = [r for r in found if r.resource.technology != "route53"]
    tasks = []
    for stage in _stages(execution.spec.operation, plan.spec.waves):
        mine = [r for r in resources if r.resource.wave == stage.wave.name]
        dealt = list(_dealt(run, stage, mine))
        specs = [*dealt, *_explicit(run, stage, [name for name, _ in dealt])]
        tasks += [FrozenTask(name, spec, digest(spec.to_api())) for name, spec in specs]
    gates = planned_gates(execution.spec, plan.spec, accounts)
    contents = {
        "tasks": [[task.name, task.digest] for task in tasks],
        "gates": [gate.frozen().to_api() for gate in gates],
    }
    return Frozen(tuple(tasks), gates, digest(contents))


def _stages(operation: str, waves: Sequence[Wave]) -> Iterator[_Stage]:
    numbered = list(enumerate(waves, start=1))
    for ordinal, wave in numbered:
        for phase in PHASES.get(operation, ()):
            yield _Stage(wave, ordinal, cast(RecoveryPhase, phase))
    for ordinal, wave in reversed(numbered):
        for phase in CLOSING.get(operation, ()):
            yield _Stage(wave, ordinal, cast(RecoveryPhase, phase))


def _dealt(
    run: _Run, stage: _Stage, resources: Sequence[Located]
) -> Iterator[tuple[str, DRTaskSpec]]:
    """Tasks for resources that tags found: by technology and account, in chunks sorted by ARN."""

    def unit(found: Located) -> tuple[str, str]:
        return found.resource.technology, found.account

    region = region_short(run.plan.spec.regions.recovery)
    ordered = sorted(resources, key=lambda r: (*unit(r), r.resource.arn, r.resource.id))
    for (technology, account), group in groupby(ordered, key=unit):
        if not run.has_phase(technology, stage.phase):
            continue
        for part, chunk in enumerate(chunks(list(group), CHUNK)):
            spec = _spec(run, stage, technology, account, [_resource(r) for r in chunk])
            prefix = stage.prefix(run.execution.metadata.name)
            yield f"{prefix}-{technology}-{spec.account_id}-{region}-{part}", spec


def _resource(found: Located) -> TaskResource:
    resource = found.resource
    return TaskResource(
        id=resource.id, arn=resource.arn, name=resource.name, attributes=resource.attributes
    )


def _explicit(run: _Run, stage: _Stage, dealt: Sequence[str]) -> Iterator[tuple[str, DRTaskSpec]]:
    """The plan's explicit tasks of the stage, in the plan's order.

    They wait for what tags put into the same stage: a name must not point at servers that do not
    run yet. Fencing waits for nothing but what the plan says, lest one writer that cannot be
    stopped keep the others going.
    """
    plan, names = run.plan.spec, _explicit_names(run)
    first = explicit.order(plan)
    for task in stage.wave.tasks:
        if task.name not in names or task.recovery_phase != stage.phase:
            continue
        account = explicit.account_of(task, plan)
        work = explicit.work(task, plan, run.accounts[account])
        spec = _spec(run, stage, work.technology, account, list(work.resources), task)
        waits = () if stage.phase == "Fence" else dealt
        update = {
            "region": work.region,
            "depends_on": [*waits, *(names[name] for name in first[task.name] if name in names)],
            BLOCKS[task.type]: getattr(task, BLOCKS[task.type]),
        }
        yield names[task.name], spec.model_copy(update=update)


def _explicit_names(run: _Run) -> dict[str, str]:
    """By name of an explicit task that is carried out: the name of its DRTask."""
    execution = run.execution
    return {
        task.name: f"{execution.metadata.name}-w{ordinal}-{task.recovery_phase.lower()}-{task.name}"
        for ordinal, wave in enumerate(run.plan.spec.waves, start=1)
        for task in wave.tasks
        if explicit.runs_in(task, execution.spec.operation)
    }


def _spec(
    run: _Run,
    stage: _Stage,
    technology: str,
    account: str,
    resources: list[TaskResource],
    task: ExplicitTask | None = None,
) -> DRTaskSpec:
    execution, regions, target = run.execution, run.plan.spec.regions, run.accounts[account].spec
    timeout = (task.timeout if task else None) or stage.wave.task_timeout or TASK_TIMEOUT
    return DRTaskSpec(
        execution_ref=ExecutionRef(name=execution.metadata.name, uid=execution.metadata.uid),
        plan=run.plan.metadata.name,
        operation=execution.spec.operation,
        mode=execution.spec.mode,
        wave=stage.wave.name,
        wave_ordinal=stage.ordinal,
        recovery_phase=stage.phase,
        technology=technology,
        task=task.name if task else None,
        account=account,
        account_id=target.account_id,
        region=regions.recovery,
        source_region=regions.primary,
        role_arn=target.recovery_role_arn,
        resources=resources,
        timeout=timeout,
        drill_network=None if task else run.drill_network(target.account_id),
    )
