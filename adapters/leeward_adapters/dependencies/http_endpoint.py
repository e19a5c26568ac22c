"""An HTTP endpoint that must answer."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from leeward_adapters.base import Scope
from leeward_adapters.dependencies import tcp_port
from leeward_adapters.dependencies.addresses import Addresses, AddressRefusedError
from leeward_adapters.dependencies.contract import Dependency, Verdict

PERMISSIONS: Final[frozenset[str]] = frozenset()
_PORTS: Final = {"http": 80, "https": 443}


def check(scope: Scope, dependency: Dependency) -> Verdict:
    """Whether a GET of the URL is answered with the wanted status.

    No redirect is followed, no proxy used, and the answer's body is not read. Parameters: `status`,
    by default 200; `timeout`, seconds for connecting and for the answer together, 1 to 20, by
    default 5.
    """
    url = urlsplit(dependency.target)
    if url.scheme not in _PORTS or not url.hostname or url.username or url.password:
        raise ValueError(f"target '{dependency.target}' is not http(s)://host[:port]/path")
    wanted = dependency.number("status", 200, 599)
    seconds = dependency.number("timeout", 5, tcp_port.MOST_SECONDS)
    port = url.port or _PORTS[url.scheme]
    connection = _Connection(url.hostname, port, seconds, dependency.addresses, url.scheme)
    try:
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        connection.request("GET", path, headers={"User-Agent": "leeward"})
        status = connection.getresponse().status
        if connection.late:  # what was cut off looks like an answer, too
            raise TimeoutError
    except (OSError, AddressRefusedError, http.client.HTTPException) as given:
        error: Exception = given
        if connection.late or isinstance(given, TimeoutError):
            error = TimeoutError(f"no whole answer within {seconds} s")
        return Verdict(False, tcp_port.unreachable(dependency.target, error))
    finally:
        connection.close()
    said = f"{dependency.target} answers {status}"
    if status == wanted:
        return Verdict(True, said)
    return Verdict(False, f"{said}, and {wanted} is wanted: see what is wrong with the endpoint")


class _Connection(http.client.HTTPConnection):
    """Connects to an address that was judged, under the name that was asked for.

    A time-out of the socket begins anew with every byte, so the whole has one of its own.
    """

    def __init__(
        self, host: str, port: int, seconds: float, addresses: Addresses, scheme: str
    ) -> None:
        super().__init__(host, port, timeout=seconds)
        self.late = False
        """Whether the time for the whole ran out."""
        self._seconds = seconds
        self._limit: threading.Timer | None = None
        self._addresses = addresses
        self._tls = ssl.create_default_context() if scheme == "https" else None

    def connect(self) -> None:
        until = time.monotonic() + self._seconds
        self.sock = tcp_port.connect(self.host, self.port, self._seconds, self._addresses)
        self.sock.settimeout(self._seconds)
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(
                self.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
        left = max(until - time.monotonic(), 0)
        self._limit = threading.Timer(left, self._give_up, [self.sock])
        self._limit.daemon = True
        self._limit.start()
        if isinstance(self.sock, ssl.SSLSocket):
            self.sock.do_handshake()

    def close(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
        super().close()

    def _give_up(self, sock: socket.socket) -> None:
        self.late = True
        # The plain socket's: TLS's own takes away what the other thread is working with.
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
