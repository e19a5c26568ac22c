"""Kubernetes events for people who watch; the record is the status, and events may be lost."""

from __future__ import annotations

import logging
from typing import Literal

from leeward.api.common import API_VERSION
from leeward.engine.kube import ApiError, ApiUnavailable, Kube, Object
from leeward.planning.digests import digest

log = logging.getLogger(__name__)

Level = Literal["Normal", "Warning"]


class Recorder:
    """Writes events.k8s.io/v1 events about our objects."""

    def __init__(self, kube: Kube, instance: str) -> None:
        self._kube = kube
        self._instance = instance

    async def emit(
        self, about: Object, reason: str, message: str, level: Level, at: str, action: str = "Run"
    ) -> None:
        """One event about the object `about`; a failure to write it is logged, not raised."""
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
        path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        try:
            await self._kube.create(path, body)
        except ApiError as error:
            if error.status != 409:  # already written before a crash
                log.warning("event %s about %s not written: %s", reason, metadata["name"], error)
        except ApiUnavailable as error:
            log.warning("event %s about %s not written: %s", reason, metadata["name"], error)


def _clip(note: str) -> str:
    """At most as many bytes as the API server takes for a note: fewer than 1,024."""
    return note.encode()[:1000].decode(errors="ignore")
