"""Duties of a run whose plan is gone: the run goes on."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from leeward.api.execution import DRExecution
from leeward.api.gate_record import GateStatus
from leeward.api.task import DRTask
from leeward.engine import duties
from leeward.engine.duties import Duties
from leeward.engine.kube import ApiError
from leeward.planning.runs import fencing

RUN = DRExecution.model_validate(
    {
        "metadata": {"name": "shop-1", "namespace": "shop", "uid": "u-1"},
        "spec": {"planRef": {"name": "shop"}, "operation": "Failover"},
    }
)
GATE = GateStatus.model_validate(
    {
        "name": "wave-data", "id": "g-1", "wave": "data", "before": "Activate",
        "state": "Waiting", "required": 1, "askedAt": "2026-03-01T02:00:00Z",
        "deadline": "2026-03-01T03:00:00Z",
    }
)  # fmt: skip
TASK = cast("DRTask", SimpleNamespace(spec=SimpleNamespace(wave="data")))


@pytest.fixture
def of(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Duties whose read of the plan is answered with that HTTP status."""

    def make(status: int) -> Duties:
        async def read(*_: Any) -> Any:
            raise ApiError(status, "Reason", "said")

        monkeypatch.setattr(duties, "read", read)
        monkeypatch.setattr(fencing, "deferred", lambda _: True)
        context: Any = SimpleNamespace(kube=None, now=lambda: datetime(2026, 3, 1, tzinfo=UTC))
        return Duties(context)

    return make


def test_a_plan_that_was_deleted_in_mid_run_takes_no_duty_and_holds_nothing_up(of: Any) -> None:
    asyncio.run(of(404).note(RUN, [TASK]))
    assert asyncio.run(of(404).returned(RUN, GATE, [TASK])) == ""


@pytest.mark.parametrize("status", [403, 500])
def test_a_plan_that_cannot_be_read_ends_the_pass(of: Any, status: int) -> None:
    with pytest.raises(ApiError):
        asyncio.run(of(status).note(RUN, [TASK]))
    with pytest.raises(ApiError):
        asyncio.run(of(status).returned(RUN, GATE, [TASK]))
