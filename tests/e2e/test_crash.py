"""What takes its time while the operator dies, is late, or hands over: a job, a call, a Lease.

A moment is chosen by what is seen, never by time: AWS's clock stands still, or a fault rule holds
the call. The moments between one write or call and the next are in tests/crash.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ACCOUNT_A, ACCOUNT_B = "111111111111", "222222222222"
APPROVER = "approver-a@example.com"
OPERATOR = "system:serviceaccount:leeward-system:leeward"
LEASE, LONG_LEASE = {"LEEWARD_LEASE_DURATION": "20"}, {"LEEWARD_LEASE_DURATION": "60"}
"""A standby waits for the first to run out; no busy machine holds a renewal up for as long."""
ONE_WAVE: dict[str, Any] = {"accounts": [{"name": "east-a"}], "waves": [{"name": "data"}]}
SCALE = 240.0
PATIENCE = 120.0


@pytest.fixture
def replica(lab: Any) -> Iterator[Callable[..., None]]:
    """Starts operators with settings of the test's own; later tests get the usual one again."""

    def start(name: str = "operator", **env: str) -> None:
        if name in lab.stack.pids:
            lab.stack.stop_operator(name=name)
        lab.stack.start_operator(env, name=name)

    yield start
    lab.stack.stop_operator(name="second")  # which lets it give its Lease to the next
    lab.stack.kill_operator()


# --- what is proved


def asked(lab: Any) -> Counter[str]:
    """How often a StartRecovery for each server took effect or was refused by DRS itself."""
    mine = {*lab.servers(1), *lab.servers(2)}
    return Counter(
        server["sourceServerID"]
        for call in lab.control.calls(service="drs", operation="StartRecovery")
        if call["executed"]
        for server in call["params"]["sourceServers"]
        if server["sourceServerID"] in mine
    )


def launched(lab: Any) -> Counter[str]:
    """In how many jobs DRS shows each server."""
    mine = {*lab.servers(1), *lab.servers(2)}
    return Counter(
        server["sourceServerID"]
        for account in (ACCOUNT_A, ACCOUNT_B)
        for page in lab.client("drs", account).get_paginator("describe_jobs").paginate(filters={})
        for job in page["items"]
        for server in job["participatingServers"]
        if job["type"] == "LAUNCH" and server["sourceServerID"] in mine
    )


def assert_done_once(lab: Any, name: str, *waves: int) -> Any:
    """The run succeeds, its record is whole, and every server was launched once; the run."""
    run = lab.until_condition("drx", name, "Succeeded")
    once = Counter({server: 1 for wave in waves or (1,) for server in lab.servers(wave)})
    assert once
    assert asked(lab) == once
    assert launched(lab) == once
    tasks = lab.tasks(name)
    recorded = {r["name"]: r["uid"] for r in run["status"]["tasks"]}
    assert recorded == {n: t["metadata"]["uid"] for n, t in tasks.items()}
    assert {t["status"]["state"] for t in tasks.values()} == {"Complete"}
    counts = run["status"]["resources"]
    assert counts["total"] == counts["complete"] == once.total()
    for task in tasks.values():
        ids = [i["id"] for i in task["status"].get("journal", [])]
        assert len(ids) == len(set(ids))
    return run


def outcomes(lab: Any, name: str) -> list[str]:
    """What the journal says of each launch, in order."""
    return [
        intent["outcome"]
        for task in lab.tasks(name).values()
        for intent in task["status"].get("journal", [])
        if intent["action"] == "launch"
    ]


def assert_counted_once(lab: Any, name: str) -> None:
    """The gate was approved by one answer, and nothing of it is left on the object."""
    run = lab.get("drx", name)
    assert [a["user"] for a in run["status"]["gates"][0]["answers"]] == [APPROVER]
    assert [c["key"] for c in run["status"]["commands"]] == ["leeward.dev/approve-wave-web"]
    assert "accepting" not in run["status"]
    assert "leeward.dev/approve-wave-web" not in run["metadata"]["annotations"]


