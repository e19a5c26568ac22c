"""A proxy between one client and the API server: it sees every write, and can stop at one.

For crash tests. What dies between "the request was sent" and "the answer was read" cannot be hit
by time; here a write is named by what it is, and the proxy holds it before it is forwarded, or
after it took effect and before its answer is passed on. From that moment on it holds whatever
else comes as well, so that the world stands still while the client is killed.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import aiohttp
import yaml
from aiohttp import web

from leeward_sandbox.cluster import kubeconfig
from leeward_sandbox.cluster.cluster import Cluster
from leeward_sandbox.cluster.ports import LOOPBACK, free_ports

Side = Literal["before", "after"]

_WRITING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_PATIENCE_SECONDS = 30.0
_SHUTDOWN_SECONDS = 0.25
# What belongs to one connection, and is not passed on to the next (RFC 9110, section 7.6.1).
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "host", "upgrade"})


@dataclass(frozen=True, slots=True)
class Write:
    """A request that changes something; a dry run is none."""

    number: int
    """In order of arrival, from 1."""
    method: str
    resource: str
    """Plural, with the subresource where there is one: `drtasks/status`."""
    namespace: str
    name: str
    """Of the object; empty for a deletion of many, and where a body that is not JSON has it."""
    body: Any
    """As JSON; None where it is none: kubectl, for one, sends protobuf for kinds that it knows."""


@dataclass(eq=False, slots=True)
class Stop:
    """A place at which the proxy is to interfere; made by `ApiProxy.stop_at` and `lose_answers`."""

    wanted: Callable[[Write], bool]
    nth: int
    side: Side
    lost: bool
    """Only the answer is lost, of each n-th write; else the world stands still at the n-th."""
    seen: int = 0
    """Writes so far that are wanted."""
    _reached: threading.Event = field(default_factory=threading.Event)

    @property
    def reached(self) -> bool:
        """Whether the proxy has come to it."""
        return self._reached.is_set()

    def wait(self, timeout: float) -> bool:
        """Whether the proxy comes to it within `timeout` seconds."""
        return self._reached.wait(timeout)

    def hits(self, write: Write) -> bool:
        """Count the write; whether it is the one."""
        if not self.wanted(write):
            return False
        self.seen += 1
        return self.seen % self.nth == 0 if self.lost else self.seen == self.nth

    def reach(self) -> None:
        """Tell whoever waits."""
        self._reached.set()


class ApiProxy:
    """Serves the API of `cluster` on a port of its own while it is open (`with`).

    It has no identity: a client's bearer token is passed on, so users with client certificates
    cannot go through it. Watches stream through. An API server that is away looks the same
    through it: connections end without an answer.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._upstream = cluster.server
        self._ca = cluster.ca_file
        # Its certificate names loopback, whatever the port.
        self._pki = cluster.state_dir / "pki"
        self._port = free_ports(1)[0]
        self._lock = threading.Lock()
        self._stops: list[Stop] = []
        self._writes: list[Write] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="api-proxy", daemon=True
        )
        self._open = AsyncExitStack()
        self._standing: asyncio.Future[bool] | None = None
        """While the world stands still: whether it will go on."""

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._in_loop(self._start())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._in_loop(self._move(on=False))
        self._in_loop(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _in_loop(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE_SECONDS)

    def kubeconfig(self, source: Path, target: Path) -> Path:
        """Write to `target` the kubeconfig `source`, of a user with a token, as through the proxy.

        Returns `target`.
        """
        content = yaml.safe_load(source.read_text())
        kubeconfig.cluster_of(content)["server"] = f"https://{LOOPBACK}:{self._port}"
        return kubeconfig.write(target, content)

    def writes(self, since: int = 0) -> list[Write]:
        """The writes that came after number `since`, in order of arrival."""
        with self._lock:
            return self._writes[since:]

    @contextmanager
    def stop_at(self, wanted: Callable[[Write], bool], nth: int, side: Side) -> Iterator[Stop]:
        """Stand still at the n-th write from now on that is `wanted`.

        `before`: it is not forwarded. `after`: it took effect, its answer is not passed on.
        `drop` and `go_on` end that; the end of the context is a `drop`.
        """
        with self._in_force(Stop(wanted, nth, side, lost=False)) as stop:
            try:
                yield stop
            finally:
                self.drop()

    @contextmanager
    def lose_answers(self, wanted: Callable[[Write], bool], every: int = 1) -> Iterator[Stop]:
        """Lose the answer to each n-th write that is `wanted`; nothing else is held up."""
        with self._in_force(Stop(wanted, every, "after", lost=True)) as stop:
            yield stop

    def drop(self) -> None:
        """Let what is held come to nothing, without an answer; what comes from now on passes."""
        self._in_loop(self._move(on=False))

    def go_on(self) -> None:
        """Let what is held proceed, as if nothing had been."""
        self._in_loop(self._move(on=True))

    @contextmanager
    def _in_force(self, stop: Stop) -> Iterator[Stop]:
        with self._lock:
            self._stops.append(stop)
        try:
            yield stop
        finally:
            with self._lock:
                self._stops.remove(stop)

    async def _move(self, *, on: bool) -> None:
        if self._standing is not None:
            self._standing.set_result(on)
            self._standing = None

    # --- in the proxy's own thread

    async def _start(self) -> None:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(self._pki / "apiserver.crt", self._pki / "apiserver.key")
        client = ssl.create_default_context(cafile=str(self._ca))
        # A connection for each request: aiohttp sends a PUT again, unasked, on a kept one that
        # turns out to be closed.
        session = await self._open.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=client, limit=0, force_close=True),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
            )
        )

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            return await self._handle(session, request)

        # A client that is gone takes its request along, a watch above all.
        served = web.Server(handle, handler_cancellation=True, access_log=None)
        runner = web.ServerRunner(served, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        self._open.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, LOOPBACK, self._port, ssl_context=server).start()

    async def _close(self) -> None:
        await self._open.aclose()
        # aiohttp's TLS connections end a moment after their session has.
        await asyncio.sleep(_SHUTDOWN_SECONDS)

    async def _handle(
        self, session: aiohttp.ClientSession, request: web.BaseRequest
    ) -> web.StreamResponse:
        try:
            return await self._pass(session, request)
        except (_Dropped, aiohttp.ClientError, OSError):
            if request.transport is not None:
                request.transport.abort()
            return web.Response()

    async def _pass(
        self, session: aiohttp.ClientSession, request: web.BaseRequest
    ) -> web.StreamResponse:
        body = await request.content.read()  # read() has a limit below etcd's
        await self._hold_if_standing()
        stop = self._stop_for(request, body)
        if stop is not None and stop.side == "before":
            await self._stand(stop)
        url = f"{self._upstream}{request.path_qs}"
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP}
        async with session.request(
            request.method, url, headers=headers, data=body or None, allow_redirects=False
        ) as answer:
            # That there is an answer means that it took effect, or was refused.
            if stop is not None and stop.side == "after":
                await self._stand(stop)
            return await self._answer(request, answer)

    async def _answer(
        self, request: web.BaseRequest, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, reason=answer.reason)
        for name, value in answer.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                response.headers.add(name, value)
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await self._hold_if_standing()
            await response.write(chunk)
        await response.write_eof()
        return response

    def _stop_for(self, request: web.BaseRequest, body: bytes) -> Stop | None:
        """Keep the request if it is a write; the first stop that it hits."""
        if request.method not in _WRITING or "dryRun" in request.query:
            return None
        with self._lock:
            write = _write(len(self._writes) + 1, request, body)
            self._writes.append(write)
            hit = [stop for stop in self._stops if stop.hits(write)]
            return hit[0] if hit else None

    async def _stand(self, stop: Stop) -> None:
        """Stand still from here on, or let just this answer be lost."""
        if not stop.lost and self._standing is None:
            self._standing = asyncio.get_running_loop().create_future()
        stop.reach()
        if stop.lost:
            raise _Dropped
        await self._hold_if_standing()

    async def _hold_if_standing(self) -> None:
        # Shielded: of those who wait here, a client that gives up must not decide for all.
        if self._standing is not None and not await asyncio.shield(self._standing):
            raise _Dropped


class _Dropped(Exception):  # noqa: N818 - no error: the connection is to end without an answer
    """What was held comes to nothing."""


def _write(number: int, request: web.BaseRequest, body: bytes) -> Write:
    try:
        content = json.loads(body) if body else None
    except ValueError:
        content = None
    # /api/v1/… or /apis/GROUP/VERSION/…, then namespaces/NAME/ where there is one.
    parts = urlsplit(request.path).path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if len(parts) > 2 and parts[0] == "namespaces":
        namespace, parts = parts[1], parts[2:]
    plural, name, *sub = [*parts, ""] if len(parts) < 2 else parts
    if request.method == "POST" and not name and isinstance(content, dict):
        name = str(content.get("metadata", {}).get("name", ""))
    resource = "/".join([plural, *(s for s in sub if s)])
    return Write(number, request.method, resource, namespace, name, content)
