"""The spans that the record of an execution gives. Pure.

Ids follow from uids, so that whichever process tells of a span tells of the same one. Times are
the record's. A task's attempt, and a gate that let the run pass, never change once they have
ended: those are told at once. A wave or a phase can be opened again until the run has its verdict,
so that what holds others, and a gate that nobody passed, is told at the run's end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Final

from leeward.api.conditions import Type, find
from leeward.api.execution import TERMINAL, DRExecution, WaveProgress
from leeward.api.gate_record import GateStatus
from leeward.api.task import DRTask
from leeward.planning.durations import parse
from leeward.planning.runs.waves import ENDED, GATE_OPEN, serves_before
from leeward.planning.times import parse_time
from leeward.planning.wording import clip, some

Value = str | int | float | bool
NAMESPACE: Final = "k8s.namespace.name"
_MESSAGE: Final = 512
"""Characters of what went wrong; the whole is on the object."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened inside a span."""

    name: str
    time: datetime
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """A span that has ended."""

    trace: int
    id: int
    parent: int | None
    name: str
    start: datetime
    end: datetime
    known: datetime
    """Since when it cannot change any more."""
    attributes: Mapping[str, Value]
    error: str | None = None
    """What went wrong; None: nothing."""
    events: tuple[Event, ...] = ()
    outward: bool = False
    """Whether it is a call to somebody else (kind CLIENT)."""


@dataclass(frozen=True, slots=True)
class Reach:
    """From when to when a task took part in its phase."""

    wave: str
    phase: str
    began: datetime | None
    """None: the record does not say."""
    ended: datetime | None
    failed: bool


def trace_id(execution: str) -> int:
    """Id of the trace of the execution of that uid."""
    return int.from_bytes(sha256(f"leeward/trace/{execution}".encode()).digest()[:16]) or 1


def root_id(execution: str) -> int:
    """Id of the span of the whole execution."""
    return _id("execution", execution)


def attempt_id(task: str, attempt: int) -> int:
    """Id of the span of one attempt of the task of that uid."""
    return _id("task", task, str(attempt))


def call_id(request: str) -> int:
    """Id of the span of a call to AWS; `request`: AWS's id of it, or another one of its own."""
    return _id("call", request)


def _id(*parts: str) -> int:
    return int.from_bytes(sha256("/".join(("leeward", *parts)).encode()).digest()[:8]) or 1


def traced(run: DRExecution) -> bool:
    """Whether the execution has a trace: a dry run does nothing that would be in one."""
    return run.spec.dry_run == "None"


def of_task(task: DRTask) -> Span | None:
    """The newest attempt of a task, if it began and has ended."""
    spec, status = task.spec, task.status
    began = _began(task)
    if status.state not in ENDED or not status.completion_time or began is None:
        return None
    run, end = spec.execution_ref.uid, parse_time(status.completion_time)
    failed = status.state == "Failed"
    attributes: dict[str, Value] = {
        NAMESPACE: task.metadata.namespace,
        "leeward.execution.name": spec.execution_ref.name,
        "leeward.task.name": task.metadata.name,
        "leeward.task.state": status.state,
        "leeward.task.attempt": status.attempt,
        "leeward.task.batches": sum(i.attempt == status.attempt for i in status.journal),
        "leeward.wave": spec.wave,
        "leeward.phase": spec.recovery_phase,
        "leeward.technology": spec.technology,
        "leeward.account": spec.account,
        "leeward.resources.total": status.total,
        "leeward.resources.complete": status.complete,
        "leeward.resources.failed": status.failed,
        "cloud.provider": "aws",
        "cloud.account.id": spec.account_id,
        "cloud.region": spec.region,
    }
    if failed:
        reasons = (r.reason for r in status.resources if r.state == "Failed" and r.reason)
        attributes["error.type"] = next(reasons, status.state)
    return Span(
        trace=trace_id(run),
        id=attempt_id(task.metadata.uid, status.attempt),
        parent=_phase_id(run, spec.wave, spec.recovery_phase),
        name=spec.task or f"{spec.technology} {spec.account}",
        start=min(began, end),
        end=end,
        known=end,
        attributes=attributes,
        error=clip(status.message or status.state, _MESSAGE) if failed else None,
    )


