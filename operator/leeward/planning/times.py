"""RFC 3339 times as the API carries them."""

from __future__ import annotations

from datetime import UTC, datetime


def parse_time(text: str) -> datetime:
    """The moment that `text` names. Raises ValueError when it has no time zone or is malformed."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment


def render_time(moment: datetime) -> str:
    """`moment` in UTC with microseconds, so that order is kept as text too."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
