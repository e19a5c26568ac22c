"""Everything that measures one process, put together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final

from leeward.api.execution import DRExecution
from leeward.metrics import definitions
from leeward.metrics.cloudwatch import Publisher
from leeward.metrics.meters import Meters
from leeward.metrics.runs import Happening
from leeward.metrics.sight import Sight
from leeward.settings import Settings
from leeward_adapters import cloudwatch
from leeward_adapters.aws import Account, Aws
from leeward_adapters.calls import Attempt

TIMEOUT: Final = 10
"""Seconds that CloudWatch has to answer one call."""


class Metering:
    """What the parts of the operator are handed to tell what they do.

    Args:
        settings: the operator's.
        now: its clock.
    """

    def __init__(self, settings: Settings, now: Callable[[], datetime]) -> None:
        self.meters = Meters()
        self.publisher = _publisher(settings, self.meters, now)
        """None: nothing goes to CloudWatch."""
        self.sight = Sight(self._happened, self.meters.tenant)

    def aws(self, attempt: Attempt) -> None:
        """An attempt of a call to AWS; safe to call from any thread."""
        self.meters.aws(attempt)
        if self.publisher is not None:
            self.publisher.aws(attempt)

    def _happened(self, run: DRExecution, what: Happening) -> None:
        self.meters.happened(run, what)
        if self.publisher is not None:
            self.publisher.happened(run, what)


def _publisher(settings: Settings, meters: Meters, now: Callable[[], datetime]) -> Publisher | None:
    if not settings.cloudwatch_namespace:
        return None
    # Clients of its own: a CloudWatch that hangs must not wait half a minute, nor hold others up.
    aws = Aws(settings.base_region, read_timeout=TIMEOUT, observe=meters.aws)
    scope = aws.scope(Account(id=""), settings.base_region)
    put = partial(cloudwatch.put, scope, settings.cloudwatch_namespace)
    return Publisher(
        put, settings.hub, now,
        lambda outcome, number: meters.count(definitions.PUBLISHED, outcome, by=number),
    )  # fmt: skip
