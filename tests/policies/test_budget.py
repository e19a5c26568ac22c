"""The largest objects: the API server gives a policy a budget, and beyond it refuses everything."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.cluster

World = Any  # conftest.World
TIME = "2026-01-01T00:00:00Z"
ALICE = "approver-a@example.com"
SESSION = "arn:aws:sts::111111111111:assumed-role/Oncall/approver-a@example.com"
LONG = "c" * 256


def gate(number: int, approver: str) -> dict[str, Any]:
    """A gate that waits, lists as many people as a gate can, and asks them everything."""
    place = {"name": f"wave-{number}", "id": "1", "wave": "web", "before": "Activate"}
    listed = {"users": [f"user-{n}" for n in range(49)] + [approver], "groups": ["g"] * 50}
    place |= {"state": "Waiting", "askedAt": TIME, "deadline": TIME, "dataLoss": "Question"}
    return place | {"required": 40, "fourEyes": "Required", "approvers": listed}


def answers(count: int) -> list[dict[str, Any]]:
    said = {"verdict": "Approve", "time": TIME, "comment": LONG}
    return [{"user": f"{n}-{'u' * 240}"} | said for n in range(count)]


@pytest.mark.parametrize("who", [ALICE, SESSION], ids=["a user", "a session of a role"])
def test_the_largest_run_takes_commands(world: World, who: str) -> None:
    gates = [gate(n, who) for n in range(60)]
    run = world.waiting(*gates)
    for number in range(40):
        other = world.caller(f"user-{number}", "dr-approvers")
        keys = (f"approve_wave_{n % 60}__by_{n}" for n in (number, number + 40))
        answer = other.annotate(run, **dict.fromkeys(keys, f"{other.user}: {LONG}"))
        assert answer.ok, answer
    world.status(run, gates=[g | {"answers": answers(20)} for g in gates])
    alice = world.caller(who, "dr-approvers", "dr-destroyers", "dr-operators")
    many = {f"approve_wave_{n}__a": f"{who}: {LONG}" for n in range(10)}
    many |= {f"accept_data_loss_wave_{n}": who for n in range(6)}
    answer = alice.annotate(run, **many, cancel=who, unplanned=who)
    assert answer.ok, answer


def test_the_largest_task_takes_commands(world: World) -> None:
    ids = [f"s-{n:02}" for n in range(98)] + ["s-1", "s-2"]
    arn = f"arn:aws:drs:us-east-2:111111111111:source-server/{'x' * 900}"
    task = world.task(world.execution(), servers=[{"id": i, "arn": arn} for i in ids])
    undone = {"state": "Skipped", "reason": "Undone", "message": "m" * 1024}
    world.status(task, "drtasks", resources=[{"id": i} | undone for i in ids])
    named = f"admin: [{','.join(ids[-50:])}] all"
    verbs = ("retry", "skip", "mark_done", "undo", "relaunch")
    answer = world.admin.annotate(task, "drtasks", **dict.fromkeys(verbs, named))
    assert answer.ok, answer
