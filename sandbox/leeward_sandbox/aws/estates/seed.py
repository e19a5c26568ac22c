"""Puts an estate into an empty AWS."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from leeward_sandbox.aws.backend import Backend, World
from leeward_sandbox.aws.drs import DrsBackend
from leeward_sandbox.aws.drs.state import LaunchListener
from leeward_sandbox.aws.estates.identity import seed_roles
from leeward_sandbox.aws.estates.model import Account, Estate
from leeward_sandbox.aws.estates.network import SeededNetwork, seed_network
from leeward_sandbox.aws.estates.servers import SeededServer, seed_servers
from leeward_sandbox.aws.estates.services import SeededResource, ServiceSeeder
from leeward_sandbox.aws.resource_explorer import ResourceExplorerBackend


@dataclass(slots=True)
class Seeded:
    """What was made, with its identifiers.

    Attributes:
        roles: role ARNs by account and role name.
        networks: VPCs, subnets and security groups by account.
        servers: every server by name.
        resources: everything else, in the order of the estate.
    """

    roles: dict[str, dict[str, str]] = field(default_factory=dict)
    networks: dict[str, SeededNetwork] = field(default_factory=dict)
    servers: dict[str, SeededServer] = field(default_factory=dict)
    resources: list[SeededResource] = field(default_factory=list)

    def arn(self, kind: str, name: str, region: str) -> str:
        """The ARN of a resource that is no server; KeyError if there is none."""
        for resource in self.resources:
            if (resource.type, resource.name, resource.region) == (kind, name, region):
                return resource.arn
        raise KeyError(f"the estate has no {kind} {name} in {region}")


def seed(estate: Estate, world: World, backends: Iterable[Backend]) -> Seeded:
    """Make everything that the estate lists.

    Identifiers follow from `estate.seed`, the account and the resource's name, whatever else
    the estate holds. Moto's state must be empty in the estate's accounts.

    Args:
        estate: what to make.
        world: moto and the clock.
        backends: the gateway's own backends, DRS and Resource Explorer among them.
    """
    own = list(backends)
    drs = next(b for b in own if isinstance(b, DrsBackend))
    explorer = next(b for b in own if isinstance(b, ResourceExplorerBackend))
    seeded = Seeded()
    with world.lock:
        for account in estate.accounts:
            _seed_account(estate, account, world, drs, explorer, seeded)
    drs.observe_instances(*_index_of_launches(explorer))
    return seeded


def _seed_account(
    estate: Estate,
    account: Account,
    world: World,
    drs: DrsBackend,
    explorer: ResourceExplorerBackend,
    seeded: Seeded,
) -> None:
    regions = (estate.regions.primary, estate.regions.recovery)
    seeded.roles[account.id] = seed_roles(estate, account, world)
    if account.drs_initialized:
        for region in regions:
            drs.initialize(account.id, region)
    for target in account.trusts_for_staging:
        drs.trust(account.id, estate.regions.recovery, target)
    network = seed_network(estate, account, world)
    if network is not None:
        seeded.networks[account.id] = network
        for server in seed_servers(estate, account, world, drs, network):
            seeded.servers[server.name] = server
            _index_instance(explorer, world, account, estate.regions.primary, server.instance_id)
    for resource in ServiceSeeder(estate, account, world, network).all():
        seeded.resources.append(resource)
        explorer.add(
            resource.arn,
            account=resource.account,
            region=resource.region,
            type=resource.type,
            tags=resource.tags,
        )
    if account.explorer is not None:
        _set_up_explorer(estate, account, explorer)


def _set_up_explorer(estate: Estate, account: Account, explorer: ResourceExplorerBackend) -> None:
    assert account.explorer is not None
    for side, region in (
        ("primary", estate.regions.primary),
        ("recovery", estate.regions.recovery),
    ):
        aggregator = side == account.explorer.aggregator
        explorer.set_up(
            account.id,
            region,
            aggregator=aggregator,
            default_view=aggregator and account.explorer.default_view,
        )


def _index_instance(
    explorer: ResourceExplorerBackend,
    world: World,
    account: Account,
    region: str,
    instance_id: str,
) -> None:
    ec2 = world.moto("ec2", account.id, region)
    explorer.add(
        _instance_arn(account.id, region, instance_id),
        account=account.id,
        region=region,
        type="ec2:instance",
        tags=lambda: dict(ec2.tags.get(instance_id, {})),
    )


def _instance_arn(account: str, region: str, instance_id: str) -> str:
    return f"arn:aws:ec2:{region}:{account}:instance/{instance_id}"


def _index_of_launches(
    explorer: ResourceExplorerBackend,
) -> tuple[LaunchListener, LaunchListener]:
    """Listeners that keep launched recovery instances in Resource Explorer's index."""

    def launched(
        account: str, region: str, instance_id: str, tags: dict[str, str], at: datetime
    ) -> None:
        explorer.add(
            _instance_arn(account, region, instance_id),
            account=account,
            region=region,
            type="ec2:instance",
            tags=lambda: dict(tags),
            since=at,
        )

    def terminated(
        account: str, region: str, instance_id: str, tags: dict[str, str], at: datetime
    ) -> None:
        explorer.remove(_instance_arn(account, region, instance_id), at)

    return launched, terminated
