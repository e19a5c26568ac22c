"""The operator's writes to Kubernetes beside the transitions of its tasks.

A transition is what the record of a task must not lose: that it was made, began, ended; an intent;
AWS's answer to it; a resource that came into another state. Several in one write are one.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from testbed import Site

from leeward_sandbox.cluster import binaries


class TaskWatch:
    """Sees every version of every DRTask."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def transitions(self) -> int:
        """How many writes to tasks carried a transition."""
        before: dict[str, Any] = {}
        count = 0
        for task in _documents(self._file.read_text()):
            uid, essence = task["metadata"]["uid"], _essence(task.get("status", {}))
            count += before.get(uid) != essence
            before[uid] = essence
        return count


@contextmanager
def watching(site: Site) -> Iterator[TaskWatch]:
    """Watch the tasks of a site's namespace meanwhile."""
    file = site.folder / "tasks.json"
    with file.open("wb") as out:
        process = _watch(site, out)
        try:
            yield TaskWatch(file)
        finally:
            process.terminate()
            process.wait()


def _watch(site: Site, out: IO[bytes]) -> subprocess.Popen[bytes]:
    command = ["get", "drtasks", "--watch", "--output", "json"]
    return subprocess.Popen(
        [str(binaries.kubectl()), "-n", site.namespace, *command],
        env={**os.environ, **site.stack.environment()},
        stdout=out,
    )


def _documents(text: str) -> Iterator[dict[str, Any]]:
    decoder, place = json.JSONDecoder(), 0
    while (place := _skip(text, place)) < len(text):
        try:
            found, place = decoder.raw_decode(text, place)
        except ValueError:
            return  # the watch was ended within a document
        yield found


def _skip(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def _essence(status: dict[str, Any]) -> Any:
    return (
        status.get("state", "NotStarted"),
        [(i["id"], i.get("outcome", "Pending")) for i in status.get("journal", [])],
        {r["id"]: r["state"] for r in status.get("resources", [])},
    )
