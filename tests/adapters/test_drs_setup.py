"""DRS is set up once, by people, with what is missing said first."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from click.testing import CliRunner, Result

from leeward.cli import main, plugin
from leeward_adapters.drs_setup import LAUNCH_DEFAULTS, Found, Wanted, changes

pytestmark = pytest.mark.aws

REGION = "us-west-2"
"""Here DRS of the estate's account was never initialised."""
Leeward = Callable[..., Result]


@pytest.fixture
def leeward(sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> Leeward:
    """Runs `leeward` as an administrator of the sandbox's account."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"SANDBOX{sandbox.account}")
    monkeypatch.setenv("AWS_ENDPOINT_URL", sandbox.endpoint)

    def run(*args: str, cli: Any = main.cli, **more: Any) -> Result:
        where = ("--account", sandbox.account, "--region", REGION)
        return CliRunner().invoke(cli, [*args, *where], **more)

    return run


def admin(sandbox: Any, service: str) -> Any:
    """A client of the account's administrator, who sets things up."""
    make: Any = boto3.client
    return make(
        service,
        region_name=REGION,
        endpoint_url=sandbox.endpoint,
        aws_access_key_id=f"SANDBOX{sandbox.account}",
        aws_secret_access_key="sandbox",
    )


@pytest.fixture
def settings(sandbox: Any, tmp_path: Path) -> Path:
    """Settings in a network of the account."""
    ec2 = admin(sandbox, "ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(VpcId=vpc, GroupName="staging", Description="staging")
    file = tmp_path / "drs.yaml"
    given = {
        "replication": {
            "stagingAreaSubnetId": subnet,
            "replicationServersSecurityGroupsIDs": [group["GroupId"]],
        },
        "launch": {"targetInstanceTypeRightSizingMethod": "BASIC"},
    }
    file.write_text(yaml.safe_dump(given))
    return file


def made(sandbox: Any, since: int) -> list[str]:
    """Operations that changed something."""
    calls = sandbox.control.calls(since=since, mutating=True)
    return [call["operation"] for call in calls if call["operation"] != "AssumeRole"]


def test_a_dry_run_says_everything_and_changes_nothing(
    sandbox: Any, leeward: Leeward, settings: Path
) -> None:
    since = sandbox.control.last_seq()

    done = leeward("drs", "init", "-f", str(settings), "--dry-run")

    assert done.exit_code == 0, done.output
    for said in ("initialise DRS", "create the replication", "create the launch", "Dry run"):
        assert said in done.output
    assert made(sandbox, since) == []


def test_set_up_is_done_when_it_is_agreed_to_and_once(
    sandbox: Any, leeward: Leeward, settings: Path
) -> None:
    since = sandbox.control.last_seq()
    declined = leeward("drs", "init", "-f", str(settings), input="n\n")
    assert declined.exit_code == 130
    assert made(sandbox, since) == []

    done = leeward("drs", "init", "-f", str(settings), "--yes")

    assert done.exit_code == 0, done.output
    assert "✖" not in done.output
    assert made(sandbox, since) == [
        "InitializeService",
        "CreateReplicationConfigurationTemplate",
        "CreateLaunchConfigurationTemplate",
    ]
    since = sandbox.control.last_seq()
    again = leeward("drs", "init", "-f", str(settings), "--yes")
    assert again.exit_code == 0
    assert "nothing is to be done" in again.output
    assert made(sandbox, since) == []


def test_a_template_that_differs_is_updated_in_what_differs_only(
    sandbox: Any, leeward: Leeward, settings: Path
) -> None:
    leeward("drs", "init", "-f", str(settings), "--yes")
    given = yaml.safe_load(settings.read_text())
    given["replication"]["bandwidthThrottling"] = 200
    settings.write_text(yaml.safe_dump(given))
    different = leeward("drs", "check", "-f", str(settings))
    assert different.exit_code == 1
    assert "✖ replication configuration template differs in bandwidthThrottling" in different.output

    leeward("drs", "init", "-f", str(settings), "--yes")

    (update,) = sandbox.calls("UpdateReplicationConfigurationTemplate")
    assert set(update["params"]) == {"replicationConfigurationTemplateID", "bandwidthThrottling"}
    assert leeward("drs", "check", "-f", str(settings)).exit_code == 0


def test_the_checklist_names_what_is_missing(sandbox: Any, leeward: Leeward) -> None:
    admin(sandbox, "iam").delete_role(RoleName="AWSElasticDisasterRecoveryAgentRole")

    done = leeward("drs", "check", cli=plugin.cli)

    assert done.exit_code == 1
    assert f"✖ DRS in {sandbox.account}, {REGION} was never initialised" in done.output
    assert "✖ replication configuration template: there is none" in done.output
    assert "✖ roles of DRS are missing: AWSElasticDisasterRecoveryAgentRole;" in done.output


def test_a_staging_network_that_does_not_fit_is_found(
    sandbox: Any, leeward: Leeward, settings: Path
) -> None:
    ec2 = admin(sandbox, "ec2")
    vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    other = ec2.create_security_group(VpcId=vpc, GroupName="o", Description="o")["GroupId"]
    given = yaml.safe_load(settings.read_text())
    given["replication"]["replicationServersSecurityGroupsIDs"] = [other]
    settings.write_text(yaml.safe_dump(given))

    done = leeward("drs", "init", "-f", str(settings), "--yes")

    assert done.exit_code == 1
    assert f"✖ security groups {other} are not of vpc-" in done.output


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"replication": {"stagingAreaSubnetID": "subnet-1"}}, "stagingAreaSubnetID: DRS has no"),
        ({"replication": {}}, "replication.stagingAreaSubnetId is missing"),
        ({"replication": {"stagingAreaSubnetId": "mine"}}, "must look like subnet-"),
        ({"launch": {"launchDisposition": "Started"}}, "one of STOPPED, STARTED, not 'Started'"),
        ({"launch": {"copyTags": "yes"}}, "launch.copyTags must be a boolean, not 'yes'"),
        ({"replication": {"stagingAreaSubnetId": "subnet-12345678", "pitPolicy": []}}, "3 to 3"),
        ({"lunch": {}}, "`replication`, `launch` or both"),
        ("text", "`replication`, `launch` or both"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_done(
    sandbox: Any, leeward: Leeward, tmp_path: Path, given: Any, said: str
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(json.dumps(given))
    since = sandbox.control.last_seq()

    done = leeward("drs", "init", "-f", str(file), "--yes")

    assert done.exit_code == 1
    assert said in done.output
    assert made(sandbox, since) == []


def test_credentials_of_another_account_are_refused(
    sandbox: Any, leeward: Leeward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "SANDBOX999999999999")

    done = leeward("drs", "init", "--yes")

    assert "of account 999999999999, not " in done.output


def test_what_nobody_asked_for_is_left_alone() -> None:
    there = Found(True, launch=({"launchConfigurationTemplateID": "lct-1", "copyTags": False},))

    assert changes(there, Wanted()) == []
    (change,) = changes(there, Wanted(launch={"copyTags": True}))
    assert (change.operation, dict(change.arguments)) == (
        "update_launch_configuration_template",
        {"launchConfigurationTemplateID": "lct-1", "copyTags": True},
    )
    assert LAUNCH_DEFAULTS["launchDisposition"] == "STARTED"
