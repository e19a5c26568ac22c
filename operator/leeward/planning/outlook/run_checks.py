"""Checks of preflight on what was asked for, the plan and the accounts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from leeward.api.common import PREFIX
from leeward.api.conditions import Reason, Type, find, holds
from leeward.api.execution import DRExecution
from leeward.api.marks import unsupported
from leeward.planning.durations import parse
from leeward.planning.estate.scope import unknown_resources, unknown_waves
from leeward.planning.launch.launch_estate import told
from leeward.planning.plans.request import Request
from leeward.planning.plans.rules import GATE_NAME, problems_of
from leeward.planning.problem import Problem
from leeward.planning.runs.planned_gates import demands_people, gate_name, reserved
from leeward.planning.times import parse_time
from leeward.planning.wording import clip, some

SETTLING: Final = "SettlingPrevious"
"""Reason of a run that waits for the end of the one that it continues."""
_MOST_OF_A_CAUSE: Final = 600
"""Characters of what AWS says about one account, so that the remedy stays within the message."""


def expiry(execution: DRExecution, now: datetime) -> Iterator[Problem]:
    """Whether `startBefore` has passed; a time that cannot be read is refused as well."""
    before = execution.spec.start_before
    if settling(execution):
        return  # it has cancelled another run, and takes that one's place
    try:
        late = before is not None and now >= parse_time(before)
    except ValueError as error:
        yield Problem("InvalidTime", f"startBefore: {error}; create an execution of another name")
        return
    if late:
        yield Problem(
            "Expired",
            f"startBefore {before} has passed and nothing was touched; if the run is still "
            "wanted, create an execution of another name",
        )


def settling(execution: DRExecution) -> bool:
    """Whether it has cancelled the run that it continues, and waits to take that one's place."""
    reconciling = find(execution.status.conditions, Type.RECONCILING)
    return reconciling is not None and reconciling.reason == SETTLING


def unknown_plan(execution: DRExecution) -> Problem:
    """The refusal of an execution whose plan does not exist."""
    name, namespace = execution.spec.plan_ref.name, execution.metadata.namespace
    return Problem(
        "UnknownPlan",
        f"there is no RecoveryPlan {name} in namespace {namespace}; list them with `kubectl get "
        f"rp -n {namespace}` and create an execution of another name",
    )


def service_account_without_limit(request: Request) -> Iterator[Problem]:
    """What GitOps or a restore re-creates must not repeat last month's failover."""
    requester = request.execution.metadata.annotations.get(f"{PREFIX}requested-by", "")
    spec = request.execution.spec
    limited = (request.test and not spec.then) or spec.start_before
    if requester.startswith("system:serviceaccount:") and not limited:
        yield Problem(
            "StartBeforeMissing",
            f"{requester} is a service account, whose executions need spec.startBefore; create "
            "one of another name with it",
        )


def scope_exists(request: Request) -> Iterator[Problem]:
    """Waves and resources that the run names are the plan's."""
    spec, plan = request.execution.spec, request.plan
    if waves := unknown_waves(spec, plan.spec):
        known = ", ".join(wave.name for wave in plan.spec.waves)
        yield Problem(
            "UnknownWave",
            f"plan {plan.metadata.name} has no wave {some(waves)}, it has {known}; create an "
            "execution of another name with spec.waves corrected",
        )
    if resources := list(unknown_resources(spec, request.eligible)):
        yield Problem(
            "UnknownResource",
            f"plan {plan.metadata.name} selects no resource {some(resources)}, named in "
            "spec.resources (ids or ARNs, as in the plan's RecoveryInventories); create an "
            "execution of another name with it corrected",
        )


