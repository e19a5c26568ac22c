"""The commands against a real API server with the CRDs, the policies and the roles."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from leeward import policies
from leeward.api.common import OPERATOR_USER
from leeward.cli import live, main, plugin
from leeward.cli.connect import Api, Connection, connect
from leeward.cli.failures import Failure, Refused
from leeward_sandbox.cluster import Cluster
from leeward_sandbox.stack import install

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]
ROOT = Path(__file__).parents[2]
RUNS = "/apis/leeward.dev/v1alpha1/namespaces/orders/drexecutions"
_DEADLINE_SECONDS = 60.0
_TIME = "2026-03-01T02:00:00Z"
Object = dict[str, Any]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    started = Cluster.start(tmp_path_factory.mktemp("cli") / "cluster")
    try:
        install(started)
        yield started
    finally:
        started.remove()


class Scene:
    """A tenant with runs in it; status is written as the operator."""

    def __init__(self, cluster: Cluster, operator: Api, on_duty: Api, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self._operator = operator
        self._on_duty = on_duty

    def start(self, name: str | None = None, spec: Object | None = None, **status: Any) -> str:
        """An execution as the operator on duty asked for it and the operator took it up."""
        made = {
            "apiVersion": "leeward.dev/v1alpha1",
            "kind": "DRExecution",
            "metadata": {
                "name": name or self.name,
                "namespace": "orders",
                "labels": {"family": self.name},
            },
            "spec": {"planRef": {"name": "orders"}, "operation": "Failover", **(spec or {})},
        }
        _eventually(lambda: self._created(made), "the execution was created")
        self.now("Running", name=name, **status)
        return name or self.name

    def _created(self, made: Object) -> bool:
        """Whether it was created; the server first needs the types for its mutating policy."""
        try:
            self._on_duty.create(RUNS, made)
        except Refused as refused:
            if refused.status != 503:
                raise
            return False
        return True

    def now(self, state: str, name: str | None = None, reason: str = "Test", **more: Any) -> None:
        """The operator writes this state and its conditions."""
        verdict = {"Succeeded": "True", "Failed": "False"}.get(state, "Unknown")
        conditions = [_condition("Succeeded", verdict, reason)]
        for kind in ("WaitingForApproval", "WaitingForDecision", "Paused"):
            conditions.append(_condition(kind, "True" if kind == state else "False", reason))
        status = {"state": state, "message": f"now {state}", "conditions": conditions, **more}
        self.write(f"{RUNS}/{name or self.name}", status)

    def write(self, path: str, status: Object) -> None:
        """Write these fields of the status as the operator does: the whole object, if unchanged."""
        found = self._on_duty.get(path)
        body = found | {"status": (found.get("status") or {}) | status}
        response = self._operator._send("PUT", f"{path}/status", body)
        assert response.status == 200, response.data

    def task(self, tail: str, state: str) -> str:
        """A task of the run with the servers s-1 and s-2, the second failed."""
        owner = self._operator.get(f"{RUNS}/{self.name}")["metadata"]
        name = f"{self.name}-w1-instantiate-{tail}"
        labels = {"leeward.dev/execution": self.name, "leeward.dev/live": "true"}
        body = {
            "apiVersion": "leeward.dev/v1alpha1",
            "kind": "DRTask",
            "metadata": {"name": name, "namespace": "orders", "labels": labels},
            "spec": _task_spec(self.name, owner["uid"]),
        }
        path = RUNS.replace("drexecutions", "drtasks")
        self._operator.create(path, body)
        failed = {"id": "s-2", "state": "Failed", "reason": "NotLaunched", "message": "no capacity"}
        resources = [{"id": "s-1", "state": "Complete"}, failed]
        counts = {"complete": 1, "failed": 1, "total": 2}
        status = {"state": state, "resources": resources, "startTime": _TIME, **counts}
        self.write(f"{path}/{name}", status)
        return name

    def end(self, task: str) -> None:
        """The operator lets a task rest, as when its run has ended."""
        path = f"{RUNS.replace('drexecutions', 'drtasks')}/{task}"
        change = {"metadata": {"labels": {"leeward.dev/live": None}}}
        merge = "application/merge-patch+json"
        response = self._operator._send("PATCH", path, change, content_type=merge)
        assert response.status == 200, response.data

    def annotations(self, plural: str = "drexecutions", name: str | None = None) -> dict[str, str]:
        found = self._operator.get(f"{RUNS}/{name or self.name}".replace("drexecutions", plural))
        kept: dict[str, str] = found["metadata"].get("annotations") or {}
        return {k: v for k, v in kept.items() if k != "leeward.dev/requested-by"}


def _condition(kind: str, status: str, reason: str) -> Object:
    return {"type": kind, "status": status, "reason": reason, "lastTransitionTime": _TIME}


def _gate(name: str = "wave-2", **more: Any) -> Object:
    times = {"askedAt": _TIME, "deadline": "2026-03-01T02:30:00Z"}
    return {"name": name, "id": "1", "wave": "app", "before": "Activate", "state": "Waiting",
            "required": 2, **times, **more}  # fmt: skip


def _plan(name: str) -> Object:
    spec = {
        "customer": "acme",
        "environment": "production",
        "regions": {"primary": "us-east-1", "recovery": "us-east-2"},
        "accounts": [{"name": "orders-web"}],
        "waves": [{"name": "app"}],
    }
    metadata = {"name": name, "namespace": "orders"}
    api = "leeward.dev/v1alpha1"
    return {"apiVersion": api, "kind": "RecoveryPlan", "metadata": metadata, "spec": spec}


def _task_spec(execution: str, uid: str) -> Object:
    arn = "arn:aws:drs:us-east-2:111111111111:source-server/"
    return {
        "executionRef": {"name": execution, "uid": uid},
        "plan": "orders",
        "operation": "Failover",
        "mode": "Planned",
        "wave": "app",
        "waveOrdinal": 1,
        "recoveryPhase": "Instantiate",
        "technology": "drs",
        "account": "orders-web",
        "accountId": "111111111111",
        "region": "us-east-2",
        "sourceRegion": "us-east-1",
        "resources": [{"id": i, "arn": arn + i} for i in ("s-1", "s-2")],
    }


@pytest.fixture(scope="module")
def operator(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The operator's own connection: admin's kubeconfig with `as`, as kubectl reads it."""
    config = yaml.safe_load(cluster.kubeconfig("admin").read_text())
    config["users"][0]["user"] |= {"as": OPERATOR_USER, "as-groups": ["system:serviceaccounts"]}
    file = tmp_path_factory.mktemp("operator") / "config"
    file.write_text(yaml.safe_dump(config))
    api = connect(Connection(kubeconfig=str(file)))
    yield api
    api.close()


