"""What is told of things that happen changes nothing of them, whatever becomes of it."""

from __future__ import annotations

import logging

import pytest
from botocore.exceptions import EndpointConnectionError

from leeward_adapters import breaker as limits
from leeward_adapters.aws import Account, Aws
from leeward_adapters.breaker import CircuitOpenError
from leeward_adapters.calls import Attempt
from leeward_adapters.observers import isolated


def test_an_observer_is_told_as_before_and_its_errors_end_there_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[int] = []

    def counts(number: int, *, fails: bool) -> None:
        told.append(number)
        if fails:
            raise LookupError("no such label")

    tell = isolated(counts)
    with caplog.at_level(logging.ERROR):
        for number, fails in enumerate((False, True, True, False)):
            tell(number, fails=fails)

    assert told == [0, 1, 2, 3]
    (logged,) = caplog.records
    assert "counts failed; what it counts is incomplete" in logged.getMessage()
    assert "no such label" in caplog.text


def test_calls_to_aws_end_and_circuits_open_though_whoever_counts_them_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: Attempt) -> None:
        raise LookupError("no such label")

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "SANDBOX999999999999")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sandbox")
    monkeypatch.setattr(limits, "FAILURES", 2)
    aws = Aws("us-east-2", endpoint_url="http://127.0.0.1:9", observe=fails)
    drs = aws.scope(Account("111111111111"), "us-east-2").client("drs", once=True)

    for _ in range(2):
        with pytest.raises(EndpointConnectionError):
            drs.describe_jobs(filters={})
    with pytest.raises(CircuitOpenError):
        drs.describe_jobs(filters={})
    assert caplog.text.count("fails failed") == 1
