"""The plan as one run carries it out: its tasks and gates, fixed before anything is touched.

Later edits of the plan change nothing in the run. Order between waves and phases is not written
into the tasks (`leeward.planning.runs.waves` holds it); `dependsOn` carries the explicit edges
alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, cast

from leeward.api.account import TargetAccount
from leeward.api.common import RecoveryPhase
from leeward.api.execution import DRExecution, WaveProgress
from leeward.api.inventory import RecoveryInventory
from leeward.api.plan import DrillNetwork, RecoveryPlan, Wave
from leeward.api.task import DRTaskSpec, ExecutionRef, TaskResource
from leeward.api.tasks import BLOCKS, ExplicitTask
from leeward.planning.digests import digest
from leeward.planning.durations import render
from leeward.planning.estate.direction import (
    OUTWARD,
    away,
    losing,
    recovery_instance,
    sides,
    takes,
    toward,
)
from leeward.planning.estate.inventory import Located, chunks, of_plan, selected
from leeward.planning.estate.protection import servers, shortcoming, span
from leeward.planning.estate.scope import taken, waves_of
from leeward.planning.estate.taxonomy import RPO, RTO, minutes
from leeward.planning.runs import explicit
from leeward.planning.runs.fencing import may_fence
from leeward.planning.runs.planned_gates import PlannedGate, opening, planned_gates
from leeward.planning.runs.tolerance import criticality, required
from leeward.planning.runs.waves import CLOSING, PHASES

CHUNK: Final = 100
"""Resources that one DRTask works on."""
TASK_TIMEOUT: Final = "2h"
REPLICATE_TIMEOUT: Final = "168h"
"""Whole disks are copied over a wide-area link."""
TECHNOLOGY_PHASES: Final[Mapping[str, Collection[str]]] = {
    "drs": ("Instantiate", "Activate", "Replicate", "Cleanup"),
}
"""Phases that a technology has; for others Instantiate and Activate are assumed."""
_FENCER: Final = "ec2"
"""Technology that stops the instances which DRS servers replicate."""
_COMPASS: Final = {"north", "south", "east", "west", "central"}


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

    waves: tuple[WaveProgress, ...]
    """The run's waves, none of which has begun."""
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


@dataclass(frozen=True, slots=True)
class _Run:
    """What every task of the run is made from."""

    execution: DRExecution
    plan: RecoveryPlan
    accounts: Mapping[str, TargetAccount]
    phases: Mapping[str, Collection[str]]
    leading: Collection[str]
    sizes: explicit.RecordedSizes

    def drill_network(self, account_id: str) -> DrillNetwork | None:
        if self.execution.spec.operation != "Test":
            return None
        networks = self.plan.spec.drill.networks
        return next((n for n in networks if n.account_id == account_id), None)

    def has_phase(self, technology: str, phase: str) -> bool:
        return phase in self.phases.get(technology, ("Instantiate", "Activate"))

    @property
    def operation(self) -> str:
        return self.execution.spec.operation

    @property
    def regions(self) -> tuple[str, str]:
        """The Region that serves when the run is through, and the other one."""
        return sides(self.operation, self.plan.spec.regions)

    @property
    def losing(self) -> str:
        return losing(self.operation, self.plan.spec.regions)


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
    leading: Collection[str] = (),
    sizes: explicit.RecordedSizes = explicit.NO_SIZES,
) -> Frozen:
    """The tasks and gates of the run.

    `phases` says which phases a technology has; `leading` are technologies whose Instantiate may
    run ahead of its wave in this run, because it is inert and fixes no recovery point too soon;
    `sizes` are those of Auto Scaling groups before a Failover emptied them.
    Preflight comes first: a TargetAccount that is missing raises KeyError here.
    """
    run = _Run(execution, plan, accounts, phases, leading, sizes)
    waves = waves_of(execution.spec, plan.spec)
    found = taken(execution.spec, plan.spec, selected(of_plan(plan, inventories)))
    resources = [
        toward(run.operation, r)
        for r in found
        if r.resource.technology != "route53" and takes(run.operation, r)
    ]
    tasks = []
    for stage in _stages(run.operation, waves):
        if stage.phase == "Fence" and not may_fence(run.operation, plan, stage.wave.name):
            continue
        mine = [r for r in resources if r.resource.wave == stage.wave.name]
        dealt = list(_dealt(run, stage, mine))
        goes = run.operation in OUTWARD or away(plan, stage.wave.name, found)
        specs = [*dealt, *(_explicit(run, stage, [name for name, _ in dealt]) if goes else ())]
        tasks += [FrozenTask(name, spec, digest(spec.to_api())) for name, spec in specs]
    first = opening(execution, plan.spec, accounts, tasks[0].spec if tasks else None)
    gates = planned_gates(
        execution.spec, plan.spec, accounts, losing=_losing(run, resources), opening=first
    )
    progress = tuple(_progress(ordinal, wave, tasks) for ordinal, wave in waves)
    contents = {
        "waves": [wave.to_api() for wave in progress],
        "tasks": [[task.name, task.digest] for task in tasks],
        "gates": [gate.frozen().to_api() for gate in gates],
    }
    return Frozen(progress, tuple(tasks), gates, digest(contents))