@pytest.fixture(scope="module")
def on_duty(cluster: Cluster) -> Iterator[Api]:
    api = connect(Connection(kubeconfig=str(cluster.kubeconfig("on-duty"))))
    yield api
    api.close()


@pytest.fixture(scope="module")
def guarded(cluster: Cluster, operator: Api, on_duty: Api) -> None:
    """The API server has begun to enforce the policies; it takes each up in its own time."""
    probe = Scene(cluster, operator, on_duty, "probe")
    probe.start(gates=[_gate()])
    task = RUNS.replace("drexecutions", "drtasks") + "/" + probe.task("drs-a-0", "Failed")
    forged = (f"value {number}" for number in itertools.count())

    def refused(path: str, policy: str) -> bool:
        try:
            on_duty.annotate(path, {"leeward.dev/retry": next(forged)})
        except Refused as refusal:
            return f"(policy {policy}.leeward.dev)" in str(refusal)
        return False

    _eventually(lambda: refused(f"{RUNS}/probe", "leeward-commands"), "commands are guarded")
    _eventually(lambda: refused(task, "leeward-task-commands"), "tasks are guarded")


@pytest.fixture
def scene(cluster: Cluster, operator: Api, on_duty: Api, guarded: None) -> Scene:
    return Scene(cluster, operator, on_duty, f"run-{next(_numbers)}")


def _leeward(scene: Scene, user: str, *args: str) -> Result:
    given = [*args, "--kubeconfig", str(scene.cluster.kubeconfig(user))]
    return CliRunner().invoke(plugin.cli, given)


