from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leeward.api.execution import DRExecution
from leeward.api.gate_record import ApprovalRecord, FrozenGate, GateStatus
from leeward.api.task import DRTask
from leeward.planning.runs import gates
from leeward.planning.runs.waves import Stage
from leeward.planning.times import render_time

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
ROLE = "arn:aws:sts::111111111111:assumed-role/Oncall"
GOV_ROLE = "arn:aws-us-gov:sts::111111111111:assumed-role/Oncall"


def execution(operation: str = "Failover", **status: Any) -> DRExecution:
    spec = {
        "planRef": {"name": "shop"},
        "operation": operation,
        "approvalMode": status.pop("approvalMode", "Required"),
    }
    metadata = {"name": "shop-1", "namespace": "acme", "uid": "u-1"}
    return DRExecution.model_validate({"metadata": metadata, "spec": spec, "status": status})


def task(journal: bool = False) -> DRTask:
    spec = {
        "executionRef": {"name": "shop-1", "uid": "u-1"},
        "plan": "shop",
        "operation": "Failover",
        "mode": "Unplanned",
        "wave": "data",
        "waveOrdinal": 1,
        "recoveryPhase": "Activate",
        "technology": "drs",
        "account": "prod",
        "accountId": "111111111111",
        "region": "us-east-2",
        "sourceRegion": "us-east-1",
    }
    intent = {"id": "1", "action": "start", "resources": ["a"], "epoch": 1, "time": "2026-03-01"}
    status = {"journal": [intent] if journal else []}
    metadata = {"name": "shop-1-w1-activate-drs"}
    return DRTask.model_validate({"metadata": metadata, "spec": spec, "status": status})


def frozen(**fields: Any) -> FrozenGate:
    body = {"name": "wave-data", "wave": "data", "before": "Activate", **fields}
    return FrozenGate.model_validate(body)


def asked(run: DRExecution | None = None, **fields: Any) -> GateStatus:
    stage = Stage("data", 1, "Activate", (task(),))
    return gates.ask(run or execution(), frozen(**fields), stage, stage.tasks, "sha256:1", NOW)


def said(verdict: str, user: str = "ann", comment: str = "") -> ApprovalRecord:
    return ApprovalRecord.model_validate(
        {"user": user, "verdict": verdict, "time": "2026-03-01T02:01:00Z", "comment": comment}
    )


def after(gate: GateStatus, *answers: tuple[str, str]) -> GateStatus:
    for verdict, user in answers:
        gate = gates.answered(gate, said(verdict, user))
    return gate


# --- asking ------------------------------------------------------------------------------------


def test_a_gate_that_is_asked_waits_until_its_deadline_with_all_that_was_frozen() -> None:
    gate = asked(required=2, timeout="45m", fourEyes="Required", onReject="Fail")
    assert (gate.state, gate.required, gate.four_eyes) == ("Waiting", 2, "Required")
    assert (gate.on_reject, gate.on_timeout, gate.guard) == ("Fail", "Hold", "sha256:1")
    assert gate.deadline == render_time(NOW + timedelta(minutes=45))
    assert gate.answers == []


def test_automatic_approval_passes_a_gate_without_asking() -> None:
    assert asked(execution(approvalMode="Automatic")).state == "Automatic"


def test_automatic_approval_does_not_answer_for_data_that_is_lost() -> None:
    run = execution(approvalMode="Automatic")
    assert asked(run, dataLoss="Question").state == "Waiting"
    assert asked(run).state == "Automatic"


def test_a_gate_before_which_data_would_be_lost_wants_that_accepted_as_well() -> None:
    gate = asked(dataLoss="Question")
    message = gates.consequence(execution(), gate, []).message
    assert 'leeward.dev/accept-data-loss-wave-data="YOU"' in message
    approved = after(gate, ("Approve", "ann"))
    assert approved.state == "Waiting"
    assert after(approved, ("AcceptDataLoss", "bob")).state == "Approved"
    accepted = after(gate, ("AcceptDataLoss", "ann"))
    assert (accepted.state, accepted.data_loss) == ("Waiting", "Accepted")
    assert after(accepted, ("Approve", "ann")).state == "Approved"


