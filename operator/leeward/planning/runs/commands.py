"""Commands: annotations with which people steer a run. Who wrote them is proved by admission."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from leeward.api.common import PREFIX
from leeward.api.execution import CommandRecord

EXECUTION_VERBS: Final = (
    "approve",
    "reject",
    "accept-data-loss",
    "pause",
    "resume",
    "cancel",
    "unplanned",
    "break-glass",
    "adopt",
)
_OF_GATES: Final = frozenset({"approve", "reject", "accept-data-loss"})
TASK_VERBS: Final = ("retry", "skip", "mark-done", "undo", "relaunch", "accept-data-loss")
_GATE = re.compile(
    r"^(approve|reject|accept-data-loss)-"
    r"([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)(?:\.[-a-zA-Z0-9_.]*)?$"
)
_IDS = re.compile(r"^\[([^\]]*)(?:\]\s*|$)")
MOST_REMEMBERED: Final = 100
_HOLDS: Final = frozenset({f"{PREFIX}pause", f"{PREFIX}resume"})
_FIRST: Final = ("cancel", "break-glass", "resume")
_BY_GATE: Final = frozenset({*_OF_GATES, "break-glass"})


@dataclass(frozen=True, slots=True)
class Command:
    """One annotation, understood."""

    key: str
    """The annotation's whole key."""
    value: str
    verb: str
    gate: str
    """For the answers to gates; else empty."""
    user: str
    comment: str
    resources: tuple[str, ...] = ()
    """Resource ids that a task's command names; empty: all that it can apply to. An empty or
    unclosed list of ids names nothing, so it holds one id that no resource has."""

    @property
    def steers(self) -> bool:
        """Whether it is about the run, and not about a gate that has a proof of its own."""
        return self.verb not in _BY_GATE


def remembered(records: Sequence[CommandRecord], record: CommandRecord) -> list[CommandRecord]:
    """The record of commands with one more, of a hundred at most.

    What was said to single tasks is forgotten first, then what is oldest; pauses and their ends
    last of all, because time-outs are reckoned by them.
    """
    kept = [*records, record]
    while len(kept) > MOST_REMEMBERED:
        kept.remove(min(kept[:-1], key=_weight))
    return kept


def _weight(record: CommandRecord) -> int:
    if record.object:
        return 0
    return 2 if record.key in _HOLDS else 1


def on_execution(annotations: Mapping[str, str]) -> list[Command]:
    """Commands on an execution, in the order of their keys, but `cancel` and `break-glass` first.

    Where `resume` and `pause` lie side by side nobody knows which is newer, so the run ends up
    paused. Annotations that are no commands are left out, and those that name nobody; the
    admission policy refuses both.
    """
    found = [c for k, v in sorted(annotations.items()) if (c := _parse(k, v, EXECUTION_VERBS))]
    return sorted(found, key=lambda c: _FIRST.index(c.verb) if c.verb in _FIRST else len(_FIRST))


def on_task(annotations: Mapping[str, str]) -> list[Command]:
    """Commands on a task, in the order of their keys."""
    return [c for k, v in sorted(annotations.items()) if (c := _parse(k, v, TASK_VERBS))]


def _parse(key: str, value: str, verbs: tuple[str, ...]) -> Command | None:
    if not key.startswith(PREFIX):
        return None
    word = key.removeprefix(PREFIX)
    gate = ""
    if match := _GATE.match(word):
        word, gate = match.group(1), match.group(2)
    of_gate = word in _OF_GATES and verbs is EXECUTION_VERBS
    if word not in verbs or of_gate is not bool(gate):
        return None
    # A user name may hold colons, but never colon and space: admission refuses such callers.
    user, _, comment = value.partition(": ")
    if not user.strip():
        return None
    resources: tuple[str, ...] = ()
    if word in TASK_VERBS and (ids := _IDS.match(comment)):
        named = tuple(i.strip() for i in ids.group(1).split(","))
        resources = tuple(i for i in named if i) or ("",)
        comment = comment[ids.end() :]
    return Command(key, value, word, gate, user.strip(), comment.strip(), resources)
