"""Schedules beside a real API server: one drill for each time, whatever comes between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from surroundings import NAMESPACE, execution

from leeward.api.execution import DRExecution
from leeward.api.schedule import DRSchedule
from leeward.engine.context import Context
from leeward.engine.events import Recorder
from leeward.engine.kube import ApiError, Kube, path_of
from leeward.engine.objects import put_status, read
from leeward.engine.schedules import ScheduleReconciler
from leeward.engine.supervisor import Key, key_of

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("kinds", "served")]
Connect = Any  # conftest.Connect
MINUTE = timedelta(minutes=1)
AUTHOR = "ann@example.com"


class Scene:
    """A schedule of every hour, its plan at home, and a clock that the test moves."""

    def __init__(self, kube: Kube, name: str) -> None:
        self.kube = kube
        self.name = name
        self.plan = f"{name}-plan"
        # Objects are made now; the hour that is due next is the first.
        now = datetime.now(UTC)
        self.due = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        self.now = now
        self.key = Key("", NAMESPACE, name)
        self.settings = SimpleNamespace(schedules="On")
        self.lease = SimpleNamespace(assert_valid=lambda: None)
        self.recorder = Recorder(kube, "test")
        context = SimpleNamespace(
            kube=kube, lease=self.lease, recorder=self.recorder, now=lambda: self.now,
            settings=self.settings,
        )  # fmt: skip
        self.reconciler = ScheduleReconciler(cast(Context, context))

    async def make(self, **spec: Any) -> None:
        """The schedule, written by somebody."""
        metadata = {
            "name": self.name, "namespace": NAMESPACE, "labels": {"app": "shop"},
            "annotations": {
                "leeward.dev/requested-by": AUTHOR, "argocd.argoproj.io/tracking-id": "mine"
            },
        }  # fmt: skip
        body = {
            "apiVersion": "leeward.dev/v1alpha1", "kind": "DRSchedule", "metadata": metadata,
            "spec": {"planRef": {"name": self.plan}, "schedule": "0 * * * *", **spec},
        }  # fmt: skip
        self.key = key_of(await self.kube.create(path_of("drschedules", NAMESPACE), body))

    async def make_plan(self, location: str = "Primary") -> None:
        path = path_of("recoveryplans", NAMESPACE)
        spec = {
            "customer": "acme", "environment": "production",
            "regions": {"primary": "us-east-1", "recovery": "us-east-2"},
            "accounts": [{"name": "prod"}], "waves": [{"name": "data"}],
        }  # fmt: skip
        body = {
            "apiVersion": "leeward.dev/v1alpha1", "kind": "RecoveryPlan",
            "metadata": {"name": self.plan, "namespace": NAMESPACE}, "spec": spec,
        }  # fmt: skip
        made = await self.kube.create(path, body)
        status = {**made, "status": {"location": location}}
        await self.kube.replace(f"{path}/{self.plan}/status", status)

    async def at(self, moment: datetime) -> float | None:
        """A pass at that time."""
        self.now = moment
        return await self.reconciler.run(self.key)

    async def schedule(self) -> DRSchedule:
        return (await read(self.kube, DRSchedule, NAMESPACE, self.name)).model

    async def drills(self) -> list[DRExecution]:
        listed = await self.kube.list(
            path_of("drexecutions", NAMESPACE), selector=f"leeward.dev/schedule={self.name}"
        )
        return [DRExecution.model_validate(body) for body in listed]

    async def events(self) -> list[str]:
        """Notes of the events about the schedule."""
        await self.recorder.settle(10)
        path = f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events"
        found = await self.kube.list(path)
        return [e["note"] for e in found if e["regarding"].get("name") == self.name]

    def run_name(self, due: datetime) -> str:
        return f"{self.name}-{int(due.timestamp()) // 60}"

    async def end(self, name: str, state: str = "Succeeded") -> None:
        """Let a drill end."""
        held = await read(self.kube, DRExecution, NAMESPACE, name)
        status = {"state": state, "completion_time": "2026-03-01T02:00:00Z"}
        await put_status(self.kube, held, held.model.status.model_copy(update=status))


def played(connect: Connect, name: str, play: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    @asynccontextmanager
    async def scene() -> AsyncIterator[Scene]:
        async with connect() as kube:
            yield Scene(kube, name)

    async def run() -> None:
        async with scene() as made:
            await play(made)

    asyncio.run(run())


def test_a_drill_starts_when_it_is_due_and_is_followed_to_its_end(
    connect: Connect, name: str
) -> None:
    async def play(scene: Scene) -> None:
        await scene.make_plan()
        await scene.make(template={"approvalMode": "Automatic"})
        wait = await scene.at(scene.now)
        assert wait is not None
        assert wait <= (scene.due - scene.now).total_seconds()
        assert await scene.drills() == []
        status = (await scene.schedule()).status
        assert status.next_schedule_time == scene.due.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
        assert {c.type: c.status for c in status.conditions} == {"Ready": "True"}

        await scene.at(scene.due)
        (drill,) = await scene.drills()
        assert drill.metadata.name == scene.run_name(scene.due)
        assert drill.metadata.annotations == {"leeward.dev/requested-by": AUTHOR}
        assert drill.metadata.labels == {
            "leeward.dev/schedule": name, "leeward.dev/schedule-uid": scene.key.uid
        }  # fmt: skip
        body = await scene.kube.get(path_of("drexecutions", NAMESPACE, drill.metadata.name))
        assert "ownerReferences" not in body["metadata"]
        assert (drill.spec.operation, drill.spec.approval_mode) == ("Test", "Automatic")
        status = (await scene.schedule()).status
        assert status.active is not None
        assert (status.active.name, status.active.uid) == (drill.metadata.name, drill.metadata.uid)

        await scene.end(drill.metadata.name)
        await scene.at(scene.due + 30 * MINUTE)
        status = (await scene.schedule()).status
        assert status.active is None
        assert status.last_run is not None
        assert status.last_run.state == "Succeeded"
        assert status.last_successful_time == "2026-03-01T02:00:00Z"
        await scene.kube.delete(path_of("drschedules", NAMESPACE, name))
        assert len(await scene.drills()) == 1  # the record stays
        assert await scene.at(scene.due + 60 * MINUTE) is None

    played(connect, name, play)


@pytest.mark.parametrize("late", [MINUTE, 120 * MINUTE], ids=["at once", "after its deadline"])
def test_a_crash_before_the_record_starts_no_second_one(
    connect: Connect, name: str, late: timedelta
) -> None:
    async def play(scene: Scene) -> None:
        await scene.make_plan()
        await scene.make()
        await scene.at(scene.now)
        before = await read(scene.kube, DRSchedule, NAMESPACE, name)
        await scene.at(scene.due)
        (drill,) = await scene.drills()
        # What was written after the creation never came to be.
        held = await read(scene.kube, DRSchedule, NAMESPACE, name)
        await put_status(scene.kube, held, before.model.status)
        if late > MINUTE:
            await scene.end(drill.metadata.name)
        await scene.at(scene.due + late)
        after = (await scene.schedule()).status
        names = [run.metadata.name for run in await scene.drills()]
        assert names.count(drill.metadata.name) == 1
        if late == MINUTE:
            assert names == [drill.metadata.name]
            assert after.active is not None
            assert after.active.uid == drill.metadata.uid
            assert after.missed is None
        else:  # the drill of two hours later, and nothing said of the first, which ran
            assert names == [drill.metadata.name, scene.run_name(scene.due + late)]
            assert after.missed is not None
            assert after.missed.count == 1  # that of one hour later

    played(connect, name, play)


def test_one_that_somebody_made_meanwhile_is_seen_by_the_next_pass(
    connect: Connect, name: str
) -> None:
    async def play(scene: Scene) -> None:
        await scene.make_plan()
        await scene.make()
        await scene.at(scene.now)
        wanted = scene.run_name(scene.due)
        path = path_of("drexecutions", NAMESPACE)
        spec = {"planRef": {"name": "another-plan"}, "operation": "Test"}
        body = {
            "apiVersion": "leeward.dev/v1alpha1", "kind": "DRExecution",
            "metadata": {"name": wanted, "namespace": NAMESPACE}, "spec": spec,
        }  # fmt: skip
        await scene.kube.create(path, body)
        await scene.at(scene.due)
        assert await scene.drills() == []
        missed = (await scene.schedule()).status.missed
        assert missed is not None
        assert missed.reason == "NameTaken"
        assert wanted in missed.message

    played(connect, name, play)


def test_a_race_for_the_name_is_a_conflict_and_so_another_pass(connect: Connect, name: str) -> None:
    async def play(scene: Scene) -> None:
        await scene.make_plan()
        await scene.make()
        await scene.at(scene.now)
        original = scene.kube.create

        async def twice(path: str, body: Any) -> Any:
            if path.endswith("/drexecutions"):
                await original(path, body)  # another leader was faster
            return await original(path, body)

        scene.kube.create = twice  # type: ignore[method-assign]
        with pytest.raises(ApiError, match="409"):
            await scene.at(scene.due)
        scene.kube.create = original  # type: ignore[method-assign]
        await scene.at(scene.due + MINUTE)
        (drill,) = await scene.drills()
        active = (await scene.schedule()).status.active
        assert active is not None
        assert active.uid == drill.metadata.uid

    played(connect, name, play)


def test_one_that_does_not_lead_any_more_creates_nothing(connect: Connect, name: str) -> None:
    async def play(scene: Scene) -> None:
        await scene.make_plan()
        await scene.make()
        await scene.at(scene.now)

        def lost() -> None:
            raise RuntimeError("the Lease is another's")

        scene.lease.assert_valid = lost
        with pytest.raises(RuntimeError):
            await scene.at(scene.due)
        assert await scene.drills() == []
        assert (await scene.schedule()).status.missed is None

    played(connect, name, play)


def test_while_the_plan_runs_or_is_away_a_drill_is_missed_and_said_to_be(
    connect: Connect, name: str
) -> None:
    async def play(scene: Scene) -> None:
        await scene.make_plan()
        await scene.make()
        await scene.at(scene.now)
        other = f"{name}-failover"
        await execution(
            scene.kube, other, {"planRef": {"name": scene.plan}, "operation": "Failover"}
        )
        await scene.at(scene.due)
        first = (await scene.schedule()).status.missed
        assert first is not None
        assert (first.count, first.reason) == (1, "PlanBusy")
        assert other in first.message
        await scene.end(other)

        plan = await scene.kube.get(path_of("recoveryplans", NAMESPACE, scene.plan))
        away = {**plan, "status": {"location": "Recovery"}}
        await scene.kube.replace(f"{path_of('recoveryplans', NAMESPACE, scene.plan)}/status", away)
        await scene.at(scene.due + 60 * MINUTE)
        second = (await scene.schedule()).status.missed
        assert second is not None
        assert (second.count, second.reason) == (2, "PlanNotAtHome")
        assert await scene.drills() == []
        notes = await scene.events()
        assert any("PlanBusy" in n or other in n for n in notes)
        assert any("is not known to be at home" in n for n in notes)

    played(connect, name, play)


def test_what_a_blackout_or_an_absence_keeps_from_starting_is_counted(
    connect: Connect, name: str
) -> None:
    async def play(scene: Scene) -> None:
        await scene.make_plan()
        end = scene.due + 90 * MINUTE
        fixed = {"start": scene.now.isoformat(), "end": end.isoformat()}
        await scene.make(blackouts=[{"name": "freeze", "type": "Fixed", "fixed": fixed}])
        await scene.at(scene.now)
        assert (await scene.schedule()).status.next_schedule_time == (
            (scene.due + 120 * MINUTE).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
        )
        await scene.at(scene.due)
        missed = (await scene.schedule()).status.missed
        assert missed is not None
        assert (missed.count, missed.reason) == (1, "Blackout")
        # Three more come and go while no operator is there; the last of them starts late.
        last = scene.due + 240 * MINUTE
        await scene.at(last + 5 * MINUTE)
        missed = (await scene.schedule()).status.missed
        assert missed is not None
        assert (missed.count, missed.reason) == (4, "DeadlineExceeded")
        (drill,) = await scene.drills()
        assert drill.metadata.name == scene.run_name(last)

    played(connect, name, play)


def test_a_suspended_schedule_misses_nothing_and_resumes_from_then_on(
    connect: Connect, name: str
) -> None:
    async def play(scene: Scene) -> None:
        await scene.make_plan()
        await scene.make(suspend=True)
        await scene.at(scene.due + MINUTE)
        status = (await scene.schedule()).status
        assert (status.missed, status.next_schedule_time) == (None, None)
        await scene.kube.patch(
            path_of("drschedules", NAMESPACE, name), {"spec": {"suspend": False}}
        )
        await scene.at(scene.due + 2 * MINUTE)
        assert await scene.drills() == []
        await scene.at(scene.due + 60 * MINUTE)
        assert len(await scene.drills()) == 1

    played(connect, name, play)


def test_a_hub_that_stands_by_starts_nothing_and_misses_nothing(
    connect: Connect, name: str
) -> None:
    async def play(scene: Scene) -> None:
        scene.settings.schedules = "Off"
        await scene.make_plan()
        await scene.make()
        await scene.at(scene.due + MINUTE)
        status = (await scene.schedule()).status
        assert await scene.drills() == []
        assert status.missed is None
        assert status.conditions[0].reason == "OtherHub"

    played(connect, name, play)


def test_a_schedule_waits_for_its_plan_and_goes_on_when_it_is_there(
    connect: Connect, name: str
) -> None:
    async def play(scene: Scene) -> None:
        await scene.make()
        assert await scene.at(scene.now) is not None
        conditions = (await scene.schedule()).status.conditions
        assert {c.type: (c.status, c.reason) for c in conditions} == {
            "Ready": ("False", "PlanNotFound"), "Reconciling": ("True", "PlanNotFound")
        }  # fmt: skip
        await scene.make_plan()
        await scene.at(scene.now)
        conditions = (await scene.schedule()).status.conditions
        assert {c.type: c.reason for c in conditions} == {"Ready": "Scheduled"}

    played(connect, name, play)


def test_what_the_api_server_refuses_is_missed_with_its_words(connect: Connect, name: str) -> None:
    async def play(scene: Scene) -> None:
        await scene.make_plan()
        await scene.make()
        await scene.at(scene.now)
        original = scene.kube.create

        async def refused(path: str, body: Any) -> Any:
            if path.endswith("/drexecutions"):
                raise ApiError(403, "Forbidden", "exceeded quota: drills")
            return await original(path, body)

        scene.kube.create = refused  # type: ignore[method-assign]
        await scene.at(scene.due)
        status = (await scene.schedule()).status
        assert status.missed is not None
        assert (status.missed.reason, status.last_schedule_time) == ("Refused", None)
        assert "exceeded quota" in status.missed.message

    played(connect, name, play)


def test_a_schedule_that_cannot_be_read_is_stalled_until_it_is_corrected(
    connect: Connect, name: str
) -> None:
    async def play(scene: Scene) -> None:
        await scene.make_plan()
        await scene.make(timeZone="Mars/Olympus")
        await scene.at(scene.now)
        conditions = (await scene.schedule()).status.conditions
        assert {c.type: (c.status, c.reason) for c in conditions} == {
            "Ready": ("False", "Invalid"), "Stalled": ("True", "Invalid")
        }  # fmt: skip
        path = path_of("drschedules", NAMESPACE, name)
        await scene.kube.patch(path, {"spec": {"timeZone": "UTC"}})
        await scene.at(scene.now)
        conditions = (await scene.schedule()).status.conditions
        assert {c.type: c.reason for c in conditions} == {"Ready": "Scheduled"}

    played(connect, name, play)


def test_another_schedule_of_the_name_gets_no_pass_of_the_first(
    connect: Connect, name: str
) -> None:
    async def play(scene: Scene) -> None:
        await scene.make()
        other = Key("another-uid", *scene.key[1:])
        assert await scene.reconciler.run(other) is None

    played(connect, name, play)
