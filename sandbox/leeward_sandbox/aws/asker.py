"""Who of Leeward made a request, as its User-Agent header says.

The header has the form of AWS's SDKs: components `prefix/name#value` with blanks between.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from leeward_sandbox.aws.wire import HttpRequest

_LEEWARD: Final = "lib/leeward"
_PART: Final = "md/leeward-part"
_RUN: Final = "md/leeward-run"


class Asker(NamedTuple):
    """What a request says of who made it."""

    part: str | None
    """Adapter or other part of Leeward; empty: it says none; None: it was not Leeward."""
    run: str | None
    """NAMESPACE.EXECUTION; None: it was for no run."""


def asker(request: HttpRequest) -> Asker:
    """Who made it."""
    components = (request.header("user-agent") or "").split()
    values = dict(one.split("#", 1) for one in components if "#" in one)
    if _LEEWARD not in components:
        return Asker(None, None)
    return Asker(values.get(_PART, ""), values.get(_RUN))
