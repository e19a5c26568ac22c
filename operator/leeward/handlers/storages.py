"""kopf's memory of objects, which we do without: nothing is written on them, and nothing copied.

kopf works out at each event what changed since its handlers saw an object last. We have no handlers
of changes, and copies of whole objects are the dearest part of that.
"""

from __future__ import annotations

from typing import Any

import kopf


class NoDiffBase(kopf.DiffBaseStorage):
    """Every object looks as it always did."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Nothing of the object."""
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        """Nothing was stored."""

    def store(self, **_: Any) -> None:
        """Nothing is stored."""


class NoProgress(kopf.ProgressStorage):
    """No handler has got anywhere."""

    def fetch(self, **_: Any) -> None:
        """Nothing was stored."""

    def store(self, **_: Any) -> None:
        """Nothing is stored."""

    def purge(self, **_: Any) -> None:
        """Nothing is there to be taken off."""

    def touch(self, **_: Any) -> None:
        """No object is touched."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """The same, which holds nothing of kopf."""
        return essence
