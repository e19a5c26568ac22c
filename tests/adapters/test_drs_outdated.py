"""Whether an instance at home holds what the other side served: what EC2 and DRS show decides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from leeward_adapters import drs_outdated, ec2
from leeward_adapters.base import Phase
from leeward_adapters.drs_instances import RecoveryInstance

HOME = RecoveryInstance(
    "i-home", "s-1", "STOPPED", False, "drsjob-1", point_in_time="2026-11-01T00:00:00+00:00"
)
"""Launched from the point in time of hour 0, by a job of five minutes later."""


def at(hours: int, minutes: int = 0) -> datetime:
    return datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=hours, minutes=minutes)


def running(since: datetime) -> ec2.Instance:
    return ec2.Instance("i-1", "running", launched=since)


def stopped(started: datetime, end: datetime) -> ec2.Instance:
    return ec2.Instance("i-1", "stopped", launched=started, stopped=end)


@pytest.mark.parametrize(
    ("home", "there", "newest", "unplanned", "outdated"),
    [
        # The ordinary way: fenced, launched, started.
        (stopped(at(0, 10), at(0, 11)), stopped(at(-90), at(0, 2)), at(0, 20), False, False),
        (running(at(0, 30)), stopped(at(-90), at(0, 2)), at(0, 20), False, False),
        # Called off after the launch: the other side was started again, and serves for days.
        (stopped(at(0, 10), at(0, 11)), running(at(1)), at(72), False, True),
        # Somebody starts the instance at home then: it holds no more for that.
        (running(at(71, 58)), running(at(1)), at(71, 56), False, True),
        (running(at(71, 58)), stopped(at(1), at(71, 59)), at(71, 56), False, True),
        (running(at(71, 58)), running(at(1)), at(71, 56), True, True),
        # The same where the other side was never stopped before.
        (running(at(71, 58)), stopped(at(-90), at(71, 59)), at(71, 56), False, True),
        (running(at(71, 58)), running(at(-90)), at(71, 56), True, True),
        # An Unplanned run waits for no fencing, and is resumed.
        (running(at(0, 30)), running(at(-90)), at(0, 36), True, False),
        (running(at(0, 30)), stopped(at(-90), at(0, 28)), at(0, 36), True, False),
    ],
)
def test_it_holds_what_the_other_side_had_at_its_launch_whenever_it_is_started(
    home: ec2.Instance,
    there: ec2.Instance,
    newest: datetime,
    unplanned: bool,
    outdated: bool,
) -> None:
    assert judged(home, there, newest, unplanned=unplanned, phase=Phase.INSTANTIATE) is outdated


def judged(
    home: ec2.Instance,
    there: ec2.Instance | None,
    newest: datetime,
    asked: datetime | None = None,
    **step: Any,
) -> bool:
    known: Any = SimpleNamespace(**{"unfenced": FENCED, **step})
    launched = drs_outdated._of_one(known, HOME, home, asked or at(0, 5), there)
    may_be = drs_outdated._may_be_older(known, launched, "i-1")
    return may_be and drs_outdated._is_older(launched, newest)


STOPPED = stopped(at(0, 10), at(0, 11))
"""Launched, and not started yet."""
FENCED, UNFENCED = frozenset[str](), frozenset({"i-1"})


@pytest.mark.parametrize(
    ("there", "unfenced", "asked", "newest", "outdated"),
    [
        # It was not fenced and did not replicate at the launch; now it does again.
        (running(at(-90)), UNFENCED, at(1), at(1, 30), True),
        (None, UNFENCED, at(1), at(1, 30), True),  # whatever EC2 there says
        (None, UNFENCED, at(1), at(0, 10), False),
        # It replicated at the launch, and people were told that it may still write.
        (running(at(-90)), UNFENCED, at(0, 5), at(0, 50), False),
        (running(at(-90)), UNFENCED, at(0, 5), at(1, 10), True),
        # Whoever left the fencing out has decided that it runs on.
        (running(at(-90)), FENCED, at(1), at(3), False),
        # But not that it is started again after the launch.
        (running(at(1, 20)), FENCED, at(1), at(1, 30), True),
        (stopped(at(1, 20), at(1, 40)), FENCED, at(1), at(1, 30), True),
        # It was stopped before the launch.
        (stopped(at(-90), at(0, 50)), UNFENCED, at(1), at(3), False),
        (None, FENCED, at(1), at(3), False),
    ],
)
def test_what_was_launched_is_started_unasked_while_nothing_newer_is_known(
    there: ec2.Instance | None,
    unfenced: frozenset[str],
    asked: datetime,
    newest: datetime,
    outdated: bool,
) -> None:
    step = {"unplanned": True, "phase": Phase.ACTIVATE, "unfenced": unfenced}
    assert judged(STOPPED, there, newest, asked, **step) is outdated