def _began(task: DRTask) -> datetime | None:
    """When the newest attempt began; what was asked ahead of its turn counts where it had none."""
    status = task.status
    if status.start_time:
        return parse_time(status.start_time)
    ahead = [i.time for i in status.journal if i.attempt == status.attempt]
    return parse_time(ahead[0]) if ahead else None


def reach(task: DRTask) -> Reach | None:
    """What the task adds to its phase; None if it never began, so that it has no span."""
    status = task.status
    times = [i.time for i in status.journal[:1]]  # of an earlier attempt, as a rule
    times += [status.start_time] if status.start_time else []
    if not times and status.attempt == 1:
        return None
    done = status.completion_time
    return Reach(
        wave=task.spec.wave,
        phase=task.spec.recovery_phase,
        began=min(map(parse_time, times), default=None),
        ended=parse_time(done) if done else None,
        failed=status.state == "Failed",
    )


def of_gates(run: DRExecution) -> Iterator[Span]:
    """The waits at gates that are over for good."""
    over = run.status.state in TERMINAL
    for gate in run.status.gates:
        if traced(run) and (over or gate.state in GATE_OPEN):
            yield _gate(run, gate)


def _gate(run: DRExecution, gate: GateStatus) -> Span:
    uid, asked, done = run.metadata.uid, parse_time(gate.asked_at), run.status.completion_time
    end = _answered(run, gate)
    if done and end > parse_time(done):
        end = parse_time(done)
    passed = gate.state in GATE_OPEN
    return Span(
        trace=trace_id(uid),
        id=_id("gate", uid, gate.id, gate.asked_at),
        parent=_above(run, gate.wave, gate.before),
        name=f"gate {gate.name}",
        start=min(asked, end),
        end=end,
        known=end if passed or not done else parse_time(done),
        attributes={
            NAMESPACE: run.metadata.namespace,
            "leeward.execution.name": run.metadata.name,
            "leeward.gate.name": gate.name,
            "leeward.gate.state": gate.state,
            "leeward.gate.required": gate.required,
            "leeward.gate.data_loss": gate.data_loss,
            "leeward.wave": gate.wave,
            "leeward.phase": gate.before,
        },
        error=None if passed else gate.state,
    )


def _answered(run: DRExecution, gate: GateStatus) -> datetime:
    """When the gate stopped waiting. Who answered, and with which words, stays on the object."""
    if gate.state == "Automatic":
        return parse_time(gate.asked_at)
    if gate.state == "TimedOut":
        return parse_time(gate.deadline)
    if gate.state != "Waiting" and gate.answers:
        return parse_time(gate.answers[-1].time)
    broken = run.status.break_glass
    if gate.state == "Approved" and broken is not None:
        return parse_time(broken.time)
    return parse_time(run.status.completion_time or gate.deadline)


def of_end(run: DRExecution, tasks: Sequence[Reach], failed: Sequence[str] = ()) -> Iterator[Span]:
    """The execution, its waves and phases, once it has its verdict.

    Args:
        run: with its verdict; nothing is told of one that has none.
        tasks: what `reach` said of its tasks.
        failed: names of those that failed, for the message.
    """
    status, meta = run.status, run.metadata
    begun = status.start_time or meta.creation_timestamp
    if not traced(run) or status.state not in TERMINAL or not (status.completion_time and begun):
        return
    end = parse_time(status.completion_time)
    root = _root(run, min(parse_time(begun), end), end, failed)
    yield root
    phases = list(_phases(run, root, tasks))
    yield from phases
    gates = list(of_gates(run))
    for wave in status.waves:
        mine = _wave_id(meta.uid, wave.name)
        inside = [s for s in (*phases, *gates) if s.parent == mine]
        if inside:
            yield _wave(root, wave, inside)


