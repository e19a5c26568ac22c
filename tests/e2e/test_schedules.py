"""Schedules: the operator starts a drill of its own accord, once, and says what it does not start.

The operator's clock is put forward to the next time that is due, so that nothing is waited for.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

Lab = Any  # conftest.Lab
Object = dict[str, Any]
ACCOUNT = "111111111111"
AHEAD = "LEEWARD_TEST_CLOCK_AHEAD"
_PUT_FORWARD = f"""
import os
from datetime import timedelta
from leeward.engine import clock

_, elapsed = clock.SteadyClock.__init__.__defaults__
ahead = timedelta(seconds=float(os.environ["{AHEAD}"]))
clock.SteadyClock.__init__.__defaults__ = (lambda: clock.wall() + ahead, elapsed)
"""


@pytest.fixture
def operator_at(lab: Lab, tmp_path: Path) -> Iterator[Any]:
    """Kills the operator and starts one whose clock is at a time of the test's.

    Without a time: whose clock goes on where the last one's was, as no clock goes back.
    """
    # Python runs a module of this name before anything else.
    (tmp_path / "sitecustomize.py").write_text(_PUT_FORWARD)

    ahead = timedelta()

    def start(moment: datetime | None = None) -> None:
        nonlocal ahead
        if "operator" in lab.stack.pids:
            lab.stack.kill_operator()
        if moment is not None:
            ahead = moment - datetime.now(UTC)
        lab.stack.start_operator({AHEAD: str(ahead.total_seconds()), "PYTHONPATH": str(tmp_path)})

    yield start
    lab.stack.kill_operator()
    lab.stack.start_operator()


@pytest.fixture
def drill_network(lab: Lab) -> Object:
    """Drill network of the account as the estate has it, in the plan's words."""
    ec2 = lab.client("ec2", ACCOUNT)
    wanted = [{"Name": "tag:Purpose", "Values": ["Drill"]}]
    subnet = ec2.describe_subnets(Filters=wanted)["Subnets"][0]
    groups = ec2.describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [subnet["VpcId"]]}, *wanted]
    )["SecurityGroups"]
    network = {
        "accountId": ACCOUNT, "subnetId": subnet["SubnetId"],
        "securityGroupIds": [group["GroupId"] for group in groups],
    }  # fmt: skip
    return {"networks": [network]}


def schedule(lab: Lab, due: datetime, **spec: Any) -> str:
    """Apply a schedule that is due then and in a year's time again; its name."""
    name = f"{lab.application}-yearly"
    body = {
        "apiVersion": "leeward.dev/v1alpha1",
        "kind": "DRSchedule",
        "metadata": {"name": name, "namespace": lab.namespace},
        "spec": {
            "planRef": {"name": lab.application},
            "schedule": f"{due.minute} {due.hour} {due.day} {due.month} *",
            **spec,
        },
    }
    lab.apply(body)
    return name


def drills(lab: Lab, name: str) -> list[Object]:
    found: list[Object] = lab._read("drx", f"?labelSelector=leeward.dev/schedule={name}")["items"]
    return found


def missed(lab: Lab, name: str) -> Object:
    def look() -> Object | None:
        found: Object | None = lab.get("drsched", name).get("status", {}).get("missed")
        return found

    found: Object = lab.until(f"{name} misses a drill", look)
    return found


def next_hour() -> datetime:
    """An hour that is certainly to come, whatever this machine takes."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return now + timedelta(hours=2)


def test_a_schedule_starts_one_drill_whoever_is_killed_meanwhile(
    lab: Lab, drill_network: Object, operator_at: Any
) -> None:
    one = {"accounts": [{"name": "east-a"}], "waves": [{"name": "data"}]}
    lab.ready_plan(**one, drill=drill_network)
    due = next_hour()
    name = schedule(lab, due, template={"approvalMode": "Automatic"})
    lab.until_condition("drsched", name, "Ready")
    assert drills(lab, name) == []
    operator_at(due + timedelta(seconds=5))
    lab.until("the drill is there", lambda: drills(lab, name))
    operator_at()
    operator_at()
    run = f"{name}-{int(due.timestamp()) // 60}"
    found = lab.until_state(run, "Succeeded", "Failed", "Expired")
    assert found["status"]["state"] == "Succeeded", found["status"].get("message")
    assert found["metadata"]["annotations"]["leeward.dev/requested-by"] == "admin"
    assert found["status"]["requestedBy"] == "admin"
    assert "ownerReferences" not in found["metadata"]
    lab.until(
        "the schedule knows that it ended",
        lambda: lab.get("drsched", name)["status"].get("lastSuccessfulTime"),
    )
    assert [drill["metadata"]["name"] for drill in drills(lab, name)] == [run]
    assert set(lab.launches().values()) == {1}
    status = lab.get("drsched", name)["status"]
    assert (status["lastRun"]["name"], status["lastRun"]["state"]) == (run, "Succeeded")
    assert "missed" not in status
    assert "active" not in status


def test_while_a_run_of_the_plan_lives_the_drill_is_missed_and_people_are_told(
    lab: Lab, operator_at: Any
) -> None:
    wave = {"name": "data", "gates": [{"before": "Instantiate"}]}
    lab.ready_plan(accounts=[{"name": "east-a"}], waves=[wave])
    due = next_hour()
    name = schedule(lab, due)
    lab.until_condition("drsched", name, "Ready")
    run = lab.start()
    lab.until_gate(run, "wave-data")
    operator_at(due + timedelta(seconds=5))
    found = missed(lab, name)
    assert (found["count"], found["reason"]) == (1, "PlanBusy")
    assert run in found["message"]
    assert drills(lab, name) == []
    about = ("get", "events", "--field-selector", f"involvedObject.name={name}")
    lab.until("an event says so", lambda: "DrillMissed" in lab.kubectl(*about).stdout)
    lab.annotate("drx", run, "cancel", "operator-on-duty@example.com", user="on-duty")
    lab.until_state(run, "Cancelled")


def test_what_a_blackout_covers_or_nobody_was_there_for_is_missed(
    lab: Lab, operator_at: Any
) -> None:
    lab.ready_plan()
    due = next_hour()
    times = {"start": due.isoformat(), "end": (due + timedelta(hours=1)).isoformat()}
    name = schedule(lab, due, blackouts=[{"name": "closing", "type": "Fixed", "fixed": times}])
    lab.until_condition("drsched", name, "Ready")
    operator_at(due + timedelta(seconds=5))
    found = missed(lab, name)
    assert (found["count"], found["reason"]) == (1, "Blackout")
    # Another one, for which nobody was there until it was too late.
    lab.stack.kill_operator()
    lab.kubectl("delete", "drsched", name)
    name = schedule(lab, due)
    operator_at(due + timedelta(minutes=11))
    found = missed(lab, name)
    assert (found["count"], found["reason"]) == (1, "DeadlineExceeded")
    assert drills(lab, name) == []
