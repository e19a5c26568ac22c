"""Free ports on loopback."""

import random
import socket

from leeward_sandbox.cluster.errors import ClusterError

LOOPBACK = "127.0.0.1"
# Below every system's range for outgoing connections: while a server is down for a test, a client
# that tries again from that range could be given the server's own port and connect to itself.
_CANDIDATES = range(20_000, 32_000)
_TRIES = 200


def free_ports(count: int) -> list[int]:
    """`count` different ports of 127.0.0.1 that nothing listens on now."""
    found: list[int] = []
    for port in random.sample(_CANDIDATES, _TRIES):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise ClusterError(f"no {count} free ports found on {LOOPBACK}")
