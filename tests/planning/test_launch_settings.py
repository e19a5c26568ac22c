"""Documents of launch settings: what is refused, whom they are for, and which one wins."""

from __future__ import annotations

from typing import Any

import pytest

from leeward.api.launch import Launch
from leeward.planning.launch.launch_settings import Document, Server, documents, merge, tag_keys

SUBNET = "subnet-0123456789abcdef0"
FILES = "estate"


def server(**fields: Any) -> Server:
    known = {
        "arn": "arn:aws:drs:us-east-2:111111111111:source-server/s-1",
        "names": frozenset({"s-1", "i-0123456789abcdef0"}),
        "account_id": "111111111111",
        "tags": {"Environment": "Production", "IPAssignment": "dynamic"},
        "address": "10.0.1.7",
    }
    return Server(**{**known, **fields})


def read(*layers: dict[str, Any], **files: dict[str, str]) -> tuple[list[Document], list[str]]:
    given = [{"configMapRef": {"name": name}} for name in files]
    launch = Launch.model_validate({"layers": [*given, *layers]})
    found, problems = documents(launch, files)
    assert {p.reason for p in problems} <= {"InvalidLaunchSettings"}
    return found, [p.message for p in problems]


def settled(*layers: dict[str, Any], at: Server | None = None, **files: dict[str, str]) -> Any:
    found, problems = read(*layers, **files)
    assert problems == []
    return merge(at or server(), found).settings.to_api()


def inline(settings: dict[str, Any], **selector: Any) -> dict[str, Any]:
    return {"inline": {"settings": settings, **selector}}


BAD: list[tuple[str, str, str]] = [
    ("defaults.yml", "copyPrivateIp: 'yes'", "copyPrivateIp: 'yes' must be true or false"),
    ("defaults.yml", "copytags: true", "copytags: unknown; did you mean copyTags? There are"),
    ("defaults.yml", "copy_tags: true", "copy_tags: unknown; did you mean copyTags?"),
    ("defaults.yml", "networking: {vpc: x}", "networking.vpc: unknown; there are createPublicIP"),
    ("defaults.yml", "networking: {targetSubnetIds: [x]}", "networking.targetSubnetIds[0]: 'x'"),
    ("defaults.yml", "networking: here", "networking: 'here' must be a map"),
    ("defaults.yml", "launchDisposition: STARTED", "Leeward launches stopped"),
    ("defaults.yml", "replication: {a: 1}", "replication configuration of DRS, not to a launch"),
    ("defaults.yml", "licensing: {osByol: 1}", "licensing.osByol: 1 must be true or false"),
    ("defaults.yml", "targetInstanceTypeRightSizingMethod: basic", "'NONE', 'BASIC' or 'IN_AWS'"),
    (
        "defaults.yml",
        "launchIntoInstanceProperties: {}",
        "launchIntoInstanceProperties.launchIntoEC2InstanceID: is missing",
    ),
    ("defaults.yml", "a: [1", "is no YAML: line 1, column 6"),
    (
        "defaults.yml",
        "copyTags: true\ncopyTags: false",
        "line 2, column 1: the key 'copyTags' is given twice",
    ),
    ("defaults.yml", "- copyTags", "must be a map of settings"),
    ("defaults.yml", "instanceType: &a m5.large", "line 1, column 15: anchors and aliases are not"),
    ("defaults.yml", "copyTags: *a", "anchors and aliases are not read; write it out"),
    ("defaults.yml", "copyTags: !!set {a}", "tags are not read"),
    ("defaults.yml", "copyTags: !!bool 'x'", "tags are not read"),
    ("defaults.yml", "? [a]\n: 1", "a key must be a single value"),
    ("defaults.yml", "instanceType: {a: [1], b: 2}", "instanceType: a map of 2 must be a string"),
    ("defaults.yml", "instanceType: [[1, 2], 3, 4]", "instanceType: a list of 3 must be a string"),
    ("defaults.yml", "- copyTags\n- b", "must be a map of settings, not a list of 2"),
    ("defaults.txt", "", "is no name of a file of launch settings; name it defaults.yml"),
    ("defaults_for_account_12.yml", "", "is no name of a file"),
    ("override_for_tag__Tier.yml", "", "names no tag"),
    ("override_for_tag__a__b__c.yml", "", "names no tag"),
]


