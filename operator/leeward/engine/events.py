"""Kubernetes events for people who watch; the record is the status, and events may be lost."""

from __future__ import annotations

import asyncio
import logging
from typing import Literal

from leeward.api.common import API_VERSION
from leeward.engine.kube import ApiError, ApiUnavailable, Kube, Object
from leeward.planning.digests import digest

log = logging.getLogger(__name__)

Level = Literal["Normal", "Warning"]
_ON_THEIR_WAY = 32
"""Events that are written at once."""


class Recorder:
    """Writes events.k8s.io/v1 events about our objects, beside the work that they speak of."""

    def __init__(self, kube: Kube, instance: str) -> None:
        self._kube = kube
        self._instance = instance
        self._room = asyncio.Semaphore(_ON_THEIR_WAY)
        self._writing: set[asyncio.Task[None]] = set()

    async def emit(
        self, about: Object, reason: str, message: str, level: Level, at: str, action: str = "Run"
    ) -> None:
        """Begin to write one event about the object `about`; it waits only where many are due.

        A failure to write it is logged, not raised.
        """
        metadata = about["metadata"]
        namespace = metadata.get("namespace") or "default"
        name = f"{metadata['name']}.{digest([metadata['uid'], reason, message, at])[7:23]}"
        body: Object = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name[:253], "namespace": namespace},
            "eventTime": at,
            "reportingController": "leeward.dev/operator",
            "reportingInstance": self._instance[:128],
            "action": action,
            "reason": reason,
            "note": _clip(message),
            "type": level,
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": about["kind"],
                "name": metadata["name"],
                "namespace": metadata.get("namespace"),
                "uid": metadata["uid"],
                "resourceVersion": metadata.get("resourceVersion"),
            },
        }
        await self._room.acquire()
        writing = asyncio.create_task(self._write(body), name=f"event {name}")
        self._writing.add(writing)
        writing.add_done_callback(self._written)

    async def settle(self, grace: float) -> None:
        """Wait for events on their way, for `grace` seconds at most."""
        if self._writing:
            await asyncio.wait(self._writing, timeout=grace)

    async def _write(self, body: Object) -> None:
        path = f"/apis/events.k8s.io/v1/namespaces/{body['metadata']['namespace']}/events"
        what = body["reason"], body["regarding"]["name"]
        try:
            await self._kube.create(path, body)
        except ApiError as error:
            if error.status != 409:  # already written before a crash
                log.warning("event %s about %s not written: %s", *what, error)
        except ApiUnavailable as error:
            log.warning("event %s about %s not written: %s", *what, error)

    def _written(self, writing: asyncio.Task[None]) -> None:
        self._writing.discard(writing)
        self._room.release()


def _clip(note: str) -> str:
    """At most as many bytes as the API server takes for a note: fewer than 1,024."""
    return note.encode()[:1000].decode(errors="ignore")