def _losing(run: _Run, resources: Sequence[Located]) -> set[str]:
    """Waves whose servers lag beyond their objective, or nobody knows how far."""
    if run.operation not in {"Failover", "Failback"}:
        return set()  # users are not sent over
    objective = span(run.plan.spec.objectives.rpo)
    return {
        found.resource.wave
        for found in servers(resources)
        if found.resource.wave and shortcoming(found, objective)
    }


def _progress(ordinal: int, wave: Wave, tasks: Sequence[FrozenTask]) -> WaveProgress:
    mine = [task.spec for task in tasks if task.spec.wave == wave.name]
    return WaveProgress(
        name=wave.name,
        ordinal=ordinal,
        state="NotStarted",
        required=required(wave.tolerance, mine),
    )


def _stages(operation: str, numbered: Sequence[tuple[int, Wave]]) -> Iterator[_Stage]:
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

    if stage.phase == "Fence":
        yield from _fenced(run, stage, resources)
        return

    def unit(found: Located) -> tuple[str, str]:
        return found.resource.technology, found.account

    region = region_short(run.regions[0])
    ordered = sorted(resources, key=lambda r: (*unit(r), r.resource.arn, r.resource.id))
    for (technology, account), group in groupby(ordered, key=unit):
        if not run.has_phase(technology, stage.phase):
            continue
        for part, chunk in enumerate(chunks(list(group), CHUNK)):
            members = [_resource(stage, r) for r in chunk]
            spec = _spec(run, stage, technology, account, members)
            prefix = stage.prefix(run.execution.metadata.name)
            yield f"{prefix}-{technology}-{spec.account_id}-{region}-{part}", spec


def _resource(stage: _Stage, found: Located) -> TaskResource:
    resource, wave = found.resource, stage.wave
    rpo, rto = (minutes(resource.tags.get(tag)) for tag in (RPO, RTO))
    return TaskResource(
        id=resource.id,
        arn=resource.arn,
        name=resource.name,
        attributes=resource.attributes,
        criticality=criticality(wave.tolerance, resource.id, resource.arn),
        rpo_target=render(rpo) if rpo else None,
        rto_target=render(rto) if rto else None,
        launch=resource.launch if stage.phase == "Instantiate" else None,
    )


def _fenced(
    run: _Run, stage: _Stage, resources: Sequence[Located]
) -> Iterator[tuple[str, DRTaskSpec]]:
    """Tasks that stop the EC2 instances which serve for the wave's servers on the losing side."""
    plan = run.plan.spec
    if plan.fence.servers == "Leave":
        return
    origins: dict[str, dict[str, TaskResource]] = {}
    for found in servers(resources):
        if source := _writer(run, found):
            account, instance = source
            origins.setdefault(account, {})[instance.id] = instance
    region = region_short(run.losing)
    for account, instances in sorted(origins.items()):
        ordered = sorted(instances.values(), key=lambda i: i.arn)
        for part, chunk in enumerate(chunks(ordered, CHUNK)):
            spec = _spec(run, stage, _FENCER, account, list(chunk))
            spec = spec.model_copy(update={"region": run.losing})
            prefix = stage.prefix(run.execution.metadata.name)
            yield f"{prefix}-{_FENCER}-{spec.account_id}-{region}-{part}", spec


