"""Amazon EC2: instances that wait stopped in the recovery Region (pilot light) and are started."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

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

START: Final = "start"
# What a person's own StopInstances leaves behind; anything else under a Client. or Server. code
# says that EC2 itself put the instance back (a key that may not be used, no capacity).
_STOPPED_ON_PURPOSE: Final = frozenset(
    {"Client.UserInitiatedShutdown", "Client.InstanceInitiatedShutdown", ""}
)


@dataclass(frozen=True, slots=True)
class Instance:
    """What EC2 says of an instance."""

    id: str
    state: str
    """`pending`, `running`, `stopping`, `stopped`, `shutting-down`, `terminated`."""
    subnet: str = ""
    reason_code: str = ""
    reason: str = ""
    checks: tuple[str, ...] = ()
    """Results of system and instance status check, of a running instance: `ok`,
    `initializing`, `impaired`, `insufficient-data`, `not-applicable`."""
    volumes: tuple[str, ...] = ()
    """Ids of its EBS volumes."""


def describe(ec2: Any, ids: Iterable[str]) -> dict[str, Instance]:
    """The instances that exist, by id (DescribeInstances; by filter, since one unknown id among
    `InstanceIds` would fail the whole call)."""
    wanted = sorted(set(ids))
    found: dict[str, Instance] = {}
    for chunk in _chunks(wanted, 200):
        pages = ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "instance-id", "Values": chunk}]
        )
        for page in pages:
            for reservation in page["Reservations"]:
                for raw in reservation["Instances"]:
                    found[raw["InstanceId"]] = _instance(raw)
    return found


def describe_checked(ec2: Any, ids: Iterable[str]) -> dict[str, Instance]:
    """Like `describe`, with the status checks of those that run (DescribeInstanceStatus)."""
    found = describe(ec2, ids)
    running = [instance.id for instance in found.values() if instance.state == "running"]
    for chunk in _chunks(running, 100):
        for raw in ec2.describe_instance_status(InstanceIds=chunk)["InstanceStatuses"]:
            instance = found[raw["InstanceId"]]
            checks = tuple(raw.get(k, {}).get("Status", "") for k in _CHECKS)
            found[instance.id] = Instance(
                instance.id, instance.state, instance.subnet, checks=checks
            )
    return found


_CHECKS: Final = ("SystemStatus", "InstanceStatus")


def activation(instance: Instance, call: Call | None, where: str) -> Seen:
    """How far an instance is on the way to running with both status checks passed.

    Args:
        instance: what EC2 says, with checks.
        call: the newest batch that the instance was part of.
        where: account and Region, for the message.
    """
    match instance.state:
        case "running":
            return _checked(instance, where)
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


def start(scope: Scope, ids: Sequence[str]) -> None:
    """StartInstances; an instance that runs already stays as it is."""
    if ids:
        scope.client("ec2").start_instances(InstanceIds=list(ids))


def stop(scope: Scope, ids: Sequence[str]) -> None:
    """StopInstances; an instance that is stopped already stays as it is."""
    if ids:
        scope.client("ec2").stop_instances(InstanceIds=list(ids))


def were_stopped(pre_states: Mapping[str, str], batch: Sequence[Target]) -> list[str]:
    """Ids of the batch's instances that were stopped before the step first acted."""
    states = (json.loads(pre_states[t.id]) for t in batch if pre_states.get(t.id))
    return [state["instanceId"] for state in states if state["state"] == "stopped"]


class Ec2:
    """Instances in the recovery Region that are kept stopped until they are needed.

    A target's id is the instance id, in the account and Region of the scope. `Activate` starts
    it and waits until EC2's system and instance status checks both pass. A Test is refused: the
    instance is production's own standby, not a copy that a drill may use.
    """

    kind: ClassVar[str] = "ec2"
    phases: ClassVar[Mapping[Phase, PhaseTraits]] = {Phase.ACTIVATE: PhaseTraits(inert=False)}
    actions: ClassVar[Mapping[str, ActionTraits]] = {START: ActionTraits(repeatable=True)}
    permissions: ClassVar[Mapping[str, frozenset[str]]] = {
        "Read": frozenset({"ec2:DescribeInstances", "ec2:DescribeInstanceStatus"}),
        "Activate": frozenset({"ec2:StartInstances", "ec2:StopInstances"}),
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
        """State of each instance, and its status checks."""
        if step.drill:
            seen = Seen(
                State.REFUSED,
                reason="NotInATest",
                message="a standby instance of production is not started in a Test; leave it out",
            )
            return Observed({t.id: seen for t in step.targets})
        found = describe_checked(scope.client("ec2"), (t.id for t in step.targets))
        return Observed({t.id: self._seen(scope, found.get(t.id), t, step) for t in step.targets})

    def act(self, scope: Scope, step: Step, action: str, call: str, batch: Sequence[Target]) -> str:
        """Start the instances."""
        start(scope, [t.id for t in batch])
        return ""

    def verify(self, scope: Scope, step: Step) -> Observed:
        """The status checks are the proof; observe() has looked at them."""
        return self.observe(scope, step)

    def undo(self, scope: Scope, step: Step, call: str, batch: Sequence[Target]) -> str:
        """Stop those that were stopped before."""
        stop(scope, were_stopped(step.pre_states, batch))
        return ""

    def _seen(self, scope: Scope, instance: Instance | None, target: Target, step: Step) -> Seen:
        if instance is None:
            return Seen(State.REFUSED, reason="InstanceMissing", message=_missing(target.id, scope))
        return activation(instance, step.calls.get(target.id), place(scope))


def place(scope: Scope) -> str:
    """Account and Region, for messages."""
    return f"account {scope.account_id}, {scope.region}"


def _missing(instance_id: str, scope: Scope) -> str:
    return (
        f"there is no instance {instance_id} in {place(scope)}: keep a stopped standby there, or "
        "protect the server with DRS"
    )


def _instance(raw: Mapping[str, Any]) -> Instance:
    reason = raw.get("StateReason", {})
    return Instance(
        id=raw["InstanceId"],
        state=raw["State"]["Name"],
        subnet=raw.get("SubnetId", ""),
        reason_code=reason.get("Code", ""),
        reason=reason.get("Message", ""),
        volumes=tuple(
            mapping["Ebs"]["VolumeId"]
            for mapping in raw.get("BlockDeviceMappings", [])
            if "Ebs" in mapping
        ),
    )


def _checked(instance: Instance, where: str) -> Seen:
    if "impaired" in instance.checks:
        failed = [k for k, c in zip(_CHECKS, instance.checks, strict=False) if c == "impaired"]
        return Seen(
            State.FAILED,
            reason="StatusChecksImpaired",
            message=f"instance {instance.id} in {where} runs, but fails {' and '.join(failed)}: "
            "read its console output (ec2 get-console-output), mend or stop it, then retry",
            reference=instance.id,
        )
    if instance.checks and all(check == "ok" for check in instance.checks):
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


def _chunks(items: Sequence[str], size: int) -> list[list[str]]:
    return [list(items[i : i + size]) for i in range(0, len(items), size)]