@contextlib.contextmanager
def _background(scene: Scene, *args: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "leeward.cli.plugin", *args],
        env={**os.environ, "KUBECONFIG": str(scene.cluster.kubeconfig("on-duty"))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _until(process: subprocess.Popen[str], text: str) -> list[str]:
    """Read the process's lines until one holds `text`."""
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if text in line:
            return lines
    raise AssertionError(f"{text!r} was never printed, but: {lines}")


def _eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


def test_the_callers_own_name_is_written_into_an_approval(scene: Scene) -> None:
    scene.start(gates=[_gate()])
    done = _leeward(scene, "approver-a", "approve", "drx", scene.name, "-m", "checked the lag")
    assert done.exit_code == 0, done.output
    assert "approve wave-2 given as approver-a@example.com" in done.stdout

    done = _leeward(scene, "approver-b", "approve", "drx", scene.name, "wave-2")
    assert done.exit_code == 0, done.output
    assert scene.annotations() == {
        "leeward.dev/approve-wave-2": "approver-a@example.com: checked the lag",
        "leeward.dev/approve-wave-2.2": "approver-b@example.com",
    }


def test_a_refusal_is_printed_in_the_policys_words_and_ends_with_1(scene: Scene) -> None:
    scene.start(gates=[_gate()])
    done = _leeward(scene, "intruder", "approve", "drx", scene.name, "wave-2")
    assert done.exit_code == 1
    assert "refused: intruder@example.com may not answer the gates of plan orders/orders" in (
        done.stderr
    )
    assert "(policy leeward-commands.leeward.dev)" in done.stderr

    done = _leeward(scene, "approver-a", "approve", "drx", scene.name, "wave-9")
    assert done.exit_code == 1
    assert "has not been asked" in done.stderr
    assert scene.annotations() == {}


def test_a_gate_is_named_where_several_wait(scene: Scene) -> None:
    scene.start()
    done = _leeward(scene, "approver-a", "reject", "drx", scene.name)
    assert done.exit_code == 1
    assert "no gate waits" in done.stderr
    scene.now("Running", gates=[_gate(), _gate("wave-3", wave="db")])
    done = _leeward(scene, "approver-a", "reject", "drx", scene.name)
    assert done.exit_code == 1
    assert "several gates wait, name one of them: wave-2, wave-3" in done.stderr
    done = _leeward(scene, "approver-a", "reject", "drx", scene.name, "wave-3", "--suffix", "a")
    assert done.exit_code == 0, done.output
    assert scene.annotations() == {"leeward.dev/reject-wave-3.a": "approver-a@example.com"}


def test_runs_are_paused_resumed_and_cancelled(scene: Scene) -> None:
    scene.start()
    for verb in ("pause", "resume", "cancel"):
        done = _leeward(scene, "on-duty", verb, "drexecution", scene.name, "-m", "DBA")
        assert done.exit_code == 0, done.output
    name = "operator-on-duty@example.com: DBA"
    assert scene.annotations() == {f"leeward.dev/{v}": name for v in ("pause", "resume", "cancel")}


def test_a_selector_steers_all_that_can_be_steered(scene: Scene) -> None:
    scene.start()
    failed, complete = scene.task("drs-a-0", "Failed"), scene.task("drs-a-1", "InProgress")
    selector = f"leeward.dev/execution={scene.name}"
    done = _leeward(scene, "on-duty", "retry", "drt", "-l", selector, "-m", "new type")
    assert done.exit_code == 0, done.output
    assert f"drt orders/{failed}: retry given" in done.stdout
    assert f"drt orders/{complete}: passed over, it is InProgress, not Failed" in done.stdout
    assert scene.annotations("drtasks", failed) == {
        "leeward.dev/retry": "operator-on-duty@example.com: new type"
    }
    assert scene.annotations("drtasks", complete) == {}
    done = _leeward(scene, "on-duty", "retry", "drt", "-l", "leeward.dev/execution=none")
    assert done.exit_code == 1
    assert "matches leeward.dev/execution=none" in done.stderr


def test_resources_of_a_task_are_named(scene: Scene) -> None:
    scene.start()
    task = scene.task("drs-a-0", "Failed")
    done = _leeward(scene, "on-duty", "skip", "drt", task, "--resource", "s-2", "-m", "retired")
    assert done.exit_code == 0, done.output
    assert scene.annotations("drtasks", task) == {
        "leeward.dev/skip": "operator-on-duty@example.com: [s-2] retired"
    }
    done = _leeward(scene, "on-duty", "retry", "drt", task, "--resource", "s-9")
    assert done.exit_code == 1
    assert "not among the resources of task" in done.stderr


def _annotation(scene: Scene, name: str, key: str) -> str | None:
    return scene.annotations(name=name).get(f"leeward.dev/{key}")


def _family(scene: Scene, verb: str, user: str, *more: str) -> Result:
    """Give a command to all runs of the scene."""
    return _leeward(scene, user, verb, "drx", "-l", f"family={scene.name}", *more)


def test_a_planned_run_is_switched_and_an_unplanned_one_passed_over(scene: Scene) -> None:
    scene.start()
    done = _leeward(scene, "on-duty", "unplanned", "drx", scene.name, "-m", "the Region is gone")
    assert done.exit_code == 0, done.output
    author = "operator-on-duty@example.com: the Region is gone"
    assert scene.annotations() == {"leeward.dev/unplanned": author}

    began = scene.start(f"{scene.name}-b", {"mode": "Unplanned"})
    switched = scene.start(f"{scene.name}-c", unplanned=True)
    ended = scene.start(f"{scene.name}-d")
    scene.now("Succeeded", name=ended)
    planned = scene.start(f"{scene.name}-e")
    done = _family(scene, "unplanned", "on-duty", "-m", "the Region is gone")
    assert f"drx orders/{began}: passed over, it is Unplanned already" in done.stdout
    assert f"drx orders/{switched}: passed over, it is Unplanned already" in done.stdout
    assert f"drx orders/{ended}: passed over, it has ended as Succeeded" in done.stdout
    assert _annotation(scene, planned, "unplanned") == author
    refused = _leeward(scene, "on-duty", "unplanned", "drx", began)
    assert refused.exit_code == 1
    assert "is Unplanned already" in refused.stderr


def test_a_run_that_found_another_adopts_it_and_others_are_passed_over(scene: Scene) -> None:
    scene.start()
    found = scene.start(f"{scene.name}-b")
    scene.now("WaitingForDecision", name=found, reason="PreviousRunFound")
    done = _family(scene, "adopt", "on-duty")
    assert done.exit_code == 0, done.output
    assert f"drx orders/{scene.name}: passed over, it has found nothing to adopt" in done.stdout
    assert _annotation(scene, found, "adopt") == "operator-on-duty@example.com"
    refused = _leeward(scene, "on-duty", "adopt", "drx", scene.name)
    assert "does not wait for leeward.dev/adopt" in refused.stderr


def test_the_glass_is_broken_by_whoever_was_given_the_right(scene: Scene) -> None:
    scene.start()
    refused = _leeward(scene, "approver-a", "break-glass", "drx", scene.name)
    assert refused.exit_code == 1
    assert "needs the verb break-glass" in refused.stderr
    broken = scene.start(f"{scene.name}-b", breakGlass={"user": "sealed", "time": _TIME})
    done = _family(scene, "break-glass", "admin", "-m", "nobody answers")
    assert done.exit_code == 0, done.output
    assert f"drx orders/{broken}: passed over, its glass was broken by sealed already" in (
        done.stdout
    )
    assert scene.annotations() == {"leeward.dev/break-glass": "admin: nobody answers"}


def test_the_loss_of_data_is_accepted_where_a_gate_asks(scene: Scene) -> None:
    scene.start()
    scene.now("Running", gates=[_gate(), _gate("wave-3", wave="db", dataLoss="Question")])
    plain = scene.start(f"{scene.name}-b", gates=[_gate()])
    done = _family(scene, "accept-data-loss", "admin", "-m", "40 minutes are agreed")
    assert done.exit_code == 0, done.output
    assert "accept-data-loss wave-3 given as admin" in done.stdout
    assert f"drx orders/{plain}: passed over, no gate asks whether data may be lost" in done.stdout
    key = "leeward.dev/accept-data-loss-wave-3"
    assert scene.annotations() == {key: "admin: 40 minutes are agreed"}

    one = ("accept-data-loss", "drx", plain)
    done = _leeward(scene, "admin", *one)
    assert (done.exit_code, "no gate asks whether data may be lost now" in done.stderr) == (1, True)
    done = _leeward(scene, "admin", *one, "wave-2")
    assert "does not ask whether data may be lost; it takes approvals" in done.stderr
    done = _leeward(scene, "approver-a", "accept-data-loss", "drx", scene.name, "wave-3")
    assert "needs the verb approve-destructive" in done.stderr


def test_the_loss_of_data_is_accepted_where_a_task_asks(scene: Scene) -> None:
    scene.start()
    task, other = scene.task("drs-a-0", "Failed"), scene.task("drs-a-1", "Complete")
    one = ("accept-data-loss", "drt", task)
    done = _leeward(scene, "on-duty", *one)
    assert (done.exit_code, "needs the verb approve-destructive" in done.stderr) == (1, True)
    done = _leeward(scene, "admin", *one, "--resource", "s-1", "-m", "it is whole")
    assert done.exit_code == 0, done.output
    key = "leeward.dev/accept-data-loss"
    assert scene.annotations("drtasks", task) == {key: "admin: [s-1] it is whole"}
    done = _leeward(scene, "admin", "accept-data-loss", "drt", "-l", _mine(scene))
    assert f"{other}: passed over, it is Complete, not Failed" in done.stdout
    for line, said in (
        (("drx", scene.name, "--resource", "s-1"), "--resource names resources of one task"),
        (("drt", task, "wave-3"), "'wave-3' is one argument too many"),
    ):
        done = _leeward(scene, "admin", "accept-data-loss", *line)
        assert (done.exit_code, said in done.stderr) == (1, True)


def _mine(scene: Scene) -> str:
    return f"leeward.dev/execution={scene.name}"


def test_tasks_are_marked_done_undone_and_relaunched(scene: Scene) -> None:
    scene.start()
    task = scene.task("drs-a-0", "Failed")
    me = "operator-on-duty@example.com"
    for verb in ("mark-done", "undo"):
        done = _leeward(scene, "on-duty", verb, "drt", task, "--resource", "s-2", "-m", "by hand")
        assert done.exit_code == 0, done.output
    done = _leeward(scene, "on-duty", "relaunch", "drt", task, "--resource", "s-2")
    assert done.exit_code == 1
    assert "needs the verb approve-destructive" in done.stderr
    both = ("--resource", "s-1", "--resource", "s-2")
    assert _leeward(scene, "admin", "relaunch", "drt", task, *both).exit_code == 0
    assert scene.annotations("drtasks", task) == {
        "leeward.dev/mark-done": f"{me}: [s-2] by hand",
        "leeward.dev/undo": f"{me}: [s-2] by hand",
        "leeward.dev/relaunch": "admin: [s-1,s-2]",
    }


def test_a_selector_finds_the_tasks_that_a_command_means(scene: Scene) -> None:
    scene.start()
    states = ("Failed", "Complete", "InProgress", "NotStarted", "PendingApproval")
    tasks = {state: scene.task(f"drs-a-{n}", state) for n, state in enumerate(states)}
    rested = scene.task("drs-a-9", "Failed")
    scene.end(rested)
    selector = f"leeward.dev/execution={scene.name}"
    for verb, meant in (
        ("mark-done", {"Failed", "PendingApproval"}),
        ("undo", {"Failed", "Complete"}),
        ("skip", {"Failed"}),
    ):
        done = _leeward(scene, "on-duty", verb, "drt", "-l", selector)
        assert done.exit_code == 0, done.output
        given = {s for s, t in tasks.items() if f"drt orders/{t}: {verb} given" in done.stdout}
        assert given == meant
        assert f"drt orders/{rested}: passed over, its run has ended" in done.stdout
        assert f"{tasks['InProgress']}: passed over, it is InProgress, not " in done.stdout
    assert scene.annotations("drtasks", rested) == {}
    refused = _leeward(scene, "on-duty", "retry", "drt", rested)
    assert "is not live" in refused.stderr


def test_what_is_not_there_is_said(scene: Scene) -> None:
    for line in (["get", "drx", "no"], ["wait", "drx", "no"], ["pause", "drx", "no"],
                 ["get", "rp", "no"], ["plan", "compliance", "no"]):  # fmt: skip
        done = _leeward(scene, "on-duty", *line)
        assert done.exit_code == 1
        assert '"no" not found' in done.stderr


def test_a_run_is_shown_with_its_tasks(scene: Scene) -> None:
    wave = {"name": "app", "ordinal": 1, "state": "Failed", "resources": {"total": 2, "failed": 1}}
    scene.start(waves=[wave])
    task = scene.task("drs-a-0", "Failed")
    done = _leeward(scene, "on-duty", "get", "drx", scene.name, "-n", "orders")
    assert done.exit_code == 0, done.output
    assert "◌ Running" in done.stdout
    assert "no capacity" in done.stdout
    assert f"kubectl leeward retry drt {task} -n orders" in done.stdout


@pytest.mark.parametrize(
    ("state", "reason", "goal", "code"),
    [
        ("Succeeded", "Succeeded", "succeeded", 0),
        ("Succeeded", "WithinTolerance", "terminal", 3),
        ("Failed", "Failed", "succeeded", 2),
        ("WaitingForApproval", "Waiting", "approval", 0),
        ("WaitingForDecision", "Waiting", "succeeded", 5),
    ],
)
def test_wait_ends_with_the_code_of_what_came(
    scene: Scene, state: str, reason: str, goal: str, code: int
) -> None:
    scene.start()
    with _background(scene, "wait", "drx", scene.name, "--for", goal) as process:
        assert _until(process, "Running") == ["◌ Running: now Running"]
        scene.now(state, reason=reason)
        rest, _ = process.communicate(timeout=_DEADLINE_SECONDS)
        assert process.returncode == code
        assert rest.splitlines()[0].endswith(f"{state}: now {state}")


def test_wait_gives_up_at_its_time_out_and_not_before(scene: Scene) -> None:
    scene.start()
    before = time.monotonic()
    done = _leeward(scene, "on-duty", "wait", "drx", scene.name, "--timeout", "1s")
    assert done.exit_code == 4
    assert time.monotonic() - before >= 1
    assert "timed out" in done.stdout
    done = _leeward(scene, "on-duty", "get", "drx", scene.name, "-w", "--timeout", "500ms")
    assert done.exit_code == 4


def test_the_live_view_says_that_its_object_was_deleted(scene: Scene) -> None:
    scene.cluster.apply(_plan(scene.name))
    with _background(scene, "get", "rp", scene.name, "--watch") as process:
        _until(process, "us-east-1 → us-east-2")
        scene.cluster.kubectl("delete", "rp", scene.name)
        _until(process, f"Error: recoveryplan orders/{scene.name} was deleted")
        assert process.wait(_DEADLINE_SECONDS) == 1


def test_an_interrupted_wait_ends_quietly_and_leaves_the_run_alone(scene: Scene) -> None:
    scene.start()
    with _background(scene, "wait", "drx", scene.name) as process:
        _until(process, "Running")
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=_DEADLINE_SECONDS)
        assert process.returncode == 130
        assert "Traceback" not in rest
    assert scene.annotations() == {}