def _root(run: DRExecution, start: datetime, end: datetime, failed: Sequence[str]) -> Span:
    spec, status, uid = run.spec, run.status, run.metadata.uid
    verdict = find(status.conditions, Type.SUCCEEDED)
    reason = verdict.reason if verdict is not None else status.state or ""
    attributes: dict[str, Value] = {
        NAMESPACE: run.metadata.namespace,
        "leeward.execution.name": run.metadata.name,
        "leeward.execution.uid": uid,
        "leeward.plan": spec.plan_ref.name,
        "leeward.operation": spec.operation,
        "leeward.mode": run.mode,
        "leeward.state": status.state or "",
        "leeward.reason": reason,
        "leeward.resources.total": status.resources.total,
        "leeward.resources.complete": status.resources.complete,
        "leeward.resources.failed": status.resources.failed,
        "leeward.resources.skipped": status.resources.skipped,
    }
    if spec.incident:
        attributes["leeward.incident"] = spec.incident
    if status.objectives is not None:
        attributes["leeward.waited_seconds"] = parse(status.objectives.waited).total_seconds()
        if status.objectives.rto is not None:
            attributes["leeward.rto"] = status.objectives.rto
    wrong = status.state in {"Failed", "Expired"}
    if wrong:
        attributes["error.type"] = reason
    # Not the run's own message: it may quote what somebody wrote when they rejected a gate.
    words = f"{reason}: failed: {some(list(failed))}" if failed else reason
    return Span(
        trace_id(uid), root_id(uid), None, spec.operation, start, end, end, attributes,
        error=clip(words, _MESSAGE) if wrong else None, events=tuple(_events(run)),
    )  # fmt: skip


def _events(run: DRExecution) -> Iterator[Event]:
    """What happened and which commands were given, without people's names and words."""
    for event in run.status.events:
        yield Event(event.reason, parse_time(event.time))
    for given in run.status.commands:
        about: dict[str, Value] = {"leeward.task.name": given.object} if given.object else {}
        yield Event(f"command {given.key.rpartition('/')[2]}", parse_time(given.time), about)


def _phases(run: DRExecution, root: Span, tasks: Sequence[Reach]) -> Iterator[Span]:
    uid = run.metadata.uid
    for wave, phase in dict.fromkeys((t.wave, t.phase) for t in tasks):
        mine = [t for t in tasks if (t.wave, t.phase) == (wave, phase)]
        began = min(t.began or root.start for t in mine)
        ended = max((t.ended or root.end for t in mine), default=root.end)
        failed = sum(t.failed for t in mine)
        yield Span(
            trace=root.trace,
            id=_phase_id(uid, wave, phase),
            parent=_above(run, wave, phase),
            name=phase,
            start=min(began, ended),
            end=ended,
            known=root.known,
            attributes={
                NAMESPACE: run.metadata.namespace,
                "leeward.execution.name": run.metadata.name,
                "leeward.wave": wave,
                "leeward.phase": phase,
                "leeward.tasks": len(mine),
                "leeward.tasks.failed": failed,
            },
            error=f"{failed} of {len(mine)} tasks failed" if failed else None,
        )


def _wave(root: Span, wave: WaveProgress, inside: Sequence[Span]) -> Span:
    counts = wave.resources
    return Span(
        trace=root.trace,
        id=inside[0].parent or 0,
        parent=root.id,
        name=f"wave {wave.name}",
        start=min(s.start for s in inside),
        end=max(s.end for s in inside),
        known=root.known,
        attributes={
            NAMESPACE: root.attributes[NAMESPACE],
            "leeward.execution.name": root.attributes["leeward.execution.name"],
            "leeward.wave": wave.name,
            "leeward.wave.ordinal": wave.ordinal,
            "leeward.wave.state": wave.state,
            "leeward.resources.total": counts.total,
            "leeward.resources.complete": counts.complete,
            "leeward.resources.failed": counts.failed,
            "leeward.resources.skipped": counts.skipped,
        },
        error=wave.state if wave.state == "Failed" else None,
    )


def _above(run: DRExecution, wave: str, phase: str) -> int:
    """Id of the span that holds the phase: its wave's, or the run's where it comes afterwards."""
    if serves_before(run.spec.operation, phase):
        return root_id(run.metadata.uid)
    return _wave_id(run.metadata.uid, wave)


def _wave_id(execution: str, wave: str) -> int:
    return _id("wave", execution, wave)


def _phase_id(execution: str, wave: str, phase: str) -> int:
    return _id("phase", execution, wave, phase)