def continues_a_run(request: Request) -> Iterator[Problem]:
    """What `continueFrom` names is another run of the same operation of the same plan."""
    name = request.execution.spec.continue_from
    if name is None:
        return
    other, remedy = request.previous, "create an execution of another name with it corrected"
    if other is None or other.metadata.uid == request.execution.metadata.uid:
        yield Problem(
            "NothingToContinue",
            f"there is no other execution {name.name} in namespace "
            f"{request.execution.metadata.namespace} that continueFrom could mean; {remedy}",
        )
        return
    mine = request.execution.spec
    if (other.spec.plan_ref, other.spec.operation) != (mine.plan_ref, mine.operation):
        yield Problem(
            "NothingToContinue",
            f"{name.name} is a {other.spec.operation} of plan {other.spec.plan_ref.name}, and "
            f"this is a {mine.operation} of plan {mine.plan_ref.name}; {remedy}",
        )


def ran_before(request: Request) -> Iterator[Problem]:
    """A name runs once."""
    name = request.execution.metadata.name
    for entry in request.plan.status.history:
        if entry.name == name:
            yield Problem(
                "AlreadyRan",
                f"an execution named {name} already ran (it ended {entry.state} at "
                f"{entry.completion_time}); a name runs once: create one of another name",
            )


def gates_fit(request: Request) -> Iterator[Problem]:
    """Gates of the execution name waves of the plan and have names of their own."""
    waves = {wave.name: wave for wave in request.plan.spec.waves}
    taken = {
        gate_name(wave.name, gate, place)
        for wave in waves.values()
        for place, gate in enumerate(wave.gates)
    }
    places = {name: len(wave.gates) for name, wave in waves.items()}
    for gate in request.execution.spec.gates:
        if gate.wave not in waves:
            yield _bad_gate(f"plan {request.plan.metadata.name} has no wave {gate.wave}")
            continue
        name = gate_name(gate.wave, gate, places[gate.wave])
        places[gate.wave] += 1
        if any(own.before == gate.before for own in waves[gate.wave].gates):
            continue  # it only makes the plan's own gate stricter
        if name in taken or len(name) > GATE_NAME:
            yield _bad_gate(f"the name {name} is taken or longer than {GATE_NAME} characters")
        if prefix := reserved(name):
            own = f"names that begin with {prefix} are the operator's own"
            yield _bad_gate(f"it is named {name}, and {own}")
        taken.add(name)


def _bad_gate(why: str) -> Problem:
    return Problem(
        "InvalidGate",
        f"a gate of this execution cannot be asked: {why}; create an execution of another name "
        "with the gate corrected",
    )


def gate_timeouts_readable(request: Request) -> Iterator[Problem]:
    """Timeouts of gates of the execution are durations."""
    for gate in request.execution.spec.gates:
        try:
            parse(gate.timeout or "0")
        except ValueError as error:
            yield _bad_gate(str(error))


def plan_stays(request: Request) -> Iterator[Problem]:
    """The plan is not being deleted."""
    if request.plan.metadata.deletion_timestamp:
        yield Problem("PlanDeleted", f"RecoveryPlan {request.plan.metadata.name} is being deleted")


def plan_is_valid(request: Request) -> Iterator[Problem]:
    """The plan keeps its rules."""
    for problem in problems_of(request.plan, request.accounts):
        name = request.plan.metadata.name
        yield Problem("InvalidPlan", f"RecoveryPlan {name} is invalid: {problem.message}")


def automatic_approval_allowed(request: Request) -> Iterator[Problem]:
    """Plan and accounts let the run pass gates by itself."""
    if request.test or request.execution.spec.approval_mode != "Automatic":
        return
    remedy = "create an execution of another name with approvalMode: Required"
    if request.plan.spec.approval.automatic != "Allowed":
        yield Problem(
            "AutomaticRefused",
            f"plan {request.plan.metadata.name} does not allow automatic approval beyond Test "
            f"(spec.approval.automatic); {remedy}",
        )
    for name, account in request.known_accounts:
        if demands_people(account):
            yield Problem(
                "AutomaticRefused",
                f"TargetAccount {name} refuses automatic approval beyond Test (spec.allow: "
                f"automaticApproval, minApprovals, fourEyes); {remedy}",
            )


