"""A service account that may do everything, as those of Argo CD and Flux, does not decide on runs.

What lies in Git is written by whoever may merge, and applied again and again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.policies.conftest import Caller, World

ARGO_CD = "system:serviceaccount:argocd:argocd-application-controller"
SOON = "2031-01-31T18:00:00Z"


@pytest.fixture
def argo_cd(world: World) -> Caller:
    """As Argo CD's and Flux's manifests bind their accounts: every verb on everything."""
    return world.caller(ARGO_CD, "system:masters")


@pytest.mark.parametrize("command", ["pause", "cancel", "unplanned", "approve_wave_2"])
def test_a_command_in_git_is_refused(world: World, argo_cd: Caller, command: str) -> None:
    name = world.waiting()
    answer = argo_cd.annotate(name, **{command: f"{ARGO_CD}: as it lies in Git"})
    assert not answer.ok
    assert "every verb by a wildcard" in answer.message
    assert "take the annotation out of Git" in answer.message


def test_a_command_on_a_task_in_git_is_refused(world: World, argo_cd: Caller) -> None:
    task = world.task(world.execution(), state="Failed")
    answer = argo_cd.annotate(task, "drtasks", retry=ARGO_CD)
    assert not answer.ok
    assert "every verb by a wildcard" in answer.message


@pytest.mark.parametrize(
    "spec",
    [
        {"approvalMode": "Automatic"},
        {"waves": ["wave-2"]},
        {"resources": {"exclude": ["s-0123456789abcdef0"]}},
        {"continueFrom": {"name": "orders-failover-1"}},
    ],
    ids=lambda spec: next(iter(spec)),
)
def test_a_run_in_git_takes_nothing_that_needs_a_right(
    world: World, argo_cd: Caller, spec: dict[str, Any]
) -> None:
    answer = argo_cd.create("drexecutions", world.manifest(startBefore=SOON, **spec))
    assert not answer.ok
    assert (
        "every verb by a wildcard, as those have that apply what lies in Git, and may"
        in answer.message
    )


def test_runs_that_need_no_right_come_from_git(world: World, argo_cd: Caller) -> None:
    assert argo_cd.create("drexecutions", world.manifest(startBefore=SOON)).ok
    drill = world.manifest(operation="Test", approvalMode="Automatic", waves=["wave-2"])
    assert argo_cd.create("drexecutions", drill).ok


def test_an_account_that_is_given_the_verb_operates(world: World) -> None:
    server = "system:serviceaccount:argocd:argocd-server"
    name = world.waiting()
    assert world.caller(server, "dr-operators").annotate(name, pause=f"{server}: in Argo CD").ok


def test_a_person_who_may_do_everything_operates(world: World) -> None:
    assert world.admin.annotate(world.waiting(), pause="admin").ok
