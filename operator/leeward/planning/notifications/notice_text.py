"""How a notice reads: a subject, a text for people, and the same as fields for programs.

Limits are AWS's: a subject has at most 100 ASCII characters and no line break (SNS Publish); a
message, and an entry of PutEvents, at most 256 KB. What does not fit is left out, and said to be.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from leeward.api.execution import DRExecution
from leeward.api.plan import RecoveryPlan
from leeward.api.task import DRTask
from leeward.planning.notifications import notice_answers
from leeward.planning.notifications.notice_matters import Matter, ended
from leeward.planning.runs.fencing import given_up_on, undone, unplanned
from leeward.planning.runs.gates import standing
from leeward.planning.times import render_time
from leeward.planning.wording import clip, counted, some

SUBJECT: Final = 100
TEXT: Final = 200_000
"""Bytes of a text, so that SNS's attributes have room beside it."""
DETAIL: Final = 240_000
"""Bytes of an event's detail as JSON, so that the rest of the entry has room beside it."""
DETAIL_TYPES: Final[Mapping[str, str]] = {"ApprovalNeeded": "TaskManualApprovalNeeded"}
"""Detail types on EventBridge that differ from our names, because rules match on them (TRS
appendix P)."""
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent."""

    subject: str
    text: str
    attributes: Mapping[str, str]
    """For subscription filters and to know a double; at most 10."""
    detail_type: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Story:
    """All that a message is written from."""

    execution: DRExecution
    plan: RecoveryPlan
    matter: Matter
    tasks: tuple[DRTask, ...]
    """Those that it is about: the news, or what holds the run."""
    notes: tuple[str, ...]
    count: int
    id: str
    now: datetime

    @property
    def place(self) -> str:
        """The run, as people name it."""
        metadata = self.execution.metadata
        return f"{metadata.namespace}/{metadata.name}"


def write(
    execution: DRExecution,
    plan: RecoveryPlan,
    matter: Matter,
    notes: tuple[str, ...],
    *,
    news: tuple[DRTask, ...],
    count: int,
    id: str,  # noqa: A002 - it is the notice's id
    now: datetime,
) -> Message:
    """The message about `matter`.

    `news` are the tasks that were not told yet, `notes` what the plan adds, `count` says the
    how many-th message it is. Nothing of it comes from secrets: all is in specs and statuses.
    """
    story = _Story(execution, plan, matter, news or matter.tasks, notes, count, id, now)
    happened = _happened(story)
    commands = notice_answers.commands(execution, matter, story.tasks)
    look = notice_answers.look(execution)
    text = fit("\n".join(_lines(story, happened, commands)), TEXT, look)
    detail = {**_detail(story, happened), "commands": [c for _, c in commands], "message": text}
    return Message(
        subject=_subject(story),
        text=text,
        attributes=_attributes(story),
        detail_type=DETAIL_TYPES.get(matter.type, matter.type),
        detail=_fitted(detail, look),
    )


def fit(text: str, limit: int, instead: str) -> str:
    """The text within `limit` bytes of UTF-8, without control characters.

    One that is longer ends with how much was left out, and `instead`, the command that shows all.
    """
    clean = "".join(c for c in text if c.isprintable() or c in "\n\t")
    size = len(clean.encode())
    if size <= limit:
        return clean
    end = f"\n… {size - limit} bytes or more are left out; see: {instead}"
    return clean.encode()[: limit - len(end.encode())].decode(errors="ignore") + end


def _fitted(detail: Mapping[str, Any], instead: str) -> Mapping[str, Any]:
    """The detail within its limit; its text gives way, the only part that can be so long."""
    over = len(json.dumps(detail, ensure_ascii=False).encode()) - DETAIL
    if over <= 0:
        return detail
    text = str(detail["message"])
    return {**detail, "message": fit(text, len(text.encode()) - over, instead)}


def _subject(story: _Story) -> str:
    """`[Leeward drill] Reminder 2: approval needed, wave-web of orders/orders-test-1`."""
    whose = "[Leeward drill]" if story.execution.spec.operation == "Test" else "[Leeward]"
    again = f"Reminder {story.count - 1}: " if story.matter.repeats and story.count > 1 else ""
    subject = f"{whose} {again}{_headline(story)} {story.place}"
    ascii_only = subject.encode("ascii", "replace").decode()
    return ascii_only if len(ascii_only) <= SUBJECT else ascii_only[: SUBJECT - 3] + "..."


def _headline(story: _Story) -> str:
    matter, operation = story.matter, story.execution.spec.operation.lower()
    state = (story.execution.status.state or "").lower()
    match matter.type:
        case "ApprovalNeeded" if matter.gate is None:
            return f"{counted(len(story.tasks), 'task')} for people to do:"
        case "ApprovalNeeded":
            return f"approval needed: {matter.about},"
        case "FenceDeferred":
            return f"{counted(_may_write(story), 'resource')} not fenced:"
        case "DecisionNeeded":
            return "decision needed:"
        case "TaskFailed":
            return f"{counted(len(story.tasks), 'task')} failed:"
        case "TaskComplete":
            names = some([t.spec.task or t.metadata.name for t in story.tasks], 2)
            return f"task complete: {names},"
        case "ExecutionStarted":
            return f"{operation} started:"
        case _:
            return f"{operation} {state}:"


def _happened(story: _Story) -> str:
    """What it is about, in a sentence or two."""
    status, matter = story.execution.status, story.matter
    match matter.type:
        case "ApprovalNeeded":
            return _asked(story)
        case "FenceDeferred":
            return (
                f"{counted(_may_write(story), 'resource')} of the side that is left could not be "
                "fenced and may still write there. The run goes on; Leeward looks again when that "
                "Region answers, and stops nothing there by itself."
            )
        case "DecisionNeeded":
            return f"The run holds until a person decides: {_why(story)}."
        case "TaskFailed":
            return f"{counted(len(story.tasks), 'task')} failed. {_goes_on(story)}"
        case "TaskComplete":
            return f"{counted(len(story.tasks), 'task')} complete."
        case "ExecutionStarted":
            servers = counted(status.resources.total, "resource")
            return f"It started at {_short(status.start_time)}: {servers} in {_waves(story)}."
        case _:
            return f"It ended {status.state} at {_short(status.completion_time)}: {status.message}"


def _asked(story: _Story) -> str:
    gate = story.matter.gate
    if gate is None:
        return f"{counted(len(story.tasks), 'task')} must be done by people, then marked done."
    have = len(standing(gate.answers))
    words = f"Gate {gate.name} waits before {gate.before} of wave {gate.wave}."
    if gate.required:
        words = (
            f"Gate {gate.name} waits for approval before {gate.before} of wave {gate.wave}: "
            f"{have} of {gate.required} given."
        )
    if gate.data_loss == "Question":
        words += " Servers lag or do not replicate: somebody must accept the loss of their data."
    return words


def _may_write(story: _Story) -> int:
    return sum(len(given_up_on(task)) for task in story.tasks)


def _why(story: _Story) -> str:
    gate = story.matter.gate
    tasks = counted(len(story.tasks), "task")
    if gate is None and any(map(undone, story.tasks)):
        return f"fencing by {tasks} was undone, and nothing is recovered beside what serves again"
    if gate is None:
        return f"{tasks} failed, and nothing else can go on"
    if gate.state == "TimedOut":
        return f"gate {gate.name} was not answered by {_short(gate.deadline)}"
    by = next((a for a in reversed(gate.answers) if a.verdict == "Reject"), None)
    said = f" ({by.comment})" if by and by.comment else ""
    return f"gate {gate.name} was rejected{f' by {by.user}{said}' if by else ''}"


def _goes_on(story: _Story) -> str:
    if ended(story.execution):
        return "The run has ended."
    if story.execution.spec.operation == "Test":
        return "The drill goes on to its clean-up, and then fails."
    return "What is under way is followed; when nothing else can go on, the run holds."


def _waves(story: _Story) -> str:
    return counted(len(story.execution.status.waves), "wave")


def _short(time: str | None) -> str:
    return f"{time[:19]}Z" if time else "an unknown time"


def _lines(story: _Story, happened: str, commands: Sequence[tuple[str, str]]) -> list[str]:
    """The whole text: what happened, where, to whom it goes, and how it is answered."""
    facts = [f"{label + ':':<15}{value}" for label, value in _facts(story) if value]
    tasks = [f"- {_told(task)}" for task in story.tasks[:_SHOWN]]
    if len(story.tasks) > _SHOWN:
        tasks.append(f"- and {len(story.tasks) - _SHOWN} more")
    findings = [f"- {finding}" for finding in _findings(story)]
    orders = [line for what, command in commands for line in (f"{what}:", f"    {command}", "")]
    blocks = [
        [happened],
        list(story.notes),
        facts,
        ["Tasks:", *tasks] if tasks else [],
        ["Findings:", *findings] if findings else [],
        orders[:-1],
        [f"Id of this message, the same if it comes twice: {story.id}"],
    ]
    return [line for block in blocks if block for line in (*block, "")][:-1]


def _facts(story: _Story) -> list[tuple[str, str]]:
    spec, plan = story.execution.spec, story.plan.spec
    return [
        ("Plan", f"{story.plan.metadata.name}, namespace {story.execution.metadata.namespace}"),
        ("Execution", story.execution.metadata.name),
        ("Operation", f"{spec.operation}, {_mode(story)}"),
        ("Customer", f"{plan.customer}, environment {plan.environment}"),
        ("From, to", f"{plan.regions.primary}, {plan.regions.recovery}"),
        ("Incident", spec.incident or ""),
        ("Reason", spec.reason or ""),
        ("Requested by", story.execution.status.requested_by or ""),
        ("Wave", _wave(story)),
        *notice_answers.who(story.execution, story.matter),
    ]


def _mode(story: _Story) -> str:
    return "Unplanned" if unplanned(story.execution) else story.execution.spec.mode


def _wave(story: _Story) -> str:
    gate = story.matter.gate
    waves = {task.spec.wave for task in story.tasks} or {story.execution.status.current_wave or ""}
    return gate.wave if gate else some(sorted(waves))


def _told(task: DRTask) -> str:
    spec, status = task.spec, task.status
    where = f"account {spec.account_id} ({spec.account}), {spec.region}"
    return (
        f"{task.metadata.name} ({spec.recovery_phase}, {where}): {status.message or status.state}"
    )


def _findings(story: _Story) -> list[str]:
    if story.matter.gate is not None:
        return list(story.matter.gate.findings)
    if story.matter.type in {"ExecutionStarted", "ExecutionFailed"}:
        return [clip(f, 256) for f in story.execution.status.findings]
    return []


def _attributes(story: _Story) -> dict[str, str]:
    metadata, spec = story.execution.metadata, story.execution.spec
    return {
        "id": story.id,
        "type": story.matter.type,
        "namespace": metadata.namespace,
        "plan": story.plan.metadata.name,
        "execution": metadata.name,
        "operation": spec.operation,
        "mode": _mode(story),
        "count": str(story.count),
    }


def _detail(story: _Story, happened: str) -> dict[str, Any]:
    """The fields of TRS appendix P under its names, and what more there is to say."""
    execution, status = story.execution, story.execution.status
    detail: dict[str, Any] = {
        **_attributes(story),
        "executionId": execution.metadata.name,
        "executionUid": execution.metadata.uid,
        "count": story.count,
        "timestamp": render_time(story.now),
        "customer": story.plan.spec.customer,
        "environment": story.plan.spec.environment,
        "incident": execution.spec.incident,
        "state": status.state,
        "wave": _wave(story),
        "summary": clip(happened, 1024),
        "notes": list(story.notes),
        "findings": _findings(story),
    }
    return {k: v for k, v in (detail | _of_gate(story) | _of_tasks(story)).items() if v is not None}


def _of_gate(story: _Story) -> dict[str, Any]:
    gate = story.matter.gate
    if gate is None:
        return {}
    return {
        "taskId": gate.name,
        "taskName": f"{gate.before} of wave {gate.wave}",
        "approvalRequired": True,
        "gate": gate.name,
        "before": gate.before,
        "required": gate.required,
        "given": len(standing(gate.answers)),
        "approvers": gate.approvers.to_api(),
        "deadline": gate.deadline,
        "onTimeout": gate.on_timeout,
        "dataLoss": gate.data_loss,
    }


def _of_tasks(story: _Story) -> dict[str, Any]:
    if not story.tasks:
        return {}
    first = story.tasks[0]
    detail: dict[str, Any] = {
        "taskId": first.metadata.name,
        "taskName": first.spec.task or first.metadata.name,
        "tasks": [t.metadata.name for t in story.tasks[: 5 * _SHOWN]],
        "taskCount": len(story.tasks),
    }
    if story.matter.type == "ApprovalNeeded":
        return detail | {"approvalRequired": True}
    if story.matter.type not in {"TaskFailed", "DecisionNeeded"}:
        return detail
    return detail | {
        "errorMessage": first.status.message or "failed",
        "retryable": not ended(story.execution),
    }
