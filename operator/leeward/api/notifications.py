"""Notifications: who is told what of a run, and the record of what they were told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from leeward.api.common import (
    Duration,
    GateName,
    Line,
    Model,
    Text,
    Time,
    atomic,
    later,
    listmap,
    rules,
)

_IN_REGION = r"[a-z]{2}(-[a-z]+)+-[0-9]:[0-9]{12}"
TopicArn = Annotated[
    str,
    StringConstraints(
        pattern=rf"^arn:aws[a-z-]*:sns:{_IN_REGION}:[A-Za-z0-9_-]{{1,256}}(\.fifo)?$",
        max_length=320,
    ),
]
"""ARN of an SNS topic; its account and Region are those in which it is published to."""
BusArn = Annotated[
    str,
    StringConstraints(
        pattern=rf"^arn:aws[a-z-]*:events:{_IN_REGION}:event-bus/[A-Za-z0-9._-]{{1,256}}$",
        max_length=330,
    ),
]
"""ARN of an EventBridge event bus; its account and Region are those in which events are put."""

NoticeType = Literal[
    "ApprovalNeeded",
    "DecisionNeeded",
    "TaskFailed",
    "TaskComplete",
    "FenceDeferred",
    "ExecutionStarted",
    "ExecutionComplete",
    "ExecutionFailed",
]


class NotificationSettings(Model):
    """Who else is told of one part of the plan."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.mode != 'Override' || size(self.topics) > 0",
                "mode Override needs topics, or nobody would be told",
            )
        )
    )

    name: GateName
    """Name of an explicit task, a wave or a gate. Of an explicit task it is told too when it
    is complete."""
    topics: Annotated[list[TopicArn], Field(max_length=20)] = []
    """Topics that are told of it."""
    mode: Literal["Add", "Override"] = "Add"
    """Add: besides those that are told anyway. Override: instead of them. Settings of a wave
    apply before those of its gates and tasks. The event bus is always told."""
    note: Text | None = None
    """What the people told should know or do; part of the message."""


class Notifications(Model):
    """Who is told what happens in a run, by SNS and EventBridge. It never holds the run up."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "duration(self.reminderInterval) >= duration('1s')",
                "reminderInterval must be at least 1s",
            )
        )
    )

    sns_topic_arns: Annotated[list[TopicArn], Field(max_length=20)] = []
    """Topics that receive every notification. Have one outside the primary Region."""
    emails: Annotated[
        list[Line],
        Field(
            max_length=50,
            json_schema_extra=later(
                "subscribe the addresses to one of snsTopicArns, with aws sns subscribe "
                "--protocol email"
            ),
        ),
    ] = []
    """Addresses that a manifest listed."""
    event_bus_arn: BusArn | None = None
    """EventBridge bus that receives every notification."""
    reminder_interval: Duration = "10m"
    """How often people are told again while a gate or a decision waits for them."""
    tasks: Annotated[
        list[NotificationSettings], Field(max_length=20, json_schema_extra=listmap("name"))
    ] = []
    """Explicit tasks, waves and gates of which others are told, or more is said."""


class NotificationRecord(Model):
    """What people were told of one thing."""

    type: NoticeType
    """What kind of notification."""
    about: Line = ""
    """Of which gate, or for which `tasks` settings; empty: of the run, to everybody."""
    series: Annotated[str, Field(max_length=64)] = ""
    """Changes when it is about something new, such as another asking of the gate; then `count`
    begins anew."""
    id: Annotated[str, Field(max_length=64)]
    """Id of the last one, by which receivers know a double."""
    first_time: Time
    """When the first was sent."""
    last_time: Time
    """When the last was sent."""
    count: int = 0
    """How many were taken by at least one receiver."""
    delivered: int = 0
    """Topics and buses that took the last one."""
    failed: int = 0
    """Topics and buses that did not."""
    message: Text = ""
    """Why they did not."""
    told: Annotated[
        list[Annotated[str, Field(max_length=16)]],
        Field(max_length=1000, json_schema_extra=atomic()),
    ] = []
    """Ends of tasks that were told, as digests of task, attempt and time."""
