"""Schedules: who writes one asks for its drills, and nobody gets a right by writing one."""

from __future__ import annotations

import copy
import itertools
import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from leeward import policies
from leeward.api.schedule import DRScheduleSpec

pytestmark = pytest.mark.cluster

World = Any  # conftest.World
Caller = Any  # conftest.Caller
ALICE = "approver-a@example.com"
DUTY = "operator-on-duty@example.com"
REQUESTED_BY = "leeward.dev/requested-by"
ROOT = Path(__file__).parents[2]
RBAC = "rbac.authorization.k8s.io"
_names = itertools.count(1)


@pytest.fixture(scope="module", autouse=True)
def writer_without_executions(world: World) -> None:
    """Who may write schedules and no executions."""
    rule = {"apiGroups": ["leeward.dev"], "resources": ["drschedules"], "verbs": ["*"]}
    role = {"kind": "Role", "name": "schedules-only", "apiGroup": RBAC}
    subject = {"kind": "Group", "name": "schedules-only", "apiGroup": RBAC}
    metadata = {"name": "schedules-only", "namespace": "orders"}
    version = f"{RBAC}/v1"
    world.cluster.apply(
        {"apiVersion": version, "kind": "Role", "metadata": metadata, "rules": [rule]},
        {
            "apiVersion": version, "kind": "RoleBinding", "metadata": metadata,
            "roleRef": role, "subjects": [subject],
        },
    )  # fmt: skip


def manifest(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "leeward.dev/v1alpha1",
        "kind": "DRSchedule",
        "metadata": {"name": f"weekly-{next(_names)}", "namespace": "orders"},
        "spec": {"planRef": {"name": "orders-east"}, "schedule": "0 2 * * 6", **spec},
    }


def made(caller: Caller, **spec: Any) -> str:
    answer = caller.create("drschedules", manifest(**spec))
    assert answer.ok, answer
    return str(answer.body["metadata"]["name"])


def author(world: World, name: str) -> str:
    annotations = world.admin.get("drschedules", name)["metadata"].get("annotations", {})
    return str(annotations.get(REQUESTED_BY, ""))


def change(caller: Caller, name: str, **spec: Any) -> Any:
    return caller.patch("drschedules", name, {"spec": spec})


def writer(world: World) -> Caller:
    """May create executions and schedules, as `edit` in the namespace does."""
    return world.caller("dev@example.com", "developers")


def test_the_author_is_stamped_and_is_who_changed_the_spec_last(world: World) -> None:
    dev, other = writer(world), world.caller("dev-2@example.com", "developers")
    name = made(dev)
    assert author(world, name) == dev.user
    assert change(other, name, template={"approvalMode": "Automatic"}).ok
    assert author(world, name) == other.user
    assert change(dev, name, schedule="0 3 * * 6").ok
    assert author(world, name) == dev.user


def test_to_suspend_and_to_resume_leaves_the_author(world: World) -> None:
    name = made(writer(world))
    for suspend in (True, False):
        assert change(world.duty, name, suspend=suspend).ok
        assert author(world, name) == "dev@example.com"
    assert world.duty.patch("drschedules", name, {"metadata": {"labels": {"app": "x"}}}).ok
    assert author(world, name) == "dev@example.com"


def test_applies_of_all_kinds_keep_the_author(world: World) -> None:
    body = manifest()
    name, kubectl = body["metadata"]["name"], world.cluster.kubectl
    for options in ([], ["--server-side"], ["--server-side"]):
        kubectl("apply", *options, "-f", "-", input=json.dumps(body))
        assert author(world, name) == "admin"
    body["spec"]["timeZone"] = "Europe/Berlin"
    dev = writer(world)
    for _ in range(2):
        assert dev.apply("drschedules", name, body).ok
        assert author(world, name) == dev.user


