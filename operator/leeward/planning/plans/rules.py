"""What a plan must be beyond its schema: what spans objects, and what CEL cannot say.

A plan with a problem is invalid and no execution of it starts, so a rule is here only where
carrying the plan out would go wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from leeward.api.account import TargetAccount
from leeward.api.plan import Approvers, Gate, RecoveryPlan, RecoveryPlanSpec
from leeward.planning.durations import parse
from leeward.planning.plans import dependencies, task_rules
from leeward.planning.problem import Accounts, Problem, Rule, repeated
from leeward.planning.runs.explicit import run_accounts
from leeward.planning.runs.gates import person
from leeward.planning.runs.planned_gates import ceilings, floored, gate_name, reserved

__all__ = ["GATE_NAME", "RULES", "problems_of"]

GATE_NAME: Final = 40
"""Longest name of a gate: it is part of an annotation's key."""


def problems_of(plan: RecoveryPlan, accounts: Accounts) -> list[Problem]:
    """Every problem of the plan, in the order of the rules; an empty list for a valid plan.

    `accounts` are all TargetAccounts by name.
    """
    rules = (*RULES, *task_rules.RULES, *dependencies.RULES)
    return list(dict.fromkeys(found for rule in rules for found in rule(plan, accounts)))


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


def _wave_names_are_different(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    for name in repeated(wave.name for wave in plan.spec.waves):
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


def _staging_accounts_are_the_plans(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    known = {ref.name for ref in plan.spec.accounts}
    for wave in plan.spec.waves:
        if strange := [name for name in wave.staging_accounts if name not in known]:
            yield Problem(
                "UnknownStagingAccount",
                f"wave {wave.name} has the staging account {', '.join(strange)}, which is not in "
                "spec.accounts: add it there, or correct stagingAccounts",
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
    for name in repeated(name for _, _, name in _gates(plan.spec)):
        yield Problem(
            "DuplicateGate",
            f"two gates are named {name}, so an approval would not say which is meant; give one "
            "of them another `name`",
        )


def _gate_names_are_free(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    for wave, gate, name in _gates(plan.spec):
        if prefix := reserved(name):
            yield Problem(
                "ReservedGateName",
                f"the gate before {gate.before} of wave {wave} is named {name}, and names that "
                f"begin with {prefix} are the operator's own; give it another `name`",
            )


def _gate_places_are_different(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    for place in repeated(f"{gate.before} of wave {wave}" for wave, gate, _ in _gates(plan.spec)):
        yield Problem("DuplicateGate", f"there are two gates before {place}; keep one")


def _gates_can_be_passed(plan: RecoveryPlan, accounts: Accounts) -> Iterator[Problem]:
    """Those of the plan, and the one with which runs begin where an account demands approval."""
    default, (least, _) = plan.spec.approval, ceilings(plan.spec, accounts)
    for wave, gate, name in _gates(plan.spec):
        approvers = gate.approvers or default.approvers
        required = max(gate.required or default.required or 1, least)
        yield from _too_few(f"gate {name} of wave {wave}", required, approvers)
    if floored(plan.spec, accounts):
        what = "the gate of spec.approval that runs begin with, because TargetAccounts demand it,"
        yield from _too_few(what, max(default.required or 1, least), default.approvers)


def _too_few(gate: str, required: int, approvers: Approvers | None) -> Iterator[Problem]:
    """Groups may hold any number of people; a list of users alone may be too short."""
    if approvers is None or approvers.groups or not approvers.users:
        return
    people = len({person(user) for user in approvers.users})
    if people < required:
        yield Problem(
            "TooFewApprovers",
            f"{gate} needs {required} approvals and names {people} approver(s), sessions of one "
            "AWS role being one, so it could never be passed; name more users, or a group",
        )


# --- figures -----------------------------------------------------------------------------------


def _durations(spec: RecoveryPlanSpec) -> Iterator[tuple[str, str | None]]:
    """Every duration that is used, with the field that it is in."""
    yield "spec.discovery.interval", spec.discovery.interval
    yield "spec.approval.timeout", spec.approval.timeout
    yield "spec.objectives.rpo", spec.objectives.rpo
    yield "spec.objectives.rto", spec.objectives.rto
    yield "spec.fence.timeLimit", spec.fence.time_limit
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
    for account_id in repeated(network.account_id for network in plan.spec.drill.networks):
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
    _staging_accounts_are_the_plans,
    _gate_names_are_short,
    _gate_names_are_different,
    _gate_names_are_free,
    _gate_places_are_different,
    _gates_can_be_passed,
    _durations_are_readable,
    _one_drill_network_each,
)
