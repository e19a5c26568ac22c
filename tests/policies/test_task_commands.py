"""Commands on tasks."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.cluster

World = Any  # conftest.World
ALICE = "approver-a@example.com"
DUTY = "operator-on-duty@example.com"


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


def test_a_failed_task_is_retried(world: World) -> None:
    failed = {"type": "Succeeded", "status": "False", "reason": "Failed"}
    failed |= {"lastTransitionTime": "2026-01-01T00:00:00Z"}
    task = world.task(world.execution(), conditions=[failed])
    assert world.duty.annotate(task, "drtasks", retry=DUTY).ok


def test_a_complete_task_takes_no_command(world: World) -> None:
    done = {"type": "Succeeded", "status": "True", "reason": "Complete"}
    done |= {"lastTransitionTime": "2026-01-01T00:00:00Z"}
    task = world.task(world.execution(), conditions=[done])
    answer = world.duty.annotate(task, "drtasks", skip=DUTY)
    assert "is complete, there is nothing to skip" in answer.message


@pytest.mark.parametrize(
    ("who", "values", "said"),
    [
        ("duty", {"retry": ALICE}, "the value of leeward.dev/retry must be your own user name"),
        ("admin", {"retry": DUTY}, "you are admin: kubectl annotate drt"),
        ("duty", {"retry": f"{DUTY}: [s-1, s-9] again"}, "not among the resources of task"),
        ("duty", {"retry": f"{DUTY}: [s-1"}, "begins a list of resource ids that has no end"),
        ("duty", {"retry": f"{DUTY}: {'x' * 400}"}, "at most 512 bytes"),
        ("duty", {"relaunch": DUTY}, "leeward.dev/relaunch is not supported by this version"),
        ("duty", {"undo": DUTY}, "leeward.dev/undo is not supported by this version"),
        ("duty", {"mark-done": DUTY}, "leeward.dev/mark-done is not supported by this version"),
        ("duty", {"pause": DUTY}, "pause, resume and cancel are written on the execution"),
        ("duty", {"requested-by": DUTY}, "is not a command of a task"),
    ],
)
def test_a_forged_or_misplaced_task_command_is_refused(
    world: World, task: str, who: str, values: dict[str, str], said: str
) -> None:
    answer = getattr(world, who).annotate(task, "drtasks", **values)
    assert not answer.ok
    assert "ValidatingAdmissionPolicy 'leeward-task-commands.leeward.dev'" in answer.message
    assert said in answer.message


def test_a_task_command_needs_the_verb_operate_on_the_plan(world: World, task: str) -> None:
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
    patcher = world.caller("patcher@example.com", "patchers")
    answer = patcher.annotate(task, "drtasks", skip=patcher.user)
    assert "needs the verb operate on recoveryplans.leeward.dev/operation" in answer.message


def test_a_task_command_is_neither_replaced_nor_removed_by_another(world: World, task: str) -> None:
    other = world.caller("second-on-duty@example.com", "dr-operators")
    assert world.duty.annotate(task, "drtasks", retry=DUTY).ok
    over = other.annotate(task, "drtasks", retry=other.user)
    assert "is not replaced; wait until the operator has taken it" in over.message
    again = world.duty.annotate(task, "drtasks", retry=f"{DUTY}: now")
    assert "withdraw it first: kubectl annotate drt" in again.message
    removal = other.annotate(task, "drtasks", retry=None)
    assert "is withdrawn by the one who gave it" in removal.message


@pytest.mark.parametrize("user", [f"{DUTY}: [s-1]", f"{DUTY}\N{NO-BREAK SPACE}", "x" * 257])
def test_a_caller_whose_name_could_be_mistaken_gives_no_command(
    world: World, task: str, user: str
) -> None:
    caller = world.caller(user, "dr-operators")
    answer = caller.annotate(task, "drtasks", retry=user)
    assert "could not name you without doubt; use another identity" in answer.message
