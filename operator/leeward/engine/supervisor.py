"""One asyncio task per live object. kopf's events and a periodic LIST only wake it.

Knows nothing of kopf, nor of what a pass does: a pass is a function from a key to the seconds
after which to run it again, or None when the object needs nothing more.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple

from leeward.engine.clock import elapsed
from leeward.engine.kube import ApiError, ApiUnavailable, Kube, Object
from leeward.logs import about
from leeward_adapters.observers import isolated

log = logging.getLogger(__name__)


class Key(NamedTuple):
    """Identity of one object."""

    uid: str
    namespace: str
    name: str


def key_of(body: Object) -> Key:
    """Key of an object as the API server gives it."""
    metadata = body["metadata"]
    return Key(metadata["uid"], metadata.get("namespace", ""), metadata["name"])


def version(body: Object) -> object:
    """What is new whenever anything of the object is."""
    return body["metadata"]["resourceVersion"]


def asked(body: Object) -> object:
    """What is new when somebody asked something of an object: not when its own pass wrote it.

    Passes know by themselves when to look again. Of a status others write only `cancelling`, as a
    run does that takes another one's place, and the `history` of a plan, as a run does that ends.
    """
    metadata, status = body["metadata"], body.get("status") or {}
    kept = {key: value for key, value in metadata.items() if key not in _WITH_EVERY_WRITE}
    newest = next((run["uid"] for run in reversed(status.get("history") or ())), "")
    return kept, status.get("cancelling", False), newest


_WITH_EVERY_WRITE = frozenset({"resourceVersion", "managedFields"})

Pass = Callable[[Key], Awaitable[float | None]]
PassOutcome = Literal["Ok", "Conflict", "Unavailable", "Refused", "Error"]
"""`Conflict`: the object moved on. `Unavailable`: the API server did not answer. `Refused`: it
refused a request. `Error`: a mistake of ours."""


class Supervisor:
    """Runs passes over the objects of one kind.

    Args:
        kube: where they are listed.
        path: of their list.
        run: one pass.
        needs: whether an object needs passes.
        resync: seconds between two lists.
        selector: of labels; objects that it does not match are as if they were not there.
        news: what of an object must differ from when it was last seen for it to be woken.
        told: is told what came of each pass, and how many seconds it took.
        subject: what log lines of a pass call its object, see `leeward.logs.about`.
        saw: is shown each object that a watch or a list shows, before its pass.
        gone: is told of each that is no longer there.
    """

    def __init__(
        self,
        kube: Kube,
        path: str,
        run: Pass,
        needs: Callable[[Object], bool],
        *,
        resync: float,
        selector: str | None = None,
        news: Callable[[Object], object] = version,
        told: Callable[[PassOutcome, float], None] = lambda _outcome, _seconds: None,
        subject: str = "object",
        saw: Callable[[Object], None] = lambda _body: None,
        gone: Callable[[Key], None] = lambda _key: None,
    ) -> None:
        self._kube = kube
        self._path = path
        self._run_pass = run
        self._needs = needs
        self._interval = resync
        self._selector = selector
        self._news = news
        self._told = isolated(told)
        self._subject = subject
        self._saw = saw
        self._gone = gone
        self._turned = elapsed()
        self._listed: float | None = None
        self._seen: dict[Key, object] = {}
        self._at_rest: dict[Key, object] = {}
        """Versions of objects that needed no pass when they were looked at."""
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._wakes: dict[Key, asyncio.Event] = {}
        self._closing = False

    @property
    def uids(self) -> frozenset[str]:
        """Uids of the objects that get passes."""
        return frozenset(key.uid for key in self._tasks)

    @property
    def turned_ago(self) -> float:
        """Seconds since the loop that lists all objects last began a turn, whatever came of it."""
        return elapsed() - self._turned

    @property
    def listed_ago(self) -> float | None:
        """Seconds since all objects were last listed; None: they never were."""
        return None if self._listed is None else elapsed() - self._listed

    def notify(self, body: Object, *, deleted: bool = False) -> None:
        """An object was seen: wake its task if there is news, or start one if it needs passes."""
        if self._closing:
            return
        key = key_of(body)
        if deleted:
            self._drop(key)
            return
        self._saw(body)
        if key in self._tasks:
            if (news := self._news(body)) != self._seen[key]:
                self._seen[key] = news
                self._wakes[key].set()
        elif self._at_rest.get(key) == version(body):
            return
        elif self._wanted(body):
            self._at_rest.pop(key, None)
            self._seen[key] = self._news(body)
            self._wakes[key] = asyncio.Event()
            self._tasks[key] = asyncio.create_task(self._loop(key), name=f"run {key.name}")
        else:
            self._at_rest[key] = version(body)

    def _wanted(self, body: Object) -> bool:
        """Whether it needs passes; what cannot be judged does: its pass says why it fails."""
        try:
            return self._needs(body)
        except ValueError:
            return True

    def wake(self, namespace: str, name: str) -> None:
        """Something happened that concerns the object of that name."""
        for key, wake in self._wakes.items():
            if (key.namespace, key.name) == (namespace, name):
                wake.set()

    def wake_all(self) -> None:
        """Something happened that may concern every object."""
        for wake in self._wakes.values():
            wake.set()

    def _drop(self, key: Key) -> None:
        self._forget(key)
        self._gone(key)
        task = self._tasks.pop(key, None)
        if task is not None:
            task.cancel()

    async def _loop(self, key: Key) -> None:
        with about(namespace=key.namespace, **{self._subject: key.name}):
            await self._passes(key)
        self._tasks.pop(key, None)
        self._forget(key)

    async def _passes(self, key: Key) -> None:
        wake, failures = self._wakes[key], 0
        while not self._closing:
            wake.clear()  # before the state is read: what happens later sets it again
            began = elapsed()
            outcome, delay = await self._try(key)
            self._told(outcome, elapsed() - began)
            failures = 0 if outcome == "Ok" else failures + 1
            if failures:
                delay = _backoff(failures)
            if delay is None:
                break
            try:
                await asyncio.wait_for(wake.wait(), delay)
            except TimeoutError:
                continue

    async def _try(self, key: Key) -> tuple[PassOutcome, float | None]:
        """One pass; what came of it, and if it did well, when to run the next."""
        try:
            return "Ok", await self._run_pass(key)
        except ApiUnavailable as error:
            log.warning("%s/%s: %s", key.namespace, key.name, error)
            return "Unavailable", None
        except ApiError as error:
            if error.status == 409:  # the object moved on: read and decide again
                return "Conflict", None
            log.warning("%s/%s: %s", key.namespace, key.name, error)
            return "Refused", None
        except Exception:
            log.exception("%s/%s: pass failed, trying again", key.namespace, key.name)
            return "Error", None

    def _forget(self, key: Key) -> None:
        self._wakes.pop(key, None)
        self._seen.pop(key, None)

    async def resync_forever(self) -> None:
        """LIST again and again: a watch may miss events, and deletions while it was down.

        What is as it was last seen is left alone: a pass over a run asks AWS, and a hub may hold
        thousands of runs that have ended. So after the first time only metadata is listed.
        """
        whole = True
        while True:
            self._turned = elapsed()
            try:
                await self._resync(whole=whole)
                whole, self._listed = False, elapsed()
            except (ApiError, ApiUnavailable) as error:
                log.warning("cannot list %s: %s", self._path, error)
            await asyncio.sleep(self._interval)

    async def _resync(self, *, whole: bool) -> None:
        before = set(self._tasks)  # what is created meanwhile may not be listed
        listed = set()
        async for body in self._kube.each(self._path, selector=self._selector, whole=whole):
            await asyncio.sleep(0)  # looking at thousands takes seconds; the Lease is to be kept
            listed.add(key := key_of(body))
            if whole or key in self._tasks or self._at_rest.get(key) == version(body):
                self.notify(body)
            else:
                await self._look_up(key)
        for gone in before - listed:
            self._drop(gone)
        self._at_rest = {key: seen for key, seen in self._at_rest.items() if key in listed}

    async def _look_up(self, key: Key) -> None:
        """See an object that no watch told of, or that its watch told of late."""
        try:
            body = await self._kube.get(self._place(key))
        except ApiError as error:
            if error.status != 404:
                raise
        else:
            self.notify(body)

    def _place(self, key: Key) -> str:
        """Path of an object, whether all namespaces are listed or one."""
        above, _, plural = self._path.rpartition("/")
        if key.namespace and "/namespaces/" not in above:
            above += f"/namespaces/{key.namespace}"
        return f"{above}/{plural}/{key.name}"

    async def stop(self, grace: float) -> None:
        """Start nothing more and let running passes end, for `grace` seconds at most.

        A pass that is cut off leaves an intent without an answer, which the next leader looks up.
        """
        self._closing = True
        self.wake_all()
        if not (tasks := list(self._tasks.values())):
            return
        _, late = await asyncio.wait(tasks, timeout=grace)
        for task in late:
            task.cancel()


def _backoff(failures: int) -> float:
    """Seconds to wait after the n-th failure in a row: at most 10, with jitter."""
    return float(min(10.0, 0.1 * 2 ** min(failures, 7))) * random.uniform(0.5, 1.0)
