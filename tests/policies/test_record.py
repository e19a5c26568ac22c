"""The record: status, tasks, inventories and bookkeeping metadata are the operator's alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

World = Any  # conftest.World
DUTY = "operator-on-duty@example.com"
ENDED = {"type": "Succeeded", "status": "False", "reason": "Cancelled"}
ENDED |= {"lastTransitionTime": "2026-01-01T00:00:00Z"}


def eventually(probe: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not probe():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)


def gone(world: World, plural: str, name: str) -> bool:
    path = f"/apis/leeward.dev/v1alpha1/namespaces/orders/{plural}/{name}"
    return bool(world.admin.request("GET", path).status == 404)


def release(world: World, run: str) -> None:
    """Have the operator take its finalizer off, beside the server, which minds its own."""

    def released() -> bool:
        path = f"/apis/leeward.dev/v1alpha1/namespaces/orders/drexecutions/{run}"
        found = world.operator.request("GET", path)
        assert found.ok, found
        metadata = found.body["metadata"]
        left = [f for f in metadata["finalizers"] if f != "leeward.dev/run"]
        change = {"finalizers": left, "resourceVersion": metadata["resourceVersion"]}
        return bool(world.operator.patch("drexecutions", run, {"metadata": change}).ok)

    eventually(released, "the operator's finalizer taken off")


def plan(world: World, name: str) -> str:
    body = {
        "apiVersion": "leeward.dev/v1alpha1",
        "kind": "RecoveryPlan",
        "metadata": {"name": name, "namespace": "orders"},
        "spec": {
            "customer": "acme",
            "environment": "prod",
            "regions": {"primary": "us-east-1", "recovery": "us-east-2"},
            "accounts": [{"name": "orders-web"}],
            "waves": [{"name": "web"}],
        },
    }
    answer = world.intruder.create("recoveryplans", body)
    assert answer.ok, answer
    return name


def inventory(world: World, name: str) -> dict[str, Any]:
    return {
        "apiVersion": "leeward.dev/v1alpha1",
        "kind": "RecoveryInventory",
        "metadata": {"name": name, "namespace": "orders"},
        "spec": {
            "planRef": {"name": "orders-east"},
            "account": "orders-web",
            "accountId": "111111111111",
        },
    }


@pytest.mark.parametrize("who", ["admin", "duty", "alice", "intruder", "gitops"])
@pytest.mark.parametrize("state", ["Approved", "Waiting"])
def test_nobody_but_the_operator_writes_a_status(world: World, who: str, state: str) -> None:
    run = world.waiting()
    forged = {"status": {"gates": [], "state": "Succeeded", "message": state}}
    answer = getattr(world, who).patch("drexecutions/status", run, forged)
    assert answer.status == 403
    if who == "admin":
        assert "drexecutions/status is written by the operator alone" in answer.message


def test_the_status_of_every_kind_is_covered(world: World) -> None:
    name = plan(world, "status-of-a-plan")
    task = world.task(world.execution())
    assert world.operator.create("recoveryinventories", inventory(world, "status-of-one")).ok
    objects = [("recoveryplans", name), ("drtasks", task), ("recoveryinventories", "status-of-one")]
    for plural, found in objects:
        forged = {"status": {"observedGeneration": 7}}
        answer = world.admin.patch(f"{plural}/status", found, forged)
        assert f"{plural}/status is written by the operator alone" in answer.message


def test_a_status_in_a_write_of_the_object_is_not_taken(world: World) -> None:
    run = world.waiting()
    assert world.intruder.patch("drexecutions", run, {"status": {"gates": []}}).ok
    assert world.admin.get("drexecutions", run)["status"]["gates"]


def test_nobody_but_the_operator_creates_tasks_and_inventories(world: World) -> None:
    run = world.execution()
    forged = world.operator.get("drtasks", world.task(run))
    forged["metadata"] = {"name": "forged", "namespace": "orders"}
    answer = world.admin.create("drtasks", forged)
    assert "drtasks are created by the operator alone; you are admin" in answer.message
    answer = world.admin.create("recoveryinventories", inventory(world, "forged"))
    assert "recoveryinventories are created by the operator alone" in answer.message


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"annotations": {"note": "mine"}}},
        {"metadata": {"labels": {"team": "orders"}}},
        {"metadata": {"finalizers": ["example.com/keep"]}},
        {"metadata": {"ownerReferences": []}},
    ],
    ids=["annotation", "label", "finalizer", "owner"],
)
def test_people_change_nothing_on_a_task_but_its_commands(
    world: World, change: dict[str, Any]
) -> None:
    task = world.task(world.execution())
    assert world.duty.patch("drtasks", task, change).status == 403
    answer = world.admin.patch("drtasks", task, change)
    assert answer.status == 403
    assert "and may give commands: kubectl annotate drt" in answer.message
    assert 'leeward.dev/retry="admin"' in answer.message


def test_an_annotation_of_the_operators_is_not_taken_off_a_task(world: World) -> None:
    task = world.task(world.execution())
    note = {"metadata": {"annotations": {"example.com/note": "1"}}}
    assert world.operator.patch("drtasks", task, note).ok
    removal = {"metadata": {"annotations": {"example.com/note": None}}}
    answer = world.duty.patch("drtasks", task, removal)
    assert "drtasks are changed by the operator alone" in answer.message


def test_nobody_changes_or_deletes_an_inventory(world: World) -> None:
    assert world.operator.create("recoveryinventories", inventory(world, "kept")).ok
    note = {"metadata": {"annotations": {"leeward.dev/retry": "admin"}}}
    changed = world.admin.patch("recoveryinventories", "kept", note)
    assert "recoveryinventories are changed by the operator alone" in changed.message
    deleted = world.admin.delete("recoveryinventories", "kept")
    assert "recoveryinventories are deleted by the operator alone" in deleted.message
    assert world.operator.delete("recoveryinventories", "kept").ok


def test_a_task_is_deleted_by_the_operator_alone(world: World) -> None:
    task = world.task(world.execution())
    answer = world.admin.delete("drtasks", task)
    assert "drtasks are deleted by the operator alone" in answer.message
    emptier = world.caller(
        "system:serviceaccount:kube-system:namespace-controller", "system:masters"
    )
    assert not emptier.delete("drtasks", task).ok
    assert world.operator.delete("drtasks", task).ok


@pytest.mark.parametrize("who", ["intruder", "admin"])
def test_finalizers_labels_and_owners_of_an_execution_are_the_operators(
    world: World, who: str
) -> None:
    run = world.execution()
    caller = getattr(world, who)
    label = {"metadata": {"labels": {"leeward.dev/incident": "INC1"}}}
    assert world.operator.patch("drexecutions", run, label).ok
    for change, said in [
        ({"finalizers": []}, "finalizers that begin with leeward.dev/"),
        ({"finalizers": ["leeward.dev/run", "leeward.dev/hold"]}, "finalizers that begin with"),
        ({"labels": {"leeward.dev/incident": None}}, "labels that begin with leeward.dev/"),
        ({"labels": {"leeward.dev/incident": "INC2"}}, "labels that begin with leeward.dev/"),
        ({"labels": {"leeward.dev/live": "true"}}, "labels that begin with leeward.dev/"),
        ({"ownerReferences": [owner()]}, "ownerReferences of Leeward's objects"),
    ]:
        answer = caller.patch("drexecutions", run, {"metadata": change})
        assert said in answer.message, change
    ordinary = {"labels": {"team": "orders"}, "finalizers": ["leeward.dev/run", "example.com/x"]}
    assert caller.patch("drexecutions", run, {"metadata": ordinary}).ok


def owner() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": "mine", "uid": "1234"}


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {"leeward.dev/plan": "x"}},
        {"finalizers": ["leeward.dev/run"]},
        {"ownerReferences": [owner()]},
    ],
    ids=["label", "finalizer", "owner"],
)
def test_an_execution_is_not_created_with_the_operators_bookkeeping(
    world: World, metadata: dict[str, Any]
) -> None:
    manifest = world.manifest()
    manifest["metadata"] |= metadata
    answer = world.admin.create("drexecutions", manifest)
    assert "ValidatingAdmissionPolicy 'leeward-metadata.leeward.dev'" in answer.message


def test_an_execution_takes_no_more_labels_than_leave_room_for_its_record(world: World) -> None:
    labels = {f"label-{n}": "x" for n in range(101)}
    run = world.execution()
    answer = world.intruder.patch("drexecutions", run, {"metadata": {"labels": labels}})
    assert "100 labels" in answer.message


def test_an_execution_is_deleted_before_it_begins_and_after_it_has_ended(world: World) -> None:
    fresh = world.manifest()
    name = fresh["metadata"]["name"]
    assert world.duty.create("drexecutions", fresh).ok
    assert world.intruder.delete("drexecutions", name).ok
    run = world.execution()
    refused = world.admin.delete("drexecutions", run)
    assert f'kubectl annotate drx {run} -n orders leeward.dev/cancel="admin"' in refused.message
    world.status(run, conditions=[ENDED])
    assert world.intruder.delete("drexecutions", run).ok
    assert not gone(world, "drexecutions", run), "the operator's finalizer holds it"


def test_an_execution_that_the_operator_just_took_up_is_not_deleted(world: World) -> None:
    fresh = world.manifest()
    name = fresh["metadata"]["name"]
    assert world.duty.create("drexecutions", fresh).ok
    finalizer = {"metadata": {"finalizers": ["leeward.dev/run"]}}
    assert world.operator.patch("drexecutions", name, finalizer).ok
    assert "has begun and not ended" in world.admin.delete("drexecutions", name).message


def test_an_execution_that_lost_its_finalizer_is_not_deleted_while_it_runs(world: World) -> None:
    run = world.execution()
    assert world.operator.patch("drexecutions", run, {"metadata": {"finalizers": []}}).ok
    assert "has begun and not ended" in world.admin.delete("drexecutions", run).message


def test_a_collection_of_executions_is_not_deleted_over_a_live_one(world: World) -> None:
    run = world.execution()
    path = "/apis/leeward.dev/v1alpha1/namespaces/orders/drexecutions"
    answer = world.admin.request("DELETE", path + f"?fieldSelector=metadata.name={run}")
    assert "has begun and not ended" in answer.message


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
def test_the_tasks_of_a_deleted_execution_are_collected(world: World, policy: str) -> None:
    run = world.execution()
    task = world.task(run)
    world.status(run, conditions=[ENDED])
    assert world.intruder.delete("drexecutions", run, propagationPolicy=policy).ok
    release(world, run)
    eventually(lambda: gone(world, "drtasks", task), "the task collected")
    eventually(lambda: gone(world, "drexecutions", run), "the execution gone")


def test_an_execution_is_deleted_without_its_tasks_where_that_is_asked(world: World) -> None:
    run = world.execution()
    task = world.task(run)
    world.status(run, conditions=[ENDED])
    assert world.intruder.delete("drexecutions", run, propagationPolicy="Orphan").ok
    release(world, run)
    eventually(lambda: gone(world, "drexecutions", run), "the execution gone")
    assert not world.operator.get("drtasks", task)["metadata"].get("ownerReferences")


def test_a_plan_is_not_deleted_while_an_execution_of_it_runs(world: World) -> None:
    name = plan(world, "busy")
    world.status(name, "recoveryplans", activeExecution={"name": "run-x", "uid": "1"})
    answer = world.admin.delete("recoveryplans", name)
    assert "while its execution run-x runs" in answer.message
    assert "kubectl annotate drx run-x -n orders leeward.dev/cancel" in answer.message
    world.status(name, "recoveryplans", activeExecution=None)
    assert world.intruder.delete("recoveryplans", name).ok


def test_a_namespace_that_goes_waits_for_its_live_run_and_then_goes_whole(world: World) -> None:
    admin, operator = world.admin, world.operator
    base = "/apis/leeward.dev/v1alpha1/namespaces/leaving"
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "leaving"}}
    assert admin.request("POST", "/api/v1/namespaces", space).ok
    manifest = world.manifest("last")
    manifest["metadata"]["namespace"] = "leaving"
    assert admin.request("POST", f"{base}/drexecutions", manifest).ok
    merge = "application/merge-patch+json"
    finalizer = {"metadata": {"finalizers": ["leeward.dev/run"]}}
    run = f"{base}/drexecutions/last"
    assert operator.request("PATCH", run, finalizer, merge).ok
    uid = operator.request("GET", run).body["metadata"]["uid"]
    task = world.operator.get("drtasks", world.task(world.execution()))
    task["metadata"] = {
        "name": "last-task",
        "namespace": "leaving",
        "ownerReferences": [
            {"apiVersion": "leeward.dev/v1alpha1", "kind": "DRExecution", "name": "last"}
            | {"uid": uid, "blockOwnerDeletion": True}
        ],
    }
    assert operator.request("POST", f"{base}/drtasks", task).ok
    orphan = inventory(world, "stray")
    orphan["metadata"]["namespace"] = "leaving"
    assert operator.request("POST", f"{base}/recoveryinventories", orphan).ok
    assert admin.request("DELETE", "/api/v1/namespaces/leaving").ok
    eventually(
        lambda: admin.request("GET", f"{base}/recoveryinventories/stray").status == 404,
        "what has no owner is deleted",
    )
    assert operator.request("GET", run).ok, "the live run stays"
    assert operator.request("GET", f"{base}/drtasks/last-task").ok, "and its task"
    whole = operator.request("GET", run).body | {"status": {"conditions": [ENDED]}}
    assert operator.request("PUT", run + "/status", whole).ok
    assert operator.request("PATCH", run, {"metadata": {"finalizers": []}}, merge).ok
    eventually(
        lambda: admin.request("GET", "/api/v1/namespaces/leaving").status == 404,
        "the namespace is gone",
        seconds=120,
    )