def test_a_rejection_and_a_new_asking_take_back_that_the_loss_of_data_was_accepted() -> None:
    accepted = after(asked(dataLoss="Question"), ("AcceptDataLoss", "ann"))
    assert after(accepted, ("Reject", "bob")).data_loss == "Question"
    assert gates.reopened(accepted, NOW).data_loss == "Question"
    never = after(asked(), ("Reject", "bob"))
    assert never.data_loss == "None"


def test_a_rejection_stands_when_the_answers_become_void_and_an_approval_counts_anew() -> None:
    rejected = after(asked(required=2), ("Approve", "ann"), ("Reject", "bob"))
    gate = gates.reopened(rejected, NOW)
    assert (gate.state, gate.guard) == ("Rejected", "")
    assert "rejected by bob" in gates.consequence(execution(), gate, []).message
    assert gates.standing(after(gate, ("Approve", "cleo")).answers) == {"cleo"}
    approved = gates.reopened(after(asked(required=2), ("Approve", "ann")), NOW)
    assert (approved.state, approved.answers) == ("Waiting", [])


def glass(operation: str = "Failover", **status: Any) -> DRExecution:
    broken = {"user": "ann", "time": "2026-03-01T02:00:00Z"}
    return execution(operation, breakGlass=broken, **status)


def test_once_the_glass_is_broken_one_person_opens_a_gate() -> None:
    gate = asked(glass(), required=3)
    assert (gate.required, gate.state) == (1, "Waiting")
    waiting = after(asked(required=2), ("Approve", "ann"))
    (opened,) = gates.glass_broken(execution(gates=[waiting.to_api()]))
    assert (opened.state, opened.required) == ("Approved", 1)


def test_breaking_the_glass_leaves_the_rule_on_four_eyes_to_what_it_still_holds_for() -> None:
    strict = {"required": 2, "fourEyes": "Required", "dataLoss": "Question"}
    assert asked(glass(), **strict).four_eyes == "Required"
    (kept,) = gates.glass_broken(execution(gates=[asked(**strict).to_api()]))
    assert (kept.required, kept.four_eyes, kept.data_loss) == (1, "Required", "Question")


@pytest.mark.parametrize("operation", ["Cleanup", "Test"])
def test_breaking_the_glass_waives_nothing_where_things_are_destroyed_or_data_is_lost(
    operation: str,
) -> None:
    gate = asked(glass(operation=operation), required=2, before="Cleanup")
    assert gate.required == 2
    (kept,) = gates.glass_broken(execution(operation, gates=[gate.to_api()]))
    assert kept == gate
    losing = after(asked(glass(), dataLoss="Question"), ("Approve", "ann"))
    assert losing.state == "Waiting"


def test_a_long_finding_does_not_keep_the_gate_from_being_asked() -> None:
    gate = asked(execution(findings=["LagUnknown: " + "x" * 1000] * 30))
    assert len(gate.findings) == 20
    assert {len(f) for f in gate.findings[:-1]} == {256}
    assert gate.findings[-1] == "there are more: status.findings of the run has them"
    assert "there are more" not in asked(execution(findings=["LagUnknown: x"] * 20)).findings[-1]


def test_each_asking_of_a_gate_has_an_id_of_its_own() -> None:
    first = asked()
    again = asked(execution(gates=[first.to_api()]))
    assert first.id != again.id


