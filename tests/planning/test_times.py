from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from leeward.planning.times import parse_time, render_time


@pytest.mark.parametrize(
    "text",
    ["2026-03-01T02:00:00Z", "2026-03-01T02:00:00.000000Z", "2026-03-01T03:30:00+01:30"],
)
def test_a_time_is_read_with_its_zone(text: str) -> None:
    assert parse_time(text) == datetime(2026, 3, 1, 2, 0, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2026-03-01T02:00:00", "2026-03-01", "soon", ""])
def test_what_names_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time zone|isoformat"):
        parse_time(text)


def test_times_are_written_in_utc_so_that_text_sorts_as_time_does() -> None:
    east = timezone(timedelta(hours=9))
    moments = [datetime(2026, 3, 1, 9, 0, 0, n, tzinfo=east) for n in (0, 5, 100_000)]
    texts = [render_time(m) for m in moments]
    assert texts[0] == "2026-03-01T00:00:00.000000Z"
    assert texts == sorted(texts)
    assert [parse_time(t) for t in texts] == moments
