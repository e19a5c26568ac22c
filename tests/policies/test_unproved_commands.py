"""Commands while nobody knows who gives them: what stops is taken, nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kubernetes.aio import client, config

from leeward.api.conditions import find
from leeward.api.execution import DRExecution
from leeward.api.task import DRTask
from leeward.engine.answers import CommandTaker
from leeward.engine.guard import Guard, Proof
from leeward.engine.kube import Kube
from leeward.engine.objects import Held, read
from leeward.engine.pace import Pace
from leeward.engine.request_proof import Doubt, RequestProof

pytestmark = pytest.mark.cluster

World = Any  # conftest.World
DUTY = "operator-on-duty@example.com"
PROVED = Proof(True, "Proved", "as shipped", "sha256:1")
MISSING = Proof(False, "PolicyMissing", "leeward-commands.leeward.dev is missing", "")
PREVIOUS = {
    "type": "WaitingForDecision", "status": "True", "reason": "PreviousRunFound", "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}  # fmt: skip


class Desk:
    """The operator's connection, and a guard whose proof the test says."""

    def __init__(self, world: World, proof: Proof | None) -> None:
        self._token = str(world.cluster.token("leeward-system", "leeward"))
        self._proof = proof
        self.proofs = 0

    async def _prove(self, _read: Any, gate: str | None = None) -> Proof | None:
        assert gate is None
        self.proofs += 1
        return self._proof

    async def _emit(self, *_: Any) -> None: ...

    def with_context(self, act: Callable[[Any], Awaitable[Any]]) -> Any:
        async def connected() -> Any:
            configuration = client.Configuration()
            await config.load_kube_config(
                config_file=self._token, client_configuration=configuration
            )
            kube = Kube(configuration)
            guard = SimpleNamespace(prove=self._prove) if self._proof else Guard(kube)
            context = SimpleNamespace(
                kube=kube, guard=guard, recorder=SimpleNamespace(emit=self._emit), pace=Pace(),
                now=lambda: datetime.now(UTC), lease=SimpleNamespace(epoch=1),
            )  # fmt: skip
            try:
                return await act(context)
            finally:
                await kube.close()

        return asyncio.run(connected())

    def taken(self, run: str) -> DRExecution:
        """The run after its commands were taken."""

        async def take(context: Any) -> DRExecution:
            commands = CommandTaker(context)
            held = await read(context.kube, DRExecution, "orders", run)
            return (await commands.finish(await commands.take(held))).model

        return cast(DRExecution, self.with_context(take))

    def taken_from_task(self, run: str, task: str) -> tuple[DRExecution, DRTask]:
        """The run and its task after the task's commands were taken."""

        async def take(context: Any) -> tuple[DRExecution, DRTask]:
            held = await read(context.kube, DRExecution, "orders", run)
            tasks: list[Held[DRTask]] = [await read(context.kube, DRTask, "orders", task)]
            after, tasks = await CommandTaker(context).take_from_tasks(held, tasks)
            return after.model, tasks[0].model

        return cast("tuple[DRExecution, DRTask]", self.with_context(take))

    def asked(self, run: str) -> tuple[DRExecution, Doubt | None]:
        """What the proof of what the run asks for comes to."""

        async def prove(context: Any) -> tuple[DRExecution, Doubt | None]:
            held = await read(context.kube, DRExecution, "orders", run)
            after, doubt = await RequestProof(context).of(held)
            return after.model, doubt

        return cast("tuple[DRExecution, Doubt | None]", self.with_context(prove))


@pytest.mark.parametrize(
    ("verb", "proof", "changed", "result"),
    [
        ("pause", MISSING, {"paused"}, "paused, though who asked for it is not proved: leeward"),
        ("cancel", MISSING, {"paused"}, "paused and not cancelled, since who asked for it is not"),
        ("resume", MISSING, set(), "void: leeward-commands.leeward.dev is missing"),
        ("unplanned", MISSING, set(), "void: leeward-commands.leeward.dev is missing"),
        ("adopt", MISSING, set(), "void: leeward-commands.leeward.dev is missing"),
        ("pause", PROVED, {"paused"}, "done"),
        ("cancel", PROVED, {"cancelling"}, "nothing new is started"),
        ("unplanned", PROVED, {"unplanned"}, "the run no longer waits"),
        ("adopt", PROVED, {"adopted"}, "what AWS shows of the earlier run counts as done"),
    ],
)
def test_without_proof_only_what_stops_is_taken(
    world: World, verb: str, proof: Proof, changed: set[str], result: str
) -> None:
    run = world.execution()
    world.status(run, conditions=[PREVIOUS])
    assert world.duty.annotate(run, **{verb: DUTY}).ok
    desk = Desk(world, proof)
    after = desk.taken(run)
    flags = ("paused", "cancelling", "unplanned", "adopted")
    assert {flag for flag in flags if getattr(after.status, flag)} == changed
    assert after.status.commands[-1].result.startswith(result)
    assert f"leeward.dev/{verb}" not in after.metadata.annotations
    active = find(after.status.conditions, "GuardActive")
    assert active is not None
    assert (active.status, active.reason) == (("True" if proof.ok else "False"), proof.reason)
    assert desk.proofs == 1


