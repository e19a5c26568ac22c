"""Classes of AWS errors: which may be tried again, which are final, which leave doubt.

Codes are compared as strings, because any operation can answer with codes that its model lacks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
)

from leeward_adapters.bad_answers import BadAnswerError
from leeward_adapters.base import ErrorClass, IrreversibleError
from leeward_adapters.breaker import (
    CircuitOpenError,
    NothingChangedError,
    NotSentError,
    PartlySentError,
)


@dataclass(frozen=True, slots=True)
class Fault:
    """An AWS error, classified."""

    kind: ErrorClass
    code: str
    message: str
    retry_after: float | None = None
    """Seconds that AWS asked for, or that calls are held back for."""
    request_id: str = ""
    """AWS's id of the request, where it answered."""


class CredentialsDelayedError(CredentialRetrievalError):
    """What gives the operator's own credentials is not to be had just now."""


THROTTLES: Final = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottledException",
        "RequestThrottled",
        "RequestLimitExceeded",
        "TooManyRequestsException",
        "ProvisionedThroughputExceededException",
        "BandwidthLimitExceeded",
        "SlowDown",
        "EC2ThrottledException",
        "PriorRequestNotComplete",
        "APICallRateForCustomerExceeded",
        "APICallRateForCustomerExceededFault",
        "KMSThrottling",
    }
)
QUOTAS: Final = re.compile(
    r"\w*(Quota|Limit)Exceeded(Exception|Fault)?"
    r"|Insufficient\w*Capacity(Exception|Fault)?"
    r"|InsufficientCapacityOnHost"
    r"|TooManyRequests"  # EFS: throughput may be changed once a day
)
"""A limit, also of what AWS has to give. botocore takes LimitExceededException for throttling."""
CONFLICTS: Final = re.compile(
    r"Invalid\w*State(Exception|Fault)?|Incorrect\w*State|\w*InProgress(Exception|Fault)?"
    r"|ConflictException|ResourceInUse(Exception|Fault)?|ResourceContention"
)
"""The resource is busy, or in another state than the call wants. The wire's codes drop `Fault` for
some services and keep it for others."""
DENIALS: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "UnauthorizedOperation",
        "UnauthorizedException",
        "AuthFailure",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
    }
)
EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_PASSING: Final = frozenset(
    {
        "RequestTimeout",
        "RequestTimeoutException",
        "RequestTimeTooSkewed",
        "SnapshotCreationPerVolumeRateExceeded",
    }
)
"""With HTTP status 400 or 403: AWS waited in vain for the request's end; it arrived too long after
it was signed, as from a machine that stood still, and the next is signed anew; or one volume, not
the service as with `THROTTLES`, was asked for too much. AWS did nothing."""
NEVER_LEFT: Final = (
    NotSentError,
    NoCredentialsError,
    CredentialRetrievalError,
    EndpointConnectionError,
    ConnectTimeoutError,
)
"""Errors of an attempt of which AWS got nothing."""


def classify(error: Exception) -> Fault:
    """Class of an error that a botocore client, or an adapter's undo(), raised.

    An HTTP 5xx or a lost connection is IN_DOUBT: the call may have taken effect. So is an answer
    that is not AWS's, to what changes something. What never left this process (bad parameters, no
    credentials, no route) is not.
    """
    if isinstance(error, ClientError):
        return _of_client_error(error)
    if isinstance(error, ParamValidationError):
        return Fault(ErrorClass.FINAL, "ParamValidationError", str(error))
    if isinstance(error, CredentialsDelayedError):
        return Fault(ErrorClass.TRANSIENT, type(error).__name__.removesuffix("Error"), str(error))
    if isinstance(error, NoCredentialsError | CredentialRetrievalError):
        return Fault(ErrorClass.DENIED, type(error).__name__, str(error))
    if isinstance(error, NotSentError):
        code = "CircuitOpen" if isinstance(error, CircuitOpenError) else "RateLimited"
        return Fault(ErrorClass.TRANSIENT, code, str(error), error.kwargs["seconds"])
    if isinstance(error, PartlySentError):
        return Fault(ErrorClass.TRANSIENT, "PartlySent", str(error), error.kwargs["seconds"])
    if isinstance(error, NothingChangedError):
        return replace(classify(error.kwargs["error"]), kind=ErrorClass.TRANSIENT)
    if isinstance(error, BadAnswerError):
        kind = ErrorClass.IN_DOUBT if error.kwargs["doubt"] else ErrorClass.TRANSIENT
        return Fault(kind, "BadAnswer", str(error))
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError):
        return Fault(ErrorClass.TRANSIENT, type(error).__name__, str(error))
    if isinstance(error, IrreversibleError):
        return Fault(ErrorClass.FINAL, "Irreversible", str(error))
    if isinstance(error, BotoCoreError):
        return Fault(ErrorClass.IN_DOUBT, type(error).__name__, str(error))
    raise error


def mistake(error: Exception) -> Fault:
    """A mistake of Leeward's own, in an adapter's code or met by an answer that nobody expected.

    What was asked for before it may have been done.
    """
    why = f"{type(error).__name__}: {error}"[:300]
    return Fault(
        ErrorClass.IN_DOUBT,
        "InternalError",
        f"a mistake of Leeward, not of AWS: {why}. Its log has the whole of it: please report it",
    )


def leaves_doubt(error: BaseException) -> bool:
    """Whether a call that ended so may have taken effect, or may still."""
    if not isinstance(error, ClientError | BotoCoreError):
        return False
    return classify(error).kind is ErrorClass.IN_DOUBT


def begun(error: Exception) -> HTTPClientError:
    """The error of a batch of which AWS has taken a part already: it leaves doubt.

    Whatever refused the call that failed, of the batch as a whole it cannot be said that nothing
    came of it.
    """
    return HTTPClientError(error=error)


def _of_client_error(error: ClientError) -> Fault:
    answer: Any = error.response
    metadata = answer.get("ResponseMetadata", {})
    status, hint = metadata.get("HTTPStatusCode", 0), metadata.get("HTTPHeaders", {})
    code = answer.get("Error", {}).get("Code", "Unknown")
    kind = _kind(code, status)
    after = hint.get("retry-after", "") if kind in _HINTED else ""
    return Fault(
        kind,
        code,
        answer.get("Error", {}).get("Message", ""),
        float(after) if after.replace(".", "", 1).isdigit() else None,
        metadata.get("RequestId") or "",
    )


_HINTED: Final = frozenset({ErrorClass.TRANSIENT, ErrorClass.IN_DOUBT})


def _kind(code: str, status: int) -> ErrorClass:
    if code in THROTTLES or status == 429 or code in EXPIRED or code in _PASSING:
        return ErrorClass.TRANSIENT
    if QUOTAS.fullmatch(code):
        return ErrorClass.QUOTA
    if CONFLICTS.fullmatch(code):
        return ErrorClass.CONFLICT
    if code in DENIALS:
        return ErrorClass.DENIED
    return ErrorClass.IN_DOUBT if status >= 500 or status == 0 else ErrorClass.FINAL
