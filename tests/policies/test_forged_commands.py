"""Commands that must be refused, each with the reason that its author is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

World = Any  # conftest.World
Answer = Any  # conftest.Answer
ALICE = "approver-a@example.com"
BOB = "approver-b@example.com"
DUTY = "operator-on-duty@example.com"
FOUR_EYES = {"fourEyes": "Required"}
ROLE = "arn:aws:sts::111111111111:assumed-role/Oncall"
SESSIONS = f"{ROLE}/ann@example.com", f"{ROLE}/botocore-session-1"


def gate(name: str = "wave-2", state: str = "Waiting", **more: Any) -> dict[str, Any]:
    times = {"askedAt": "2026-01-01T00:00:00Z", "deadline": "2026-01-01T00:30:00Z"}
    place = {"name": name, "id": "1", "wave": "wave-2", "before": "Activate"}
    return place | times | {"state": state, "required": 1} | more


def answer_of(user: str, verdict: str) -> dict[str, Any]:
    return {"user": user, "verdict": verdict, "time": "2026-01-01T00:00:00Z"}


def condition(kind: str, status: str) -> dict[str, Any]:
    time = "2026-01-01T00:00:00Z"
    return {"type": kind, "status": status, "reason": "Test", "lastTransitionTime": time}


def without_verb(w: World) -> Answer:
    intruder = w.intruder
    return intruder.annotate(w.waiting(), approve_wave_2=intruder.user)


def in_anothers_name(w: World) -> Answer:
    return w.bob.annotate(w.waiting(), approve_wave_2=ALICE)


def admin_in_anothers_name(w: World) -> Answer:
    return w.admin.annotate(w.waiting(), approve_wave_2=ALICE)


def operator_in_anothers_name(w: World) -> Answer:
    return w.operator.annotate(w.waiting(), approve_wave_2=ALICE)


def operator_as_itself(w: World) -> Answer:
    return w.operator.annotate(w.waiting(), approve_wave_2=w.operator.user)


def name_as_prefix(w: World) -> Answer:
    return w.bob.annotate(w.waiting(), approve_wave_2=BOB + ".uk")


def name_without_space(w: World) -> Answer:
    return w.bob.annotate(w.waiting(), approve_wave_2=BOB + ":checked")


def name_in_a_comment(w: World) -> Answer:
    return w.caller(f"{ALICE}: hi", "dr-approvers").annotate(
        w.waiting(), approve_wave_2=f"{ALICE}: hi"
    )


def name_with_a_space_at_its_end(w: World) -> Answer:
    # A header cannot end in a plain space; a name in a certificate can.
    caller = w.caller(f"{ALICE}\N{NO-BREAK SPACE}", "dr-approvers")
    return caller.annotate(w.waiting(), approve_wave_2=caller.user)


def too_long(w: World) -> Answer:
    return w.alice.annotate(w.waiting(), approve_wave_2=f"{ALICE}: {'x' * 500}")


def too_long_in_bytes(w: World) -> Answer:
    return w.alice.annotate(w.waiting(), approve_wave_2=f"{ALICE}: {'€' * 200}")


def of_two_lines(w: World) -> Answer:
    return w.alice.annotate(w.waiting(), approve_wave_2=f"{ALICE}: ok\n{BOB} agrees")


def before_it_is_asked(w: World) -> Answer:
    return w.alice.annotate(w.waiting(), approve_wave_3=ALICE)


def to_a_gate_that_the_run_does_not_have(w: World) -> Answer:
    run = w.waiting()
    frozen = [{"name": name, "wave": "two", "before": "Activate"} for name in ("wave-2", "wave-3")]
    w.status(run, frozenGates=frozen)
    return w.alice.annotate(run, approve_wave_4=ALICE)


def before_any_gate_is_asked(w: World) -> Answer:
    return w.alice.annotate(w.execution(), approve_wave_2=ALICE)


def after_it_was_approved(w: World) -> Answer:
    return w.alice.annotate(w.waiting(gate(state="Approved")), approve_wave_2=ALICE)


def after_it_timed_out(w: World) -> Answer:
    return w.alice.annotate(w.waiting(gate(state="TimedOut")), approve_wave_2=ALICE)


def after_the_run_has_ended(w: World) -> Answer:
    run = w.waiting()
    w.status(run, conditions=[condition("Succeeded", "False")])
    return w.alice.annotate(run, approve_wave_2=ALICE)


def pause_after_the_run_has_ended(w: World) -> Answer:
    run = w.waiting()
    w.status(run, conditions=[condition("Succeeded", "True")])
    return w.duty.annotate(run, pause=DUTY)


def by_an_approver_of_another_gate(w: World) -> Answer:
    run = w.waiting(gate(approvers={"users": [BOB], "groups": ["dba"]}))
    return w.alice.annotate(run, approve_wave_2=ALICE)


def rejection_by_an_approver_of_another_gate(w: World) -> Answer:
    run = w.waiting(gate(approvers={"users": [], "groups": ["dba"]}))
    return w.alice.annotate(run, reject_wave_2=ALICE)


def by_the_requester(w: World) -> Answer:
    # Somebody who may both ask and approve.
    both = w.caller(ALICE, "dr-approvers", "dr-operators")
    return both.annotate(w.waiting(gate(**FOUR_EYES), by=both), approve_wave_2=ALICE)


def of_a_service_accounts_request(w: World) -> Answer:
    robot = w.caller("system:serviceaccount:ci:deployer", "developers")
    run = w.waiting(gate(**FOUR_EYES), by=robot, startBefore="2030-01-01T00:00:00Z")
    return w.alice.annotate(run, approve_wave_2=ALICE)


def by_a_service_account_under_four_eyes(w: World) -> Answer:
    robot = w.caller("system:serviceaccount:ci:approver", "dr-approvers")
    return robot.annotate(w.waiting(gate(**FOUR_EYES)), approve_wave_2=robot.user)


def by_another_session_of_the_requester(w: World) -> Answer:
    asked, answers = (w.caller(s, "dr-approvers", "dr-operators") for s in SESSIONS)
    run = w.waiting(gate(**FOUR_EYES), by=asked)
    return answers.annotate(run, approve_wave_2=answers.user)


def twice_by_two_sessions(w: World) -> Answer:
    run = w.waiting()
    first, second = (w.caller(s, "dr-approvers") for s in SESSIONS)
    assert first.annotate(run, approve_wave_2=f"{first.user}: fine").ok
    return second.annotate(run, approve_wave_2__second=second.user)


def again_by_another_session(w: World) -> Answer:
    first, second = (w.caller(s, "dr-approvers") for s in SESSIONS)
    run = w.waiting(gate(required=2, answers=[answer_of(first.user, "Approve")]))
    return second.annotate(run, approve_wave_2=second.user)


def twice_under_another_suffix(w: World) -> Answer:
    run = w.waiting()
    assert w.alice.annotate(run, approve_wave_2=ALICE).ok
    return w.alice.annotate(run, approve_wave_2__second=f"{ALICE}: me again")


def twice_in_one_request(w: World) -> Answer:
    return w.alice.annotate(w.waiting(), approve_wave_2__a=ALICE, approve_wave_2__b=ALICE)


def again_after_it_was_recorded(w: World) -> Answer:
    run = w.waiting(gate(required=2, answers=[answer_of(ALICE, "Approve")]))
    return w.alice.annotate(run, approve_wave_2=ALICE)


def over_anothers_approval(w: World) -> Answer:
    run = w.waiting()
    assert w.alice.annotate(run, approve_wave_2=ALICE).ok
    return w.bob.annotate(run, approve_wave_2=BOB)


def over_ones_own_approval(w: World) -> Answer:
    run = w.waiting()
    assert w.alice.annotate(run, approve_wave_2=ALICE).ok
    return w.alice.annotate(run, approve_wave_2=f"{ALICE}: with a comment")


def removal_of_anothers_approval(w: World) -> Answer:
    run = w.waiting()
    assert w.alice.annotate(run, approve_wave_2=ALICE).ok
    return w.bob.annotate(run, approve_wave_2=None)


def removal_of_anothers_rejection_by_admin(w: World) -> Answer:
    run = w.waiting()
    assert w.alice.annotate(run, reject_wave_2=f"{ALICE}: no").ok
    return w.admin.annotate(run, reject_wave_2=None)


def removal_of_anothers_pause(w: World) -> Answer:
    run = w.waiting()
    assert w.duty.annotate(run, pause=DUTY).ok
    return w.intruder.annotate(run, pause=None)


def while_it_is_recorded(w: World) -> Answer:
    run = w.waiting(gate(required=2))
    w.status(run, accepting={"key": "leeward.dev/approve-wave-2", "value": ALICE})
    return w.bob.annotate(run, approve_wave_2=BOB)


def withdrawal_after_it_was_recorded(w: World) -> Answer:
    run = w.waiting(gate(required=2))
    assert w.alice.annotate(run, approve_wave_2=ALICE).ok
    w.status(run, accepting={"key": "leeward.dev/approve-wave-2", "value": ALICE})
    return w.alice.annotate(run, approve_wave_2=None)


def destructive_without_its_verb(w: World) -> Answer:
    run = w.waiting(gate("cleanup-wave-2", before="Cleanup"))
    return w.alice.annotate(run, approve_cleanup_wave_2=ALICE)


def pause_by_a_developer(w: World) -> Answer:
    return w.intruder.annotate(w.waiting(), pause=w.intruder.user)


def cancel_by_an_approver(w: World) -> Answer:
    return w.alice.annotate(w.waiting(), cancel=ALICE)


def cancel_in_anothers_name(w: World) -> Answer:
    return w.intruder.annotate(w.waiting(), cancel=DUTY)


def pause_from_git(w: World) -> Answer:
    sync = w.caller("system:serviceaccount:argocd:argocd-application-controller", "developers")
    return sync.annotate(w.waiting(), pause=sync.user)


def unknown_command(w: World) -> Answer:
    return w.duty.annotate(w.waiting(), hurry=DUTY)


def gate_with_a_capital(w: World) -> Answer:
    return w.alice.annotate(w.waiting(), **{"approve-Wave-2": ALICE})


def task_command_on_the_execution(w: World) -> Answer:
    return w.duty.annotate(w.waiting(), retry=DUTY)


def replaced_without_annotations(w: World) -> Answer:
    run = w.waiting()
    assert w.alice.annotate(run, approve_wave_2=ALICE).ok
    whole = w.intruder.get("drexecutions", run)
    del whole["metadata"]["annotations"]["leeward.dev/approve-wave-2"]
    return w.intruder.replace("drexecutions", run, whole)


def applied_server_side(w: World) -> Answer:
    run = w.waiting()
    body = w.manifest(run)
    body["metadata"]["annotations"] = {"leeward.dev/approve-wave-2": ALICE}
    return w.intruder.apply("drexecutions", run, body)


def approved_and_paused_in_one(w: World) -> Answer:
    return w.alice.annotate(w.waiting(), approve_wave_2=ALICE, pause=ALICE)


def no_room_for_commands(w: World) -> Answer:
    notes = {"metadata": {"annotations": {f"note-{n}": "x" * 10000 for n in range(7)}}}
    return w.intruder.patch("drexecutions", w.waiting(), notes)


FORGERIES: list[tuple[Callable[[World], Answer], str]] = [
    (without_verb, "needs the verb approve on recoveryplans.leeward.dev/approval"),
    (in_anothers_name, f'must be your own user name, or that, a colon, a space and a comment; '
     f'you are {BOB}'),
    (admin_in_anothers_name, "you are admin: kubectl annotate drx"),
    (operator_in_anothers_name, "the value of leeward.dev/approve-wave-2 must be your own"),
    (operator_as_itself, "needs the verb approve on"),
    (name_as_prefix, "must be your own user name"),
    (name_without_space, f'leeward.dev/approve-wave-2="{BOB}"'),
    (name_in_a_comment, "your user name holds a colon followed by a space"),
    (name_with_a_space_at_its_end, "begins or ends with a space"),
    (too_long, "at most 512 bytes"),
    (too_long_in_bytes, "at most 512 bytes"),
    (of_two_lines, "one line"),
    (before_it_is_asked, 'has not been asked, and no gate is answered before it is; waiting now: '),
    (to_a_gate_that_the_run_does_not_have, "the gates of the run are wave-2, wave-3; waiting"),
    (before_any_gate_is_asked, "no gate waits for an answer now"),
    (after_it_was_approved, "cannot be answered any more, it is Approved"),
    (after_it_timed_out, "cannot be answered any more, it is TimedOut"),
    (after_the_run_has_ended, "has ended, so leeward.dev/approve-wave-2 can change nothing"),
    (pause_after_the_run_has_ended, "has ended, so leeward.dev/pause can change nothing"),
    (by_an_approver_of_another_gate, f"it is answered by user {BOB}, group dba"),
    (rejection_by_an_approver_of_another_gate, "is not an approver of gate wave-2"),
    (by_the_requester, f"four eyes: {ALICE} asked for execution orders/"),
    (of_a_service_accounts_request, "nobody can tell which person that was"),
    (by_a_service_account_under_four_eyes, "is a service account, and gate wave-2 asks for"),
    (by_another_session_of_the_requester, f"four eyes: {SESSIONS[1]} asked for execution orders/"),
    (twice_by_two_sessions, "answers gate wave-2 once, whatever the suffix"),
    (again_by_another_session, "is already recorded for gate wave-2"),
    (twice_under_another_suffix, "answers gate wave-2 once, whatever the suffix"),
    (twice_in_one_request, "answers gate wave-2 once, whatever the suffix"),
    (again_after_it_was_recorded, "is already recorded for gate wave-2"),
    (over_anothers_approval, f'approve-wave-2.2="{BOB}"'),
    (over_ones_own_approval, "withdraw it first: kubectl annotate drx"),
    (removal_of_anothers_approval, "is withdrawn by the one who gave it"),
    (removal_of_anothers_rejection_by_admin, "is withdrawn by the one who gave it"),
    (removal_of_anothers_pause, "is withdrawn by the one who gave it"),
    (while_it_is_recorded, "was recorded a moment ago"),
    (withdrawal_after_it_was_recorded, "cannot be withdrawn any more"),
    (destructive_without_its_verb, "needs the verb approve-destructive"),
    (pause_by_a_developer, "needs the verb operate on recoveryplans.leeward.dev/operation"),
    (cancel_by_an_approver, "may not give leeward.dev/cancel to runs of plan orders/orders-east"),
    (cancel_in_anothers_name, "the value of leeward.dev/cancel must be your own user name"),
    (pause_from_git, "needs the verb operate"),
    (unknown_command, "leeward.dev/hurry is not a command of an execution"),
    (gate_with_a_capital, "is not a command of an execution"),
    (task_command_on_the_execution, "and relaunch are written on a DRTask: kubectl get drt"),
    (replaced_without_annotations, "If you replace the whole object, keep its annotations"),
    (applied_server_side, "the value of leeward.dev/approve-wave-2 must be your own user name"),
    (approved_and_paused_in_one, "needs the verb operate"),
    (no_room_for_commands, "so that there is always room for commands"),
]  # fmt: skip


@pytest.mark.parametrize(("forge", "said"), FORGERIES, ids=[f.__name__ for f, _ in FORGERIES])
def test_a_forged_or_misplaced_command_is_refused_with_its_reason(
    world: World, forge: Callable[[World], Answer], said: str
) -> None:
    answer = forge(world)
    assert answer.status in {403, 422}, answer
    assert "ValidatingAdmissionPolicy 'leeward-" in answer.message
    assert said in answer.message
    assert len(answer.message) < 1000


def test_metadata_in_a_write_of_the_status_gives_no_command(world: World) -> None:
    run = world.waiting()
    whole = world.operator.get("drexecutions", run)
    whole["metadata"]["annotations"]["leeward.dev/approve-wave-2"] = ALICE
    assert world.operator.replace("drexecutions/status", run, whole).ok
    annotations = world.admin.get("drexecutions", run)["metadata"]["annotations"]
    assert "leeward.dev/approve-wave-2" not in annotations
