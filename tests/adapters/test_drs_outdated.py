"""Whether an instance at home holds what the other side served: what EC2 and DRS show decides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from leeward_adapters import drs_outdated, drs_servers, ec2
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
    monkeypatch: pytest.MonkeyPatch,
    home: ec2.Instance,
    there: ec2.Instance,
    newest: datetime,
    unplanned: bool,
    outdated: bool,
) -> None:
    monkeypatch.setattr(drs_servers, "newest_point", lambda _scope, _server: newest)
    step: Any = SimpleNamespace(unplanned=unplanned)
    launched = drs_outdated._of_one(step, HOME, home, at(0, 5), there)
    nowhere: Any = None
    assert (drs_outdated._newer(nowhere, "s-1", launched) is not None) is outdated
