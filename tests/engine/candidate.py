"""A process that wants to lead: it says when it does, then obeys lines on its standard input.

`release` gives the Lease up and ends; `block` lets the event loop do nothing any more; `effect`
asks whether it may act, as is done before each call to AWS.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from kubernetes.aio import client, config

from leeward.engine.clock import SteadyClock
from leeward.engine.kube import Kube
from leeward.engine.lease import Lease


async def lead(kubeconfig: Path, name: str, identity: str, duration: float, floor: int) -> None:
    """Lead under the Lease `name`; `floor` is the highest epoch on any object."""
    configuration = client.Configuration()
    await config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    kube = Kube(configuration)
    now = SteadyClock()
    lease = Lease(kube, "leeward-system", name, identity, duration=duration, now=now)

    async def highest() -> int:
        return floor

    await lease.acquire(highest)
    sys.stdout.write(f"{lease.epoch}\n")
    sys.stdout.flush()
    loop = asyncio.get_running_loop()
    while (command := (await loop.run_in_executor(None, sys.stdin.readline)).strip()) != "release":
        if command == "block":
            time.sleep(600)  # noqa: ASYNC251 - a stuck event loop is what is tried
        lease.assert_valid()
        sys.stdout.write("may act\n")
        sys.stdout.flush()
    await lease.release()
    await kube.close()


if __name__ == "__main__":
    _, where, lease_name, who, seconds, least = sys.argv
    asyncio.run(lead(Path(where), lease_name, who, float(seconds), int(least)))