def _writer(run: _Run, found: Located) -> tuple[str, TaskResource] | None:
    """The TargetAccount and the instance that is to be stopped for a server, if there is one."""
    if run.operation != "Failback":
        return origin(found, run.accounts, run.losing)
    partition = run.accounts[found.account].spec.recovery_role_arn.split(":")[1]
    return found.account, recovery_instance(found, partition, run.losing)


def origin(
    found: Located, accounts: Mapping[str, TargetAccount], home: str
) -> tuple[str, TaskResource] | None:
    """The TargetAccount and the EC2 instance (in `home`) that a DRS server replicates.

    None: it is no EC2 instance, or no TargetAccount of the run is for its account.
    """
    attributes = found.resource.attributes
    instance = attributes.get("originInstanceId", "")
    owner = attributes.get("originAccountId") or found.account_id
    names = [name for name, a in accounts.items() if a.spec.account_id == owner]
    if not instance or not names:
        return None
    account = found.account if found.account in names else names[0]
    partition = accounts[account].spec.recovery_role_arn.split(":")[1]
    arn = f"arn:{partition}:ec2:{home}:{owner}:instance/{instance}"
    return account, TaskResource(id=instance, arn=arn, name=found.resource.name)


def _explicit(run: _Run, stage: _Stage, dealt: Sequence[str]) -> Iterator[tuple[str, DRTaskSpec]]:
    """The plan's explicit tasks of the stage, in the plan's order.

    They wait for what tags put into the same stage: a name must not point at servers that do not
    run yet. Fencing waits for nothing but what the plan says, lest one writer that cannot be
    stopped keep the others going.
    """
    plan, names, operation = run.plan.spec, _explicit_names(run), run.operation
    first = explicit.order(plan, operation)
    for task in stage.wave.tasks:
        if task.name not in names or explicit.phase_in(task, operation) != stage.phase:
            continue
        account = explicit.account_of(task, plan)
        work = explicit.work(task, plan, run.accounts[account], operation)
        spec = _spec(run, stage, work.technology, account, list(work.resources), task)
        waits = () if stage.phase == "Fence" else dealt
        update = {
            "region": work.region,
            "depends_on": [*waits, *(names[name] for name in first[task.name] if name in names)],
            BLOCKS[task.type]: explicit.block(task, operation, run.sizes),
        }
        yield names[task.name], spec.model_copy(update=update)


def _explicit_names(run: _Run) -> dict[str, str]:
    """By name of an explicit task that is carried out: the name of its DRTask."""
    name, operation = run.execution.metadata.name, run.operation
    duties = explicit.duties(run.plan.status)
    return {
        task.name: f"{name}-w{ordinal}-{explicit.phase_in(task, operation).lower()}-{task.name}"
        for ordinal, wave in enumerate(run.plan.spec.waves, start=1)
        for task in wave.tasks
        if explicit.runs_in(task, operation, duties)
    }


def _spec(
    run: _Run,
    stage: _Stage,
    technology: str,
    account: str,
    resources: list[TaskResource],
    task: ExplicitTask | None = None,
) -> DRTaskSpec:
    execution, target = run.execution, run.accounts[account].spec
    region, source = run.regions
    timeout = (task.timeout if task else None) or stage.wave.task_timeout or TASK_TIMEOUT
    if stage.phase == "Replicate":
        timeout = REPLICATE_TIMEOUT
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
        region=region,
        source_region=source,
        role_arn=target.recovery_role_arn,
        resources=resources,
        timeout=timeout,
        start="Ahead" if _leads(run, stage, technology) else "InTurn",
        fence_limit=run.plan.spec.fence.time_limit if stage.phase == "Fence" else None,
        drill_network=None if task else run.drill_network(target.account_id),
    )


def _leads(run: _Run, stage: _Stage, technology: str) -> bool:
    """Whether the stage may run ahead of its wave."""
    wanted = stage.phase == "Instantiate" and stage.wave.prewarm == "WhenInert"
    return wanted and technology in run.leading