def test_the_live_view_outlasts_the_api_server(scene: Scene) -> None:
    scene.start()
    with _background(scene, "get", "drx", scene.name, "-w") as process:
        _until(process, "◌ Running")
        scene.cluster.stop_api_server(kill=True)
        try:
            lost = _until(process, "shown as last known")
            assert "did not answer" in lost[-1]
        finally:
            scene.cluster.start_api_server()
        scene.now("Paused")
        _until(process, "॥ Paused")
        scene.now("Succeeded", reason="WithinTolerance")
        _until(process, "⚠ Succeeded")
        assert process.wait(_DEADLINE_SECONDS) == 3


def test_a_terminal_is_redrawn_in_place_until_the_run_ends(scene: Scene) -> None:
    scene.start()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "leeward.cli.plugin", "get", "drx", scene.name, "-w"],
        env={
            **{k: v for k, v in os.environ.items() if k != "NO_COLOR"},
            "KUBECONFIG": str(scene.cluster.kubeconfig("on-duty")),
            "TERM": "xterm-256color",
            "COLUMNS": "120",
            "LINES": "50",
        },
        stdout=theirs,
    )
    os.close(theirs)
    try:
        seen = _read_until(ours, "Running")
        scene.now("Succeeded", reason="Succeeded")
        seen += _read_until(ours, "✔ Succeeded")
        assert process.wait(_DEADLINE_SECONDS) == 0
    finally:
        process.kill()
        os.close(ours)
    assert "\x1b[1A" in seen  # the cursor goes up, to draw over what was there
    assert "\x1b[32m" in seen


