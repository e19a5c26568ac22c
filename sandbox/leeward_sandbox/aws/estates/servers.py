"""The servers of an account: EC2 instances in P, source servers in R."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from leeward_sandbox.aws.backend import World
from leeward_sandbox.aws.drs import DrsBackend, SourceServerSpec
from leeward_sandbox.aws.estates.identifiers import drawn_from
from leeward_sandbox.aws.estates.model import Account, Estate, Server
from leeward_sandbox.aws.estates.network import SeededNetwork, SeededVpc
from leeward_sandbox.aws.moto_images import DEFAULT_IMAGE

GIB = 1024**3
INSTANCE_AGE = timedelta(days=400)
_DEVICES = ("/dev/xvda", *(f"/dev/sd{letter}" for letter in "fghijklmnop"))


@dataclass(frozen=True, slots=True)
class SeededServer:
    """A server's identities: its EC2 instance in P and, if protected, its source server in R."""

    name: str
    account: str
    instance_id: str
    source_server_id: str | None
    tags: dict[str, str]


def seed_servers(
    estate: Estate, account: Account, world: World, drs: DrsBackend, network: SeededNetwork
) -> list[SeededServer]:
    """Make the account's servers, spread over the zones."""
    seeded = []
    for index, server in enumerate(account.all_servers()):
        tags = estate.tags_of(account, server.name, server.tags)
        instance = _run(estate, account, world, server, network.primary, index, tags)
        source = _protect(estate, account, drs, server, network.recovery, index, instance, tags)
        seeded.append(SeededServer(server.name, account.id, instance.id, source, tags))
    return seeded


def _run(
    estate: Estate,
    account: Account,
    world: World,
    server: Server,
    vpc: SeededVpc,
    index: int,
    tags: dict[str, str],
) -> Any:
    subnets = vpc.application_subnets()
    with drawn_from(estate.seed, account.id, "instance", server.name):
        reservation = world.moto("ec2", account.id, vpc.region).run_instances(
            DEFAULT_IMAGE,
            1,
            None,
            [],
            instance_type=server.instance_type,
            is_instance_type_default=False,
            subnet_id=subnets[index % len(subnets)],
            security_group_ids=[vpc.security_group],
            region_name=vpc.region,
            tags={"instance": tags},
        )
    instance = reservation.instances[0]
    instance.launch_time = (world.clock.now() - INSTANCE_AGE).replace(tzinfo=None)
    if server.stopped:
        instance.stop()
    return instance


def _protect(
    estate: Estate,
    account: Account,
    drs: DrsBackend,
    server: Server,
    vpc: SeededVpc,
    index: int,
    instance: Any,
    tags: dict[str, str],
) -> str | None:
    if server.replication is None:
        return None
    subnets = vpc.application_subnets()
    disks = zip(_DEVICES, server.disk_gib, strict=False)
    spec = SourceServerSpec(
        name=server.name,
        tags={
            **tags,
            "source:account": account.id,
            "source:instance-id": instance.id,
            "source:region": estate.regions.primary,
        },
        instance_id=instance.id,
        origin_account=account.id,
        origin_region=estate.regions.primary,
        origin_zone=instance.availability_zone,
        subnet=subnets[index % len(subnets)],
        security_groups=[vpc.security_group],
        os=server.os,
        instance_type=server.instance_type,
        private_ip=instance.private_ip,
        disks=[(device, size * GIB) for device, size in disks],
        replication=server.replication,
        faults=server.fault,
        launch=server.launch,
        launch_factor=server.launch_factor,
    )
    source = drs.add_source_server(account.id, vpc.region, spec)
    if server.launch_template == "Missing":
        drs.forget_launch_template(account.id, vpc.region, source)
    return source
