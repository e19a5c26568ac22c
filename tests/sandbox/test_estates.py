"""The bundled estates and what they put into AWS."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from leeward_sandbox.aws.backend import AwsError, Call, World
from leeward_sandbox.aws.clock import Clock
from leeward_sandbox.aws.drs import DrsBackend
from leeward_sandbox.aws.estates import BUNDLED, Estate, Seeded, load, seed, tiny
from leeward_sandbox.aws.resource_explorer import ResourceExplorerBackend

P, R = "us-east-1", "us-east-2"
TAXONOMY = {
    "Customer",
    "Environment",
    "Application",
    "Name",
    "dr:enabled",
    "dr:priority",
    "dr:wave",
    "dr:recovery-strategy",
    "dr:rto-target",
    "dr:rpo-target",
}


@dataclass
class Seeding:
    """A bundled estate in accounts of its own."""

    estate: Estate
    world: World
    drs: DrsBackend
    explorer: ResourceExplorerBackend
    seeded: Seeded

    def account(self, name: str) -> str:
        return next(a.id for a in self.estate.accounts if a.name == name)

    def source_servers(self, account: str, region: str = R) -> list[Any]:
        params = {"maxResults": 1000}
        now = self.world.clock.now()
        call = Call("drs", "DescribeSourceServers", account, region, params, "", now)
        items: list[Any] = self.drs.handle(call)["items"]
        return items


@pytest.fixture
def seed_bundled(new_account: Callable[[], str], tmp_path: Path) -> Callable[[str], Seeding]:
    def make(name: str) -> Seeding:
        text = resources.files("leeward_sandbox.aws.estates").joinpath(f"{name}.yaml").read_text()
        for account in load(name).accounts:
            text = text.replace(account.id, new_account())
        path = tmp_path / f"{name}.yaml"
        path.write_text(text)
        estate = load(path)
        world = World(Clock(scale=0), seed=estate.seed)
        drs = DrsBackend(world, estate.drs)
        explorer = ResourceExplorerBackend(world, estate.resource_explorer)
        return Seeding(estate, world, drs, explorer, seed(estate, world, [drs, explorer]))

    return make


@pytest.mark.parametrize("name", BUNDLED)
def test_every_bundled_estate_is_valid_and_named_like_its_file(name: str) -> None:
    assert load(name).name == name


def test_the_demo_has_44_servers_in_three_waves() -> None:
    estate = load("small")
    waves: Counter[tuple[str, str]] = Counter()
    for account in estate.accounts:
        for server in account.all_servers():
            waves[account.name, str(server.tags["dr:wave"])] += 1
    assert waves == {
        ("orders-data", "1"): 8,
        ("orders-app", "2"): 12,
        ("orders-web", "2"): 8,
        ("orders-web", "3"): 16,
    }
    assert estate.external_id == "leeward/sandbox/orders"


def test_everything_in_the_demo_is_tagged_by_the_taxonomy(seed_bundled: Any) -> None:
    small = seed_bundled("small")
    for server in small.seeded.servers.values():
        assert set(server.tags) >= TAXONOMY
    kinds = Counter(resource.type for resource in small.seeded.resources)
    assert kinds == {
        "rds:cluster": 2,
        "rds:db": 2,
        "ecs:service": 2,
        "lambda:function": 2,
        "autoscaling:autoScalingGroup": 2,
        "route53:hostedzone": 1,
    }
    for resource in small.seeded.resources:
        assert set(resource.tags()) >= TAXONOMY


def test_identifiers_of_the_demo_are_those_that_the_examples_name() -> None:
    script = """
