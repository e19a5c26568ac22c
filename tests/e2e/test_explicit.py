"""Explicit tasks: groups are sized and documents run, in the order that the plan says."""

from __future__ import annotations

import json
from typing import Any

import pytest

ACCOUNT = "111111111111"
REGION = "us-east-2"
HOME = "us-east-1"


def prepared(lab: Any) -> tuple[str, str]:
    """An empty Auto Scaling group and an Automation document of this test's own."""
    group, document = f"front-{lab.application}", f"Drain-{lab.application}"
    ec2 = lab.client("ec2", ACCOUNT)
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    ec2.create_launch_template(
        LaunchTemplateName=group,
        LaunchTemplateData={"ImageId": "ami-12c6146b", "InstanceType": "t3.micro"},
    )
    lab.client("autoscaling", ACCOUNT).create_auto_scaling_group(
        AutoScalingGroupName=group, MinSize=0, DesiredCapacity=0, MaxSize=4,
        LaunchTemplate={"LaunchTemplateName": group}, VPCZoneIdentifier=subnet,
    )  # fmt: skip
    steps = [{"name": "drain", "action": "aws:executeScript", "inputs": {"Sandbox": {}}}]
    content = {
        "schemaVersion": "0.3",
        "parameters": {"Queue": {"type": "String"}},
        "mainSteps": steps,
    }
    lab.client("ssm", ACCOUNT).create_document(
        Name=document, Content=json.dumps(content), DocumentType="Automation"
    )
    return group, document


def tasks(group: str, document: str) -> list[dict[str, Any]]:
    account = {"name": "east-a"}
    scaling = {"accountRef": account, "groups": [{"name": group, "min": 1, "desired": 2}]}
    automation = {
        "accountRef": account,
        "documentName": document,
        "documentVersion": "1",
        "parameters": {"Queue": ["orders"]},
    }
    return [
        {"name": "scale", "type": "AutoScaling", "autoScaling": scaling},
        {
            "name": "drain",
            "type": "Automation",
            "successors": ["scale"],
            "automation": automation,
        },
    ]


def test_groups_and_documents_take_part_in_a_failover(lab: Any) -> None:
    group, document = prepared(lab)
    waves = [{"name": "data", "tasks": tasks(group, document)}]
    plan = lab.ready_plan(accounts=[{"name": "east-a"}], waves=waves)
    assert plan["status"]["readiness"] == [], plan["status"]
    since = lab.control.last_seq()

    run = lab.until_condition("drx", lab.start(), "Succeeded")

    assert lab.reason(run, "Succeeded") == "Succeeded"
    done = {t["spec"].get("task"): t for t in lab.tasks(run["metadata"]["name"]).values()}
    assert {done[name]["status"]["state"] for name in ("scale", "drain")} == {"Complete"}
    answer = lab.client("autoscaling", ACCOUNT).describe_auto_scaling_groups(
        AutoScalingGroupNames=[group]
    )
    states = [i["LifecycleState"] for i in answer["AutoScalingGroups"][0]["Instances"]]
    assert states == ["InService", "InService"]
    (before,) = done["scale"]["status"]["preStates"]
    assert json.loads(before["value"])["desired"] == 0
    reference = done["drain"]["status"]["resources"][0]["reference"]
    execution = lab.client("ssm", ACCOUNT).get_automation_execution(AutomationExecutionId=reference)
    assert execution["AutomationExecution"]["Parameters"] == {"Queue": ["orders"]}
    mine = [
        call["operation"]
        for call in lab.mutations(since)
        if call["operation"] in {"StartAutomationExecution", "UpdateAutoScalingGroup"}
    ]
    assert mine == ["StartAutomationExecution", "UpdateAutoScalingGroup"]


def test_a_document_that_fails_holds_the_run_and_says_why(lab: Any) -> None:
    group, document = prepared(lab)
    broken = {"account": ACCOUNT, "region": REGION, "document": document}
    steps = [{"name": "drain", "failure": "no such queue"}]
    lab.control.backend("ssm", broken | {"steps": steps})
    waves = [{"name": "data", "tasks": tasks(group, document)}]
    lab.ready_plan(accounts=[{"name": "east-a"}], waves=waves)
    name = lab.start()
    run = lab.until_state(name, "WaitingForDecision")
    assert "in step drain: no such queue" in run["status"]["message"]

    lab.control.backend("ssm", broken | {"steps": [{"name": "drain"}]})
    task = f"{name}-w1-activate-drain"
    lab.annotate("drt", task, "retry", "admin: the queue is back", user="admin")

    lab.until_condition("drx", name, "Succeeded")


def test_a_document_that_could_not_fence_is_watched_until_the_region_answers(lab: Any) -> None:
    _, document = prepared(lab)
    ssm = lab.client("ssm", ACCOUNT, HOME)
    content = lab.client("ssm", ACCOUNT).get_document(Name=document)["Content"]
    ssm.create_document(Name=document, Content=content, DocumentType="Automation")
    _, drain = tasks("unused", document)
    fence = {**drain, "successors": [], "recoveryPhase": "Fence"}
    lab.ready_plan(
        accounts=[{"name": "east-a"}], waves=[{"name": "data", "tasks": [fence]}],
        fence={"servers": "Leave", "timeLimit": "3s"}, discovery={"interval": "2s"},
    )  # fmt: skip
    rule = lab.control.add_fault(
        service="ssm", region=HOME, account=ACCOUNT, action="error", code="ServiceUnavailable"
    )
    lab.until_condition("drx", lab.start(mode="Unplanned"), "Succeeded")
    plan = lab.until_condition("rp", lab.application, "SourceFenced", "False")
    (duty,) = plan["status"]["deferredFence"]
    assert (duty["count"], duty["region"], duty["seen"]) == (1, HOME, "Silent")
    lab.control.remove_fault(rule)
    lab.until(
        "the Region's return is noticed",
        lambda: lab.reason(lab.get("rp", lab.application), "SourceFenced") == "SourceReturned",
    )
    (duty,) = lab.get("rp", lab.application)["status"]["deferredFence"]
    assert f"document {document} is to be run" in duty["examples"][0]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"automation": None}, "type Automation needs the block automation"),
        ({"type": "Manual"}, "the block automation belongs to type Automation"),
        ({"documentVersion": "$LATEST"}, "documentVersion"),
        ({"documentVersion": None}, "documentVersion: Required value"),
        ({"parameters": {"Queue": "orders"}}, "parameters"),
    ],
)
def test_a_task_that_cannot_be_meant_is_refused_by_the_api_server(
    desk: Any, change: dict[str, Any], why: str
) -> None:
    _, drain = tasks("front", "Drain")
    block = drain["automation"]
    for key, value in change.items():
        target = drain if key in {"automation", "type"} else block
        target[key] = value
        if value is None:
            del target[key]
    answer = desk.apply(desk.plan_body(waves=[{"name": "data", "tasks": [drain]}]), check=False)
    assert answer.returncode != 0
    assert why in answer.stderr
