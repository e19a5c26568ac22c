"""A real API server with the CRDs, policies and roles, and callers of every kind on it.

Callers other than those of the guard's tests are admin with impersonation headers: authorisation
and admission then see the impersonated user alone, whatever his name.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from leeward.api import crd
from leeward_sandbox.cluster import Cluster
from leeward_sandbox.stack import install

ROOT = Path(__file__).parents[2]
BASE = "/apis/leeward.dev/v1alpha1"
OPERATOR = "system:serviceaccount:leeward-system:leeward"
PLAN = "orders-east"
NOT_SUPPORTED = "is not supported by this version of Leeward"
_names = itertools.count(1)


@dataclass(frozen=True)
class Answer:
    """What the API server said."""

    status: int
    body: dict[str, Any]

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))

    @property
    def ok(self) -> bool:
        return self.status < 300


class Caller:
    """Somebody who asks the API server."""

    def __init__(self, server: str, context: ssl.SSLContext, user: str, groups: tuple[str, ...]):
        self.user = user
        self._server = urlsplit(server)
        self._context = context
        self._headers = [("Impersonate-User", user), *(("Impersonate-Group", g) for g in groups)]

    def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> Answer:
        connection = http.client.HTTPSConnection(
            self._server.hostname or "", self._server.port, context=self._context, timeout=30
        )
        try:
            text = b"" if body is None else json.dumps(body).encode()
            connection.putrequest(method, path)
            for name, value in [
                *self._headers,
                ("Content-Type", content_type),
                ("Content-Length", str(len(text))),
            ]:
                connection.putheader(name, value.encode())
            connection.endheaders(text)
            answer = connection.getresponse()
            return Answer(answer.status, json.loads(answer.read() or b"{}"))
        finally:
            connection.close()

    def get(self, plural: str, name: str) -> dict[str, Any]:
        answer = self.request("GET", object_path(plural, name))
        assert answer.ok, answer
        return answer.body

    def create(self, plural: str, body: dict[str, Any]) -> Answer:
        return self.request("POST", object_path(plural), body)

    def patch(self, plural: str, name: str, body: dict[str, Any]) -> Answer:
        path = object_path(plural, name)
        return self.request("PATCH", path, body, "application/merge-patch+json")

    def replace(self, plural: str, name: str, body: dict[str, Any]) -> Answer:
        return self.request("PUT", object_path(plural, name), body)

    def apply(self, plural: str, name: str, body: dict[str, Any], query: str = "") -> Answer:
        path = object_path(plural, name) + f"?fieldManager={self.user}&force=true{query}"
        return self.request("PATCH", path, body, "application/apply-patch+yaml")

    def annotate(self, name: str, plural: str = "drexecutions", **values: str | None) -> Answer:
        """Keyword `approve_wave_2__second` is the annotation leeward.dev/approve-wave-2.second."""
        keys = {
            "leeward.dev/" + k.replace("__", ".").replace("_", "-"): v for k, v in values.items()
        }
        return self.patch(plural, name, {"metadata": {"annotations": keys}})

    def delete(self, plural: str, name: str, **options: Any) -> Answer:
        return self.request("DELETE", object_path(plural, name), options or None)


def object_path(plural: str, name: str | None = None) -> str:
    scope = "" if plural.split("/")[0] == "targetaccounts" else "/namespaces/orders"
    plural, _, subresource = plural.partition("/")
    path = f"{BASE}{scope}/{plural}"
    return path + (f"/{name}" if name else "") + (f"/{subresource}" if subresource else "")


class World:
    """The cluster, its people, and ready-made objects for them to quarrel about."""

    def __init__(self, cluster: Cluster, context: ssl.SSLContext) -> None:
        self.cluster = cluster
        self._context = context
        self.operator = self.caller(OPERATOR)
        self.admin = self.caller("admin", "system:masters")
        self.alice = self.caller("approver-a@example.com", "dr-approvers")
        self.bob = self.caller("approver-b@example.com", "dr-approvers")
        self.duty = self.caller("operator-on-duty@example.com", "dr-operators")
        self.intruder = self.caller("intruder@example.com", "developers")
        self.destroyer = self.caller("approver-c@example.com", "dr-approvers", "dr-destroyers")
        self.breaker = self.caller("sealed@example.com", "dr-breakers")
        self.gitops = self.caller("system:serviceaccount:argocd:argocd-application-controller")

    def caller(self, user: str, *groups: str) -> Caller:
        return Caller(self.cluster.server, self._context, user, groups)

    def manifest(self, name: str | None = None, **spec: Any) -> dict[str, Any]:
        return {
            "apiVersion": "leeward.dev/v1alpha1",
            "kind": "DRExecution",
            "metadata": {"name": name or f"run-{next(_names)}", "namespace": "orders"},
            "spec": {"planRef": {"name": PLAN}, "operation": "Failover"} | spec,
        }

    def execution(self, by: Caller | None = None, **spec: Any) -> str:
        """An execution that the operator has taken up, with no gate asked yet."""
        made = (by or self.duty).create("drexecutions", self.manifest(**spec))
        assert made.ok, made
        name = str(made.body["metadata"]["name"])
        finalizer = {"metadata": {"finalizers": ["leeward.dev/run"]}}
        assert self.operator.patch("drexecutions", name, finalizer).ok
        self.status(name, conditions=[condition("Succeeded", "Unknown")])
        return name

    def waiting(self, *gates: dict[str, Any], by: Caller | None = None, **spec: Any) -> str:
        """An execution that waits at gates; by default at `wave-2`."""
        name = self.execution(by, **spec)
        self.status(name, gates=list(gates or [gate()]))
        return name

    def status(self, name: str, plural: str = "drexecutions", **status: Any) -> None:
        """Have the operator write these fields of the status."""
        whole = self.operator.get(plural, name)
        whole["status"] = whole.get("status", {}) | status
        answer = self.operator.replace(f"{plural}/status", name, whole)
        assert answer.ok, answer

    def task(
        self,
        execution: str,
        servers: list[dict[str, Any]] | None = None,
        phase: str = "Instantiate",
        **status: Any,
    ) -> str:
        """A task of the execution, with the servers s-1 and s-2 unless others are given."""
        owner = self.operator.get("drexecutions", execution)["metadata"]
        name = f"{execution}-w2-instantiate-drs-111111111111-use2-0"
        body = {
            "apiVersion": "leeward.dev/v1alpha1",
            "kind": "DRTask",
            "metadata": {
                "name": name,
                "namespace": "orders",
                "labels": {"leeward.dev/execution": execution, "leeward.dev/live": "true"},
                "ownerReferences": [
                    {
                        "apiVersion": "leeward.dev/v1alpha1",
                        "kind": "DRExecution",
                        "name": execution,
                        "uid": owner["uid"],
                        "controller": True,
                        "blockOwnerDeletion": True,
                    }
                ],
            },
            "spec": task_spec(execution, owner["uid"])
            | {"recoveryPhase": phase}
            | ({"resources": servers} if servers else {}),
        }
        made = self.operator.create("drtasks", body)
        assert made.ok, made
        if status:
            self.status(name, "drtasks", **status)
        return name

    def settle(self) -> None:
        """Wait until the API server has taken up all policies that were applied so far.

        It does so in the order in which it hears of them, so a validating policy that is added
        now and bites is proof of the others; the mutating one is seen by its stamp.
        """
        name = f"canary-{next(_names)}"
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"]}
        spec = {
            "matchConstraints": {"resourceRules": [rule | {"resources": ["configmaps"]}]},
            "validations": [{"expression": f"object.metadata.name != '{name}'"}],
        }
        bound = {"policyName": name, "validationActions": ["Deny"]}
        self.cluster.apply(
            policy_object("ValidatingAdmissionPolicy", name, spec),
            policy_object("ValidatingAdmissionPolicyBinding", name, bound),
        )
        canary = "/api/v1/namespaces/orders/configmaps?dryRun=All"
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
        ours = object_path("drexecutions") + "?dryRun=All"
        deadline = time.monotonic() + 60
        while (
            self.admin.request("POST", canary, body).ok
            or not self.duty.request("POST", ours, self.manifest()).ok
        ):
            assert time.monotonic() < deadline, "the policies did not come into force"
            time.sleep(0.05)
        kinds = "validatingadmissionpolicybinding,validatingadmissionpolicy"
        self.cluster.kubectl("delete", kinds, name)


def gate(name: str = "wave-2", state: str = "Waiting", **more: Any) -> dict[str, Any]:
    """An entry of status.gates."""
    return {
        "name": name,
        "id": "1",
        "wave": "wave-2",
        "before": "Activate",
        "state": state,
        "required": 1,
        "askedAt": "2026-01-01T00:00:00Z",
        "deadline": "2026-01-01T00:30:00Z",
    } | more


def condition(kind: str, status: str) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": "Test",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


def task_spec(execution: str, uid: str) -> dict[str, Any]:
    return {
        "executionRef": {"name": execution, "uid": uid},
        "plan": PLAN,
        "operation": "Failover",
        "mode": "Planned",
        "wave": "wave-2",
        "waveOrdinal": 2,
        "recoveryPhase": "Instantiate",
        "technology": "drs",
        "account": "orders-web",
        "accountId": "111111111111",
        "region": "us-east-2",
        "sourceRegion": "us-east-1",
        "resources": [
            {"id": i, "arn": f"arn:aws:drs:us-east-2:111111111111:source-server/{i}"}
            for i in ("s-1", "s-2")
        ],
    }


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    started = Cluster.start(tmp_path_factory.mktemp("policies") / "cluster")
    try:
        install(started)
        started.apply(*(without_refusals(yaml.safe_load(text)) for text in crd.render().values()))
        started.apply(binding("leeward-destructive-approver", "dr-destroyers"))
        started.apply(binding("leeward-break-glass", "dr-breakers"))
        yield started
    finally:
        started.remove()


@pytest.fixture(scope="session")
def world(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> World:
    admin = yaml.safe_load(cluster.kubeconfig("admin").read_text())["users"][0]["user"]
    files = []
    for part in ("client-certificate-data", "client-key-data"):
        file = tmp_path_factory.mktemp("admin") / part
        file.write_bytes(base64.b64decode(admin[part]))
        files.append(file)
    context = ssl.create_default_context(cafile=str(cluster.ca_file))
    certificate, key = files
    context.load_cert_chain(certificate, key)
    made = World(cluster, context)
    made.settle()
    return made


def without_refusals(schema: Any) -> Any:
    """The CRD without the rules against what has no behaviour yet.

    The API server asks the schema before the policies, and would never tell what they say.
    """
    if isinstance(schema, list):
        return [without_refusals(x) for x in schema if not _is_refusal(x)]
    if isinstance(schema, dict):
        return {key: without_refusals(x) for key, x in schema.items()}
    return schema


def _is_refusal(rule: Any) -> bool:
    return isinstance(rule, dict) and NOT_SUPPORTED in str(rule.get("message", ""))


def binding(role: str, group: str) -> dict[str, Any]:
    """A RoleBinding of a ClusterRole of the chart to a group, in the namespace orders."""
    api = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{api}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": group, "namespace": "orders"},
        "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": api, "kind": "Group", "name": group}],
    }


def policy_object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    version = "admissionregistration.k8s.io/v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}