import json
from leeward_sandbox.aws.backend import World
from leeward_sandbox.aws.clock import Clock
from leeward_sandbox.aws.drs import DrsBackend
from leeward_sandbox.aws.estates import load, seed
from leeward_sandbox.aws.resource_explorer import ResourceExplorerBackend
estate = load("small")
world = World(Clock(scale=0), seed=estate.seed)
made = seed(estate, world, [DrsBackend(world), ResourceExplorerBackend(world)])
drill = {a: [n.drill.subnets["drill-a"], n.drill.security_group] for a, n in made.networks.items()}
zone = next(r.arn for r in made.resources if r.type == "route53:hostedzone")
first = made.servers["orders-db-01"]
print(json.dumps([drill, zone, first.instance_id, first.source_server_id]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert json.loads(done.stdout) == [
        {
            "111111111111": ["subnet-c44f084150dab529a", "sg-ca712dbe53be7d1c7"],
            "222222222222": ["subnet-240bbf991f544696e", "sg-598173b88b4633f8a"],
            "333333333333": ["subnet-807e92b3ea2b52c70", "sg-6a1e2654b92b7e250"],
        },
        "arn:aws:route53:::hostedzone/Z44BDCCEA613195309",
        "i-ba5c4d4503f6d6edc",
        "s-2a2c3d3f9653454ba",
    ]


def test_the_roles_trust_the_hub_with_the_namespaces_external_id(seed_bundled: Any) -> None:
    small = seed_bundled("small")
    for account in small.estate.accounts:
        iam = small.world.moto("iam", account.id, P)
        for name in ("LeewardRead", "LeewardRecovery"):
            role = iam.get_role(name)
            assert role.arn == f"arn:aws:iam::{account.id}:role/{name}"
            policy = json.loads(role.assume_role_policy_document)
            assume, session = policy["Statement"]
            assert assume["Principal"]["AWS"] == ["arn:aws:iam::999999999999:root"]
            condition = {"StringEquals": {"sts:ExternalId": "leeward/sandbox/orders"}}
            assert assume["Condition"] == condition
            assert session["Action"] == "sts:TagSession"


def test_the_drill_network_is_a_vpc_of_its_own_in_the_recovery_region(seed_bundled: Any) -> None:
    small = seed_bundled("small")
    for account, network in small.seeded.networks.items():
        ec2 = small.world.moto("ec2", account, R)
        assert network.drill.id not in (network.recovery.id, network.primary.id)
        for identifier in (*network.drill.subnets.values(), network.drill.security_group):
            assert ec2.tags[identifier]["Purpose"] == "Drill"
        subnet = ec2.get_subnet(network.drill.subnets["drill-a"])
        assert subnet.vpc_id == network.drill.id


def test_the_image_of_the_servers_exists_in_both_regions(seed_bundled: Any) -> None:
    small = seed_bundled("small")
    account = small.account("orders-data")
    server = small.seeded.servers["orders-db-01"]
    image = small.world.moto("ec2", account, P).get_instance(server.instance_id).image_id
    for region in (P, R):
        found = small.world.moto("ec2", account, region).describe_images(ami_ids=[image])
        assert [i.id for i in found] == [image]


def test_the_database_is_written_in_the_primary_region(seed_bundled: Any) -> None:
    small = seed_bundled("small")
    account = small.account("orders-data")
    for region in (P, R):
        found = small.world.moto("rds", account, region).describe_global_clusters()
        assert [c.global_cluster_identifier for c in found] == ["orders"]
    members = found[0].global_cluster_members
    writers = {m["DBClusterArn"].split(":")[3]: m["IsWriter"] for m in members}
    assert writers == {P: True, R: False}


def test_the_names_point_to_the_primary_side(seed_bundled: Any) -> None:
    small = seed_bundled("small")
    account = small.account("orders-network")
    route53 = small.world.moto("route53", account, P)
    zone = next(iter(route53.zones.values()))
    records = {
        (r.name, r.set_identifier): (r.records, r.weight) for r in zone.rrsets if r.type == "CNAME"
    }
    assert records == {
        ("app.orders.example.com.", None): (["app.us-east-1.orders.example.com"], None),
        ("api.orders.example.com.", P): (["api.us-east-1.orders.example.com"], 100),
        ("api.orders.example.com.", R): (["api.us-east-2.orders.example.com"], 0),
    }


def test_capacity_runs_in_the_primary_region_and_waits_in_the_other(seed_bundled: Any) -> None:
    small = seed_bundled("small")
    app, web = small.account("orders-app"), small.account("orders-web")
    tasks = {}
    sizes = {}
    for region in (P, R):
        service = next(iter(small.world.moto("ecs", app, region).services.values()))
        tasks[region] = (service.desired_count, service.running_count)
        scaling = small.world.moto("autoscaling", web, region)
        group = scaling.autoscaling_groups["orders-front"]
        sizes[region] = (group.desired_capacity, len(group.instance_states))
    assert tasks == {P: (4, 4), R: (0, 0)}
    assert sizes == {P: (2, 2), R: (0, 0)}


def test_every_account_can_be_discovered_from_the_recovery_region(seed_bundled: Any) -> None:
    small = seed_bundled("small")
    found = 0
    for account in small.estate.accounts:
        params = {"Filters": {"FilterString": "resourcetype:ec2:instance"}, "MaxResults": 500}
        now = small.world.clock.now()
        service = "resource-explorer-2"
        call = Call(service, "ListResources", account.id, R, params, "", now)
        found += len(small.explorer.handle(call)["Resources"])
    assert found == 44


def test_the_reference_estate_has_1050_servers_in_five_waves(seed_bundled: Any) -> None:
    reference = seed_bundled("reference")
    by_account = {a.name: reference.source_servers(a.id) for a in reference.estate.accounts}
    assert {name: len(servers) for name, servers in by_account.items()} == {
        "HrpDRSStaging1": 250,
        "HrpDRSStaging2": 250,
        "HrpDRSStaging3": 250,
        "HrpDRSStagingNonProd": 300,
    }
    everything = [server for servers in by_account.values() for server in servers]
    waves = Counter(server["tags"]["dr:wave"] for server in everything)
    assert waves == {"1": 250, "2": 250, "3": 250, "4": 150, "5": 150}
    assert len({server["sourceServerID"] for server in everything}) == 1050


def test_replication_of_the_broken_estate_is_broken_in_every_way(seed_bundled: Any) -> None:
    broken = seed_bundled("broken")
    servers = broken.source_servers(broken.account("broken-replication"))
    seen = {s["tags"]["Name"]: s["dataReplicationInfo"] for s in servers}
    assert seen["lagging"]["lagDuration"] == "PT40M"
    assert seen["stalled"]["dataReplicationError"] == {"error": "AGENT_NOT_SEEN"}
    assert seen["stalled"]["lagDuration"] == "PT2H5M"
    assert seen["never-synced"]["dataReplicationState"] == "INITIAL_SYNC"
    assert seen["disconnected"]["dataReplicationState"] == "DISCONNECTED"
    assert seen["healthy-01"]["dataReplicationState"] == "CONTINUOUS"
    assert "unprotected" not in seen


def test_a_wave_of_the_broken_estate_succeeds_in_part(seed_bundled: Any) -> None:
    broken = seed_bundled("broken")
    account = broken.account("broken-replication")
    names = {s["sourceServerID"]: s["tags"]["Name"] for s in broken.source_servers(account)}
    listed = [{"sourceServerID": server} for server in names]

    def call(operation: str, **params: Any) -> Any:
        return broken.drs.handle(
            Call("drs", operation, account, R, params, "", broken.world.clock.now())
        )

    call("StartRecovery", sourceServers=listed)
    broken.world.clock.advance(700)
    job = call("DescribeJobs")["items"][0]
    failed = {
        names[part["sourceServerID"]]
        for part in job["participatingServers"]
        if part["launchStatus"] == "FAILED"
    }
    assert job["status"] == "COMPLETED"
    assert failed == {"never-synced", "disconnected", "no-capacity"}
    raw = [
        item["eventData"]["rawError"]
        for item in call("DescribeJobLogItems", jobID=job["jobID"], maxResults=1000)["items"]
        if "rawError" in item["eventData"]
    ]
    assert len(raw) == 1
    assert raw[0].startswith("InsufficientInstanceCapacity")


def test_tags_of_the_broken_estate_are_wrong_one_by_one(seed_bundled: Any) -> None:
    broken = seed_bundled("broken")
    tags = {name: server.tags for name, server in broken.seeded.servers.items()}
    assert "dr:enabled" not in tags["no-enabled"]
    assert "dr:wave" not in tags["no-wave"]
    assert tags["wave-nine"]["dr:wave"] == "9"
    assert tags["priority-urgent"]["dr:priority"] == "urgent"
    assert tags["enabled-upper"]["dr:enabled"] == "TRUE"
    assert tags["rto-malformed"]["dr:rto-target"] == "30 minutes"


def test_one_account_of_the_broken_estate_never_initialised_drs(seed_bundled: Any) -> None:
    broken = seed_bundled("broken")
    with pytest.raises(AwsError) as caught:
        broken.source_servers(broken.account("broken-service"))
    assert caught.value.code == "UninitializedAccountException"


def test_one_account_of_the_broken_estate_asks_for_another_external_id(seed_bundled: Any) -> None:
    broken = seed_bundled("broken")
    iam = broken.world.moto("iam", broken.account("broken-trust"), P)
    policy = json.loads(iam.get_role("LeewardRead").assume_role_policy_document)
    condition = policy["Statement"][0]["Condition"]
    assert condition == {"StringEquals": {"sts:ExternalId": "leeward/sandbox/other"}}
    assert broken.estate.external_id == "leeward/sandbox/broken"


def test_an_identifier_does_not_depend_on_what_else_the_estate_holds(
    new_account: Callable[[], str],
) -> None:
    def ids(estate: Estate) -> dict[str, str]:
        world = World(Clock(scale=0), seed=estate.seed)
        made = seed(estate, world, [DrsBackend(world), ResourceExplorerBackend(world)])
        return {name: server.instance_id for name, server in made.servers.items()}

    account, other = new_account(), new_account()
    alone = ids(tiny(1, account=account))
    with_more = ids(tiny(3, account=other))
    assert alone["app-01"] != with_more["app-01"]
    # The same account once more, as moto holds the first one's roles: in a fresh process.
    script = f"""
from leeward_sandbox.aws.backend import World
from leeward_sandbox.aws.clock import Clock
from leeward_sandbox.aws.drs import DrsBackend
from leeward_sandbox.aws.estates import seed, tiny
from leeward_sandbox.aws.resource_explorer import ResourceExplorerBackend
world = World(Clock(scale=0), seed=1)
backends = [DrsBackend(world), ResourceExplorerBackend(world)]
print(seed(tiny(3, account="{account}"), world, backends).servers["app-01"].instance_id)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == alone["app-01"]


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "estate.yaml"
    path.write_text("name: x\nnamespace: x\ncolour: red\naccounts: [{id: '111111111111', name: a}]")
    with pytest.raises(ValueError, match="colour"):
        load(path)


def test_a_missing_estate_names_the_bundled_ones() -> None:
    with pytest.raises(FileNotFoundError, match="small, reference, broken"):
        load("tiny")


@pytest.mark.parametrize(
    ("account", "problem"),
    [
        ("{id: '1', name: a}", "12"),
        ("{id: '111111111111', name: a, servers: [{name: x}]}", "no network"),
        (
            "{id: '111111111111', name: a, network: {primaryCidr: 10.0.0.0/16, "
            "recoveryCidr: 10.1.0.0/24}}",
            "too small",
        ),
        (
            "{id: '111111111111', name: a, network: {primaryCidr: 10.0.0.0/16, recoveryCidr: "
            "10.1.0.0/16}, servers: [{name: x}, {name: x}]}",
            "servers of one name: x",
        ),
    ],
)
def test_an_estate_that_cannot_be_made_is_refused(
    tmp_path: Path, account: str, problem: str
) -> None:
    path = tmp_path / "estate.yaml"
    path.write_text(f"name: x\nnamespace: x\naccounts: [{account}]")
    with pytest.raises(ValueError, match=problem):
        load(path)
