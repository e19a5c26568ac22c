"""What holds for every command on an execution: its author, right, moment and custody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

World = Any  # conftest.World
TIME = "2026-01-01T00:00:00Z"
FOUND = {"type": "WaitingForDecision", "status": "True", "reason": "PreviousRunFound"}
RUNNING = {"type": "Succeeded", "status": "Unknown", "reason": "Running"}
CALLERS = ("alice", "destroyer", "duty", "breaker")
APPROVE = "approve on recoveryplans.leeward.dev/approval"
DESTROY = "approve-destructive on recoveryplans.leeward.dev/approval"
OPERATE = "operate on recoveryplans.leeward.dev/operation"
BREAK = "break-glass on recoveryplans.leeward.dev/operation"


@dataclass(frozen=True)
class Case:
    """A command, who may give it, and what a person without the right is told."""

    key: str
    givers: tuple[str, ...]
    right: str

    @property
    def annotation(self) -> str:
        return f"leeward.dev/{self.key}"


CASES = [
    Case("approve-wave-2", ("alice", "destroyer"), APPROVE),
    Case("reject-wave-2", ("alice", "destroyer"), APPROVE),
    Case("accept-data-loss-wave-2", ("destroyer",), DESTROY),
    Case("pause", ("duty",), OPERATE),
    Case("resume", ("duty",), OPERATE),
    Case("cancel", ("duty",), OPERATE),
    Case("unplanned", ("duty",), OPERATE),
    Case("adopt", ("duty",), OPERATE),
    Case("break-glass", ("breaker",), BREAK),
]
every_command = pytest.mark.parametrize("case", CASES, ids=[c.key for c in CASES])


def run_for_all(world: World) -> str:
    """A run in which every command has its moment."""
    gate = {"name": "wave-2", "id": "1", "wave": "wave-2", "before": "Activate", "required": 2}
    gate |= {"state": "Waiting", "dataLoss": "Question", "askedAt": TIME, "deadline": TIME}
    run: str = world.waiting(gate)
    world.status(run, conditions=[c | {"lastTransitionTime": TIME} for c in (RUNNING, FOUND)])
    return run


def give(world: World, case: Case, who: str, run: str, value: str | None) -> Any:
    change = {"metadata": {"annotations": {case.annotation: value}}}
    return getattr(world, who).patch("drexecutions", run, change)


@every_command
def test_who_has_the_right_gives_it_with_a_comment_and_withdraws_it(
    world: World, case: Case
) -> None:
    for who in case.givers:
        run = run_for_all(world)
        value = f"{getattr(world, who).user}: seen: all of it"
        assert give(world, case, who, run, value).ok
        stored = world.admin.get("drexecutions", run)["metadata"]["annotations"]
        assert stored[case.annotation] == value
        assert give(world, case, who, run, None).ok


@every_command
def test_who_has_only_other_rights_is_told_which_one_it_takes(world: World, case: Case) -> None:
    run = run_for_all(world)
    for who in (*CALLERS, "intruder", "operator", "gitops"):
        if who in case.givers:
            continue
        answer = give(world, case, who, run, getattr(world, who).user)
        assert not answer.ok
        if who == "gitops":  # it may not even patch
            assert 'cannot patch resource "drexecutions"' in answer.message
            continue
        verb, _, resource = case.right.partition(" on ")
        subresource = resource.partition("/")[2]
        assert f"needs the verb {case.right}" in answer.message
        ask = f"kubectl auth can-i {verb} recoveryplans.leeward.dev/orders-east"
        assert f"{ask} --subresource={subresource} -n orders" in answer.message


@every_command
@pytest.mark.parametrize("who", ["admin", "operator", "destroyer"])
def test_nobody_gives_it_in_anothers_name(world: World, case: Case, who: str) -> None:
    answer = give(world, case, who, run_for_all(world), "somebody-else@example.com")
    assert answer.status == 403
    user = getattr(world, who).user
    assert f"the value of {case.annotation} must be your own user name" in answer.message
    assert f'{case.annotation}="{user}"' in answer.message


@every_command
@pytest.mark.parametrize("verdict", ["True", "False"])
def test_it_is_refused_on_a_run_that_has_ended(world: World, case: Case, verdict: str) -> None:
    run = run_for_all(world)
    ended = RUNNING | {"status": verdict, "lastTransitionTime": TIME}
    world.status(run, conditions=[ended])
    who = case.givers[0]
    answer = give(world, case, who, run, getattr(world, who).user)
    assert answer.status == 422
    assert f"has ended, so {case.annotation} can change nothing" in answer.message
    assert f"kubectl get drx {run} -n orders" in answer.message


@every_command
def test_it_is_neither_replaced_nor_withdrawn_by_another(world: World, case: Case) -> None:
    run, who = run_for_all(world), case.givers[0]
    user = getattr(world, who).user
    assert give(world, case, who, run, user).ok
    again = give(world, case, who, run, f"{user}: with a comment")
    assert f"withdraw it first: kubectl annotate drx {run}" in again.message
    over = give(world, case, "admin", run, "admin")
    assert f'{case.annotation} is already on the object ("{user}")' in over.message
    assert "under a suffix" in over.message or "until the operator has taken it" in over.message
    assert "is withdrawn by the one who gave it" in give(world, case, "admin", run, None).message
    whole = world.intruder.get("drexecutions", run)
    del whole["metadata"]["annotations"][case.annotation]
    replaced = world.intruder.replace("drexecutions", run, whole)
    assert "If you replace the whole object, keep its annotations" in replaced.message
    assert give(world, case, "operator", run, None).ok


@every_command
def test_it_is_not_touched_while_it_is_being_recorded(world: World, case: Case) -> None:
    run, who = run_for_all(world), case.givers[0]
    user = getattr(world, who).user
    assert give(world, case, who, run, user).ok
    world.status(run, accepting={"key": case.annotation, "value": user})
    assert "cannot be withdrawn any more" in give(world, case, who, run, None).message
    assert give(world, case, "operator", run, None).ok
    assert "was recorded a moment ago" in give(world, case, who, run, user).message


@every_command
def test_no_run_is_created_with_it(world: World, case: Case) -> None:
    manifest = world.manifest()
    manifest["metadata"]["annotations"] = {case.annotation: "admin"}
    answer = world.admin.create("drexecutions", manifest)
    assert f"cannot be created with {case.annotation} on it" in answer.message


@pytest.mark.parametrize(
    "key",
    [
        "accept-data-loss",
        "accept-data-loss-",
        "accept-data-loss-Wave-2",
        f"accept-data-loss-{'x' * 41}",
        "break-glass-wave-2",
        "breakglass",
        "unplanned.second",
        "adopt-1",
        "mark-done",
        "undo",
        "relaunch",
        "skip",
    ],
)
def test_what_is_no_command_of_an_execution_is_refused(world: World, key: str) -> None:
    change = {"metadata": {"annotations": {f"leeward.dev/{key}": "admin"}}}
    answer = world.admin.patch("drexecutions", run_for_all(world), change)
    assert not answer.ok
    if "is not a command of an execution" not in answer.message:
        assert "Invalid value" in answer.message  # no annotation's key at all


def test_several_commands_in_one_request_need_every_right(world: World) -> None:
    run = run_for_all(world)
    for who, right in [("destroyer", OPERATE), ("duty", APPROVE), ("alice", OPERATE)]:
        caller = getattr(world, who)
        both = {"approve_wave_2": caller.user, "unplanned": caller.user}
        assert f"needs the verb {right}" in caller.annotate(run, **both).message
    assert world.admin.annotate(run, approve_wave_2="admin", unplanned="admin").ok
