"""AWS Systems Manager Automation: a document of the plan's own, run once."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Final

from botocore.exceptions import ClientError

from leeward_adapters.base import (
    ActionTraits,
    Call,
    Finding,
    IrreversibleError,
    Observed,
    Phase,
    PhaseTraits,
    Scope,
    Seen,
    State,
    Step,
    Target,
)
from leeward_adapters.ec2 import place

START: Final = "start"
_SUCCEEDED: Final = frozenset({"Success", "CompletedWithSuccess"})
_FAILED: Final = frozenset(
    {
        "TimedOut",
        "Cancelled",
        "Failed",
        "Rejected",
        "ChangeCalendarOverrideRejected",
        "CompletedWithFailure",
        "Exited",
    }
)
_WAITING: Final = frozenset({"Waiting", "PendingApproval", "PendingChangeCalendarOverride"})
_UNDER_WAY: Final = frozenset(
    {
        "Pending",
        "InProgress",
        "Cancelling",
        "Approved",
        "Scheduled",
        "RunbookInProgress",
        "ChangeCalendarOverrideApproved",
    }
)
_TAGS: Final = ("leeward:hub", "leeward:namespace", "leeward:execution", "leeward:task")
"""With `leeward:call` the five that StartAutomationExecution takes."""
_CLOCKS: Final = timedelta(minutes=5)
"""As far as the operator's clock may be ahead of AWS's."""
_MESSAGE: Final = 500
"""Characters of SSM's own message, so that the remedy behind it is not cut off."""
_INSTEAD: Final = "only its author knows what a document did; run one that takes it back"
_TOKENS: Final = uuid.UUID("0b7a3c52-8d1e-5f64-9a0b-3e2f7c6d5a41")
_MISSING: Final = frozenset({"InvalidDocument", "InvalidDocumentVersion"})


class Automation:
    """Documents of type Automation, one execution for each target.

    A target's id is the name of the plan's task; `settings["automation"]` gives document, its
    pinned version and its parameters. The document runs in the account and Region of the scope,
    is done when SSM says that it succeeded, and runs once: an execution that this task started,
    in whatever attempt, is found by its tags, and one that is under way or succeeded is not
    started again. What the document does is its author's, so nothing here can undo it. A Test is
    refused: nothing says that the document would spare production.
    """

    kind: ClassVar[str] = "automation"
    phases: ClassVar[Mapping[Phase, PhaseTraits]] = dict.fromkeys(
        (Phase.FENCE, Phase.INSTANTIATE, Phase.ACTIVATE),
        PhaseTraits(inert=False, irreversible=True, instead=_INSTEAD),
    )
    # SSM takes a client token, but a lost answer is looked up all the same: a later batch of the
    # same task has another token, and would start the document a second time.
    actions: ClassVar[Mapping[str, ActionTraits]] = {START: ActionTraits(repeatable=False, batch=1)}
    permissions: ClassVar[Mapping[str, frozenset[str]]] = {
        "Read": frozenset(
            {
                "ssm:DescribeAutomationExecutions",
                "ssm:DescribeAutomationStepExecutions",
                "ssm:DescribeDocument",
                "ssm:GetAutomationExecution",
                "ssm:ListTagsForResource",
            }
        ),
        **dict.fromkeys(
            ("Fence", "Instantiate", "Activate"),
            frozenset({"iam:PassRole", "ssm:AddTagsToResource", "ssm:StartAutomationExecution"}),
        ),
    }

    def readiness(self, scope: Scope, targets: Sequence[Target]) -> Sequence[Finding]:
        """Blocking for documents that the scope's Region does not have, or that cannot be run.

        A target's attributes `documentName` and `documentVersion` say which.
        """
        return [finding for target in targets for finding in _unfit(scope, target)]

    def observe(self, scope: Scope, step: Step) -> Observed:
        """The status of the execution that this task started, if it did."""
        if step.drill:
            seen = Seen(
                State.REFUSED,
                reason="NotInATest",
                message="an automation is not run in a Test: it could touch production",
            )
            return Observed({t.id: seen for t in step.targets})
        return Observed({t.id: _seen(scope, step, t) for t in step.targets})

    def act(self, scope: Scope, step: Step, action: str, call: str, batch: Sequence[Target]) -> str:
        """StartAutomationExecution; answers the execution's id.

        It is sent once. The client token follows from the call, for whatever repeats the request on
        its way.
        """
        given = step.settings["automation"]
        parameters = {"Parameters": given["parameters"]} if given.get("parameters") else {}
        tags = {key: step.tags[key] for key in _TAGS if key in step.tags} | {"leeward:call": call}
        answer = scope.client("ssm", once=True).start_automation_execution(
            DocumentName=given["documentName"],
            DocumentVersion=given["documentVersion"],
            ClientToken=str(uuid.uuid5(_TOKENS, call)),
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
            **parameters,
        )
        return str(answer["AutomationExecutionId"])

    def verify(self, scope: Scope, step: Step) -> Observed:
        """SSM's verdict is the proof; observe() has read it."""
        return self.observe(scope, step)

    def undo(self, scope: Scope, step: Step, call: str, batch: Sequence[Target]) -> str:
        """Nothing is known of what the document did."""
        names = ", ".join(target.id for target in batch)
        raise IrreversibleError(f"automation of {names} in {place(scope)}: {_INSTEAD}")


