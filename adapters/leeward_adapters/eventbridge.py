"""Amazon EventBridge: putting an event on a bus.

PutEvents answers 200 also when it did not take an entry; then the entry of the answer says why.
Source: EventBridge API reference, PutEvents.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from leeward_adapters.attribution import asking
from leeward_adapters.base import Scope

PERMISSIONS = frozenset({"events:PutEvents"})
_PASSING = frozenset({"InternalFailure", "InternalException", "ServiceUnavailable"})


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of PutEvents; at most 256 KB with all its parts."""

    source: str
    detail_type: str
    detail: Mapping[str, Any]
    """What JSON can say."""
    at: datetime
    resources: tuple[str, ...] = ()
    """ARNs of what it is about."""


@asking("notifications")
def put(scope: Scope, bus_arn: str, event: Event) -> str:
    """Put one event once; AWS's id of it.

    Args:
        scope: The bus's own account and Region.
        bus_arn: The bus.
        event: The event.

    Raises:
        ClientError: AWS refused the call, or did not take the event.
        BotoCoreError: it was not reached, or gave no answer.

    """
    client = scope.client("events", once=True)
    (taken,) = client.put_events(Entries=[_entry(bus_arn, event)])["Entries"]
    if "ErrorCode" in taken:
        raise _refusal(taken, scope)
    return str(taken["EventId"])


def _entry(bus_arn: str, event: Event) -> dict[str, Any]:
    entry = {
        "EventBusName": bus_arn,
        "Source": event.source,
        "DetailType": event.detail_type,
        "Detail": json.dumps(event.detail, ensure_ascii=False),
        "Time": event.at,
    }
    return entry | ({"Resources": list(event.resources)} if event.resources else {})


def _refusal(entry: Mapping[str, str], scope: Scope) -> ClientError:
    """The error in an entry of the answer, as if it had been the call's own."""
    code = entry["ErrorCode"]
    message = f"{entry.get('ErrorMessage', '')} [account {scope.account_id}, {scope.region}]"
    answer: Any = {
        "Error": {"Code": code, "Message": message.strip()},
        "ResponseMetadata": {"HTTPStatusCode": 500 if code in _PASSING else 400},
    }
    return ClientError(answer, "PutEvents")


def exists(scope: Scope, bus_arn: str) -> None:
    """Look at the bus, in its own account and Region (EventBridge DescribeEventBus).

    Raises:
        ClientError: it is not there, or may not be looked at.
        BotoCoreError: EventBridge was not reached, or gave no answer.

    """
    scope.client("events").describe_event_bus(Name=bus_arn)
