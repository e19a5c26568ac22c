"""Who asks AWS, and for which run: every request says so in its User-Agent header.

CloudTrail keeps that header, so that each call of an account can be traced to the adapter, or
other part of Leeward, and to the run that wanted it. What goes with the context (contextvars) says
who asks, because clients are shared by all parts and threads. Of an answer that several share, the
one who asked first is named.

The header has the form of AWS's SDKs, components `prefix/name#value`:

    Botocore/1.44.5 … lib/leeward md/leeward-part#adapter.drs md/leeward-run#orders.failover-1

CloudTrail cuts the header after 1 KB (AWS CloudTrail user guide, record contents). A part has at
most 63 characters and a run 127, botocore's own components about 200 and an `app/` of users 54.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final, cast

from leeward_adapters.base import Adapter

LIBRARY: Final = "lib/leeward"
"""Component of the header of every request of Leeward's."""
PART: Final = "md/leeward-part#"
"""How the component begins that names the part; there is none where nobody said who asks."""
RUN: Final = "md/leeward-run#"
"""How the component begins that names the run as `NAMESPACE.EXECUTION`; a namespace has no dots."""

_FORBIDDEN: Final = re.compile(r"[^A-Za-z0-9!$%&'*+\-.^_`|~,]")
"""What a value may not hold (RFC 9110, tokens; botocore's own list)."""
_LONGEST_PART: Final = 63
_CALLS: Final = (
    "readiness", "observe", "act", "verify", "undo", "earlier", "settings", "limits",
)  # fmt: skip
"""Methods of adapters that ask AWS: those of `Adapter`, `Traceable` and `Rehearsable`."""

_part: ContextVar[str] = ContextVar("part", default="")
_run: ContextVar[str] = ContextVar("run", default="")


@contextmanager
def asking(part: str) -> Iterator[None]:
    """Requests inside are of that part: `discovery`, or `adapter.KIND` (`of_adapter`)."""
    token = _part.set(f" {PART}{_clean(part)[:_LONGEST_PART]}")
    try:
        yield
    finally:
        _part.reset(token)


@contextmanager
def on_behalf_of(namespace: str, execution: str) -> Iterator[None]:
    """Requests inside are for that run."""
    token = _run.set(f" {RUN}{_clean(namespace)}.{_clean(execution)}")
    try:
        yield
    finally:
        _run.reset(token)


def of_adapter(kind: str) -> str:
    """What the adapter of that kind is called as a part."""
    return f"adapter.{kind}"


def attributed(adapter: type[Any]) -> type[Adapter]:
    """The same class of adapters, whose requests say that they are theirs."""
    made = type(adapter.__name__, (adapter,), {"__doc__": adapter.__doc__, "__slots__": ()})
    for name in _CALLS:
        if callable(method := getattr(adapter, name, None)):
            setattr(made, name, _asking(of_adapter(adapter.kind), made, name, method))
    return cast("type[Adapter]", made)


def said() -> str:
    """What a request that is made now says, at the end of the header."""
    return f"{LIBRARY}{_part.get()}{_run.get()}"


def mark(client: Any) -> None:
    """Have every request of the client say who asks."""
    # After botocore's own handler, which makes the header anew for each attempt.
    client.meta.events.register_last("request-created", _say)


def _say(request: Any, **_: Any) -> None:
    agent = request.headers.get("User-Agent")
    if agent:
        request.headers.replace_header("User-Agent", f"{agent} {said()}")


def _asking(part: str, made: type[Any], name: str, method: Any) -> Any:
    """`method` of the class that `made` is derived from, of whatever sort it is."""

    @wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with asking(part):
            return getattr(super(made, self), name)(*args, **kwargs)

    return call


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("-", text)
