"""One notice to one receiver: which client, which call."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from leeward.planning.notifications.notices import Notice
from leeward.planning.notifications.recipients import region_of
from leeward_adapters import eventbridge, sns
from leeward_adapters.aws import Account, Aws
from leeward_adapters.eventbridge import Event

SOURCE = "dr.orchestration"
"""Source of our events, because rules match on it (TRS appendix P)."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A topic or an event bus, and how its account is reached."""

    arn: str
    account: Account

    @property
    def service(self) -> str:
        """`sns` or `events`."""
        return self.arn.split(":")[2]

    @property
    def lane(self) -> tuple[str, str, str]:
        """What fails or hangs together: the service in one account and Region."""
        return self.service, self.account.id, region_of(self.arn)


def send(aws: Aws, receiver: Receiver, notice: Notice, run: str, at: datetime) -> None:
    """Send once, and raise botocore's error if AWS did not take it.

    `run` is the execution's uid: a FIFO topic keeps the order of one run's notices.
    """
    message = notice.message
    scope = aws.scope(receiver.account, region_of(receiver.arn), recovery=True)
    if receiver.service == "events":
        event = Event(SOURCE, message.detail_type, message.detail, at)
        eventbridge.put(scope, receiver.arn, event)
        return
    sns.publish(
        scope, receiver.arn, subject=message.subject, text=message.text,
        attributes=message.attributes, group=run, deduplication_id=notice.id,
    )  # fmt: skip
