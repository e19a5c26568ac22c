"""What the layers come to for each server: its subnet and address found, contradictions named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Final

from leeward.api.launch import Networking, ServerLaunch
from leeward.planning.launch.launch_settings import Document, Merged, Server, merge
from leeward.planning.problem import Problem
from leeward.planning.wording import clip, some

TARGET_TAG: Final = ("drstarget", "true")
"""Tag of the subnets from which AUTO chooses where no ids are given."""
_RESERVED: Final = 4
"""Addresses at the beginning of every subnet that AWS keeps; a fifth is its last one
(https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html)."""


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet of an account in the recovery Region."""

    id: str
    network: IPv4Network
    target: bool = False
    """Whether it has the tag `drstarget=true`."""

    def reserves(self, address: IPv4Address) -> bool:
        """Whether AWS keeps the address, one of the subnet, for itself."""
        place = int(address) - int(self.network.network_address)
        return place < _RESERVED or place == self.network.num_addresses - 1


Subnets = Sequence[Subnet] | str
"""Subnets of an account, or why they are not known."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """The launch settings of an estate."""

    launches: Mapping[str, ServerLaunch] = field(default_factory=dict)
    """By ARN. A server that is missing here has none, or is in `unresolved`."""
    unresolved: frozenset[str] = frozenset()
    """ARNs of the servers whose settings contradict themselves or the account's subnets."""
    problems: tuple[Problem, ...] = ()


class _Unfit(Exception):  # noqa: N818 - a finding about one server
    pass


def resolve(
    servers: Sequence[Server],
    documents: Sequence[Document],
    subnets: Mapping[str, Subnets],
) -> Resolution:
    """The settings of every server that some document is for.

    `subnets` are those of the recovery Region by account id, or why an account did not say which
    it has: servers whose subnet must be found there stay unresolved then.
    """
    launches: dict[str, ServerLaunch] = {}
    problems: dict[str, Problem] = {}
    for server in servers:
        merged = merge(server, documents)
        try:
            launch = _launch(server, merged, subnets.get(server.account_id, ()))
        except _Unfit as unfit:
            problems[server.arn] = _problem("LaunchSettingsUnfit", server, str(unfit))
            continue
        if launch != ServerLaunch():
            launches[server.arn] = launch
    for arn, problem in _shared(servers, launches):
        problems.setdefault(arn, problem)
        launches.pop(arn, None)
    return Resolution(launches, frozenset(problems), tuple(problems.values()))


def _problem(reason: str, server: Server, what: str) -> Problem:
    name = server.label or min(server.names, default=server.arn)
    return Problem(reason, clip(f"{name} (account {server.account_id}): {what}", 1024))


def _launch(server: Server, merged: Merged, subnets: Subnets) -> ServerLaunch:
    given = merged.settings
    if into := given.launch_into_instance_properties:
        # The instance keeps its own type, network and tags; DRS refuses to copy them onto it.
        return ServerLaunch(
            copy_private_ip=False,
            copy_tags=False,
            os_byol=given.licensing.os_byol if given.licensing else None,
            recovery_mode=given.recovery_mode,
            launch_into_instance=into.instance_id,
        )
    net = given.networking or Networking()
    subnet = _subnet(server, merged, subnets)
    return ServerLaunch(
        copy_private_ip=False if net.private_ip_address else given.copy_private_ip,
        copy_tags=given.copy_tags,
        os_byol=given.licensing.os_byol if given.licensing else None,
        target_instance_type_right_sizing_method=_sizing(merged),
        recovery_mode=given.recovery_mode,
        instance_type=given.instance_type,
        iam_instance_profile=given.iam_instance_profile,
        subnet_id=subnet,
        security_group_ids=net.security_group_ids,
        private_ip_address=net.private_ip_address,
        associate_public_ip_address=net.create_public_ip,
    )


def _sizing(merged: Merged) -> str | None:
    """DRS writes the type that it chooses over the one of the launch template."""
    given = merged.settings
    method = given.target_instance_type_right_sizing_method
    if given.instance_type is None:
        return method
    if method not in {None, "NONE"}:
        raise _Unfit(
            f"{merged.says('instanceType', given.instance_type)} would be replaced by DRS, because "
            f"of {merged.says('targetInstanceTypeRightSizingMethod', method)}; write NONE beside "
            "the type, or take the type out (null)"
        )
    return "NONE"


# --- subnet and address ------------------------------------------------------------------------


