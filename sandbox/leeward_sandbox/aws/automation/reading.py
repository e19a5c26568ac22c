"""Lists and views of executions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from leeward_sandbox.aws.automation.executions import Execution, Progress, progress
from leeward_sandbox.aws.backend import AwsError

_PAGE: Final = 50
_Filter = Callable[[Execution, Progress, Sequence[str]], bool]
_FILTERS: Final[dict[str, _Filter]] = {
    "DocumentNamePrefix": lambda e, p, values: e.document.startswith(tuple(values)),
    "ExecutionId": lambda e, p, values: e.id in values,
    "ExecutionStatus": lambda e, p, values: p.status in values,
    "StartTimeAfter": lambda e, p, values: e.started > _time(values[0]),
    "StartTimeBefore": lambda e, p, values: e.started < _time(values[0]),
    "TagKey": lambda e, p, values: any(value in e.tags for value in values),
}


def selected(
    executions: Sequence[Execution], filters: Sequence[dict[str, Any]], now: datetime
) -> list[Execution]:
    """The executions that every filter lets through, the newest first.

    Raises:
        AwsError: InvalidFilterKey for one that the sandbox lacks, InvalidFilterValue.
    """
    for one in filters:
        if one["Key"] not in _FILTERS:
            raise AwsError("InvalidFilterKey", f"The sandbox does not filter by {one['Key']}")
    found = [
        execution
        for execution in executions
        if all(
            _FILTERS[one["Key"]](execution, progress(execution, now), one["Values"])
            for one in filters
        )
    ]
    return sorted(found, key=lambda e: e.started, reverse=True)


def page(items: Sequence[Any], params: dict[str, Any]) -> tuple[Sequence[Any], dict[str, str]]:
    """One page, and `NextToken` where there is more.

    Raises:
        AwsError: InvalidNextToken.
    """
    token = params.get("NextToken", "0")
    if not token.isdecimal():
        raise AwsError("InvalidNextToken", f"{token} is no token of this list")
    start = int(token)
    end = start + params.get("MaxResults", _PAGE)
    return items[start:end], {"NextToken": str(end)} if end < len(items) else {}


def metadata(execution: Execution, now: datetime) -> dict[str, Any]:
    """A member of AutomationExecutionMetadataList."""
    return _common(execution, now) | {"AutomationType": "Local", "LogFile": ""}


def detail(execution: Execution, now: datetime, most_steps: int) -> dict[str, Any]:
    """AutomationExecution, with at most so many steps."""
    steps = progress(execution, now).steps
    return _common(execution, now) | {
        "Parameters": execution.parameters,
        "StepExecutions": [step.view(execution) for step in steps[:most_steps]],
        "StepExecutionsTruncated": len(steps) > most_steps,
        "ProgressCounters": {
            "TotalSteps": len(steps),
            "SuccessSteps": sum(step.status == "Success" for step in steps),
            "FailedSteps": sum(step.status == "Failed" for step in steps),
            "CancelledSteps": sum(step.status == "Cancelled" for step in steps),
            "TimedOutSteps": 0,
        },
    }


def steps(execution: Execution, filters: Sequence[dict[str, Any]], now: datetime) -> list[Any]:
    """The members of StepExecutions that the filters let through.

    Raises:
        AwsError: InvalidFilterKey for one that the sandbox lacks.
    """
    found = list(progress(execution, now).steps)
    for one in filters:
        if one["Key"] == "StepExecutionStatus":
            found = [step for step in found if step.status in one["Values"]]
        elif one["Key"] == "StepName":
            found = [step for step in found if step.step.name in one["Values"]]
        else:
            raise AwsError("InvalidFilterKey", f"The sandbox does not filter by {one['Key']}")
    return [step.view(execution) for step in found]


def _common(execution: Execution, now: datetime) -> dict[str, Any]:
    seen = progress(execution, now)
    shown: dict[str, Any] = {
        "AutomationExecutionId": execution.id,
        "DocumentName": execution.document,
        "DocumentVersion": execution.version,
        "AutomationExecutionStatus": seen.status,
        "ExecutionStartTime": execution.started,
        "ExecutedBy": execution.principal,
        "Outputs": {},
        "Mode": "Auto",
        "Targets": [],
        "ResolvedTargets": {"ParameterValues": [], "Truncated": False},
    }
    if seen.end is not None:
        shown["ExecutionEndTime"] = seen.end
    if seen.current is not None:
        shown["CurrentStepName"] = seen.current.step.name
        shown["CurrentAction"] = seen.current.step.action
    failed = next((step for step in seen.steps if step.status == "Failed"), None)
    if failed is not None:
        message = failed.step.failure or "Step was rejected"
        shown["FailureMessage"] = f"Step {failed.step.name} failed: {message}"
    return shown


def _time(text: str) -> datetime:
    try:
        read = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise AwsError("InvalidFilterValue", f"{text} is no time") from error
    return read if read.tzinfo else read.replace(tzinfo=UTC)
