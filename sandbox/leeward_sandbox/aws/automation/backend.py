"""Systems Manager Automation: the backend that the gateway calls."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, Final

from pydantic import TypeAdapter

from leeward_sandbox.aws.automation import reading
from leeward_sandbox.aws.automation.documents import WAITING, AutomationStep, Runnable, runnable
from leeward_sandbox.aws.automation.executions import FINAL, Execution, progress
from leeward_sandbox.aws.backend import AwsError, Call, World

LISTED_AFTER: Final = timedelta(seconds=2)
"""How long DescribeAutomationExecutions takes to show a new execution, in virtual time."""
_STEPS: Final = 20
"""Steps that GetAutomationExecution shows; small, so that clients must ask for the rest."""
_TAGS: Final = 5
_LACKING: Final = (
    *("Targets", "TargetParameterName", "TargetMaps", "TargetLocations", "TargetLocationsURL"),
    *("AlarmConfiguration", "MaxConcurrency", "MaxErrors"),
)
_SIGNALS: Final = {"Approve": True, "Resume": True, "Reject": False}


@dataclass(slots=True)
class _Region:
    executions: dict[str, Execution] = field(default_factory=dict)
    tokens: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By client token: what was asked for with it, and the execution's id."""
    scripts: dict[str, tuple[AutomationStep, ...]] = field(default_factory=dict)
    """By document: steps that the control API gave it."""


class AutomationBackend:
    """Automation of every account and Region of the sandbox.

    An execution's state follows from the virtual clock when somebody asks. A document's steps
    say how long they take and whether they fail (`documents.AutomationStep`); `control` may
    change that for later executions.

    Args:
        world: clock and moto, which keeps the documents.
    """

    service: ClassVar[str] = "ssm"
    operations: ClassVar[frozenset[str] | None] = frozenset(
        {
            "DescribeAutomationExecutions",
            "DescribeAutomationStepExecutions",
            "GetAutomationExecution",
            "SendAutomationSignal",
            "StartAutomationExecution",
            "StopAutomationExecution",
        }
    )

    def __init__(self, world: World) -> None:
        self._world = world
        self._regions: dict[tuple[str, str], _Region] = {}

    def handle(self, call: Call) -> dict[str, Any]:
        """Answer one request; AwsError as SSM refuses it."""
        return _HANDLERS[call.operation](self, call)

    def control(self, body: dict[str, Any]) -> dict[str, Any]:
        """Change what running a document does.

        Args:
            body: `account`, `region`, `document` and `steps`, a list as in an estate.

        Raises:
            KeyError: one of them is missing.
            ValueError: the steps are malformed.
        """
        steps = TypeAdapter(list[AutomationStep]).validate_python(body["steps"])
        region = self._region(body["account"], body["region"])
        region.scripts[body["document"]] = tuple(steps)
        return {"document": body["document"], "steps": len(steps)}

    def execution(self, account: str, region: str, identifier: str) -> Execution:
        """The execution; AwsError if there is none."""
        found = self._region(account, region).executions.get(identifier)
        if found is None:
            raise AwsError(
                "AutomationExecutionNotFoundException",
                f"Automation execution {identifier} does not exist (account {account}, Region"
                f" {region})",
            )
        return found

    def start(self, call: Call) -> dict[str, Any]:
        """StartAutomationExecution: a token that was used gives its execution again."""
        region, params = self._region(call.account, call.region), call.params
        token = params.get("ClientToken", str(uuid.uuid4())).lower()
        asked = json.dumps({k: v for k, v in params.items() if k != "ClientToken"}, sort_keys=True)
        if token in region.tokens:
            before, identifier = region.tokens[token]
            if before != asked:
                raise AwsError(
                    "IdempotentParameterMismatch",
                    f"Client token {token} was used with other parameters (account {call.account},"
                    f" Region {call.region})",
                )
            return {"AutomationExecutionId": identifier}
        execution = self._execution(call, region)
        region.executions[execution.id] = execution
        region.tokens[token] = asked, execution.id
        return {"AutomationExecutionId": execution.id}

    def get(self, call: Call) -> dict[str, Any]:
        """GetAutomationExecution."""
        execution = self._named(call)
        return {"AutomationExecution": reading.detail(execution, call.now, _STEPS)}

    def describe(self, call: Call) -> dict[str, Any]:
        """DescribeAutomationExecutions: what was started just now is not listed yet."""
        known = self._region(call.account, call.region).executions.values()
        listed = [e for e in known if call.now - e.started >= LISTED_AFTER]
        found = reading.selected(listed, call.params.get("Filters", []), call.now)
        part, token = reading.page(found, call.params)
        shown = [reading.metadata(execution, call.now) for execution in part]
        return {"AutomationExecutionMetadataList": shown, **token}

    def describe_steps(self, call: Call) -> dict[str, Any]:
        """DescribeAutomationStepExecutions."""
        found = reading.steps(self._named(call), call.params.get("Filters", []), call.now)
        part, token = reading.page(found, call.params)
        return {"StepExecutions": list(part), **token}

    def stop(self, call: Call) -> dict[str, Any]:
        """StopAutomationExecution: Cancelling, then Cancelled."""
        execution = self._named(call)
        if execution.stopped is not None or progress(execution, call.now).status in FINAL:
            raise AwsError(
                "InvalidAutomationStatusUpdateException",
                f"Automation execution {execution.id} has ended or is being cancelled",
            )
        execution.stopped = call.now
        return {}

    def signal(self, call: Call) -> dict[str, Any]:
        """SendAutomationSignal to the step that waits."""
        execution, kind = self._named(call), call.params["SignalType"]
        current = progress(execution, call.now).current
        waits = current is not None and current.step.action in WAITING
        if kind not in _SIGNALS or current is None or not waits:
            raise AwsError(
                "InvalidAutomationSignalException",
                f"Automation execution {execution.id} has no step that takes {kind}",
            )
        execution.signals[current.step.name] = _SIGNALS[kind], call.now
        return {}

    def _execution(self, call: Call, region: _Region) -> Execution:
        params = call.params
        lacking = [name for name in _LACKING if name in params]
        if lacking or params.get("Mode", "Auto") != "Auto":
            raise AwsError(
                "ValidationException",
                "The sandbox's Automation has no Interactive mode, and does not take"
                f" {', '.join(_LACKING)}",
            )
        name, version = params["DocumentName"], params.get("DocumentVersion")
        document = runnable(self._world, call.account, call.region, name, version)
        tags = {tag["Key"]: tag["Value"] for tag in params.get("Tags", [])}
        if len(tags) > _TAGS:
            raise AwsError("ValidationException", f"An execution takes {_TAGS} tags")
        return Execution(
            id=str(uuid.uuid4()),
            document=document.name,
            version=document.version,
            parameters=_parameters(document, params.get("Parameters", {})),
            tags=tags,
            principal=call.principal,
            started=call.now,
            steps=region.scripts.get(document.name, document.steps),
        )

    def _named(self, call: Call) -> Execution:
        return self.execution(call.account, call.region, call.params["AutomationExecutionId"])

    def _region(self, account: str, region: str) -> _Region:
        return self._regions.setdefault((account, region), _Region())


