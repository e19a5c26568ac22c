"""Who may answer a notice, until when, and the commands that do it, ready to be run as printed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from leeward.api.common import PREFIX
from leeward.api.conditions import Type, find
from leeward.api.execution import DRExecution
from leeward.api.gate_record import GateStatus
from leeward.api.task import DRTask
from leeward.planning.notifications.notice_matters import Matter, ended
from leeward.planning.runs.earlier import older_than_known
from leeward.planning.runs.gates import destroys, person
from leeward.planning.runs.outcomes import NEWER_DATA
from leeward.planning.wording import some

# The value of a command is the caller's own user name; this asks the API server for it.
_ME: Final = "\"$(kubectl auth whoami -o jsonpath='{.status.userInfo.username}')\""
_SHOWN: Final = 5

Command = tuple[str, str]
"""What it does, and the command line."""


def look(execution: DRExecution) -> str:
    """The command that shows the run."""
    metadata = execution.metadata
    return f"kubectl leeward get drx {metadata.name} -n {metadata.namespace}"


def commands(execution: DRExecution, matter: Matter, tasks: Sequence[DRTask]) -> list[Command]:
    """The commands that answer what the notice asks, each with plain kubectl and with the plugin.

    Where there is nothing to answer, the command that looks.
    """
    found: list[Command] = []
    if ended(execution):
        return [("Look at it", look(execution))]
    if matter.gate is not None:
        after_all = " after all" if matter.type == "DecisionNeeded" else ""
        found += _answers(execution, matter.gate, after_all)
    if matter.type in {"TaskFailed", "DecisionNeeded"}:
        losing = [t for t in tasks if older_than_known(t)]
        found += _on_tasks(execution, losing, ("accept-data-loss", "Accept the loss of data"))
        found += _on_tasks(execution, tasks, ("retry", "Try again"), ("skip", "Leave out"))
    if matter.type == "ApprovalNeeded":
        found += _on_tasks(execution, tasks, ("mark-done", "It is done"), ("skip", "Do without"))
    if matter.type == "DecisionNeeded":
        found += _on_run(execution, "Cancel the run", "cancel")
    return [*found, ("Look at it", look(execution))]


def _answers(execution: DRExecution, gate: GateStatus, after_all: str) -> Iterator[Command]:
    if gate.required:
        yield from _on_run(execution, f"Approve{after_all}", "approve", gate.name)
    if gate.data_loss == "Question":
        yield from _on_run(execution, "Accept the loss of data", "accept-data-loss", gate.name)
    if not after_all:
        yield from _on_run(execution, "Reject", "reject", gate.name)


def _on_run(execution: DRExecution, what: str, verb: str, gate: str = "") -> Iterator[Command]:
    name, namespace = execution.metadata.name, execution.metadata.namespace
    key = f"{PREFIX}{verb}-{gate}" if gate else f"{PREFIX}{verb}"
    yield what, f"kubectl annotate drx {name} -n {namespace} {key}={_ME}"
    plugin = f"kubectl leeward {verb} drx {name} {gate}".rstrip()
    yield f"{what}, with the plugin", f"{plugin} -n {namespace}"


def _on_tasks(
    execution: DRExecution, tasks: Sequence[DRTask], *verbs: tuple[str, str]
) -> Iterator[Command]:
    """The commands for each of a few tasks; with the plugin, retry and skip for all that failed."""
    namespace = execution.metadata.namespace
    for verb, what in verbs if tasks else ():
        for task in tasks[:_SHOWN]:
            name = task.metadata.name
            yield (
                f"{what} ({name})",
                f"kubectl annotate drt {name} -n {namespace} {PREFIX}{verb}={_ME}",
            )
        if any(task.status.state == "Failed" for task in tasks):
            yield (
                f"{what}, every failed task of the run, with the plugin",
                f"kubectl leeward {verb} drt -l {PREFIX}execution={execution.metadata.name} "
                f"-n {namespace}",
            )


def who(execution: DRExecution, matter: Matter) -> list[tuple[str, str]]:
    """Labels and values: who may answer, until when, and what stands in the way."""
    plan = execution.spec.plan_ref.name
    if matter.gate is None:
        if matter.type not in {"ApprovalNeeded", "DecisionNeeded", "TaskFailed"}:
            return []
        words = f"whoever has the verb operate on plan {plan}"
        waits = find(execution.status.conditions, Type.WAITING_FOR_DECISION)
        if waits is not None and waits.reason == NEWER_DATA:
            words += (
                "; to relaunch or to accept the loss of data, with the verb approve-destructive"
            )
        return [("Who may answer", words)]
    facts = [("Who may answer", _approvers(execution, matter.gate))]
    if matter.type == "ApprovalNeeded":
        until = f"{matter.gate.deadline[:19]}Z, then {matter.gate.on_timeout}"
        facts.append(("Deadline", until))
    active = find(execution.status.conditions, Type.GUARD_ACTIVE)
    if active is not None and active.status == "False":
        facts.append(("Guard", f"not active, see to it first: {active.message}"))
    return facts


def _approvers(execution: DRExecution, gate: GateStatus) -> str:
    users, groups = gate.approvers.users, gate.approvers.groups
    named = [f"{some(users, 50)}" if users else "", f"groups {some(groups, 50)}" if groups else ""]
    listed = " or ".join(part for part in named if part) or "anybody"
    destructive = destroys(execution.spec.operation, gate.before)
    verb = "approve-destructive" if destructive else "approve"
    words = f"{listed} with the verb {verb} on plan {execution.spec.plan_ref.name}"
    if gate.data_loss == "Question":
        words += "; to accept the loss of data, with the verb approve-destructive"
    if gate.four_eyes == "Required":
        asked_by = execution.status.requested_by or "the requester"
        words += f"; not {asked_by}, who asked for the run"
        if person(asked_by) != asked_by:
            words += ", nor another session of that role"
    return words
