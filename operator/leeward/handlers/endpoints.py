"""/healthz, /readyz and /metrics, on one port."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib.metadata import version

from aiohttp import web

from leeward.engine.context import Context
from leeward.handlers.health import Health
from leeward.metrics import definitions, process
from leeward.metrics.estate import Sample
from leeward.metrics.metering import Metering

TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"


class Endpoints:
    """A small HTTP server for the kubelet's probes and for Prometheus."""

    def __init__(self, context: Context, health: Health, metering: Metering) -> None:
        self._c = context
        self._health = health
        self._meters = metering.meters
        self._sight = metering.sight
        self._runner: web.AppRunner | None = None
        self._rendering = asyncio.Lock()

    async def start(self) -> None:
        """Listen, unless the port is 0."""
        settings = self._c.settings
        if not settings.health_port:
            return
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, settings.health_address, settings.health_port).start()

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        hanging = self._health.hanging()
        body = {"role": self._health.role, "hanging": hanging}
        return web.json_response(body, status=503 if hanging else 200)

    async def _readyz(self, _: web.Request) -> web.Response:
        checks = self._health.checks()
        body = {
            "role": self._health.role,
            "epoch": self._c.lease.epoch,
            "checks": {name: problem or "ok" for name, problem in checks.items()},
        }
        return web.json_response(body, status=503 if any(checks.values()) else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        async with self._rendering:
            gauges = [*self._of_process(), *await self._of_objects()]
            # Thousands of lines take a while, in which the Lease must be renewed.
            body = await asyncio.to_thread(self._meters.render, gauges)
        return web.Response(body=body, headers={"Content-Type": TEXT_FORMAT})

    async def _of_objects(self) -> list[Sample]:
        """What only a leader sees."""
        supervisors, sight = self._health.supervisors, self._sight
        if supervisors is None:
            return []
        return [
            *process.of_supervisors(supervisors.by_kind(), self._c.now()),
            *sight.runs.samples(supervisors.runs.uids),
            *await sight.plans.samples(supervisors.plans.uids),
            *await sight.accounts.samples(supervisors.accounts.uids),
            *await sight.schedules.samples(supervisors.schedules.uids),
        ]

    def _of_process(self) -> Iterator[Sample]:
        c = self._c
        yield Sample(definitions.BUILD, (version("leeward"), c.settings.hub), 1)
        yield from process.of_lease(c.lease)
        yield from process.of_pool("aws", c.pool)
        yield from process.of_pool("check", c.checks)
        yield from process.of_aws(c.aws)
        for name, problem in self._health.checks().items():
            yield Sample(definitions.CHECK, (name,), not problem)
