"""Whether an instance at home holds what the other side served: what EC2 and DRS show decides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from leeward_adapters import drs_fenced, drs_outdated, ec2
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
    known: Any = SimpleNamespace(**{"unfenced": NONE, "fenced": NONE, **step})
    stays = drs_fenced.stays(known, "i-1")
    launched = drs_outdated._of_one(known, HOME, home, asked or at(0, 5), there, stays=stays)
    may_be = drs_outdated._may_be_older(known, launched, "i-1")
    return may_be and drs_outdated._is_older(launched, newest)


STOPPED = stopped(at(0, 10), at(0, 11))
"""Launched, and not started yet."""
NONE, SOURCE = frozenset[str](), frozenset({"i-1"})


@pytest.mark.parametrize(
    ("there", "unfenced", "asked", "newest", "outdated"),
    [
        # It was not fenced and did not replicate at the launch; now it does again.
        (running(at(-90)), SOURCE, at(1), at(1, 30), True),
        (None, SOURCE, at(1), at(1, 30), True),  # whatever EC2 there says
        (None, SOURCE, at(1), at(0, 10), False),
        # It replicated at the launch, and people were told that it may still write.
        (running(at(-90)), SOURCE, at(0, 5), at(0, 50), False),
        (running(at(-90)), SOURCE, at(0, 5), at(1, 10), True),
        # Whoever left the fencing out has decided that it runs on.
        (running(at(-90)), NONE, at(1), at(3), False),
        # But not that it is started again after the launch.
        (running(at(1, 20)), NONE, at(1), at(1, 30), True),
        (stopped(at(1, 20), at(1, 40)), NONE, at(1), at(1, 30), True),
        # It was stopped before the launch.
        (stopped(at(-90), at(0, 50)), SOURCE, at(1), at(3), False),
        (None, NONE, at(1), at(3), False),
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


@pytest.mark.parametrize(
    ("there", "newest", "outdated"),
    [
        # It was stopped before the launch; DRS may make a point in time of it nevertheless.
        (stopped(at(-90), at(0, 2)), at(0, 20), False),
        # It was started by hand while people were asked, and serves or served.
        (running(at(0, 20)), at(0, 30), True),
        (stopped(at(0, 20), at(0, 25)), at(0, 30), True),
        # It ran at the launch, and was stopped once somebody noticed.
        (stopped(at(-90), at(0, 30)), at(0, 25), True),
        (stopped(at(-90), at(0, 30)), at(0, 1), False),  # nothing newer can be launched
        # EC2 does not say when it was stopped; the run saw that it was.
        (ec2.Instance("i-1", "stopped", launched=at(-90)), at(3), False),
        (None, at(3), False),  # it is gone
    ],
)
def test_a_planned_run_asks_about_what_was_not_stopped_before_the_launch(
    there: ec2.Instance | None, newest: datetime, outdated: bool
) -> None:
    step = {"unplanned": False, "phase": Phase.ACTIVATE, "fenced": SOURCE}
    assert judged(STOPPED, there, newest, **step) is outdated


@pytest.mark.parametrize("step", [{"unplanned": True, "fenced": SOURCE}, {"unplanned": False}])
def test_whoever_launches_beside_the_fencing_or_without_is_not_asked_about_its_end(
    step: dict[str, Any],
) -> None:
    late = stopped(at(-90), at(0, 30))
    assert not judged(STOPPED, late, at(0, 25), phase=Phase.ACTIVATE, **step)
