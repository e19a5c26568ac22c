"""What a hub costs that has nothing to do: 500 plans, 5,000 executions that have ended.

One execution really runs; the others are made as their authors would make them, and get its record
as the operator would write it. The plans are looked at every five minutes, as by default, and the
operator's settings are those of production, not the sandbox's quick ones.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TypeVar

from applications import NAMESPACE, application, estate, execution, plan, ready, surroundings
from kubernetes.aio import client, config
from table import Figure, progress
from testbed import Object, Site, Usage, site, until

from leeward.engine.kube import Kube, path_of
from leeward.engine.objects import ENDED_LABEL
from leeward_sandbox.stack import OPERATOR_NAMESPACE, SERVICE_ACCOUNT

PLANS = 500
EXECUTIONS = 5000
APPLICATIONS = 20
SECONDS = 300.0
"""Every plan is looked at once in that time."""
WINDOWS = 1
"""How many windows of SECONDS, one after the other."""
SCALE = 600.0
SETTINGS = {
    "LEEWARD_POLL_INTERVAL": "15",
    "LEEWARD_RESYNC_INTERVAL": "20",
    "LEEWARD_SETTLE": "120",
    "LEEWARD_RETRY_BACKOFF": "5",
}
"""The defaults."""
_AT_ONCE = 16
T = TypeVar("T")


def figures() -> list[Figure]:
    """CPU and memory at rest."""
    with site(estate(APPLICATIONS), scale=SCALE, operator={}) as place:
        status = _ended_run(place)
        place.stack.stop_operator()
        began = time.monotonic()
        asyncio.run(_fill(place, status))
        progress(f"{PLANS} plans and {EXECUTIONS} executions in {time.monotonic() - began:.0f} s")
        place.stack.start_operator(SETTINGS)
        until("all plans are Ready", lambda: all(map(ready, place.listed("rp"))), patience=600)
        readings = [place.usage()]
        for _ in range(WINDOWS):
            time.sleep(SECONDS)
            readings.append(place.usage())
    return _said(readings)


def _said(readings: list[Usage]) -> list[Figure]:
    shares = [
        100 * (after.cpu - before.cpu) / SECONDS for before, after in itertools.pairwise(readings)
    ]
    mean, last = sum(shares) / len(shares), readings[-1]
    note = f"{min(shares):.1f} to {max(shares):.1f} % in {WINDOWS} windows of {SECONDS:.0f} s"
    objects = f"{PLANS} plans, {EXECUTIONS} ended executions"
    return [
        Figure("idle CPU, share of a core", f"{mean:.1f} %", "≤ 1 %", note),
        Figure("idle RSS", f"{last.rss:.0f} MiB", "≤ 150 MiB", f"{objects}; peak {last.peak:.0f}"),
    ]


def _ended_run(place: Site) -> Object:
    """The status of a failover that ran here."""
    name = application(1)
    place.apply(*surroundings(), plan(name, name))
    place.await_ready(name)
    place.apply(execution(name, name))
    return place.await_end(name)


async def _fill(place: Site, status: Object) -> None:
    cluster = place.stack.cluster
    author = await _connect(cluster.kubeconfig("admin"))
    operator = await _connect(cluster.token(OPERATOR_NAMESPACE, SERVICE_ACCOUNT))
    plans = path_of("recoveryplans", NAMESPACE)
    runs = path_of("drexecutions", NAMESPACE)

    async def make_plan(number: int) -> None:
        covered = application(1 + number % APPLICATIONS)
        await author.create(plans, plan(f"idle-{number:03}", covered))

    async def make_run(number: int) -> None:
        body = execution(f"idle-{number:04}", f"idle-{number % PLANS:03}")
        path = f"{runs}/{body['metadata']['name']}"
        made = await author.create(runs, body)
        await operator.replace(f"{path}/status", made | {"status": status})
        await operator.patch(path, {"metadata": {"labels": {ENDED_LABEL: "true"}}})

    try:
        await _each(make_plan, range(1, PLANS))
        await _each(make_run, range(1, EXECUTIONS))
    finally:
        await author.close()
        await operator.close()


async def _connect(kubeconfig: Path) -> Kube:
    configuration = client.Configuration()
    await config.load_kube_config(str(kubeconfig), client_configuration=configuration)
    return Kube(configuration)


async def _each(make: Callable[[T], Awaitable[None]], items: Iterable[T]) -> None:
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(item: T) -> None:
        async with room:
            await make(item)

    await asyncio.gather(*(one(item) for item in items))