@pytest.mark.parametrize("who", ["admin", "operator", "intruder"])
def test_nobody_writes_a_schedule_in_anothers_name(world: World, who: str) -> None:
    body = manifest()
    body["metadata"]["annotations"] = {REQUESTED_BY: ALICE}
    caller = getattr(world, who)
    answer = caller.create("drschedules", body)
    assert not answer.ok
    if who != "operator":
        assert f"must be your own user name, {caller.user}" in answer.message


@pytest.mark.parametrize("value", [ALICE, None], ids=["another", "none"])
def test_the_author_changes_with_the_spec_alone(world: World, value: str | None) -> None:
    name = made(writer(world))
    forged = {"metadata": {"annotations": {REQUESTED_BY: value}}}
    answer = world.admin.patch("drschedules", name, forged)
    assert "changes with its spec alone" in answer.message
    # Beside a change of the spec, one's own name is written over it.
    assert world.admin.patch("drschedules", name, {**forged, "spec": {"schedule": "1 1 * * *"}}).ok
    assert author(world, name) == "admin"


def test_whoever_may_not_create_executions_writes_no_schedule(world: World) -> None:
    caller = world.caller("clerk@example.com", "schedules-only")
    refused = caller.create("drschedules", manifest())
    assert "needs the verb create on drexecutions.leeward.dev" in refused.message
    name = made(writer(world))
    refused = change(caller, name, template={"approvalMode": "Automatic"})
    assert "kubectl auth can-i create drexecutions.leeward.dev -n orders" in refused.message
    assert change(caller, name, suspend=True).ok  # nothing is made by that
    assert "needs the verb create" in change(caller, name, suspend=False).message
    assert caller.delete("drschedules", name).ok


def test_a_schedule_without_an_author_is_taken_over_by_whoever_may_create_executions(
    world: World,
) -> None:
    """As one that was made while the policies were not there."""
    name = made(writer(world))
    kubectl, stamp = world.cluster.kubectl, "leeward-schedule-author.leeward.dev"
    binding = "leeward-schedules.leeward.dev"
    kinds = ("mutatingadmissionpolicybinding", "validatingadmissionpolicybinding")
    shipped = {o["metadata"]["name"] + o["kind"]: o for o in policies.load()}
    try:
        for kind, policy in zip(kinds, (stamp, binding), strict=True):
            kubectl("delete", kind, policy)
        gone = {"metadata": {"annotations": {REQUESTED_BY: None}}}
        deadline = time.monotonic() + 60
        while not world.admin.patch("drschedules", name, gone).ok:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        world.cluster.apply(
            shipped[stamp + "MutatingAdmissionPolicyBinding"],
            shipped[binding + "ValidatingAdmissionPolicyBinding"],
        )
    world.settle()
    clerk = world.caller("clerk@example.com", "schedules-only")
    mine = {"metadata": {"annotations": {REQUESTED_BY: clerk.user}}}
    assert "needs the verb create" in clerk.patch("drschedules", name, mine).message
    dev = writer(world)
    theirs = {"metadata": {"annotations": {REQUESTED_BY: dev.user}}}
    assert "changes with its spec alone" in world.duty.patch("drschedules", name, theirs).message
    assert dev.patch("drschedules", name, theirs).ok
    assert author(world, name) == dev.user


