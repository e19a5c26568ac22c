"""How often mere progress is written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from leeward.engine.pace import EVERY, Pace

NOW = datetime(2026, 11, 26, 8, tzinfo=UTC)


def test_progress_waits_after_any_write_of_the_same_object() -> None:
    pace = Pace()
    assert pace.allows("one", NOW)
    pace.wrote("one", NOW)
    assert not pace.allows("one", NOW + EVERY - timedelta(milliseconds=1))
    assert pace.allows("one", NOW + EVERY)
    assert pace.allows("other", NOW)


def test_what_was_written_long_ago_is_forgotten() -> None:
    pace = Pace()
    for number in range(5000):
        pace.wrote(f"object {number}", NOW + number * EVERY)
    late = NOW + 5000 * EVERY
    assert all(pace.allows(f"object {number}", late) for number in range(5000))
    assert len(pace._written) <= 1024