_HANDLERS: Final[dict[str, Callable[[AutomationBackend, Call], dict[str, Any]]]] = {
    "DescribeAutomationExecutions": AutomationBackend.describe,
    "DescribeAutomationStepExecutions": AutomationBackend.describe_steps,
    "GetAutomationExecution": AutomationBackend.get,
    "SendAutomationSignal": AutomationBackend.signal,
    "StartAutomationExecution": AutomationBackend.start,
    "StopAutomationExecution": AutomationBackend.stop,
}


class AutomationTags:
    """Answers ListTagsForResource for executions; the rest is moto's."""

    service: ClassVar[str] = "ssm"
    operations: ClassVar[frozenset[str] | None] = frozenset({"ListTagsForResource"})
    answers: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, automation: AutomationBackend) -> None:
        self._automation = automation

    def before(self, call: Call) -> dict[str, Any] | None:
        """The tags that an execution was started with."""
        if call.params["ResourceType"] != "Automation":
            return None
        try:
            found = self._automation.execution(call.account, call.region, call.params["ResourceId"])
        except AwsError as error:
            raise AwsError("InvalidResourceId", error.message) from error
        return {"TagList": [{"Key": key, "Value": value} for key, value in found.tags.items()]}

    def after(self, call: Call, result: dict[str, Any]) -> dict[str, Any]:
        """Leave moto's answers alone."""
        return result


def _parameters(document: Runnable, given: dict[str, list[str]]) -> dict[str, list[str]]:
    """What the execution runs with: what is given, over the document's defaults."""
    unknown = sorted(given.keys() - document.parameters.keys())
    missing = sorted(n for n, d in document.parameters.items() if d is None and n not in given)
    if unknown or missing:
        words = [f"unknown: {', '.join(unknown)}"] if unknown else []
        words += [f"missing: {', '.join(missing)}"] if missing else []
        raise AwsError(
            "InvalidAutomationExecutionParametersException",
            f"Parameters of {document.name} version {document.version} are {'; '.join(words)}",
        )
    defaults = {name: [value] for name, value in document.parameters.items() if value is not None}
    return defaults | given
