"""The gateway's HTTP server: one loopback port, a thread per connection, keep-alive."""

from __future__ import annotations

import contextlib
import logging
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from leeward_sandbox.aws.control_api import PREFIX, ControlApi
from leeward_sandbox.aws.gateway import Gateway
from leeward_sandbox.aws.wire import HttpRequest, HttpResponse

_log = logging.getLogger(__name__)
LOOPBACK = "127.0.0.1"


class SandboxServer:
    """Serves a gateway and its control API, on loopback unless another address is given.

    Args:
        gateway: what answers.
        port: 0 takes a free one.
        address: nobody is authenticated, so anything but loopback belongs into a pod.
    """

    def __init__(self, gateway: Gateway, port: int = 0, address: str = LOOPBACK) -> None:
        self.gateway = gateway
        self._server = _Server((address, port), gateway)
        self._thread: threading.Thread | None = None

    @property
    def endpoint(self) -> str:
        """The URL to set as AWS_ENDPOINT_URL."""
        host, port = str(self._server.server_address[0]), self._server.server_address[1]
        return f"http://{LOOPBACK if host == '0.0.0.0' else host}:{port}"

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.02},  # how long `close` waits
            name="sandbox-aws",
            daemon=True,
        )
        self._thread.start()

    def close(self) -> None:
        """Let held calls go, end every connection and free the port."""
        self.gateway.faults.close()
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.end_connections()
        self._server.server_close()

    def __enter__(self) -> SandboxServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def __init__(self, address: tuple[str, int], gateway: Gateway) -> None:
        self.gateway = gateway
        self.control = ControlApi(gateway)
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer would ask DNS for the name of the loopback address.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        with self._connections_lock:
            self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._connections_lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        with self._connections_lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.debug("connection from %s ended", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "LeewardSandbox"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1  # one write per answer

    server: _Server

    def _serve(self) -> None:
        request = HttpRequest(
            self.command, self.path, tuple(self.headers.items()), self._read_body()
        )
        response: HttpResponse | None
        if request.path.startswith(PREFIX):
            response = self.server.control.answer(request)
        else:
            response = self.server.gateway.answer(request)
        if response is None:
            self.close_connection = True
            return
        self.send_response(response.status)
        for name, value in response.headers:
            if name.lower() != "content-length":
                self.send_header(name, value)
        length = response.header("content-length") if self.command == "HEAD" else None
        if response.status not in (204, 304):
            self.send_header("Content-Length", length or str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _serve  # noqa: N815

    def _read_body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            length = int(self.headers.get("Content-Length") or 0)
            whole = self.rfile.read(length)
            if len(whole) < length:
                # Its caller died while it sent this: AWS would not act on a part of a request.
                raise ConnectionResetError(f"{len(whole)} of {length} bytes of a request came")
            return whole
        body = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return bytes(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        # A presigned URL has credentials in its query, so requests are not logged; see the record.
        return