# --- answers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("required", "answers", "state"),
    [
        (1, [("Approve", "ann")], "Approved"),
        (2, [("Approve", "ann")], "Waiting"),
        (2, [("Approve", "ann"), ("Approve", "ann")], "Waiting"),
        (2, [("Approve", "ann"), ("Approve", "bob")], "Approved"),
        (1, [("Reject", "ann")], "Rejected"),
        (2, [("Approve", "ann"), ("Reject", "bob")], "Rejected"),
        (2, [("Approve", "ann"), ("Reject", "bob"), ("Approve", "cy")], "Rejected"),
        (2, [("Reject", "bob"), ("Approve", "ann"), ("Approve", "bob")], "Approved"),
        (2, [("Approve", "ann"), ("Reject", "ann"), ("Approve", "bob")], "Rejected"),
    ],
)
def test_a_gate_is_passed_by_enough_different_people_since_the_last_rejection(
    required: int, answers: list[tuple[str, str]], state: str
) -> None:
    assert after(asked(required=required), *answers).state == state


def test_sessions_of_one_role_are_one_person() -> None:
    one, two = f"{ROLE}/ann", f"{ROLE}/bob"
    gate = after(asked(required=2), ("Approve", one), ("Approve", two))
    assert gate.state == "Waiting"
    assert len(gate.answers) == 1
    other = "arn:aws:sts::111111111111:assumed-role/Manager/cy"
    assert after(gate, ("Approve", other)).state == "Approved"


@pytest.mark.parametrize(
    ("user", "person"),
    [
        (f"{ROLE}/ann", ROLE),
        (f"{GOV_ROLE}/ann@example.com", GOV_ROLE),
        ("sso:ann@example.com", "sso:ann@example.com"),
        ("arn:aws:iam::111111111111:user/ann", "arn:aws:iam::111111111111:user/ann"),
        ("ann@example.com", "ann@example.com"),
    ],
)
def test_only_sessions_of_a_role_are_folded_into_one_person(user: str, person: str) -> None:
    assert gates.person(user) == person


ANN, BOB = "ann@example.com", "bob@example.com"
ROBOT = "system:serviceaccount:ci:deployer"
SESSION, OTHER_SESSION = f"{ROLE}/ann", f"{ROLE}/bob"


@pytest.mark.parametrize(
    ("asked_by", "user", "verdict", "why"),
    [
        (ANN, BOB, "Approve", ""),
        (ANN, ANN, "Approve", "asked for the run"),
        (ANN, ANN, "AcceptDataLoss", "asked for the run"),
        (ANN, ANN, "Reject", ""),
        (SESSION, OTHER_SESSION, "Approve", "asked for the run"),
        ("sso:ann", "sso:bob", "Approve", ""),
        (ANN, ROBOT, "Approve", "is a service account"),
        (ANN, ROBOT, "Reject", ""),
        (ROBOT, BOB, "Approve", "which person"),
        (None, BOB, "Approve", "which person"),
    ],
)
def test_under_four_eyes_an_answer_counts_of_another_person_than_asked(
    asked_by: str | None, user: str, verdict: str, why: str
) -> None:
    run = execution(requestedBy=asked_by)
    said_why = gates.four_eyes(run, asked(run, fourEyes="Required"), said(verdict, user))
    assert (why in said_why) if why else said_why == ""
    assert gates.four_eyes(run, asked(run), said(verdict, user)) == ""


@pytest.mark.parametrize(
    ("user", "verdict", "before", "counts"),
    [
        (ANN, "Approve", "Activate", True),
        (ANN, "AcceptDataLoss", "Activate", False),
        (ANN, "Approve", "Cleanup", False),
        (ROBOT, "Approve", "Activate", False),
    ],
)
def test_broken_glass_lets_the_requester_approve_what_neither_destroys_nor_loses(
    user: str, verdict: str, before: str, counts: bool
) -> None:
    run = glass(requestedBy=ANN)
    gate = asked(run, fourEyes="Required", before=before)
    assert (gates.four_eyes(run, gate, said(verdict, user)) == "") is counts


def test_one_person_who_approves_again_and_again_pushes_nobody_out() -> None:
    gate = after(asked(required=2), *[("Approve", "ann")] * 30)
    assert len(gate.answers) == 1
    assert after(gate, ("Approve", "bob")).state == "Approved"


