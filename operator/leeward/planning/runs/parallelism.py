"""How many technologies, and accounts of each, work at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from leeward.api.plan import Parallelism
from leeward.api.task import DRTask

LIVE: Final = frozenset({"InProgress", "Retry", "PendingApproval"})
"""States of a task that has begun and not ended."""


def limited(
    candidates: Sequence[DRTask], parallelism: Parallelism | None, *, unplanned: bool = False
) -> tuple[DRTask, ...]:
    """Those of the candidates that may work at once. What has begun is never stopped by a limit.

    The fencing of an Unplanned run is not limited, and takes the place of nothing: its side may
    be lost, so it neither holds launches up nor waits for its turn to be given up.
    """
    if parallelism is None:
        return tuple(candidates)

    def free(task: DRTask) -> bool:
        return unplanned and task.spec.recovery_phase == "Fence"

    busy: dict[str, set[str]] = {}
    for task in candidates:
        if task.status.state in LIVE and not free(task):
            busy.setdefault(task.spec.technology, set()).add(task.spec.account)
    chosen = []
    for task in candidates:
        technology, account = task.spec.technology, task.spec.account
        accounts = busy.get(technology, set())
        room = technology in busy or len(busy) < parallelism.technologies
        if free(task) or task.status.state in LIVE or account in accounts:
            chosen.append(task)
        elif room and len(accounts) < parallelism.accounts:
            busy.setdefault(technology, set()).add(account)
            chosen.append(task)
    return tuple(chosen)
