"""Resource Explorer: indexes, views, queries, caps, rates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from leeward_sandbox.aws.backend import AwsError, Call, World
from leeward_sandbox.aws.clock import Clock
from leeward_sandbox.aws.resource_explorer import (
    ResourceExplorerBackend,
    ResourceExplorerSettings,
)

P, R = "us-east-1", "us-east-2"
ORGANIZATION = "arn:aws:organizations::111111111111:organization/o-leeward"
A, B = "111111111111", "222222222222"
TAGS = {"Customer": "CustomerA", "dr:enabled": "true", "dr:wave": "2", "Name": "web 1"}


@dataclass
class Lab:
    """Resource Explorer over two accounts on a clock that stands still."""

    backend: ResourceExplorerBackend
    clock: Clock

    def call(self, operation: str, region: str = R, account: str = A, **params: Any) -> Any:
        principal = f"arn:aws:iam::{account}:root"
        service = "resource-explorer-2"
        call = Call(service, operation, account, region, params, principal, self.clock.now())
        return self.backend.handle(call)

    def refused(self, operation: str, region: str = R, account: str = A, **params: Any) -> AwsError:
        with pytest.raises(AwsError) as caught:
            self.call(operation, region, account, **params)
        return caught.value

    def add(
        self, name: str, region: str = P, account: str = A, kind: str = "ec2:instance", **more: Any
    ) -> str:
        service, _, resource = kind.partition(":")
        arn = f"arn:aws:{service}:{region}:{account}:{resource}/{name}"
        tags = more.pop("tags", TAGS)
        self.backend.add(
            arn, account=account, region=region, type=kind, tags=lambda: dict(tags), **more
        )
        return arn

    def found(self, query: str, **params: Any) -> list[str]:
        answer = self.call("ListResources", Filters={"FilterString": query}, **params)
        return [r["Arn"].rpartition("/")[2] for r in answer["Resources"]]


def lab_of(**settings: Any) -> Lab:
    clock = Clock(scale=0, base=datetime(2026, 8, 1, 12, 0, tzinfo=UTC))
    world = World(clock, seed=1)
    lab = Lab(ResourceExplorerBackend(world, ResourceExplorerSettings(**settings)), clock)
    for account in (A, B):
        lab.backend.set_up(account, R, aggregator=True, default_view=True)
        lab.backend.set_up(account, P, aggregator=False, default_view=False)
    return lab


@pytest.fixture
def lab() -> Lab:
    return lab_of()


def test_tags_come_in_the_properties_of_a_view_that_includes_them(lab: Lab) -> None:
    lab.add("i-1")
    found = lab.call("ListResources")["Resources"][0]
    assert found["Properties"][0]["Name"] == "tags"
    pairs = {t["Key"]: t["Value"] for t in found["Properties"][0]["Data"]}
    assert pairs == TAGS
    assert (found["ResourceType"], found["Service"], found["Region"]) == ("ec2:instance", "ec2", P)
    assert found["CfnResourceType"] == "AWS::EC2::Instance"


def test_a_view_without_tags_shows_none(lab: Lab) -> None:
    lab.add("i-1")
    view = lab.call("CreateView", ViewName="bare")["View"]["ViewArn"]
    assert lab.call("ListResources", ViewArn=view)["Resources"][0]["Properties"] == []


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", ["i-1", "i-2", "orders"]),
        ("resourcetype:ec2:instance", ["i-1", "i-2"]),
        ("resourcetype:ec2:instance,rds:cluster", ["i-1", "i-2", "orders"]),
        ("service:rds", ["orders"]),
        ("resourcetype:ec2:* region:us-east-2", ["i-2"]),
        ("-region:us-east-2", ["i-1", "orders"]),
        ("tag:Customer=customera", ["i-1", "i-2"]),
        ('tag:"dr:enabled"="true"', ["i-1", "i-2"]),
        ("tag:dr:wave=2", ["i-1", "i-2"]),
        ('tag.key:"dr:wave"', ["i-1", "i-2"]),
        ("tag.value:CustomerB", ["orders"]),
        ("-tag.key:Customer", []),
        ("tag:none", []),
        ("tag:all service:ec2", ["i-1", "i-2"]),
        ('tag:Name="web 1"', ["i-1", "i-2"]),
        (f"accountid:{B}", []),
        ("resourcetype.supports:tags service:rds", ["orders"]),
    ],
)
def test_filters_select_as_documented(lab: Lab, query: str, wanted: list[str]) -> None:
    lab.add("i-1")
    lab.add("i-2", region=R)
    lab.add("orders", kind="rds:cluster", tags={"Customer": "CustomerB"})
    assert lab.found(query) == wanted


def test_free_words_are_alternatives_and_and_is_a_word(lab: Lab) -> None:
    lab.add("i-alpha")
    lab.add("i-beta")
    lab.add("i-gamma")

    def names(query: str) -> list[str]:
        found = lab.call("Search", QueryString=query)["Resources"]
        return [r["Arn"].rpartition("/")[2] for r in found]

    assert names("alpha beta") == ["i-alpha", "i-beta"]
    assert names("alpha AND beta") == ["i-alpha", "i-beta"]
    assert names("-alpha") == ["i-beta", "i-gamma"]
    assert names("alpha region:us-east-2") == []


@pytest.mark.parametrize("query", ["colour:red", 'tag:"open', "region:"])
def test_a_malformed_query_is_a_validation_error(lab: Lab, query: str) -> None:
    error = lab.refused("Search", QueryString=query)
    assert (error.code, error.members["FieldList"][0]["Name"]) == (
        "ValidationException",
        "QueryString",
    )


def test_list_resources_takes_no_free_words(lab: Lab) -> None:
    error = lab.refused("ListResources", Filters={"FilterString": "alpha"})
    assert "filters only" in error.message


def test_search_ends_at_a_thousand_and_says_so(lab: Lab) -> None:
    for number in range(1003):
        lab.add(f"i-{number:05d}")
    seen, token = 0, None
    while True:
        more: dict[str, Any] = {"NextToken": token} if token else {}
        answer = lab.call("Search", QueryString="", MaxResults=400, **more)
        assert answer["Count"] == {"TotalResources": 1000, "Complete": False}
        seen += len(answer["Resources"])
        token = answer.get("NextToken")
        if token is None:
            break
    assert seen == 1000


def test_list_resources_goes_on_past_a_thousand(lab: Lab) -> None:
    for number in range(1003):
        lab.add(f"i-{number:05d}")
    seen: set[str] = set()
    token = None
    while True:
        more: dict[str, Any] = {"NextToken": token} if token else {}
        answer = lab.call("ListResources", MaxResults=500, **more)
        seen.update(r["Arn"] for r in answer["Resources"])
        token = answer.get("NextToken")
        if token is None:
            break
    assert len(seen) == 1003


def test_a_page_of_a_thousand_has_no_next_token(lab: Lab) -> None:
    for number in range(1003):
        lab.add(f"i-{number:05d}")
    answer = lab.call("ListResources", MaxResults=1000)
    assert (len(answer["Resources"]), "NextToken" in answer) == (1000, False)


def test_a_token_serves_its_own_query_for_a_day(lab: Lab) -> None:
    lab.add("i-1")
    lab.add("i-2")
    token = lab.call("ListResources", MaxResults=1)["NextToken"]
    other = {"FilterString": "service:ec2"}
    assert "another query" in lab.refused("ListResources", Filters=other, NextToken=token).message
    assert "malformed" in lab.refused("ListResources", NextToken="x").message
    assert len(lab.call("ListResources", NextToken=token)["Resources"]) == 1
    lab.clock.advance(24 * 3600 + 1)
    assert "expired" in lab.refused("ListResources", NextToken=token).message


def test_without_a_default_view_the_call_is_unauthorized(lab: Lab) -> None:
    lab.add("i-1")
    error = lab.refused("ListResources", region=P)
    assert (error.code, error.status) == ("UnauthorizedException", 401)
    missing = f"arn:aws:resource-explorer-2:{R}:{A}:view/none/0"
    assert lab.refused("Search", QueryString="", ViewArn=missing).status == 404


def test_a_local_index_sees_its_region_and_an_aggregator_all(lab: Lab) -> None:
    lab.add("i-primary", region=P)
    lab.add("i-recovery", region=R)
    lab.add("i-elsewhere", region="eu-west-1")
    assert lab.found("") == ["i-primary", "i-recovery"]
    view = lab.call("CreateView", region=P, ViewName="local")["View"]["ViewArn"]
    answer = lab.call("ListResources", region=P, ViewArn=view)
    assert [r["Arn"].rpartition("/")[2] for r in answer["Resources"]] == ["i-primary"]


def test_a_global_resource_is_found_through_the_aggregator(lab: Lab) -> None:
    lab.add("Z1", region="global", kind="route53:hostedzone")
    assert lab.found("resourcetype:route53:hostedzone") == ["Z1"]


def test_a_view_filters_what_a_query_finds(lab: Lab) -> None:
    lab.add("i-1")
    lab.add("orders", kind="rds:cluster")
    filters = {"FilterString": "service:rds"}
    view = lab.call("CreateView", ViewName="databases", Filters=filters)["View"]["ViewArn"]
    assert lab.found("", ViewArn=view) == ["orders"]
    lab.call("UpdateView", ViewArn=view, Filters={"FilterString": "service:ec2"})
    assert lab.found("", ViewArn=view) == ["i-1"]


def test_other_accounts_are_seen_only_with_the_organisations_scope() -> None:
    lab = lab_of(organization=ORGANIZATION, administrator=A)
    lab.add("i-mine")
    lab.add("i-theirs", account=B)
    assert lab.found("") == ["i-mine"]
    view = lab.call("CreateView", ViewName="all-accounts", Scope=ORGANIZATION)["View"]
    assert lab.found("", ViewArn=view["ViewArn"]) == ["i-mine", "i-theirs"]
    denied = lab.refused("CreateView", account=B, ViewName="x", Scope=ORGANIZATION)
    assert denied.code == "AccessDeniedException"


def test_a_new_resource_appears_after_the_indexing_lag(lab: Lab) -> None:
    lab.add("i-new", since=lab.clock.now())
    assert lab.found("") == []
    lab.clock.advance(61)
    assert lab.found("") == ["i-new"]


def test_a_deleted_resource_lingers(lab: Lab) -> None:
    arn = lab.add("i-old")
    lab.backend.remove(arn, lab.clock.now())
    assert lab.found("") == ["i-old"]
    lab.clock.advance(601)
    assert lab.found("") == []


def test_a_second_aggregator_has_to_wait_a_day(lab: Lab) -> None:
    here, there = lab.call("GetIndex")["Arn"], lab.call("GetIndex", region=P)["Arn"]
    promote = {"Arn": there, "Type": "AGGREGATOR"}
    assert lab.refused("UpdateIndexType", region=P, **promote).status == 409
    lab.call("UpdateIndexType", Arn=here, Type="LOCAL")
    assert "24 hours" in lab.refused("UpdateIndexType", region=P, **promote).message
    lab.clock.advance(24 * 3600)
    assert lab.call("UpdateIndexType", region=P, **promote)["Type"] == "AGGREGATOR"
    assert lab.call("GetIndex", region=P)["ReplicatingFrom"] == [R]


def test_an_index_becomes_active_and_can_be_deleted(lab: Lab) -> None:
    made = lab.call("CreateIndex", region="eu-west-1", Tags={"a": "b"})
    assert made["State"] == "CREATING"
    lab.clock.advance(31)
    assert lab.call("GetIndex", region="eu-west-1")["State"] == "ACTIVE"
    assert lab.refused("CreateIndex", region="eu-west-1").status == 409
    lab.call("DeleteIndex", region="eu-west-1", Arn=made["Arn"])
    assert lab.refused("GetIndex", region="eu-west-1").status == 404
    assert [i["Region"] for i in lab.call("ListIndexes")["Indexes"]] == [P, R]


def test_views_are_made_once_per_token_listed_and_deleted(lab: Lab) -> None:
    first = lab.call("CreateView", ViewName="one", ClientToken="t")["View"]
    assert lab.call("CreateView", ViewName="one", ClientToken="t")["View"] == first
    assert lab.refused("CreateView", ViewName="two", ClientToken="t").status == 409
    assert lab.refused("CreateView", ViewName="one").status == 409
    arn = first["ViewArn"]
    assert arn in lab.call("ListViews")["Views"]
    lab.call("AssociateDefaultView", ViewArn=arn)
    assert lab.call("GetDefaultView")["ViewArn"] == arn
    lab.call("TagResource", resourceArn=arn, Tags={"a": "b"})
    assert lab.call("GetView", ViewArn=arn)["Tags"] == {"a": "b"}
    lab.call("DeleteView", ViewArn=arn)
    assert lab.call("GetDefaultView") == {}
    assert lab.refused("GetView", ViewArn=arn).status == 404
    errors = lab.call("BatchGetView", ViewArns=[arn])["Errors"]
    assert [e["ViewArn"] for e in errors] == [arn]


def test_only_tags_can_be_included_in_a_view(lab: Lab) -> None:
    included = [{"Name": "cost"}]
    assert lab.refused("CreateView", ViewName="x", IncludedProperties=included).status == 400


def test_rates_are_enforced_when_switched_on() -> None:
    lab = lab_of(rate_limits=True)
    for _ in range(5):
        lab.call("Search", QueryString="")
    assert lab.refused("Search", QueryString="").code == "ThrottlingException"
    for _ in range(3):
        lab.call("ListResources")
    assert lab.refused("ListResources").status == 429
    lab.clock.advance(1)
    lab.call("Search", QueryString="")


def test_supported_types_are_listed_in_pages(lab: Lab) -> None:
    first = lab.call("ListSupportedResourceTypes", MaxResults=3)
    assert len(first["ResourceTypes"]) == 3
    rest = lab.call("ListSupportedResourceTypes", MaxResults=100, NextToken=first["NextToken"])
    names = {t["ResourceType"] for t in first["ResourceTypes"] + rest["ResourceTypes"]}
    assert {"ec2:instance", "rds:cluster", "lambda:function"} <= names


def test_an_operation_that_is_not_modelled_says_so(lab: Lab) -> None:
    assert "does not have GetServiceIndex" in lab.refused("GetServiceIndex").message


def test_an_instance_launched_by_drs_is_indexed(new_account: Callable[[], str]) -> None:
    from leeward_sandbox.aws.drs import DrsBackend
    from leeward_sandbox.aws.estates import seed, tiny

    estate = tiny(1, account=new_account())
    account = estate.accounts[0].id
    clock = Clock(scale=0)
    world = World(clock, seed=estate.seed)
    drs, explorer = DrsBackend(world), ResourceExplorerBackend(world)
    seeded = seed(estate, world, [drs, explorer])
    lab = Lab(explorer, clock)
    server = {"sourceServerID": seeded.servers["app-01"].source_server_id}
    call = Call("drs", "StartRecovery", account, R, {"sourceServers": [server]}, "", clock.now())
    drs.handle(call)
    clock.advance(800)
    drs.settle(clock.now())
    found = lab.call("ListResources", account=account)["Resources"]
    assert sorted(r["Region"] for r in found) == [P, R]
