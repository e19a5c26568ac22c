"""What AWS's error codes mean for whoever called."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    NoCredentialsError,
    ReadTimeoutError,
)

from leeward_adapters.base import ErrorClass
from leeward_adapters.breaker import NothingChangedError, PartlySentError, RateLimitError
from leeward_adapters.errors import classify, leaves_doubt


def refused(code: str, status: int = 400) -> ClientError:
    answer = {
        "Error": {"Code": code, "Message": "words"},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {}},
    }
    return ClientError(answer, "DoIt")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("Throttling", ErrorClass.TRANSIENT),
        ("RequestLimitExceeded", ErrorClass.TRANSIENT),
        ("BandwidthLimitExceeded", ErrorClass.TRANSIENT),
        ("APICallRateForCustomerExceededFault", ErrorClass.TRANSIENT),
        ("ExpiredToken", ErrorClass.TRANSIENT),
        ("RequestTimeout", ErrorClass.TRANSIENT),
        ("RequestTimeTooSkewed", ErrorClass.TRANSIENT),
        ("SnapshotCreationPerVolumeRateExceeded", ErrorClass.TRANSIENT),
        ("LimitExceededException", ErrorClass.QUOTA),
        ("ServiceQuotaExceededException", ErrorClass.QUOTA),
        ("InstanceQuotaExceeded", ErrorClass.QUOTA),
        ("DBClusterQuotaExceededFault", ErrorClass.QUOTA),
        ("VcpuLimitExceeded", ErrorClass.QUOTA),
        ("InsufficientInstanceCapacity", ErrorClass.QUOTA),
        ("InsufficientDBInstanceCapacity", ErrorClass.QUOTA),
        ("TooManyRequests", ErrorClass.QUOTA),
        ("InvalidDBInstanceState", ErrorClass.CONFLICT),
        ("InvalidDBClusterStateFault", ErrorClass.CONFLICT),
        ("InvalidStateException", ErrorClass.CONFLICT),
        ("IncorrectInstanceState", ErrorClass.CONFLICT),
        ("IncorrectFileSystemLifeCycleState", ErrorClass.CONFLICT),
        ("BackupInProgress", ErrorClass.CONFLICT),
        ("ScalingActivityInProgress", ErrorClass.CONFLICT),
        ("ResourceInUseException", ErrorClass.CONFLICT),
        ("ConflictException", ErrorClass.CONFLICT),
        ("AccessDeniedException", ErrorClass.DENIED),
        ("UnauthorizedOperation", ErrorClass.DENIED),
        ("InvalidParameterValue", ErrorClass.FINAL),
        ("DBInstanceNotFound", ErrorClass.FINAL),
        ("KMSInvalidStateException", ErrorClass.FINAL),
    ],
)
def test_a_refusal_is_judged_by_its_code(code: str, kind: ErrorClass) -> None:
    assert classify(refused(code)).kind is kind


def test_a_missing_resource_is_final_though_some_services_say_conflict_by_status() -> None:
    assert classify(refused("ResourceNotFoundException", 409)).kind is ErrorClass.FINAL


def test_a_host_without_room_is_a_limit_though_its_status_is_a_server_error() -> None:
    assert classify(refused("InsufficientCapacityOnHost", 500)).kind is ErrorClass.QUOTA


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_error_may_have_taken_effect(status: int) -> None:
    assert classify(refused("InternalFailure", status)).kind is ErrorClass.IN_DOUBT


def test_what_was_never_sent_did_nothing_and_a_lost_answer_may_have_done_it() -> None:
    where = {"endpoint_url": "http://127.0.0.1"}
    assert classify(ConnectTimeoutError(**where)).kind is ErrorClass.TRANSIENT
    assert classify(NoCredentialsError()).kind is ErrorClass.DENIED
    assert classify(ReadTimeoutError(**where)).kind is ErrorClass.IN_DOUBT


def test_a_batch_that_was_sent_in_part_is_told_from_one_that_was_not_sent() -> None:
    later = RateLimitError(service="drs", region="us-east-2", seconds=7.0)
    part = classify(PartlySentError(error=later, seconds=7.0))
    assert (classify(later).code, part.code) == ("RateLimited", "PartlySent")
    assert (part.kind, part.retry_after) == (ErrorClass.TRANSIENT, 7.0)
    assert part.message == f"sent in part, then {later}"


def test_a_batch_of_which_only_questions_were_sent_tells_why_and_is_tried_again() -> None:
    cause = refused("InternalFailure", 503)
    cause.response["ResponseMetadata"]["RequestId"] = "r-1"
    cause.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] = "3"
    nothing = NothingChangedError(error=cause)

    fault = classify(nothing)

    assert (fault.kind, fault.code) == (ErrorClass.TRANSIENT, "InternalFailure")
    assert (fault.message, fault.retry_after, fault.request_id) == ("words", 3.0, "r-1")
    assert not leaves_doubt(nothing)
