"""Durations as the API and AWS write them."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Final

_GO_UNITS: Final = {
    "h": Decimal(3_600_000_000),
    "m": Decimal(60_000_000),
    "s": Decimal(1_000_000),
    "ms": Decimal(1_000),
    "us": Decimal(1),
    "µs": Decimal(1),
    "ns": Decimal("0.001"),
}  # in microseconds
_GO_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)", re.ASCII)
_ISO: Final = re.compile(
    r"P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?",
    re.ASCII,
)


def parse(text: str) -> timedelta:
    """A Go duration (`time.ParseDuration`) without sign, such as `90s`, `1h30m` or `0.5h`.

    Raises:
        ValueError: it is none, or too long for a timedelta.
    """
    if text == "0":
        return timedelta()
    parts = list(_GO_PART.finditer(text))
    if not parts or "".join(part.group() for part in parts) != text:
        raise ValueError(f'"{text}" is not a duration; write one such as 30m, 90s or 1h30m')
    micros = sum((Decimal(part[1]) * _GO_UNITS[part[2]] for part in parts), Decimal())
    try:
        return timedelta(microseconds=int(micros))
    except OverflowError as error:
        raise ValueError(f'"{text}" is too long for a duration') from error


def parse_iso8601(text: str) -> timedelta:
    """A duration of ISO 8601 in weeks, days, hours, minutes and seconds.

    AWS DRS gives `lagDuration` so: `P0D`, `PT11M23S`. Years and months have no fixed length and
    are not taken.

    Raises:
        ValueError: it is none.
    """
    match = _ISO.fullmatch(text)
    given = {unit: value for unit, value in (match.groupdict() if match else {}).items() if value}
    if not given or text.endswith("T"):
        raise ValueError(f'"{text}" is not an ISO 8601 duration of days and smaller units')
    try:
        return timedelta(**{unit: float(value) for unit, value in given.items()})
    except OverflowError as error:
        raise ValueError(f'"{text}" is too long for a duration') from error


def render(span: timedelta) -> str:
    """The Go duration that `parse` reads back, without zero parts: `1h30m`, `1.5s`, `0s`.

    It is exact to the millisecond. A negative span gets a minus sign, for messages alone.
    """
    millis = round(span / timedelta(milliseconds=1))
    sign, millis = ("-", -millis) if millis < 0 else ("", millis)
    hours, millis = divmod(millis, 3_600_000)
    minutes, millis = divmod(millis, 60_000)
    seconds, millis = divmod(millis, 1_000)
    fraction = f".{millis:03d}".rstrip("0") if millis else ""
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes else ""]
    if seconds or fraction or not any(parts):
        parts.append(f"{seconds}{fraction}s")
    return sign + "".join(parts)
