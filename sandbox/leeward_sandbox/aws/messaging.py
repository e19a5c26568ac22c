"""What SNS and EventBridge refuse of a message beyond moto and botocore's models.

https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from leeward_sandbox.aws.backend import AwsError, Call

LARGEST = 256 * 1024
"""Bytes of a message with its attributes, and of an event's entry."""
_SUBJECT = re.compile(r"[!-~][ -~]{0,99}")
_TIME_BYTES = 14


class SnsLimits:
    """Subjects, sizes and the Region of a topic, at Publish."""

    service: ClassVar[str] = "sns"
    operations: ClassVar[frozenset[str] | None] = frozenset({"Publish"})
    answers: ClassVar[frozenset[str]] = frozenset()

    def before(self, call: Call) -> dict[str, Any] | None:
        """Refuse what SNS refuses; the rest is moto's."""
        params = call.params
        subject, message = params.get("Subject"), str(params["Message"])
        if subject is not None and not _SUBJECT.fullmatch(subject):
            raise _invalid("Subject")
        size = len(message.encode()) + sum(map(_size, params.get("MessageAttributes", {}).items()))
        if not message or size > LARGEST:
            raise _invalid("Message too long" if message else "Empty message")
        topic = str(params.get("TopicArn", ""))
        if topic and topic.split(":")[3] != call.region:
            raise _invalid("TopicArn")
        return None

    def after(self, call: Call, result: dict[str, Any]) -> dict[str, Any]:
        """Leave moto's answer alone."""
        return result


class EventLimits:
    """Sizes and sources at PutEvents.

    Of an entry whose source only AWS may use, the answer says so and is a 200; moto sees nothing
    of the call then.
    """

    service: ClassVar[str] = "events"
    operations: ClassVar[frozenset[str] | None] = frozenset({"PutEvents"})
    answers: ClassVar[frozenset[str]] = frozenset()

    def before(self, call: Call) -> dict[str, Any] | None:
        """Refuse what EventBridge refuses; the rest is moto's."""
        entries = call.params["Entries"]
        if any(_entry_size(entry) > LARGEST for entry in entries):
            raise AwsError(
                "ValidationException",
                f"Total size of an entry in the request is over the limit ({LARGEST} bytes)",
            )
        refused = [str(entry.get("Source", "")).startswith("aws.") for entry in entries]
        if not any(refused):
            return None
        answers = [_NOT_AUTHORIZED if no else _NOT_SENT for no in refused]
        return {"FailedEntryCount": len(answers), "Entries": answers}

    def after(self, call: Call, result: dict[str, Any]) -> dict[str, Any]:
        """Leave moto's answer alone."""
        return result


_NOT_AUTHORIZED = {
    "ErrorCode": "NotAuthorizedForSource",
    "ErrorMessage": "Not authorized for the source.",
}
_NOT_SENT = {"ErrorCode": "InternalFailure", "ErrorMessage": "Another entry was refused."}


def _invalid(what: str) -> AwsError:
    return AwsError("InvalidParameter", f"Invalid parameter: {what}")


def _size(attribute: tuple[str, Any]) -> int:
    name, value = attribute
    return len(name) + len(value["DataType"]) + len(str(value.get("StringValue", "")).encode())


def _entry_size(entry: dict[str, Any]) -> int:
    """As EventBridge's user guide counts it."""
    parts = [entry.get("Source"), entry.get("DetailType"), entry.get("Detail")]
    parts += entry.get("Resources", [])
    time = _TIME_BYTES if entry.get("Time") is not None else 0
    return time + sum(len(str(part).encode()) for part in parts if part is not None)
