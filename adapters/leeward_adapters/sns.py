"""Amazon SNS: publishing a message to a topic.

Standard topics know no doubles, so whoever calls puts an id into the attributes; a FIFO topic takes
that id as the deduplication id, and orders what has the same group.
Source: SNS API reference, Publish.
"""

from __future__ import annotations

from collections.abc import Mapping

from leeward_adapters.attribution import asking
from leeward_adapters.base import Scope

PERMISSIONS = frozenset({"sns:Publish"})


@asking("notifications")
def publish(
    scope: Scope,
    topic_arn: str,
    *,
    subject: str,
    text: str,
    attributes: Mapping[str, str],
    group: str,
    deduplication_id: str,
) -> str:
    """Publish once; AWS's id of the message.

    Args:
        scope: The topic's own account and Region: a topic of another Region is not known there.
        topic_arn: The topic.
        subject: At most 100 ASCII characters without line breaks.
        text: At most 256 KB of UTF-8 together with the attributes.
        attributes: At most 10; empty values, which SNS refuses, are left out.
        group: Message group, for FIFO topics.
        deduplication_id: At most 128 letters, digits and punctuation, for FIFO topics.

    Raises:
        ClientError: AWS refused it.
        BotoCoreError: it was not reached, or gave no answer.

    """
    request = {
        "TopicArn": topic_arn,
        "Subject": subject,
        "Message": text,
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": value}
            for name, value in attributes.items()
            if value
        },
    }
    if topic_arn.endswith(".fifo"):
        request |= {"MessageGroupId": group, "MessageDeduplicationId": deduplication_id}
    return str(scope.client("sns", once=True).publish(**request)["MessageId"])


def exists(scope: Scope, topic_arn: str) -> None:
    """Look at the topic, in its own account and Region (SNS GetTopicAttributes).

    Raises:
        ClientError: it is not there, or may not be looked at.
        BotoCoreError: SNS was not reached, or gave no answer.

    """
    scope.client("sns").get_topic_attributes(TopicArn=topic_arn)
