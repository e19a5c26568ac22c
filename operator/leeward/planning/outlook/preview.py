"""What a run would do: the checks, tasks and gates of the run itself, and no effect.

A dry run writes it into its status (`preview_size` makes it fit), the command line prints it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

from leeward.api.account import TargetAccount
from leeward.api.execution import DRExecution
from leeward.api.inventory import RecoveryInventory
from leeward.api.plan import RecoveryPlan
from leeward.api.preview import (
    Preview,
    PreviewAccess,
    PreviewGate,
    PreviewLaunch,
    PreviewStage,
    PreviewWork,
)
from leeward.planning.durations import parse, render
from leeward.planning.estate.inventory import of_plan
from leeward.planning.launch.launch_estate import drift
from leeward.planning.outlook.preflight import Preflight, preflight
from leeward.planning.runs import gates
from leeward.planning.runs.explicit import NO_SIZES, RecordedSizes
from leeward.planning.runs.fencing import FENCE
from leeward.planning.runs.forecast import Forecast, StageForecast, forecast
from leeward.planning.runs.freeze import Frozen, FrozenTask, freeze
from leeward.planning.runs.planned_gates import PlannedGate
from leeward.planning.runs.run_times import at_start
from leeward.planning.runs.waves import PHASES, Stage, serves_before
from leeward.planning.tasks.manual import TECHNOLOGY as MANUAL
from leeward.planning.tasks.step import needs_no_look
from leeward.planning.wording import clip, some

_NO_TASKS: Final = frozenset({"InvalidPlan", "InvalidGate"})
"""Refusals of what cannot be turned into tasks and gates."""
_MOST_REFUSALS: Final = 100
_MOST_CHANGES: Final = 1000

Permissions = Callable[[str], Mapping[str, frozenset[str]]]
"""By technology: IAM actions by use, as its adapter declares them."""


def preview(
    execution: DRExecution,
    plan: RecoveryPlan,
    accounts: Mapping[str, TargetAccount],
    inventories: Sequence[RecoveryInventory],
    *,
    now: datetime,
    live_elsewhere: Mapping[str, str],
    permissions: Permissions,
    leading: Collection[str],
    previous: DRExecution | None = None,
    sizes: RecordedSizes = NO_SIZES,
) -> tuple[Preview, Preflight]:
    """What the run would do now, and what preflight says of it.

    The arguments are those of `preflight` and `freeze`. A plan that breaks its rules has no tasks
    to show.
    """
    verdict = preflight(
        execution, plan, accounts, inventories,
        now=now, live_elsewhere=live_elsewhere, previous=previous, sizes=sizes,
    )  # fmt: skip
    refusals = [clip(f"{p.reason}: {p.message}", 1024) for p in verdict.refusals[:_MOST_REFUSALS]]
    said = Preview(refusals=refusals, findings=list(verdict.findings))
    if any(problem.reason in _NO_TASKS for problem in verdict.refusals):
        return said, verdict
    frozen = freeze(execution, plan, accounts, inventories, leading=leading, sizes=sizes)
    foreseen = forecast(execution.spec.operation, frozen, plan.status.history)
    objectives = at_start(plan.spec, frozen, foreseen)
    update = {
        "tasks": len(frozen.tasks),
        "resources": _resources(execution, frozen),
        "jobs": foreseen.jobs,
        "duration": render(foreseen.duration),
        "objectives": objectives,
        "stages": [_stage(stage) for stage in foreseen.stages],
        "gates": [_gate(execution, gate, verdict, now) for gate in _asked(execution, frozen)],
        "launch": _launch(frozen, of_plan(plan, inventories)),
        "access": [*_access(frozen.tasks, accounts, permissions)],
        "findings": [*_beside(execution, plan, frozen, foreseen), *said.findings],
    }
    return said.model_copy(update=update), verdict


def _resources(execution: DRExecution, frozen: Frozen) -> int:
    """Each resource of each wave once, as the run counts them."""
    return len(
        {
            (t.spec.wave, t.spec.technology, r.arn, r.id)
            for t in frozen.tasks
            if t.spec.recovery_phase != FENCE
            and not serves_before(execution.spec.operation, t.spec.recovery_phase)
            for r in t.spec.resources
        }
    )


def _launch(frozen: Frozen, inventories: Sequence[RecoveryInventory]) -> PreviewLaunch | None:
    """The settings that the run would change, as far as discovery has compared them."""
    servers = {r.id for t in frozen.tasks for r in t.spec.resources if r.launch}
    if not servers:
        return None
    changes = drift(inventories, servers)
    return PreviewLaunch(
        servers=len(servers),
        differing=len(changes),
        changes=[finding.message for finding in changes[:_MOST_CHANGES]],
    )


def _beside(
    execution: DRExecution, plan: RecoveryPlan, frozen: Frozen, foreseen: Forecast
) -> Iterator[str]:
    """Findings that preflight has not."""
    target = plan.spec.objectives.rto
    if left := [t.spec.task or t.name for t in frozen.tasks if needs_no_look(t.spec)]:
        yield f"NotInATest: a Test never touches production, and leaves out: {some(left)}"
    active = plan.status.active_execution
    if active is not None and active.uid != execution.metadata.uid:
        yield (
            f"PlanBusy: plan {plan.metadata.name} is run by execution {active.name} now; a run "
            "would be refused until that has ended"
        )
    if target is not None and foreseen.recovered_after > parse(target):
        yield (
            f"EstimateAboveObjective: the waves are estimated to take "
            f"{render(foreseen.recovered_after)} without waiting for people, and objectives.rto "
            f"is {target}"
        )


# --- stages, gates, access ---------------------------------------------------------------------


def _stage(stage: StageForecast) -> PreviewStage:
    rows: dict[tuple[str, str, str], PreviewWork] = {}
    for task in stage.tasks:
        spec = task.spec
        key = (spec.technology, spec.account, spec.region)
        known = rows.get(key)
        rows[key] = PreviewWork(
            technology=spec.technology,
            account=spec.account,
            account_id=spec.account_id,
            region=spec.region,
            tasks=(known.tasks if known else 0) + 1,
            resources=(known.resources if known else 0) + len(spec.resources),
            jobs=stage.jobs.get(key, 0),
        )
    return PreviewStage(
        wave=stage.wave,
        recovery_phase=stage.phase,
        start=render(stage.start),
        duration=render(stage.duration),
        dominated_by=stage.dominated_by,
        basis=stage.basis,
        work=list(rows.values()),
    )


def _asked(execution: DRExecution, frozen: Frozen) -> list[PlannedGate]:
    """The gates that the run would ask: those with a phase behind them that has tasks."""
    behind = {(t.spec.wave, t.spec.recovery_phase) for t in frozen.tasks}
    inside = PHASES[execution.spec.operation]

    def stands_before(gate: PlannedGate) -> tuple[str, ...]:
        return inside[inside.index(gate.before) :] if gate.before in inside else (gate.before,)

    return [g for g in frozen.gates if any((g.wave, p) in behind for p in stands_before(g))]


def _gate(
    execution: DRExecution, gate: PlannedGate, verdict: Preflight, now: datetime
) -> PreviewGate:
    told = execution.status.model_copy(update={"findings": list(verdict.findings)})
    asked = gates.ask(
        execution.model_copy(update={"status": told}),
        gate.frozen(),
        Stage(gate.wave, gate.ordinal, gate.before, ()),
        (),
        guard="",
        now=now,
    )
    passes: Literal["ByPeople", "Automatically"] = (
        "Automatically" if asked.state == "Automatic" else "ByPeople"
    )
    return PreviewGate(
        name=gate.name,
        wave=gate.wave,
        before=gate.before,
        passes=passes,
        required=gate.required,
        approvers=gate.approvers,
        four_eyes=gate.four_eyes,
        data_loss=gate.data_loss,
        timeout=gate.timeout,
        on_timeout=gate.on_timeout,
    )


def _access(
    tasks: Sequence[FrozenTask], accounts: Mapping[str, TargetAccount], permissions: Permissions
) -> Iterator[PreviewAccess]:
    """What the accounts' roles must allow; accounts that need the same stand together.

    The read role looks, the recovery role looks and acts.
    """
    phases: dict[str, set[tuple[str, str]]] = {}
    asking = (t for t in tasks if not needs_no_look(t.spec) and t.spec.technology != MANUAL)
    for task in asking:
        phases.setdefault(task.spec.account, set()).add(
            (task.spec.technology, task.spec.recovery_phase)
        )
    looks = {account: {(t, "Read") for t, _ in used} for account, used in phases.items()}
    yield from _grouped("Read", looks, accounts, permissions)
    both = {account: used | looks[account] for account, used in phases.items()}
    yield from _grouped("Recovery", both, accounts, permissions)


def _grouped(
    role: Literal["Read", "Recovery"],
    needs: Mapping[str, set[tuple[str, str]]],
    accounts: Mapping[str, TargetAccount],
    permissions: Permissions,
) -> Iterator[PreviewAccess]:
    alike: dict[frozenset[tuple[str, str]], list[str]] = {}
    for account, used in needs.items():
        alike.setdefault(frozenset(used), []).append(account)
    for uses, names in alike.items():
        specs = [accounts[name].spec for name in names]
        actions = {a for t, use in uses for a in permissions(t).get(use, frozenset())}
        yield PreviewAccess(
            role=role,
            accounts=names,
            role_arns=[s.read_role_arn if role == "Read" else s.recovery_role_arn for s in specs],
            uses=[f"{technology} {use}" for technology, use in sorted(uses)],
            actions=sorted(actions),
        )
