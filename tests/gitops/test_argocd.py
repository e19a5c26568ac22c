"""A real Argo CD, with self-heal and prune, installs Leeward and keeps plans and runs.

It follows the app of apps of `examples/argocd`, and holds everybody to its projects. The tests tell
one story, in their order: plans come first, then a drill, then the failover.
"""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import yaml
from argo import ACCOUNTS, CONTROLLER, OPERATOR, ORDERS, ArgoCd, health, outcome, synced
from verdicts import lua
from verdicts.together import CUSTOMIZATIONS

from leeward import argocd
from leeward_sandbox.aws.control import Control
from leeward_sandbox.stack import Stack, examples

Object = dict[str, Any]

APPROVER = "approver-a@example.com"
DRILL = "orders-drill-1"
CANCELLED = "orders-drill-2"
FAILOVER = "orders-failover-1"
REFUSED_SWITCH = {
    **{"service": "route53", "operation": "ChangeResourceRecordSets"},
    **{"action": "error", "code": "InvalidChangeBatch", "status": 400},
}
KEPT = {"argocd.argoproj.io/sync-options": "Prune=false"}


def _manifest(example: str, name: str, annotations: Object | None = None, **spec: Any) -> str:
    """An execution as people commit it; a service account will ask for it."""
    body = yaml.safe_load((examples() / f"{example}.yaml").read_text())
    body["metadata"] |= {"name": name, "annotations": annotations or {}}
    start_before = datetime.now(UTC) + timedelta(hours=2)
    body["spec"] |= {"startBefore": start_before.strftime("%Y-%m-%dT%H:%M:%SZ"), **spec}
    return yaml.safe_dump(body)


def _get(argo: ArgoCd, kind: str, name: str) -> Object:
    what = ("get", kind, name, "-n", "orders", "-o", "json", "--ignore-not-found")
    found: Object = json.loads(argo.cluster.kubectl(*what).stdout or "{}")
    return found


def _annotate(argo: ArgoCd, name: str, command: str) -> None:
    value = f"leeward.dev/{command}={APPROVER}: seen"
    argo.cluster.kubectl("annotate", "drx", name, "-n", "orders", value, user="approver-a")


def _until_waiting(argo: ArgoCd, name: str) -> None:
    """Until the gate is asked, the guard proved, and Argo CD shows that people are waited for."""

    def asked(_app: Object) -> bool:
        gates = _get(argo, "drx", name).get("status", {}).get("gates", [])
        return any(g["state"] == "Waiting" and g.get("guard") for g in gates)

    argo.until(ORDERS, f"{name} to exist", lambda app: health(app, "DRExecution", name))
    argo.until(ORDERS, f"{name} at its gate", asked)
    argo.until(ORDERS, "Suspended", lambda a: health(a, "DRExecution", name) == "Suspended")


def _failed(argo: ArgoCd) -> list[str]:
    """Names of the failover's failed tasks."""
    found = argo.cluster.kubectl("get", "drt", "-n", "orders", "-o", "json")
    return [
        task["metadata"]["name"]
        for task in json.loads(found.stdout)["items"]
        if task["spec"]["executionRef"]["name"] == FAILOVER
        and task.get("status", {}).get("state") == "Failed"
    ]


def _denied(answer: tuple[int, str]) -> bool:
    status, said = answer
    return status == HTTPStatus.FORBIDDEN and "permission denied" in said


def _versions(argo: ArgoCd, app: str) -> dict[str, str]:
    """The resourceVersion of all that an Application holds."""
    found = {}
    for part in argo.get(app)["status"]["resources"]:
        kind = ".".join(filter(None, (part["kind"], part.get("group"))))
        where = ["-n", part["namespace"]] if "namespace" in part else []
        path = "jsonpath={.metadata.resourceVersion}"
        done = argo.cluster.kubectl("get", kind, part["name"], *where, "-o", path)
        found[f"{kind}/{part['name']}"] = done.stdout
    return found


def _syncs(argo: ArgoCd, app: str) -> int:
    return len(argo.get(app)["status"]["history"])


def _mutations(stack: Stack) -> int:
    calls = Control(stack.aws_endpoint).calls()
    return sum(1 for call in calls if call["mutating"] and call["executed"])


def test_leeward_is_installed_from_git_and_nothing_is_fought_over(argo: ArgoCd) -> None:
    argo.until_compared(OPERATOR)
    before, syncs = _versions(argo, OPERATOR), _syncs(argo, OPERATOR)
    assert len(before) > 25
    argo.until_compared(OPERATOR, times=3)
    assert (_versions(argo, OPERATOR), _syncs(argo, OPERATOR)) == (before, syncs)
    assert synced(argo.get(OPERATOR))


