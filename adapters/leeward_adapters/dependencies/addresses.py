"""Which addresses a check may connect to.

A plan is written by a tenant, and the operator stands where tenants do not: beside the credentials
of its pod, the metadata of its machine and whatever listens on it. So a name is resolved first,
each of its addresses is judged, and what was judged is what is connected to.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_REFUSED: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",  # EC2's instance metadata, the credentials of ECS and EKS
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",  # none, loopback, and IPv4 addresses in the form that is out of use
        "::ffff:0:0:0/96",  # IPv4 addresses as translated (RFC 2765)
        "fe80::/10",
        "fec0::/10",  # what link-local was to sites
        "ff00::/8",
        "fd00:ec2::/32",  # the same of AWS, by IPv6
        "64:ff9b::/96",  # reaches any IPv4 address through NAT64
        "64:ff9b:1::/48",  # the same with a prefix of one's own
        "2001::/32",  # through Teredo
        "2002::/16",  # through 6to4
    )
)


class AddressRefusedError(Exception):
    """The host has an address that checks may not connect to."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """The rule for addresses. Loopback, link-local and reserved ones are refused by default."""

    allowed: tuple[Network, ...] = ()
    """Networks that may be connected to whatever else is said."""
    denied: tuple[Network, ...] = ()
    """Further networks that may not, such as the cluster's pods and services."""
    never: tuple[str, ...] = ()
    """Hosts that may not, whatever is allowed: that of the operator's own control plane."""

    def permits(self, address: Address) -> bool:
        """Whether a check may connect to the address."""
        real = _real(address)
        if any(_within(real, network) for network in self.allowed):
            return True
        return not any(_within(real, network) for network in (*_REFUSED, *self.denied))

    def resolve(self, host: str, port: int) -> list[str]:
        """Addresses of the host, each permitted.

        Raises:
            AddressRefusedError: one of them is not.
            OSError: the name has none.
        """
        found = _looked_up(host, port)
        never = self._never(port)
        refused = [str(a) for a in found if not self.permits(a) or _real(a) in never]
        if refused:
            raise AddressRefusedError(
                f"{host} is {', '.join(refused)}, which checks may not connect to (loopback, "
                "link-local and reserved addresses, the cluster's control plane, and those of "
                "LEEWARD_CHECK_DENIED_NETWORKS): "
                "name the dependency's own address, or have the platform administrators add it "
                "to LEEWARD_CHECK_ALLOWED_NETWORKS"
            )
        return [str(address) for address in found]

    def _never(self, port: int) -> set[Address]:
        found: set[Address] = set()
        for host in self.never:
            # One that has no address now cannot be reached either.
            with suppress(OSError):
                found.update(_real(address) for address in _looked_up(host, port))
        return found


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks in CIDR notation.

    Raises:
        ValueError: one is not.
    """
    return tuple(ipaddress.ip_network(text.strip()) for text in texts if text.strip())


def _looked_up(host: str, port: int) -> list[Address]:
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    texts = dict.fromkeys(str(answer[4][0]).partition("%")[0] for answer in answers)
    return [ipaddress.ip_address(text) for text in texts]


def _real(address: Address) -> Address:
    """The IPv4 address where it is written as one of IPv6."""
    return getattr(address, "ipv4_mapped", None) or address


def _within(address: Address, network: Network) -> bool:
    return address.version == network.version and address in network
