"""End-to-end tests: a real API server, the sandbox's AWS, the operator as a process of its own.

One sandbox serves the whole session. Its estate holds many small applications, and each test takes
one for itself, with a plan of its own, so that tests don't meet. What a test waits for it polls
with a generous deadline; nothing depends on how fast the machine is.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, cast

import boto3
import pytest
import yaml
from session_estate import DRS, TAGS, network
from verdicts.witness import Witness

from leeward_sandbox import audit
from leeward_sandbox.aws.control import Control
from leeward_sandbox.cluster import Cluster, binaries
from leeward_sandbox.cluster.client import Client
from leeward_sandbox.stack import OPERATOR_USER, Stack

Object = dict[str, Any]

NAMESPACE = "orders"
APPLICATIONS = 140
ACCOUNTS = {"east-a": "111111111111", "east-b": "222222222222"}
ZONE = "e2e.example.com"
"""Public zone of the first account: www.APPLICATION is a CNAME to the primary Region."""
APPROVER = "approver-a@example.com"
PLURALS = {
    "rp": "recoveryplans", "rinv": "recoveryinventories", "drx": "drexecutions", "drt": "drtasks",
    "ta": "targetaccounts", "drsched": "drschedules",
}  # fmt: skip
PATIENCE = 120.0
"""Seconds after which a test gives up waiting."""
SCALE = 240.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/e2e/" in str(item.path):
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.aws)


def estate() -> Object:
    """Applications of two servers in wave 1 (account east-a) and two in wave 2 (east-b)."""
    names = [f"app-{n:02}" for n in range(1, APPLICATIONS + 1)]
    accounts: list[Object] = []
    for wave, (name, account_id) in enumerate(ACCOUNTS.items(), 1):
        accounts.append(
            {
                "id": account_id,
                "name": name,
                "network": network(10 * wave),
                "serverGroups": [
                    {
                        "prefix": f"{app}-w{wave}",
                        "count": 2,
                        "tags": {"Application": app, "dr:wave": str(wave)},
                    }
                    for app in names
                ],
            }
        )
    records = [
        {"name": f"www.{app}.{ZONE}", "values": [f"{app}.us-east-1.{ZONE}"]} for app in names
    ]
    # Of another application, so that no test's plan finds it.
    accounts[0]["zones"] = [{"name": ZONE, "records": records, "tags": {"Application": "dns"}}]
    return {
        "name": "e2e", "namespace": NAMESPACE, "seed": 7, "tags": TAGS, "drs": DRS,
        "accounts": accounts,
    }  # fmt: skip


@cache
def _client(endpoint: str, service: str, account: str, region: str) -> Any:
    """Of all tests: botocore reads its models for each anew."""
    make: Any = boto3.client
    return make(
        service,
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id=f"SANDBOX{account}",
        aws_secret_access_key="sandbox",
    )


@dataclass
class Lab:
    """The sandbox as a user of it: kubectl, boto3, and the sandbox's own control."""

    stack: Stack
    control: Control
    application: str
    namespace: str = NAMESPACE
    _servers: dict[int, list[str]] = field(default_factory=dict)

    # --- Kubernetes

    def kubectl(
        self, *args: str, user: str = "admin", input_: str | None = None, check: bool = True
    ) -> CompletedProcess[str]:
        """kubectl in the tests' namespace."""
        return self.stack.cluster.kubectl(
            "-n", self.namespace, *args, user=user, input=input_, check=check
        )

    def apply(
        self, *bodies: Object, user: str = "admin", check: bool = True
    ) -> CompletedProcess[str]:
        """kubectl apply."""
        return self.kubectl(
            "apply", "-f", "-", user=user, input_=yaml.dump_all(bodies), check=check
        )

    @cached_property
    def _reader(self) -> Client:
        """What is looked at again and again: a start of kubectl costs a hundred such answers."""
        assert isinstance(self.stack.cluster, Cluster)
        return self.stack.cluster.reader()

    def _read(self, kind: str, rest: str) -> Object:
        where = "" if kind == "ta" else f"namespaces/{self.namespace}/"
        found = self._reader.get(f"/apis/leeward.dev/v1alpha1/{where}{PLURALS[kind]}{rest}")
        assert found is not None, f"the API server does not have {kind}{rest}"
        return cast("Object", found)

    def get(self, kind: str, name: str) -> Object:
        """An object of ours, by the short name of its kind."""
        return self._read(kind, f"/{name}")

    def tasks(self, execution: str) -> dict[str, Object]:
        """DRTasks of an execution by name."""
        found = self._read("drt", f"?labelSelector=leeward.dev/execution={execution}")
        return {t["metadata"]["name"]: t for t in found["items"]}

    def annotate(
        self,
        kind: str,
        name: str,
        command: str,
        value: str,
        user: str = "approver-a",
        check: bool = True,
    ) -> CompletedProcess[str]:
        """kubectl annotate leeward.dev/COMMAND=VALUE."""
        return self.kubectl(
            "annotate", kind, name, f"leeward.dev/{command}={value}", user=user, check=check
        )

    def plan_body(self, **spec: Any) -> Object:
        """A plan of this test's application, two waves, a gate before Activate of the second."""
        return {
            "apiVersion": "leeward.dev/v1alpha1",
            "kind": "RecoveryPlan",
            "metadata": {"name": self.application, "namespace": self.namespace},
            "spec": {
                "customer": "CustomerA",
                "environment": "Production",
                "applications": [self.application],
                "regions": {"primary": "us-east-1", "recovery": "us-east-2"},
                "accounts": [{"name": name} for name in ACCOUNTS],
                "waves": [
                    {"name": "data"},
                    {"name": "web", "gates": [{"before": "Instantiate"}]},
                ],
                # The other side runs on unless a test is about stopping it.
                "fence": {"servers": "Leave"},
                **spec,
            },
        }

    def run_body(self, name: str, operation: str = "Failover", **spec: Any) -> Object:
        """An execution of this test's plan."""
        return {
            "apiVersion": "leeward.dev/v1alpha1",
            "kind": "DRExecution",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"planRef": {"name": self.application}, "operation": operation, **spec},
        }

    def ready_plan(self, **spec: Any) -> Object:
        """Create this test's plan and wait until it is Ready."""
        self.apply(self.plan_body(**spec))
        return self.until_condition("rp", self.application, "Ready")

    def start(self, operation: str = "Failover", suffix: str = "1", **spec: Any) -> str:
        """Create an execution; its name."""
        name = f"{self.application}-{operation.lower()}-{suffix}"
        self.apply(self.run_body(name, operation, **spec))
        return name

    def until(self, what: str, look: Callable[[], Any]) -> Any:
        """The first true answer of `look`, within PATIENCE."""
        end = time.monotonic() + PATIENCE
        while not (answer := look()):
            if time.monotonic() > end:
                pytest.fail(f"waited {PATIENCE:.0f} s in vain until {what}\n{self._situation()}")
            time.sleep(0.1)
        return answer

    def until_condition(self, kind: str, name: str, condition: str, status: str = "True") -> Object:
        """The object once it has the condition with that status."""

        def look() -> Object | None:
            body = self.get(kind, name)
            return body if self.condition(body, condition) == status else None

        found: Object = self.until(f"{kind} {name} has {condition}={status}", look)
        return found

    def until_state(self, name: str, *states: str) -> Object:
        """The execution once its state is one of `states`."""

        def look() -> Object | None:
            body = self.get("drx", name)
            return body if body.get("status", {}).get("state") in states else None

        found: Object = self.until(f"{name} is {' or '.join(states)}", look)
        return found

    def until_gate(self, name: str, gate: str = "wave-web") -> Object:
        """The execution once the gate waits and the guard is proved for it."""

        def look() -> Object | None:
            body = self.get("drx", name)
            gates = {g["name"]: g for g in body.get("status", {}).get("gates", [])}
            found = gates.get(gate)
            return body if found and found["state"] == "Waiting" and found["guard"] else None

        found: Object = self.until(f"{name} waits at {gate}", look)
        return found

    @staticmethod
    def condition(body: Object, kind: str) -> str:
        """Status of a condition, or an empty string."""
        conditions = body.get("status", {}).get("conditions", [])
        return next((str(c["status"]) for c in conditions if c["type"] == kind), "")

    @staticmethod
    def reason(body: Object, kind: str) -> str:
        """Reason of a condition, or an empty string."""
        conditions = body.get("status", {}).get("conditions", [])
        return next((str(c["reason"]) for c in conditions if c["type"] == kind), "")

    def _situation(self) -> str:
        shown = self.kubectl("get", "rp,drx,drt", "-o", "wide", check=False).stdout
        log = self.stack.logs["operator"].read_text(errors="replace").splitlines()[-30:]
        mine = [line for line in shown.splitlines() if self.application in line]
        return "\n".join([*mine, "--- operator", *log])

    # --- AWS

    def client(self, service: str, account: str, region: str = "us-east-2") -> Any:
        """A plain boto3 client as that account's administrator."""
        return _client(self.stack.aws_endpoint, service, account, region)

    def servers(self, wave: int) -> list[str]:
        """Source server ids of this test's application in a wave; they stay the same."""
        if wave not in self._servers:
            self._servers[wave] = self._listed(list(ACCOUNTS.values())[wave - 1])
        return list(self._servers[wave])

    def _listed(self, account: str) -> list[str]:
        pages = self.client("drs", account).get_paginator("describe_source_servers")
        return sorted(
            item["sourceServerID"]
            for page in pages.paginate(filters={})
            for item in page["items"]
            if item["tags"].get("Application") == self.application
        )

    def launches(self) -> Counter[str]:
        """How often each server of this application was launched, as the call record shows it."""
        mine = {*self.servers(1), *self.servers(2)}
        calls = self.control.calls(service="drs", operation="StartRecovery")
        return Counter(
            server["sourceServerID"]
            for call in calls
            if call["executed"] and not call["error"]
            for server in call["params"]["sourceServers"]
            if server["sourceServerID"] in mine
        )

    def mutations(self, since: int = 0) -> list[Object]:
        """Calls since `since` that changed something."""
        return [c for c in self.control.calls(since=since) if c["mutating"] and c["executed"]]

    @contextmanager
    def bound(self, role: str) -> Iterator[None]:
        """approver-a has a ClusterRole of the chart in the tests' namespace as well."""
        name = f"approver-a-{role}"
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": APPROVER}
        reference = {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role
        }  # fmt: skip
        self.apply(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": name},
                "roleRef": reference,
                "subjects": [subject],
            }
        )
        yield
        self.kubectl("delete", "rolebinding", name)

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Nothing inside changes anything in AWS, nor makes the operator log a traceback."""
        log = self.stack.logs["operator"]
        since, before = self.control.last_seq(), log.stat().st_size
        yield
        assert self.mutations(since) == []
        assert b"Traceback" not in log.read_bytes()[before:]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The session's sandbox, with its operator running."""
    folder = tmp_path_factory.mktemp("e2e")
    file = folder / "estate.yaml"
    file.write_text(yaml.safe_dump(estate()))
    stack = Stack.up("e2e", state_dir=folder / "sandbox", estate=str(file), scale=SCALE)
    try:
        watching = Witness(binaries.kubectl(), stack.cluster.kubeconfig("admin"))
        with watching.watch() as witness:
            stack.cluster.apply(*(_target_account(n, i) for n, i in ACCOUNTS.items()))
            yield stack
        assert (witness.said, witness.failures) == ({}, []), "who waits does not agree"
        assert witness.judged > 0
        violations = Control(stack.aws_endpoint).violations()
        assert [(v["operation"], v["problem"]) for v in violations] == [], (
            "AWS's models refuse them"
        )
        refused = audit.refused(stack.cluster.audit_log, OPERATOR_USER)
        assert refused == set(), "requests that the chart's roles do not allow"
    finally:
        stack.down()


