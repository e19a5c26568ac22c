"""The tasks of one phase as few rows: equal ones folded into one, trouble shown in full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from leeward.cli.render import Row, age, clean, status
from leeward.planning.wording import counted

Object = Mapping[str, Any]

FAILED_SHOWN: Final = 10
"""Failed resources of one phase that are listed one by one."""
_TASKS_SHOWN: Final = 4
_PASSED: Final = frozenset({"Complete", "Skipped"})
_LIVE: Final = frozenset({"InProgress", "Retry", "PendingApproval"})
_NOUNS: Final = {
    "drs": "server",
    "ec2": "instance",
    "rds": "database",
    "ecs": "service",
    "autoscaling": "group",
    "lambda": "function",
    "route53": "record",
}
_DONE: Final = {
    "Fence": "fenced",
    "Instantiate": "instantiated",
    "Activate": "activated",
    "Replicate": "replicating",
    "Cleanup": "cleaned up",
}
_DONE_BY_TECHNOLOGY: Final = {
    ("drs", "Instantiate"): "launched",
    ("route53", "Activate"): "switched",
}
_IN_WORDS: Final = {
    "NotStarted": "to do",
    "InProgress": "in progress",
    "PendingApproval": "waiting for approval",
    "Complete": "complete",
    "Failed": "failed",
    "Skipped": "left out",
    "Retry": "to be tried again",
    "Abandoned": "not run, the run was cancelled",
}


def state_of(task: Object) -> str:
    """State of a task."""
    return str((task.get("status") or {}).get("state") or "NotStarted")


def failed_of(task: Object) -> int:
    """How many of its resources failed."""
    return int((task.get("status") or {}).get("failed") or 0)


def phase_row(phase: str, tasks: Sequence[Object], now: datetime) -> Row:
    """The phase, with its tasks below it unless they can be said in its own line."""
    states = {state_of(t) for t in tasks}
    plain = [t for t in tasks if not t["spec"].get("task") and not _troubled(t)]
    if len(plain) == len(tasks) and len(states) == 1 and not states & _LIVE:
        info = f"{counted(len(tasks), 'task')} {_IN_WORDS.get(states.pop(), '')}, {_work(tasks)}"
        children: tuple[Row, ...] = ()
    else:
        info = _progress(tasks)
        children = tuple(_rows(phase, tasks, now))
    flawed = any(failed_of(t) for t in tasks)
    state = status(phase_state(tasks), flawed=flawed)
    return Row(phase, "Phase", state, _span(tasks, now), info, children=children)


def phase_state(tasks: Sequence[Object]) -> str:
    """State of a phase, from those of its tasks."""
    states = {state_of(t) for t in tasks}
    if len(states) == 1:
        return states.pop()
    if states <= _PASSED:
        return "Complete"
    if states & _LIVE or not states & {"Failed", "Abandoned"}:
        return "InProgress"
    return "Failed" if "Failed" in states else "Abandoned"


def _troubled(task: Object) -> bool:
    return state_of(task) == "Failed" or failed_of(task) > 0


def _rows(phase: str, tasks: Sequence[Object], now: datetime) -> Iterator[Row]:
    quiet: dict[str, list[Object]] = {}
    troubled: list[Object] = []
    for task in sorted(tasks, key=lambda t: str(t["metadata"]["name"])):
        if _troubled(task):
            troubled.append(task)
        elif task["spec"].get("task"):
            yield _task_row(task, now)
        else:
            quiet.setdefault(state_of(task), []).append(task)
    for state, group in quiet.items():
        if len(group) == 1 or (state in _LIVE and len(group) <= _TASKS_SHOWN):
            yield from (_task_row(task, now) for task in group)
        else:
            words = f"{len(group)} tasks {_IN_WORDS.get(state, state)}"
            info = _progress(group) if state in _LIVE else _work(group)
            yield Row(words, "Task", status(state), _span(group, now), info)
    yield from _trouble(phase, troubled, now)


def _trouble(phase: str, tasks: Sequence[Object], now: datetime) -> Iterator[Row]:
    budget = FAILED_SHOWN
    for task in tasks[:_TASKS_SHOWN]:
        listed = _failures(task)[:budget]
        budget -= len(listed)
        yield _task_row(task, now, (*listed, *_unlisted(task, len(listed)), *_remedy(task)))
    if rest := tasks[_TASKS_SHOWN:]:
        name = f"{counted(len(rest), 'more task')} with failures"
        reasons = Counter(_reason(r) for t in rest for r in _failed_resources(t))
        state = status(phase_state(rest), flawed=True)
        yield Row(name, "Task", state, _span(rest, now), _counts(reasons))


def _task_row(task: Object, now: datetime, children: tuple[Row, ...] = ()) -> Row:
    state = state_of(task)
    info = _progress([task])
    # The message of a task in trouble repeats what its resources say below it.
    if not children and (message := (task.get("status") or {}).get("message")):
        info = clean(message) if state != "Complete" else _work([task])
    look = status(state, flawed=failed_of(task) > 0)
    return Row(_short_name(task), "Task", look, _span([task], now), info, children=children)


def _short_name(task: Object) -> str:
    """The task's name without what the rows above it say."""
    spec = task["spec"]
    if spec.get("task"):
        return str(spec["task"])
    phase = spec["recoveryPhase"].lower()
    prefix = f"{spec['executionRef']['name']}-w{spec['waveOrdinal']}-{phase}-"
    name = str(task["metadata"]["name"])
    return name.removeprefix(prefix)


