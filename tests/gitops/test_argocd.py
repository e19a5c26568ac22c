"""A real Argo CD, with self-heal and prune, installs Leeward and keeps plans and runs.

The tests tell one story, in their order: plans come first, then a drill, then the failover.
"""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from argo import CONTROLLER, ArgoCd, health, synced
from verdicts import lua
from verdicts.together import CUSTOMIZATIONS

from leeward import argocd
from leeward_sandbox.aws.control import Control
from leeward_sandbox.stack import Stack, examples

Object = dict[str, Any]

APPROVER = "approver-a@example.com"
DRILL = "orders-drill-1"
FAILOVER = "orders-failover-1"
KEPT = {"argocd.argoproj.io/sync-options": "Prune=false"}


@pytest.fixture(scope="module")
def estate(argo: ArgoCd) -> ArgoCd:
    """Argo CD with an Application of accounts and plan, and room for executions beside them."""
    files = {f"orders/{name}": (examples() / name).read_text() for name in _PLAN}
    argo.git.commit({**files}, "The plan of orders")
    argo.application("orders", "orders", namespace="orders")
    argo.until("orders", "plan and accounts", lambda app: synced(app) and health(app) == "Healthy")
    return argo


_PLAN = ("targetaccounts.yaml", "recoveryplan.yaml")


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


def _commit(argo: ArgoCd, files: dict[str, str | None], message: str) -> None:
    """Commit what is so already, and wait until Argo CD has seen that."""
    commit = argo.git.commit(files, message)

    def followed(app: Object) -> bool:
        sync = app["status"]["sync"]
        return bool(sync["revision"] == commit and sync["status"] == "Synced")

    argo.until("orders", message, followed)


def _annotate(argo: ArgoCd, name: str, command: str) -> None:
    value = f"leeward.dev/{command}={APPROVER}: seen"
    argo.cluster.kubectl("annotate", "drx", name, "-n", "orders", value, user="approver-a")


def _until_waiting(argo: ArgoCd, name: str) -> None:
    """Until the gate is asked, the guard proved, and Argo CD shows that people are waited for."""

    def asked(_app: Object) -> bool:
        gates = _get(argo, "drx", name).get("status", {}).get("gates", [])
        return any(g["state"] == "Waiting" and g.get("guard") for g in gates)

    argo.until("orders", f"{name} to exist", lambda app: health(app, "DRExecution", name))
    argo.until("orders", f"{name} at its gate", asked)
    argo.until("orders", "Suspended", lambda a: health(a, "DRExecution", name) == "Suspended")


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
    argo.until_compared("leeward")
    before, syncs = _versions(argo, "leeward"), _syncs(argo, "leeward")
    assert len(before) > 25
    argo.until_compared("leeward", times=3)
    assert (_versions(argo, "leeward"), _syncs(argo, "leeward")) == (before, syncs)
    assert synced(argo.get("leeward"))


def test_plans_and_accounts_are_healthy_and_nothing_is_fought_over(estate: ArgoCd) -> None:
    assert health(estate.get("orders"), "RecoveryPlan", "orders") == "Healthy"
    assert health(estate.get("orders"), "TargetAccount", "orders-data") == "Healthy"
    before = _get(estate, "rp", "orders")["metadata"]
    syncs = _syncs(estate, "orders")
    app = estate.until_compared("orders", times=3)
    after = _get(estate, "rp", "orders")["metadata"]
    assert (after["generation"], after["uid"]) == (before["generation"], before["uid"])
    assert synced(app)
    assert _syncs(estate, "orders") == syncs


def test_a_running_drill_is_steered_by_buttons_and_is_not_pruned_away(estate: ArgoCd) -> None:
    manifest = _manifest("drill", DRILL)
    estate.git.commit({"orders/drill.yaml": manifest}, "Rehearse")
    _until_waiting(estate, DRILL)
    assert health(estate.get("orders")) == "Suspended"
    asked_by = _get(estate, "drx", DRILL)["metadata"]["annotations"]["leeward.dev/requested-by"]
    assert asked_by == f"system:serviceaccount:argocd:{CONTROLLER}"

    estate.git.commit({"orders/drill.yaml": None}, "Forget the drill while it runs")
    refused = estate.until("orders", "a refused prune", lambda a: "not deleted" in _outcome(a))
    assert "leeward.dev/cancel=" in _outcome(refused)
    _commit(estate, {"orders/drill.yaml": manifest}, "It runs still")

    estate.act("orders", "pause", "DRExecution", DRILL)
    estate.until("orders", "a pause", lambda _: _get(estate, "drx", DRILL)["status"].get("paused"))
    estate.act("orders", "resume", "DRExecution", DRILL)
    commands = [(c["key"], c["user"]) for c in _get(estate, "drx", DRILL)["status"]["commands"]]
    assert commands[0] == ("leeward.dev/pause", argocd.SERVER_ACCOUNT)

    _until_waiting(estate, DRILL)
    _annotate(estate, DRILL, "approve-wave-app")
    estate.until("orders", "a drill", lambda a: health(a, "DRExecution", DRILL) == "Healthy")