def _seen(scope: Scope, step: Step, target: Target) -> Seen:
    call = step.calls.get(target.id)
    if call is not None and call.reference:
        execution = _execution(scope, call.reference)
        if execution is not None:
            return _judged(scope, execution)
        message = f"SSM in {place(scope)} does not show automation {call.reference} yet"
        return Seen(State.RUNNING, message=message, reference=call.reference)
    found = _started_before(scope, step, call)
    if found is not None:
        return found
    message = f"document {step.settings['automation']['documentName']} is to be run"
    return Seen(State.NEEDED, action=START, message=message)


def _execution(scope: Scope, identifier: str) -> Mapping[str, Any] | None:
    """The execution; None where SSM does not know it, as right after its start."""
    try:
        answer = scope.client("ssm").get_automation_execution(AutomationExecutionId=identifier)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "AutomationExecutionNotFoundException":
            raise
        return None
    execution: Mapping[str, Any] = answer["AutomationExecution"]
    return execution


def _started_before(scope: Scope, step: Step, call: Call | None) -> Seen | None:
    """What became of an execution that this task started, the newest first.

    With a call in doubt only that call's counts. Without one, this is a new attempt: what earlier
    ones started counts unless it failed.
    """
    for identifier, tags in _tagged(scope, step):
        if call is not None and tags.get("leeward:call") != call.id:
            continue
        execution = _execution(scope, identifier)
        if execution is None:
            continue
        seen = _judged(scope, execution)
        if call is not None or seen.state is not State.FAILED:
            return seen
    return None


def _tagged(scope: Scope, step: Step) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Ids and tags of the executions of the document that this task started, the newest first.

    SSM filters by a tag's key alone, and its list shows no tags.
    """
    ssm = scope.client("ssm")
    since = (step.started - _CLOCKS).strftime("%Y-%m-%dT%H:%M:%SZ")
    document = step.settings["automation"]["documentName"].rpartition("/")[2]
    pages = ssm.get_paginator("describe_automation_executions").paginate(
        Filters=[
            {"Key": "DocumentNamePrefix", "Values": [document]},
            {"Key": "StartTimeAfter", "Values": [since]},
            {"Key": "TagKey", "Values": ["leeward:task"]},
        ]
    )
    listed = [one for page in pages for one in page["AutomationExecutionMetadataList"]]
    for one in sorted(listed, key=lambda e: e["ExecutionStartTime"], reverse=True):
        identifier = one["AutomationExecutionId"]
        answer = ssm.list_tags_for_resource(ResourceType="Automation", ResourceId=identifier)
        tags = {tag["Key"]: tag["Value"] for tag in answer["TagList"]}
        if tags.get("leeward:task") == step.token:
            yield identifier, tags


def _judged(scope: Scope, execution: Mapping[str, Any]) -> Seen:
    identifier, status = execution["AutomationExecutionId"], execution["AutomationExecutionStatus"]
    named = f"automation {identifier} of document {execution['DocumentName']}"
    if status in _SUCCEEDED:
        return Seen(State.DONE, message=f"{named}: {status}", reference=identifier)
    if status in _FAILED:
        return Seen(
            State.FAILED,
            reason="AutomationFailed",
            message=f"{named} version {execution['DocumentVersion']} in {place(scope)} ended "
            f"{status}{_cause(scope, execution)}. Mend the cause, then retry: the document runs "
            "again from its beginning",
            reference=identifier,
        )
    doing = f"{named} is {status}"
    if current := execution.get("CurrentStepName"):
        doing += f" at step {current}"
    if status in _WAITING:
        doing += "; it waits for somebody's answer in SSM (ssm send-automation-signal)"
    elif status not in _UNDER_WAY:
        doing += ", a status that Leeward does not know; it goes on looking"
    return Seen(State.RUNNING, message=doing, reference=identifier)


def _cause(scope: Scope, execution: Mapping[str, Any]) -> str:
    """The step that failed and why, as the end of a sentence."""
    step = next((s for s in _steps(scope, execution) if s["StepStatus"] in _FAILED), None)
    message = (step or {}).get("FailureMessage") or execution.get("FailureMessage", "")
    where = f" in step {step['StepName']}" if step else ""
    return where + (f": {message[:_MESSAGE].rstrip('.')}" if message else "")


def _steps(scope: Scope, execution: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The execution's steps; of more than GetAutomationExecution shows, those that failed."""
    if not execution.get("StepExecutionsTruncated"):
        return list(execution.get("StepExecutions", ()))
    pages = (
        scope.client("ssm")
        .get_paginator("describe_automation_step_executions")
        .paginate(
            AutomationExecutionId=execution["AutomationExecutionId"],
            Filters=[{"Key": "StepExecutionStatus", "Values": ["Failed", "TimedOut", "Cancelled"]}],
        )
    )
    return [step for page in pages for step in page["StepExecutions"]]


def _unfit(scope: Scope, target: Target) -> Iterator[Finding]:
    name, version = target.attributes["documentName"], target.attributes["documentVersion"]
    where = f"document {name} version {version} in {place(scope)}"
    try:
        answer = scope.client("ssm").describe_document(Name=name, DocumentVersion=version)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in _MISSING:
            raise
        message = f"there is no {where}: create or share it there, or correct the task"
        yield Finding("Blocking", "DocumentMissing", message, target.id)
        return
    document = answer["Document"]
    if document.get("DocumentType") != "Automation":
        message = f"{where} is of type {document.get('DocumentType')}, not Automation: correct it"
        yield Finding("Blocking", "NotAnAutomation", message, target.id)
    elif document.get("Status") != "Active":
        message = f"{where} is {document.get('Status')}, not Active: look at it in SSM"
        yield Finding("Blocking", "DocumentNotActive", message, target.id)