def test_an_approver_writes_no_schedule_and_a_stranger_none(world: World) -> None:
    for caller in (world.alice, world.caller("someone@example.com", "strangers")):
        assert caller.create("drschedules", manifest()).status == 403


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"template": {"operation": "Failover"}}, "a schedule makes Tests only"),
        ({"template": {"operation": "Cleanup"}}, "a schedule makes Tests only"),
        ({"template": {"then": [{"operation": "Failover"}]}}, 'unknown field "spec.template.then"'),
        ({"template": {"continueFrom": {"name": "x"}}}, "unknown field"),
        ({"concurrencyPolicy": "Allow"}, "Unsupported value"),
        ({"schedule": "0 2 * *"}, "must be a cron expression of five fields"),
        ({"schedule": "0 0 2 * * 6"}, "must be a cron expression of five fields"),
        ({"schedule": "60 2 * * 6"}, "must be a cron expression of five fields"),
        ({"schedule": "0 24 * * 6"}, "must be a cron expression of five fields"),
        ({"schedule": "0 2 32 * *"}, "must be a cron expression of five fields"),
        ({"schedule": "0 2 * 13 *"}, "must be a cron expression of five fields"),
        ({"schedule": "0 2 * * someday"}, "must be a cron expression of five fields"),
        ({"schedule": "@weekly  "}, "must be a cron expression of five fields"),
        ({"timeZone": "Local"}, "must be the name of a time zone"),
        ({"timeZone": "../../etc"}, "must be the name of a time zone"),
        ({"startingDeadlineSeconds": 1}, "greater than or equal to 30"),
        (
            {"blackouts": [{"name": "x", "type": "Fixed"}]},
            "give the block that type names, and no other",
        ),
        (
            {"blackouts": [{"name": "x", "type": "Fixed", "fixed": {
                "start": "2026-12-24T00:00:00Z", "end": "2026-12-20T00:00:00Z"}}]},
            "start must be before end",
        ),
        (
            {"blackouts": [{"name": "x", "type": "Recurring", "recurring": {
                "schedule": "0 0 1 * *", "duration": "9000h"}}]},
            "must not be longer than a year",
        ),
    ],
)  # fmt: skip
def test_what_a_schedule_cannot_be_the_api_server_refuses(
    world: World, spec: dict[str, Any], says: str
) -> None:
    path = "/apis/leeward.dev/v1alpha1/namespaces/orders/drschedules?fieldValidation=Strict"
    answer = writer(world).request("POST", path, manifest(**spec))
    assert not answer.ok
    assert says in answer.message


@pytest.mark.parametrize(
    "cron",
    ["*/15 9-17 * * MON-FRI", "0 2 1,15 * *", "5 4 L * *", "0 3 * jan,jul 6#1", "0 3 * * 5L"],
)
def test_what_cron_can_say_is_taken(world: World, cron: str) -> None:
    made(writer(world), schedule=cron, timeZone="America/Argentina/Buenos_Aires")


def test_a_name_that_leaves_no_room_for_the_minute_is_refused(world: World) -> None:
    body = manifest()
    body["metadata"]["name"] = "x" * 55
    assert "at most 54 characters" in writer(world).create("drschedules", body).message


def test_only_the_operator_writes_the_status_and_marks(world: World) -> None:
    name = made(writer(world))
    whole = world.admin.get("drschedules", name)
    whole["status"] = {"decidedTime": "2030-01-01T00:00:00Z"}
    assert "is written by the operator alone" in (
        world.admin.replace("drschedules/status", name, whole).message
    )
    assert world.operator.replace("drschedules/status", name, whole).ok
    mark = {"metadata": {"labels": {"leeward.dev/schedule": "x"}}}
    assert "labels that begin with leeward.dev/" in (
        world.admin.patch("drschedules", name, mark).message
    )
    assert "a schedule takes no commands" in (
        world.admin.annotate(name, "drschedules", pause="admin").message
    )


# --- The drills


def drill(
    world: World, by: Caller | None = None, labels: Any = None, asked: str = DUTY, **spec: Any
) -> Any:
    """The creation of a drill as the operator makes it for a schedule."""
    body = world.manifest(
        name=f"weekly-{next(_names)}",
        **{"operation": "Test", "startBefore": "2030-01-31T18:00:00Z", **spec},
    )
    given = {"leeward.dev/schedule": "weekly", "leeward.dev/schedule-uid": "u-1"}
    body["metadata"] |= {
        "labels": given if labels is None else labels, "annotations": {REQUESTED_BY: asked}
    }  # fmt: skip
    body["spec"] = {key: value for key, value in body["spec"].items() if value is not None}
    return (by or world.operator).create("drexecutions", body)


