"""kopf's part: watches, and wakes the supervisors. Each handler is a few lines.

kopf writes nothing on our objects: only `on.event` is used, and its storages are no-ops.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import kopf

from leeward.api.account import TargetAccount
from leeward.api.common import GROUP, VERSION
from leeward.api.conditions import Type
from leeward.api.execution import DRExecution
from leeward.api.plan import RecoveryPlan
from leeward.api.schedule import SCHEDULE_LABEL, DRSchedule
from leeward.api.task import DRTask
from leeward.engine.kube import Kube
from leeward.engine.objects import LIVE_LABEL, NOT_ENDED
from leeward.engine.supervisor import Supervisor
from leeward.handlers.storages import NoDiffBase, NoProgress
from leeward.metrics.sight import Sight
from leeward.tracing.sight import Sight as Traced
from leeward_adapters.observers import isolated


@dataclass(frozen=True, slots=True)
class Supervisors:
    """The supervisors of the kinds that get passes."""

    runs: Supervisor
    plans: Supervisor
    accounts: Supervisor
    schedules: Supervisor

    def all(self) -> tuple[Supervisor, ...]:
        """All of them."""
        return self.runs, self.plans, self.accounts, self.schedules

    def by_kind(self) -> dict[str, Supervisor]:
        """All of them, by kind."""
        kinds = (DRExecution.KIND, RecoveryPlan.KIND, TargetAccount.KIND, DRSchedule.KIND)
        return dict(zip(kinds, self.all(), strict=True))


class Forever:
    """Pauses between tries, without end: an API server that is away must not end the operator."""

    def __iter__(self) -> Iterator[float]:
        """Seconds: short at first, then ten."""
        yield from (0.5, 1, 2, 3, 5)
        while True:
            yield 10


def kopf_settings() -> kopf.OperatorSettings:
    """kopf with nothing of its own on: no peering, no events, no scanning, endless retries."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = NoProgress()
    settings.networking.error_backoffs = Forever()
    settings.networking.request_timeout = 20
    settings.networking.connect_timeout = 5
    settings.watching.server_timeout = 300
    settings.watching.connect_timeout = 5
    settings.watching.inactivity_timeout = 35
    # What has ended stays for years, and a watch brings whole objects.
    settings.watching.label_selectors[GROUP, DRExecution.PLURAL] = NOT_ENDED
    settings.watching.label_selectors[GROUP, DRTask.PLURAL] = LIVE_LABEL
    settings.process.ultimate_exiting_timeout = None
    settings.execution.max_workers = 1
    return settings


def registry_of(
    supervisors: Supervisors,
    kube: Kube,
    sight: Sight,
    traced: Traced | None,
    grace: float,
    ending: Callable[[], None],
) -> kopf.OperatorRegistry:
    """The handlers. `ending` is called as soon as the process is to end; `traced`: who traces."""
    registry = kopf.OperatorRegistry()
    logins = Logins(kube)

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return await logins.session()

    _on_runs(registry, supervisors, sight, traced)
    _on_estate(registry, supervisors, sight)
    _on_schedules(registry, supervisors, sight)

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: Any) -> None:
        ending()
        await asyncio.gather(*(s.stop(grace) for s in supervisors.all()))

    return registry


def _on_runs(
    registry: kopf.OperatorRegistry, supervisors: Supervisors, sight: Sight, traced: Traced | None
) -> None:
    """What is done when executions and their tasks are seen."""
    ends = News(ended)
    saw_run = isolated(sight.runs.saw)
    trace_run = isolated(traced.execution) if traced else None
    trace_task = isolated(traced.task) if traced else None

    @kopf.on.event(GROUP, VERSION, DRExecution.PLURAL, registry=registry)
    async def execution_seen(event: Any, **_: Any) -> None:
        supervisors.runs.notify(event["object"], deleted=event["type"] == "DELETED")
        scheduled = (event["object"]["metadata"].get("labels") or {}).get(SCHEDULE_LABEL)
        if scheduled and ends.has(event):
            supervisors.schedules.wake(event["object"]["metadata"]["namespace"], scheduled)
        saw_run(event["object"], kind=event["type"])
        if trace_run is not None:
            trace_run(event["object"], deleted=event["type"] == "DELETED")

    @kopf.on.event(GROUP, VERSION, DRTask.PLURAL, registry=registry)
    async def task_seen(event: Any, **_: Any) -> None:
        body = event["object"]
        owner = body.get("spec", {}).get("executionRef", {}).get("name", "")
        deleted = event["type"] == "DELETED"
        if deleted or _has_command(body):
            supervisors.runs.wake(body["metadata"].get("namespace", ""), owner)
        if trace_task is not None and not deleted:
            trace_task(body)