@pytest.mark.parametrize(("key", "text", "message"), BAD, ids=[f"{k}: {t}" for k, t, _ in BAD])
def test_a_bad_document_is_named_by_config_map_key_and_path(
    key: str, text: str, message: str
) -> None:
    found, (problem,) = read(estate={key: text, "override_for_tag__A__b.yml": "copyTags: true"})
    assert problem.startswith(f"ConfigMap estate, key {key}: ")
    assert message in problem
    assert len(found) == 1  # the others are read all the same


BOMBS: list[tuple[str, str, str]] = [
    (
        "aliases that multiply",
        "instanceType: [&a [9,9,9,9,9,9,9,9,9], &b [*a,*a,*a,*a,*a,*a,*a,*a,*a], [*b,*b,*b,*b,*b]]",
        "anchors and aliases are not read",
    ),
    ("lists in lists", "instanceType: " + "[" * 1500, "more than 16 maps and lists"),
    ("lists in lists, all closed", "[" * 30_000 + "]" * 30_000, "more than 16 maps and lists"),
    ("maps in maps", "{a: " * 10_000, "more than 16 maps and lists"),
    ("lists by dashes", "- " * 30_000, "more than 16 maps and lists"),
    ("keys without end", "".join(f"k{n}: 1\n" for n in range(7_000)), "the first 20"),
    ("one long key", "k" * 1_000 + ": 1", "kkk…: unknown; there are"),
    ("one long text", "instanceType: " + "x" * 65_000, "xxx… is not possible"),
    ("too long", "#" * 65_537, "has 65537 characters, and 65536 are read"),
    (
        "a long number",
        "instanceType: 0x" + "f" * 60_000,
        "a number of 240000 bits must be a string",
    ),
    ("a number with more digits than Python reads", "instanceType: " + "9" * 60_000, "is no YAML"),
    ("a number to the base of 60", "instanceType: 1" + ":59" * 2_000 + ".5", "is no YAML"),
    (
        "faults without end",
        "networking: {securityGroupIds: [" + "1," * 30_000 + "]}",
        "securityGroupIds",
    ),
]


@pytest.mark.parametrize(("text", "message"), [b[1:] for b in BOMBS], ids=[b[0] for b in BOMBS])
def test_a_document_that_would_cost_the_operator_dear_is_refused(text: str, message: str) -> None:
    found, problems = read(estate={"defaults.yml": text})
    assert found == []
    assert len(problems) <= 21
    assert any(message in problem for problem in problems)
    assert all(len(problem) <= 1024 for problem in problems)


def test_what_is_quoted_may_look_like_an_alias_or_a_tag() -> None:
    given = "iamInstanceProfile: 'a*b&c'\ncopyTags: ! true"
    _, problems = read(estate={"defaults.yml": given})
    assert not any("not read" in problem for problem in problems)


def test_everything_that_is_wrong_with_a_document_is_said_at_once() -> None:
    _, problems = read(estate={"defaults.yml": "copytags: 1\ncopyPrivateIp: 2\nrecoveryMode: X"})
    assert [p.split(": ")[1] for p in problems] == ["copytags", "copyPrivateIp", "recoveryMode"]


def test_two_files_for_the_same_servers_are_refused() -> None:
    _, (problem,) = read(estate={"defaults.yml": "", "defaults.yaml": ""})
    assert "is for the same servers as ConfigMap estate, defaults.yaml" in problem


def test_an_empty_file_says_nothing() -> None:
    assert settled(estate={"defaults.yml": "# later\n"}) == {}


