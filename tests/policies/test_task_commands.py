"""Commands on tasks."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.cluster

World = Any  # conftest.World
ALICE = "approver-a@example.com"
DUTY = "operator-on-duty@example.com"
VERBS = ("retry", "skip", "mark_done", "undo", "relaunch", "accept_data_loss")
DESTRUCTIVE = ("relaunch", "accept_data_loss")


@pytest.fixture
def task(world: World) -> str:
    name: str = world.task(world.execution())
    return name


def test_those_on_duty_retry_and_skip_tasks_and_resources(world: World, task: str) -> None:
    kubectl = world.cluster.kubectl
    value = f"{DUTY}: [s-1, s-2] the quota was raised"
    kubectl("annotate", "drt", task, f"leeward.dev/retry={value}", user="on-duty")
    assert world.duty.annotate(task, "drtasks", skip=DUTY).ok
    assert world.duty.annotate(task, "drtasks", retry=None).ok
    assert world.operator.annotate(task, "drtasks", skip=None).ok


@pytest.mark.parametrize("verdict", [None, "Unknown", "False"])
@pytest.mark.parametrize("verb", ["retry", "skip", "mark_done", "undo"])
def test_those_on_duty_steer_a_task_that_is_not_complete(
    world: World, verb: str, verdict: str | None
) -> None:
    task = world.task(world.execution(), conditions=[succeeded(verdict)] if verdict else [])
    assert world.duty.annotate(task, "drtasks", **{verb: f"{DUTY}: [s-1] by hand"}).ok


@pytest.mark.parametrize("verdict", ["True", "False"])
def test_whoever_may_destroy_relaunches_named_resources_of_any_task(
    world: World, verdict: str
) -> None:
    task = world.task(world.execution(), conditions=[succeeded(verdict)])
    loser = world.destroyer
    value = f"{loser.user}: [s-1, s-2] they boot from the wrong snapshot"
    assert loser.annotate(task, "drtasks", relaunch=value).ok


@pytest.mark.parametrize("comment", ["", ": [s-1] it is whole", ": all of them"])
def test_whoever_may_lose_data_accepts_it_for_a_task_with_or_without_names(
    world: World, comment: str
) -> None:
    task = world.task(world.execution(), conditions=[succeeded("False")])
    loser = world.destroyer
    assert loser.annotate(task, "drtasks", accept_data_loss=loser.user + comment).ok


@pytest.mark.parametrize("comment", ["", ": they are broken", ": see [s-1]"])
def test_relaunch_names_its_resources(world: World, task: str, comment: str) -> None:
    loser = world.destroyer.user
    answer = world.destroyer.annotate(task, "drtasks", relaunch=loser + comment)
    assert answer.status == 422
    passing = f'kubectl annotate drt {task} -n orders leeward.dev/relaunch="{loser}: [ID, ID] '
    assert passing in answer.message


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ("[]", "not among the resources of task"),
        ("[s-1, ]", "(an empty id)"),
        ("[s-1, s-9]", ": s-9;"),
        ("[s-1", "has no end"),
    ],
)
@pytest.mark.parametrize("verb", VERBS)
def test_a_list_of_resources_is_whole_and_of_the_task(
    world: World, task: str, verb: str, ids: str, said: str
) -> None:
    answer = world.admin.annotate(task, "drtasks", **{verb: f"admin: {ids}"})
    assert answer.status == 422
    assert said in answer.message


def test_a_complete_task_is_undone_and_relaunched_and_no_more(world: World) -> None:
    done = {"id": "s-1", "state": "Complete"}
    left = {"id": "s-2", "state": "Skipped", "reason": "LeftOut"}
    made = {"conditions": [succeeded("True")], "resources": [done, left]}
    task = world.task(world.execution(), **made)
    for verb in ("skip", "mark_done", "retry", "accept_data_loss"):
        answer = world.duty.annotate(task, "drtasks", **{verb: DUTY})
        assert f"is complete, there is nothing to {verb.replace('_', '-')}" in answer.message
        assert f'kubectl annotate drt {task} -n orders leeward.dev/undo="{DUTY}"' in answer.message
    assert world.duty.annotate(task, "drtasks", undo=DUTY).ok


def test_what_was_undone_is_retried(world: World) -> None:
    undone = {"id": "s-1", "state": "Skipped", "reason": "Undone"}
    task = world.task(
        world.execution(),
        conditions=[succeeded("True")],
        resources=[undone, {"id": "s-2", "state": "Complete"}],
    )
    assert "nothing to skip" in world.duty.annotate(task, "drtasks", skip=DUTY).message
    assert world.duty.annotate(task, "drtasks", retry=DUTY).ok


def test_fencing_that_was_undone_is_left_out(world: World) -> None:
    undone = {"id": "s-1", "state": "Skipped", "reason": "Undone"}
    task = world.task(
        world.execution(), phase="Fence", conditions=[succeeded("True")], resources=[undone]
    )
    assert world.duty.annotate(task, "drtasks", skip=DUTY).ok


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("live", [None, "false"])
def test_a_task_of_a_run_that_is_not_live_takes_no_command(
    world: World, verb: str, live: str | None
) -> None:
    run = world.execution()
    task = world.task(run)
    rest = {"metadata": {"labels": {"leeward.dev/live": live}}}
    assert world.operator.patch("drtasks", task, rest).ok
    answer = world.admin.annotate(task, "drtasks", **{verb: "admin: [s-1]"})
    assert answer.status == 422
    assert f"so leeward.dev/{verb.replace('_', '-')} can change nothing" in answer.message
    assert f"kubectl get drx {run} -n orders" in answer.message


def test_a_command_on_a_task_whose_run_ended_meanwhile_is_withdrawn(world: World) -> None:
    task = world.task(world.execution())
    assert world.duty.annotate(task, "drtasks", undo=DUTY).ok
    rest = {"metadata": {"labels": {"leeward.dev/live": None}}}
    assert world.operator.patch("drtasks", task, rest).ok
    assert world.duty.annotate(task, "drtasks", undo=None).ok


def succeeded(status: str) -> dict[str, str]:
    times = {"lastTransitionTime": "2026-01-01T00:00:00Z"}
    return {"type": "Succeeded", "status": status, "reason": "Test"} | times


@pytest.mark.parametrize(
    ("who", "values", "said"),
    [
        ("duty", {"retry": ALICE}, "the value of leeward.dev/retry must be your own user name"),
        ("admin", {"retry": DUTY}, "you are admin: kubectl annotate drt"),
        ("duty", {"retry": f"{DUTY}: [s-1, s-9] again"}, "not among the resources of task"),
        ("duty", {"retry": f"{DUTY}: [s-1"}, "begins a list of resource ids that has no end"),
        ("duty", {"retry": f"{DUTY}: {'x' * 400}"}, "at most 512 bytes"),
        ("duty", {"undo": ALICE}, "the value of leeward.dev/undo must be your own user name"),
        ("duty", {"mark-done": ALICE}, "the value of leeward.dev/mark-done must be your own"),
        ("destroyer", {"relaunch": f"{ALICE}: [s-1]"}, "leeward.dev/relaunch must be your own"),
        ("operator", {"relaunch": f"{DUTY}: [s-1]"}, "leeward.dev/relaunch must be your own"),
        ("duty", {"pause": DUTY}, "resume, cancel and others are written on the execution"),
        ("duty", {"adopt": DUTY}, "leeward.dev/adopt is not a command of a task"),
        ("duty", {"undo.second": DUTY}, "leeward.dev/undo.second is not a command of a task"),
        ("duty", {"requested-by": DUTY}, "is not a command of a task"),
        ("destroyer", {"accept-data-loss-wave-2": ALICE}, "is not a command of a task"),
        ("destroyer", {"accept-data-loss": ALICE}, "accept-data-loss must be your own"),
    ],
)
def test_a_forged_or_misplaced_task_command_is_refused(
    world: World, task: str, who: str, values: dict[str, str], said: str
) -> None:
    answer = getattr(world, who).annotate(task, "drtasks", **values)
    assert not answer.ok
    assert "ValidatingAdmissionPolicy 'leeward-task-commands.leeward.dev'" in answer.message
    assert said in answer.message


@pytest.mark.parametrize("verb", VERBS)
def test_a_task_command_needs_its_verb_on_the_plan(world: World, task: str, verb: str) -> None:
    # Whoever may patch tasks by a role of the cluster's own still needs the verb.
    world.cluster.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "task-patcher"},
            "rules": [
                {"apiGroups": ["leeward.dev"], "resources": ["drtasks"], "verbs": ["get", "patch"]}
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "task-patcher"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "task-patcher",
            },
            "subjects": [
                {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "patchers"}
            ],
        },
    )
    patcher = world.caller("patcher@example.com", "patchers", "dr-breakers")
    answer = patcher.annotate(task, "drtasks", **{verb: f"{patcher.user}: [s-1]"})
    needed = "approve-destructive" if verb in DESTRUCTIVE else "operate"
    subresource = "approval" if verb in DESTRUCTIVE else "operation"
    assert f"needs the verb {needed} on recoveryplans.leeward.dev/{subresource}" in answer.message
    ask = f"kubectl auth can-i {needed} recoveryplans.leeward.dev/orders-east"
    assert f"{ask} --subresource={subresource} -n orders" in answer.message


def test_the_verb_of_one_kind_of_command_does_not_give_the_other(world: World, task: str) -> None:
    replacing = world.duty.annotate(task, "drtasks", relaunch=f"{DUTY}: [s-1]")
    assert "may not give leeward.dev/relaunch to tasks of plan orders/" in replacing.message
    losing = world.duty.annotate(task, "drtasks", accept_data_loss=DUTY)
    assert "may not give leeward.dev/accept-data-loss to tasks of plan" in losing.message
    loser = world.destroyer
    for verb in ("retry", "skip", "mark_done", "undo"):
        answer = loser.annotate(task, "drtasks", **{verb: loser.user})
        assert "needs the verb operate on" in answer.message
    both = loser.annotate(task, "drtasks", relaunch=f"{loser.user}: [s-1]", undo=loser.user)
    assert "may not give leeward.dev/undo to tasks" in both.message


@pytest.mark.parametrize("verb", VERBS)
def test_a_task_command_is_neither_replaced_nor_removed_by_another(
    world: World, task: str, verb: str
) -> None:
    giver = world.destroyer if verb in DESTRUCTIVE else world.duty
    other = world.admin
    assert giver.annotate(task, "drtasks", **{verb: f"{giver.user}: [s-1]"}).ok
    over = other.annotate(task, "drtasks", **{verb: "admin: [s-1]"})
    assert "is not replaced; wait until the operator has taken it" in over.message
    again = giver.annotate(task, "drtasks", **{verb: f"{giver.user}: [s-1, s-2]"})
    assert "withdraw it first: kubectl annotate drt" in again.message
    removal = other.annotate(task, "drtasks", **{verb: None})
    assert "is withdrawn by the one who gave it" in removal.message
    assert giver.annotate(task, "drtasks", **{verb: None}).ok


def test_a_name_with_brackets_in_it_is_no_list(world: World, task: str) -> None:
    odd = world.caller("team[x]@example.com", "dr-operators")
    open_ended = odd.annotate(task, "drtasks", undo=f"{odd.user}: [s-1")
    assert "begins a list of resource ids that has no end" in open_ended.message
    assert odd.annotate(task, "drtasks", undo=f"{odd.user}: [s-1] see [2]").ok


@pytest.mark.parametrize("user", [f"{DUTY}: [s-1]", f"{DUTY}\N{NO-BREAK SPACE}", "x" * 257])
def test_a_caller_whose_name_could_be_mistaken_gives_no_command(
    world: World, task: str, user: str
) -> None:
    caller = world.caller(user, "dr-operators")
    answer = caller.annotate(task, "drtasks", retry=user)
    assert "could not name you without doubt; use another identity" in answer.message
