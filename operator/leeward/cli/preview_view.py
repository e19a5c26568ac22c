"""What a run would do, as text: a header, the timeline as bars, the work, gates and rights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from rich.cells import cell_len, set_cell_size

from leeward.cli import times_view
from leeward.cli.render import Pair, Row, Status, View, clean, elapsed, layout, status
from leeward.planning.durations import parse
from leeward.planning.wording import counted, some

Object = Mapping[str, Any]

_ROWS: Final = 30
"""Lines of work that are listed by account."""
_BAR_MIN: Final = 20
_BAR_MAX: Final = 60
_SAID: Final = 10
_BUSY: Final = "PlanBusy: "
"""How the finding begins that another run has the plan now."""


def text(preview: Object, plan: str, operation: str, mode: str, width: int, *, color: bool) -> str:
    """The preview of a run of `plan`, `width` cells wide but for names that are longer."""
    head = [Pair("Plan", plan), Pair("Operation", f"{operation}, {mode}"), *pairs(preview)]
    parts = [layout(View(tuple(head)), width, color=color)]
    if preview.get("stages"):
        parts += [
            "\n".join(_timeline(preview, width)),
            "\n".join(_critical(preview)),
            "\n".join(_work(preview)),
            "\n".join(_gates(preview)),
            "\n".join(_access(preview)),
        ]
    return "\n\n".join(part for part in parts if part)


def pairs(preview: Object) -> Iterator[Pair]:
    """Lines of a header: whether it would begin, how long it would take, what stands against it."""
    refusals = preview.get("refusals") or []
    yield _begins(preview)
    for line in refusals[:_SAID]:
        yield Pair("Refused", clean(line), "bad")
    if preview.get("stages"):
        jobs = f", {counted(preview['jobs'], 'job')}" if preview.get("jobs") else ""
        tasks = counted(preview["tasks"], "task")
        yield Pair("Work", f"{counted(preview['resources'], 'resource')} by {tasks}{jobs}")
        yield Pair("Estimated", _estimate(preview))
    yield from times_view.promises(preview.get("objectives") or {}, "now")
    yield from _launch(preview.get("launch") or {})
    findings = preview.get("findings") or []
    for line in findings[:_SAID]:
        yield Pair("Finding", clean(line), "waiting")
    for what, lines in (("Refused", refusals), ("Finding", findings)):
        if len(lines) > _SAID:
            yield Pair(what, f"and {len(lines) - _SAID} more", "waiting")
    if left := preview.get("leftOut"):
        yield Pair("Left out", f"no room in the status for {', '.join(left)}")


def _begins(preview: Object) -> Pair:
    if refusals := preview.get("refusals") or []:
        look, said = status("Failed"), f"no, {counted(len(refusals), 'reason')}"
    elif any(f.startswith(_BUSY) for f in preview.get("findings") or []):
        look, said = status("WaitingForDecision"), "not while another run has the plan"
    else:
        look, said = status("Ready"), "yes"
    return Pair("Would begin", f"{look.glyph} {said}", look.tone)


def _estimate(preview: Object) -> str:
    whole = times_view.short(preview.get("duration"))
    recovered = times_view.short((preview.get("objectives") or {}).get("estimated"))
    known = any(stage["basis"] == "History" for stage in preview["stages"])
    how = "from earlier runs" if known else "from general figures"
    tail = f", {whole} with the clean-up" if whole != recovered else ""
    return f"{recovered}{tail}, {how}; waiting for people not counted"


def rows(preview: Object) -> tuple[Row, ...]:
    """The stages as rows of a tree, each behind the gate that it waits at."""
    found = []
    for stage in preview.get("stages") or []:
        for gate in _gates_before(stage, preview):
            name = f"{stage['wave']} {gate['name']}"
            found.append(Row(name, "Gate", Status("Preview"), "", _conditions(gate)))
        tasks = sum(row["tasks"] for row in stage.get("work") or [])
        dominated = f"; {clean(stage['dominatedBy'])}" if stage.get("dominatedBy") else ""
        said = f"after {times_view.short(stage['start'])}, {counted(tasks, 'task')}{dominated}"
        name = f"{stage['wave']} {stage['recoveryPhase']}"
        takes = times_view.short(stage["duration"])
        found.append(Row(name, "Phase", Status("Preview"), takes, said))
    return tuple(found)


def _gates_before(stage: Object, preview: Object) -> Iterator[Object]:
    """The gates that stand at the stage, in the order in which they are asked."""
    place = (stage["wave"], stage["recoveryPhase"])
    gates = preview.get("gates") or []
    return (gate for gate in gates if (gate["wave"], gate["before"]) == place)


# --- sections ----------------------------------------------------------------------------------


def _launch(launch: Object) -> Iterator[Pair]:
    """How many servers have launch settings, and what the run would change in AWS for them."""
    if not launch:
        return
    servers = counted(launch["servers"], "server")
    yield Pair("Launch settings", f"{servers}, {launch['differing']} to be changed in AWS")
    changes = launch.get("changes") or []
    for line in changes[:_SAID]:
        yield Pair("Changes", clean(line), "waiting")
    if len(changes) > _SAID:
        yield Pair("Changes", f"{len(changes) - _SAID} more; -o yaml lists them", "waiting")


def _timeline(preview: Object, width: int) -> Iterator[str]:
    """One bar for each stage, on one scale; a gate is a mark where it would be asked."""
    lines: list[tuple[str, str, str, str]] = [("WAVE", "STEP", "START", "TAKES")]
    spans: list[tuple[timedelta, timedelta | None]] = []
    for stage in preview["stages"]:
        start, takes = parse(stage["start"]), parse(stage["duration"])
        place = (stage["wave"], stage["recoveryPhase"])
        for gate in _gates_before(stage, preview):
            lines.append((stage["wave"], f"◇ {gate['name']}", "", ""))
            spans.append((start, None))
        lines.append((*place, elapsed(start), elapsed(takes)))
        spans.append((start, takes))
    table = _aligned(lines)
    room = min(max(width - cell_len(table[0]) - 2, _BAR_MIN), _BAR_MAX)
    whole = max(parse(preview["duration"]), timedelta(seconds=1))
    yield f"{table[0]}  {_scale(whole, room)}"
    for line, span in zip(table[1:], spans, strict=True):
        yield f"{line}  {_bar(*span, whole, room)}".rstrip()


def _bar(start: timedelta, takes: timedelta | None, whole: timedelta, room: int) -> str:
    """A bar, or for what takes no time a mark."""
    first = min(round(start / whole * room), room - 1)
    if takes is None:
        return " " * first + "◇"
    last = max(round((start + takes) / whole * room), first + 1)
    return " " * first + "█" * (last - first)


def _scale(whole: timedelta, room: int) -> str:
    middle, end = elapsed(whole / 2), elapsed(whole)
    left = f"{'0':<{room // 2}}{middle}"
    return f"{left:<{max(room - len(end), len(left) + 1)}}{end}"


def _critical(preview: Object) -> list[str]:
    """What the stages take their time from, where that is not plain from having one thing to do."""
    lines = [["WAVE", "PHASE", "AS LONG AS"]]
    lines += [
        [stage["wave"], stage["recoveryPhase"], stage["dominatedBy"]]
        for stage in preview["stages"]
        if stage.get("dominatedBy") and len(stage.get("work") or []) > 1
    ]
    return _table(lines) if len(lines) > 1 else []


def _work(preview: Object) -> list[str]:
    work = [
        (stage["wave"], stage["recoveryPhase"], row)
        for stage in preview["stages"]
        for row in stage.get("work") or []
    ]
    head = ["WAVE", "PHASE", "TECHNOLOGY", "ACCOUNT", "REGION", "TASKS", "RESOURCES", "JOBS"]
    if len(work) <= _ROWS:
        return _table([head, *(_work_row(*row) for row in work)])
    groups: dict[tuple[str, str, str, str], list[Object]] = {}
    for wave, phase, row in work:
        groups.setdefault((wave, phase, row["technology"], row["region"]), []).append(row)
    lines = [
        _work_row(wave, phase, _summed(group)) for (wave, phase, _, _), group in groups.items()
    ]
    return [*_table([head, *lines]), "-o yaml lists each account"]


def _summed(group: Sequence[Object]) -> Object:
    sums = {key: sum(row.get(key) or 0 for row in group) for key in ("tasks", "resources", "jobs")}
    account = group[0].get("account") if len(group) == 1 else counted(len(group), "account")
    return {**group[0], **sums, "account": account, "accountId": ""}


def _work_row(wave: str, phase: str, row: Object) -> list[str]:
    account = row.get("account") or ""
    if row.get("accountId"):
        account = f"{account} ({row['accountId']})"
    numbers = [f"{row['tasks']:,}", f"{row['resources']:,}", str(row.get("jobs") or "")]
    return [wave, phase, row["technology"], account, row["region"], *numbers]


def _gates(preview: Object) -> list[str]:
    lines = [["GATE", "WAVE", "BEFORE", "NEEDS"]]
    lines += [
        [gate["name"], gate["wave"], gate["before"], _conditions(gate)]
        for gate in preview.get("gates") or []
    ]
    return _table(lines) if len(lines) > 1 else ["No gate would be asked."]


def _conditions(gate: Object) -> str:
    if gate["passes"] == "Automatically":
        return "nothing: approvalMode Automatic passes it"
    listed = gate.get("approvers") or {}
    people = [f"user {name}" for name in listed.get("users") or []]
    people += [f"group {name}" for name in listed.get("groups") or []]
    who = some(people) if people else "anybody with the verb approve on the plan"
    tail = ", not the requester" if gate.get("fourEyes") == "Required" else ""
    if gate.get("dataLoss") == "Question":
        tail += ", and somebody who accepts the loss of data"
    patience = f"within {gate['timeout']}, then {gate['onTimeout']}"
    return clean(f"{counted(gate['required'], 'approval')} of {who}{tail}; {patience}")


def _access(preview: Object) -> list[str]:
    lines = [["ROLE", "ACCOUNTS", "ACTIONS", "FOR"]]
    lines += [
        [entry["role"], some(entry["accounts"]), str(len(entry["actions"])), some(entry["uses"])]
        for entry in preview.get("access") or []
    ]
    return [*_table(lines), "-o yaml lists the IAM actions"] if len(lines) > 1 else []


def _table(lines: Sequence[Sequence[str]]) -> list[str]:
    return [line.rstrip() for line in _aligned(lines)]


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    cleaned = [[clean(cell) for cell in line] for line in lines]
    widths = [max(cell_len(line[n]) for line in cleaned) for n in range(len(lines[0]))]
    return [
        "  ".join(set_cell_size(cell, width) for cell, width in zip(line, widths, strict=True))
        for line in cleaned
    ]
