from __future__ import annotations

from datetime import timedelta

import pytest

from leeward.planning import durations
from leeward.planning.digests import digest


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("0", timedelta()),
        ("0s", timedelta()),
        ("30m", timedelta(minutes=30)),
        ("1h30m", timedelta(hours=1, minutes=30)),
        ("0.5h", timedelta(minutes=30)),
        ("1.5s", timedelta(milliseconds=1500)),
        ("1500ms", timedelta(milliseconds=1500)),
        ("2h45m30s", timedelta(hours=2, minutes=45, seconds=30)),
        ("90s90s", timedelta(minutes=3)),
        ("3us", timedelta(microseconds=3)),
        ("2000ns", timedelta(microseconds=2)),
    ],
)
def test_a_go_duration_is_read(text: str, span: timedelta) -> None:
    assert durations.parse(text) == span


@pytest.mark.parametrize(
    "text", ["", "30", "m", "30 m", "-30m", "1d", "PT5M", "1h30", "h1", "1..5s", "99999999999999h"]
)
def test_what_is_no_go_duration_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="duration") as refusal:
        durations.parse(text)
    assert f'"{text}"' in str(refusal.value)


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(), "0s"),
        (timedelta(minutes=90), "1h30m"),
        (timedelta(hours=2), "2h"),
        (timedelta(seconds=61), "1m1s"),
        (timedelta(hours=1, seconds=5), "1h5s"),
        (timedelta(milliseconds=1500), "1.5s"),
        (timedelta(milliseconds=5), "0.005s"),
        (timedelta(microseconds=400), "0s"),
        (timedelta(days=2), "48h"),
        (timedelta(minutes=-5), "-5m"),
    ],
)
def test_a_span_is_written_without_zero_parts(span: timedelta, text: str) -> None:
    assert durations.render(span) == text


@pytest.mark.parametrize("millis", [1, 999, 1000, 59_999, 60_000, 3_599_999, 3_600_001, 10**10])
def test_what_is_written_is_read_back(millis: int) -> None:
    span = timedelta(milliseconds=millis)
    assert durations.parse(durations.render(span)) == span


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("P0D", timedelta()),
        ("PT11M23S", timedelta(minutes=11, seconds=23)),
        ("P1DT2H", timedelta(days=1, hours=2)),
        ("PT0.5S", timedelta(milliseconds=500)),
        ("P2W", timedelta(weeks=2)),
    ],
)
def test_a_lag_of_drs_is_read(text: str, span: timedelta) -> None:
    assert durations.parse_iso8601(text) == span


@pytest.mark.parametrize("text", ["", "P", "PT", "P1DT", "11M", "P1Y", "P1M", "-P1D", "PT1M "])
def test_what_is_no_iso_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="ISO 8601"):
        durations.parse_iso8601(text)


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"b": 1, "a": [1, 2]}) == digest({"a": [1, 2], "b": 1})
    assert digest({"a": [1, 2]}) != digest({"a": [2, 1]})


def test_a_digest_is_sha256_of_canonical_json() -> None:
    # printf '{"a":"é"}' | sha256sum
    assert digest({"a": "é"}) == (
        "sha256:b3a092a6af48807fa9482b2ee140105575daa26d5b24b3c0e60a7e2dee6683b1"
    )


@pytest.mark.parametrize(("value", "error"), [({1, 2}, TypeError), (float("nan"), ValueError)])
def test_what_json_cannot_say_has_no_digest(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        digest(value)
