"""A Region that is silent holds no threads, and a service that is too busy is asked more slowly."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
)

from leeward_adapters import breaker as limits
from leeward_adapters.aws import Aws
from leeward_adapters.base import ErrorClass
from leeward_adapters.breaker import (
    Breaker,
    Bucket,
    CircuitOpenError,
    PartlySentError,
    RateLimitError,
)
from leeward_adapters.calls import Attempt, Circuit, outcome_of
from leeward_adapters.errors import classify
from leeward_adapters.guards import reads


class Clock:
    """A clock that moves when it is told, or slept by."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _admits(breaker: Breaker, *, trial: bool = True) -> bool:
    try:
        breaker.admit("drs", "us-east-1", trial=trial)
    except CircuitOpenError:
        return False
    return True


def _opened(clock: Clock) -> Breaker:
    breaker = Breaker(clock)
    for _ in range(limits.FAILURES):
        assert _admits(breaker)
        breaker.failed("ConnectTimeoutError")
    return breaker


def test_a_circuit_opens_after_some_failures_in_a_row(clock: Clock) -> None:
    assert not _admits(_opened(clock))


def test_an_answer_in_between_starts_the_count_anew(clock: Clock) -> None:
    breaker = Breaker(clock)
    for _ in range(limits.FAILURES - 1):
        breaker.failed("ReadTimeoutError")
    breaker.answered()
    breaker.failed("ReadTimeoutError")

    assert _admits(breaker)


def test_after_a_pause_one_reading_call_tries_whether_it_is_back(clock: Clock) -> None:
    breaker = _opened(clock)
    clock.now += limits.FIRST_PAUSE

    assert not _admits(breaker, trial=False)
    assert _admits(breaker)
    assert not _admits(breaker)
    breaker.answered()

    assert _admits(breaker)
    assert _admits(breaker, trial=False)


def test_the_pause_doubles_with_each_try_that_fails(clock: Clock) -> None:
    breaker, pause = _opened(clock), limits.FIRST_PAUSE
    for _ in range(6):
        clock.now += pause
        assert _admits(breaker)
        breaker.failed("ConnectTimeoutError")
        pause = min(2 * pause, limits.LONGEST_PAUSE)
        clock.now += pause - 0.1
        assert not _admits(breaker)
        clock.now += 0.1 - pause
    assert pause == limits.LONGEST_PAUSE


def test_calls_that_were_under_way_when_it_opened_do_not_lengthen_the_pause(clock: Clock) -> None:
    breaker = _opened(clock)
    for _ in range(5):
        breaker.failed("ReadTimeoutError")
    clock.now += limits.FIRST_PAUSE

    assert _admits(breaker)


def test_a_try_that_was_never_answered_does_not_keep_the_circuit_open_for_good(
    clock: Clock,
) -> None:
    breaker = _opened(clock)
    clock.now += limits.FIRST_PAUSE
    assert _admits(breaker)
    clock.now += limits.FIRST_PAUSE

    assert _admits(breaker)


@pytest.mark.parametrize(
    ("operation", "changes"),
    [
        ("DescribeJobs", False),
        ("GetLaunchConfiguration", False),
        ("SimulatePrincipalPolicy", False),
        ("StartRecovery", True),
        ("StopInstances", True),
        ("ModifyLaunchTemplate", True),
        ("DeleteRecoveryInstance", True),
    ],
)
def test_what_changes_something_is_told_by_its_name(operation: str, changes: bool) -> None:
    assert reads(operation) is not changes


def test_calls_beyond_a_burst_wait_for_their_turn(clock: Clock) -> None:
    bucket = Bucket(clock)
    waits = [bucket.wait(5) for _ in range(int(limits.BURST) + 2)]

    assert waits[: int(limits.BURST)] == [0.0] * int(limits.BURST)
    assert waits[-2:] == pytest.approx([1 / limits.RATE, 2 / limits.RATE])


def test_a_refusal_for_the_rate_halves_it_and_answers_bring_it_back(clock: Clock) -> None:
    bucket = Bucket(clock)
    for _ in range(20):
        bucket.throttled()
    assert bucket.wait(5) == pytest.approx(1 / limits.SLOWEST)

    for _ in range(int(limits.RATE / limits.RECOVERS)):
        bucket.accepted()
    assert bucket.wait(5) == pytest.approx(2 / limits.RATE)


def test_a_turn_that_would_come_too_late_is_not_taken(clock: Clock) -> None:
    bucket = Bucket(clock)
    for _ in range(20):
        bucket.throttled()
    waits = [bucket.wait(2) for _ in range(5)]

    assert waits == pytest.approx([1, 2, 3, 3, 3])