def _read_until(terminal: int, text: str) -> str:
    seen = b""
    while text.encode() not in seen:
        seen += os.read(terminal, 65536)
    return seen.decode(errors="replace")


def test_a_program_follows_a_run_and_can_stop(scene: Scene) -> None:
    scene.start()
    out, stop = io.StringIO(), threading.Event()
    api = connect(Connection(kubeconfig=str(scene.cluster.kubeconfig("on-duty"))))
    last: list[Object] = []
    thread = threading.Thread(
        target=lambda: last.append(live.follow(api, "orders", scene.name, out, stop))
    )
    thread.start()
    _eventually(lambda: "Running" in out.getvalue(), "the run was shown")
    stop.set()
    thread.join(_DEADLINE_SECONDS)
    assert last[0]["metadata"]["name"] == scene.name
    with pytest.raises(Failure, match="not found"):
        live.follow(api, "orders", "no-such-run", out, threading.Event())
    api.close()


def test_the_tag_report_is_read_from_the_inventories(scene: Scene) -> None:
    scene.cluster.apply(_plan(scene.name))
    path = RUNS.replace("drexecutions", "recoveryinventories")
    spec = {"planRef": {"name": scene.name}, "account": "web", "accountId": "111111111111"}
    labels = {"leeward.dev/plan": scene.name}
    body = {
        "apiVersion": "leeward.dev/v1alpha1",
        "kind": "RecoveryInventory",
        "metadata": {"name": f"{scene.name}-web-0", "namespace": "orders", "labels": labels},
        "spec": spec,
    }
    scene._operator.create(path, body)
    resource = {"id": "s-1", "arn": "arn:x", "technology": "drs", "region": "us-east-1",
                "name": "web-1", "verdict": "Excluded", "problems": ["no dr:wave"]}  # fmt: skip
    scene.write(f"{path}/{scene.name}-web-0", {"resources": [resource]})

    done = _leeward(scene, "on-duty", "plan", "compliance", scene.name, "-o", "json")
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    assert (row["id"], row["verdict"], row["problems"]) == ("s-1", "Excluded", ["no dr:wave"])
    done = _leeward(scene, "on-duty", "plan", "status", scene.name)
    assert done.exit_code == 0, done.output
    assert "us-east-1 → us-east-2" in done.stdout


