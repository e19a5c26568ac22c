"""What came of a call and of a batch, when some attempts were refused, held back, or unanswered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from leeward_adapters import breaker as limits
from leeward_adapters.aws import Aws, AwsScope
from leeward_adapters.base import ErrorClass
from leeward_adapters.errors import Fault, classify
from leeward_adapters.guards import Record

pytestmark = pytest.mark.aws

UPDATE: Final = "UpdateLaunchConfiguration"
LOST: Final = {"action": "drop"}
PAGE: Final = {"action": "page"}
BROKEN: Final = {"action": "error", "code": "InternalServerException"}
THROTTLED: Final = {"action": "error", "code": "ThrottlingException", "status": 429}
DENIED: Final = {"action": "error", "code": "AccessDeniedException"}
CLOSED: Final = (ErrorClass.IN_DOUBT, "ConnectionClosedError")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore makes no pauses between attempts."""
    unslept = SimpleNamespace(**{**vars(time), "sleep": lambda _: None})
    monkeypatch.setattr("botocore.endpoint.time", unslept)


@pytest.fixture
def aws(sandbox: Any) -> Aws:
    """One whose rate limits and breakers nobody else has moved, and which never sleeps."""
    return Aws("us-east-2", endpoint_url=sandbox.endpoint, sleep=lambda _: None)


@pytest.fixture
def scope(sandbox: Any, aws: Aws) -> AwsScope:
    return aws.scope(sandbox.reached(), "us-east-2", recovery=True)


def _meets(sandbox: Any, operation: str, attempts: Sequence[dict[str, Any]]) -> None:
    """Have the first attempts of an operation end so, in this order."""
    for number, fault in enumerate(attempts, 1):
        sandbox.control.add_fault(service="drs", operation=operation, nth=number, **fault)


def _update(sandbox: Any, scope: AwsScope) -> None:
    server = sandbox.servers()[0]
    scope.client("drs").update_launch_configuration(sourceServerID=server, copyPrivateIp=True)


def _holds_back_after_throttling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SLOWEST", 0.01)
    monkeypatch.setattr(limits, "RATE", 0.02)


def _failed(aws: Aws, batch: Any) -> tuple[Fault, Record]:
    """The fault that a batch of calls comes to, and the record of what was sent."""
    with pytest.raises((ClientError, BotoCoreError)) as found, aws.recording() as record:
        batch()
    return classify(found.value), record


@pytest.mark.parametrize(
    ("attempts", "fault"),
    [
        pytest.param([LOST, DENIED], CLOSED, id="refused"),
        pytest.param([LOST, THROTTLED, THROTTLED], CLOSED, id="throttled"),
        pytest.param(
            [BROKEN, DENIED], (ErrorClass.IN_DOUBT, BROKEN["code"]), id="refused after a 5xx"
        ),
        pytest.param([BROKEN, LOST, DENIED], CLOSED, id="the newest doubt"),
        pytest.param([LOST, PAGE], (ErrorClass.IN_DOUBT, "BadAnswer"), id="not AWS's answer"),
        pytest.param([THROTTLED, DENIED], (ErrorClass.DENIED, DENIED["code"]), id="never in doubt"),
    ],
)
def test_doubt_that_an_attempt_left_outlives_a_later_refusal(
    sandbox: Any,
    aws: Aws,
    scope: AwsScope,
    attempts: list[dict[str, Any]],
    fault: tuple[ErrorClass, str],
) -> None:
    _meets(sandbox, UPDATE, attempts)

    found, record = _failed(aws, lambda: _update(sandbox, scope))

    assert (found.kind, found.code) == fault
    assert record.sent
    assert len(sandbox.calls(UPDATE)) == len(attempts)


def test_doubt_outlives_an_attempt_that_is_held_back(
    sandbox: Any, aws: Aws, scope: AwsScope, monkeypatch: pytest.MonkeyPatch
) -> None:
    _holds_back_after_throttling(monkeypatch)
    _meets(sandbox, UPDATE, [LOST, THROTTLED])

    found, record = _failed(aws, lambda: _update(sandbox, scope))

    assert (found.kind, found.code) == CLOSED
    assert record.sent
    assert len(sandbox.calls(UPDATE)) == 2


def test_doubt_outlives_a_session_that_cannot_be_renewed(
    sandbox: Any, aws: Aws, scope: AwsScope
) -> None:
    drs = scope.client("drs")
    drs.describe_jobs(filters={})

    def expire(**_: Any) -> None:
        drs._request_signer._credentials._expiry_time = datetime.now(UTC) - timedelta(hours=1)

    drs.meta.events.register("response-received.drs.UpdateLaunchConfiguration", expire)
    sandbox.control.add_fault(service="sts", action="error", code="AccessDenied")
    _meets(sandbox, UPDATE, [LOST])

    found, _ = _failed(aws, lambda: _update(sandbox, scope))

    assert (found.kind, found.code) == CLOSED
    assert len(sandbox.calls(UPDATE)) == 1


def test_a_success_ends_the_doubt_of_the_attempts_before_it(
    sandbox: Any, aws: Aws, scope: AwsScope
) -> None:
    _meets(sandbox, UPDATE, [LOST, BROKEN])

    with aws.recording() as record:
        _update(sandbox, scope)

    assert len(record.requests) == 1
    assert len(sandbox.calls(UPDATE)) == 3


def test_what_a_call_that_reads_is_refused_for_is_told_whatever_was_before(
    sandbox: Any, aws: Aws, scope: AwsScope
) -> None:
    _meets(sandbox, "DescribeJobs", [LOST, DENIED])

    found, _ = _failed(aws, lambda: scope.client("drs").describe_jobs(filters={}))

    assert (found.kind, found.code) == (ErrorClass.DENIED, DENIED["code"])


@pytest.mark.parametrize(("before", "code"), [(0, "RateLimited"), (1, "PartlySent")])
def test_a_call_that_was_throttled_and_then_held_back_was_not_sent(
    sandbox: Any,
    aws: Aws,
    scope: AwsScope,
    monkeypatch: pytest.MonkeyPatch,
    before: int,
    code: str,
) -> None:
    _holds_back_after_throttling(monkeypatch)
    sandbox.control.add_fault(operation=UPDATE, nth=before + 1, **THROTTLED)

    def batch() -> None:
        for _ in range(before + 1):
            scope.each(lambda _: _update(sandbox, scope), [None])

    found, record = _failed(aws, batch)

    assert (found.kind, found.code) == (ErrorClass.TRANSIENT, code)
    assert found.retry_after is not None
    assert record.sent is bool(before)
    assert len(sandbox.calls(UPDATE)) == before + 1


@pytest.mark.parametrize(
    ("fault", "code"), [(LOST, "ConnectionClosedError"), (BROKEN, BROKEN["code"])]
)
@pytest.mark.parametrize("sent", [False, True])
def test_a_read_that_fails_leaves_a_batch_in_doubt_only_if_a_change_was_sent_before(
    sandbox: Any, aws: Aws, scope: AwsScope, fault: dict[str, Any], code: str, sent: bool
) -> None:
    _meets(sandbox, "DescribeJobs", [fault] * 3)

    def batch() -> None:
        if sent:
            _update(sandbox, scope)
        scope.client("drs").describe_jobs(filters={})

    found, record = _failed(aws, batch)

    kind = ErrorClass.IN_DOUBT if sent else ErrorClass.TRANSIENT
    assert (found.kind, found.code, record.sent) == (kind, code, sent)
    if fault is BROKEN:
        assert f"[account {sandbox.account}" in found.message
        assert found.request_id