def test_a_run_that_is_paused_without_proof_is_not_resumed_without_one(world: World) -> None:
    run = world.execution()
    assert world.duty.annotate(run, pause=DUTY).ok
    assert Desk(world, MISSING).taken(run).status.paused
    assert world.duty.annotate(run, resume=DUTY).ok
    assert Desk(world, MISSING).taken(run).status.paused
    assert world.duty.annotate(run, resume=DUTY).ok
    assert not Desk(world, PROVED).taken(run).status.paused


def test_all_commands_of_a_pass_share_one_proof_and_none_costs_none(world: World) -> None:
    run, desk = world.execution(), Desk(world, PROVED)
    assert desk.taken(run).status.commands == []
    assert desk.proofs == 0
    assert world.duty.annotate(run, pause=DUTY, unplanned=DUTY).ok
    assert len(desk.taken(run).status.commands) == 2
    assert desk.proofs == 1


@pytest.mark.parametrize("verb", ["retry", "skip", "mark_done", "undo", "relaunch"])
def test_no_command_on_a_task_is_taken_without_proof(world: World, verb: str) -> None:
    run = world.execution()
    failed = {"state": "Failed", "reason": "LaunchFailed", "message": "no room"}
    task = world.task(run, state="Failed", resources=[{"id": i} | failed for i in ("s-1", "s-2")])
    before = world.admin.get("drtasks", task)["status"]
    assert world.admin.annotate(task, "drtasks", **{verb: "admin: [s-1] please"}).ok
    desk = Desk(world, MISSING)
    after, asked = desk.taken_from_task(run, task)
    assert world.admin.get("drtasks", task)["status"] == before
    assert asked.metadata.annotations == {}
    record = after.status.commands[-1]
    assert (record.object, record.result) == (task, f"void: {MISSING.message}")
    active = find(after.status.conditions, "GuardActive")
    assert active is not None
    assert (active.reason, desk.proofs) == ("PolicyMissing", 1)


def test_a_command_on_a_task_is_taken_with_the_real_proof(world: World) -> None:
    run = world.execution()
    failed = {"state": "Failed", "reason": "LaunchFailed", "message": "no room"}
    task = world.task(run, state="Failed", resources=[{"id": i} | failed for i in ("s-1", "s-2")])
    assert world.duty.annotate(task, "drtasks", retry=DUTY).ok
    after, asked = Desk(world, None).taken_from_task(run, task)
    assert after.status.commands[-1].result == "2 resources to be tried again"
    assert asked.status.state == "Retry"


CLAIMS: list[tuple[dict[str, Any], str]] = [
    ({"approvalMode": "Automatic"}, "approvalMode Automatic"),
    ({"waves": ["web"]}, "spec.waves"),
    ({"resources": {"exclude": ["s-1"]}}, "spec.resources"),
    ({"continueFrom": {"name": "orders-0"}}, "continueFrom"),
]


@pytest.mark.parametrize(("spec", "said"), CLAIMS, ids=[said for _, said in CLAIMS])
def test_what_took_a_right_to_ask_for_does_not_begin_without_proof(
    world: World, spec: dict[str, Any], said: str
) -> None:
    run = world.execution(world.admin, **spec)
    weak, doubt = Desk(world, MISSING).asked(run)
    assert doubt is not None
    assert doubt.final
    assert f"nobody checked who may ask for {said}" in doubt.message
    active = find(weak.status.conditions, "GuardActive")
    assert active is not None
    assert active.status == "False"
    _, doubt = Desk(world, Proof(False, "PolicyUnreadable", "500", "")).asked(run)
    assert doubt is not None
    assert not doubt.final
    proved, doubt = Desk(world, None).asked(run)
    assert doubt is None
    active = find(proved.status.conditions, "GuardActive")
    assert active is not None
    assert active.reason == "Proved"


def test_an_execution_that_is_older_than_the_policies_was_asked_for_by_anybody(
    world: World,
) -> None:
    run = world.execution(world.admin, approvalMode="Automatic")
    created = world.admin.get("drexecutions", run)["metadata"]["creationTimestamp"]
    same = Proof(True, "Proved", "as shipped", "sha256:1", since=created)
    _, doubt = Desk(world, same).asked(run)
    assert doubt is not None
    assert doubt.final
    assert f"the youngest is of {created}" in doubt.message


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"mode": "Unplanned"},
        {"operation": "Test", "waves": ["web"], "approvalMode": "Automatic"},
        {"waves": ["web"], "dryRun": "Plan"},
    ],
    ids=["plain", "unplanned", "drill", "dry run"],
)
def test_what_takes_no_right_is_not_proved(world: World, spec: dict[str, Any]) -> None:
    desk = Desk(world, MISSING)
    _, doubt = desk.asked(world.execution(world.admin, **spec))
    assert (doubt, desk.proofs) == (None, 0)


def test_what_settles_the_run_that_it_continues_is_proved_already(world: World) -> None:
    run = world.execution(world.admin, continueFrom={"name": "orders-0"})
    settling = {"type": "Reconciling", "status": "True", "reason": "SettlingPrevious"}
    world.status(run, conditions=[PREVIOUS | settling])
    desk = Desk(world, MISSING)
    _, doubt = desk.asked(run)
    assert (doubt, desk.proofs) == (None, 0)