def operation_allowed(request: Request) -> Iterator[Problem]:
    """The operation is within the accounts' ceilings."""
    operation = request.execution.spec.operation
    for name, account in request.known_accounts:
        allowed = account.spec.allow.operations
        if allowed and operation not in allowed:
            yield Problem(
                "OperationRefused",
                f"TargetAccount {name} ({account.spec.account_id}) does not allow {operation}, "
                f"only {', '.join(allowed)}; a platform administrator can change its "
                "spec.allow.operations",
            )


_OF_TRUST: Final = (Reason.ROLE_NOT_USABLE, Reason.EXTERNAL_ID_UNKNOWN)
"""Why nothing at all can be done in an account."""


def _unusable(request: Request) -> list[tuple[str, str]]:
    """Reason and message of each account whose last check failed; the gravest first."""
    found = []
    for name, account in request.known_accounts:
        ready = find(account.status.conditions, Type.READY)
        if ready and ready.status == "False":
            why = clip(account.status.message or ready.message or ready.reason, _MOST_OF_A_CAUSE)
            message = f"TargetAccount {name} ({account.spec.account_id}) is not usable: {why}"
            found.append((ready.reason, message))
    return sorted(found, key=lambda one: one[0] not in _OF_TRUST)


def some_account_usable(request: Request) -> Iterator[Problem]:
    """At least one account can be reached; what it lacks beside that fails its own tasks only."""
    broken = [message for reason, message in _unusable(request) if reason in _OF_TRUST]
    if broken and len(broken) == len(request.known_accounts):
        yield Problem(
            "NoUsableAccount",
            f"{some(broken)}; mend the roles' trust policies (the TargetAccount's status shows "
            "the external id that they must demand)",
        )


def all_accounts_usable(request: Request) -> Iterator[Problem]:
    """Every account is ready; where none can be reached, `some_account_usable` says so."""
    if any(True for _ in some_account_usable(request)):
        return
    for reason, message in _unusable(request):
        trust = reason in _OF_TRUST
        remedy = "the roles' trust policies" if trust else "what the TargetAccount's status names"
        yield Problem("AccountNotReady", f"{message}; mend {remedy}")


def plan_is_ready(request: Request) -> Iterator[Problem]:
    """The plan as it stands was assessed and could start."""
    plan = request.plan
    name, namespace = plan.metadata.name, plan.metadata.namespace
    ready = find(plan.status.conditions, Type.READY)
    assessed = plan.status.observed_generation == plan.metadata.generation
    if not assessed or ready is None or holds(plan.status.conditions, Type.RECONCILING):
        known = f" ({ready.message})" if assessed and ready and ready.message else ""
        yield Problem(
            "PlanNotAssessed",
            f"RecoveryPlan {name} is being looked at{known}; wait with `kubectl wait rp/{name} -n "
            f"{namespace} --for=condition=Ready`",
        )
    elif ready.status != "True" and ready.reason not in ("Invalid", "NothingSelected"):
        yield Problem("PlanNotReady", f"RecoveryPlan {name} is not ready: {ready.message}")


def launch_settings_valid(request: Request) -> Iterator[Problem]:
    """The plan's launch settings can be read and fit its servers."""
    launch = request.plan.status.launch
    if launch is None or not launch.problem_count:
        return
    yield Problem(
        launch.reason,
        f"launch settings of plan {request.plan.metadata.name}: {told(launch)}; the "
        "servers concerned keep the settings that they had, new ones what AWS has",
    )


def nothing_unsupported(request: Request) -> Iterator[Problem]:
    """Neither plan nor execution asks for what this version cannot do."""
    named = [("RecoveryPlan", line) for line in unsupported(request.plan)]
    named += [("execution", line) for line in unsupported(request.execution)]
    for kind, line in named:
        yield Problem("Unsupported", f"{kind}: {line}; remove the field")
