"""`leeward operator`: connects everything, waits for leadership, and lets kopf wake the engine."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import kopf

from leeward import logs
from leeward.api.account import TargetAccount
from leeward.api.common import BASE_REGION
from leeward.api.execution import DRExecution
from leeward.api.plan import RecoveryPlan
from leeward.api.schedule import DRSchedule
from leeward.api.task import DRTask
from leeward.configuration import ConfigurationError, load
from leeward.engine.account_book import AccountBook
from leeward.engine.accounts import AccountReconciler
from leeward.engine.clock import SteadyClock
from leeward.engine.context import CHECK_THREADS, Context
from leeward.engine.events import Recorder
from leeward.engine.guard import Guard
from leeward.engine.kube import Kube, Object, path_of
from leeward.engine.lease import Lease
from leeward.engine.objects import LIVE_LABEL, NOT_ENDED, read_each
from leeward.engine.plans import PlanReconciler
from leeward.engine.pool import Pool
from leeward.engine.runs import RunReconciler, needs_passes
from leeward.engine.schedules import ScheduleReconciler
from leeward.engine.supervisor import Pass, Supervisor, asked
from leeward.handlers.endpoints import Endpoints
from leeward.handlers.health import Health
from leeward.handlers.wakeups import Supervisors, kopf_settings, registry_of
from leeward.metrics import definitions
from leeward.metrics.metering import Metering
from leeward.settings import Settings
from leeward.tracing.calls import identify
from leeward.tracing.outbox import Send
from leeward.tracing.tracer import Tracer, sender, wanted
from leeward_adapters.aws import Aws
from leeward_adapters.calls import Attempt

USAGE_EXIT = 2
GRACE = 20.0
"""Seconds for running passes to end on SIGTERM; calls to AWS in flight are waited for."""


def run() -> int:
    """Run the operator until SIGTERM; the process's exit status."""
    try:
        settings = load(os.environ)
        traces = identify if wanted(settings) else dict
        logs.configure(settings.log_format, settings.log_level, traces)
        send = sender(settings)  # what it finds odd is logged
    except ConfigurationError as error:
        sys.stderr.write(f"leeward: the settings are not valid:\n{error}\n")
        return USAGE_EXIT
    asyncio.run(_main(settings, send))
    return 0


async def _main(settings: Settings, send: Send | None) -> None:
    now = SteadyClock()
    metering = Metering(settings, now)
    tracing = _tracing(send, now, metering) if send is not None else None
    context = await _context(settings, now, metering, tracing)
    health = Health(settings, context.lease, context.aws)
    endpoints = Endpoints(context, health, metering)
    await endpoints.start()
    looking = asyncio.create_task(health.watch_credentials(), name="credentials")
    stop = asyncio.Event()
    _on_signals(lambda: _end(stop, health))
    try:
        if await _acquired(context.lease, context.kube, stop):
            await _lead(context, health, metering, tracing, stop)
    finally:
        looking.cancel()
        led_until = now()
        await context.lease.release()
        if metering.publisher is not None:
            await metering.publisher.publish()  # what happened in the last minute
        context.pool.close()
        context.checks.close()
        if tracing is not None:
            await tracing.close(led_until)  # nobody waits for a collector but this process
        await endpoints.stop()
        await context.kube.close()


def _tracing(send: Send, now: SteadyClock, metering: Metering) -> Tracer:
    def count(outcome: str, number: int) -> None:
        metering.meters.count(definitions.SPANS, outcome, by=number)

    return Tracer(send, now, count)


async def _context(
    settings: Settings, now: SteadyClock, metering: Metering, tracing: Tracer | None
) -> Context:
    def observe(attempt: Attempt) -> None:
        metering.aws(attempt)
        if tracing is not None:
            tracing.aws(attempt)

    kube = await Kube.connect(metering.meters.kube)
    identity = f"{settings.pod_name}_{settings.pod_uid or uuid.uuid4()}"
    lease = Lease(
        kube, settings.namespace, "leeward", identity, duration=settings.lease_duration, now=now,
        annotations={BASE_REGION: settings.base_region},
    )  # fmt: skip
    return Context(
        kube=kube,
        lease=lease,
        aws=Aws(settings.base_region, observe=observe),
        pool=Pool(settings.aws_threads),
        checks=Pool(CHECK_THREADS, "check"),
        guard=Guard(kube, settings.guard, settings.operator_user),
        recorder=Recorder(kube, settings.pod_name),
        settings=settings,
        book=AccountBook(settings.namespace),
        now=now,
    )