def test_check_says_what_is_missing_and_what_it_may_not_see(scene: Scene) -> None:
    done = _leeward(scene, "admin", "check")
    assert done.exit_code == 1
    assert "✖ Lease leeward-system/leeward: not there" in done.stdout
    assert done.stdout.count("✖") == 1, done.stdout

    now = datetime.now(UTC) + timedelta(seconds=1)
    times = {"leaseDurationSeconds": 3600, "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "leeward", "namespace": "leeward-system"},
        "spec": {"holderIdentity": "leeward-0", "leaseTransitions": 3, **times},
    }
    scene.cluster.apply(lease)
    done = _leeward(scene, "admin", "check")
    assert done.exit_code == 0, done.stdout
    assert "held by leeward-0, epoch 3" in done.stdout
    assert done.stdout.splitlines()[-1].endswith(" 0 unknown, 0 problems")

    done = _leeward(scene, "on-duty", "check")
    assert "you may not do this" in done.stdout
    assert " 0 unknown" not in done.stdout


def test_check_notices_a_binding_that_denies_nothing(scene: Scene) -> None:
    name = "leeward-commands.leeward.dev"
    patch = '{"spec":{"validationActions":["Audit"]}}'
    kind = "validatingadmissionpolicybinding"
    scene.cluster.kubectl("patch", kind, name, "--type=merge", "-p", patch)
    try:
        done = _leeward(scene, "admin", "check")
    finally:
        scene.cluster.apply(*policies.load())
    assert done.exit_code == 1
    assert f"✖ ValidatingAdmissionPolicyBinding {name}: denies nothing" in done.stdout