@pytest.mark.parametrize(
    "spec", [{}, {"approvalMode": "Automatic", "waves": ["one"]},
             {"gates": [{"wave": "one", "before": "Cleanup"}]}],
)  # fmt: skip
def test_the_operator_creates_the_drill_of_a_schedule_in_its_authors_name(
    world: World, spec: dict[str, Any]
) -> None:
    answer = drill(world, **spec)
    assert answer.ok, answer
    assert answer.body["metadata"]["annotations"][REQUESTED_BY] == DUTY


@pytest.mark.parametrize(
    "spec",
    [
        {"operation": "Failover"}, {"operation": "Cleanup"}, {"startBefore": None},
        {"then": [{"operation": "Failover"}]}, {"continueFrom": {"name": "run-0"}},
        {"mode": "Unplanned"}, {"dryRun": "Plan"}, {"labels": {}},
        {"labels": {"leeward.dev/schedule": "weekly"}},
        {"labels": {"leeward.dev/schedule": "nightly", "leeward.dev/schedule-uid": "u-1"}},
        {"asked": "system:serviceaccount:leeward-system:leeward"},
    ],
)  # fmt: skip
def test_the_operator_creates_nothing_else_for_one(world: World, spec: dict[str, Any]) -> None:
    assert "Tests of a DRSchedule" in drill(world, **spec).message


@pytest.mark.parametrize("who", ["duty", "admin", "intruder"])
def test_nobody_else_says_that_an_execution_is_a_schedules(world: World, who: str) -> None:
    caller = getattr(world, who)
    answer = drill(world, caller, asked=caller.user)
    assert "labels that begin with leeward.dev/" in answer.message


def test_who_wrote_the_schedule_does_not_approve_its_drill(world: World) -> None:
    both = world.caller(ALICE, "dr-approvers", "developers")
    name = made(both)
    asked = author(world, name)
    answer = drill(world, asked=asked)
    run = answer.body["metadata"]["name"]
    gate = {
        "name": "wave-2", "id": "1", "wave": "wave-2", "before": "Activate", "state": "Waiting",
        "required": 1, "askedAt": "2026-01-01T00:00:00Z", "deadline": "2026-01-01T00:30:00Z",
        "fourEyes": "Required",
    }  # fmt: skip
    world.status(run, gates=[gate])
    refused = both.annotate(run, approve_wave_2=ALICE)
    assert f"four eyes: {ALICE} asked for" in refused.message
    assert world.bob.annotate(run, approve_wave_2=world.bob.user).ok


def test_every_field_of_a_schedule_but_suspend_makes_its_writer_the_author() -> None:
    objects = {o["metadata"]["name"]: o for o in policies.load() if "Binding" not in o["kind"]}
    stamps = objects["leeward-schedule-author.leeward.dev"]["spec"]["matchConditions"]
    checked = objects["leeward-schedules.leeward.dev"]["spec"]["variables"]
    texts = [stamps[0]["expression"], *(v["expression"] for v in checked if v["name"] == "written")]
    fields = {f.alias for f in DRScheduleSpec.model_fields.values()} - {"suspend"}
    assert "template" in fields
    for text in texts:
        words = text.replace("?", "").split()
        missing = {f for f in fields if f"object.spec.{f}" not in {w.lstrip("(") for w in words}}
        assert missing == set()


def test_the_chart_gives_schedules_to_whoever_may_create_executions() -> None:
    text = (ROOT / "charts" / "leeward" / "templates" / "roles.yaml").read_text()
    rules = [
        rule
        for document in text.replace("{{", "# {{").split("---")
        for rule in (copy.deepcopy(yaml.safe_load(document)) or {}).get("rules", [])
    ]
    writes = [r for r in rules if "drschedules" in r["resources"] and "create" in r["verbs"]]
    assert writes
    assert all("drexecutions" in rule["resources"] for rule in writes)
