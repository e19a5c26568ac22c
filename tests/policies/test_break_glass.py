"""Broken glass: what it waives for one run, and what it does not."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.cluster

World = Any  # conftest.World
TIME = "2026-01-01T00:00:00Z"
ALICE = "approver-a@example.com"
LOSER = "approver-c@example.com"
LISTED = {"approvers": {"users": ["nobody-awake@example.com"], "groups": []}}
STRICT = {"fourEyes": "Required"}


def gate(name: str = "wave-2", **more: Any) -> dict[str, Any]:
    found = {"name": name, "id": "1", "wave": "wave-2", "before": "Activate", "state": "Waiting"}
    return found | {"required": 2, "askedAt": TIME, "deadline": TIME} | more


def broken(world: World, *gates: dict[str, Any], **more: Any) -> str:
    run: str = world.waiting(*gates, **more)
    world.status(run, breakGlass={"user": "sealed@example.com", "time": TIME, "comment": "3 am"})
    return run


def test_the_glass_is_broken_by_kubectl_once(world: World) -> None:
    run = world.waiting()
    value = f"{world.breaker.user}: nobody answers the telephone"
    assert world.breaker.annotate(run, break_glass=value).ok
    again = world.breaker.annotate(broken(world), break_glass=world.breaker.user)
    assert "was broken by sealed@example.com already" in again.message
    assert f'leeward.dev/approve-wave-2="{world.breaker.user}"' in again.message


def test_the_right_is_nobodys_until_it_is_bound(world: World) -> None:
    everything = ("dr-approvers", "dr-destroyers", "dr-operators", "developers")
    caller = world.caller("everything-else@example.com", *everything)
    answer = caller.annotate(world.waiting(), break_glass=caller.user)
    assert "nobody has until the ClusterRole leeward-break-glass is bound" in answer.message


def test_whoever_may_only_break_the_glass_approves_nothing(world: World) -> None:
    answer = world.breaker.annotate(broken(world), approve_wave_2=world.breaker.user)
    assert "needs the verb approve on recoveryplans.leeward.dev/approval" in answer.message


def test_an_approver_who_is_not_listed_approves_and_rejects_once_it_is_broken(
    world: World,
) -> None:
    whole = world.waiting(gate(**LISTED))
    assert "is not an approver of gate" in world.alice.annotate(whole, approve_wave_2=ALICE).message
    run = broken(world, gate(**LISTED))
    assert world.alice.annotate(run, approve_wave_2=ALICE).ok
    assert world.bob.annotate(run, reject_wave_2=world.bob.user).ok


def test_the_requester_approves_once_it_is_broken(world: World) -> None:
    both = world.caller(ALICE, "dr-approvers", "dr-operators")
    whole = world.waiting(gate(**STRICT), by=both)
    assert "four eyes: " in both.annotate(whole, approve_wave_2=ALICE).message
    assert both.annotate(broken(world, gate(**STRICT), by=both), approve_wave_2=ALICE).ok


def test_a_run_that_a_service_account_asked_for_is_approved_once_it_is_broken(
    world: World,
) -> None:
    robot = world.caller("system:serviceaccount:ci:deployer", "developers")
    asked = {"by": robot, "startBefore": "2030-01-01T00:00:00Z"}
    whole = world.waiting(gate(**STRICT), **asked)
    assert "four eyes: " in world.alice.annotate(whole, approve_wave_2=ALICE).message
    assert world.alice.annotate(broken(world, gate(**STRICT), **asked), approve_wave_2=ALICE).ok


def test_a_gate_that_asks_for_a_person_is_not_a_service_accounts_for_all_that(
    world: World,
) -> None:
    machine = world.caller("system:serviceaccount:ci:approver", "dr-approvers")
    answer = machine.annotate(broken(world, gate(**STRICT)), approve_wave_2=machine.user)
    assert "is a service account, and gate wave-2 asks for a person" in answer.message


@pytest.mark.parametrize("operation", ["Failover", "Test"])
def test_a_gate_before_cleanup_stays_as_strict_as_it_was(world: World, operation: str) -> None:
    cleanup = gate("cleanup", before="Cleanup")
    listed = broken(world, cleanup | LISTED, operation=operation)
    answer = world.destroyer.annotate(listed, approve_cleanup=LOSER)
    assert "is not an approver of gate cleanup" in answer.message
    both = world.caller(LOSER, "dr-approvers", "dr-destroyers", "dr-operators")
    own = broken(world, cleanup | STRICT, by=both, operation=operation)
    assert "four eyes: " in both.annotate(own, approve_cleanup=LOSER).message


def test_the_loss_of_data_stays_with_those_who_are_listed_and_did_not_ask(world: World) -> None:
    asking = gate(dataLoss="Question")
    answer = world.destroyer.annotate(broken(world, asking | LISTED), accept_data_loss_wave_2=LOSER)
    assert "is not an approver of gate wave-2" in answer.message
    both = world.caller(LOSER, "dr-approvers", "dr-destroyers", "dr-operators")
    own = broken(world, asking | STRICT, by=both)
    assert "four eyes: " in both.annotate(own, accept_data_loss_wave_2=LOSER).message
    assert both.annotate(own, approve_wave_2=LOSER).ok


def test_it_still_takes_one_answer_of_a_person_and_only_while_the_gate_waits(
    world: World,
) -> None:
    run = broken(world)
    assert world.alice.annotate(run, approve_wave_2=ALICE).ok
    twice = world.alice.annotate(run, approve_wave_2__b=ALICE)
    assert "answers gate wave-2 once, whatever the suffix" in twice.message
    early = world.bob.annotate(run, approve_wave_3=world.bob.user)
    assert "has not been asked" in early.message
