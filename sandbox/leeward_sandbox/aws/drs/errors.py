"""The errors of DRS with the codes, statuses and members of its model."""

from __future__ import annotations

from leeward_sandbox.aws.backend import AwsError

IN_A_JOB = (
    "One or more of the Source Servers included in API call are currently being processed by a Job"
)


def conflict(message: str, resource_id: str, resource_type: str) -> AwsError:
    """ConflictException 409 about one resource."""
    return AwsError(
        "ConflictException",
        message,
        status=409,
        resourceId=resource_id,
        resourceType=resource_type,
    )


def not_found(resource_id: str, resource_type: str, account: str, region: str) -> AwsError:
    """ResourceNotFoundException 404."""
    return AwsError(
        "ResourceNotFoundException",
        f"{resource_type} {resource_id} does not exist in account {account} in {region}",
        status=404,
        resourceId=resource_id,
        resourceType=resource_type,
    )


def invalid(message: str, field: str | None = None, reason: str = "other") -> AwsError:
    """ValidationException 400; `field` names the member that is at fault."""
    members = {"fieldList": [{"name": field, "message": message}]} if field else {}
    reason = "fieldValidationFailed" if field else reason
    return AwsError("ValidationException", message, status=400, reason=reason, **members)


def denied(message: str) -> AwsError:
    """AccessDeniedException 403."""
    return AwsError("AccessDeniedException", message, status=403)


def uninitialized(account: str, region: str) -> AwsError:
    """UninitializedAccountException 400: InitializeService was never called there."""
    return AwsError(
        "UninitializedAccountException",
        f"Account {account} is not initialized for Elastic Disaster Recovery in {region}",
        status=400,
    )


def quota_exceeded(message: str, quota_code: str) -> AwsError:
    """ServiceQuotaExceededException 402 with the code of the quota."""
    return AwsError(
        "ServiceQuotaExceededException",
        message,
        status=402,
        serviceCode="drs",
        quotaCode=quota_code,
    )
