"""Whatever dies, and whenever: the run goes on, and every server is launched exactly once.

A moment is chosen by what is seen, never by time: AWS's clock stands still, a fault rule holds the
call, an admission policy of the test's own refuses the one write that would end the moment.
"""

from __future__ import annotations

import contextlib
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
SHORT_LEASE, LONG_LEASE = {"LEEWARD_LEASE_DURATION": "5"}, {"LEEWARD_LEASE_DURATION": "60"}
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
    lab.stack.kill_operator(name="second")
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
        mine = str(subject.get("name", "")).startswith(self._name)
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


def held(lab: Any, when: str, *, lost: bool = False) -> tuple[str, str]:
    """A run whose StartRecovery is held before or after its effect, and the rule that holds it.

    One that is `lost` comes to nothing when it is let go.
    """
    lab.ready_plan(**ONE_WAVE)
    rule = fault(lab, action="hold", when=when, nth=1)
    if lost:
        fault(lab, action="drop", when=when, nth=1)
    name = lab.start()
    lab.control.wait_held(rule, PATIENCE)
    return name, rule


@contextlib.contextmanager
def refused(lab: Any, resource: str, operation: str, expression: str) -> Iterator[None]:
    """While inside, the API server refuses what the CEL expression says of the operator's writes.

    A crash between two writes is made so: the second one never happens, then the process dies.
    """
    name = f"test-{lab.application}"
    rules = [
        {"apiGroups": [group], "apiVersions": ["*"], "operations": [verb], "resources": [kind]}
        for group, verb, kind in (
            ("leeward.dev", operation, resource),
            ("", "CREATE", "configmaps"),
        )
    ]
    allowed = f"request.userInfo.username != '{OPERATOR}' || !({expression})"
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": rules},
            "validations": [
                {
                    "expression": "request.resource.resource == 'configmaps'"
                    f" ? object.metadata.name != '{name}' : ({allowed})",
                    "message": "refused by the test",
                }
            ],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }

    def in_force() -> bool:
        probe = lab.kubectl("create", "configmap", name, "--dry-run=server", check=False)
        return "refused by the test" in probe.stderr

    lab.stack.cluster.apply(policy, binding)
    try:
        lab.until("the test's policy is in force", in_force)
        yield
    finally:
        for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
            lab.kubectl("delete", kind, name)
        lab.until("the test's policy is gone", lambda: not in_force())


# --- the operator dies


def test_a_killed_operator_follows_its_running_job_to_the_end(lab: Any) -> None:
    name = launching(lab)
    before = epoch(lab, name)
    lab.stack.kill_operator()
    lab.stack.start_operator()
    until_adopted(lab, name, before)
    lab.control.scale(SCALE)
    assert_done_once(lab, name)


def test_killed_after_the_launch_and_before_its_answer_it_finds_the_job(lab: Any) -> None:
    name, rule = held(lab, "after")
    lab.stack.kill_operator()
    lab.control.release(rule)
    lab.stack.start_operator()
    assert_done_once(lab, name)


def test_killed_before_a_launch_that_never_happens_it_launches(lab: Any) -> None:
    name, rule = held(lab, "before", lost=True)
    lab.stack.kill_operator()
    lab.control.release(rule)
    lab.stack.start_operator()
    assert_done_once(lab, name)
    assert outcomes(lab, name) == ["Absent", "Sent"]


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


@pytest.mark.parametrize(
    "moment",
    [
        "object.metadata.name == '{name}' && object.?status.?tasks.orValue([]).size() > 0",
        "object.metadata.name.startsWith('{name}-') && object.spec.recoveryPhase == 'Activate'",
    ],
    ids=["all-made", "some-made"],
)
def test_killed_between_making_tasks_and_recording_them_it_freezes_anew(
    lab: Any, moment: str
) -> None:
    lab.ready_plan(**ONE_WAVE)
    name = f"{lab.application}-failover-1"
    all_made = "status" in moment
    resource, verb = ("drexecutions/status", "UPDATE") if all_made else ("drtasks", "CREATE")
    with refused(lab, resource, verb, moment.format(name=name)):
        lab.start()
        lab.until("tasks are made", lambda: len(lab.tasks(name)) == (2 if all_made else 1))
        lab.stack.kill_operator()
        assert not lab.get("drx", name)["status"].get("tasks")
    lab.stack.start_operator()
    assert_done_once(lab, name)


