"""Sees every status that is written on a cluster, and judges each kind of it once."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from verdicts.together import CUSTOMIZATIONS, conflicts

_PLURALS = ("recoveryplans", "drexecutions", "drtasks", "targetaccounts")
_WATCH = "/apis/leeward.dev/v1alpha1/{}?watch=true&timeoutSeconds=86400"


class Witness:
    """Watches our kinds in all namespaces, from `watch` on.

    A watch is told of each write, none left out; one that breaks off, with its API server, begins
    anew with what is there then.
    """

    def __init__(self, kubectl: Path, kubeconfig: Path) -> None:
        self._command = [os.fspath(kubectl), "--kubeconfig", os.fspath(kubeconfig), "get", "--raw"]
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self._watching: dict[str, subprocess.Popen[str]] = {}
        self._over = threading.Event()
        self.said: dict[str, list[str]] = {}
        """What judges say against each other, by kind and name of the first such object."""
        self.failures: list[str] = []
        """What kept the witness from judging."""

    @contextmanager
    def watch(self) -> Iterator[Witness]:
        """Watch until the end of the block."""
        threads = [threading.Thread(target=self._follow, args=(p,), daemon=True) for p in _PLURALS]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            with self._lock:
                running = list(self._watching.values())
            for process in running:
                process.terminate()
            for thread in threads:
                thread.join(timeout=30)

    @property
    def judged(self) -> int:
        """How many different statuses were judged."""
        return len(self._seen)

    def _follow(self, plural: str) -> None:
        while not self._over.wait(0.2):
            with subprocess.Popen(
                [*self._command, _WATCH.format(plural)],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
            ) as process:
                with self._lock:
                    self._watching[plural] = process
                if self._over.is_set():
                    process.terminate()
                try:
                    self._take(process.stdout or ())
                except Exception as error:  # noqa: BLE001 - a thread's error would go unseen
                    self.failures.append(f"{plural}: {error!r}")
                    process.terminate()
                    return

    def _take(self, lines: Iterator[str] | Sequence[str]) -> None:
        for line in lines:
            if not line.endswith("\n"):
                return  # the watch broke off
            event = json.loads(line)
            if event["type"] in {"ADDED", "MODIFIED"}:
                self.judge(event["object"])

    def judge(self, obj: dict[str, Any]) -> None:
        """Judge an object, unless one like it was."""
        likeness = json.dumps(_likeness(obj))
        with self._lock:
            if likeness in self._seen:
                return
            self._seen.add(likeness)
        if (CUSTOMIZATIONS / obj["kind"]).is_dir() and (found := list(conflicts(obj))):
            self.said[f"{obj['kind']} {obj['metadata']['name']} {likeness}"] = found


def _likeness(obj: dict[str, Any]) -> list[Any]:
    """All of an object that a verdict can depend on."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    told = [
        [c["type"], c["status"], c.get("reason"), c.get("observedGeneration")]
        for c in status.get("conditions") or []
    ]
    generation = [metadata["generation"], status.get("observedGeneration")]
    return [obj["kind"], *generation, "deletionTimestamp" in metadata, told]