def test_a_command_in_git_is_refused(estate: ArgoCd) -> None:
    forged = f"system:serviceaccount:argocd:{CONTROLLER}"
    plain = _manifest("failover", FAILOVER, KEPT)
    estate.git.commit({"orders/failover.yaml": plain}, "Move")
    _until_waiting(estate, FAILOVER)
    body = yaml.safe_load(plain)
    body["metadata"]["annotations"]["leeward.dev/approve-wave-app"] = forged
    estate.git.commit({"orders/failover.yaml": yaml.safe_dump(body)}, "Approve by merging")
    estate.until("orders", "a refusal", lambda a: "every verb by a wildcard" in _outcome(a))
    assert _get(estate, "drx", FAILOVER)["status"]["gates"][0].get("answers", []) == []
    _commit(estate, {"orders/failover.yaml": plain}, "Leave approving to people")


def test_a_run_is_not_edited_and_stays_when_its_file_leaves_git(estate: ArgoCd) -> None:
    plain = (estate.git.tree / "orders" / "failover.yaml").read_text()
    before = _get(estate, "drx", FAILOVER)
    body = yaml.safe_load(plain)
    body["spec"]["mode"] = "Unplanned"
    estate.git.commit({"orders/failover.yaml": yaml.safe_dump(body)}, "Edit a run")
    estate.until("orders", "a refusal", lambda a: "never changes" in _outcome(a))
    estate.git.commit({"orders/failover.yaml": None}, "Forget the run")
    estate.until_compared("orders", times=2)
    after = _get(estate, "drx", FAILOVER)
    assert (after["spec"], after["metadata"]["uid"]) == (before["spec"], before["metadata"]["uid"])
    assert "deletionTimestamp" not in after["metadata"]
    _commit(estate, {"orders/failover.yaml": plain}, "Remember it")


def test_a_person_approves_while_argo_cd_heals(estate: ArgoCd) -> None:
    _annotate(estate, FAILOVER, "approve-wave-app")
    estate.refresh("orders")
    estate.until("orders", "an end", lambda a: health(a, "DRExecution", FAILOVER) == "Healthy")
    gate = _get(estate, "drx", FAILOVER)["status"]["gates"][0]
    assert [answer["user"] for answer in gate["answers"]] == [APPROVER]
    assert _get(estate, "rp", "orders")["status"]["location"] == "Recovery"


def test_a_run_that_has_ended_is_never_run_again(estate: ArgoCd, stack: Stack) -> None:
    before, calls = _get(estate, "drx", FAILOVER), _mutations(stack)
    _commit(estate, {"orders/else.yaml": "# nothing\n"}, "Something else")
    estate.until_compared("orders", times=2)
    now = _get(estate, "drx", FAILOVER)
    assert (now["status"], now["spec"]) == (before["status"], before["spec"])
    assert now["metadata"]["uid"] == before["metadata"]["uid"]
    # Somebody tidies up, and self-heal creates it anew.
    estate.cluster.kubectl("delete", "drx", FAILOVER, "-n", "orders")
    degraded = estate.until(
        "orders", "a refusal", lambda a: health(a, "DRExecution", FAILOVER) == "Degraded"
    )
    assert degraded["status"]["sync"]["status"] == "Synced"
    again = _get(estate, "drx", FAILOVER)
    assert again["metadata"]["uid"] != before["metadata"]["uid"]
    reasons = {c["reason"] for c in again["status"]["conditions"] if c["type"] == "Succeeded"}
    assert reasons == {"AlreadyRan"}
    assert _mutations(stack) == calls


def test_a_drill_is_started_by_a_button(estate: ArgoCd) -> None:
    estate.act("orders", "start-drill", "RecoveryPlan", "orders")
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


def _outcome(app: Object) -> str:
    """What the last sync came to, in words."""
    status = app.get("status", {})
    operation = status.get("operationState", {})
    results = operation.get("syncResult", {}).get("resources", [])
    told = [operation.get("message", ""), *(r.get("message", "") for r in results)]
    return "\n".join([*told, *(c["message"] for c in status.get("conditions", []))])
