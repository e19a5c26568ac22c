"""How often what is only progress is written."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

EVERY: Final = timedelta(seconds=10)
"""Between two writes of one object that carry nothing but progress, or one that carries more."""


class Pace:
    """Remembers when objects were written last, by uid.

    It may forget: progress is then written a little sooner.
    """

    def __init__(self) -> None:
        self._written: dict[str, datetime] = {}

    def allows(self, uid: str, now: datetime) -> bool:
        """Whether progress of that object may be written now."""
        last = self._written.get(uid)
        return last is None or not timedelta(0) <= now - last < EVERY

    def wrote(self, uid: str, now: datetime) -> None:
        """The object was written."""
        if len(self._written) >= _MOST:
            self._written = {u: at for u, at in self._written.items() if now - at < EVERY}
        self._written[uid] = now


_MOST: Final = 1024
"""Objects that are remembered before those written long ago are forgotten."""
