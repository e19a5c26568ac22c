"""How messages count, list and stay within the lengths that the API allows."""

from __future__ import annotations

from collections.abc import Sequence


def clip(text: str, limit: int) -> str:
    """The text, or its beginning with an ellipsis when it is longer than `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def counted(count: int, noun: str) -> str:
    """`1 resource`, `3 resources`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(noun: str, items: Sequence[str]) -> str:
    """`wave data`, `waves data, app`: what is named, in the number that fits."""
    return f"{noun if len(items) == 1 else noun + 's'} {some(items)}"


def some(items: Sequence[str], show: int = 5) -> str:
    """The first `show` items, then how many more there are: `a, b and 3 more`."""
    if len(items) <= show:
        return ", ".join(items)
    return f"{', '.join(items[:show])} and {len(items) - show} more"
