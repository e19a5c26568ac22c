from __future__ import annotations

import pytest

from leeward.api.execution import CommandRecord
from leeward.planning.runs import commands

P = "leeward.dev/"


@pytest.mark.parametrize(
    ("key", "value", "verb", "gate", "user", "comment"),
    [
        ("approve-wave-2", "ann", "approve", "wave-2", "ann", ""),
        ("approve-wave-2.second", "bob: checked", "approve", "wave-2", "bob", "checked"),
        ("approve-wave-2.a.b_c", "bob", "approve", "wave-2", "bob", ""),
        ("reject-approve-x", "ann: no", "reject", "approve-x", "ann", "no"),
        ("pause", "system:serviceaccount:a:b", "pause", "", "system:serviceaccount:a:b", ""),
        ("cancel", "oidc:ann: false: alarm", "cancel", "", "oidc:ann", "false: alarm"),
        ("resume", "ann: [all] clear", "resume", "", "ann", "[all] clear"),
    ],
)
def test_a_command_on_an_execution_names_its_author(
    key: str, value: str, verb: str, gate: str, user: str, comment: str
) -> None:
    (command,) = commands.on_execution({P + key: value})
    assert (command.verb, command.gate, command.user) == (verb, gate, user)
    assert (command.comment, command.resources) == (comment, ())
    assert (command.key, command.value) == (P + key, value)


@pytest.mark.parametrize(
    "key",
    [
        "example.com/pause",
        P + "requested-by",
        P + "approve",
        P + "reject",
        P + "approve-",
        P + "approve-Wave",
        P + "approve-x..",
        P + "pause-x",
        P + "retry",
        P + "undo",
        P + "accept-data-loss",
        "pause",
    ],
)
def test_what_is_no_command_of_an_execution_is_left_out(key: str) -> None:
    found = commands.on_execution({key: "ann"})
    assert [c.gate for c in found] == (["x"] if key.endswith("x..") else [])


@pytest.mark.parametrize("value", ["", " ", ": no name"])
def test_a_command_that_names_nobody_is_none(value: str) -> None:
    assert commands.on_execution({P + "approve-wave-1": value}) == []
    assert commands.on_task({P + "skip": value}) == []


def test_cancel_comes_first_and_of_pause_and_resume_the_pause_wins() -> None:
    keys = ["approve-a", "pause", "cancel", "resume", "reject-a"]
    verbs = [c.verb for c in commands.on_execution({P + k: "ann" for k in keys})]
    assert verbs == ["cancel", "resume", "approve", "pause", "reject"]


@pytest.mark.parametrize(
    ("value", "resources", "comment"),
    [
        ("ann", (), ""),
        ("ann: why not", (), "why not"),
        ("ann: [s-1] ", ("s-1",), ""),
        ("ann: [s-1, s-2] again", ("s-1", "s-2"), "again"),
        ("ann: [www.a.example. A blue]", ("www.a.example. A blue",), ""),
        ("ann: []", ("",), ""),
        ("ann: [ , ] none", ("",), "none"),
        ("ann: [s-1, s-2", ("s-1", "s-2"), ""),
    ],
)
def test_a_command_on_a_task_may_name_resources_and_an_empty_list_names_none(
    value: str, resources: tuple[str, ...], comment: str
) -> None:
    (command,) = commands.on_task({P + "skip": value})
    assert (command.verb, command.resources, command.comment) == ("skip", resources, comment)


def test_commands_of_executions_are_none_of_tasks() -> None:
    assert commands.on_task({P + "pause": "ann", P + "approve-x": "ann"}) == []


def test_the_loss_of_data_is_accepted_at_a_gate_of_a_run_or_on_a_task() -> None:
    key = P + "accept-data-loss"
    (at_gate,) = commands.on_execution({key + "-lag-app": "ann", key: "ann"})
    (on_task,) = commands.on_task({key: "ann: [s-1] old but whole", key + "-lag-app": "ann"})
    assert (at_gate.verb, at_gate.gate) == ("accept-data-loss", "lag-app")
    assert (on_task.verb, on_task.gate, on_task.resources) == ("accept-data-loss", "", ("s-1",))


def test_of_many_commands_those_on_tasks_are_forgotten_first_and_pauses_last() -> None:
    def record(key: str, number: int, on: str = "") -> CommandRecord:
        time = f"2026-03-01T{number // 60:02}:{number % 60:02}:00Z"
        return CommandRecord(key=f"leeward.dev/{key}", user="ann", time=time, object=on)

    known = [record("pause", 0), record("approve-wave-data", 1)]
    for number in range(2, 200):
        known = commands.remembered(known, record("retry", number, f"task-{number}"))
    assert len(known) == commands.MOST_REMEMBERED
    assert [r.key for r in known[:2]] == ["leeward.dev/pause", "leeward.dev/approve-wave-data"]
    assert known[-1].object == "task-199"
    for number in range(200, 400):
        known = commands.remembered(known, record("reject-wave-data", number))
    assert known[0].key == "leeward.dev/pause"
    assert len(known) == commands.MOST_REMEMBERED
