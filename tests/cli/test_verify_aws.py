"""Topics and buses as the caller's own credentials see them, in the sandbox's AWS."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest

from leeward.cli import verify_aws
from leeward_adapters.aws import Aws
from leeward_sandbox.aws.backend import World
from leeward_sandbox.aws.clock import Clock
from leeward_sandbox.aws.registry import gateway
from leeward_sandbox.aws.server import SandboxServer

pytestmark = pytest.mark.aws
REGION = "us-east-2"


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "SANDBOX600000000001")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sandbox")
    server = SandboxServer(gateway(World(Clock(scale=0))))
    server.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    yield server.endpoint
    server.close()


def test_a_topic_or_bus_that_is_gone_is_a_problem(endpoint: str) -> None:
    topic = boto3.client("sns", region_name=REGION).create_topic(Name="leeward")["TopicArn"]
    bus = boto3.client("events", region_name=REGION).create_event_bus(Name="dr")["EventBusArn"]
    aws = Aws(REGION)

    for there in (topic, bus):
        assert verify_aws.receiver(aws, there).verdict == "ok"
        gone = verify_aws.receiver(aws, f"{there}-gone")
        assert (gone.verdict, f"{there}-gone: " in gone.text) == ("problem", True), gone.text


def test_it_is_said_as_whom_aws_is_asked(endpoint: str) -> None:
    topic = boto3.client("sns", region_name=REGION).create_topic(Name="leeward")["TopicArn"]

    asked, found = verify_aws.looked_at([topic])

    assert asked.text == "AWS is asked as arn:aws:iam::600000000001:root"
    assert (found.verdict, found.text) == ("ok", f"{topic}: there")


def test_without_credentials_nothing_is_called_gone(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN")

    (found,) = verify_aws.looked_at([f"arn:aws:sns:{REGION}:600000000001:leeward"])

    assert (found.verdict, "your AWS credentials" in found.text) == ("unknown", True)
