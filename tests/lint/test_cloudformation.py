"""The CloudFormation templates: valid, complete, and in agreement with what names them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from leeward_adapters.iam_operator_template import METRICS
from leeward_adapters.iam_policy import RECOVERY_ROLE

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "aws"
LZA = DEPLOY / "lza" / "customizations-config.yaml"
TEMPLATES = sorted({*DEPLOY.rglob("*.yaml")} - {LZA})
OF_DRS = {
    "ActiveSourceServerCount", "Backlog", "DurationSinceLastSuccessfulRecoveryLaunch",
    "LagDuration", "ProtectedSourceServerCount", "TotalSourceServerCount",
}  # fmt: skip
"""DRS user guide, "Monitoring with CloudWatch"."""

OF_LEEWARD = {
    "ApprovalTimeout", "CrossAccountLatency", "ExecutionCount", "ExecutionDuration",
    "ExecutionFailure", "ExecutionSuccess", "ResourceCount", "WaveCount",
}  # fmt: skip
"""What the operator puts to CloudWatch, by hub."""


class _Loader(yaml.SafeLoader):
    """Reads the short form of CloudFormation's functions."""


def _function(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {tag: value}


_Loader.add_multi_constructor("!", _function)


def _read(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.load(path.read_text("utf-8"), _Loader)
    return read


def test_every_template_is_valid() -> None:
    assert len(TEMPLATES) >= 7
    done = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), *TEMPLATES],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_parameter_and_output_is_described(path: Path) -> None:
    template = _read(path)
    described = template.get("Parameters", {}) | template.get("Outputs", {})
    assert [name for name, one in described.items() if not one.get("Description")] == []
    assert template["Description"].startswith("Leeward: ")


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_finding_that_is_accepted_says_why(path: Path) -> None:
    for name, resource in _read(path)["Resources"].items():
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", []):
            assert re.fullmatch(r"CKV2?_AWS_\d+", skip["id"]), name
            assert len(skip["comment"]) > 30, name


def _agree(given: set[str], template: Path) -> None:
    """Whether parameters that are given exist, and those without a default are given."""
    parameters = _read(template)["Parameters"]
    assert given <= set(parameters), template.name
    assert {name for name, p in parameters.items() if "Default" not in p} <= given, template.name


def test_the_landing_zones_configuration_gives_the_templates_their_parameters() -> None:
    configured = yaml.safe_load(LZA.read_text("utf-8"))["customizations"]
    stacks = configured["cloudFormationStacks"] + configured["cloudFormationStackSets"]
    for stack in stacks:
        template = DEPLOY / stack["template"].removeprefix("leeward/")
        _agree({p["name"] for p in stack["parameters"]}, template)
        assert stack["deploymentTargets"]
        assert stack["regions"]


@pytest.mark.parametrize(
    ("stack_set", "template"),
    [("Roles", "iam/target-account-roles.yaml"), ("Monitoring", "account-monitoring.yaml")],
)
def test_the_stack_sets_give_the_templates_their_parameters(stack_set: str, template: str) -> None:
    properties = _read(DEPLOY / "stacksets.yaml")["Resources"][stack_set]["Properties"]
    _agree({p["ParameterKey"] for p in properties["Parameters"]}, DEPLOY / template)
    assert properties["PermissionModel"] == "SERVICE_MANAGED"


def test_dashboards_and_alarms_show_metrics_that_exist() -> None:
    names = ("monitoring.yaml", "account-monitoring.yaml")
    texts = [(DEPLOY / name).read_text("utf-8") for name in names]
    shown = {m for text in texts for m in re.findall(r'\["AWS/DRS", "(\w+)"', text)}
    searched = {m for text in texts for m in re.findall(r'\\"([A-Z]\w+)\\"', text)}
    assert shown | searched - OF_LEEWARD == OF_DRS
    ours = set(re.findall(rf'\["{METRICS}", "(\w+)", "Hub", "\${{Hub}}"', texts[0]))
    assert ours | searched - OF_DRS == OF_LEEWARD


def test_alarms_are_about_this_hub_and_reach_the_topic() -> None:
    page = (ROOT / "docs" / "aws-setup.md").read_text("utf-8")
    for template, topic in (("monitoring.yaml", "TopicArn"), ("notifications.yaml", "Topic")):
        for name, resource in _alarms(template).items():
            alarm = resource["Properties"]
            assert alarm["AlarmActions"] == [{"Ref": topic}], name
            if alarm.get("Namespace") == METRICS:
                assert alarm["MetricName"] in OF_LEEWARD
                assert alarm["Dimensions"][0]["Name"] == "Hub"
            assert f"| `{name}` |" in page


def _alarms(template: str) -> dict[str, Any]:
    resources = _read(DEPLOY / template)["Resources"].items()
    return {name: one for name, one in resources if one["Type"].endswith("::Alarm")}


def test_alarms_are_in_the_region_of_the_topic_alone() -> None:
    """CloudWatch user guide: the topic of an alarm is in the alarm's Region."""
    resources = _read(DEPLOY / "monitoring.yaml")["Resources"]
    conditions = {name: one.get("Condition") for name, one in resources.items()}
    everywhere = {"Sink": "Linked", "Replication": None}
    here = dict.fromkeys([*_alarms("monitoring.yaml"), "Runs"], "Here")
    assert conditions == here | everywhere


def test_eventbridge_may_use_topic_and_key_though_it_names_no_source() -> None:
    resources = _read(DEPLOY / "notifications.yaml")["Resources"]
    key = resources["Key"]["Properties"]["KeyPolicy"]["Statement"]
    topic = resources["TopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    for statements in (key, topic):
        by_service = {
            s["Principal"]["Service"]: s.get("Condition")
            for s in statements
            if "Service" in s["Principal"]
        }
        own = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
        assert by_service == {"cloudwatch.amazonaws.com": own, "events.amazonaws.com": None}


def test_only_leeward_and_the_forwarding_rules_put_events_on_the_bus() -> None:
    resources = _read(DEPLOY / "notifications.yaml")["Resources"]
    conditions = resources["BusPolicy"]["Properties"]["Statement"]["Condition"]
    forwarding = _read(DEPLOY / "account-monitoring.yaml")["Resources"]["ForwardingRole"]
    prefix = forwarding["Properties"]["RoleName"]["Sub"].removesuffix("${AWS::Region}")
    role = "arn:${AWS::Partition}:iam::*:role/"
    assert conditions == {
        "StringEquals": {"aws:PrincipalOrgID": {"Ref": "OrganizationId"}},
        "ArnLike": {
            "aws:PrincipalArn": [
                {"Ref": "OperatorRoleArn"},
                {"Sub": f"{role}{RECOVERY_ROLE}"},
                {"Sub": f"{role}{prefix}*"},
            ]
        },
    }


def test_rules_match_what_drs_and_leeward_send() -> None:
    """DRS user guide, "Monitoring with EventBridge"."""
    notifications = _read(DEPLOY / "notifications.yaml")["Resources"]
    pattern = notifications["FailuresOfDrs"]["Properties"]["EventPattern"]
    states = {one["detail-type"][0]: one["detail"]["state"] for one in pattern["$or"]}
    assert pattern["source"] == ["aws.drs"]
    assert states == {
        "DRS Source Server Launch Result": ["RECOVERY_LAUNCH_FAILED"],
        "DRS Source Server Data Replication Stalled Change": ["STALLED"],
        "DRS Recovery Instance Failback State Change": ["FAILBACK_ERROR"],
    }
