"""A TCP port that must accept connections."""

from __future__ import annotations

import socket
import time
from typing import Final

from leeward_adapters.base import Scope
from leeward_adapters.dependencies.addresses import Addresses, AddressRefusedError
from leeward_adapters.dependencies.contract import Dependency, Verdict

PERMISSIONS: Final[frozenset[str]] = frozenset()
MOST_SECONDS: Final = 20


def check(scope: Scope, dependency: Dependency) -> Verdict:
    """Whether `host:port` accepts a connection; nothing is sent.

    Parameter: `timeout`, seconds for all addresses together, 1 to 20, by default 5.
    """
    host, port = endpoint(dependency.target)
    seconds = dependency.number("timeout", 5, MOST_SECONDS)
    try:
        connect(host, port, seconds, dependency.addresses).close()
    except (OSError, AddressRefusedError) as error:
        return Verdict(False, unreachable(f"{host}:{port}", error))
    return Verdict(True, f"{host}:{port} accepts connections")


def endpoint(target: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[IPv6]:port`.

    Raises:
        ValueError: the target is neither.
    """
    host, _, port = target.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"target '{target}' is not host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


def connect(host: str, port: int, seconds: float, addresses: Addresses) -> socket.socket:
    """A connection to the first address of the host that accepts one.

    `seconds` are for all addresses together, and shared among them. Looking up the name takes as
    long as the machine's resolver gives itself.

    Raises:
        AddressRefusedError: an address of the host may not be connected to.
        OSError: the name has no address, or none accepts in time.
    """
    last: OSError | None = None
    found = addresses.resolve(host, port)
    until = time.monotonic() + seconds
    for tried, address in enumerate(found):
        left = until - time.monotonic()
        if left <= 0:
            break
        try:
            return socket.create_connection((address, port), timeout=left / (len(found) - tried))
        except OSError as error:
            last = error
    raise last or OSError(f"{host} has no address")


def unreachable(what: str, error: Exception) -> str:
    """What is said of an endpoint that cannot be connected to."""
    if isinstance(error, AddressRefusedError):
        return str(error)
    return (
        f"{what} cannot be reached from the operator: {error}. See whether it runs, and whether "
        "the network lets the operator through"
    )
