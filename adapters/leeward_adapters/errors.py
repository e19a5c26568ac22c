"""Classes of AWS errors: which may be tried again, which are final, which leave doubt.

Codes are compared as strings, because any operation can answer with codes that its model lacks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
)

from leeward_adapters.base import ErrorClass, IrreversibleError


@dataclass(frozen=True, slots=True)
class Fault:
    """An AWS error, classified."""

    kind: ErrorClass
    code: str
    message: str
    retry_after: float | None = None
    """Seconds that AWS asked for."""


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


def classify(error: Exception) -> Fault:
    """Class of an error that a botocore client, or an adapter's undo(), raised.

    An HTTP 5xx or a lost connection is IN_DOUBT: the call may have taken effect. What never left
    this process (bad parameters, no credentials, no route) is not.
    """
    if isinstance(error, ClientError):
        return _of_client_error(error)
    if isinstance(error, ParamValidationError):
        return Fault(ErrorClass.FINAL, "ParamValidationError", str(error))
    if isinstance(error, NoCredentialsError | CredentialRetrievalError):
        return Fault(ErrorClass.DENIED, type(error).__name__, str(error))
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError):
        return Fault(ErrorClass.TRANSIENT, type(error).__name__, str(error))
    if isinstance(error, IrreversibleError):
        return Fault(ErrorClass.FINAL, "Irreversible", str(error))
    if isinstance(error, BotoCoreError):
        return Fault(ErrorClass.IN_DOUBT, type(error).__name__, str(error))
    raise error


def _of_client_error(error: ClientError) -> Fault:
    answer = error.response
    code = answer.get("Error", {}).get("Code", "Unknown")
    message = answer.get("Error", {}).get("Message", "")
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    hint = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("retry-after")
    after = float(hint) if hint and hint.replace(".", "", 1).isdigit() else None
    if code in THROTTLES or status == 429:
        return Fault(ErrorClass.TRANSIENT, code, message, after)
    if code in EXPIRED:
        return Fault(ErrorClass.TRANSIENT, code, message)
    if QUOTAS.fullmatch(code):
        return Fault(ErrorClass.QUOTA, code, message)
    if CONFLICTS.fullmatch(code):
        return Fault(ErrorClass.CONFLICT, code, message)
    if code in DENIALS:
        return Fault(ErrorClass.DENIED, code, message)
    if status >= 500 or status == 0:
        return Fault(ErrorClass.IN_DOUBT, code, message, after)
    return Fault(ErrorClass.FINAL, code, message)
