"""AWS, the API server, etcd or a leader fails for a while in mid-run; the run comes out whole."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import pytest
from harness import proof
from harness.bench import ALL, Bench
from harness.boundaries import call_of
from harness.interruptions import Strike, fault, play
from harness.runs import KINDS, Run

from leeward_sandbox.cluster.proxy import Write

OUTAGE: Final = 60.0 if ALL else 15.0
"""Seconds for which the API server is away: longer than the Lease."""
SHORT_LEASE: Final = {"LEEWARD_LEASE_DURATION": "10"}
"""A busy machine holds a renewal up for seconds; who is held up for longer ends itself."""
ATTEMPTS: Final = 3
"""How often botocore itself sends a call that may be repeated."""


@pytest.fixture
def prepared(bench: Bench) -> Iterator[Callable[[str], Run]]:
    """Makes runs, ready to begin, and takes them away when their test is through."""
    made: list[Run] = []

    def prepare(kind: str) -> Run:
        run = KINDS[kind](bench)
        run.prepare()
        made.append(run)
        return run

    yield prepare
    for run in made:
        run.clear()


@pytest.fixture
def replicas(bench: Bench) -> Iterator[Bench]:
    """The bench with an operator whose Lease is short; later tests get the usual one again."""
    bench.kill_operator()
    bench.start_operator(**SHORT_LEASE)
    yield bench
    bench.stack.stop_operator(name="second")  # which lets it give its Lease to the next
    bench.kill_operator()


def intent(run: Run, action: str, outcome: str = "Pending") -> Callable[[Write], bool]:
    """Whether a write is the one of the newest intent of a task, and what it says of it."""

    def wanted(write: Write) -> bool:
        if write.resource != "drtasks/status" or not write.name.startswith(f"{run.name}-"):
            return False
        newest = write.body["status"].get("journal", [])[-1:]
        return [(i["action"], i["outcome"]) for i in newest] == [(action, outcome)]

    return wanted


# --- answers of AWS


@pytest.mark.parametrize("answer", ["lost", "500"])
@pytest.mark.parametrize(
    ("kind", "service", "operation"),
    [
        ("failover", "drs", "UpdateLaunchConfiguration"),
        ("failover", "ec2", "ModifyLaunchTemplate"),
        ("failover", "drs", "StartRecovery"),
        ("failover", "ec2", "StartInstances"),
        ("failover", "route53", "ChangeResourceRecordSets"),
        ("drill", "ec2", "CreateLaunchTemplateVersion"),
        ("drill", "drs", "TerminateRecoveryInstances"),
    ],
)
def test_what_was_done_is_not_done_again_when_its_answer_is_lost(
    prepared: Callable[[str], Run], kind: str, service: str, operation: str, answer: str
) -> None:
    run = prepared(kind)
    how = {"action": "drop"} if answer == "lost" else {"action": "error", "status": 500}
    rule = {"service": service, "operation": operation, "when": "after", "times": ATTEMPTS}
    assert play(run, fault(run, **rule, **how))
    proof.assert_whole(run)


@pytest.mark.parametrize("kind", ["failover", "drill"])
@pytest.mark.parametrize(
    "storm",
    [
        # No more than the tries that one batch has: a pattern can hit the same call each time.
        {"code": "ThrottlingException", "status": 429, "times": 4},
        {"code": "InternalFailure", "status": 500, "when": "after", "times": 40},
    ],
    ids=["throttled", "done-but-500"],
)
def test_a_run_outlasts_a_time_in_which_every_second_call_fails(
    prepared: Callable[[str], Run], kind: str, storm: dict[str, Any]
) -> None:
    run = prepared(kind)
    with ExitStack() as rules:
        for service in ("drs", "ec2", "route53"):
            rule = {"service": service, "action": "error", "every": 2, **storm}
            rules.enter_context(fault(run, **rule))
        play(run)
        hits = {rule["service"]: rule["hits"] for rule in run.bench.control.faults()}
    assert hits["drs"] >= 4
    assert hits["ec2"] >= 2
    proof.assert_whole(run)


# --- credentials


@pytest.mark.parametrize("sts_is_away", [False, True], ids=["", "sts-is-away"])
@pytest.mark.parametrize(("kind", "action"), [("failover", "launch"), ("drill", "terminate")])
def test_a_session_that_aws_calls_expired_is_renewed(
    prepared: Callable[[str], Run], kind: str, action: str, sts_is_away: bool
) -> None:
    """The operator believes it good for most of an hour, as with a clock that is wrong."""
    run = prepared(kind)
    control = run.bench.control

    @contextmanager
    def expired() -> Iterator[Strike]:
        with run.bench.proxy.stop_at(intent(run, action), 1, "after") as stop, ExitStack() as later:
            done = False

            def strike() -> bool:
                nonlocal done
                if stop.reached and not done:
                    if sts_is_away:
                        rule = {"service": "sts", "operation": "AssumeRole", "times": 10}
                        away = {"action": "error", "code": "ServiceUnavailable"}
                        later.enter_context(fault(run, **rule, **away))
                    assert control.backend("sts", {"expire": "*"})["expired"] > 0
                    run.bench.proxy.go_on()
                    done = True
                return done

            yield strike

    assert play(run, expired())
    proof.assert_whole(run)
    asked = control.calls(since=run.since)
    assert "ExpiredToken" in str({c["error"] for c in asked})
    away = [c for c in asked if c["error"] == "ServiceUnavailable"]
    assert len(away) == (10 if sts_is_away else 0)
    # The sessions of other accounts are over as well, and a plan that meets one waits its interval.
    run.bench.kill_operator()


# --- the API server and etcd


@pytest.mark.parametrize("kind", ["failover", "drill"])
def test_a_run_outlasts_lost_answers_of_the_api_server(
    prepared: Callable[[str], Run], kind: str
) -> None:
    run = prepared(kind)
    # A pass that begins a run makes seven writes: it must come through now and then.
    with run.bench.proxy.lose_answers(lambda w: call_of(w, run) is not None, every=10) as stop:
        play(run)
    assert stop.seen >= 40  # four answers at least were lost
    proof.assert_whole(run)


def test_an_operator_that_finds_no_api_server_waits_for_it(
    replicas: Bench, prepared: Callable[[str], Run]
) -> None:
    """The leader ends itself, is started again as a kubelet does it, and can do nothing yet."""
    run = prepared("failover")

    @contextmanager
    def away() -> Iterator[Strike]:
        rule = {"service": "drs", "operation": "StartRecovery", "nth": 1}
        hold = replicas.control.add_fault(**rule, action="hold", when="after")
        steps = _outage(replicas, hold)
        yield lambda: next(steps)

    assert play(run, away())
    proof.assert_whole(run)


def _outage(bench: Bench, hold: str) -> Iterator[bool]:
    """The steps of an outage, each taken when it can be; True at the end."""
    while not any(r["id"] == hold and r["holding"] for r in bench.control.faults()):
        yield False
    logged, began = len(bench.log()), time.monotonic()
    bench.cluster.stop_api_server(kill=True)
    while bench.operator_runs():
        yield False
    bench.control.remove_fault(hold)  # the answer finds nobody any more
    bench.start_operator(**SHORT_LEASE)
    while (
        bench.log(since=logged).count("cannot take the Lease yet") < 2
        or time.monotonic() < began + OUTAGE
    ):
        yield False
    bench.cluster.start_api_server()
    assert "ends itself: the Lease could not be renewed in time" in bench.log(since=logged)
    while True:
        yield True


@pytest.mark.parametrize("outcome", ["Pending", "Sent"])
def test_a_run_outlasts_a_restart_of_etcd(prepared: Callable[[str], Run], outcome: str) -> None:
    """While an intent is written, and while AWS's answer to it is.

    An operator that ends itself, because etcd was away for longer than its Lease lasts, is started
    again as a kubelet does it.
    """
    run = prepared("failover")
    bench = run.bench

    @contextmanager
    def restarted() -> Iterator[Strike]:
        with (
            bench.proxy.stop_at(intent(run, "launch", outcome), 1, "before") as stop,
            ThreadPoolExecutor(1) as aside,
        ):
            done = False

            def strike() -> bool:
                nonlocal done
                if stop.reached and not done:
                    restart = aside.submit(bench.cluster.restart_etcd, kill=True)
                    bench.proxy.go_on()
                    restart.result()
                    done = True
                if done and not bench.operator_runs():
                    bench.start_operator()
                return done

            yield strike

    assert play(run, restarted())
    proof.assert_whole(run)


# --- two operators


def test_a_leader_that_stood_still_right_before_a_launch_does_not_launch(
    replicas: Bench, prepared: Callable[[str], Run]
) -> None:
    """Its intent is written, its successor looked, found nothing and launched; then it wakes."""
    replicas.start_operator("second", behind_proxy=False, **SHORT_LEASE)
    run = prepared("failover")

    @contextmanager
    def stopped() -> Iterator[Strike]:
        with replicas.proxy.stop_at(intent(run, "launch"), 1, "after") as stop:
            steps = _standstill(run, lambda: stop.reached)
            yield lambda: next(steps)

    assert play(run, stopped())
    proof.assert_whole(run)
    launches = [
        i["outcome"]
        for task in proof.tasks(run)
        for i in task["status"].get("journal", [])
        if i["action"] == "launch"
    ]
    assert launches == ["Absent", "Sent"]


def _standstill(run: Run, reached: Callable[[], bool]) -> Iterator[bool]:
    """SIGSTOP before the launch, SIGCONT after the successor's; True when the first has ended."""
    bench = run.bench
    while not reached():
        yield False
    pid, logged = bench.stack.pids["operator"], len(bench.log())
    os.kill(pid, signal.SIGSTOP)
    try:
        bench.proxy.go_on()  # that its intent is written is what it reads first when it wakes
        while not any(c["operation"] == "StartRecovery" for c in proof.calls(run)):
            yield False
    finally:
        os.kill(pid, signal.SIGCONT)
    while bench.operator_runs():
        yield False
    assert "ends itself" in bench.log(since=logged)
    while True:
        yield True
