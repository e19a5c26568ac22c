"""The tasks of live runs, each read again only when it is another version than the one at hand.

Every pass asks the API server what it holds now, but of what is known that is a line of metadata:
the tasks of a large run are tens of megabytes, and most of them do not change from pass to pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from leeward.api.execution import DRExecution, TaskRecord
from leeward.api.task import DRTask
from leeward.engine.kube import ApiError, Kube, Object, path_of
from leeward.engine.objects import EXECUTION_LABEL, Held, hold, label_value
from leeward.engine.together import each
from leeward.planning.digests import digest

_AT_ONCE = 8
"""Tasks that are read side by side."""
_PAGE = 20
"""Tasks that are listed at a time: those of a page are in memory as text, too."""


@dataclass(frozen=True, slots=True)
class OwnTasks:
    """The frozen tasks of a run as they are now."""

    found: list[Held[DRTask]]
    """In the order in which they were frozen."""
    missing: tuple[str, ...]
    """Names of those that are gone, or are not what was frozen: the run's record is broken."""


class TaskStore:
    """Remembers tasks by the uid of their run."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._known: dict[str, dict[str, Held[DRTask]]] = {}

    async def of(self, run: DRExecution) -> OwnTasks:
        """The frozen tasks of the run as they are now."""
        if run.metadata.uid not in self._known:
            self._known[run.metadata.uid] = await self._read_all(run)
        else:
            await self._refresh(run)
        known = self._known[run.metadata.uid]
        names = [record.name for record in run.status.tasks]
        missing = tuple(name for name in names if name not in known)
        return OwnTasks([known[name] for name in names if name in known], missing)

    def keep(self, run: DRExecution, tasks: Iterable[Held[DRTask]]) -> None:
        """The tasks as they were just written."""
        known = self._known.setdefault(run.metadata.uid, {})
        known.update({task.model.metadata.name: task for task in tasks})

    def forget(self, uid: str) -> None:
        """The run of that uid has ended."""
        self._known.pop(uid, None)

    async def _read_all(self, run: DRExecution) -> dict[str, Held[DRTask]]:
        records = {record.name: record for record in run.status.tasks}
        listed = self._kube.each(_folder(run), selector=_selector(run), at_once=_PAGE)
        return {
            name: hold(DRTask, body)
            async for body in listed
            if (name := body["metadata"]["name"]) in records and _frozen(records[name], body)
        }

    async def _refresh(self, run: DRExecution) -> None:
        known = self._known[run.metadata.uid]
        listed = await self._kube.list(_folder(run), selector=_selector(run), whole=False)
        now = {body["metadata"]["name"]: _version(body) for body in listed}
        stale = [r for r in run.status.tasks if r.name not in known or _moved(known[r.name], now)]

        async def read(record: TaskRecord) -> None:
            known.pop(record.name, None)
            try:
                body = await self._kube.get(f"{_folder(run)}/{record.name}")
            except ApiError as error:
                if error.status != 404:
                    raise
            else:
                if _frozen(record, body):
                    known[record.name] = hold(DRTask, body)

        await each(read, stale, at_once=_AT_ONCE)


def _moved(task: Held[DRTask], now: dict[str, tuple[Any, Any]]) -> bool:
    """Whether the server holds another version of the task, or another task of its name."""
    return now.get(task.model.metadata.name) != _version(task.raw)


def _version(body: Object) -> tuple[Any, Any]:
    return body["metadata"]["uid"], body["metadata"]["resourceVersion"]


def _frozen(record: TaskRecord, body: Object) -> bool:
    """Whether it has the uid and the digest that were recorded when the plan was frozen."""
    return bool(body["metadata"]["uid"] == record.uid and digest(body["spec"]) == record.digest)


def _folder(run: DRExecution) -> str:
    return path_of(DRTask.PLURAL, run.metadata.namespace)


def _selector(run: DRExecution) -> str:
    return f"{EXECUTION_LABEL}={label_value(run.metadata.name)}"