def test_a_late_approval_counts_for_a_gate_that_timed_out() -> None:
    late = gates.timed_out(asked(required=2), NOW + timedelta(minutes=30))
    assert late.state == "TimedOut"
    assert after(late, ("Approve", "ann")).state == "TimedOut"
    assert after(late, ("Approve", "ann"), ("Approve", "bob")).state == "Approved"


@pytest.mark.parametrize("answer", ["Approve", "Reject"])
def test_an_answered_gate_does_not_time_out(answer: str) -> None:
    gate = after(asked(), (answer, "ann"))
    assert gates.timed_out(gate, NOW + timedelta(days=1)) == gate


def test_a_gate_waits_until_its_deadline() -> None:
    gate = asked()
    assert gates.timed_out(gate, NOW + timedelta(minutes=30, microseconds=-1)) == gate


# --- consequences ------------------------------------------------------------------------------


def test_a_gate_that_only_asks_for_data_counts_no_approvals() -> None:
    gate = asked(required=0, dataLoss="Question")
    message = gates.consequence(execution(), gate, []).message
    assert message.startswith("waiting for an answer at wave-data before Activate of wave data (u")
    assert "leeward.dev/approve-" not in message


def test_a_waiting_gate_says_how_to_approve_it() -> None:
    what = gates.consequence(execution(), asked(required=2), [])
    assert what.kind == "Wait"
    assert "0 of 2" in what.message
    assert "kubectl annotate drx shop-1 -n acme leeward.dev/approve-wave-data=" in what.message


@pytest.mark.parametrize(
    ("operation", "choice", "touched", "before", "kind"),
    [
        ("Failover", "Hold", False, "Activate", "Decide"),
        ("Failover", "Fail", False, "Activate", "Fail"),
        ("Failover", "Fail", True, "Activate", "Decide"),
        ("Failover", "SkipWave", False, "Activate", "Decide"),
        ("Failover", "SkipWave", True, "Activate", "Decide"),
        ("Test", "Hold", True, "Activate", "Decide"),
        ("Test", "Fail", True, "Activate", "Fail"),
        ("Test", "SkipWave", True, "Activate", "SkipWave"),
        ("Test", "SkipWave", True, "Cleanup", "Decide"),
        ("Test", "Fail", True, "Cleanup", "Decide"),
    ],
)
@pytest.mark.parametrize("state", ["Rejected", "TimedOut"])
def test_what_a_gate_does_that_was_not_passed(
    operation: str, choice: str, touched: bool, before: str, kind: str, state: str
) -> None:
    gate = asked(before=before, onReject=choice, onTimeout=choice)
    gate = gate.model_copy(update={"state": state, "answers": [said("Reject", "bob", "too late")]})
    assert gates.consequence(execution(operation), gate, [task(touched)]).kind == kind


def test_a_run_that_was_ever_mutated_is_not_failed_by_a_gate() -> None:
    gate = after(asked(onReject="Fail"), ("Reject", "bob"))
    assert gates.consequence(execution(mutated=True), gate, [task()]).kind == "Decide"


def test_each_trouble_has_its_own_choice() -> None:
    rejected = after(asked(onReject="Hold", onTimeout="Fail"), ("Reject", "bob"))
    assert gates.consequence(execution(), rejected, []).kind == "Decide"


def test_a_rejection_names_who_and_why() -> None:
    gate = gates.answered(asked(), said("Reject", "bob", "lag is 40 minutes"))
    assert "rejected by bob (lag is 40 minutes)" in gates.consequence(execution(), gate, []).message


def test_a_rejection_whose_record_became_void_still_holds_the_run() -> None:
    gate = after(asked(), ("Reject", "bob")).model_copy(update={"answers": []})
    what = gates.consequence(execution(), gate, [])
    assert (what.kind, "was rejected." in what.message) == ("Decide", True)