def test_plans_and_accounts_are_healthy_and_nothing_is_fought_over(estate: ArgoCd) -> None:
    assert health(estate.get(ORDERS), "RecoveryPlan", "orders") == "Healthy"
    assert health(estate.get(ACCOUNTS), "TargetAccount", "orders-data") == "Healthy"
    before = _get(estate, "rp", "orders")["metadata"]
    syncs = _syncs(estate, ORDERS)
    app = estate.until_compared(ORDERS, times=3)
    after = _get(estate, "rp", "orders")["metadata"]
    assert (after["generation"], after["uid"]) == (before["generation"], before["uid"])
    assert synced(app)
    assert _syncs(estate, ORDERS) == syncs


def test_a_running_drill_is_steered_by_buttons_and_is_not_pruned_away(
    estate: ArgoCd, on_duty: str
) -> None:
    manifest = _manifest("drill", DRILL)
    estate.tenant.commit({"drill.yaml": manifest}, "Rehearse")
    _until_waiting(estate, DRILL)
    assert health(estate.get(ORDERS)) == "Suspended"
    asked_by = _get(estate, "drx", DRILL)["metadata"]["annotations"]["leeward.dev/requested-by"]
    assert asked_by == f"system:serviceaccount:argocd:{CONTROLLER}"

    estate.tenant.commit({"drill.yaml": None}, "Forget the drill while it runs")
    refused = estate.until(ORDERS, "a refused prune", lambda a: "not deleted" in outcome(a))
    assert "leeward.dev/cancel=" in outcome(refused)
    estate.commit_synced({"drill.yaml": manifest}, "It runs still")

    estate.act(on_duty, "pause", "DRExecution", DRILL)
    estate.until(ORDERS, "a pause", lambda _: _get(estate, "drx", DRILL)["status"].get("paused"))
    estate.act(on_duty, "resume", "DRExecution", DRILL)
    commands = [(c["key"], c["user"]) for c in _get(estate, "drx", DRILL)["status"]["commands"]]
    assert commands[0] == ("leeward.dev/pause", argocd.SERVER_ACCOUNT)

    _until_waiting(estate, DRILL)
    _annotate(estate, DRILL, "approve-wave-app")
    estate.until(ORDERS, "a drill", lambda a: health(a, "DRExecution", DRILL) == "Healthy")


def test_buttons_are_for_those_whom_the_project_names(
    estate: ArgoCd, on_duty: str, developer: str
) -> None:
    estate.tenant.commit({"cancelled.yaml": _manifest("drill", CANCELLED)}, "Rehearse again")
    _until_waiting(estate, CANCELLED)
    run = ("DRExecution", CANCELLED)
    stranger = estate.people.token("sam@example.com", "billing-on-duty")
    for token in (developer, stranger):
        assert _denied(estate.press(token, "cancel", *run))
    # Whoever steers runs neither deletes them nor writes to them otherwise.
    forged = json.dumps({"metadata": {"annotations": {"leeward.dev/approve-wave-app": "olga"}}})
    for verb, more in (("delete-resource", ()), ("patch-resource", ("--patch", forged))):
        assert "permission denied" in estate.refusal(on_duty, verb, *run, *more)
    assert _get(estate, "drx", CANCELLED)["status"].get("commands", []) == []

    estate.act(on_duty, "cancel", *run)
    ended = estate.until(
        ORDERS, "its end", lambda a: health(a, "DRExecution", CANCELLED) == "Degraded"
    )
    assert health(ended) == "Degraded"
    # What has ended goes with its file.
    estate.commit_synced({"cancelled.yaml": None}, "Forget the cancelled drill")
    estate.until(ORDERS, "its removal", lambda _: not _get(estate, "drx", CANCELLED))


def test_a_command_in_git_is_refused(estate: ArgoCd) -> None:
    forged = f"system:serviceaccount:argocd:{CONTROLLER}"
    plain = _manifest("failover", FAILOVER, KEPT)
    estate.tenant.commit({"failover.yaml": plain}, "Move")
    _until_waiting(estate, FAILOVER)
    body = yaml.safe_load(plain)
    body["metadata"]["annotations"]["leeward.dev/approve-wave-app"] = forged
    estate.tenant.commit({"failover.yaml": yaml.safe_dump(body)}, "Approve by merging")
    estate.until(ORDERS, "a refusal", lambda a: "every verb by a wildcard" in outcome(a))
    assert _get(estate, "drx", FAILOVER)["status"]["gates"][0].get("answers", []) == []
    estate.commit_synced({"failover.yaml": plain}, "Leave approving to people")