def _on_signals(end: Callable[[], None]) -> None:
    """Have SIGTERM and SIGINT call `end`.

    kopf sets its own handlers once it runs, and for the first process of a container no handler
    means that they are ignored: a standby would be killed after the whole grace period.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)


def _end(stop: asyncio.Event, health: Health) -> None:
    """Say first that this replica is not ready any more, then let everything end."""
    health.stopping = True
    stop.set()


async def _acquired(lease: Lease, kube: Kube, stop: asyncio.Event) -> bool:
    """Wait for leadership; False when the process is to stop first."""
    acquiring = asyncio.create_task(lease.acquire(lambda: _highest_epoch(kube)))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({acquiring, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not acquiring.done():
        acquiring.cancel()
        return False
    await acquiring
    return True


async def _lead(
    context: Context,
    health: Health,
    metering: Metering,
    tracing: Tracer | None,
    stop: asyncio.Event,
) -> None:
    """Everything that only the leader does; ends with kopf, on SIGTERM."""
    # A run that goes on must assume its roles at once, under the external ids that they demand.
    await context.book.load(context.kube)
    runs = RunReconciler(context)
    supervisors = _supervisors(context, runs, metering)
    loops = [asyncio.create_task(s.resync_forever(), name="resync") for s in supervisors.all()]
    if metering.publisher is not None:
        loops.append(asyncio.create_task(metering.publisher.publish_forever(), name="cloudwatch"))
    health.supervisors = supervisors
    if tracing is not None:
        tracing.lead(context.kube, context.lease)
    traced = tracing.sight if tracing is not None else None
    # kopf takes the signals over while it runs, and tells its cleanup.
    registry = registry_of(
        supervisors, context.kube, metering.sight, traced, GRACE, lambda: _end(stop, health)
    )
    try:
        await kopf.operator(
            registry=registry, settings=kopf_settings(), clusterwide=True, stop_flag=stop
        )
    finally:
        for task in loops:
            task.cancel()
        for supervisor in supervisors.all():
            await supervisor.stop(1.0)
        await runs.settle(GRACE)
        await context.recorder.settle(1.0)


def _supervisors(context: Context, runs: RunReconciler, metering: Metering) -> Supervisors:
    resync = context.settings.resync_interval

    def make(
        kind: type[DRExecution | RecoveryPlan | TargetAccount | DRSchedule],
        subject: str,
        run: Pass,
        needs: Callable[[Object], bool],
        **options: Any,
    ) -> Supervisor:
        return Supervisor(
            context.kube, path_of(kind.PLURAL), run, needs, resync=resync, subject=subject,
            told=partial(metering.meters.passed, kind.KIND), **options,
        )  # fmt: skip

    plans, accounts = PlanReconciler(context), AccountReconciler(context)
    schedules = ScheduleReconciler(context)
    return Supervisors(
        runs=make(DRExecution, "execution", runs.run, needs_passes, news=asked, selector=NOT_ENDED),
        plans=make(RecoveryPlan, "plan", plans.run, lambda _: True, news=asked),
        accounts=make(
            TargetAccount,
            "account",
            accounts.run,
            lambda _: True,
            saw=context.book.saw,
            gone=lambda key: context.book.forget(key.name, key.uid),
        ),
        schedules=make(DRSchedule, "schedule", schedules.run, lambda _: True, news=asked),
    )


async def _highest_epoch(kube: Kube) -> int:
    """The highest epoch on any live execution or task."""
    runs = read_each(kube, DRExecution, None, NOT_ENDED)
    tasks = read_each(kube, DRTask, None, f"{LIVE_LABEL}=true")
    highest = 0
    async for run in runs:
        highest = max(highest, run.model.status.epoch)
    async for task in tasks:
        highest = max(highest, task.model.status.epoch)
    return highest


if __name__ == "__main__":
    sys.exit(run())
