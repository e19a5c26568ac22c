"""What an audit log proves of rights, on logs written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from leeward_sandbox.audit import EVERYWHERE, Request, refused, requests, rights, unused

ME = "system:serviceaccount:leeward-system:leeward"
OBJECTS: list[dict[str, Any]] = [
    {
        "kind": "ClusterRole",
        "metadata": {"name": "wide"},
        "rules": [{"apiGroups": ["leeward.dev"], "resources": ["drtasks"], "verbs": ["get"]}],
    },
    {
        "kind": "Role",
        "metadata": {"name": "narrow", "namespace": "leeward-system"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}],
    },
    {
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "wide"},
        "roleRef": {"kind": "ClusterRole", "name": "wide"},
        "subjects": [{"kind": "ServiceAccount", "name": "leeward", "namespace": "leeward-system"}],
    },
    {
        "kind": "RoleBinding",
        "metadata": {"name": "narrow", "namespace": "leeward-system"},
        "roleRef": {"kind": "Role", "name": "narrow"},
        "subjects": [{"kind": "ServiceAccount", "name": "leeward", "namespace": "leeward-system"}],
    },
    {
        "kind": "RoleBinding",
        "metadata": {"name": "anothers", "namespace": "orders"},
        "roleRef": {"kind": "Role", "name": "narrow"},
        "subjects": [{"kind": "ServiceAccount", "name": "leeward", "namespace": "orders"}],
    },
]
GET_SECRETS = ("leeward-system", "", "secrets", "get")
LIST_SECRETS = ("leeward-system", "", "secrets", "list")
GET_TASKS = (EVERYWHERE, "leeward.dev", "drtasks", "get")


def request(
    resource: str, verb: str = "get", namespace: str = "leeward-system", allowed: bool = True
) -> Request:
    group = "" if resource == "secrets" else "leeward.dev"
    return Request(verb, group, resource, namespace, "x", allowed)


def test_rights_are_those_of_bindings_to_the_account_alone() -> None:
    found = rights(OBJECTS, "leeward", "leeward-system")
    assert found == {GET_SECRETS, LIST_SECRETS, GET_TASKS}


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ([], {GET_SECRETS, LIST_SECRETS, GET_TASKS}),
        ([request("secrets")], {LIST_SECRETS, GET_TASKS}),
        ([request("drtasks", namespace="orders")], {GET_SECRETS, LIST_SECRETS}),
        ([request("secrets", allowed=False)], {GET_SECRETS, LIST_SECRETS, GET_TASKS}),
        ([request("drtasks/status", "get")], {GET_SECRETS, LIST_SECRETS, GET_TASKS}),
        ([request("secrets", namespace="orders")], {GET_SECRETS, LIST_SECRETS, GET_TASKS}),
    ],
)
def test_a_right_is_used_by_a_request_that_it_allowed(asked: list[Request], left: set[Any]) -> None:
    assert unused(rights(OBJECTS, "leeward", "leeward-system"), asked) == left


def event(user: str = ME, decision: str = "allow", **other: Any) -> str:
    subject = {"apiGroup": "leeward.dev", "resource": "drexecutions", "subresource": "status"}
    written = {
        "verb": "update",
        "user": {"username": user},
        "objectRef": {**subject, "namespace": "orders", "name": "one"},
        "annotations": {"authorization.k8s.io/decision": decision},
        **other,
    }
    return json.dumps(written) + "\n"


def test_what_is_refused_once_and_allowed_at_another_time_is_no_missing_right(
    tmp_path: Path,
) -> None:
    log = tmp_path / "audit.log"
    log.write_text(event(decision="forbid"))
    assert {one.resource for one in refused(log, ME)} == {"drexecutions/status"}
    log.write_text(event(decision="forbid") + event())
    assert refused(log, ME) == set()


def test_requests_are_read_from_all_logs_but_a_line_that_is_being_written(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    (tmp_path / "audit-2026-03-01.log").write_text(event() + event("somebody"))
    log.write_text(
        event(decision="forbid") + event(impersonatedUser={"username": "x"}) + event()[:-20]
    )
    asked = Request("update", "leeward.dev", "drexecutions/status", "orders", "one", True)
    denied = Request("update", "leeward.dev", "drexecutions/status", "orders", "one", False)
    assert list(requests(log, ME)) == [asked, denied]
