"""What a plan must be beyond its schema: what spans objects, and what CEL cannot say.

A plan with a problem is invalid and no execution of it starts, so a rule is here only where
carrying the plan out would go wrong.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from leeward.api.account import TargetAccount
from leeward.api.plan import Approvers, Gate, RecoveryPlan, RecoveryPlanSpec
from leeward.api.tasks import ExplicitTask
from leeward.planning.durations import parse
from leeward.planning.freeze import ceilings, gate_name, record_id, run_accounts
from leeward.planning.waves import CLOSING, PHASES

GATE_NAME: Final = 40
"""Longest name of a gate: it is part of an annotation's key."""
_ORDER: Final = ("Fence", *dict.fromkeys((*PHASES["Failover"], *PHASES["Test"])), *CLOSING["Test"])
_DEALT_NAME: Final = re.compile(r"[a-z0-9-]+-[0-9]{12}-[a-z0-9]+-[0-9]+")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that stands against a plan or a run."""

    reason: str
    """CamelCase word."""
    message: str
    """What is wrong, and what to do now."""


Accounts = Mapping[str, TargetAccount]
Rule = Callable[[RecoveryPlan, Accounts], Iterable[Problem]]


def problems_of(plan: RecoveryPlan, accounts: Accounts) -> list[Problem]:
    """Every problem of the plan, in the order of the rules; an empty list for a valid plan.

    `accounts` are all TargetAccounts by name.
    """
    return list(dict.fromkeys(found for rule in RULES for found in rule(plan, accounts)))


# --- accounts ----------------------------------------------------------------------------------


def _accounts_exist(plan: RecoveryPlan, accounts: Accounts) -> Iterator[Problem]:
    for name in run_accounts(plan.spec):
        if name not in accounts:
            yield Problem(
                "UnknownAccount",
                f"there is no TargetAccount {name}; ask the platform administrators for it, or "
                "correct the name in spec.accounts or in the task's accountRef",
            )


def _named(plan: RecoveryPlan, accounts: Accounts) -> Iterator[tuple[str, TargetAccount]]:
    for name in run_accounts(plan.spec):
        if name in accounts:
            yield name, accounts[name]


def _accounts_allow_namespace(plan: RecoveryPlan, accounts: Accounts) -> Iterator[Problem]:
    namespace = plan.metadata.namespace
    for name, account in _named(plan, accounts):
        if namespace not in account.spec.allow.namespaces:
            yield Problem(
                "AccountRefused",
                f"TargetAccount {name} is not for namespace {namespace}; a platform administrator "
                "can add it to its spec.allow.namespaces",
            )


def _accounts_allow_tenant(plan: RecoveryPlan, accounts: Accounts) -> Iterator[Problem]:
    customer, environment = plan.spec.customer, plan.spec.environment
    for name, account in _named(plan, accounts):
        allow = account.spec.allow
        if allow.customers and customer not in allow.customers:
            yield Problem(
                "AccountRefused",
                f"TargetAccount {name} is not for customer {customer}; a platform administrator "
                "can add it to its spec.allow.customers",
            )
        environments = {allowed.casefold() for allowed in allow.environments}
        if environments and environment.casefold() not in environments:
            yield Problem(
                "AccountRefused",
                f"TargetAccount {name} is not for environment {environment}; a platform "
                "administrator can add it to its spec.allow.environments",
            )


def _accounts_allow_regions(plan: RecoveryPlan, accounts: Accounts) -> Iterator[Problem]:
    regions = plan.spec.regions
    for name, account in _named(plan, accounts):
        for region in (regions.primary, regions.recovery):
            if account.spec.regions and region not in account.spec.regions:
                yield Problem(
                    "RegionRefused",
                    f"TargetAccount {name} is not for Region {region}; a platform administrator "
                    "can add it to its spec.regions",
                )


def _accounts_are_different(plan: RecoveryPlan, accounts: Accounts) -> Iterator[Problem]:
    names: dict[str, list[str]] = {}
    for ref in plan.spec.accounts:
        if ref.name in accounts:
            names.setdefault(accounts[ref.name].spec.account_id, []).append(ref.name)
    for account_id, same in names.items():
        if len(same) > 1:
            yield Problem(
                "SameAccountTwice",
                f"TargetAccounts {' and '.join(same)} are both AWS account {account_id}, whose "
                "resources would be recovered twice; name one of them in spec.accounts",
            )


# --- waves and gates ---------------------------------------------------------------------------


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _wave_names_are_different(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    for name in _repeated(wave.name for wave in plan.spec.waves):
        yield Problem("DuplicateWave", f"two waves are named {name}; rename one")


def _wave_numbers_are_different(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    names: dict[int, list[str]] = {}
    for place, wave in enumerate(plan.spec.waves, start=1):
        names.setdefault(wave.number or place, []).append(wave.name)
    for number, same in sorted(names.items()):
        if len(same) > 1:
            yield Problem(
                "DuplicateWaveNumber",
                f"waves {' and '.join(same)} both take dr:wave={number} (a wave without `number` "
                "takes its position); give each wave a number of its own",
            )


def _gates(spec: RecoveryPlanSpec) -> Iterator[tuple[str, Gate, str]]:
    """Wave, gate and the gate's name."""
    for wave in spec.waves:
        for place, gate in enumerate(wave.gates):
            yield wave.name, gate, gate_name(wave.name, gate, place)


