"""Leadership: one operator acts at a time, proved by a Lease that only a compare-and-set changes.

Why it is our own: kopf's peering is no lock, and the client library's election neither fences nor
ends a leader that can't reach the API server. Here

* validity counts from before the renewal was sent, on a clock that also runs while the machine
  sleeps, and another holder's Lease is judged by how long *we* saw it unchanged;
* a thread ends the process when validity runs out, even if the event loop is stuck;
* each leadership has an epoch, greater than all before, which every record carries.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from leeward.engine.clock import elapsed
from leeward.engine.kube import ApiError, ApiUnavailable, Kube, Object
from leeward.planning.times import parse_time

log = logging.getLogger(__name__)

FENCED_EXIT = 75
"""Exit status of a process that ended itself because its Lease ran out (EX_TEMPFAIL)."""


class Lease:
    """A coordination.k8s.io/v1 Lease; durations in seconds. Who leads writes `annotations` on it.

    `now` is the clock by which `since` is given, and by which intents are timed: no validity
    depends on it.
    """

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        name: str,
        identity: str,
        *,
        duration: float,
        now: Callable[[], datetime],
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        self._kube = kube
        self._base = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._path = f"{self._base}/{name}"
        self._name = name
        self._identity = identity
        self._duration = duration
        self._now = now
        self._annotations = dict(annotations or {})
        self._every = duration / 7.5
        self._margin = duration / 5
        self._valid_until = 0.0
        self._turned = elapsed()
        self._answered: float | None = None
        self._seen: tuple[str, float] = ("", 0.0)
        self._renewal: asyncio.Task[None] | None = None
        self.epoch = 0
        """Epoch of this leadership; 0 while not leading."""
        self.since = now()
        """When this leadership began."""
        self.left: datetime | None = None
        """The last sign of life of the one before, if that one did not give the Lease up."""

    @property
    def turned_ago(self) -> float:
        """Seconds since the loop that takes or renews the Lease last began a turn."""
        return elapsed() - self._turned

    @property
    def answered_ago(self) -> float | None:
        """Seconds since the API server last gave the Lease; None: it never did."""
        return None if self._answered is None else elapsed() - self._answered

    def assert_valid(self) -> None:
        """End the process unless the Lease is still ours: called right before every effect."""
        if self.epoch == 0 or elapsed() >= self._valid_until - self._margin:
            self.fence("the Lease was not valid right before an effect")

    def fence(self, why: str) -> None:
        """End the process at once; nothing more may be written by it."""
        os.write(2, f"leeward: {self._identity} ends itself: {why}\n".encode())
        os._exit(FENCED_EXIT)

    async def acquire(self, highest_epoch: Callable[[], Awaitable[int]]) -> None:
        """Wait until this process leads, then keep the Lease renewed.

        `highest_epoch` gives the highest epoch on any live object: the new one is greater than
        both that and the Lease's own, so that a lost Lease can't lock the operator out.
        """
        while not await self._tried(highest_epoch):  # noqa: ASYNC110 - the API has no event
            await asyncio.sleep(self._every)
        self.since = self._now()
        log.info("leading as %s, epoch %d", self._identity, self.epoch)
        threading.Thread(target=self._watchdog, name="lease-watchdog", daemon=True).start()
        self._renewal = asyncio.create_task(self._renew(), name="lease-renewal")

    async def _tried(self, highest_epoch: Callable[[], Awaitable[int]]) -> bool:
        """Take the Lease if it is free; False when somebody else holds it."""
        self._turned = elapsed()
        try:
            lease = await self._read()
            if self._is_held(lease):
                return False
            # Only now: a standby must not list everything at each look at the Lease.
            floor = max(_epoch(lease), await highest_epoch())
            left = _left(lease)
            await self._write(lease, floor + 1)
            self.left = left
        except (ApiError, ApiUnavailable) as error:
            log.warning("cannot take the Lease yet: %s", error)
            return False
        return True

    def _is_held(self, lease: Object) -> bool:
        """Whether another process may still believe that it leads."""
        spec, version = lease.get("spec", {}), lease["metadata"]["resourceVersion"]
        if spec.get("holderIdentity", "") in ("", self._identity):
            return False
        if self._seen[0] != version:
            self._seen = (version, elapsed())
        return elapsed() - self._seen[1] < float(spec.get("leaseDurationSeconds", self._duration))

    async def _write(self, lease: Object, epoch: int) -> None:
        """Hold the Lease for another `duration`, counted from before the request is sent."""
        before = elapsed()
        now = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = lease.get("spec", {}) | {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._duration)),
            "renewTime": now,
            "leaseTransitions": epoch,
        }
        if not self.epoch:
            spec["acquireTime"] = now
        metadata = lease["metadata"]
        metadata |= {"annotations": (metadata.get("annotations") or {}) | self._annotations}
        await self._kube.replace(self._path, lease | {"metadata": metadata, "spec": spec})
        self.epoch = epoch
        self._valid_until = before + self._duration

    async def _read(self) -> Object:
        lease = await self._found()
        self._answered = elapsed()
        return lease

    async def _found(self) -> Object:
        """The Lease, made if there is none."""
        try:
            return await self._kube.get(self._path)
        except ApiError as error:
            if error.status != 404:
                raise
        return await self._kube.create(
            self._base,
            {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._name},
                "spec": {"leaseDurationSeconds": max(1, round(self._duration))},
            },
        )

    def _watchdog(self) -> None:
        while self.epoch:
            if elapsed() >= self._valid_until - self._margin:
                self.fence("the Lease could not be renewed in time")
            time.sleep(min(0.2, self._margin / 4))

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            self._turned = elapsed()
            try:
                # Shorter than the validity: one connection that hangs must not cost the Lease.
                async with asyncio.timeout(self._duration / 3):
                    lease = await self._read()
                    self._fence_if_lost(lease)
                    await self._write(lease, self.epoch)
            except (ApiError, ApiUnavailable, TimeoutError) as error:
                log.warning("cannot renew the Lease yet: %s", error or "no answer in time")

    def _fence_if_lost(self, lease: Object) -> None:
        if lease.get("spec", {}).get("holderIdentity", "") not in ("", self._identity):
            self.fence("another operator holds the Lease")
        if _epoch(lease) > self.epoch:
            self.fence(f"the Lease is at epoch {_epoch(lease)}, this process at {self.epoch}")

    async def release(self) -> None:
        """Give the Lease up, so that a standby takes over at once."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])
        led, self.epoch = self.epoch, 0
        if not led:
            return
        try:
            lease = await self._kube.get(self._path)
            ours = lease.get("spec", {}).get("holderIdentity") == self._identity
            if ours and _epoch(lease) == led:
                spec = lease["spec"] | {"holderIdentity": ""}
                await self._kube.replace(self._path, lease | {"spec": spec})
        except (ApiError, ApiUnavailable) as error:
            log.warning("the Lease stays until it runs out: %s", error)


def _left(lease: Object) -> datetime | None:
    spec = lease.get("spec", {})
    held, renewed = spec.get("holderIdentity"), spec.get("renewTime")
    return parse_time(renewed) if held and renewed else None


def _epoch(lease: Object) -> int:
    return int(lease.get("spec", {}).get("leaseTransitions") or 0)
