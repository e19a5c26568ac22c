"""Runs as the API server stores them, at moments that people look at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

NOW = datetime(2026, 3, 1, 2, 30, 0, tzinfo=UTC)
Object = dict[str, Any]


def ago(**span: float) -> str:
    """A time before NOW as the operator writes it."""
    return (NOW - timedelta(**span)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Story:
    """One run of plan `orders`, built up wave by wave."""

    now = NOW

    def __init__(self) -> None:
        self.status: Object = {"startTime": ago(minutes=12, seconds=41), "conditions": []}
        self.tasks: list[Object] = []
        self.spec: Object = {
            "planRef": {"name": "orders"},
            "operation": "Failover",
            "mode": "Unplanned",
        }

    ago = staticmethod(ago)

    @property
    def execution(self) -> Object:
        return {
            "apiVersion": "leeward.dev/v1alpha1",
            "kind": "DRExecution",
            "metadata": {
                "name": "orders-1",
                "namespace": "orders",
                "uid": "u-1",
                "creationTimestamp": ago(minutes=13),
            },
            "spec": self.spec,
            "status": self.status,
        }

    def is_(self, state: str, message: str, reason: str = "Running", **status: Any) -> Story:
        """Set the run's state, with the conditions that go with it."""
        ended = {"Succeeded": "True", "Failed": "False", "Cancelled": "False", "Expired": "False"}
        conditions = [self.condition("Succeeded", ended.get(state, "Unknown"), reason)]
        if state in {"WaitingForApproval", "WaitingForDecision", "Paused"}:
            conditions.append(self.condition(state, "True", reason))
        self.status |= {"state": state, "message": message, "conditions": conditions, **status}
        if state in ended:
            self.status["completionTime"] = ago(minutes=1)
        return self

    @staticmethod
    def condition(kind: str, status: str, reason: str = "Running") -> Object:
        return {"type": kind, "status": status, "reason": reason, "lastTransitionTime": ago()}

    def wave(self, name: str, state: str, total: int, **more: Any) -> Story:
        """Add a wave; `complete`, `failed`, `skipped` are counts."""
        counts: Object = {k: more.pop(k) for k in ("complete", "failed", "skipped") if k in more}
        waves = self.status.setdefault("waves", [])
        wave: Object = {"name": name, "ordinal": len(waves) + 1, "state": state}
        waves.append(wave | {"resources": counts | {"total": total}} | more)
        self.status["resources"] = {
            key: sum(w["resources"].get(key, 0) for w in waves)
            for key in ("total", "complete", "failed", "skipped")
        }
        return self

    def gate(self, name: str, wave: str, state: str | None = None, **more: Any) -> Story:
        """Add a gate: asked with a state, else frozen only."""
        frozen = {"name": name, "wave": wave, "before": more.pop("before", "Activate")}
        frozen |= {"required": more.pop("required", 1), "timeout": "30m"}
        self.status.setdefault("frozenGates", []).append(frozen)
        if state is not None:
            asked = {"id": "g-1", "state": state, "askedAt": ago(minutes=9), "onTimeout": "Hold"}
            asked["deadline"] = (NOW + timedelta(minutes=21)).isoformat()
            self.status.setdefault("gates", []).append(frozen | asked | more)
        return self

    def task(
        self,
        wave: int,
        phase: str,
        states: Sequence[str],
        state: str,
        *,
        account: str = "111111111111",
        part: int = 0,
        task: str | None = None,
        technology: str = "drs",
        message: str = "",
        failures: Sequence[tuple[str, str]] = (),
    ) -> Story:
        """Add a task with a resource for each of `states`; `failures` are reason and message."""
        name = self.status["waves"][wave - 1]["name"]
        tail = task or f"{technology}-{account}-use2-{part}"
        ids = [f"s-{account[0]}{part:02}{n:03}" for n in range(len(states))]
        resources = self._resources(ids, states, failures)
        self.tasks.append(
            {
                "metadata": {
                    "name": f"orders-1-w{wave}-{phase.lower()}-{tail}",
                    "namespace": "orders",
                    "labels": {"leeward.dev/execution": "orders-1"},
                },
                "spec": {
                    "executionRef": {"name": "orders-1", "uid": "u-1"},
                    "wave": name,
                    "waveOrdinal": wave,
                    "recoveryPhase": phase,
                    "technology": technology,
                    "accountId": account,
                    "region": "us-east-2",
                    "resources": [{"id": i, "name": f"{name}-{n}"} for n, i in enumerate(ids, 1)],
                    **({"task": task} if task else {}),
                },
                "status": {
                    "state": state,
                    "message": message,
                    "complete": list(states).count("Complete"),
                    "failed": list(states).count("Failed"),
                    "total": len(states),
                    "resources": resources,
                    **self._times(state),
                },
            }
        )
        return self

    @staticmethod
    def _resources(
        ids: Sequence[str], states: Sequence[str], failures: Sequence[tuple[str, str]]
    ) -> list[Object]:
        failed = iter(failures)
        resources = []
        for rid, state in zip(ids, states, strict=True):
            entry: Object = {"id": rid, "state": state}
            if state == "Failed":
                entry["reason"], entry["message"] = next(failed, ("LaunchFailed", "see the job"))
            resources.append(entry)
        return resources

    @staticmethod
    def _times(state: str) -> Object:
        if state == "NotStarted":
            return {}
        times = {"startTime": ago(minutes=8, seconds=30)}
        return times | ({"completionTime": ago(minutes=2)} if state in _ENDED else {})


_ENDED = {"Complete", "Failed", "Skipped", "Abandoned"}


@pytest.fixture
def story() -> Story:
    return Story()
