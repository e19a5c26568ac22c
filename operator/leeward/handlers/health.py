"""Whether this replica lives, and whether it is ready: to lead on, or to take over.

Alive is judged by whether the loops turn, not by whether what they ask answers: to start the
process anew mends a loop that hangs, and no API server.
"""

from __future__ import annotations

import asyncio
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from leeward.engine.lease import Lease
from leeward.handlers.wakeups import Supervisors
from leeward.settings import Settings
from leeward_adapters.aws import Aws

CREDENTIALS_EVERY: Final = 30.0
"""Seconds between two looks for the operator's own credentials."""
_CREDENTIALS_TIMEOUT: Final = 20.0
_HANGS: Final = 300.0
"""Seconds after which a loop that did not turn is taken to hang: more than a list of thousands of
objects, or the look for the highest epoch, takes where the API server answers slowly."""


class Health:
    """What the probes are told."""

    def __init__(self, settings: Settings, lease: Lease, aws: Aws) -> None:
        self._settings = settings
        self._lease = lease
        self._aws = aws
        self._credentials = "not looked for yet"
        self.supervisors: Supervisors | None = None
        """Set while the engine runs in this process."""
        self.stopping = False
        """Set once the process is to end."""

    @property
    def role(self) -> str:
        """`leader` or `standby`."""
        return "leader" if self._lease.epoch else "standby"

    def hanging(self) -> list[str]:
        """Loops that do not turn any more; empty: the process lives."""
        if self.stopping:
            return []  # they end one after the other
        ages = {"lease": self._lease.turned_ago}
        if self.supervisors is not None:
            ages |= {f"resync of {k}": s.turned_ago for k, s in self.supervisors.by_kind().items()}
        most = max(_HANGS, 10 * self._settings.resync_interval)
        return [f"{loop}: no turn for {age:.0f} s" for loop, age in ages.items() if age > most]

    def checks(self) -> dict[str, str]:
        """What readiness depends on, by name: what is wrong, or an empty text."""
        return {
            "running": "it is ending" if self.stopping else "",
            "api": self._api(),
            "caches": self._caches(),
            "credentials": self._credentials,
        }

    def _api(self) -> str:
        ago = self._lease.answered_ago
        if ago is None:
            return "the API server has not given the Lease yet"
        if ago > self._settings.lease_duration:
            return f"the API server has not given the Lease for {ago:.0f} s"
        return ""

    def _caches(self) -> str:
        if not self._lease.epoch:
            return ""  # a standby has none; it lists everything when it takes over
        if self.supervisors is None:
            return "taking over"
        most = max(60.0, 10 * self._settings.resync_interval)
        for kind, supervisor in self.supervisors.by_kind().items():
            ago = supervisor.listed_ago
            if ago is None:
                return f"{kind} objects are not listed yet"
            if ago > most:
                return f"{kind} objects were not listed for {ago:.0f} s"
        return ""

    async def look_for_credentials(self) -> None:
        """Look once whether the operator's own credentials can be had."""
        try:
            async with asyncio.timeout(_CREDENTIALS_TIMEOUT):
                await asyncio.to_thread(self._aws.own_credentials)
            self._credentials = ""
        except (BotoCoreError, ClientError) as error:
            self._credentials = str(error)
        except TimeoutError:
            self._credentials = f"their source gave none in {_CREDENTIALS_TIMEOUT:.0f} s"

    async def watch_credentials(self) -> None:
        """Look for them again and again, without end."""
        while True:
            await self.look_for_credentials()
            await asyncio.sleep(CREDENTIALS_EVERY)
