"""Broken glass: what it waives for one run, and what it does not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from leeward.api.execution import DRExecution
from leeward.api.gate_record import FrozenGate
from leeward.planning.runs import gates
from leeward.planning.runs.waves import Stage

pytestmark = pytest.mark.cluster

World = Any  # conftest.World
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BROKEN = {"user": "sealed@example.com", "time": "2026-01-01T00:00:00Z", "comment": "3 am"}
ALICE = "approver-a@example.com"
LOSER = "approver-c@example.com"
LISTED = {"approvers": {"users": ["nobody-awake@example.com"], "groups": []}}
STRICT = {"fourEyes": "Required"}


def gate(name: str = "wave-2", **more: Any) -> dict[str, Any]:
    """A gate of the frozen plan."""
    return {"name": name, "wave": "wave-2", "before": "Activate", "required": 2} | more


def whole(world: World, *frozen: dict[str, Any], **more: Any) -> str:
    """A run that asked the gates, its glass whole."""
    run: str = world.execution(**more)
    ask(world, run, *frozen)
    return run


def broken(world: World, *frozen: dict[str, Any], **more: Any) -> str:
    """A run whose glass was broken at its gates."""
    run = whole(world, *(frozen or [gate()]), **more)
    waived = gates.glass_broken(model(world, run))
    world.status(run, breakGlass=BROKEN, gates=[g.to_api() for g in waived])
    return run


def broken_before(world: World, *frozen: dict[str, Any], **more: Any) -> str:
    """A run that came to the gates after its glass was broken."""
    run: str = world.execution(**more)
    world.status(run, breakGlass=BROKEN)
    ask(world, run, *frozen)
    return run


def ask(world: World, run: str, *frozen: dict[str, Any]) -> None:
    """Ask the gates as the engine does, which says what stands in the status."""
    execution = model(world, run)
    told = []
    for body in frozen:
        place = FrozenGate.model_validate(body)
        stage = Stage(place.wave, 2, place.before, ())
        told.append(gates.ask(execution, place, stage, (), "sha256:1", NOW).to_api())
    world.status(run, gates=told)


def model(world: World, run: str) -> DRExecution:
    return DRExecution.model_validate(world.operator.get("drexecutions", run))


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
    before = whole(world, gate(**LISTED))
    refused = world.alice.annotate(before, approve_wave_2=ALICE)
    assert "is not an approver of gate" in refused.message
    run = broken(world, gate(**LISTED))
    assert world.alice.annotate(run, approve_wave_2=ALICE).ok
    assert world.bob.annotate(run, reject_wave_2=world.bob.user).ok


def test_the_requester_approves_once_it_is_broken(world: World) -> None:
    both = world.caller(ALICE, "dr-approvers", "dr-operators")
    before = whole(world, gate(**STRICT), by=both)
    assert "four eyes: " in both.annotate(before, approve_wave_2=ALICE).message
    assert both.annotate(broken(world, gate(**STRICT), by=both), approve_wave_2=ALICE).ok


def test_a_run_that_a_service_account_asked_for_is_approved_once_it_is_broken(
    world: World,
) -> None:
    robot = world.caller("system:serviceaccount:ci:deployer", "developers")
    asked = {"by": robot, "startBefore": "2030-01-01T00:00:00Z"}
    before = whole(world, gate(**STRICT), **asked)
    assert "four eyes: " in world.alice.annotate(before, approve_wave_2=ALICE).message
    assert world.alice.annotate(broken(world, gate(**STRICT), **asked), approve_wave_2=ALICE).ok


@pytest.mark.parametrize("breaking", [broken, broken_before])
def test_a_gate_that_asks_for_a_person_is_not_a_service_accounts_for_all_that(
    world: World, breaking: Any
) -> None:
    machine = world.caller("system:serviceaccount:ci:approver", "dr-approvers")
    answer = machine.annotate(breaking(world, gate(**STRICT)), approve_wave_2=machine.user)
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


@pytest.mark.parametrize("breaking", [broken, broken_before])
def test_the_loss_of_data_stays_with_those_who_are_listed_and_did_not_ask(
    world: World, breaking: Any
) -> None:
    asking = gate(dataLoss="Question")
    listed = breaking(world, asking | LISTED)
    answer = world.destroyer.annotate(listed, accept_data_loss_wave_2=LOSER)
    assert "is not an approver of gate wave-2" in answer.message
    both = world.caller(LOSER, "dr-approvers", "dr-destroyers", "dr-operators")
    own = breaking(world, asking | STRICT, by=both)
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
