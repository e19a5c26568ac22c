"""Amazon EC2: instances are stopped where they must write no more, and started where they serve."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final

from leeward_adapters.base import (
    ActionTraits,
    Call,
    Finding,
    Observed,
    Phase,
    PhaseTraits,
    Scope,
    Seen,
    State,
    Step,
    Target,
)
from leeward_adapters.ec2_instances import (
    CHECKS,
    Instance,
    describe,
    described,
    pace,
    watched,
)

__all__ = ["START", "STOP", "Ec2", "Instance", "activation", "describe", "described", "fencing"]

START: Final = "start"
STOP: Final = "stop"
# What a person's own StopInstances leaves behind; anything else under a Client. or Server. code
# says that EC2 itself put the instance back (a key that may not be used, no capacity).
_STOPPED_ON_PURPOSE: Final = frozenset(
    {"Client.UserInitiatedShutdown", "Client.InstanceInitiatedShutdown", ""}
)

_STARTING: Final = frozenset({"pending", "running", "stopping", "shutting-down"})
"""States of which nothing else is to be known where instances are started: of a stopped one the
reason is."""
_FENCING: Final = frozenset({"pending", "stopping", "stopped", "shutting-down", "terminated"})
"""The same where they are stopped: of one that runs it is to be known since when."""


_RECOVERS: Final = timedelta(minutes=10)
"""How long a status check may fail before it counts. While it starts, a server that repairs its
file systems or takes on new hardware fails it for minutes, and passes it by itself."""


def activation(instance: Instance, call: Call | None, now: datetime, where: str) -> Seen:
    """How far an instance is on the way to running with both status checks passed.

    Args:
        instance: what EC2 says, with checks.
        call: the newest batch that the instance was part of.
        now: the time; EC2's times are compared with it.
        where: account and Region, for the message.
    """
    match instance.state:
        case "running":
            return _checked(instance, call, now, where)
        case "stopped":
            return _stopped(instance, call, where)
        case "shutting-down" | "terminated":
            return Seen(
                State.FAILED,
                reason="InstanceTerminated",
                message=f"instance {instance.id} in {where} is {instance.state}: recover the "
                "server again",
                reference=instance.id,
            )
    return Seen(
        State.RUNNING, message=f"instance {instance.id} is {instance.state}", reference=instance.id
    )


def fencing(
    instance_id: str, instance: Instance | None, call: Call | None, pre_state: str, where: str
) -> Seen:
    """How far an instance is on the way to being stopped.

    Args:
        instance_id: the instance that is meant.
        instance: what EC2 says of it; None: EC2 knows no such instance.
        call: the newest batch that the instance was part of.
        pre_state: what was noted before this task first stopped it; empty: it never did.
        where: account and Region, for the message.
    """
    if instance is None or instance.state == "terminated":
        # What does not exist cannot write.
        message = f"there is no instance {instance_id} in {where} any more"
        return Seen(State.DONE, reason="InstanceGone", message=message, reference=instance_id)
    match instance.state:
        case "stopped":
            adopted = "" if call or pre_state else "Adopted"
            message = f"instance {instance.id} is stopped"
            return Seen(State.DONE, reason=adopted, message=message, reference=instance.id)
        case "running":
            return _running(instance, call, where)
    # One that is still starting cannot be stopped yet (IncorrectInstanceState).
    message = f"instance {instance.id} is {instance.state}"
    return Seen(State.RUNNING, message=message, reference=instance.id)


def start(scope: Scope, ids: Sequence[str]) -> None:
    """StartInstances; an instance that runs already stays as it is."""
    if ids:
        scope.client("ec2").start_instances(InstanceIds=list(ids))


def stop(scope: Scope, ids: Sequence[str]) -> None:
    """StopInstances; an instance that is stopped already stays as it is."""
    if ids:
        scope.client("ec2").stop_instances(InstanceIds=list(ids))


def observed(scope: Scope, step: Step, ids: Sequence[str]) -> dict[str, Instance]:
    """The instances of a step that starts or stops them, by the cheapest question that tells."""
    stopping = step.phase is Phase.FENCE
    if not any(call.action in {START, STOP} for call in step.calls.values()):
        return described(scope, ids, step.since, checks=not stopping)
    enough = _FENCING if stopping else _STARTING
    return watched(scope, ids, step.since, enough=enough)


def were_stopped(pre_states: Mapping[str, str], batch: Sequence[Target]) -> list[str]:
    """Ids of the batch's instances that were stopped before the step first acted."""
    return _were("stopped", pre_states, batch)


def _were(wanted: str, pre_states: Mapping[str, str], batch: Sequence[Target]) -> list[str]:
    states = (json.loads(pre_states[t.id]) for t in batch if pre_states.get(t.id))
    return [state["instanceId"] for state in states if state["state"] == wanted]