def _verify(scene: Scene, user: str, *args: str) -> Result:
    given = ["verify", "deployment", *args, "--kubeconfig", str(scene.cluster.kubeconfig(user))]
    return CliRunner().invoke(main.cli, given)


def _lines(done: Result, section: str) -> list[str]:
    """The findings under a heading."""
    rest = done.stdout.split(f"{section}\n", 1)[1].splitlines()
    return [line.strip() for line in itertools.takewhile(lambda one: one.startswith("  "), rest)]


def _operator_as_deployed(scene: Scene, replicas: int) -> None:
    """The operator's Deployment, and a pod of it with the identity that EKS would set."""
    labels = {"app.kubernetes.io/name": "leeward", "app.kubernetes.io/instance": "leeward"}
    token = {"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": "/var/run/token"}
    role = {"name": "AWS_ROLE_ARN", "value": "arn:aws:iam::999999999999:role/leeward"}
    pod = {
        "serviceAccountName": "leeward",
        "containers": [{"name": "operator", "image": "leeward:test", "env": [token, role]}],
    }
    place = {"namespace": "leeward-system", "labels": labels}
    scene.cluster.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "leeward", **place},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "leeward-0", **place},
            "spec": pod,
        },
    )
    scene.cluster.kubectl(
        "patch", "deployment", "leeward", "-n", "leeward-system", "--subresource=status",
        "--type=merge", "-p", json.dumps({"status": {"replicas": 2, "readyReplicas": replicas}}),
    )  # fmt: skip


