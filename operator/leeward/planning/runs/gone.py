"""Tasks of a run that are gone, or are other objects of their name: its record is broken.

What they had asked AWS for was written on them alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from leeward.api.execution import DRExecution
from leeward.api.task import DRTask
from leeward.planning.wording import counted, some


def missing(execution: DRExecution, tasks: Sequence[DRTask]) -> list[str]:
    """Names of the frozen tasks that are not among `tasks`."""
    there = {t.metadata.name for t in tasks}
    return [record.name for record in execution.status.tasks if record.name not in there]


def unknown(execution: DRExecution, tasks: Sequence[DRTask]) -> str:
    """What nobody can say of the run, as the beginning of a sentence; empty: no task is gone."""
    if not (lost := missing(execution, tasks)):
        return ""
    return (
        f"what {counted(len(lost), 'task')} that {'are' if len(lost) > 1 else 'is'} gone did in "
        f"AWS is not known: {some(lost, 3)}; of the others: "
    )
