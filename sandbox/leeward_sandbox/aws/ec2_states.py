"""EC2 instances take time to start and to stop, and their checks to pass.

moto changes states at once. Here an instance that a client starts is pending, then running with
its status checks initializing, then ok; one that a client stops is stopping first. The state is
computed from the virtual clock whenever EC2 is called. Instances that come into being otherwise
(an estate's, Auto Scaling's) are running and ok at once; DRS tells of its own by `launched`.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-lifecycle.html
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal

from leeward_sandbox.aws.backend import AwsError, Call, World

STARTING = timedelta(seconds=20)
"""From StartInstances or RunInstances to running, in virtual time."""
STOPPING = timedelta(seconds=30)
"""From StopInstances to stopped, in virtual time."""
CHECKING = timedelta(seconds=120)
"""From running to status checks that are ok, in virtual time."""

_CODES = {"pending": 0, "running": 16, "stopping": 64, "stopped": 80}
_INITIALIZING = {
    "Status": "initializing",
    "Details": [{"Name": "reachability", "Status": "initializing"}],
}


@dataclass(frozen=True, slots=True)
class _Transition:
    to: Literal["running", "stopped"]
    begun: datetime


class Ec2States:
    """Moves moto's instances through the states between stopped and running."""

    service: ClassVar[str] = "ec2"
    operations: ClassVar[frozenset[str] | None] = None
    answers: ClassVar[frozenset[str]] = frozenset(
        {"DescribeInstanceStatus", "RunInstances", "StartInstances", "StopInstances"}
    )

    def __init__(self, world: World) -> None:
        self._world = world
        self._transitions: dict[tuple[str, str], dict[str, _Transition]] = {}

    def launched(
        self, account: str, region: str, instance: str, tags: dict[str, str], at: datetime
    ) -> None:
        """Learn of an instance that runs since `at`: its checks are initializing until later."""
        self._transitions.setdefault((account, region), {})[instance] = _Transition(
            "running", at - STARTING
        )

    def terminated(
        self, account: str, region: str, instance: str, tags: dict[str, str], at: datetime
    ) -> None:
        """Learn that an instance is gone."""
        self._transitions.get((account, region), {}).pop(instance, None)

    def before(self, call: Call) -> dict[str, Any] | None:
        """Bring the states of the call's account and Region up to its time."""
        under_way = self._under_way(call)
        instances = self._instances(call) if under_way else {}
        for identifier, transition in list(under_way.items()):
            instance = instances.get(identifier)
            if instance is None or instance.state not in _EXPECTED[transition.to]:
                del under_way[identifier]  # gone, or moved on by another hand
                continue
            age = call.now - transition.begun
            if transition.to == "stopped" and age >= STOPPING:
                _set(instance, "stopped")
                del under_way[identifier]
            elif transition.to == "running" and age >= STARTING:
                _set(instance, "running")
                if age >= STARTING + CHECKING:
                    del under_way[identifier]
        if call.operation in ("StartInstances", "StopInstances"):
            self._refuse_between_states(call)
        return None

    def after(self, call: Call, result: dict[str, Any]) -> dict[str, Any]:
        """Put started and stopped instances between states, and checks to initializing."""
        if call.operation == "DescribeInstanceStatus":
            return self._with_checks(call, result)
        if call.operation == "RunInstances":
            started = [(one["InstanceId"], "stopped") for one in result.get("Instances", [])]
            self._begin(call, "running", started)
        elif call.operation == "StartInstances":
            changes = result.get("StartingInstances", [])
            self._begin(call, "running", [_change(one) for one in changes])
            _show_unchanged(changes, "running")
        elif call.operation == "StopInstances":
            changes = result.get("StoppingInstances", [])
            self._begin(call, "stopped", [_change(one) for one in changes])
            _show_unchanged(changes, "stopped")
        return result

    def _begin(
        self, call: Call, to: Literal["running", "stopped"], changes: list[tuple[str, str]]
    ) -> None:
        instances = self._instances(call)
        for identifier, previous in changes:
            instance = instances.get(identifier)
            if previous == to or instance is None:
                continue
            _set(instance, "pending" if to == "running" else "stopping")
            if to == "running":
                instance.launch_time = call.now.replace(tzinfo=None)  # as moto keeps it
            else:
                instance._reason = f"User initiated ({call.now:%Y-%m-%d %H:%M:%S} GMT)"
            self._under_way(call)[identifier] = _Transition(to, call.now)

    def _refuse_between_states(self, call: Call) -> None:
        wrong = "stopping" if call.operation == "StartInstances" else "pending"
        instances = self._instances(call)
        for identifier in call.params.get("InstanceIds", []):
            instance = instances.get(identifier)
            if instance is not None and instance.state == wrong:
                raise AwsError(
                    "IncorrectInstanceState",
                    f"The instance '{identifier}' is not in a state from which it can be"
                    f" {'started' if wrong == 'stopping' else 'stopped'}.",
                )

    def _with_checks(self, call: Call, result: dict[str, Any]) -> dict[str, Any]:
        under_way = self._under_way(call)
        for status in result.get("InstanceStatuses", []):
            running = status.get("InstanceState", {}).get("Name") == "running"
            if running and status.get("InstanceId") in under_way:
                status["InstanceStatus"] = status["SystemStatus"] = _INITIALIZING
        return result

    def _under_way(self, call: Call) -> dict[str, _Transition]:
        return self._transitions.setdefault((call.account, call.region), {})

    def _instances(self, call: Call) -> dict[str, Any]:
        ec2 = self._world.moto("ec2", call.account, call.region)
        return {
            instance.id: instance
            for reservation in ec2.reservations.values()
            for instance in reservation.instances
        }


_EXPECTED = {"running": ("pending", "running"), "stopped": ("stopping",)}


def _change(change: dict[str, Any]) -> tuple[str, str]:
    return change["InstanceId"], change.get("PreviousState", {}).get("Name", "")


def _show_unchanged(changes: list[dict[str, Any]], state: str) -> None:
    # Starting what runs (or stopping what is stopped) succeeds and changes nothing.
    for change in changes:
        if change.get("PreviousState", {}).get("Name") == state:
            change["CurrentState"] = {"Code": _CODES[state], "Name": state}


def _set(instance: Any, state: str) -> None:
    instance._state.name = state
    instance._state.code = _CODES[state]
