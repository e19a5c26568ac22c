"""/healthz and /readyz: a standby is healthy and ready too, since it can take over."""

from __future__ import annotations

from aiohttp import web

from leeward.engine.lease import Lease
from leeward.settings import Settings


class Health:
    """A small HTTP server for the kubelet's probes."""

    def __init__(self, settings: Settings, lease: Lease) -> None:
        self._settings = settings
        self._lease = lease
        self._runner: web.AppRunner | None = None
        self.leading = False
        """Whether the engine runs in this process."""

    async def start(self) -> None:
        """Listen, unless the port is 0."""
        if not self._settings.health_port:
            return
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._healthz)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(
            self._runner, self._settings.health_address, self._settings.health_port
        ).start()

    async def _healthz(self, _: web.Request) -> web.Response:
        role = "leader" if self.leading else "standby"
        return web.json_response({"role": role, "epoch": self._lease.epoch})

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