def _on_estate(registry: kopf.OperatorRegistry, supervisors: Supervisors, sight: Sight) -> None:
    """What is done when plans and accounts are seen."""
    plans, accounts = News(asked_of_accounts), News(asked_of_plans)
    saw_plan, saw_account = isolated(sight.plan), isolated(sight.accounts.saw)

    @kopf.on.event(GROUP, VERSION, RecoveryPlan.PLURAL, registry=registry)
    async def plan_seen(event: Any, **_: Any) -> None:
        supervisors.plans.notify(event["object"], deleted=event["type"] == "DELETED")
        if plans.has(event):
            supervisors.accounts.wake_all()  # they look at what their plans need
            supervisors.schedules.wake_all()  # one of them may have waited for it
        saw_plan(event["object"], deleted=event["type"] == "DELETED")

    @kopf.on.event(GROUP, VERSION, TargetAccount.PLURAL, registry=registry)
    async def account_seen(event: Any, **_: Any) -> None:
        supervisors.accounts.notify(event["object"], deleted=event["type"] == "DELETED")
        if accounts.has(event):
            supervisors.plans.wake_all()
        saw_account(event["object"], deleted=event["type"] == "DELETED")


def _on_schedules(registry: kopf.OperatorRegistry, supervisors: Supervisors, sight: Sight) -> None:
    """What is done when schedules are seen."""
    saw_schedule = isolated(sight.schedules.saw)

    @kopf.on.event(GROUP, VERSION, DRSchedule.PLURAL, registry=registry)
    async def schedule_seen(event: Any, **_: Any) -> None:
        supervisors.schedules.notify(event["object"], deleted=event["type"] == "DELETED")
        saw_schedule(event["object"], deleted=event["type"] == "DELETED")


class News:
    """Tells what of an object concerns others from what is written of it again and again."""

    def __init__(self, concerns: Callable[[Any], object]) -> None:
        """`concerns`: what of an object others go by."""
        self._concerns = concerns
        self._seen: dict[str, object] = {}

    def has(self, event: Any) -> bool:
        """Whether an object appeared, went, or is another for others than when it was last seen."""
        body = event["object"]
        uid, now = body["metadata"]["uid"], self._concerns(body)
        if event["type"] == "DELETED":
            self._seen.pop(uid, None)
            return True
        known = uid in self._seen and self._seen[uid] == now
        self._seen[uid] = now
        return not known


def asked_of_plans(body: Any) -> object:
    """What is new when an account is wanted otherwise, or can be used otherwise than before."""
    conditions = (body.get("status") or {}).get("conditions") or ()
    ready = [c.get("status") for c in conditions if c.get("type") == Type.READY]
    return _generation(body), ready


def asked_of_accounts(body: Any) -> object:
    """What is new when a plan is wanted otherwise, or other technologies or instance profiles were
    found for it."""
    accounts = (body.get("status") or {}).get("accounts") or ()
    return _generation(body), [
        (a.get("name"), a.get("technologies"), a.get("instanceProfiles")) for a in accounts
    ]


def ended(body: Any) -> object:
    """What is new when an execution has ended."""
    return (body.get("status") or {}).get("completionTime")


def _generation(body: Any) -> object:
    return body["metadata"].get("generation")


def _has_command(body: Any) -> bool:
    annotations = body["metadata"].get("annotations") or {}
    return any(key.startswith(f"{GROUP}/") for key in annotations)


class Logins:
    """Sessions for kopf that carry the current token on each request.

    kopf takes an answer equal to the last one for a refusal and ends; a session is never equal to
    another. Asked again at once, it pauses, so that a server that answers 401 for a while is not
    stormed.
    """

    def __init__(self, kube: Kube) -> None:
        self._configuration = kube.configuration
        self._last = 0.0

    async def session(self) -> kopf.AiohttpSession:
        """A fresh session."""
        if time.monotonic() - self._last < 5:
            await asyncio.sleep(2)
        self._last = time.monotonic()
        connector = aiohttp.TCPConnector(ssl=self._ssl(), limit=32)
        session = aiohttp.ClientSession(connector=connector, middlewares=(self._authorize,))
        return kopf.AiohttpSession(server=self._configuration.host, aiohttp_session=session)

    async def _authorize(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        token = await self._configuration.get_api_key_with_prefix("BearerToken")
        if token:
            request.headers["Authorization"] = token
        return await handler(request)

    def _ssl(self) -> ssl.SSLContext:
        settings = self._configuration
        context = ssl.create_default_context(
            cafile=settings.ssl_ca_cert, cadata=settings.ca_cert_data
        )
        if settings.cert_file:
            context.load_cert_chain(settings.cert_file, keyfile=settings.key_file)
        if not settings.verify_ssl:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context
