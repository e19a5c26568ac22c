"""People give commands on a task at moments of chance; the operator dies and answers get lost.

Every write is held to the table of legal changes, and at the end the record and the cloud agree.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from leeward.api.task import DRTask, DRTaskSpec, DRTaskStatus, Intent, PreState
from leeward.planning.runs.commands import Command
from leeward.planning.runs.record import compose_task
from leeward.planning.runs.steering import Ground, steer
from leeward.planning.tasks.step import StepDecision, StepInput, StepRules, decide, ended
from leeward.planning.times import render_time
from leeward_adapters.base import UNDO, ActionTraits, Observed, PhaseTraits, Seen, State

START = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
RULES = StepRules(settle=timedelta(seconds=120), poll=timedelta(seconds=15), attempts=30)
ACTIONS = {
    UNDO: ActionTraits(repeatable=True, restores=True),
    "start": ActionTraits(repeatable=True, batch=3),
}
SERVERS = tuple(f"s{n}" for n in range(5))
VERBS = ("retry", "skip", "mark-done", "undo", "undo")


class CrashError(Exception):
    """The operator dies."""


class BusyError(Exception):
    """The cloud refuses: the server is between two states."""


@dataclass
class Cloud:
    """Servers that are stopped or run, and take a while in between."""

    dice: random.Random
    now: datetime = START
    running: dict[str, bool] = field(default_factory=dict)
    settled: dict[str, datetime] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    starts: Counter[str] = field(default_factory=Counter)

    def runs(self, server: str) -> bool:
        return self.running.get(server, False)

    def _moves(self, server: str) -> bool:
        return self.now < self.settled.get(server, START)

    def observe(self) -> Observed:
        return Observed({s: self._seen(s) for s in SERVERS})

    def _seen(self, server: str) -> Seen:
        if self._moves(server):
            return Seen(State.RUNNING, message="between two states")
        if not self.runs(server):
            before = json.dumps({"id": server, "state": "stopped"})
            return Seen(State.NEEDED, action="start", pre_state=before)
        if server in self.broken:
            return Seen(State.FAILED, reason="Impaired", message="it runs, but badly")
        return Seen(State.DONE)

    def move(self, servers: tuple[str, ...], *, run: bool) -> None:
        """Start or stop all of the servers, or none of them."""
        if any(self._moves(s) and self.runs(s) != run for s in servers):
            raise BusyError
        for server in servers:
            if self.runs(server) != run:
                self.running[server] = run
                self.starts[server] += run
                self.settled[server] = self.now + timedelta(seconds=self.dice.randint(1, 300))


@dataclass
class Room:
    """An operator, and people at its keyboard."""

    dice: random.Random
    cloud: Cloud
    task: DRTask
    orders: int = 8
    paused: bool = False
    epoch: int = 1
    since: datetime = START

    @property
    def now(self) -> datetime:
        return self.cloud.now

    def write(self, status: DRTaskStatus) -> None:
        after = compose_task(self.task, status, self.now)
        self.task = self.task.model_copy(update={"status": after})

    def run(self) -> None:
        for _ in range(4000):
            if self.orders and self.dice.random() < 0.2:
                self.order()
            if not self.orders:
                self.paused = False
            elif self.dice.random() < 0.1:
                self.paused = not self.paused
            state = self.task.status.state
            if state in {"Complete", "Failed", "Skipped"}:
                if not self.orders:
                    return
                self.cloud.now += RULES.poll
                continue
            try:
                self._pass()
            except CrashError:
                self.cloud.now += timedelta(seconds=self.dice.randint(0, 60))
                self.epoch, self.since = self.epoch + 1, self.now
        raise AssertionError(f"no end: {self.task.status}")

    def order(self) -> None:
        """One command; a crash may have it taken twice."""
        self.orders -= 1
        verb = self.dice.choice(VERBS)
        ids = tuple(self.dice.sample(SERVERS, self.dice.choice([0, 0, 1, 2])))
        said = Command(f"leeward.dev/{verb}", "ann", verb, "", "ann", "", ids)
        ground = Ground(self.now, PhaseTraits(inert=False))
        after, _ = steer(self.task, said, ground)
        self.write(after)
        again, _ = steer(self.task, said, ground)
        # Without names a retry takes what failed, and only then what was undone.
        assert again.resources == self.task.status.resources

    def _pass(self) -> None:
        if self.task.status.state in {"NotStarted", "Retry"}:
            if self.paused:
                self.cloud.now += RULES.poll
                return
            begun = {"state": "InProgress", "start_time": render_time(self.now)}
            self.write(self.task.status.model_copy(update=begun))
        observed = self.cloud.observe()
        decision = decide(
            StepInput(
                self.task.spec, self.task.status, observed, ACTIONS, self.epoch, self.since,
                self.now, RULES, holding=self.paused,
            )
        )  # fmt: skip
        if decision.batch is None:
            self._record(decision)
            self.cloud.now += decision.delay
            return
        assert not self.paused or decision.batch.action == UNDO
        intent = self._intend(decision, observed)
        self._send(intent)

    def _record(self, decision: StepDecision) -> None:
        update = {
            "state": decision.state,
            "resources": list(decision.resources),
            "message": decision.message,
        }
        self.write(self.task.status.model_copy(update=update))

    def _intend(self, decision: StepDecision, observed: Observed) -> Intent:
        assert decision.batch is not None
        self._record(decision)
        status = self.task.status
        intent = Intent(
            id=str(len(status.journal)), action=decision.batch.action,
            resources=list(decision.batch.resources), epoch=self.epoch,
            time=render_time(self.now), attempt=status.attempt,
        )  # fmt: skip
        known = {p.id for p in status.pre_states}
        fresh = [
            PreState(id=r, value=observed.targets[r].pre_state)
            for r in intent.resources
            if r not in known and observed.targets[r].pre_state
        ]
        update = {
            "journal": [*status.journal, intent], "pre_states": [*status.pre_states, *fresh]
        }  # fmt: skip
        self.write(status.model_copy(update=update))
        return intent

    def _send(self, intent: Intent) -> None:
        fate = self.dice.choice(["ok", "ok", "ok", "crash before", "crash after", "done, lost"])
        self.cloud.now += timedelta(seconds=self.dice.randint(0, 5))
        answer = {"outcome": "Sent"}
        if fate == "crash before":
            raise CrashError
        try:
            self.cloud.move(tuple(intent.resources), run=intent.action == "start")
        except BusyError:
            answer = {"outcome": "Refused", "error_class": "Conflict", "code": "Busy"}
        if fate == "crash after":
            raise CrashError
        if fate == "done, lost" and answer["outcome"] == "Sent":
            answer = {"outcome": "Refused", "error_class": "Transient", "code": "Lost"}
        status = self.task.status
        journal = [*status.journal[:-1], intent.model_copy(update=answer)]
        self.write(status.model_copy(update={"journal": journal}))


def room(seed: int) -> Room:
    dice = random.Random(seed)
    spec = DRTaskSpec.model_validate(
        {
            "executionRef": {"name": "shop-1", "uid": "u-1"}, "plan": "shop",
            "operation": "Failover", "mode": "Unplanned", "wave": "data", "waveOrdinal": 1,
            "recoveryPhase": "Activate", "technology": "drs", "account": "prod",
            "accountId": "111111111111", "region": "us-east-2", "sourceRegion": "us-east-1",
            "timeout": dice.choice(["24h", "20m"]),
            "resources": [{"id": s, "arn": f"arn:aws:drs:::{s}"} for s in SERVERS],
        }
    )  # fmt: skip
    broken = {s for s in SERVERS if dice.random() < 0.2}
    return Room(dice, Cloud(dice, broken=broken), DRTask(spec=spec))


@pytest.mark.parametrize("seed", range(150))
def test_the_record_and_the_cloud_agree_whatever_people_and_chance_do(seed: int) -> None:
    made = room(seed)
    made.run()
    status = made.task.status
    assert {r.id for r in status.resources} == set(SERVERS)
    assert status.state == ended(status.resources)[0]
    for resource in status.resources:
        assert resource.request is None
        what = (resource.state, resource.reason)
        if what == ("Complete", ""):
            assert made.cloud.runs(resource.id), resource
            assert resource.id not in made.cloud.broken
        if what == ("Skipped", "Undone"):
            assert not made.cloud.runs(resource.id), resource
        if what == ("Skipped", "LeftOut"):
            assert made.cloud.starts[resource.id] == 0
        if what == ("Complete", "Asserted"):
            assert "done as ann says; AWS shows: " in resource.message


def test_the_simulation_meets_what_it_is_about() -> None:
    met: Counter[tuple[str, str]] = Counter()
    for seed in range(150):
        made = room(seed)
        made.run()
        met.update((r.state, r.reason) for r in made.task.status.resources)
    for what in (
        ("Complete", ""), ("Complete", "Asserted"), ("Skipped", "Undone"), ("Skipped", "LeftOut"),
        ("Failed", "Impaired"),
    ):  # fmt: skip
        assert met[what] > 5, met