class Progress:
    """The operator's writes to a run's objects, from the API server's audit log."""

    def __init__(self, lab: Any, name: str) -> None:
        self._log: Path = lab.stack.cluster.audit_log
        self._name = name
        self._read = 0
        self._writes = 0
        self._ended = False

    def goes_on_for(self, writes: int) -> bool:
        """Wait for that many more; False when the run has ended before."""
        wanted, end = self._writes + writes, time.monotonic() + PATIENCE
        while self._writes < wanted and not self._ended:
            assert time.monotonic() < end, f"{self._name} does not go on"
            time.sleep(0.01)
            self._look()
        return not self._ended

    def _look(self) -> None:
        with self._log.open("rb") as log:
            log.seek(self._read)
            lines = log.read().splitlines(keepends=True)
        for line in lines:
            if not line.endswith(b"\n"):
                break  # it is being written
            self._read += len(line)
            self._take(json.loads(line))

    def _take(self, event: Any) -> None:
        subject = event.get("objectRef", {})
        ours = subject.get("apiGroup") == "leeward.dev"
        mine = ours and str(subject.get("name", "")).startswith(self._name)
        if event["user"]["username"] != OPERATOR or not mine:
            return
        if event["verb"] in {"create", "update", "patch"} and event["responseStatus"]["code"] < 300:
            self._writes += 1
            # The label that says that a task is live comes off when the run has ended.
            self._ended |= event["verb"] == "patch" and subject["resource"] == "drtasks"


def assert_released(lab: Any, name: str) -> None:
    """The plan is free for another run, and knows of this one and where it left the estate."""
    plan = lab.until(
        "the plan is free",
        lambda: "activeExecution" not in (p := lab.get("rp", lab.application))["status"] and p,
    )
    assert [h["name"] for h in plan["status"]["history"]] == [name]
    assert plan["status"]["location"] == "Recovery"


def epoch(lab: Any, name: str) -> int:
    return int(lab.get("drx", name)["status"]["epoch"])


def until_adopted(lab: Any, name: str, after: int) -> None:
    """Until a later leader has taken the run over."""
    lab.until(f"{name} has an epoch above {after}", lambda: epoch(lab, name) > after)


def lease_holder(lab: Any) -> str:
    """Who holds the Lease; empty: nobody, or there is none yet."""
    found = lab.kubectl(
        *("get", "lease", "leeward", "-n", "leeward-system", "--ignore-not-found"),
        *("-o", "jsonpath={.spec.holderIdentity}"),
    )
    return str(found.stdout)


def log_since(lab: Any, offset: int) -> str:
    return str(lab.stack.logs["operator"].read_bytes()[offset:], "utf-8", "replace")


def log_size(lab: Any) -> int:
    return int(lab.stack.logs["operator"].stat().st_size)


# --- moments


def launching(lab: Any) -> str:
    """A run whose DRS job has begun and cannot go on: AWS's clock stands still."""
    lab.ready_plan(**ONE_WAVE)
    lab.control.scale(0)
    name: str = lab.start()
    lab.until("servers are being launched", lab.launches)
    return name


def fault(lab: Any, operation: str = "StartRecovery", **rule: Any) -> str:
    """A fault rule; for StartRecovery of this test's servers only."""
    params = (
        {"sourceServers.sourceServerID": lab.servers(1)[0]} if operation == "StartRecovery" else {}
    )
    found: str = lab.control.add_fault(
        service="drs", operation=operation, account=ACCOUNT_A, params=params, **rule
    )
    return found


def held(lab: Any, when: str) -> tuple[str, str]:
    """A run whose StartRecovery is held before or after its effect, and the rule that holds it."""
    lab.ready_plan(**ONE_WAVE)
    rule = fault(lab, action="hold", when=when, nth=1)
    name = lab.start()
    lab.control.wait_held(rule, PATIENCE)
    return name, rule


# --- the operator dies


def test_a_killed_operator_follows_its_running_job_to_the_end(lab: Any) -> None:
    name = launching(lab)
    before = epoch(lab, name)
    lab.stack.kill_operator()
    lab.stack.start_operator()
    until_adopted(lab, name, before)
    lab.control.scale(SCALE)
    assert_done_once(lab, name)


def test_killed_before_a_launch_that_happens_all_the_same_it_finds_the_job(lab: Any) -> None:
    name, rule = held(lab, "before")
    lab.stack.kill_operator()
    lab.control.release(rule)
    lab.until("the dead operator's call took effect", lambda: asked(lab))
    lab.stack.start_operator()
    assert_done_once(lab, name)


