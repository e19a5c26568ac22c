"""The operator dies at every moment there is, one run each, and every run comes out whole.

`make test` takes a sample of the moments: those that have a row in docs/crash-safety.md, and some
more by a seed. `make test-crash` takes them all. Both print what they came to.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable
from typing import Final

import pytest
from harness import proof
from harness.bench import ALL, Bench
from harness.boundaries import Boundary, drawn, listed
from harness.interruptions import kill_at, play
from harness.report import REPORT, Report
from harness.runs import KINDS, Run

log = logging.getLogger(__name__)

SEED: Final = int(os.environ.get("LEEWARD_TEST_SEED", "20260301"))
SAMPLE: Final = 6
"""Kills of each kind of run in a sample, if no more are pinned."""
PINNED: Final = (
    # The launch: never sent, or done and unanswered.
    Boundary("failover", "AWS", "drs StartRecovery", 1, "before"),
    Boundary("failover", "AWS", "drs StartRecovery", 1, "after"),
    # Some tasks are made; all are made and none is recorded.
    Boundary("failover", "Kubernetes", "POST drtasks w1-activate-drs", 1, "before"),
    Boundary("failover", "Kubernetes", "PUT drexecutions/status", 1, "before"),
    # The approval is written down and still on the object; it is off, and not yet closed.
    Boundary("failover", "Kubernetes", "PATCH drexecutions", 4, "before"),
    Boundary("failover", "Kubernetes", "PATCH drexecutions", 4, "after"),
    # The verdict stands and the plan is not released.
    Boundary("failover", "Kubernetes", "PUT recoveryplans/status free", 1, "before"),
    # What a drill launched is being ended.
    Boundary("drill", "AWS", "drs TerminateRecoveryInstances", 1, "after"),
    # On the way back: the launch is done and unanswered, one of two servers is reversed.
    Boundary("failback", "AWS", "drs StartRecovery", 1, "after"),
    Boundary("failback", "AWS", "drs ReverseReplication", 1, "after"),
)
MISSED: Final = 0.1
"""Part of all boundaries that may not be reached: two writes came in another order, or as one."""
SPARE: Final = 3
"""How many more are drawn for those of a sample that are not reached."""


class Reference:
    """A run of a kind that nothing interrupted."""

    def __init__(self, bench: Bench, kind: str) -> None:
        run = KINDS[kind](bench)
        run.prepare()
        first = len(bench.proxy.writes())
        play(run)
        proof.assert_whole(run)
        made = proof.calls(run)
        self.calls: Counter[str] = Counter(f"{c['service']} {c['operation']}" for c in made)
        self.boundaries = listed(kind, run, bench.proxy.writes(first), made)
        run.clear()


def survives(run: Run, boundary: Boundary, reference: Reference, report: Report) -> None:
    """Kill one run at the boundary and prove what it came to."""
    try:
        run.prepare()
        if play(run, kill_at(run, boundary)):
            report.count(boundary, proof.assert_whole(run, reference.calls))
        else:
            report.missed.append(boundary)
        run.clear()
    except AssertionError as error:
        log.error("%s: %s", boundary, error)
        report.failed[boundary] = str(error)
        if not run.bench.operator_runs():
            run.bench.start_operator()


@pytest.mark.timeout(3 * 3600 if ALL else 900)
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_survives_a_kill_at_its_boundaries(
    kind: str, bench: Bench, record_property: Callable[[str, str], None]
) -> None:
    reference = Reference(bench, kind)
    pinned = [b for b in PINNED if b.run == kind]
    assert set(pinned) <= set(reference.boundaries), "a pinned boundary is no more: name it anew"
    everything = reference.boundaries
    kills = len(everything) if ALL else max(SAMPLE, len(pinned))
    draws = drawn(everything, pinned, SEED)[: None if ALL else kills + SPARE]
    report = Report(everything)
    for number, boundary in enumerate(draws, 1):
        log.info("%d of %d: %s", number, kills, boundary)
        survives(KINDS[kind](bench), boundary, reference, report)
        if report.kills == kills:
            break
    record_property(REPORT, f"seed {SEED}\n{report.text()}")
    assert not report.failed, report.text()
    assert report.kills >= (kills * (1 - MISSED) if ALL else kills), report.text()


def test_the_proof_notices_a_launch_that_came_twice(bench: Bench) -> None:
    """Else all of this would prove nothing."""
    run = KINDS["drill"](bench)
    run.prepare()
    play(run)
    proof.assert_whole(run)
    drs = bench.client("drs", run.application.account_id)
    drs.start_recovery(sourceServers=[{"sourceServerID": run.servers[0]}], isDrill=True)
    with pytest.raises(AssertionError, match="LAUNCH"):
        proof.assert_whole(run)
    run.clear()
