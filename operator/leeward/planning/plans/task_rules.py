"""What the explicit tasks of a plan must be beyond their schema."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from leeward.api.plan import RecoveryPlan, RecoveryPlanSpec
from leeward.api.tasks import ExplicitTask, ScalingGroup
from leeward.planning.problem import Accounts, Problem, Rule, repeated
from leeward.planning.runs.explicit import FIT, dependencies, record_id, tasks
from leeward.planning.runs.waves import PHASES

_ORDER: Final = PHASES["Failover"]
_DEALT_NAME: Final = re.compile(r"[a-z0-9-]+-[0-9]{12}-[a-z0-9]+-[0-9]+")
_WHY: Final = {
    "Route53": "DNS is switched when the recovered side serves",
    "AutoScaling": "groups are emptied in Fence, or sized when the recovered side is to serve",
}
"""By type: why it does not belong everywhere."""


def _task_names_are_different(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    for name in repeated(task.name for task in tasks(plan.spec)):
        yield Problem(
            "DuplicateTask",
            f"two tasks are named {name}; names of tasks are unique in the whole plan: rename one",
        )


def _task_names_are_free(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    for task in tasks(plan.spec):
        if _DEALT_NAME.fullmatch(task.name):
            yield Problem(
                "TaskNameReserved",
                f"the name of task {task.name} looks like one that Leeward makes "
                "(technology-account-region-part); rename it",
            )


def _phases_fit(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    """Users are not sent to what no gate before Activate has let through."""
    for task in tasks(plan.spec):
        fit = FIT.get(task.type, (task.recovery_phase,))
        if task.recovery_phase not in fit:
            yield Problem(
                "WrongPhase",
                f"task {task.name} of type {task.type} is in {task.recovery_phase}, but "
                f"{_WHY[task.type]}: set its recoveryPhase to {' or '.join(fit)}",
            )


def _dependencies_exist(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    known = {task.name for task in tasks(plan.spec)}
    for task in tasks(plan.spec):
        for field, words, names in (
            ("dependsOn", "depends on", task.depends_on),
            ("successors", "is to be followed by", task.successors),
        ):
            for name in (name for name in names if name not in known):
                yield Problem(
                    "UnknownDependency",
                    f"task {task.name} {words} {name}, which is no task of this plan; correct "
                    f"its {field}",
                )


def _dependencies_come_first(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    """A task that waits for a later phase or wave would hold the run for ever."""
    places = {
        task.name: (place, _ORDER.index(task.recovery_phase))
        for place, wave in enumerate(plan.spec.waves)
        for task in wave.tasks
    }
    for task, first in dependencies(plan.spec).items():
        for name in first:
            if {task, name} <= places.keys() and places[name] > places[task]:
                yield Problem(
                    "DependencyTooLate",
                    f"task {task} depends on {name}, which belongs to a later wave or phase "
                    "and would never have run; move one of them",
                )


def _no_cycle(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    edges = {name: sorted(first) for name, first in dependencies(plan.spec).items()}
    if cycle := find_cycle(edges):
        yield Problem(
            "DependencyCycle",
            f"tasks wait for each other: {' → '.join(cycle)} (each depends on the next); remove "
            "one of these dependencies",
        )


def find_cycle(edges: Mapping[str, Iterable[str]]) -> list[str] | None:
    """A cycle of the graph, from its least name and back to it; None when there is none.

    Each name is visited once and nothing recurses, so that long chains are no danger.
    """
    done: set[str] = set()
    for start in sorted(edges):
        path: list[str] = []
        pending = [(start, iter(edges[start]))] if start not in done else []
        while pending:
            name, following = pending[-1]
            if len(path) < len(pending):
                path.append(name)
            after = next((n for n in following if n in edges and n not in done), None)
            if after is None:
                done.add(name)
                path.pop()
                pending.pop()
            elif after in path:
                return _from_least(path[path.index(after) :])
            else:
                pending.append((after, iter(edges[after])))
    return None


def _from_least(cycle: list[str]) -> list[str]:
    start = cycle.index(min(cycle))
    turned = cycle[start:] + cycle[:start]
    return [*turned, turned[0]]


def _records_are_different(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    for task in tasks(plan.spec):
        records = task.route53.records if task.route53 else []
        for record in repeated(record_id(record) for record in records):
            yield Problem(
                "DuplicateRecord",
                f"task {task.name} names the record set {record} twice, which Route 53 refuses; "
                "keep one",
            )


def _weighted_records_have_identifiers(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    for task in tasks(plan.spec):
        for record in task.route53.records if task.route53 else []:
            sides = [record.recovery, *([record.primary] if record.primary else [])]
            if record.set_identifier is None and any(side.weight is not None for side in sides):
                yield Problem(
                    "WeightWithoutIdentifier",
                    f"task {task.name} gives the record set {record_id(record)} a weight; add "
                    "the setIdentifier of the weighted record set",
                )


def _groups_are_different(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    for task, groups in _scaled(plan.spec):
        for name in repeated(group.name for group in groups):
            yield Problem(
                "DuplicateGroup", f"task {task.name} names the group {name} twice; keep one"
            )


def _groups_get_sizes(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    """What is left out stays as AWS has it, so only what is given can be judged here.

    Groups of tasks of phase Fence need no sizes: a Failback knows those that they had.
    """
    for task, groups in _scaled(plan.spec):
        for group in groups:
            given = [size for size in _sizes(group) if size is not None]
            if task.recovery_phase != "Fence" and group.min is None and group.desired is None:
                yield Problem(
                    "GroupSizes",
                    f"task {task.name} does not say how many instances group {group.name} is to "
                    "have; give desired, or min",
                )
            elif given != sorted(given):
                yield Problem(
                    "GroupSizes",
                    f"task {task.name} gives group {group.name} sizes that contradict each "
                    "other; min is at most desired, and desired at most max",
                )


def _scaled(spec: RecoveryPlanSpec) -> Iterator[tuple[ExplicitTask, list[ScalingGroup]]]:
    return ((task, task.auto_scaling.groups) for task in tasks(spec) if task.auto_scaling)


def _sizes(group: ScalingGroup) -> tuple[int | None, int | None, int | None]:
    return group.min, group.desired, group.max


RULES: Final[tuple[Rule, ...]] = (
    _task_names_are_different,
    _task_names_are_free,
    _phases_fit,
    _dependencies_exist,
    _dependencies_come_first,
    _no_cycle,
    _records_are_different,
    _weighted_records_have_identifiers,
    _groups_are_different,
    _groups_get_sizes,
)