def test_a_run_is_not_edited_and_stays_when_its_file_leaves_git(estate: ArgoCd) -> None:
    plain = (estate.tenant.tree / "failover.yaml").read_text()
    before = _get(estate, "drx", FAILOVER)
    body = yaml.safe_load(plain)
    body["spec"]["mode"] = "Unplanned"
    estate.tenant.commit({"failover.yaml": yaml.safe_dump(body)}, "Edit a run")
    estate.until(ORDERS, "a refusal", lambda a: "never changes" in outcome(a))
    estate.tenant.commit({"failover.yaml": None}, "Forget the run")
    estate.until_compared(ORDERS, times=2)
    after = _get(estate, "drx", FAILOVER)
    assert (after["spec"], after["metadata"]["uid"]) == (before["spec"], before["metadata"]["uid"])
    assert "deletionTimestamp" not in after["metadata"]
    estate.commit_synced({"failover.yaml": plain}, "Remember it")


def test_a_person_approves_while_argo_cd_heals(
    estate: ArgoCd, stack: Stack, on_duty: str, developer: str
) -> None:
    control = Control(stack.aws_endpoint)
    fault = control.add_fault(**REFUSED_SWITCH)
    _annotate(estate, FAILOVER, "approve-wave-app")
    estate.refresh(ORDERS)
    failed = estate.until(ORDERS, "a failed task", lambda _: _failed(estate))
    assert health(failed, "DRExecution", FAILOVER) in ("Progressing", "Suspended")
    control.remove_fault(fault)

    (task,) = _failed(estate)
    assert _denied(estate.press(developer, "retry", "DRTask", task))
    estate.act(on_duty, "retry", "DRTask", task)
    estate.until(ORDERS, "an end", lambda a: health(a, "DRExecution", FAILOVER) == "Healthy")
    gate = _get(estate, "drx", FAILOVER)["status"]["gates"][0]
    assert [answer["user"] for answer in gate["answers"]] == [APPROVER]
    assert _get(estate, "rp", "orders")["status"]["location"] == "Recovery"


def test_a_run_that_has_ended_is_never_run_again(estate: ArgoCd, stack: Stack) -> None:
    before, calls = _get(estate, "drx", FAILOVER), _mutations(stack)
    estate.commit_synced({"else.yaml": "# nothing\n"}, "Something else")
    estate.until_compared(ORDERS, times=2)
    now = _get(estate, "drx", FAILOVER)
    assert (now["status"], now["spec"]) == (before["status"], before["spec"])
    assert now["metadata"]["uid"] == before["metadata"]["uid"]
    # Somebody tidies up, and self-heal creates it anew.
    estate.cluster.kubectl("delete", "drx", FAILOVER, "-n", "orders")
    degraded = estate.until(
        ORDERS, "a refusal", lambda a: health(a, "DRExecution", FAILOVER) == "Degraded"
    )
    assert degraded["status"]["sync"]["status"] == "Synced"
    again = _get(estate, "drx", FAILOVER)
    assert again["metadata"]["uid"] != before["metadata"]["uid"]
    reasons = {c["reason"] for c in again["status"]["conditions"] if c["type"] == "Succeeded"}
    assert reasons == {"AlreadyRan"}
    assert _mutations(stack) == calls


def test_a_drill_is_started_by_a_button(estate: ArgoCd, on_duty: str, developer: str) -> None:
    drill = ("start-drill", "RecoveryPlan", "orders")
    assert _denied(estate.press(developer, *drill))
    estate.act(on_duty, *drill)
    done = estate.cluster.kubectl("get", "drx", "-n", "orders", "-o", "json")
    drills = [
        run
        for run in json.loads(done.stdout)["items"]
        if run["metadata"].get("generateName") == "orders-drill-"
    ]
    assert [run["spec"]["operation"] for run in drills] == ["Test"]
    by = drills[0]["metadata"]["annotations"]["leeward.dev/requested-by"]
    assert by == argocd.SERVER_ACCOUNT


@pytest.mark.parametrize("kind", sorted(path.name for path in CUSTOMIZATIONS.iterdir()))
def test_argo_cd_judges_the_data_as_our_lua_does(program: Path, kind: str, tmp_path: Path) -> None:
    settings = tmp_path / argocd.FILE
    settings.write_text(argocd.render()[argocd.FILE])
    for path in sorted((CUSTOMIZATIONS / kind / "testdata").glob("*.yaml")):
        done = subprocess.run(
            [
                *(program, "admin", "settings", "resource-overrides", "health", path),
                *("--argocd-cm-path", settings, "--load-cluster-settings=false"),
            ],
            env={"HOME": str(tmp_path), "ARGOCD_BINARY_NAME": "argocd"},
            capture_output=True,
            text=True,
            check=True,
        )
        said = lua.health(CUSTOMIZATIONS / kind, yaml.safe_load(path.read_text()))
        assert done.stdout == f"STATUS: {said['status']}\nMESSAGE: {said['message']}\n", path.name
