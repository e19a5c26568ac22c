"""Who runs what, when several workers share the suite: which tests stay together, what is first.

A worker starts a cluster for each directory whose tests share one, so such a directory stays with
one worker; where the tests of a directory take minutes, its files are shared out all the same.
What takes longest begins first, so that no worker still has minutes to go when the others are done.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

TOGETHER: Final = frozenset({"api", "chart", "engine", "policies"})
"""Directories whose tests share one cluster and take no longer than the longest file."""
FIRST: Final = (
    "crash", "policies", "e2e", "gitops", "chart", "engine", "sandbox", "cli", "image", "api",
    "metrics", "argocd", "adapters",
)  # fmt: skip
"""Directories by the time that their longest unit takes; those not listed take seconds."""


def unit(nodeid: str) -> str:
    """What a test stays together with: its file, or its directory."""
    file = nodeid.partition("::")[0]
    directory = _directory(file)
    return f"tests/{directory}" if directory in TOGETHER else file


def place(name: str, tests: int) -> tuple[int, int]:
    """Sorts units of that many tests by when they should begin."""
    directory = _directory(name)
    return FIRST.index(directory) if directory in FIRST else len(FIRST), -tests


def _directory(path: str) -> str:
    return PurePosixPath(path).parts[1]


class LongestFirst(LoadScopeScheduling):
    """Hands units out whole, and the longest one first."""

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        first = min(self.workqueue, key=lambda name: place(name, len(self.workqueue[name])))
        self.workqueue.move_to_end(first, last=False)
        super()._assign_work_unit(node)