def _failed_resources(task: Object) -> list[Object]:
    resources = (task.get("status") or {}).get("resources") or []
    return [r for r in resources if r.get("state") == "Failed"]


def _failures(task: Object) -> list[Row]:
    names = {r["id"]: r.get("name") for r in task["spec"].get("resources") or []}
    rows: list[Row] = []
    said: set[tuple[str, str]] = set()
    for resource in _failed_resources(task):
        rid = clean(resource["id"])
        name = clean(names.get(resource["id"]) or "")
        title = f"{name} ({rid})" if name and name != rid else rid
        reason, text = _reason(resource), clean(resource.get("message") or "")
        if (reason, text) in said:
            reason, text = f"{reason}, as above", ""
        said.add((reason, text))
        rows.append(Row(title, "Resource", status("Failed"), "", reason, text))
    return rows


def _unlisted(task: Object, listed: int) -> Iterator[Row]:
    rest = _failed_resources(task)[listed:]
    if rest:
        reasons = Counter(_reason(r) for r in rest)
        name = f"and {len(rest)} more" if listed else counted(len(rest), "resource")
        yield Row(name, "Resource", status("Failed"), "", _counts(reasons))


def _remedy(task: Object) -> Iterator[Row]:
    """What to type; only a task that has come to its end can be tried again."""
    if state_of(task) == "Failed":
        metadata = task["metadata"]
        command = f"kubectl leeward retry drt {metadata['name']} -n {metadata['namespace']}"
        yield Row(command, note=True)


def _reason(resource: Object) -> str:
    return clean(resource.get("reason") or "Failed")


def _counts(reasons: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(5))


def _progress(tasks: Sequence[Object]) -> str:
    total = sum(_total(t) for t in tasks)
    failed = sum(failed_of(t) for t in tasks)
    skipped = sum(_skipped(t) for t in tasks)
    info = f"{sum(_complete(t) for t in tasks):,}/{total:,} done"
    info += f", {failed:,} failed" if failed else ""
    return info + (f", {skipped:,} left out" if skipped else "")


def _total(task: Object) -> int:
    return len(task["spec"].get("resources") or [])


def _complete(task: Object) -> int:
    return int((task.get("status") or {}).get("complete") or 0)


def _skipped(task: Object) -> int:
    resources = (task.get("status") or {}).get("resources") or []
    return sum(1 for r in resources if r.get("state") == "Skipped")


def _work(tasks: Sequence[Object]) -> str:
    """`1,050 servers launched`, or without the verb where that is not so yet."""
    totals: Counter[tuple[str, str, bool]] = Counter()
    for task in tasks:
        spec = task["spec"]
        done = state_of(task) == "Complete"
        totals[spec["technology"], spec["recoveryPhase"], done] += (
            _complete(task) if done else _total(task)
        )
    return ", ".join(_said(*key, total) for key, total in totals.items())


def _said(technology: str, phase: str, done: bool, total: int) -> str:
    noun = _NOUNS.get(technology, f"{technology} resource") + ("" if total == 1 else "s")
    verb = _DONE_BY_TECHNOLOGY.get((technology, phase)) or _DONE.get(phase, "done")
    return f"{total:,} {noun} {verb}" if done else f"{total:,} {noun}"


def _span(tasks: Sequence[Object], now: datetime) -> str:
    statuses = [t.get("status") or {} for t in tasks]
    starts = [s["startTime"] for s in statuses if s.get("startTime")]
    if not starts:
        return ""
    ends = [s.get("completionTime") for s in statuses if s.get("startTime")]
    return span(min(starts), max(e for e in ends if e) if all(ends) else None, now)


def span(start: str | None, end: str | None, now: datetime) -> str:
    """How long something took, or has taken until now; empty before it began."""
    if not start:
        return ""
    until = datetime.fromisoformat(end) if end else now
    return age(max(until - datetime.fromisoformat(start), timedelta()))
