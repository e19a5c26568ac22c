"""A task driven through crashes, lost answers, pauses and retries, against an AWS of few dicts."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from leeward.api.task import DRTask, DRTaskSpec, DRTaskStatus, Intent
from leeward.planning.runs.commands import Command
from leeward.planning.runs.steering import Ground, steer
from leeward.planning.runs.transitions import check
from leeward.planning.tasks.step import StepDecision, StepInput, StepRules, decide
from leeward.planning.tasks.step_sent import with_intent
from leeward.planning.times import render_time
from leeward_adapters.base import ActionTraits, Observed, Seen, State

START = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
RULES = StepRules(settle=timedelta(seconds=120), poll=timedelta(seconds=15), attempts=30)
ARRIVAL = 60
"""Seconds that a call may be under way when its sender has died."""
SLOWEST = 50
"""Seconds after which AWS shows what arrived; with ARRIVAL less than the settle time."""
ACTIONS = {
    "restore": ActionTraits(repeatable=True, restores=True),
    "prepare": ActionTraits(repeatable=True),
    "launch": ActionTraits(repeatable=False, batch=3),
}
SERVERS = tuple(f"s{n}" for n in range(7))
ENDED = {"Complete", "Failed", "Abandoned"}


class CrashError(Exception):
    """The operator dies."""


@dataclass
class Cloud:
    """What AWS did, and when it shows it."""

    dice: random.Random
    launches: dict[str, int] = field(default_factory=dict)
    shown_at: dict[str, datetime] = field(default_factory=dict)
    done_at: dict[str, datetime] = field(default_factory=dict)
    prepared: set[str] = field(default_factory=set)
    arrivals: list[datetime] = field(default_factory=list)
    """When calls whose answer was lost took effect for good."""

    def observe(self, now: datetime) -> Observed:
        return Observed({s: self._seen(s, now) for s in SERVERS}, self.dice.choice([None, 0, 2, 5]))

    def _seen(self, server: str, now: datetime) -> Seen:
        if server in self.shown_at and now >= self.shown_at[server]:
            if now >= self.done_at[server]:
                return Seen(State.DONE)
            return Seen(State.RUNNING)
        action = "launch" if server in self.prepared else "prepare"
        return Seen(State.NEEDED, action=action)

    def act(
        self, action: str, servers: tuple[str, ...], now: datetime, slowest: int = SLOWEST
    ) -> None:
        for server in servers:
            if action == "prepare":
                self.prepared.add(server)
                continue
            self.launches[server] = self.launches.get(server, 0) + 1
            self.shown_at[server] = now + timedelta(seconds=self.dice.randint(0, slowest))
            self.done_at[server] = now + timedelta(seconds=self.dice.randint(1, 2000))


@dataclass
class Operator:
    """Carries out decisions as the engine does: the intent is written before the call."""

    dice: random.Random
    cloud: Cloud
    spec: DRTaskSpec
    accepted: int = SLOWEST
    """Seconds after which AWS shows what it accepted."""
    now: datetime = START
    epoch: int = 1
    since: datetime = START
    held: bool = False
    cancelled: bool = False
    cancelled_launches: int = 0
    asked: int = 0
    status: DRTaskStatus = field(default_factory=DRTaskStatus)

    @property
    def task(self) -> DRTask:
        return DRTask(spec=self.spec, status=self.status)

    def run(self) -> None:
        self._begin()
        for _ in range(5000):
            if self.status.state == "Failed":
                self._retry()
            if self.status.state in ENDED:
                return
            self._steer()
            try:
                self._pass()
            except CrashError:
                self.now += timedelta(seconds=self.dice.randint(0, 60))
                self.epoch, self.since = self.epoch + 1, self.now
        raise AssertionError(f"no end: {self.status}")

    def _begin(self) -> None:
        start = {"state": "InProgress", "start_time": render_time(self.now)}
        self.status = self.status.model_copy(update=start)

    def _retry(self) -> None:
        retry = Command("leeward.dev/retry", "ann", "retry", "", "ann", "")
        self.status, _ = steer(self.task, retry, Ground(self.now))
        self._begin()

    def _steer(self) -> None:
        if self.dice.random() < 0.05:
            self.held = not self.held

    def _pass(self) -> None:
        observed = self.cloud.observe(self.now)
        decision = decide(
            StepInput(
                self.spec, self.status, observed, ACTIONS, self.epoch, self.since, self.now,
                RULES, holding=self.held, stopping=self.cancelled,
            )
        )  # fmt: skip
        self._record(decision)
        if decision.batch is None:
            self.now += decision.delay
            return
        assert not self.held, "something new while paused"
        assert not self.cancelled, "something new while cancelled"
        self._call(decision.batch.action, decision.batch.resources, decision.settled)

    def _record(self, decision: StepDecision) -> None:
        journal = [
            i.model_copy(update={"outcome": "Absent"}) if i.id in decision.absent else i
            for i in self.status.journal
        ]
        update = {
            "state": decision.state,
            "resources": list(decision.resources),
            "journal": journal,
        }
        after = self.status.model_copy(update=update)
        check(self.task, after)
        self.status = after

    def _call(self, action: str, servers: tuple[str, ...], settled: frozenset[str]) -> None:
        intent = Intent(
            id=str(self.asked), action=action, resources=list(servers),
            epoch=self.epoch, time=render_time(self.now), attempt=self.status.attempt,
        )  # fmt: skip
        self.asked += 1
        journal = with_intent(self.status.journal, intent, settled)
        self.status = self.status.model_copy(update={"journal": journal})
        fates = ["ok", "ok", "crash before", "stall", "done", "lost", "busy"]
        fates += ["held back", "in part"]
        fate = self.dice.choice(fates)
        stalled = self.dice.randint(0, 400) if fate == "stall" else self.dice.randint(0, 5)
        self.now += timedelta(seconds=stalled)
        if fate == "ok":
            self.cloud.act(action, servers, self.now, self.accepted)
        elif fate == "done":
            late = timedelta(seconds=self.dice.randint(0, ARRIVAL if action == "prepare" else 0))
            self.cloud.act(action, servers, self.now)
            self.cloud.arrivals.append(self.now + late)
        elif fate == "in part" and ACTIONS[action].repeatable:
            # Of the part that was sent, the last call may have got no answer.
            self.cloud.act(action, servers[:1], self.now)
            self.cloud.arrivals.append(self.now + timedelta(seconds=self.dice.randint(0, ARRIVAL)))
        elif fate == "stall":
            # A process that hangs, sends at last, and dies: the call arrives after it.
            late = timedelta(seconds=self.dice.randint(0, ARRIVAL))
            self.cloud.act(action, servers, self.now + late)
        if fate in {"crash before", "stall"}:
            raise CrashError
        lost = "InDoubt" if not ACTIONS[action].repeatable else "Refused"
        answers = {"ok": "Sent", "lost": lost, "done": lost}
        outcome = answers.get(fate, "Refused")
        answer = {
            "outcome": outcome,
            "error_class": "Transient" if outcome == "Refused" else "",
            "answer_lost": outcome == "Refused" and fate in {"lost", "done"},
            "answer_time": render_time(self.now),
            "code": {"held back": "CircuitOpen", "in part": "PartlySent"}.get(fate, ""),
        }
        journal = [*self.status.journal[:-1], intent.model_copy(update=answer)]
        self.status = self.status.model_copy(update={"journal": journal})


def operator(seed: int, timeout: str) -> Operator:
    dice = random.Random(seed)
    spec = DRTaskSpec.model_validate(
        {
            "executionRef": {"name": "shop-1", "uid": "u-1"},
            "plan": "shop",
            "operation": "Failover",
            "mode": "Unplanned",
            "wave": "data",
            "waveOrdinal": 1,
            "recoveryPhase": "Instantiate",
            "technology": "drs",
            "account": "prod",
            "accountId": "111111111111",
            "region": "us-east-2",
            "sourceRegion": "us-east-1",
            "timeout": timeout,
            "resources": [{"id": s, "arn": f"arn:aws:drs:::{s}"} for s in SERVERS],
        }
    )
    # What AWS accepted it may show late, unless a person asks for it anew after a time-out.
    return Operator(dice, Cloud(dice), spec, 600 if timeout == "24h" else SLOWEST)


@pytest.mark.parametrize("timeout", ["24h", "7m"])
@pytest.mark.parametrize("seed", range(60))
def test_every_server_is_launched_exactly_once_whatever_dies_in_between(
    seed: int, timeout: str
) -> None:
    run = operator(seed, timeout)
    run.run()
    assert run.status.state == "Complete"
    assert run.cloud.launches == dict.fromkeys(SERVERS, 1)


class Cancelled(Operator):
    """Somebody cancels the run at a moment of chance."""

    def _steer(self) -> None:
        if not self.cancelled and self.dice.random() < 0.1:
            self.cancelled, self.cancelled_launches = True, sum(self.cloud.launches.values())


@pytest.mark.parametrize("seed", range(60))
def test_a_cancelled_task_ends_and_launches_nothing_more(seed: int) -> None:
    made = operator(seed, "24h")
    run = Cancelled(made.dice, made.cloud, made.spec, made.accepted)
    run.run()
    assert run.status.state in {"Complete", "Abandoned"}
    assert max(run.cloud.launches.values(), default=0) <= 1
    if run.cancelled:
        assert sum(run.cloud.launches.values()) == run.cancelled_launches
    in_flight = [s for s, shown in run.cloud.shown_at.items() if run.now < shown]
    assert not in_flight, "what AWS was still doing was not followed"
    if run.status.state == "Abandoned":
        late = [at for at in run.cloud.arrivals if at > run.now]
        assert not late, "a call without an answer came after the end"
