"""From values to text: a header of pairs and a tree of rows, in colours or without.

Nothing here does I/O or knows the time. Text that came from outside is freed of control
characters: a tag in AWS must not steer anybody's terminal.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import click
from rich.cells import cell_len, set_cell_size

Tone = Literal["good", "bad", "busy", "waiting", "quiet", ""]

_COLOURS: Final[Mapping[Tone, str]] = {
    "good": "green",
    "bad": "red",
    "busy": "cyan",
    "waiting": "yellow",
    "quiet": "bright_black",
}
_GLYPHS: Final[Mapping[str, tuple[str, Tone]]] = {
    "Complete": ("✔", "good"),
    "Succeeded": ("✔", "good"),
    "Approved": ("✔", "good"),
    "Automatic": ("✔", "good"),
    "Ready": ("✔", "good"),
    "Failed": ("✖", "bad"),
    "Rejected": ("✖", "bad"),
    "TimedOut": ("✖", "bad"),
    "Cancelled": ("✖", "bad"),
    "Expired": ("✖", "bad"),
    "Stalled": ("✖", "bad"),
    "Blocking": ("✖", "bad"),
    "InProgress": ("◌", "busy"),
    "Running": ("◌", "busy"),
    "Preflight": ("◌", "busy"),
    "Reconciling": ("◌", "busy"),
    "Pending": ("◷", "waiting"),
    "Waiting": ("◷", "waiting"),
    "WaitingForApproval": ("◷", "waiting"),
    "PendingApproval": ("◷", "waiting"),
    "Retry": ("◷", "waiting"),
    "WaitingForDecision": ("⚠", "waiting"),
    "Degraded": ("⚠", "waiting"),
    "Warning": ("⚠", "waiting"),
    "Paused": ("॥", "waiting"),
}
_LABEL_WIDTH: Final = 17
_INFO_MIN: Final = 24
_INFO_LINES: Final = 4
_COLUMNS: Final = ("NAME", "KIND", "STATUS", "AGE", "INFO")


@dataclass(frozen=True, slots=True)
class Status:
    """A state in one word, with its glyph and colour."""

    word: str
    glyph: str = ""
    tone: Tone = ""

    @property
    def text(self) -> str:
        """Glyph and word."""
        return f"{self.glyph} {self.word}" if self.glyph else self.word


def status(word: str, *, flawed: bool = False) -> Status:
    """How a state looks; `flawed`: it went through, or goes on, with failures."""
    glyph, tone = _GLYPHS.get(word, ("○", "quiet"))
    return Status(word, "⚠", "waiting") if flawed and tone != "bad" else Status(word, glyph, tone)


@dataclass(frozen=True, slots=True)
class Pair:
    """A line of the header. `timed` ones change with the clock alone."""

    label: str
    value: str
    tone: Tone = ""
    timed: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the tree. A `note` has but a name, which may run over all columns.

    `text` is written below the row, over all columns: what is too long for INFO.
    """

    name: str
    kind: str = ""
    status: Status = Status("")
    age: str = ""
    info: str = ""
    text: str = ""
    children: tuple[Row, ...] = ()
    note: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """What is shown: the header, and the tree below it."""

    pairs: tuple[Pair, ...]
    root: Row | None = None