@pytest.mark.aws
def test_an_endpoint_that_no_account_reaches_fails_at_once_for_all(
    sandbox: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FAILURES", 3)
    nowhere = Aws("us-east-2", endpoint_url="http://127.0.0.1:9", clock=clock)
    own = sandbox.reached(read_role_arn="")
    other = sandbox.reached("111111111111", read_role_arn="")

    with pytest.raises(Exception, match="Could not connect"):
        nowhere.scope(own, "us-east-1").client("drs").describe_jobs(filters={})

    for account in (own, other):
        with pytest.raises(CircuitOpenError) as refused:
            nowhere.scope(account, "us-east-1").client("drs").describe_jobs(filters={})
        fault = classify(refused.value)
        assert (fault.kind, fault.code) == (ErrorClass.TRANSIENT, "CircuitOpen")
        assert fault.retry_after == limits.FIRST_PAUSE
        assert "drs in us-east-1: the last 3 calls got no answer" in fault.message
    with pytest.raises(Exception, match="Could not connect"):
        nowhere.scope(own, "us-east-1").client("ec2").describe_instances()


@pytest.mark.aws
def test_an_account_that_is_silent_holds_up_no_other_and_comes_back(
    make_sandbox: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FAILURES", 2)
    sandbox = make_sandbox()
    aws = Aws("us-east-2", endpoint_url=sandbox.endpoint, clock=clock)
    mine = aws.scope(sandbox.reached(), "us-east-2", recovery=True)
    other = aws.scope(sandbox.reached(), "us-west-2")
    sandbox.control.add_fault(
        service="drs", operation="DescribeJobs", region="us-east-2", action="drop", times=2
    )

    for _ in range(2):
        with pytest.raises(Exception, match="closed"):
            mine.client("drs", once=True).describe_jobs(filters={})
    server = sandbox.servers()[0]
    other.client("ec2").describe_instances()
    last = sandbox.control.last_seq()
    with pytest.raises(CircuitOpenError):
        mine.client("drs").describe_jobs(filters={})
    with pytest.raises(CircuitOpenError):
        mine.client("drs", once=True).start_recovery(sourceServers=[{"sourceServerID": server}])
    mine.client("ec2").describe_instances()
    other.client("ec2").describe_instances()
    assert {c["service"] for c in sandbox.control.calls(since=last)} == {"ec2"}

    clock.now += limits.FIRST_PAUSE
    assert mine.client("drs").describe_jobs(filters={})["items"] == []


@pytest.mark.aws
@pytest.mark.parametrize(
    ("service", "operation", "request_"),
    [
        ("sns", "publish", {"TopicArn": "arn:aws:sns:us-east-1:1:t", "Message": "m"}),
        ("events", "put_events", {"Entries": [{"Source": "s", "DetailType": "d", "Detail": "{}"}]}),
        ("cloudwatch", "put_metric_data", {"Namespace": "N", "MetricData": []}),
    ],
)
def test_what_the_operator_only_writes_to_is_tried_by_writing(
    sandbox: Any, clock: Clock, service: str, operation: str, request_: dict[str, Any]
) -> None:
    nowhere = Aws("us-east-2", endpoint_url="http://127.0.0.1:9", clock=clock)
    scope = nowhere.scope(sandbox.reached(read_role_arn=""), "us-east-1")
    send = getattr(scope.client(service, once=True), operation)
    for _ in range(limits.FAILURES):
        with pytest.raises(EndpointConnectionError):
            send(**request_)
    with pytest.raises(CircuitOpenError):
        send(**request_)

    clock.now += limits.FIRST_PAUSE

    with pytest.raises(EndpointConnectionError):
        send(**request_)


@pytest.mark.aws
@pytest.mark.parametrize(
    ("fault", "raised", "place"),
    [
        pytest.param({"action": "drop"}, ConnectionClosedError, "", id="unanswered"),
        pytest.param(
            {"action": "error", "code": "InternalServerException"},
            ClientError,
            "[account {account} (tiny), us-east-2",
            id="broken",
        ),
    ],
)
def test_a_call_whose_retry_is_held_back_came_to_what_its_first_attempt_came_to(
    sandbox: Any,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    fault: dict[str, Any],
    raised: type[Exception],
    place: str,
) -> None:
    monkeypatch.setattr(limits, "BURST", 1.0)
    monkeypatch.setattr(limits, "RATE", 0.01)
    told: list[Attempt] = []
    aws = Aws("us-east-2", endpoint_url=sandbox.endpoint, clock=clock, observe=told.append)
    drs = aws.scope(sandbox.reached(), "us-east-2", recovery=True).client("drs")
    sandbox.control.add_fault(operation="UpdateLaunchConfiguration", times=1, **fault)

    with pytest.raises(raised) as found:
        drs.update_launch_configuration(sourceServerID=sandbox.servers()[0], copyPrivateIp=True)

    assert [a.outcome for a in told if a.service == "drs"] == ["InDoubt", "NotSent"]
    assert classify(found.value).kind is ErrorClass.IN_DOUBT
    assert place.format(account=sandbox.account) in str(found.value)


@pytest.mark.aws
@pytest.mark.parametrize("before", [False, True])
def test_calls_that_belong_together_were_not_sent_only_if_none_of_them_was(
    sandbox: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    monkeypatch.setattr(limits, "FAILURES", 1)
    aws = Aws("us-east-2", endpoint_url=sandbox.endpoint, clock=clock)
    scope, server = aws.scope(sandbox.reached(), "us-east-2", recovery=True), sandbox.servers()[0]
    sandbox.control.add_fault(operation="DescribeJobs", action="drop", times=1)

    def update(_: object) -> None:
        scope.client("drs").update_launch_configuration(sourceServerID=server, copyPrivateIp=True)

    def batch() -> None:
        with aws.recording():
            if before:
                scope.each(update, [None])
            with pytest.raises(ConnectionClosedError):
                scope.client("drs", once=True).describe_jobs(filters={})
            scope.each(update, [None])

    with pytest.raises(PartlySentError if before else CircuitOpenError):
        batch()
    assert len(sandbox.calls("UpdateLaunchConfiguration")) == before


@pytest.mark.aws
def test_a_refusal_for_the_rate_makes_the_next_calls_wait(sandbox: Any, clock: Clock) -> None:
    aws = Aws("us-east-2", endpoint_url=sandbox.endpoint, clock=clock, sleep=clock.sleep)
    drs = aws.scope(sandbox.reached(), "us-east-2", recovery=True).client("drs", once=True)
    sandbox.control.add_fault(
        service="drs", action="error", code="ThrottlingException", status=429, times=6
    )
    for _ in range(6):
        with pytest.raises((ClientError, RateLimitError)):
            drs.describe_jobs(filters={})

    drs.describe_jobs(filters={})

    assert sum(clock.slept) > 1.0


@pytest.mark.aws
def test_each_attempt_is_told_with_what_came_of_it(
    sandbox: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Attempt] = []
    aws = Aws("us-east-2", endpoint_url=sandbox.endpoint, sleep=clock.sleep, observe=told.append)
    drs = aws.scope(sandbox.reached(), "us-east-2", recovery=True).client("drs", once=True)
    drs.describe_jobs(filters={})
    sandbox.control.add_fault(
        service="drs", action="error", code="ThrottlingException", status=429, times=1
    )
    with pytest.raises(ClientError):
        drs.describe_jobs(filters={})
    monkeypatch.setattr(limits, "FAILURES", 1)
    sandbox.control.add_fault(service="drs", operation="DescribeJobs", action="drop", times=1)
    with pytest.raises(Exception, match="closed"):
        drs.describe_jobs(filters={})
    assert [c for c in aws.circuits() if c.is_open] == [
        Circuit(sandbox.account, "us-east-2", "drs", of_endpoint=False, is_open=True)
    ]
    with pytest.raises(CircuitOpenError):
        drs.describe_jobs(filters={})

    mine = [a for a in told if a.service == "drs"]
    assert [a.outcome for a in mine] == ["Ok", "Throttled", "InDoubt", "NotSent"]
    assert {(a.account_id, a.region, a.operation) for a in mine} == {
        (sandbox.account, "us-east-2", "DescribeJobs")
    }
    assert all(0 <= a.seconds < 60 for a in mine)
    assert [a.operation for a in told if a.service == "sts"] == ["AssumeRole"]


@pytest.mark.parametrize(
    ("answer", "exception", "outcome"),
    [
        ({"ResponseMetadata": {"HTTPStatusCode": 200}}, None, "Ok"),
        ({"Error": {"Code": "ThrottledException"}}, None, "Throttled"),
        (
            {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}},
            None,
            "Denied",
        ),
        (
            {"Error": {"Code": "InternalError"}, "ResponseMetadata": {"HTTPStatusCode": 500}},
            None,
            "InDoubt",
        ),
        (None, EndpointConnectionError(endpoint_url="http://x"), "Transient"),
        (None, ValueError("not AWS's"), "InDoubt"),
    ],
)
def test_what_came_of_an_attempt_has_the_classes_of_errors(
    answer: Any, exception: Exception | None, outcome: str
) -> None:
    assert outcome_of(answer, exception, "DescribeJobs") == outcome