class Ec2:
    """Instances that are stopped on the losing side, or wait stopped on the recovered one.

    A target's id is the instance id, in the account and Region of the scope. `Fence` stops it, so
    that it writes no more; one that EC2 does not know any more is fenced as well. `Activate`
    starts it and waits until EC2's system and instance status checks both pass. A Test is
    refused: the instance is production's own, not a copy that a drill may use.
    """

    kind: ClassVar[str] = "ec2"
    phases: ClassVar[Mapping[Phase, PhaseTraits]] = {
        Phase.FENCE: PhaseTraits(inert=False),
        Phase.ACTIVATE: PhaseTraits(inert=False),
    }
    actions: ClassVar[Mapping[str, ActionTraits]] = {
        STOP: ActionTraits(repeatable=True, slow=True),
        START: ActionTraits(repeatable=True, slow=True),
    }
    permissions: ClassVar[Mapping[str, frozenset[str]]] = {
        "Read": frozenset({"ec2:DescribeInstances"}),
        "Fence": frozenset({"ec2:StartInstances", "ec2:StopInstances"}),
        "Activate": frozenset(
            {"ec2:DescribeInstanceStatus", "ec2:StartInstances", "ec2:StopInstances"}
        ),
    }

    def readiness(self, scope: Scope, targets: Sequence[Target]) -> Sequence[Finding]:
        """Blocking for instances that are not in the scope's Region, or terminated."""
        found = describe(scope.client("ec2"), (t.id for t in targets))
        return [
            Finding("Blocking", "InstanceMissing", _missing(t.id, scope), t.id)
            for t in targets
            if t.id not in found or found[t.id].state in {"shutting-down", "terminated"}
        ]

    def observe(self, scope: Scope, step: Step) -> Observed:
        """State of each instance; in Activate its status checks too."""
        if step.drill:
            seen = Seen(
                State.REFUSED,
                reason="NotInATest",
                message="an instance of production is neither started nor stopped in a Test; "
                "leave it out",
            )
            return Observed({t.id: seen for t in step.targets})
        ids = [t.id for t in step.targets]
        found = observed(scope, step, ids)
        if step.phase is Phase.FENCE:
            return Observed({t: _fenced(t, found.get(t), scope, step) for t in ids})
        shown = {t: _activated(t, found.get(t), scope, step) for t in ids}
        return Observed(shown, pace=pace(found.values()))

    def act(self, scope: Scope, step: Step, action: str, call: str, batch: Sequence[Target]) -> str:
        """Start or stop the instances."""
        {START: start, STOP: stop}[action](scope, [t.id for t in batch])
        return ""

    def verify(self, scope: Scope, step: Step) -> Observed:
        """EC2's states and status checks are the proof; observe() has looked at them."""
        return self.observe(scope, step)

    def undo(self, scope: Scope, step: Step, call: str, batch: Sequence[Target]) -> str:
        """Start those that ran before they were fenced; stop those that were started."""
        if step.phase is Phase.FENCE:
            start(scope, _were("running", step.pre_states, batch))
        else:
            stop(scope, were_stopped(step.pre_states, batch))
        return ""


def _fenced(target: str, instance: Instance | None, scope: Scope, step: Step) -> Seen:
    pre_state = step.pre_states.get(target, "")
    return fencing(target, instance, step.calls.get(target), pre_state, place(scope))


def _activated(target: str, instance: Instance | None, scope: Scope, step: Step) -> Seen:
    if instance is None:
        return Seen(State.REFUSED, reason="InstanceMissing", message=_missing(target, scope))
    return activation(instance, step.calls.get(target), datetime.now(UTC), place(scope))


def place(scope: Scope) -> str:
    """Account and Region, for messages."""
    return f"account {scope.account_id}, {scope.region}"


def _missing(instance_id: str, scope: Scope) -> str:
    return (
        f"there is no instance {instance_id} in {place(scope)}: keep a stopped standby there, or "
        "protect the server with DRS"
    )


def _checked(instance: Instance, call: Call | None, now: datetime, where: str) -> Seen:
    since = instance.impaired or instance.launched or (call and call.at)
    if "impaired" in instance.checks and not (since and now - since < _RECOVERS):
        failed = [k for k, c in zip(CHECKS, instance.checks, strict=False) if c == "impaired"]
        return Seen(
            State.FAILED,
            reason="StatusChecksImpaired",
            message=f"instance {instance.id} in {where} runs, but fails {' and '.join(failed)} "
            f"since {since or 'it started'}: read its console output (ec2 get-console-output), "
            "mend or stop it, then retry",
            reference=instance.id,
        )
    if instance.passed:
        return Seen(State.DONE, message=f"instance {instance.id} runs", reference=instance.id)
    checks = ", ".join(c or "unknown" for c in instance.checks) or "not begun"
    return Seen(
        State.RUNNING,
        message=f"instance {instance.id} runs; status checks: {checks}",
        reference=instance.id,
    )


def _stopped(instance: Instance, call: Call | None, where: str) -> Seen:
    started = call is not None and call.action == START and not call.in_doubt
    if started and instance.reason_code not in _STOPPED_ON_PURPOSE:
        return Seen(
            State.FAILED,
            reason="StartFailed",
            message=f"EC2 put instance {instance.id} in {where} back to stopped: "
            f"{instance.reason_code}: {instance.reason}. Client.InternalError mostly means that "
            "the key of an encrypted volume may not be used. Mend that, then retry",
            reference=instance.id,
        )
    return Seen(
        State.NEEDED,
        action=START,
        message=f"instance {instance.id} is stopped",
        reference=instance.id,
        pre_state=json.dumps({"instanceId": instance.id, "state": instance.state}),
    )


def _running(instance: Instance, call: Call | None, where: str) -> Seen:
    """To be stopped; or failed, where somebody started it again after EC2 had agreed to stop it.

    A start gives an instance a new launch time, by EC2's clock. If the operator's is ahead, a
    start soon after the stop goes unnoticed, and the instance is simply stopped again.
    """
    agreed = call is not None and call.action == STOP and not call.in_doubt
    if call and agreed and instance.launched and instance.launched > call.at:
        return Seen(
            State.FAILED,
            reason="Restarted",
            message=f"instance {instance.id} in {where} was stopped and runs again since "
            f"{instance.launched}: something starts it (a schedule, an Auto Scaling group, a "
            "person). Stop that first, then retry",
            reference=instance.id,
        )
    return Seen(
        State.NEEDED,
        action=STOP,
        message=f"instance {instance.id} runs",
        reference=instance.id,
        pre_state=json.dumps({"instanceId": instance.id, "state": instance.state}),
    )