ORDER: list[tuple[str, dict[str, str], bool | None]] = [
    ("defaults alone", {"defaults.yml": "copyTags: true"}, True),
    (
        "the account over the defaults",
        {
            "defaults.yml": "copyTags: true",
            "defaults_for_account_111111111111.yml": "copyTags: false",
        },
        False,
    ),
    (
        "another account does not count",
        {
            "defaults.yml": "copyTags: true",
            "defaults_for_account_222222222222.yml": "copyTags: false",
        },
        True,
    ),
    (
        "a tag over the account",
        {
            "defaults_for_account_111111111111.yml": "copyTags: true",
            "override_for_tag__Environment__Production.yml": "copyTags: false",
        },
        False,
    ),
    (
        "tags count with regard to case",
        {
            "defaults.yml": "copyTags: true",
            "override_for_tag__Environment__production.yml": "copyTags: false",
        },
        True,
    ),
    (
        "of two tags the later key",
        {
            "override_for_tag__IPAssignment__dynamic.yml": "copyTags: false",
            "override_for_tag__Environment__Production.yml": "copyTags: true",
        },
        False,
    ),
    (
        "the resource over its tags",
        {
            "override_for_tag__IPAssignment__dynamic.yml": "copyTags: true",
            "override_for_resource__i-0123456789abcdef0.yml": "copyTags: false",
        },
        False,
    ),
    (
        "null takes back",
        {"defaults.yml": "copyTags: true", "override_for_resource__s-1.yml": "copyTags: null"},
        None,
    ),
]


@pytest.mark.parametrize(("files", "wanted"), [c[1:] for c in ORDER], ids=[c[0] for c in ORDER])
def test_the_more_special_document_wins(files: dict[str, str], wanted: bool | None) -> None:
    assert settled(estate=files).get("copyTags") is wanted


def test_maps_are_merged_and_lists_replaced() -> None:
    files = {
        "defaults.yml": "networking: {createPublicIP: false, "
        "securityGroupIds: [sg-0123456789abcdef0, sg-0123456789abcdef1]}",
        "override_for_resource__s-1.yml": "networking: {securityGroupIds: [sg-0123456789abcdef2]}",
    }
    assert settled(estate=files)["networking"] == {
        "createPublicIP": False,
        "securityGroupIds": ["sg-0123456789abcdef2"],
    }


def test_of_the_same_kind_the_later_layer_wins_whatever_the_tag() -> None:
    first = inline({"copyTags": True}, tag={"key": "IPAssignment", "value": "dynamic"})
    second = inline({"copyTags": False}, tag={"key": "Environment", "value": "Production"})
    assert settled(first, second)["copyTags"] is False
    assert settled(second, first)["copyTags"] is True


def test_inline_defaults_of_a_later_layer_stay_below_an_account_of_a_config_map() -> None:
    files = {"defaults_for_account_111111111111.yml": "copyTags: true"}
    assert settled(inline({"copyTags": False}), estate=files)["copyTags"] is True


def test_inline_settings_select_by_account_tag_and_resource() -> None:
    layers = (
        inline({"recoveryMode": "FAST"}, accountId="111111111111"),
        inline({"copyTags": False}, tag={"key": "dr:tier", "value": "a b"}),
        inline({"instanceType": "m5.large"}, resource="s-2"),
    )
    assert settled(*layers) == {"recoveryMode": "FAST"}
    other = server(names=frozenset({"s-2"}), tags={"dr:tier": "a b"})
    assert settled(*layers, at=other) == {
        "recoveryMode": "FAST", "copyTags": False, "instanceType": "m5.large",
    }  # fmt: skip


def test_a_merged_setting_knows_where_it_comes_from() -> None:
    found, _ = read(
        inline({"networking": {"targetSubnetIds": [SUBNET]}}),
        estate={"defaults.yml": "networking: {createPublicIP: true}"},
    )
    assert merge(server(), found).sources == {
        "networking.createPublicIP": "ConfigMap estate, defaults.yml",
        "networking.targetSubnetIds": "spec.launch.layers[1]",
    }


def test_the_tags_that_documents_select_by_are_known() -> None:
    found, _ = read(
        inline({}, tag={"key": "dr:tier", "value": "1"}),
        estate={"override_for_tag__IPAssignment__dynamic.yml": ""},
    )
    assert tag_keys(found) == {"dr:tier", "IPAssignment"}
