"""Everything that traces one process, put together."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.metadata import version
from typing import Final

from leeward.configuration import ConfigurationError
from leeward.engine.kube import Kube
from leeward.engine.lease import Lease
from leeward.settings import Settings
from leeward.tracing.calls import of_call
from leeward.tracing.outbox import Count, Outbox, Send
from leeward.tracing.sight import Sight
from leeward.work import current
from leeward_adapters.calls import Attempt

_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SPOKEN: Final = "http/protobuf"
_FLUSH: Final = 3.0
"""Seconds for what still waits when the process ends; nobody waits for that but the process."""


class Tracer:
    """What the parts of the operator are handed to tell what they do.

    Args:
        send: sends spans, see `Send`.
        now: the operator's clock.
        count: is told how many spans were Sent, or Dropped.
    """

    def __init__(self, send: Send, now: Callable[[], datetime], count: Count) -> None:
        self._now = now
        self._outbox = Outbox(send, count)
        self.sight = Sight(self._outbox.put, now())
        self._outbox.start()

    def aws(self, attempt: Attempt) -> None:
        """An attempt of a call to AWS; safe to call from any thread."""
        if (span := of_call(attempt, current(), self._now())) is not None:
            self._outbox.put(span)

    def lead(self, kube: Kube, lease: Lease) -> None:
        """This process leads from now on."""
        self.sight.lead(kube, lease)

    async def close(self, until: datetime) -> None:
        """Tell and send what is left, for some seconds at most; `until`: when it led no more."""
        await self.sight.close(until)
        self._outbox.close(_FLUSH)


def wanted(settings: Settings, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether traces are to be made.

    Raises:
        ConfigurationError: they are wanted in a way that is not spoken here.
    """
    if settings.tracing == "Off" or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    for variable in _PROTOCOLS:
        given = environment.get(variable)
        if given and given != _SPOKEN:
            raise ConfigurationError(
                [f"variable {variable}: traces are sent as {_SPOKEN} alone, not {given!r}"]
            )
        if given:
            break  # the first one counts
    return True


def sender(settings: Settings) -> Send | None:
    """What sends spans by OTLP, as the variables `OTEL_*` say; None: no traces are to be made.

    Raises:
        ConfigurationError: they are wanted in a way that is not spoken here, or a variable has a
            value that OpenTelemetry does not take.
    """
    if not wanted(settings):
        return None
    from leeward.tracing.otlp import Otlp  # it needs an extra

    try:
        return Otlp(settings.hub, version("leeward")).send
    except ValueError as error:
        raise ConfigurationError(
            [f"variables OTEL_*: {error}; correct it, or set LEEWARD_TRACING=Off for no traces"]
        ) from error