def clean(text: str) -> str:
    """`text` on one line, without characters that would steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in text.strip())


def resources_of(counted: Mapping[str, Any]) -> str:
    """`1 resource`, `1,050 resources`: as many as its field `resources` says."""
    number = counted.get("resources") or 0
    return f"{number:,} resource{'' if number == 1 else 's'}"


def age(span: timedelta) -> str:
    """A span as kubectl writes ages: two units at most, less exact the longer it is."""
    seconds = max(0, int(span.total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 2:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    return f"{hours}h" if hours < 48 else f"{days}d"


def elapsed(span: timedelta) -> str:
    """A span to the second, such as `1h02m05s`."""
    seconds = max(0, int(span.total_seconds()))
    hours, minutes, seconds = seconds // 3600, seconds // 60 % 60, seconds % 60
    if hours:
        return f"{hours}h{minutes:02d}m{seconds:02d}s"
    return f"{minutes}m{seconds:02d}s" if minutes else f"{seconds}s"


def moment(value: datetime) -> str:
    """A time to the second, as Kubernetes writes it."""
    return value.strftime("%Y-%m-%dT%H:%M:%SZ")


def layout(view: View, width: int, *, color: bool) -> str:
    """The view as text, without a final newline; `width` in cells of the terminal."""
    lines = [line for pair in view.pairs for line in _pair(pair, width, color)]
    if view.root is not None:
        lines += ["", *table(view.root, width, color=color)]
    return "\n".join(lines)


def _pair(pair: Pair, width: int, color: bool) -> Iterator[str]:
    label = f"{pair.label + ':':<{_LABEL_WIDTH - 1}} "
    room = max(width - _LABEL_WIDTH, _INFO_MIN)
    # A command is one line whatever it costs: it is copied as a whole.
    whole = pair.value.startswith("kubectl ")
    parts = [pair.value] if whole else textwrap.wrap(pair.value, room) or [""]
    for number, part in enumerate(parts):
        yield (label if number == 0 else " " * _LABEL_WIDTH) + _styled(part, pair.tone, color)


def table(root: Row, width: int, *, color: bool) -> list[str]:
    """The tree's lines, the column titles first."""
    placed = list(_placed(root))
    titles = Row(_COLUMNS[0], _COLUMNS[1], Status(_COLUMNS[2]), _COLUMNS[3], _COLUMNS[4])
    cells = [(lead + row.name, row) for lead, _, row in placed if not row.note]
    columns = [("NAME", titles), *cells]
    widths = [
        max(cell_len(name) for name, _ in columns),
        max(cell_len(row.kind) for _, row in columns),
        max(cell_len(row.status.text) for _, row in columns),
        max(cell_len(row.age) for _, row in columns),
    ]
    lines = _row("", "", titles, widths, width, color)
    for lead, below, row in placed:
        lines += _row(lead, below, row, widths, width, color)
    return lines


def _placed(row: Row, lead: str = "", below: str = "") -> Iterator[tuple[str, str, Row]]:
    """Each row with what is drawn before its name, and before what is written beneath it."""
    yield lead, below + ("│  " if row.children else "   "), row
    for child in row.children:
        last = child is row.children[-1]
        yield from _placed(
            child, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  ")
        )


def _row(
    lead: str, below: str, row: Row, widths: Sequence[int], width: int, color: bool
) -> list[str]:
    if row.note:
        return [lead + _styled(row.name, "quiet", color)]
    name, kind, state, span = widths
    left = f"{_padded(lead + row.name, name)}  {_padded(row.kind, kind)}  "
    middle = _styled(row.status.text, row.status.tone, color)
    gap = " " * (state - cell_len(row.status.text))
    start = name + kind + state + span + 8
    room = max(width - start, _INFO_MIN)
    parts = textwrap.wrap(row.info, room, max_lines=_INFO_LINES, placeholder=" …") or [""]
    lines = [f"{left}{middle}{gap}  {_padded(row.age, span)}  {parts[0]}".rstrip()]
    lines += [f"{_padded(below, start)}{part}".rstrip() for part in parts[1:]]
    room = max(width - cell_len(below), _INFO_MIN)
    return lines + [below + part for part in textwrap.wrap(row.text, room)]


def changes(before: View | None, after: View) -> list[str]:
    """Lines for what is new or other in `after`, for an output that cannot be redrawn.

    What moves with the clock alone, ages and elapsed times, is no change.
    """
    old_pairs = set() if before is None else set(_facts(before))
    lines = [f"{p.label}: {p.value}" for p in after.pairs if not p.timed and p not in old_pairs]
    old_rows = set() if before is None or before.root is None else set(_paths(before.root))
    if after.root is not None:
        for path in _paths(after.root):
            if path not in old_rows:
                names, kind, state, info = path
                words = (kind, " / ".join(names), state, info)
                lines.append("  ".join(word for word in words if word))
    return lines


def _facts(view: View) -> Iterator[Pair]:
    return (pair for pair in view.pairs if not pair.timed)


def _paths(
    row: Row, above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str, str, str]]:
    names = (*above, row.name)
    info = f"{row.info}: {row.text}" if row.text else row.info
    yield names[1:] or names, row.kind, row.status.text, info
    for child in row.children:
        yield from _paths(child, names)


def _padded(text: str, width: int) -> str:
    return set_cell_size(text, width) if cell_len(text) < width else text


def _styled(text: str, tone: Tone, color: bool) -> str:
    return click.style(text, fg=_COLOURS[tone]) if color and tone and text else text
