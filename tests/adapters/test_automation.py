"""SSM Automation: a document runs once, whatever happens to answers and attempts."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from leeward_adapters.base import IrreversibleError, Phase, State, Target
from leeward_sandbox.aws.automation import AutomationDocument
from leeward_sandbox.aws.estates import tiny

pytestmark = pytest.mark.aws

DOCUMENTS: list[dict[str, Any]] = [
    {"name": "Drain", "parameters": {"Queue": None}, "steps": [{"name": "drain", "seconds": 90}]},
    {
        "name": "Breaks",
        "steps": [
            {"name": "prepare"},
            {"name": "notify", "failure": "the topic may not be published to"},
        ],
    },
    {"name": "Asks", "steps": [{"name": "ask", "action": "aws:approve"}]},
    {
        "name": "Long",
        "steps": [
            *({"name": f"step-{n}", "seconds": 0} for n in range(25)),
            {"name": "last", "failure": "at the end"},
        ],
    },
]


@pytest.fixture
def documents(make_sandbox: Any, new_account: Any) -> Any:
    """An account with the documents in both Regions."""
    account = new_account()
    (plain,) = tiny(account=account).accounts
    made = [AutomationDocument.model_validate(document) for document in DOCUMENTS]
    documented = plain.model_copy(update={"automation_documents": made})
    return make_sandbox(estate=tiny(account=account, accounts=[documented]))


def automation(make_task: Any, sandbox: Any, document: str = "Drain", **more: Any) -> Any:
    block: dict[str, Any] = {"documentName": document, "documentVersion": "1"}
    if document == "Drain":
        block["parameters"] = {"Queue": ["orders"]}
    block |= more.pop("block", {})
    given = {"kind": "automation", "phase": Phase.ACTIVATE} | more
    return make_task(sandbox, ["drain"], settings={"automation": block}, **given)


def executions(sandbox: Any, region: str = "us-east-2") -> list[dict[str, Any]]:
    sandbox.control.advance(2)
    answer = sandbox.client("ssm", region).describe_automation_executions()
    found: list[dict[str, Any]] = answer["AutomationExecutionMetadataList"]
    return found


@pytest.mark.parametrize(
    ("phase", "region"),
    [
        (Phase.FENCE, "us-east-1"),
        (Phase.INSTANTIATE, "us-east-2"),
        (Phase.ACTIVATE, "us-east-2"),
    ],
)
def test_a_document_is_run_in_its_region(
    documents: Any, make_task: Any, phase: Phase, region: str
) -> None:
    task = automation(make_task, documents, phase=phase, region=region)

    task.advance_once()
    assert task.seen("drain").state is State.RUNNING
    assert "at step drain" in task.seen("drain").message
    seen = task.run()["drain"]

    (execution,) = executions(documents, region)
    assert (seen.state, seen.reference) == (State.DONE, execution["AutomationExecutionId"])
    assert execution["DocumentVersion"] == "1"
    (started,) = documents.calls("StartAutomationExecution")
    assert started["params"]["Parameters"] == {"Queue": ["orders"]}
    tags = {tag["Key"]: tag["Value"] for tag in started["params"]["Tags"]}
    assert tags["leeward:task"] == task.token
    assert len(tags) <= 5


def test_a_failure_names_the_step_and_its_message_and_a_retry_runs_it_again(
    documents: Any, make_task: Any
) -> None:
    task = automation(make_task, documents, "Breaks")

    seen = task.run()["drain"]

    assert (seen.state, seen.reason) == (State.FAILED, "AutomationFailed")
    assert "ended Failed in step notify: the topic may not be published to. Mend" in seen.message
    assert f"account {documents.account}, us-east-2" in seen.message
    repaired = {"account": documents.account, "region": "us-east-2", "document": "Breaks"}
    documents.control.backend("ssm", repaired | {"steps": [{"name": "prepare"}]})
    task.next_attempt()
    assert task.run()["drain"].state is State.DONE
    assert len(executions(documents)) == 2


def test_the_step_that_failed_is_found_among_many(documents: Any, make_task: Any) -> None:
    seen = automation(make_task, documents, "Long").run()["drain"]

    assert "in step last: at the end" in seen.message


def test_an_execution_whose_start_was_not_answered_is_found_by_its_tags(
    documents: Any, make_task: Any
) -> None:
    task = automation(make_task, documents)
    documents.control.add_fault(
        service="ssm", operation="StartAutomationExecution", action="drop", when="after", times=1
    )
    with pytest.raises(HTTPClientError):
        task.act("start")
    assert len(documents.calls("StartAutomationExecution")) == 1, "it is never sent twice"
    assert task.seen("drain").state is State.NEEDED  # the list lags
    documents.control.advance(2)

    seen = task.seen("drain")

    (execution,) = executions(documents)
    assert (seen.state, seen.reference) == (State.RUNNING, execution["AutomationExecutionId"])
    assert task.run()["drain"].state is State.DONE
    assert len(executions(documents)) == 1


def test_a_new_attempt_joins_what_is_still_running(documents: Any, make_task: Any) -> None:
    task = automation(make_task, documents)
    task.act("start")
    documents.control.advance(2)
    task.next_attempt()
    assert task.seen("drain").state is State.RUNNING

    assert task.run()["drain"].state is State.DONE

    task.next_attempt()
    assert task.seen("drain").state is State.DONE
    assert len(executions(documents)) == 1


def test_executions_of_other_tasks_are_not_taken_for_its_own(
    documents: Any, make_task: Any
) -> None:
    automation(make_task, documents).run()

    other = automation(make_task, documents)

    assert other.seen("drain").state is State.NEEDED
    assert other.run()["drain"].state is State.DONE
    assert len(executions(documents)) == 2


def test_an_automation_that_asks_says_so(documents: Any, make_task: Any) -> None:
    task = automation(make_task, documents, "Asks")
    task.act("start")
    documents.control.advance(3600)

    seen = task.seen("drain")

    assert seen.state is State.RUNNING
    assert "is Waiting at step ask; it waits for somebody's answer" in seen.message
    documents.client("ssm").send_automation_signal(
        AutomationExecutionId=seen.reference, SignalType="Reject"
    )
    assert task.run()["drain"].state is State.FAILED


def test_what_ssm_does_not_show_yet_is_waited_for(documents: Any, make_task: Any) -> None:
    task = automation(make_task, documents)
    task.act("start")
    documents.control.add_fault(
        service="ssm", operation="GetAutomationExecution", action="error", times=1,
        code="AutomationExecutionNotFoundException",
    )  # fmt: skip

    assert "does not show" in task.seen("drain").message
    assert task.run()["drain"].state is State.DONE


@pytest.mark.parametrize(
    ("document", "version", "code"),
    [
        ("Nothing", "1", "AutomationDefinitionNotFoundException"),
        ("Drain", "2", "AutomationDefinitionVersionNotFoundException"),
    ],
)
def test_a_document_that_is_not_there_is_said_before_and_refused_by_ssm(
    documents: Any, make_task: Any, document: str, version: str, code: str
) -> None:
    task = automation(make_task, documents, document, block={"documentVersion": version})
    attributes = {"documentName": document, "documentVersion": version}
    target = Target("drain", "", attributes=attributes)

    (finding,) = task.adapter.readiness(documents.scope(), [target])
    with pytest.raises(ClientError) as refused:
        task.act("start")

    assert (finding.severity, finding.reason) == ("Blocking", "DocumentMissing")
    response: Any = refused.value.response
    assert response["Error"]["Code"] == code


def test_only_automation_documents_are_ready(documents: Any, make_task: Any) -> None:
    content = '{"schemaVersion": "2.2", "mainSteps": []}'
    documents.client("ssm").create_document(Name="Shell", Content=content, DocumentType="Command")
    named = [
        Target(n, "", attributes={"documentName": n, "documentVersion": "1"})
        for n in ("Drain", "Shell")
    ]

    adapter = automation(make_task, documents).adapter
    findings = adapter.readiness(documents.scope(), named)

    assert [(f.reason, f.target) for f in findings] == [("NotAnAutomation", "Shell")]


def test_a_test_runs_no_document_and_nothing_is_undone(documents: Any, make_task: Any) -> None:
    task = automation(make_task, documents, operation="Test")

    assert task.run()["drain"].reason == "NotInATest"
    assert executions(documents) == []
    assert all(t.irreversible and t.instead for t in task.adapter.phases.values())
    with pytest.raises(IrreversibleError, match="automation of drain"):
        task.undo()


def test_it_calls_only_what_it_declares(documents: Any, make_task: Any) -> None:
    task = automation(make_task, documents, "Long")
    last = documents.control.last_seq()
    task.run()
    task.next_attempt()
    task.observe()
    target = Target("drain", "", attributes={"documentName": "Long", "documentVersion": "1"})
    task.adapter.readiness(documents.scope(), [target])

    used = {f"ssm:{c['operation']}" for c in documents.control.calls(since=last, service="ssm")}

    declared = task.adapter.permissions
    assert used <= declared["Read"] | declared["Activate"]
    assert declared["Read"] <= used
