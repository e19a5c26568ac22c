"""`make bench`: speed and memory as ratios within one run, so that machines can be compared.

Each line sets a figure of Leeward beside one of the same run: the cost per server of a large estate
beside that of a small one, a command's start beside the interpreter's own. Nothing is asserted.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from leeward.api.task import DRTaskSpec, DRTaskStatus
from leeward.planning.step import StepInput, StepRules, decide
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
    probe = f"{code}\nimport resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    out = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True)
    return int(out.stdout.split()[-1])


def main() -> None:
    """Print the ratios."""
    small, large = step(SMALL), step(LARGE)
    per_small = timed(lambda: decide(small)) / SMALL
    per_large = timed(lambda: decide(large)) / LARGE
    bare = start_of(sys.executable, "-c", "pass")
    plugin = start_of(sys.executable, "-m", "leeward.cli.plugin", "--help")
    operator_memory = memory_of("import leeward.handlers.main")
    lines = [
        (f"decision per server, {LARGE} beside {SMALL}", per_large / per_small),
        ("kubectl leeward --help beside a bare interpreter", plugin / bare),
        ("operator's memory beside a bare interpreter", operator_memory / memory_of("pass")),
    ]
    for name, ratio in lines:
        sys.stdout.write(f"{name:<55}{ratio:8.2f}\n")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(f"{'this run, MiB at its peak':<55}{peak:8.0f}\n")


if __name__ == "__main__":
    main()
