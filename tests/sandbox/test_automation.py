"""Automation runs documents over the virtual clock, once for each client token."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from leeward_sandbox.aws.automation import AutomationDocument
from leeward_sandbox.aws.control import ControlError
from leeward_sandbox.aws.estates import tiny

pytestmark = pytest.mark.aws

DOCUMENTS: list[dict[str, Any]] = [
    {
        "name": "Drain-Queues",
        "parameters": {"Queue": None, "Mode": "soft"},
        "steps": [
            {"name": "drain", "seconds": 60},
            {"name": "check", "seconds": 30, "failure": "no such queue", "when": {"Queue": "x"}},
        ],
    },
    {"name": "Ask-First", "steps": [{"name": "ask", "action": "aws:approve"}, {"name": "do"}]},
]


@pytest.fixture
def estate(serve: Callable[..., Any], new_account: Callable[[], str]) -> Any:
    account = new_account()
    documents = [AutomationDocument.model_validate(document) for document in DOCUMENTS]
    (plain,) = tiny(account=account).accounts
    documented = plain.model_copy(update={"automation_documents": documents})
    return serve(account, tiny(account=account, accounts=[documented]))


@pytest.fixture
def ssm(estate: Any) -> Any:
    return estate.client("ssm")


def run(ssm: Any, name: str = "Drain-Queues", **more: Any) -> str:
    if name == "Drain-Queues":
        more.setdefault("Parameters", {"Queue": ["orders"]})
    return str(ssm.start_automation_execution(DocumentName=name, **more)["AutomationExecutionId"])


def found(ssm: Any, identifier: str) -> dict[str, Any]:
    answer = ssm.get_automation_execution(AutomationExecutionId=identifier)
    execution: dict[str, Any] = answer["AutomationExecution"]
    return execution


def statuses(execution: dict[str, Any]) -> list[str]:
    return [
        execution["AutomationExecutionStatus"],
        *(step["StepStatus"] for step in execution["StepExecutions"]),
    ]


def refused(do: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as raised:
        do()
    response: Any = raised.value.response
    return str(response["Error"]["Code"])


def test_a_document_of_the_estate_runs_step_by_step(estate: Any, ssm: Any) -> None:
    described = ssm.describe_document(Name="Drain-Queues")["Document"]
    assert (described["DocumentType"], described["Status"]) == ("Automation", "Active")
    identifier = run(ssm, DocumentVersion="1")

    seen = [statuses(found(ssm, identifier))]
    for seconds in (59, 1, 30):
        estate.control.advance(seconds)
        seen.append(statuses(found(ssm, identifier)))

    assert seen == [
        ["InProgress", "InProgress", "Pending"],
        ["InProgress", "InProgress", "Pending"],
        ["InProgress", "Success", "InProgress"],
        ["Success", "Success", "Success"],
    ]
    execution = found(ssm, identifier)
    took = execution["ExecutionEndTime"] - execution["ExecutionStartTime"]
    assert took.total_seconds() == 90
    assert execution["Parameters"] == {"Queue": ["orders"], "Mode": ["soft"]}
    assert "CurrentStepName" not in execution


def test_a_step_fails_for_the_parameter_that_the_estate_names(estate: Any, ssm: Any) -> None:
    identifier = run(ssm, Parameters={"Queue": ["x"]})
    estate.control.advance(90)

    execution = found(ssm, identifier)

    assert statuses(execution) == ["Failed", "Success", "Failed"]
    assert execution["StepExecutions"][1]["FailureMessage"] == "no such queue"
    assert "no such queue" in execution["FailureMessage"]
    failed = ssm.describe_automation_step_executions(
        AutomationExecutionId=identifier,
        Filters=[{"Key": "StepExecutionStatus", "Values": ["Failed"]}],
    )
    assert [step["StepName"] for step in failed["StepExecutions"]] == ["check"]


def test_the_control_api_says_what_later_executions_do(estate: Any, ssm: Any) -> None:
    before = run(ssm)
    body = {"account": estate.account, "region": "us-east-1", "document": "Drain-Queues"}
    estate.control.backend("ssm", body | {"steps": [{"name": "only", "failure": "broken"}]})
    after = run(ssm)
    estate.control.advance(90)

    assert statuses(found(ssm, before)) == ["Success", "Success", "Success"]
    assert statuses(found(ssm, after)) == ["Failed", "Failed"]
    with pytest.raises(ControlError):
        estate.control.backend("ssm", body | {"steps": [{"name": "x", "colour": "red"}]})


def test_a_client_token_starts_one_execution(ssm: Any) -> None:
    token = str(uuid.uuid4())
    first = run(ssm, ClientToken=token)

    assert run(ssm, ClientToken=token.upper()) == first
    other = {"ClientToken": token, "Parameters": {"Queue": ["bills"]}}
    assert refused(lambda: run(ssm, **other)) == "IdempotentParameterMismatch"
    assert run(ssm) != first


def test_the_list_lags_and_is_filtered(estate: Any, ssm: Any) -> None:
    tags = [{"Key": "leeward:call", "Value": "c-1"}]
    first = run(ssm, Tags=tags)

    def listed(**filters: str) -> list[str]:
        asked = [{"Key": key, "Values": [value]} for key, value in filters.items()]
        pages = ssm.get_paginator("describe_automation_executions").paginate(
            Filters=asked, PaginationConfig={"PageSize": 1}
        )
        shown = [one for page in pages for one in page["AutomationExecutionMetadataList"]]
        return [one["AutomationExecutionId"] for one in shown]

    assert listed(DocumentNamePrefix="Drain") == []
    estate.control.advance(2)
    second = run(ssm)
    estate.control.advance(2)
    between = (found(ssm, first)["ExecutionStartTime"] + timedelta(seconds=1)).isoformat()
    assert listed(DocumentNamePrefix="Drain") == [second, first]
    assert listed(TagKey="leeward:call") == [first]
    assert listed(StartTimeAfter=between) == [second]
    assert listed(ExecutionStatus="Success") == []
    assert refused(lambda: listed(OpsItemId="oi-1")) == "InvalidFilterKey"
    assert refused(lambda: listed(StartTimeAfter="soon")) == "InvalidFilterValue"
    answer = ssm.list_tags_for_resource(ResourceType="Automation", ResourceId=first)
    assert answer["TagList"] == tags


def test_a_step_that_asks_waits_for_its_signal(estate: Any, ssm: Any) -> None:
    let, refuse = run(ssm, "Ask-First"), run(ssm, "Ask-First")
    estate.control.advance(3600)
    assert statuses(found(ssm, let)) == ["Waiting", "Waiting", "Pending"]
    assert found(ssm, let)["CurrentStepName"] == "ask"

    ssm.send_automation_signal(AutomationExecutionId=let, SignalType="Approve")
    ssm.send_automation_signal(AutomationExecutionId=refuse, SignalType="Reject")
    estate.control.advance(1)

    assert statuses(found(ssm, let)) == ["Success", "Success", "Success"]
    assert statuses(found(ssm, refuse)) == ["Failed", "Failed", "Pending"]
    again = {"AutomationExecutionId": let, "SignalType": "Approve"}
    assert (
        refused(lambda: ssm.send_automation_signal(**again)) == "InvalidAutomationSignalException"
    )


def test_a_stopped_execution_is_cancelled_after_a_while(estate: Any, ssm: Any) -> None:
    identifier = run(ssm)
    estate.control.advance(10)
    ssm.stop_automation_execution(AutomationExecutionId=identifier)
    assert statuses(found(ssm, identifier)) == ["Cancelling", "Cancelling", "Pending"]

    estate.control.advance(60)

    assert statuses(found(ssm, identifier)) == ["Cancelled", "Cancelled", "Pending"]
    stop = {"AutomationExecutionId": identifier}
    code = refused(lambda: ssm.stop_automation_execution(**stop))
    assert code == "InvalidAutomationStatusUpdateException"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"DocumentName": "No-Such"}, "AutomationDefinitionNotFoundException"),
        ({"DocumentVersion": "7"}, "AutomationDefinitionVersionNotFoundException"),
        ({"Parameters": {}}, "ValidationException"),
        ({"Parameters": {"Mode": ["hard"]}}, "InvalidAutomationExecutionParametersException"),
        (
            {"Parameters": {"Queue": ["orders"], "Color": ["red"]}},
            "InvalidAutomationExecutionParametersException",
        ),
        ({"Parameters": {"Queue": ["x" * 513]}}, "ValidationException"),
        ({"Tags": [{"Key": f"k{n}", "Value": "v"} for n in range(6)]}, "ValidationException"),
        ({"Mode": "Interactive"}, "ValidationException"),
        ({"ClientToken": "x" * 36}, "ValidationException"),
    ],
)
def test_what_cannot_be_started_is_refused(ssm: Any, asked: dict[str, Any], code: str) -> None:
    wanted = {"DocumentName": "Drain-Queues", "Parameters": {"Queue": ["orders"]}} | asked
    assert refused(lambda: ssm.start_automation_execution(**wanted)) == code


def test_a_document_of_a_client_runs_too_and_one_of_another_type_does_not(
    estate: Any, ssm: Any
) -> None:
    steps = [{"name": "sleep", "action": "aws:sleep", "inputs": {"Duration": "PT1S"}}]
    text = json.dumps({"schemaVersion": "0.3", "mainSteps": steps})
    ssm.create_document(Name="Mine", Content=text, DocumentType="Automation")
    text = json.dumps({"schemaVersion": "2.2", "mainSteps": []})
    ssm.create_document(Name="Shell", Content=text, DocumentType="Command")

    identifier = run(ssm, f"arn:aws:ssm:us-east-1:{estate.account}:document/Mine")
    estate.control.advance(1)

    assert statuses(found(ssm, identifier)) == ["Success", "Success"]
    assert refused(lambda: run(ssm, "Shell")) == "AutomationDefinitionNotFoundException"
    missing = str(uuid.uuid4())
    assert refused(lambda: found(ssm, missing)) == "AutomationExecutionNotFoundException"