def test_killed_between_the_verdict_and_the_plans_release_it_releases_the_plan(lab: Any) -> None:
    lab.ready_plan(**ONE_WAVE)
    moment = (
        f"object.metadata.name == '{lab.application}' && "
        "has(oldObject.status.activeExecution) && !has(object.status.activeExecution)"
    )
    with refused(lab, "recoveryplans/status", "UPDATE", moment):
        name = lab.start()
        lab.until_condition("drx", name, "Succeeded")
        lab.stack.kill_operator()
        assert lab.get("rp", lab.application)["status"]["activeExecution"]["name"] == name
    lab.stack.start_operator()
    assert_released(lab, name)
    lab.until("it can be deleted", lambda: not lab.get("drx", name)["metadata"].get("finalizers"))
    assert_done_once(lab, name)


def test_a_run_survives_a_dozen_kills_at_any_moment(lab: Any) -> None:
    lab.ready_plan(waves=[{"name": "data"}, {"name": "web"}])
    name = lab.start()
    moments, kills = random.Random(20260301), 0
    progress = Progress(lab, name)
    while kills < 12 and progress.goes_on_for(moments.randint(2, 14)):
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
    replica(**SHORT_LEASE)
    lab.until("the first leads", lambda: lease_holder(lab).startswith("operator_"))
    replica("second", **SHORT_LEASE)
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


def test_a_leader_without_api_server_ends_itself_and_its_successor_goes_on(
    lab: Any, replica: Callable[..., None]
) -> None:
    replica(**SHORT_LEASE)
    name, rule = held(lab, "after")
    before, logged = epoch(lab, name), log_size(lab)
    lab.stack.cluster.stop_api_server(kill=True)
    try:
        lab.until("it ends itself", lambda: "operator" not in lab.stack.pids)
        lab.control.release(rule)
    finally:
        lab.stack.cluster.start_api_server()
    assert "ends itself" in log_since(lab, logged)
    replica()
    assert_done_once(lab, name)
    assert epoch(lab, name) > before


# --- AWS's answers are lost, late, or no


@pytest.mark.parametrize(
    "answer",
    [
        {"action": "drop", "when": "after"},
        {"action": "drop", "when": "before"},
        {"action": "error", "when": "after", "code": "InternalFailure"},
    ],
    ids=["done-and-lost", "lost-on-the-way", "done-but-500"],
)
def test_a_launch_without_an_answer_is_looked_up(lab: Any, answer: dict[str, Any]) -> None:
    lab.ready_plan(**ONE_WAVE)
    fault(lab, nth=1, **answer)
    name = lab.start()
    assert_done_once(lab, name)
    assert outcomes(lab, name)[0] == ("InDoubt" if answer["when"] == "after" else "Absent")


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


@pytest.mark.parametrize(
    ("resource", "step"),
    [
        ("drexecutions", "!('{key}' in object.metadata.?annotations.orValue({{}}))"),
        ("drexecutions/status", "has(oldObject.status.accepting) && !has(object.status.accepting)"),
    ],
    ids=["before-it-is-off", "after-it-is-off"],
)
def test_killed_while_it_takes_an_approval_it_is_counted_once(
    lab: Any, resource: str, step: str
) -> None:
    lab.ready_plan()
    name = lab.start()
    lab.until_gate(name)
    key = "leeward.dev/approve-wave-web"
    moment = f"object.metadata.name == '{name}' && {step.format(key=key)}"

    def reached() -> bool:
        run = lab.get("drx", name)
        on = key in run["metadata"]["annotations"]
        return "accepting" in run["status"] and on == (resource == "drexecutions")

    with refused(lab, resource, "UPDATE", moment):
        lab.annotate("drx", name, "approve-wave-web", APPROVER)
        lab.until("it is taking the approval", reached)
        lab.stack.kill_operator()
    again = lab.annotate("drx", name, "approve-wave-web", f"{APPROVER}: once more", check=False)
    assert again.returncode != 0
    lab.stack.start_operator()
    assert_done_once(lab, name, 1, 2)
    assert_counted_once(lab, name)
