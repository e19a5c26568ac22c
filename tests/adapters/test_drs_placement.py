"""Whether DRS's servers would find room: each shortage is named, with a remedy."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from leeward_adapters.base import Finding, Rehearsable, Target
from leeward_adapters.registry import adapter
from leeward_sandbox.aws.estates import Account, Network, tiny
from leeward_sandbox.aws.estates.model import Role, Server

pytestmark = pytest.mark.aws
NETWORK = Network(primary_cidr="10.0.0.0/16", recovery_cidr="10.1.0.0/16")


def _look(sandbox: Any) -> list[Finding]:
    targets = [Target(i, f"arn:{i}") for i in sandbox.servers()]
    return list(adapter("drs").readiness(sandbox.scope(), targets))


def _sandbox(make_sandbox: Any, account: str, servers: list[Server], **what: Any) -> Any:
    network = what.pop("network", NETWORK)
    one = Account(id=account, name="tiny", network=network, servers=servers, **what)
    return make_sandbox(estate=tiny(accounts=[one]))


def _servers(count: int, **what: Any) -> list[Server]:
    return [Server(name=f"app-{n:02}", **what) for n in range(1, count + 1)]


def test_an_account_with_room_has_no_findings_for_few_calls(make_sandbox: Any) -> None:
    sandbox = make_sandbox(30)
    last = sandbox.control.last_seq()

    assert _look(sandbox) == []

    asked = Counter(
        c["operation"] for c in sandbox.control.calls(since=last) if c["service"] != "sts"
    )
    assert "GetLaunchConfiguration" not in asked
    assert asked["DescribeLaunchTemplateVersions"] == 1
    last = sandbox.control.last_seq()
    _look(sandbox)
    again = {c["operation"] for c in sandbox.control.calls(since=last) if c["service"] == "ec2"}
    assert again <= {"DescribeInstances"}  # for the drs findings; the room is known for a minute


@pytest.mark.parametrize(
    ("servers", "account", "reason", "said"),
    [
        (
            _servers(1, launch_template="Missing"), {}, "LaunchTemplateMissing",
            ("lt-", "save the server's launch settings"),
        ),
        (
            _servers(1, instance_type="d3en.xlarge"), {}, "InstanceTypeNotOffered",
            ("d3en.xlarge", "us-east-2a", "in no zone of the Region", "choose another type"),
        ),
        (
            _servers(4), {"vcpu_quota": 7}, "VcpuQuotaExceeded",
            ("8 vCPUs", "0 run", "allows 7", "L-1216C47A", "--desired-value 8"),
        ),
    ],
)  # fmt: skip
def test_a_shortage_is_blocking_and_says_what_to_do(
    make_sandbox: Any,
    new_account: Any,
    servers: list[Server],
    account: dict[str, Any],
    reason: str,
    said: tuple[str, ...],
) -> None:
    sandbox = _sandbox(make_sandbox, new_account(), servers, **account)

    (finding,) = _look(sandbox)

    assert (finding.severity, finding.reason) == ("Blocking", reason)
    for part in (*said, sandbox.account, "us-east-2"):
        assert part in finding.message


def test_a_full_subnet_is_one_finding_for_all_of_its_servers(
    make_sandbox: Any, new_account: Any
) -> None:
    network = NETWORK.model_copy(update={"full": ["app-b"]})
    sandbox = _sandbox(make_sandbox, new_account(), _servers(6), network=network)

    (finding,) = _look(sandbox)

    assert (finding.reason, finding.target) == ("SubnetFull", None)
    assert "2 servers" in finding.message
    assert "has 0 free addresses" in finding.message


def test_a_server_that_cannot_be_launched_needs_no_room(
    make_sandbox: Any, new_account: Any
) -> None:
    sandbox = _sandbox(make_sandbox, new_account(), _servers(1, instance_type="d3en.xlarge"))
    sandbox.change(sandbox.servers(), state="DISCONNECTED")
    assert [f.reason for f in _look(sandbox)] == ["NotReplicating"]


def test_a_recovered_server_needs_no_more_room(make_sandbox: Any, new_account: Any) -> None:
    sandbox = _sandbox(make_sandbox, new_account(), _servers(2), vcpu_quota=4)
    sandbox.launch_by_hand(sandbox.servers())
    sandbox.control.advance(3600)
    assert {f.reason for f in _look(sandbox)} == {"LiveRecoveryInstance", "NotReversed"}


def test_groups_and_subnets_that_are_gone_are_named(make_sandbox: Any, new_account: Any) -> None:
    sandbox = _sandbox(make_sandbox, new_account(), _servers(1))
    (server,) = sandbox.servers()
    ec2 = sandbox.client("ec2")
    template = sandbox.client("drs").get_launch_configuration(sourceServerID=server)
    interface = {"DeviceIndex": 0, "SubnetId": "subnet-00000000", "Groups": ["sg-00000000"]}
    made = ec2.create_launch_template_version(
        LaunchTemplateId=template["ec2LaunchTemplateID"],
        LaunchTemplateData={"InstanceType": "m5.large", "NetworkInterfaces": [interface]},
    )["LaunchTemplateVersion"]
    ec2.modify_launch_template(
        LaunchTemplateId=template["ec2LaunchTemplateID"], DefaultVersion=str(made["VersionNumber"])
    )

    found = {f.reason: f for f in _look(sandbox)}
    assert set(found) == {"SubnetMissing", "SecurityGroupMissing"}
    assert "subnet-00000000" in found["SubnetMissing"].message
    assert "sg-00000000" in found["SecurityGroupMissing"].message


def test_a_role_that_may_not_ask_is_told_so_and_replication_is_still_checked(
    make_sandbox: Any, new_account: Any
) -> None:
    deny = ["ec2:DescribeSubnets"]
    estate = tiny(2, account=new_account())
    estate.accounts[0].roles = [
        Role(name=n, external_id=estate.external_id, access="Recovery", deny=deny)
        for n in ("LeewardRead", "LeewardRecovery")
    ]
    sandbox = make_sandbox(estate=estate)
    sandbox.change(sandbox.servers()[0], state="STALLED")

    found = {f.reason: f for f in _look(sandbox)}

    assert set(found) == {"ReplicationStalled", "CapacityNotChecked"}
    assert found["CapacityNotChecked"].severity == "Degraded"
    assert "UnauthorizedOperation" in found["CapacityNotChecked"].message


def test_a_quota_that_is_not_told_is_no_obstacle(make_sandbox: Any) -> None:
    sandbox = make_sandbox(1)
    sandbox.control.add_fault(
        service="service-quotas", action="error", code="AccessDeniedException"
    )
    assert [(f.severity, f.reason) for f in _look(sandbox)] == [("Warning", "QuotaUnknown")]


def test_what_the_plan_wants_counts_before_what_the_template_says(sandbox: Any) -> None:
    server, other = sandbox.servers()
    wanted = {"instanceType": "d3en.xlarge"}
    targets = [Target(server, "arn:1", settings=wanted), Target(other, "arn:2")]
    drs = adapter("drs")

    found = list(drs.readiness(sandbox.scope(), targets))

    about = {f.target for f in found if f.reason == "InstanceTypeNotOffered"}
    assert about == {server}
    assert isinstance(drs, Rehearsable)
    plain = drs.settings(sandbox.scope(), [Target(server, "arn:1")])
    assert drs.settings(sandbox.scope(), targets)[server] != plain[server]
