"""The VPCs of an account: one per Region, and one for drills in the recovery Region."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any

from leeward_sandbox.aws.backend import World
from leeward_sandbox.aws.estates.identifiers import drawn_from
from leeward_sandbox.aws.estates.model import Account, Estate, Tags

ZONES = ("a", "b", "c")


@dataclass(slots=True)
class SeededVpc:
    """A VPC with its subnets by name ("app-a", …, "staging", "drill-a", …) and one group."""

    id: str
    region: str
    subnets: dict[str, str] = field(default_factory=dict)
    security_group: str = ""

    def application_subnets(self) -> list[str]:
        """The subnets that servers are put into, by zone."""
        return [subnet for name, subnet in self.subnets.items() if name != "staging"]


@dataclass(slots=True)
class SeededNetwork:
    """The VPCs of an account."""

    primary: SeededVpc
    recovery: SeededVpc
    drill: SeededVpc | None = None


def seed_network(estate: Estate, account: Account, world: World) -> SeededNetwork | None:
    """Make the account's VPCs in moto; None where the account has no network."""
    wanted = account.network
    if wanted is None:
        return None
    regions = estate.regions
    builder = _Builder(estate, account, world)
    network = SeededNetwork(
        primary=builder.vpc(regions.primary, wanted.primary_cidr, "app", "Production"),
        recovery=builder.vpc(regions.recovery, wanted.recovery_cidr, "app", "Recovery"),
    )
    for name in wanted.full:
        builder.fill(network.recovery, name)
    if wanted.drill_cidr:
        network.drill = builder.vpc(regions.recovery, wanted.drill_cidr, "drill", "Drill")
    return network


class _Builder:
    def __init__(self, estate: Estate, account: Account, world: World) -> None:
        self._estate, self._account, self._world = estate, account, world

    def vpc(self, region: str, cidr: str, kind: str, purpose: str) -> SeededVpc:
        """A VPC with its subnets and a security group, all tagged with their purpose."""
        ec2 = self._world.moto("ec2", self._account.id, region)
        name = f"{self._account.name}-{kind}"
        with self._identifiers(region, kind, "vpc"):
            vpc = ec2.create_vpc(cidr, tags=_pairs(self._tags(name, purpose)))
        seeded = SeededVpc(vpc.id, region)
        ranges = ipaddress.ip_network(cidr).subnets(prefixlen_diff=4)
        names = [f"{kind}-{zone}" for zone in ZONES]
        if purpose == "Recovery":
            names.append("staging")
        for subnet_name in names:
            with self._identifiers(region, kind, subnet_name):
                zone = subnet_name[-1] if subnet_name[-1] in ZONES else "a"
                subnet = ec2.create_subnet(
                    vpc.id, str(next(ranges)), availability_zone=f"{region}{zone}"
                )
            ec2.create_tags([subnet.id], self._tags(f"{self._account.name}-{subnet_name}", purpose))
            seeded.subnets[subnet_name] = subnet.id
        seeded.security_group = self._security_group(ec2, seeded, name, cidr, purpose)
        return seeded

    def fill(self, vpc: SeededVpc, name: str) -> None:
        """Leave the subnet no address to give."""
        ec2 = self._world.moto("ec2", self._account.id, vpc.region)
        ec2.get_subnet(vpc.subnets[name])._available_ip_addresses = 0

    def _security_group(self, ec2: Any, vpc: SeededVpc, name: str, cidr: str, purpose: str) -> str:
        with self._identifiers(vpc.region, name, "security-group"):
            group = ec2.create_security_group(
                name, f"{purpose} servers", vpc.id, tags=self._tags(name, purpose)
            )
            ec2.authorize_security_group_ingress(
                group.id, "-1", None, None, [{"CidrIp": cidr}], vpc_id=vpc.id
            )
        return str(group.id)

    def _identifiers(self, *parts: str) -> Any:
        return drawn_from(self._estate.seed, self._account.id, *parts)

    def _tags(self, name: str, purpose: str) -> Tags:
        return {"Name": name, "Purpose": purpose}


def _pairs(tags: Tags) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