def _gate_names_are_short(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    for wave, gate, name in _gates(plan.spec):
        if len(name) > GATE_NAME:
            yield Problem(
                "GateNameTooLong",
                f"the gate before {gate.before} of wave {wave} is named {name}, which is longer "
                f"than {GATE_NAME} characters; give it a shorter `name`",
            )


def _gate_names_are_different(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    for name in _repeated(name for _, _, name in _gates(plan.spec)):
        yield Problem(
            "DuplicateGate",
            f"two gates are named {name}, so an approval would not say which is meant; give one "
            "of them another `name`",
        )


def _gate_places_are_different(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    for place in _repeated(f"{gate.before} of wave {wave}" for wave, gate, _ in _gates(plan.spec)):
        yield Problem("DuplicateGate", f"there are two gates before {place}; keep one")


def _gates_can_be_passed(plan: RecoveryPlan, accounts: Accounts) -> Iterator[Problem]:
    """Groups may hold any number of people; a list of users alone may be too short."""
    default, (least, _) = plan.spec.approval, ceilings(plan.spec, accounts)
    for wave, gate, name in _gates(plan.spec):
        approvers = gate.approvers or default.approvers or Approvers()
        required = max(gate.required or default.required or 1, least)
        users = len(set(approvers.users))
        if users and not approvers.groups and users < required:
            yield Problem(
                "TooFewApprovers",
                f"gate {name} of wave {wave} needs {required} approvals and names {users} "
                "approver(s), so it could never be passed; name more users, or a group",
            )


# --- explicit tasks ----------------------------------------------------------------------------


def _tasks(spec: RecoveryPlanSpec) -> list[ExplicitTask]:
    return [task for wave in spec.waves for task in wave.tasks]


def _task_names_are_different(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    for name in _repeated(task.name for task in _tasks(plan.spec)):
        yield Problem(
            "DuplicateTask",
            f"two tasks are named {name}; names of tasks are unique in the whole plan: rename one",
        )


def _task_names_are_free(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    for task in _tasks(plan.spec):
        if _DEALT_NAME.fullmatch(task.name):
            yield Problem(
                "TaskNameReserved",
                f"the name of task {task.name} looks like one that Leeward makes "
                "(technology-account-region-part); rename it",
            )


def _dns_waits_for_activation(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    """Users are not sent to what no gate before Activate has let through."""
    for task in _tasks(plan.spec):
        if task.route53 and task.recovery_phase != "Activate":
            yield Problem(
                "WrongPhase",
                f"task {task.name} switches DNS in {task.recovery_phase}, before the recovered "
                "side serves; DNS is switched in Activate: remove its recoveryPhase",
            )


def _dependencies_exist(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    known = {task.name for task in _tasks(plan.spec)}
    for task in _tasks(plan.spec):
        for name in task.depends_on:
            if name not in known:
                yield Problem(
                    "UnknownDependency",
                    f"task {task.name} depends on {name}, which is no task of this plan; correct "
                    "its dependsOn",
                )


def _dependencies_come_first(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    """A task that waits for a later phase or wave would hold the run for ever."""
    places = {
        task.name: (place, _ORDER.index(task.recovery_phase))
        for place, wave in enumerate(plan.spec.waves)
        for task in wave.tasks
    }
    for task in _tasks(plan.spec):
        for name in task.depends_on:
            if name in places and places[name] > places[task.name]:
                yield Problem(
                    "DependencyTooLate",
                    f"task {task.name} depends on {name}, which belongs to a later wave or phase "
                    "and would never have run; move one of them",
                )


def _no_cycle(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    edges = {task.name: sorted(task.depends_on) for task in _tasks(plan.spec)}
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
    for task in _tasks(plan.spec):
        records = task.route53.records if task.route53 else []
        for record in _repeated(record_id(record) for record in records):
            yield Problem(
                "DuplicateRecord",
                f"task {task.name} names the record set {record} twice, which Route 53 refuses; "
                "keep one",
            )


def _weighted_records_have_identifiers(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    for task in _tasks(plan.spec):
        for record in task.route53.records if task.route53 else []:
            sides = [record.recovery, *([record.primary] if record.primary else [])]
            if record.set_identifier is None and any(side.weight is not None for side in sides):
                yield Problem(
                    "WeightWithoutIdentifier",
                    f"task {task.name} gives the record set {record_id(record)} a weight; add "
                    "the setIdentifier of the weighted record set",
                )


# --- figures -----------------------------------------------------------------------------------


def _durations(spec: RecoveryPlanSpec) -> Iterator[tuple[str, str | None]]:
    """Every duration that is used, with the field that it is in."""
    yield "spec.discovery.interval", spec.discovery.interval
    yield "spec.approval.timeout", spec.approval.timeout
    yield "spec.objectives.rpo", spec.objectives.rpo
    if spec.notifications:
        yield "spec.notifications.reminderInterval", spec.notifications.reminder_interval
    for wave in spec.waves:
        yield f"taskTimeout of wave {wave.name}", wave.task_timeout
        for gate in wave.gates:
            yield f"timeout of the gate before {gate.before} of wave {wave.name}", gate.timeout
        for task in wave.tasks:
            yield f"timeout of task {task.name}", task.timeout


def _durations_are_readable(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    for place, text in _durations(plan.spec):
        if text is None:
            continue
        try:
            long_enough = parse(text) > timedelta()
        except ValueError as error:
            yield Problem("InvalidDuration", f"{place}: {error}")
        else:
            if not long_enough:
                yield Problem("InvalidDuration", f"{place} must be longer than {text}")


def _one_drill_network_each(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    for account_id in _repeated(network.account_id for network in plan.spec.drill.networks):
        yield Problem(
            "DuplicateDrillNetwork",
            f"spec.drill.networks has two networks for account {account_id}; keep one",
        )


RULES: Final[tuple[Rule, ...]] = (
    _accounts_exist,
    _accounts_allow_namespace,
    _accounts_allow_tenant,
    _accounts_allow_regions,
    _accounts_are_different,
    _wave_names_are_different,
    _wave_numbers_are_different,
    _gate_names_are_short,
    _gate_names_are_different,
    _gate_places_are_different,
    _gates_can_be_passed,
    _task_names_are_different,
    _task_names_are_free,
    _dns_waits_for_activation,
    _dependencies_exist,
    _dependencies_come_first,
    _no_cycle,
    _records_are_different,
    _weighted_records_have_identifiers,
    _durations_are_readable,
    _one_drill_network_each,
)
