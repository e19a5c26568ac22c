"""Auto Scaling groups: emptied in Fence, sized in Activate, and put back by undo."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from leeward_adapters import autoscaling_groups
from leeward_adapters.autoscaling_groups import (
    RESIZING,
    Group,
    Member,
    Sizes,
    describe,
    ending,
    fencing,
    scaling,
)
from leeward_adapters.base import Phase, State
from leeward_sandbox.aws.estates import tiny
from leeward_sandbox.aws.estates.model import AutoScalingGroup

PRIMARY, RECOVERY = "us-east-1", "us-east-2"


@pytest.fixture
def groups(make_sandbox: Any, new_account: Any) -> Any:
    """An account with the groups front and back, of two instances each in the primary Region."""
    account = new_account()
    (plain,) = tiny(account=account).accounts
    made = [AutoScalingGroup(name=name, maximum=4) for name in ("front", "back")]
    scaled = plain.model_copy(update={"auto_scaling_groups": made})
    return make_sandbox(estate=tiny(account=account, accounts=[scaled]))


def described(sandbox: Any, region: str, name: str = "front") -> dict[str, Any]:
    answer = sandbox.client("autoscaling", region).describe_auto_scaling_groups(
        AutoScalingGroupNames=[name]
    )
    (found,) = answer["AutoScalingGroups"]
    return {
        "sizes": (found["MinSize"], found["DesiredCapacity"], found["MaxSize"]),
        "instances": len(found["Instances"]),
        "suspended": {p["ProcessName"] for p in found["SuspendedProcesses"]},
    }


def fence(make_task: Any, sandbox: Any, *names: str, **more: Any) -> Any:
    given = {"kind": "autoscaling", "phase": Phase.FENCE, "region": PRIMARY} | more
    settings = {"autoScaling": {"groups": [{"name": name} for name in names]}}
    return make_task(sandbox, names, settings=settings, **given)


def activate(make_task: Any, sandbox: Any, *given: dict[str, Any], **more: Any) -> Any:
    settings = {"autoScaling": {"groups": list(given)}}
    names = [one["name"] for one in given]
    wanted = {"kind": "autoscaling", "phase": Phase.ACTIVATE} | more
    return make_task(sandbox, names, settings=settings, **wanted)


@pytest.mark.aws
def test_groups_are_emptied_and_put_back(groups: Any, make_task: Any) -> None:
    scaling_of = groups.client("autoscaling", PRIMARY)
    scaling_of.suspend_processes(AutoScalingGroupName="front", ScalingProcesses=["AZRebalance"])
    before = {name: described(groups, PRIMARY, name) for name in ("front", "back")}
    assert [one["instances"] for one in before.values()] == [2, 2]
    task = fence(make_task, groups, "front", "back")

    proof = task.run()

    assert {(seen.state, seen.reason) for seen in proof.values()} == {(State.DONE, "")}
    assert [action for action, _ in task.sent] == ["suspend", "zero"]
    fenced = described(groups, PRIMARY)
    assert fenced == {"sizes": (0, 0, 4), "instances": 0, "suspended": set(RESIZING)}
    assert json.loads(task.pre_states["front"]) == {
        "min": 2, "max": 4, "desired": 2, "suspended": ["AZRebalance"]
    }  # fmt: skip
    task.undo()
    assert {name: described(groups, PRIMARY, name) for name in before} == before
    assert {n: seen.pre_state for n, seen in task.observe().targets.items()} == task.pre_states


@pytest.mark.aws
def test_a_group_that_is_empty_already_is_left_as_it_is(groups: Any, make_task: Any) -> None:
    fence(make_task, groups, "front").run()
    again = fence(make_task, groups, "front")

    assert again.run()["front"].reason == "Adopted"
    assert again.sent == []


@pytest.mark.aws
def test_groups_are_sized_where_the_estate_goes(groups: Any, make_task: Any) -> None:
    scaling_of = groups.client("autoscaling")
    scaling_of.suspend_processes(
        AutoScalingGroupName="front", ScalingProcesses=["Launch", "Terminate"]
    )
    front = {"name": "front", "min": 2, "max": 6, "desired": 3}
    task = activate(make_task, groups, front, {"name": "back", "desired": 1})

    proof = task.run()

    assert {seen.state for seen in proof.values()} == {State.DONE}
    assert [action for action, _ in task.sent] == ["resume", "scale"]
    assert described(groups, RECOVERY) == {
        "sizes": (2, 3, 6), "instances": 3, "suspended": {"Terminate"}
    }  # fmt: skip
    assert described(groups, RECOVERY, "back")["sizes"] == (0, 1, 4)
    task.undo()
    assert described(groups, RECOVERY) == {
        "sizes": (0, 0, 4), "instances": 0, "suspended": {"Launch", "Terminate"}
    }  # fmt: skip
    assert {n: seen.pre_state for n, seen in task.observe().targets.items()} == task.pre_states


@pytest.mark.aws
def test_a_group_that_does_not_get_its_instances_says_why(groups: Any, make_task: Any) -> None:
    task = activate(make_task, groups, {"name": "front", "min": 1, "max": 4, "desired": 1})
    task.run()
    scaling_of = groups.client("autoscaling")
    (group,) = scaling_of.describe_auto_scaling_groups(AutoScalingGroupNames=["front"])[
        "AutoScalingGroups"
    ]
    (instance,) = group["Instances"]
    scaling_of.set_instance_health(
        InstanceId=instance["InstanceId"], HealthStatus="Unhealthy", ShouldRespectGracePeriod=False
    )

    seen = task.seen("front")

    assert seen.state is State.RUNNING
    assert "0 of 1 instances in service and healthy" in seen.message
    assert groups.calls("DescribeScalingActivities")


@pytest.mark.aws
def test_what_a_group_has_beyond_its_size_is_not_taken_away(groups: Any, make_task: Any) -> None:
    scaling_of = groups.client("autoscaling")
    scaling_of.set_desired_capacity(AutoScalingGroupName="front", DesiredCapacity=4)

    task = activate(make_task, groups, {"name": "front", "min": 1, "desired": 2})

    assert task.run()["front"].state is State.DONE
    assert described(groups, RECOVERY)["sizes"] == (1, 4, 4)


@pytest.mark.aws
def test_a_lost_answer_changes_nothing(groups: Any, make_task: Any) -> None:
    for operation in ("SuspendProcesses", "UpdateAutoScalingGroup"):
        groups.control.add_fault(
            service="autoscaling", operation=operation, action="drop", when="after", times=1
        )

    assert fence(make_task, groups, "front").run()["front"].state is State.DONE


@pytest.mark.aws
@pytest.mark.parametrize("make", [fence, activate])
def test_a_group_that_is_not_there_is_refused_by_name(
    groups: Any, make_task: Any, make: Any
) -> None:
    given = ["front", "nosuch"] if make is fence else [{"name": "front"}, {"name": "nosuch"}]
    task = make(make_task, groups, *given)
    findings = task.adapter.readiness(groups.scope(task.region), task.targets)

    proof = task.run()

    assert (proof["nosuch"].state, proof["nosuch"].reason) == (State.REFUSED, "GroupMissing")
    assert proof["front"].state is State.DONE
    assert [(f.severity, f.reason, f.target) for f in findings] == [
        ("Blocking", "GroupMissing", "nosuch")
    ]


@pytest.mark.aws
def test_a_protected_instance_keeps_a_group_from_being_empty(groups: Any, make_task: Any) -> None:
    autoscaling = groups.client("autoscaling", PRIMARY)
    answer = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=["front"])
    held = answer["AutoScalingGroups"][0]["Instances"][0]["InstanceId"]
    protection = {"AutoScalingGroupName": "front", "InstanceIds": [held]}
    autoscaling.set_instance_protection(**protection, ProtectedFromScaleIn=True)
    task = fence(make_task, groups, "front")

    seen = task.run()["front"]

    assert (seen.state, seen.reason) == (State.FAILED, "InstancesStay")
    assert held in seen.message


@pytest.mark.aws
@pytest.mark.parametrize("make", [fence, activate])
def test_a_test_touches_no_group(groups: Any, make_task: Any, make: Any) -> None:
    given = "front" if make is fence else {"name": "front", "desired": 1}
    task = make(make_task, groups, given, operation="Test")

    assert task.run()["front"].reason == "NotInATest"
    changed = groups.control.calls(service="autoscaling", mutating=True)
    assert changed == []


@pytest.mark.aws
def test_it_calls_only_what_it_declares(groups: Any, make_task: Any) -> None:
    front = {"name": "front", "desired": 1}
    for task in (fence(make_task, groups, "front"), activate(make_task, groups, front)):
        last = groups.control.last_seq()
        task.run()
        task.undo()
        calls = groups.control.calls(since=last, service="autoscaling")
        used = {f"autoscaling:{call['operation']}" for call in calls}
        declared = task.adapter.permissions
        assert used <= declared["Read"] | declared[str(task.phase)]


@pytest.mark.aws
def test_many_groups_are_read_in_pages(groups: Any) -> None:
    names = ["front", "back", *(f"none-{n}" for n in range(120))]
    last = groups.control.last_seq()

    assert sorted(describe(groups.client("autoscaling"), names)) == ["back", "front"]
    calls = groups.control.calls(since=last, operation="DescribeAutoScalingGroups")
    assert [len(call["params"]["AutoScalingGroupNames"]) for call in calls] == [50, 50, 22]


WHERE = "account 111111111111, us-east-1"
EMPTY = Group("front", 0, 4, 0, suspended=RESIZING)
SERVES = Member("i-1", "InService")
HELD = Member("i-2", "Terminating:Wait")


def with_members(*members: Member, **more: Any) -> Group:
    return replace(EMPTY, members=members, **more)


@pytest.mark.parametrize(
    ("group", "state", "word"),
    [
        (Group("front", 2, 4, 2, members=(SERVES,)), State.NEEDED, "suspend"),
        (replace(EMPTY, suspended=RESIZING - {"Launch"}), State.NEEDED, "suspend"),
        (replace(EMPTY, minimum=1), State.NEEDED, "zero"),
        (replace(EMPTY, desired=1), State.NEEDED, "zero"),
        (EMPTY, State.DONE, ""),
        (with_members(SERVES), State.RUNNING, ""),
        (with_members(HELD), State.RUNNING, ""),
        # A load balancer drains it, or a hook is through: it runs and writes.
        (with_members(Member("i-1", "Terminating")), State.RUNNING, ""),
        (with_members(Member("i-1", "Terminating:Proceed")), State.RUNNING, ""),
        (with_members(Member("i-1", "Detaching")), State.RUNNING, ""),
        (with_members(Member("i-1", "Terminated")), State.DONE, ""),
        (with_members(Member("i-1", "brand-new")), State.RUNNING, ""),
        (with_members(Member("i-1", "Standby")), State.FAILED, "InstancesStay"),
        (
            with_members(Member("i-1", "InService", protected=True)),
            State.FAILED,
            "InstancesStay",
        ),
        (with_members(SERVES, Member("i-2", "Standby")), State.RUNNING, ""),
        (
            with_members(SERVES, suspended=RESIZING | {"Terminate"}),
            State.REFUSED,
            "TerminateSuspended",
        ),
        (replace(EMPTY, suspended=RESIZING | {"Terminate"}), State.DONE, ""),
        (Group("front", 2, 4, 2, members=(SERVES,), deleting=True), State.RUNNING, ""),
        (Group("front", 2, 4, 2, deleting=True), State.DONE, ""),
    ],
)
def test_states_of_a_group_that_is_fenced(group: Group, state: State, word: str) -> None:
    seen = fencing(group, True, WHERE)

    assert (seen.state, seen.action or seen.reason) == (state, word)


def test_an_instance_that_a_hook_holds_is_named() -> None:
    seen = fencing(with_members(SERVES, HELD), True, WHERE)

    assert "2 instances, 1 of them held by a lifecycle hook" in seen.message


@pytest.mark.parametrize(
    ("warm", "instance", "state", "reason"),
    [
        ("", "shutting-down", State.RUNNING, ""),
        ("", "running", State.RUNNING, ""),
        ("Stopped", "stopping", State.RUNNING, ""),
        ("Running", "shutting-down", State.RUNNING, ""),
        ("Running", "running", State.FAILED, "WarmPoolRuns"),
    ],
)
def test_a_group_without_members_may_still_have_instances(
    warm: str, instance: str, state: State, reason: str
) -> None:
    seen = ending(replace(EMPTY, warm=warm), {"i-7": instance}, WHERE)

    assert (seen.state, seen.reason) == (state, reason)
    assert f"i-7 ({instance})" in seen.message


@pytest.mark.aws
def test_what_a_group_forgot_is_waited_for_until_ec2_has_ended_it(
    groups: Any, make_task: Any
) -> None:
    ec2 = groups.client("ec2", PRIMARY)
    tag = {"Key": "aws:autoscaling:groupName", "Value": "front"}
    made = ec2.run_instances(
        ImageId="ami-12c6146b", InstanceType="t3.micro", MinCount=1, MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [tag]}],
    )  # fmt: skip
    (left,) = [one["InstanceId"] for one in made["Instances"]]
    task = fence(make_task, groups, "front", "back")
    for _ in range(4):
        task.advance_once()

    seen = task.observe().targets

    assert (seen["front"].state, seen["back"].state) == (State.RUNNING, State.DONE)
    assert left in seen["front"].message
    ec2.stop_instances(InstanceIds=[left])
    assert task.run()["front"].state is State.DONE


@pytest.mark.aws
def test_a_warm_pool_that_runs_keeps_a_group_from_being_fenced(groups: Any, make_task: Any) -> None:
    groups.client("autoscaling", PRIMARY).put_warm_pool(
        AutoScalingGroupName="front", PoolState="Running",
        InstanceReusePolicy={"ReuseOnScaleIn": True},
    )  # fmt: skip
    tag = {"Key": "aws:autoscaling:groupName", "Value": "front"}
    groups.client("ec2", PRIMARY).run_instances(
        ImageId="ami-12c6146b", InstanceType="t3.micro", MinCount=1, MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [tag]}],
    )  # fmt: skip
    groups.control.advance(120)

    seen = fence(make_task, groups, "front").run()["front"]

    assert (seen.state, seen.reason) == (State.FAILED, "WarmPoolRuns")
    assert "delete-warm-pool" in seen.message


TWO = Sizes(minimum=2, maximum=4, desired=2)
LARGE = replace(SERVES, counts=4)
EIGHT = Sizes(minimum=8, maximum=9, desired=8)
UNHEALTHY = replace(SERVES, healthy=False)


@pytest.mark.parametrize(
    ("group", "sizes", "state", "word"),
    [
        (Group("front", 0, 4, 0), TWO, State.NEEDED, "scale"),
        (Group("front", 0, 4, 0, suspended=frozenset({"Launch"})), TWO, State.NEEDED, "resume"),
        (Group("front", 0, 4, 0, suspended=frozenset({"Terminate"})), TWO, State.NEEDED, "scale"),
        (Group("front", 2, 4, 2, members=(SERVES,)), TWO, State.RUNNING, ""),
        (Group("front", 2, 4, 2, members=(SERVES, SERVES)), TWO, State.DONE, ""),
        (Group("front", 2, 4, 2, members=(SERVES, UNHEALTHY)), TWO, State.RUNNING, ""),
        (Group("front", 2, 4, 3, members=(SERVES, SERVES)), TWO, State.DONE, ""),
        (Group("front", 2, 6, 2, members=(SERVES, SERVES)), TWO, State.NEEDED, "scale"),
        (Group("front", 1, 4, 1), Sizes(desired=1), State.RUNNING, ""),
        (Group("front", 8, 9, 8, members=(LARGE, SERVES)), EIGHT, State.RUNNING, ""),
        (Group("front", 8, 9, 8, members=(LARGE, LARGE)), EIGHT, State.DONE, ""),
        (Group("front", 0, 4, 0), Sizes(minimum=1), State.NEEDED, "scale"),
        (Group("front", 3, 4, 3), Sizes(desired=1), State.REFUSED, "SizesDoNotFit"),
        (Group("front", 0, 1, 0), Sizes(desired=2), State.REFUSED, "SizesDoNotFit"),
    ],
)
def test_states_of_a_group_that_is_sized(
    group: Group, sizes: Sizes, state: State, word: str
) -> None:
    seen = scaling(group, sizes, True, WHERE)

    assert (seen.state, seen.action or seen.reason) == (state, word)


@pytest.mark.parametrize(("unit", "has"), [("vcpu", 6), ("memory-mib", 24576)])
def test_a_group_may_count_what_its_instances_have(unit: str, has: int) -> None:
    members = (replace(SERVES, type="m5.xlarge"), replace(SERVES, type="m5.large"))
    group = Group("front", 0, has, has, members=members, counted_in=unit)
    sizes = {"m5.large": (2, 8192), "m5.xlarge": (4, 16384)}

    assert group.measured(sizes).serving == has
    assert group.measured({}).serving == 0


@pytest.mark.aws
def test_a_group_that_counts_vcpus_is_measured_by_its_instance_types(
    groups: Any, make_task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """moto keeps no DesiredCapacityType, so that the answer gets it here."""

    def counting(*given: Any) -> dict[str, Group]:
        return {n: replace(g, counted_in="vcpu") for n, g in describe(*given).items()}

    monkeypatch.setattr(autoscaling_groups, "describe", counting)
    task = activate(make_task, groups, {"name": "front", "min": 3, "desired": 3})

    seen = task.run()["front"]

    assert (seen.state, groups.calls("DescribeInstanceTypes") != []) == (State.DONE, True)
    assert "has 6 vCPUs in service" in seen.message  # of three t3.micro


def test_what_auto_scaling_says_of_weights_units_and_warm_pools_is_read() -> None:
    raw = {
        "AutoScalingGroupName": "front", "MinSize": 0, "MaxSize": 9, "DesiredCapacity": 5,
        "Instances": [
            {"InstanceId": "i-1", "LifecycleState": "InService", "HealthStatus": "Healthy",
             "InstanceType": "m5.large", "WeightedCapacity": "4"},
            {"InstanceId": "i-2", "LifecycleState": "InService", "HealthStatus": "Healthy"},
        ],
        "WarmPoolConfiguration": {"PoolState": "Running"},
    }  # fmt: skip
    more = {"DesiredCapacityType": "vcpu"}
    gone = {"WarmPoolConfiguration": {"PoolState": "Running", "Status": "PendingDelete"}}

    class Groups:
        """DescribeAutoScalingGroups; moto has neither weights nor what sizes count."""

        def get_paginator(self, _: str) -> Any:
            return self

        def paginate(self, **_: Any) -> Any:
            return [{"AutoScalingGroups": [raw, raw | more | gone | {"AutoScalingGroupName": "b"}]}]

    front, back = describe(Groups(), ["front", "b"]).values()

    assert (front.serving, front.counted_in, front.warm) == (5, "", "Running")
    assert (back.members[0].type, back.counted_in, back.warm) == ("m5.large", "vcpu", "")
