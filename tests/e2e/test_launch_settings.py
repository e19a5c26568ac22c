"""Launch settings in layers: servers are launched where and as what the plan says."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

ACCOUNT = "111111111111"
APPROVER = "approver-a@example.com"
NAMESPACE = "orders"
Object = dict[str, Any]


def layered(name: str) -> Object:
    """A plan of one account whose settings are in this ConfigMap, and that stops at its gate."""
    return {
        "accounts": [{"name": "east-a"}],
        "waves": [{"name": "data", "gates": [{"before": "Instantiate"}]}],
        "launch": {"layers": [{"configMapRef": {"name": name}}]},
    }


def config_map(name: str, files: dict[str, Any]) -> Object:
    data = {
        key: text if isinstance(text, str) else yaml.safe_dump(text) for key, text in files.items()
    }
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def readable(name: str) -> list[Object]:
    """The right that the operator needs, as its own message says how to give it."""
    api = "rbac.authorization.k8s.io"
    metadata = {"name": f"launch-{name}", "namespace": NAMESPACE}
    rule = {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": [name],
        "verbs": ["get"],
    }
    account = {"kind": "ServiceAccount", "name": "leeward", "namespace": "leeward-system"}
    ref = {"apiGroup": api, "kind": "Role", "name": metadata["name"]}
    common = {"apiVersion": f"{api}/v1", "metadata": metadata}
    return [
        {**common, "kind": "Role", "rules": [rule]},
        {**common, "kind": "RoleBinding", "roleRef": ref, "subjects": [account]},
    ]


def message(body: Object, kind: str) -> str:
    conditions = body["status"]["conditions"]
    return next(str(c["message"]) for c in conditions if c["type"] == kind)


def machines(lab: Any) -> dict[str, Object]:
    """EC2's instances of this application's servers of the first wave, by source server."""
    drs, ec2 = lab.client("drs", ACCOUNT), lab.client("ec2", ACCOUNT)
    launched = drs.describe_recovery_instances(filters={"sourceServerIDs": lab.servers(1)})["items"]
    ids = {i["ec2InstanceID"]: i["sourceServerID"] for i in launched}
    found = ec2.describe_instances(InstanceIds=list(ids))["Reservations"]
    return {ids[i["InstanceId"]]: i for r in found for i in r["Instances"]}


def inventory(lab: Any) -> list[Object]:
    """The servers of the first wave, as discovery wrote them down."""
    listed = lab.get("rinv", f"{lab.application}-{ACCOUNT}-0")["status"]["resources"]
    return [resource for resource in listed if resource["id"] in lab.servers(1)]


@pytest.fixture
def landing(lab: Any) -> Object:
    """A network of the recovery Region with the primary's addresses, as AUTO looks for."""
    ec2 = lab.client("ec2", ACCOUNT)
    vpc = ec2.create_vpc(CidrBlock="10.10.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.10.0.0/16", AvailabilityZone="us-east-2a")[
        "Subnet"
    ]["SubnetId"]
    ec2.create_tags(Resources=[subnet], Tags=[{"Key": "drstarget", "Value": "true"}])
    group = ec2.create_security_group(GroupName="landing", Description="landing", VpcId=vpc)
    return {"subnet": subnet, "group": group["GroupId"]}


def test_servers_are_launched_as_the_layers_said_when_the_run_began(
    lab: Any, landing: Object
) -> None:
    name, (first, second) = f"{lab.application}-launch", lab.servers(1)
    files = {
        "defaults.yml": {"instanceType": "c5.xlarge", "copyPrivateIp": True},
        f"defaults_for_account_{ACCOUNT}.yml": {
            "networking": {
                "targetSubnetSelection": "AUTO", "securityGroupIds": [landing["group"]],
            },
        },
        "override_for_tag__Environment__Production.yml": {"licensing": {"osByol": True}},
        f"override_for_resource__{second}.yml": {
            "instanceType": "c5.large", "copyPrivateIp": False,
            "networking": {"privateIpAddress": "10.10.255.77"},
        },
    }  # fmt: skip
    lab.apply(config_map(name, files), *readable(name))
    # What subnets there are is asked once a minute at most.
    lab.ready_plan(**layered(name), discovery={"interval": "10s"})
    plan = lab.until_condition("rp", lab.application, "LaunchSettingsValid")
    assert (plan["status"]["launch"]["servers"], plan["status"]["launch"]["differing"]) == (2, 2)
    dry = lab.until_condition("drx", lab.start(suffix="dry", dryRun="Plan"), "Succeeded")
    changes = dry["status"]["preview"]["launch"]["changes"]
    assert any(first in c and "instanceType is m5.large, wanted c5.xlarge" in c for c in changes)

    run = lab.start()
    lab.until_gate(run, "wave-data")
    lab.apply(config_map(name, files | {"defaults.yml": {"instanceType": "r5.large"}}))
    lab.annotate("drx", run, "approve-wave-data", APPROVER)
    lab.until_condition("drx", run, "Succeeded")

    found, kept = machines(lab), inventory(lab)
    addresses = {r["id"]: r["attributes"].get("sourceAddress") for r in kept}
    assert {m["SubnetId"] for m in found.values()} == {landing["subnet"]}
    assert {m["SecurityGroups"][0]["GroupId"] for m in found.values()} == {landing["group"]}
    assert {s: m["InstanceType"] for s, m in found.items()} == {
        first: "c5.xlarge", second: "c5.large",
    }  # fmt: skip
    assert found[first]["PrivateIpAddress"] == addresses[first]
    assert found[second]["PrivateIpAddress"] == "10.10.255.77"
    config = lab.client("drs", ACCOUNT).get_launch_configuration(sourceServerID=first)
    assert config["licensing"] == {"osByol": True}


def test_a_bad_file_is_named_on_the_plan_and_loses_nothing(lab: Any) -> None:
    name = f"{lab.application}-launch"
    lab.apply(config_map(name, {"defaults.yml": {"instanceType": "c5.xlarge"}}), *readable(name))
    lab.ready_plan(**layered(name))

    lab.apply(config_map(name, {"defaults.yml": "instanceType: c5.large\ncopytags: true\n"}))
    plan = lab.until_condition("rp", lab.application, "LaunchSettingsValid", "False")

    assert lab.reason(plan, "LaunchSettingsValid") == "InvalidLaunchSettings"
    assert lab.condition(plan, "Ready") == "True"
    said = message(plan, "LaunchSettingsValid")
    assert f"ConfigMap {name}, key defaults.yml: copytags: unknown; did you mean copyTags?" in said
    servers = {r["id"]: r["launch"]["instanceType"] for r in inventory(lab)}
    assert servers == dict.fromkeys(lab.servers(1), "c5.xlarge")
    refused = lab.until_condition("drx", lab.start(), "Succeeded", "False")
    assert "InvalidLaunchSettings" in str(refused["status"])


def test_a_config_map_that_may_not_be_read_is_named_with_the_remedy(desk: Any) -> None:
    desk.apply(desk.plan_body(**layered("elsewhere")))
    plan = desk.until_condition("rp", desk.application, "LaunchSettingsValid", "False")
    assert desk.reason(plan, "LaunchSettingsValid") == "LaunchSettingsUnreadable"
    assert "--resource=configmaps --resource-name=elsewhere" in message(plan, "LaunchSettingsValid")
