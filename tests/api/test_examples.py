"""The examples are about the sandbox's estate, and read well by the models."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from leeward.api.kinds import KINDS
from leeward.api.marks import unsupported
from leeward.api.plan import RecoveryPlan

ROOT = Path(__file__).parents[2]
SMALL = ROOT / "examples" / "small"


def _objects() -> list[dict[str, Any]]:
    return [
        found
        for file in sorted(SMALL.glob("*.yaml"))
        for found in yaml.safe_load_all(file.read_text())
    ]


def _plan() -> RecoveryPlan:
    return RecoveryPlan.model_validate(yaml.safe_load((SMALL / "recoveryplan.yaml").read_text()))


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An AWS that holds the estate `small`; a process, since moto's state is a process's."""
    state = tmp_path_factory.mktemp("aws")
    log = state / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "leeward_sandbox.aws"),
                *("--estate", "small", "--state-dir", str(state)),
            ],
            env=os.environ | {"PYTHONPATH": str(ROOT / "sandbox")},
            stdout=output,
            stderr=output,
        )
    try:
        described = state / "aws.json"
        deadline = time.monotonic() + 120
        while not described.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "no aws.json"
            time.sleep(0.05)
        yield json.loads(described.read_text())["endpoint"]
    finally:
        process.terminate()
        process.wait(timeout=60)


def _client(endpoint: str, service: str, account: str) -> Any:
    make: Any = boto3.client
    return make(
        service,
        endpoint_url=endpoint,
        region_name="us-east-2",
        aws_access_key_id=f"SANDBOX{account}",
        aws_secret_access_key="sandbox",
    )


def test_every_example_uses_only_what_this_version_supports() -> None:
    found = {
        stored["metadata"]["name"]: unsupported(KINDS[stored["kind"]].model_validate(stored))
        for stored in _objects()
    }
    assert len(found) == 12
    assert not any(found.values()), found


def test_the_examples_refer_to_each_other_by_names_that_exist() -> None:
    accounts = {o["metadata"]["name"]: o for o in _objects() if o["kind"] == "TargetAccount"}
    plan = _plan()
    assert {ref.name for ref in plan.spec.accounts} == accounts.keys()
    for account in accounts.values():
        assert plan.metadata.namespace in account["spec"]["allow"]["namespaces"]
    for stored in _objects():
        if stored["kind"] in {"DRExecution", "DRSchedule"}:
            assert stored["spec"]["planRef"]["name"] == plan.metadata.name
            assert stored["metadata"]["namespace"] == plan.metadata.namespace


@pytest.mark.aws
def test_the_drill_networks_are_those_of_the_estate(endpoint: str) -> None:
    networks = _plan().spec.drill.networks
    assert [network.account_id for network in networks] == [
        "111111111111",
        "222222222222",
        "333333333333",
    ]
    for network in networks:
        ec2 = _client(endpoint, "ec2", network.account_id)
        (subnet,) = ec2.describe_subnets(SubnetIds=[network.subnet_id])["Subnets"]
        (group,) = ec2.describe_security_groups(GroupIds=network.security_group_ids)[
            "SecurityGroups"
        ]
        assert subnet["VpcId"] == group["VpcId"]
        for found in (subnet, group):
            assert {"Key": "Purpose", "Value": "Drill"} in found["Tags"]


@pytest.mark.aws
def test_the_records_to_switch_are_those_of_the_estate(endpoint: str) -> None:
    (task,) = [task for wave in _plan().spec.waves for task in wave.tasks]
    assert task.route53 is not None
    assert task.route53.account_ref.name == "orders-network"
    route53 = _client(endpoint, "route53", "444444444444")
    listed = route53.list_resource_record_sets(HostedZoneId=task.route53.hosted_zone_id)
    stored = {
        (found["Name"].rstrip("."), found["Type"], found.get("SetIdentifier")): found
        for found in listed["ResourceRecordSets"]
    }
    for record in task.route53.records:
        found = stored[record.name, record.type, record.set_identifier]
        assert record.primary is not None
        if record.primary.values is not None:
            assert [v["Value"] for v in found["ResourceRecords"]] == record.primary.values
        assert record.primary.weight == found.get("Weight")
    assert len(task.route53.records) == len([key for key in stored if key[1] == "CNAME"])


@pytest.mark.aws
def test_the_accounts_name_roles_of_the_estate(endpoint: str) -> None:
    for stored in _objects():
        if stored["kind"] != "TargetAccount":
            continue
        iam = _client(endpoint, "iam", stored["spec"]["accountId"])
        for key in ("readRoleArn", "recoveryRoleArn"):
            role = stored["spec"][key]
            assert iam.get_role(RoleName=role.split("/")[-1])["Role"]["Arn"] == role