def test_verify_tries_forgeries_and_looks_at_operator_rights_and_accounts(scene: Scene) -> None:
    scene.start()
    _operator_as_deployed(scene, replicas=1)
    # Policies that a test before this one put back take the API server a moment.
    _eventually(lambda: "would be taken" not in _verify(scene, "admin").stdout, "policies in force")

    done = _verify(scene, "admin")

    assert done.exit_code == 1
    forgeries = _lines(done, "Policies in force")
    assert [line[0] for line in forgeries] == ["✔"] * 4, forgeries
    for policy in ("requests", "record", "commands", "status"):
        assert f"(leeward-{policy}.leeward.dev)" in "".join(forgeries)
    assert _lines(done, "Operator") == [
        "✖ Deployment leeward: 1 of 2 replicas ready (leeward:test)",
        "✔ ServiceAccount leeward-system/leeward: there",
        f"✔ {OPERATOR_USER} may do what it needs (15 rights were asked about)",
        f"✔ {OPERATOR_USER} may neither answer gates, list Secrets, nor change policies",
        "✔ Pod leeward-0: IRSA, role arn:aws:iam::999999999999:role/leeward",
    ]
    _operator_as_deployed(scene, replicas=2)
    assert "✔ Deployment leeward: 2 of 2 replicas ready" in _verify(scene, "admin").stdout


def test_verify_finds_a_policy_that_does_not_bite_and_a_right_too_many(scene: Scene) -> None:
    scene.start()
    name = "leeward-requests.leeward.dev"
    kind = "validatingadmissionpolicybinding"
    scene.cluster.kubectl("delete", kind, name)
    bound = ["clusterrolebinding", "leeward-too-many", "--clusterrole=leeward-approver",
             "--serviceaccount=leeward-system:leeward"]  # fmt: skip
    scene.cluster.kubectl("create", *bound)
    try:
        _eventually(
            lambda: f"would be taken: {name} is not in force" in _verify(scene, "admin").stdout,
            "the policy is known not to be in force",
        )
        done = _verify(scene, "admin", "-o", "json")
    finally:
        scene.cluster.apply(*policies.load())
        scene.cluster.kubectl("delete", *bound[:2])

    shown = json.loads(done.stdout)
    assert (done.exit_code, shown["passed"]) == (1, False)
    problems = [f["text"] for f in shown["findings"] if f["verdict"] == "problem"]
    assert any(f"Binding {name}: not there" in text for text in problems)
    assert any("may approve recoveryplans/approval.leeward.dev" in text for text in problems)
    _eventually(
        lambda: "would be taken" not in _verify(scene, "admin").stdout, "the policy is in force"
    )


def test_verify_names_a_pipeline_that_may_do_everything(scene: Scene) -> None:
    """With an IAM role or a certificate it is a user, as people are."""
    ok = "✔ no user or group is bound to a role with every verb by a wildcard"
    assert _lines(_verify(scene, "admin"), "Wildcards") == [ok]
    bound = ["clusterrolebinding", "leeward-pipeline", "--clusterrole=cluster-admin",
             "--user=pipeline", "--serviceaccount=flux-system:kustomize-controller"]  # fmt: skip
    scene.cluster.kubectl("create", *bound)
    try:
        (line,) = _lines(_verify(scene, "admin"), "Wildcards")
    finally:
        scene.cluster.kubectl("delete", *bound[:2])
    assert line.startswith("⚠ every verb by a wildcard have User pipeline (ClusterRoleBinding ")
    assert "bind what is none" in line.lower()
    assert "kustomize-controller" not in line


def test_verify_does_not_call_unproved_what_its_user_may_not_try(scene: Scene) -> None:
    scene.start()
    done = _verify(scene, "on-duty")

    forgeries = _lines(done, "Policies in force")
    assert "⚠" in {line[0] for line in forgeries}
    assert "✖" not in {line[0] for line in forgeries}
    assert "you may not do this" in done.stdout
    assert _verify(scene, "on-duty", "--strict").exit_code == 1