def _target_account(name: str, account_id: str) -> Object:
    return {
        "apiVersion": "leeward.dev/v1alpha1",
        "kind": "TargetAccount",
        "metadata": {"name": name},
        "spec": {
            "accountId": account_id,
            "readRoleArn": f"arn:aws:iam::{account_id}:role/LeewardRead",
            "recoveryRoleArn": f"arn:aws:iam::{account_id}:role/LeewardRecovery",
            "allow": {"namespaces": [NAMESPACE]},
        },
    }


_numbers = itertools.count(1)
_numbers_of_desks = itertools.count(1)


@pytest.fixture
def lab(stack: Stack) -> Iterator[Lab]:
    """The sandbox with an application of this test's own; faults are gone afterwards."""
    lab = Lab(stack, Control(stack.aws_endpoint), f"app-{next(_numbers):02}")
    if "operator" not in stack.pids:
        stack.start_operator()
    yield lab
    lab.control.scale(SCALE)
    for fault in lab.control.faults():
        lab.control.release(fault["id"])
        lab.control.remove_fault(fault["id"])


@pytest.fixture
def desk(stack: Stack) -> Lab:
    """The sandbox with an application that no server belongs to, for what never gets to AWS."""
    lab = Lab(stack, Control(stack.aws_endpoint), f"none-{next(_numbers_of_desks):02}")
    if "operator" not in stack.pids:
        stack.start_operator()
    return lab


@pytest.fixture
def examples() -> Path:
    """The repository's examples."""
    return Path(__file__).resolve().parents[2] / "examples"
