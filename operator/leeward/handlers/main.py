"""`leeward operator`: connects everything, waits for leadership, and lets kopf wake the engine."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import uuid
from collections.abc import Callable
from typing import Any

import kopf

from leeward.api.account import TargetAccount
from leeward.api.common import BASE_REGION
from leeward.api.execution import DRExecution
from leeward.api.plan import RecoveryPlan
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
from leeward.engine.supervisor import Pass, Supervisor, asked
from leeward.handlers.health import Health
from leeward.handlers.wakeups import Supervisors, kopf_settings, registry_of
from leeward.settings import Settings
from leeward_adapters.aws import Aws

log = logging.getLogger(__name__)
USAGE_EXIT = 2
GRACE = 20.0
"""Seconds for running passes to end on SIGTERM; calls to AWS in flight are waited for."""


def run() -> int:
    """Run the operator until SIGTERM; the process's exit status."""
    try:
        settings = load(os.environ)
    except ConfigurationError as error:
        sys.stderr.write(f"leeward: the settings are not valid:\n{error}\n")
        return USAGE_EXIT
    _configure_logging(settings)
    asyncio.run(_main(settings))
    return 0


def _configure_logging(settings: Settings) -> None:
    json_lines = settings.log_format == "json"
    kopf.configure(log_format=kopf.LogFormat.JSON if json_lines else kopf.LogFormat.PLAIN)
    logging.getLogger().setLevel(settings.log_level)
    for noisy in ("kopf.objects", "botocore", "urllib3", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # A role that cannot be assumed is raised to us and said on the object; its stack says no more.
    logging.getLogger("botocore.credentials").setLevel(logging.ERROR)


async def _main(settings: Settings) -> None:
    kube = await Kube.connect()
    identity = f"{settings.pod_name}_{settings.pod_uid or uuid.uuid4()}"
    now = SteadyClock()
    lease = Lease(
        kube, settings.namespace, "leeward", identity, duration=settings.lease_duration, now=now,
        annotations={BASE_REGION: settings.base_region},
    )  # fmt: skip
    context = Context(
        kube=kube,
        lease=lease,
        aws=Aws(settings.base_region),
        pool=Pool(settings.aws_threads),
        checks=Pool(CHECK_THREADS, "check"),
        guard=Guard(kube, settings.guard, settings.operator_user),
        recorder=Recorder(kube, settings.pod_name),
        settings=settings,
        book=AccountBook(settings.namespace),
        now=now,
    )
    health = Health(settings, lease)
    await health.start()
    stop = _stop_on_signals()
    try:
        if await _acquired(lease, kube, stop):
            await _lead(context, health, stop)
    finally:
        await lease.release()
        context.pool.close()
        context.checks.close()
        await health.stop()
        await kube.close()


def _stop_on_signals() -> asyncio.Event:
    """What SIGTERM and SIGINT set.

    kopf handles them only once it runs, and for the first process of a container no handler means
    that they are ignored: a standby would be killed after the whole grace period.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


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


async def _lead(context: Context, health: Health, stop: asyncio.Event) -> None:
    """Everything that only the leader does; ends with kopf, on SIGTERM."""
    # A run that goes on must assume its roles at once, under the external ids that they demand.
    await context.book.load(context.kube)
    runs = RunReconciler(context)
    supervisors = _supervisors(context, runs)
    resyncs = [asyncio.create_task(s.resync_forever(), name="resync") for s in supervisors.all()]
    health.leading = True
    registry = registry_of(supervisors, context.kube, GRACE)
    try:
        await kopf.operator(
            registry=registry, settings=kopf_settings(), clusterwide=True, stop_flag=stop
        )
    finally:
        for task in resyncs:
            task.cancel()
        for supervisor in supervisors.all():
            await supervisor.stop(1.0)
        await runs.settle(GRACE)
        await context.recorder.settle(1.0)


def _supervisors(context: Context, runs: RunReconciler) -> Supervisors:
    resync = context.settings.resync_interval

    def make(
        plural: str,
        run_pass: Pass,
        needs: Callable[[Object], bool],
        **options: Any,
    ) -> Supervisor:
        return Supervisor(context.kube, path_of(plural), run_pass, needs, resync=resync, **options)

    return Supervisors(
        runs=make(DRExecution.PLURAL, runs.run, needs_passes, news=asked, selector=NOT_ENDED),
        plans=make(RecoveryPlan.PLURAL, PlanReconciler(context).run, lambda _: True, news=asked),
        accounts=make(TargetAccount.PLURAL, AccountReconciler(context).run, lambda _: True),
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
