"""What needs no sandbox: each figure stands beside one of the same run.

The cost per server of a large estate beside that of a small one, a command's start beside the
interpreter's own.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from table import Figure

from leeward.api.task import DRTaskSpec, DRTaskStatus
from leeward.planning.tasks.step import StepInput, StepRules, decide
from leeward_adapters.base import ActionTraits, Observed, Seen, State

SMALL, LARGE = 10, 100
"""Resources of a task: DRS takes at most 100 in one job."""
ROUNDS = 30
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def timed(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Median seconds of `work` over `rounds` runs."""
    spans = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        spans.append(time.perf_counter() - began)
    return statistics.median(spans)


def step(resources: int) -> StepInput:
    """A task whose servers are all still to be launched."""
    ids = [f"s-{n:017d}" for n in range(resources)]
    spec = DRTaskSpec.model_validate(
        {
            "executionRef": {"name": "run", "uid": "u"}, "plan": "plan", "operation": "Failover",
            "mode": "Planned", "wave": "data", "waveOrdinal": 1, "recoveryPhase": "Instantiate",
            "technology": "drs", "account": "a", "accountId": "111111111111",
            "region": "us-east-2", "sourceRegion": "us-east-1",
            "resources": [{"id": i, "arn": f"arn:aws:drs:us-east-2:111111111111:{i}"} for i in ids],
        }
    )  # fmt: skip
    return StepInput(
        spec=spec,
        status=DRTaskStatus(state="InProgress"),
        observed=Observed({i: Seen(State.NEEDED, "launch") for i in ids}),
        actions={"launch": ActionTraits(repeatable=False)},
        epoch=1,
        leader_since=NOW,
        now=NOW,
        rules=StepRules(settle=timedelta(seconds=120), poll=timedelta(seconds=15)),
    )


def start_of(*command: str) -> float:
    """Median seconds until a command has ended."""
    return timed(lambda: subprocess.run(command, check=True, capture_output=True), rounds=5)


def memory_of(code: str) -> int:
    """Peak memory in KiB of an interpreter that runs `code`."""
    # Not getrusage: what it says of a child includes what its parent had when it forked.
    probe = f"{code}\nprint(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    out = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True)
    return int(out.stdout.split()[-1])


def figures() -> list[Figure]:
    """The ratios."""
    small, large = step(SMALL), step(LARGE)
    per_small = timed(lambda: decide(small)) / SMALL
    per_large = timed(lambda: decide(large)) / LARGE
    bare = start_of(sys.executable, "-c", "pass")
    plugin = start_of(sys.executable, "-m", "leeward.cli.plugin", "--help")
    operator = memory_of("import leeward.handlers.main") / memory_of("pass")
    name = f"decision per server, {LARGE} beside {SMALL}"
    return [
        Figure(name, f"{per_large / per_small:.2f}"),
        Figure("kubectl leeward --help beside a bare interpreter", f"{plugin / bare:.2f}"),
        Figure("operator's memory beside a bare interpreter", f"{operator:.2f}"),
    ]
