"""Gates that ask whether data may be lost: who accepts it, and when."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.cluster

World = Any  # conftest.World
TIME = "2026-01-01T00:00:00Z"
ALICE = "approver-a@example.com"
LOSER = "approver-c@example.com"


def gate(name: str = "wave-2", data_loss: str | None = "Question", **more: Any) -> dict[str, Any]:
    found = {"name": name, "id": "1", "wave": "wave-2", "before": "Activate", "state": "Waiting"}
    found |= {"required": 1, "askedAt": TIME, "deadline": TIME} | more
    return found | ({"dataLoss": data_loss} if data_loss else {})


def deciding(world: World, run: str) -> None:
    waiting = {"type": "WaitingForDecision", "status": "True", "reason": "TimedOut"}
    world.status(run, conditions=[waiting | {"lastTransitionTime": TIME}])


def test_one_person_accepts_and_approves_under_a_suffix_or_none(world: World) -> None:
    run = world.waiting(gate())
    loser = world.destroyer
    assert loser.annotate(run, accept_data_loss_wave_2__late=f"{LOSER}: 40 minutes, agreed").ok
    assert loser.annotate(run, approve_wave_2=LOSER).ok


def test_kubectl_accepts_and_a_refusal_names_what_would_pass(world: World) -> None:
    run = world.waiting(gate())
    key = "leeward.dev/accept-data-loss-wave-2"
    kubectl = world.cluster.kubectl
    refused = kubectl("annotate", "drx", run, f"{key}={ALICE}", user="approver-a", check=False)
    assert f"{ALICE} may not accept data loss at gate wave-2: needs the verb" in refused.stderr
    assert "ClusterRole leeward-destructive-approver" in refused.stderr
    kubectl("annotate", "drx", run, f"{key}=admin", user="admin")


@pytest.mark.parametrize("state", ["Rejected", "TimedOut"])
def test_a_gate_that_was_missed_takes_it_while_a_decision_is_waited_for(
    world: World, state: str
) -> None:
    run = world.waiting(gate(state=state))
    early = world.destroyer.annotate(run, accept_data_loss_wave_2=LOSER)
    assert f"cannot be answered any more, it is {state}" in early.message
    deciding(world, run)
    assert world.destroyer.annotate(run, accept_data_loss_wave_2=LOSER).ok


@pytest.mark.parametrize("data_loss", [None, "None"])
def test_a_gate_that_does_not_ask_takes_approvals_only(world: World, data_loss: str | None) -> None:
    run = world.waiting(gate(data_loss=data_loss))
    answer = world.destroyer.annotate(run, accept_data_loss_wave_2=LOSER)
    assert "does not ask whether data may be lost; it takes approvals" in answer.message
    passing = f'kubectl annotate drx {run} -n orders leeward.dev/approve-wave-2="{LOSER}"'
    assert passing in answer.message


def test_an_accepted_loss_is_not_accepted_again_but_may_be_at_another_gate(world: World) -> None:
    run = world.waiting(gate(data_loss="Accepted"), gate("wave-3"))
    answer = world.destroyer.annotate(run, accept_data_loss_wave_2=LOSER)
    assert "any more, that is accepted; one that does: " in answer.message
    assert f'leeward.dev/accept-data-loss-wave-3="{LOSER}"' in answer.message


def test_nothing_is_accepted_before_the_gate_is_asked(world: World) -> None:
    run = world.waiting(gate())
    answer = world.destroyer.annotate(run, accept_data_loss_wave_3=LOSER)
    assert "has not been asked, and no gate is answered before it is" in answer.message
    assert f"waiting now: kubectl annotate drx {run} -n orders " in answer.message
    assert f'leeward.dev/accept-data-loss-wave-2="{LOSER}"' in answer.message
    plain = world.waiting(gate(data_loss="None"))
    answer = world.destroyer.annotate(plain, accept_data_loss_wave_3=LOSER)
    assert f'leeward.dev/approve-wave-2="{LOSER}"' in answer.message
    answer = world.destroyer.annotate(world.execution(), accept_data_loss_wave_2=LOSER)
    assert "no gate waits for an answer now" in answer.message


def test_approvers_of_the_gate_accept_and_nobody_else(world: World) -> None:
    run = world.waiting(gate(approvers={"users": [ALICE], "groups": ["dba"]}))
    answer = world.destroyer.annotate(run, accept_data_loss_wave_2=LOSER)
    assert f"{LOSER} is not an approver of gate wave-2" in answer.message
    groups = ("dr-approvers", "dr-destroyers", "dba")
    dba = world.caller("dba@example.com", *groups)
    assert dba.annotate(run, accept_data_loss_wave_2=dba.user).ok


def test_four_eyes_hold_for_it(world: World) -> None:
    strict = gate(fourEyes="Required")
    both = world.caller(LOSER, "dr-approvers", "dr-destroyers", "dr-operators")
    own = both.annotate(world.waiting(strict, by=both), accept_data_loss_wave_2=LOSER)
    assert f"four eyes: {LOSER} asked for execution" in own.message
    assert "does not accept data loss at gate wave-2" in own.message
    robot = world.caller("system:serviceaccount:ci:deployer", "developers")
    asked = world.waiting(strict, by=robot, startBefore="2030-01-31T00:00:00Z")
    unknown = world.destroyer.annotate(asked, accept_data_loss_wave_2=LOSER)
    assert "nobody can accept data loss at gate wave-2" in unknown.message
    machine = world.caller("system:serviceaccount:ci:approver", "dr-destroyers", "dr-approvers")
    run = world.waiting(strict)
    answer = machine.annotate(run, accept_data_loss_wave_2=machine.user)
    assert "is a service account, and gate wave-2 asks for a person" in answer.message
    assert world.destroyer.annotate(run, accept_data_loss_wave_2=LOSER).ok


def test_one_person_accepts_once_whatever_the_suffix(world: World) -> None:
    run = world.waiting(gate())
    assert world.destroyer.annotate(run, accept_data_loss_wave_2=LOSER).ok
    again = world.destroyer.annotate(run, accept_data_loss_wave_2__b=LOSER)
    assert "answers gate wave-2 once, whatever the suffix" in again.message


def test_a_gate_whose_name_begins_like_the_command_keeps_its_own_answers(world: World) -> None:
    run = world.waiting(gate("data-loss-x", data_loss="None"), gate("x"))
    assert world.alice.annotate(run, approve_data_loss_x=ALICE).ok
    assert world.destroyer.annotate(run, accept_data_loss_x=LOSER).ok
