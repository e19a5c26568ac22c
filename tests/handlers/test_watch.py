"""What the watch shows wakes the engine, whatever becomes of counting it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from leeward.handlers.wakeups import registry_of


class Woken:
    """A supervisor that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def notify(self, body: Any, *, deleted: bool) -> None:
        self.told.append(f"{body['metadata']['name']} deleted={deleted}")

    def wake(self, namespace: str, name: str) -> None:
        self.told.append(f"{namespace}/{name}")

    def wake_all(self) -> None:
        self.told.append("all")


def _fails(*_: object, **__: object) -> None:
    raise LookupError("no such label")


@pytest.mark.parametrize(
    ("plural", "kind", "others"),
    [("drexecutions", "runs", None), ("recoveryplans", "plans", "accounts"),
     ("targetaccounts", "accounts", "plans"), ("recoveryplans", "plans", "schedules"),
     ("drschedules", "schedules", None)],
)  # fmt: skip
def test_an_object_that_cannot_be_counted_is_looked_at_all_the_same(
    plural: str, kind: str, others: str | None
) -> None:
    supervisors = SimpleNamespace(
        runs=Woken(), plans=Woken(), accounts=Woken(), schedules=Woken()
    )  # fmt: skip
    failing = SimpleNamespace(saw=_fails)
    sight = SimpleNamespace(runs=failing, accounts=failing, plan=_fails, schedules=failing)
    kube: Any = SimpleNamespace(configuration=None)
    registry = registry_of(supervisors, kube, sight, None, 1.0, lambda: None)  # type: ignore[arg-type]
    (handler,) = (h for h in registry._watching.get_all_handlers() if h.selector.any_name == plural)
    body = {"metadata": {"uid": "u-1", "name": "one", "namespace": "orders", "generation": 1}}

    async def scenario() -> None:
        made: Any = handler.fn(event={"type": "ADDED", "object": body})
        await made

    asyncio.run(scenario())

    assert getattr(supervisors, kind).told == ["one deleted=False"]
    if others is not None:
        assert getattr(supervisors, others).told == ["all"]


def test_what_is_deleted_is_traced_of_no_task_and_for_the_last_time_of_an_execution() -> None:
    seen: list[str] = []
    runs = SimpleNamespace(notify=lambda *_, **__: None, wake=lambda *_: None)
    supervisors = SimpleNamespace(runs=runs, plans=Woken(), accounts=Woken())
    sight = SimpleNamespace(runs=SimpleNamespace(saw=_fails), accounts=None, plan=None)
    sight.accounts = sight.schedules = sight.runs
    traced = SimpleNamespace(
        task=lambda body: seen.append(body["kind"]),
        execution=lambda body, *, deleted: seen.append(f"{body['kind']} deleted={deleted}"),
    )
    kube: Any = SimpleNamespace(configuration=None)
    registry = registry_of(supervisors, kube, sight, traced, 1.0, lambda: None)  # type: ignore[arg-type]
    handlers: Any = {h.selector.any_name: h for h in registry._watching.get_all_handlers()}
    metadata = {"uid": "u-1", "name": "one", "namespace": "orders"}

    async def scenario() -> None:
        for kind in ("MODIFIED", "DELETED"):
            for plural in ("drtasks", "drexecutions"):
                body = {"kind": plural, "metadata": metadata}
                await handlers[plural].fn(event={"type": kind, "object": body})

    asyncio.run(scenario())
    assert seen == ["drtasks", "drexecutions deleted=False", "drexecutions deleted=True"]


def test_a_schedule_is_woken_when_its_drill_is_made_and_when_it_ends() -> None:
    supervisors = SimpleNamespace(
        runs=Woken(), plans=Woken(), accounts=Woken(), schedules=Woken()
    )  # fmt: skip
    shelf = SimpleNamespace(saw=lambda *_, **__: None)
    sight = SimpleNamespace(runs=shelf, accounts=shelf, plan=_fails, schedules=shelf)
    kube: Any = SimpleNamespace(configuration=None)
    registry = registry_of(supervisors, kube, sight, None, 1.0, lambda: None)  # type: ignore[arg-type]
    handlers: Any = {h.selector.any_name: h for h in registry._watching.get_all_handlers()}
    labels = {"leeward.dev/schedule": "weekly"}

    def body(uid: str, **status: Any) -> dict[str, Any]:
        metadata = {"uid": uid, "name": uid, "namespace": "orders"}
        if uid != "by-hand":
            metadata |= {"labels": labels}  # type: ignore[dict-item]
        return {"metadata": metadata, "status": status}

    seen = [
        body("u-1"), body("u-1", state="Running"), body("by-hand"),
        body("u-1", state="Succeeded", completionTime="2026-03-07T03:00:00Z"),
    ]  # fmt: skip

    async def scenario() -> None:
        for found in seen:
            await handlers["drexecutions"].fn(event={"type": "MODIFIED", "object": found})

    asyncio.run(scenario())
    assert supervisors.schedules.told == ["orders/weekly"] * 2