def test_a_launch_of_a_dead_operator_may_arrive_after_its_successor_began(
    lab: Any, replica: Callable[..., None]
) -> None:
    name, rule = held(lab, "before")
    before = epoch(lab, name)
    lab.stack.kill_operator()
    replica(LEEWARD_SETTLE="20")
    until_adopted(lab, name, before)
    assert not asked(lab)
    lab.control.release(rule)
    assert_done_once(lab, name)


def test_a_run_survives_a_dozen_kills_at_any_moment(lab: Any) -> None:
    lab.ready_plan(waves=[{"name": "data"}, {"name": "web"}])
    name = lab.start()
    moments, kills = random.Random(20260301), 0
    progress = Progress(lab, name)
    while kills < 12 and progress.goes_on_for(moments.randint(1, 7)):
        lab.stack.kill_operator()
        lab.stack.start_operator()
        kills += 1
    assert kills >= 6
    run = assert_done_once(lab, name, 1, 2)
    assert run["status"]["epoch"] >= kills  # the last one may find the run ended
    assert_released(lab, name)


# --- leadership changes hands


def test_sigterm_hands_the_run_over(lab: Any) -> None:
    name = launching(lab)
    before, logged = epoch(lab, name), log_size(lab)
    lab.stack.stop_operator()
    assert lease_holder(lab) == ""
    assert "Traceback" not in log_since(lab, logged)
    lab.stack.start_operator()
    until_adopted(lab, name, before)
    lab.control.scale(SCALE)
    assert_done_once(lab, name)


def test_a_standby_takes_a_dead_leaders_run_over(lab: Any, replica: Callable[..., None]) -> None:
    replica(**LEASE)
    lab.until("the first leads", lambda: lease_holder(lab).startswith("operator_"))
    replica("second", **LEASE)
    name = launching(lab)
    before = epoch(lab, name)
    assert lease_holder(lab).startswith("operator_")
    lab.stack.kill_operator()
    until_adopted(lab, name, before)
    assert lease_holder(lab).startswith("second_")
    lab.control.scale(SCALE)
    assert_done_once(lab, name)


def test_a_leader_outlasts_an_outage_of_the_api_server_that_is_shorter_than_its_lease(
    lab: Any, replica: Callable[..., None]
) -> None:
    replica(**LONG_LEASE)
    name, rule = held(lab, "after")
    pid, logged = lab.stack.pids["operator"], log_size(lab)
    lab.stack.cluster.stop_api_server(kill=True)
    try:
        lab.control.release(rule)  # the answer comes while it cannot be recorded
        lab.until("it is noticed", lambda: "cannot renew the Lease" in log_since(lab, logged))
    finally:
        lab.stack.cluster.start_api_server()
    assert_done_once(lab, name)
    assert lab.stack.pids["operator"] == pid


# --- AWS's answers are lost, late, or no


def test_a_launch_that_was_lost_on_its_way_is_asked_for_again(lab: Any) -> None:
    lab.ready_plan(**ONE_WAVE)
    fault(lab, action="drop", when="before", nth=1)
    name = lab.start()
    assert_done_once(lab, name)
    assert outcomes(lab, name) == ["Absent", "Sent"]


@pytest.mark.parametrize(
    ("operation", "code", "status", "times"),
    [
        ("StartRecovery", "ThrottlingException", 429, 3),
        ("DescribeJobs", "ThrottlingException", 429, 7),
        ("DescribeJobs", "ServiceUnavailable", 503, 10),
    ],
)
def test_a_run_outlasts_throttling_and_an_outage(
    lab: Any, operation: str, code: str, status: int, times: int
) -> None:
    lab.ready_plan(**ONE_WAVE)
    rule = fault(lab, operation, action="error", code=code, status=status, times=times)
    name = lab.start()
    assert_done_once(lab, name)
    assert next(f for f in lab.control.faults() if f["id"] == rule)["hits"] == times
    refusals = times if operation == "StartRecovery" else 0
    assert outcomes(lab, name) == ["Refused"] * refusals + ["Sent"]


# --- commands


def test_an_approval_that_finds_no_operator_is_counted_once(lab: Any) -> None:
    lab.ready_plan()
    name = lab.start()
    lab.until_gate(name)
    lab.stack.kill_operator()
    lab.annotate("drx", name, "approve-wave-web", APPROVER)
    lab.stack.start_operator()
    assert_done_once(lab, name, 1, 2)
    assert_counted_once(lab, name)
