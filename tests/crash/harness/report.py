"""What a round of interruptions came to, as a table for people and for the documentation."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.boundaries import Boundary

REPORT = "boundaries"
"""Property of a test under which it hands its report over, from a worker's process too."""


@dataclass(slots=True)
class Report:
    """Counts what happened at each boundary."""

    listed: Sequence[Boundary]
    """All boundaries that there are, of which a round may take a sample."""
    killed: list[Boundary] = field(default_factory=list)
    missed: list[Boundary] = field(default_factory=list)
    """Not reached: the run went another way this time."""
    failed: dict[Boundary, str] = field(default_factory=dict)
    """What was not as it must be, an effect that came twice above all."""
    again: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Calls that were sent again and changed nothing, by row."""
    began: float = field(default_factory=time.monotonic)

    def count(self, boundary: Boundary, again: int) -> None:
        """A kill after which everything was as it must be."""
        self.killed.append(boundary)
        self.again[_row(boundary)] += again

    @property
    def kills(self) -> int:
        """How many boundaries a run was killed at."""
        return len(self.killed) + len(self.failed)

    def table(self) -> str:
        """In Markdown."""
        head = ("run", "at", "side", "boundaries", "kills", "not reached", "failed", "sent again")
        lines = [head, ("---",) * 3 + ("---:",) * 5]
        for row in dict.fromkeys(map(_row, self.listed)):
            lines.append((*row, *self._counts(row)))
        lines.append(("all", "", "", *self._counts(None)))
        return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)

    def _counts(self, row: tuple[str, str, str] | None) -> tuple[int, ...]:
        def number(some: Sequence[Boundary]) -> int:
            return sum(row is None or _row(b) == row for b in some)

        again = self.again.total() if row is None else self.again[row]
        failed = list(self.failed)
        return (
            number(self.listed), number(self.killed) + number(failed), number(self.missed),
            number(failed), again,
        )  # fmt: skip

    def text(self) -> str:
        """The table, the wall time, and what was not reached or failed, by name."""
        seconds = time.monotonic() - self.began
        lines = [
            self.table(),
            f"{self.kills} kills in {seconds:.0f} s, {seconds / max(self.kills, 1):.1f} s each",
        ]
        lines += [f"not reached: {boundary}" for boundary in self.missed]
        lines += [f"FAILED {boundary}: {why}" for boundary, why in self.failed.items()]
        return "\n".join(lines)


def _row(boundary: Boundary) -> tuple[str, str, str]:
    return boundary.run, boundary.system, boundary.side
