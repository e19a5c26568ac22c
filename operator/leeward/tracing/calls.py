"""Spans of calls to AWS that change something, as the process itself saw them.

A call that reads has none: polling makes thousands of them, what one reads serves many tasks, and
what matters of its answer is on the record. Only what was sent for a run has a place in a trace.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta

from leeward.tracing.spans import NAMESPACE, Span, Value, attempt_id, call_id, root_id, trace_id
from leeward.work import Work, current
from leeward_adapters.calls import Attempt
from leeward_adapters.guards import reads


def of_call(attempt: Attempt, work: Work | None, now: datetime) -> Span | None:
    """The span of one attempt of a call that has just ended, or None where it has none.

    Its parent is the task's attempt for which it was made, or the execution.
    """
    if work is None or attempt.outcome == "NotSent" or reads(attempt.operation):
        return None
    parent = attempt_id(work.task, work.attempt) if work.task else root_id(work.execution)
    attributes: dict[str, Value] = {
        NAMESPACE: work.namespace,
        "rpc.system": "aws-api",
        "rpc.service": attempt.service,
        "rpc.method": attempt.operation,
        "cloud.provider": "aws",
        "cloud.region": attempt.region,
        "leeward.aws.outcome": attempt.outcome,
    }
    if attempt.account_id:
        attributes["cloud.account.id"] = attempt.account_id
    if attempt.request_id:
        attributes["aws.request_id"] = attempt.request_id
    failed = attempt.outcome != "Ok"
    if failed:
        attributes["error.type"] = attempt.code or attempt.outcome
    return Span(
        trace=trace_id(work.execution),
        id=call_id(uuid.uuid4().hex),
        parent=parent,
        name=f"{attempt.service}.{attempt.operation}",
        start=now - timedelta(seconds=attempt.seconds),
        end=now,
        known=now,
        attributes=attributes,
        error=f"{attempt.code or 'no answer'} ({attempt.outcome})" if failed else None,
        outward=True,
    )


def identify() -> Mapping[str, str]:
    """What a log line says of the trace that it belongs to."""
    if (work := current()) is None:
        return {}
    span = attempt_id(work.task, work.attempt) if work.task else root_id(work.execution)
    return {"trace_id": f"{trace_id(work.execution):032x}", "span_id": f"{span:016x}"}