def _subnet(server: Server, merged: Merged, subnets: Subnets) -> str | None:
    """The id of the server's subnet; None where no layer says anything about it."""
    given = merged.settings
    net = given.networking or Networking()
    static, copied = net.private_ip_address, bool(given.copy_private_ip)
    if static and copied:
        raise _Unfit(
            f"{merged.says('networking.privateIpAddress', static)} and "
            f"{merged.says('copyPrivateIp', 'true')} contradict each other; take one out"
        )
    ids, selection = net.target_subnet_ids, net.target_subnet_selection
    if selection is None and not ids:
        if static:
            raise _Unfit(
                f"{merged.says('networking.privateIpAddress', static)} needs a subnet; add "
                "networking.targetSubnetIds, or targetSubnetSelection: AUTO"
            )
        return None
    if selection == "MANUAL" and not ids:
        raise _Unfit(
            f"{merged.says('networking.targetSubnetSelection', 'MANUAL')} needs "
            "networking.targetSubnetIds"
        )
    if isinstance(subnets, str):
        raise _Unfit(f"the account does not say which subnets it has: {subnets}")
    candidates = _candidates(ids, subnets, merged)
    exact = selection != "AUTO" and len(candidates) == 1
    if exact and not (static or (copied and server.address)):
        return candidates[0].id
    address = _address(static or server.address)
    found = _holding(address, candidates, merged)
    if (static or copied) and found.reserves(address):
        raise _Unfit(
            f"AWS reserves {address} in {found.id} ({found.network}): the first four addresses "
            "and the last one of a subnet cannot be used; set copyPrivateIp: false or another "
            "networking.privateIpAddress"
        )
    return found.id


def _candidates(
    ids: Sequence[str] | None, subnets: Sequence[Subnet], merged: Merged
) -> list[Subnet]:
    if not ids:
        tagged = [s for s in subnets if s.target]
        if not tagged:
            raise _Unfit(
                f"{merged.says('networking.targetSubnetSelection', 'AUTO')} finds no subnet "
                "tagged drstarget=true in the recovery Region; tag some, or name them in "
                "networking.targetSubnetIds"
            )
        return tagged
    known = {s.id: s for s in subnets}
    if missing := [i for i in ids if i not in known]:
        raise _Unfit(
            f"{merged.says('networking.targetSubnetIds', some(missing))}: there is no such "
            "subnet in the account in the recovery Region; correct the id, or put it into "
            "settings for the account that it is in"
        )
    return [known[i] for i in ids]


def _address(text: str) -> IPv4Address:
    if not text:
        raise _Unfit(
            "DRS does not say which address it has at the source, so no subnet can be chosen by "
            "it; name one subnet in networking.targetSubnetIds"
        )
    try:
        return IPv4Address(text)
    except AddressValueError:
        raise _Unfit(f"{text} is no IPv4 address") from None


def _holding(address: IPv4Address, candidates: Sequence[Subnet], merged: Merged) -> Subnet:
    """The candidate whose range holds the address."""
    holding = sorted({s for s in candidates if address in s.network}, key=lambda s: s.id)
    if len(holding) == 1:
        return holding[0]
    where = some([f"{s.id} ({s.network})" for s in holding or candidates])
    if holding:
        raise _Unfit(
            f"{address} lies in more than one subnet: {where}; name one in "
            "networking.targetSubnetIds"
        )
    source = merged.sources.get(
        "networking.targetSubnetIds", merged.sources.get("networking.targetSubnetSelection", "")
    )
    raise _Unfit(
        f"{address} lies in none of the subnets {where} ({source}); name the subnet for this "
        "server, with copyPrivateIp: false, or give it a networking.privateIpAddress there"
    )


# --- what only one server can have -------------------------------------------------------------


def _shared(
    servers: Sequence[Server], launches: Mapping[str, ServerLaunch]
) -> Iterator[tuple[str, Problem]]:
    """Servers that would get the address, or be launched into the instance, of another one."""
    owners: dict[tuple[str, str], list[Server]] = {}
    for server in servers:
        launch = launches.get(server.arn)
        if launch is None:
            continue
        if launch.launch_into_instance:
            owners.setdefault((server.account_id, launch.launch_into_instance), []).append(server)
        address = launch.private_ip_address or (server.address if launch.copy_private_ip else "")
        if address and launch.subnet_id:
            place = f"{address} in {launch.subnet_id}"
            owners.setdefault((server.account_id, place), []).append(server)
    for (_, what), same in owners.items():
        names = some([s.label or s.arn for s in same])
        for server in same if len(same) > 1 else ():
            yield (
                server.arn,
                _problem(
                    "LaunchSettingsUnfit", server, f"{what} is for {len(same)} servers: {names}"
                ),
            )
