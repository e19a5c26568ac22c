"""What launch settings come to for a server: its subnet, its address, and contradictions."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest

from leeward.api.launch import ServerLaunch
from leeward.planning.launch.launch_placement import Resolution, Subnet, resolve
from leeward.planning.launch.launch_settings import Document, Reach, Server

ACCOUNT = "111111111111"
A, B, C = (f"subnet-{n}" for n in ("aaaaaaaa", "bbbbbbbb", "cccccccc"))
SUBNETS = [
    Subnet(A, IPv4Network("10.0.1.0/24"), target=True),
    Subnet(B, IPv4Network("10.0.2.0/24"), target=True),
    Subnet(C, IPv4Network("10.0.3.0/24")),
]
INSTANCE = "i-0123456789abcdef0"


def server(number: int = 1, address: str = "10.0.1.7") -> Server:
    return Server(
        f"arn-{number}", frozenset({f"s-{number}"}), ACCOUNT, {}, address, f"srv-{number}"
    )


def resolved(*servers: Server, subnets: Any = None, **settings: Any) -> Resolution:
    document = Document("defaults.yml", 0, Reach.ALL, settings)
    known = {ACCOUNT: SUBNETS} if subnets is None else subnets
    return resolve(servers or (server(),), [document], known)


def launch(**settings: Any) -> ServerLaunch:
    found = resolved(**settings)
    assert found.problems == ()
    return found.launches["arn-1"]


def test_a_server_without_a_document_has_no_settings() -> None:
    assert resolve([server()], [], {}) == Resolution()


def test_settings_are_those_of_drs_and_of_the_launch_template() -> None:
    made = launch(
        copyTags=True,
        licensing={"osByol": True},
        targetInstanceTypeRightSizingMethod="BASIC",
        recoveryMode="FAST",
        iamInstanceProfile="app",
        networking={"createPublicIP": False, "securityGroupIds": ["sg-0123456789abcdef0"]},
    )
    assert made.to_api() == {
        "copyTags": True,
        "osByol": True,
        "targetInstanceTypeRightSizingMethod": "BASIC",
        "recoveryMode": "FAST",
        "iamInstanceProfile": "app",
        "associatePublicIpAddress": False,
        "securityGroupIds": ["sg-0123456789abcdef0"],
    }


def test_an_instance_type_switches_right_sizing_off() -> None:
    made = launch(instanceType="m5.large")
    assert made.target_instance_type_right_sizing_method == "NONE"


SUBNET_OF: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("AUTO among tagged ones", {"targetSubnetSelection": "AUTO"}, {}, A),
    ("AUTO among those given", {"targetSubnetSelection": "AUTO", "targetSubnetIds": [B, A]}, {}, A),
    ("MANUAL, one", {"targetSubnetSelection": "MANUAL", "targetSubnetIds": [C]}, {}, C),
    ("one id alone", {"targetSubnetIds": [C]}, {}, C),
    ("MANUAL, several", {"targetSubnetIds": [C, B, A]}, {}, A),
    ("a static address", {"targetSubnetSelection": "AUTO", "privateIpAddress": "10.0.2.9"}, {}, B),
    ("a copied address", {"targetSubnetIds": [A]}, {"copyPrivateIp": True}, A),
]


@pytest.mark.parametrize(
    ("network", "more", "wanted"), [c[1:] for c in SUBNET_OF], ids=[c[0] for c in SUBNET_OF]
)
def test_the_subnet(network: dict[str, Any], more: dict[str, Any], wanted: str) -> None:
    assert launch(networking=network, **more).subnet_id == wanted


def test_a_static_address_is_not_copied_from_the_source_too() -> None:
    made = launch(networking={"targetSubnetIds": [A], "privateIpAddress": "10.0.1.9"})
    assert (made.private_ip_address, made.copy_private_ip) == ("10.0.1.9", False)


@pytest.mark.parametrize("last", [0, 1, 2, 3, 255])
@pytest.mark.parametrize("how", ["copied", "static"])
def test_aws_reserves_five_addresses_of_each_subnet(last: int, how: str) -> None:
    address = f"10.0.1.{last}"
    network: dict[str, Any] = {"targetSubnetSelection": "AUTO"}
    more: dict[str, Any] = {"copyPrivateIp": True}
    if how == "static":
        network, more = network | {"privateIpAddress": address}, {}
    found = resolved(server(address=address), networking=network, **more)
    assert f"AWS reserves {address} in {A} (10.0.1.0/24)" in found.problems[0].message


@pytest.mark.parametrize("last", [4, 254])
def test_the_addresses_beside_the_reserved_ones_can_be_used(last: int) -> None:
    address = f"10.0.1.{last}"
    found = resolved(
        server(address=address), copyPrivateIp=True, networking={"targetSubnetSelection": "AUTO"}
    )
    assert found.launches["arn-1"].subnet_id == A


def test_a_reserved_address_that_is_not_kept_does_not_matter() -> None:
    found = resolved(server(address="10.0.1.2"), networking={"targetSubnetSelection": "AUTO"})
    assert found.launches["arn-1"].subnet_id == A


UNFIT: list[tuple[str, dict[str, Any], str]] = [
    (
        "a type that DRS would replace",
        {"instanceType": "m5.large", "targetInstanceTypeRightSizingMethod": "BASIC"},
        "instanceType: m5.large (defaults.yml) would be replaced by DRS",
    ),
    (
        "two addresses",
        {"copyPrivateIp": True, "networking": {"privateIpAddress": "10.0.1.9"}},
        "contradict each other",
    ),
    (
        "an address without a subnet",
        {"networking": {"privateIpAddress": "10.0.1.9"}},
        "needs a subnet; add",
    ),
    (
        "MANUAL without subnets",
        {"networking": {"targetSubnetSelection": "MANUAL"}},
        "needs networking.targetSubnetIds",
    ),
    (
        "a subnet that is not there",
        {"networking": {"targetSubnetIds": ["subnet-dddddddd"]}},
        "there is no such subnet in the account",
    ),
    (
        "an address in no subnet",
        {"networking": {"targetSubnetIds": [B, C]}},
        f"10.0.1.7 lies in none of the subnets {B} (10.0.2.0/24), {C} (10.0.3.0/24)",
    ),
    (
        "a static address outside the subnet",
        {"networking": {"targetSubnetIds": [A], "privateIpAddress": "10.0.2.9"}},
        f"10.0.2.9 lies in none of the subnets {A}",
    ),
    (
        "no address at all",
        {"networking": {"targetSubnetIds": [A], "privateIpAddress": "10.0.1.300"}},
        "10.0.1.300 is no IPv4 address",
    ),
]


@pytest.mark.parametrize(("settings", "message"), [c[1:] for c in UNFIT], ids=[c[0] for c in UNFIT])
def test_what_does_not_fit_is_named_with_the_server(settings: dict[str, Any], message: str) -> None:
    found = resolved(**settings)
    (problem,) = found.problems
    assert problem.reason == "LaunchSettingsUnfit"
    assert problem.message.startswith(f"srv-1 (account {ACCOUNT}): ")
    assert message in problem.message
    assert (found.launches, found.unresolved) == ({}, {"arn-1"})


def test_subnets_that_overlap_are_not_guessed_between() -> None:
    wide = Subnet(C, IPv4Network("10.0.0.0/16"), target=True)
    found = resolved(
        subnets={ACCOUNT: [*SUBNETS[:2], wide]}, networking={"targetSubnetSelection": "AUTO"}
    )
    assert "lies in more than one subnet" in found.problems[0].message


@pytest.mark.parametrize(
    ("subnets", "message"),
    [
        ({ACCOUNT: "Denied: no"}, "does not say which subnets it has: Denied: no"),
        ({ACCOUNT: SUBNETS[2:]}, "tagged drstarget=true"),
    ],
)
def test_auto_needs_subnets_to_choose_from(subnets: Any, message: str) -> None:
    found = resolved(subnets=subnets, networking={"targetSubnetSelection": "AUTO"})
    assert message in found.problems[0].message


def test_auto_needs_the_address_at_the_source() -> None:
    found = resolved(server(address=""), networking={"targetSubnetSelection": "AUTO"})
    assert "which address it has at the source" in found.problems[0].message


def test_an_address_for_two_servers_is_refused_for_both_and_the_others_go_on() -> None:
    network = {"targetSubnetSelection": "AUTO"}
    found = resolved(
        server(1), server(2), server(3, "10.0.1.8"), copyPrivateIp=True, networking=network
    )
    assert found.unresolved == {"arn-1", "arn-2"}
    assert "10.0.1.7 in subnet-aaaaaaaa is for 2 servers: srv-1, srv-2" in found.problems[0].message
    assert list(found.launches) == ["arn-3"]


def test_an_instance_to_launch_into_keeps_its_own_type_network_and_tags() -> None:
    made = launch(
        copyTags=True,
        copyPrivateIp=True,
        instanceType="m5.large",
        licensing={"osByol": True},
        networking={"targetSubnetSelection": "AUTO"},
        launchIntoInstanceProperties={"launchIntoEC2InstanceID": INSTANCE},
    )
    assert made.to_api() == {
        "copyPrivateIp": False, "copyTags": False, "osByol": True, "launchIntoInstance": INSTANCE,
    }  # fmt: skip


def test_two_servers_are_not_launched_into_one_instance() -> None:
    found = resolved(
        server(1), server(2), launchIntoInstanceProperties={"launchIntoEC2InstanceID": INSTANCE}
    )
    assert f"{INSTANCE} is for 2 servers" in found.problems[0].message
