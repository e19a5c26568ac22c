"""The estate `broken`: each fault is named before the bad day, and costs its own resources only."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.conftest import SCALE, Lab

from leeward_sandbox import audit
from leeward_sandbox.aws.control import Control
from leeward_sandbox.stack import OPERATOR_USER, Stack

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "broken"
R = "us-east-2"
REPLICATION, ROOM, RIGHTS = "111111111111", "555555555555", "666666666666"


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A sandbox of the estate `broken`, with its example applied and looked at."""
    folder = tmp_path_factory.mktemp("broken")
    stack = Stack.up("broken", state_dir=folder / "sandbox", estate="broken", scale=SCALE)
    try:
        lab = Lab(stack, Control(stack.aws_endpoint), "broken", namespace="broken")
        for name in ("namespace", "targetaccounts", "recoveryplan"):
            lab.kubectl("apply", "-f", str(EXAMPLES / f"{name}.yaml"))
        lab.until("every account was looked at", lambda: _looked_at(lab))
        yield lab
        assert Control(stack.aws_endpoint).violations() == []
        assert audit.refused(stack.cluster.audit_log, OPERATOR_USER) == set()
    finally:
        stack.down()


def _looked_at(lab: Lab) -> bool:
    """Whether the plan was assessed with what its accounts and dependencies say."""
    status = lab.get("rp", "broken").get("status", {})
    problems = status.get("readiness", [])
    found = {p["reason"] for p in problems}
    refused = " ".join(p["message"] for p in problems if p["reason"] == "AccountNotReady")
    accounts = ("333333333333" in refused) and (RIGHTS in refused)
    return accounts and "SubnetFull" in found and bool(status.get("dependencies"))


def plan(lab: Lab, name: str, account: str, **spec: Any) -> Any:
    """A plan of one account that has nothing but servers."""
    body = yaml.safe_load((EXAMPLES / "recoveryplan.yaml").read_text())
    body["metadata"]["name"] = name
    body["spec"] |= {"accounts": [{"name": account}], "dependencies": [], **spec}
    body["spec"]["waves"][0]["gates"] = []
    lab.apply(body)
    return lab.until_condition("rp", name, "Ready")


def run(lab: Lab, of: str, name: str, operation: str = "Failover", **spec: Any) -> str:
    """An execution of a plan."""
    body = lab.run_body(name, operation, **spec)
    body["spec"]["planRef"]["name"] = of
    lab.apply(body)
    return name


def server(lab: Lab, account: str, name: str) -> str:
    """Id of the source server of that name."""
    pages = lab.client("drs", account).get_paginator("describe_source_servers")
    found = (s for page in pages.paginate(filters={}) for s in page["items"])
    return next(str(s["sourceServerID"]) for s in found if s["tags"]["Name"] == name)


FAULTS = [
    ("ReplicationStalled", "Degraded", ("STALLED", "AGENT_NOT_SEEN", REPLICATION, R)),
    ("NeverSynchronised", "Blocking", ("wait for CONTINUOUS", REPLICATION, R)),
    ("NotReplicating", "Blocking", ("DISCONNECTED", "install the agent again", REPLICATION, R)),
    ("LaunchTemplateMissing", "Blocking", ("lt-", "launch settings", ROOM, R)),
    ("InstanceTypeNotOffered", "Blocking", ("d3en.xlarge", "choose another type", ROOM, R)),
    ("SubnetFull", "Blocking", ("subnet-", "has 0 free addresses", ROOM, R)),
    ("VcpuQuotaExceeded", "Blocking", ("L-1216C47A", "allows 5", "--desired-value 6", ROOM, R)),
    ("AccountNotReady", "Blocking", ("333333333333", "external id 'leeward/sandbox/broken'")),
    ("AccountNotReady", "Blocking", (RIGHTS, "drs:StartRecovery")),
]


def test_each_fault_stands_on_the_plan_with_its_place_and_a_remedy(broken: Lab) -> None:
    status = broken.get("rp", "broken")["status"]
    for reason, severity, said in FAULTS:
        mine = [p for p in status["readiness"] if p["reason"] == reason]
        assert {p["severity"] for p in mine} == {severity}, reason
        assert all(p["examples"] for p in mine), reason
        texts = [p["message"] + " ".join(p["examples"]) for p in mine]
        assert any(all(part in text for part in said) for text in texts), (reason, texts)
    # What nothing replicates is left out, which the tag report says: the plan cannot recover it.
    tags = {p["reason"]: p for p in status["compliance"]["problems"]}
    assert tags["NoSourceServer"]["count"] == 3
    assert "install the AWS Replication Agent" in tags["NoSourceServer"]["remedy"]
    protected = next(c for c in status["conditions"] if c["type"] == "Protected")
    assert (protected["status"], protected["reason"]) == ("False", "NotReplicating")
    depends = {d["name"]: (d["state"], d["message"]) for d in status["dependencies"]}
    assert {state for state, _ in depends.values()} == {"Failed"}
    assert "corp.broken.example.com" in depends["directory"][1]
    assert "add that Region as a replica" in depends["carts"][1]
    assert "LEEWARD_CHECK_ALLOWED_NETWORKS" in depends["metadata"][1]
    assert len(json.dumps(status)) < 60_000


def kubectl_leeward(lab: Lab, *args: str) -> subprocess.CompletedProcess[str]:
    """The plugin as its users have it, as the cluster's administrator."""
    kubeconfig = str(lab.stack.cluster.kubeconfig("admin"))
    return subprocess.run(
        [sys.executable, "-m", "leeward.cli.plugin", *args, "--kubeconfig", kubeconfig],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_report_names_them_and_exits_with_2(broken: Lab) -> None:
    done = kubectl_leeward(broken, "plan", "readiness", "broken", "-n", "broken")
    assert done.returncode == 2, done.stderr
    for reason, _, _ in FAULTS:
        assert reason in done.stdout
    assert "✖ dependency directory" in done.stdout
    assert "a Planned run and a Test would be refused" in done.stdout


@pytest.mark.parametrize("region", ["us-east-1", R])
def test_what_the_installation_needs_of_a_region_is_listed(broken: Lab, region: str) -> None:
    done = kubectl_leeward(broken, "check", "--without-region", region)
    assert done.returncode == ("✖" in done.stdout), done.stdout + done.stderr
    base = "✔ operator: role sessions come from STS of us-east-2"
    assert (base in done.stdout) is (region != R)
    recovers = f"✖ plan broken/broken: recovers into {R}"
    assert (recovers in done.stdout) is (region == R)


@pytest.mark.parametrize("operation", ["Failover", "Test"])
def test_a_dead_dependency_refuses_a_planned_run_and_a_test_untouched(
    broken: Lab, operation: str
) -> None:
    name = f"depends-{operation.lower()}"
    network = {
        "accountId": RIGHTS, "subnetId": "subnet-00000000000000000",
        "securityGroupIds": ["sg-00000000000000000"],
    }  # fmt: skip
    carts = {"name": "carts", "type": "DynamoDbGlobalTable", "target": "carts"}
    plan(broken, name, "broken-rights", dependencies=[carts], drill={"networks": [network]})
    with broken.untouched():
        run(broken, name, f"{name}-1", operation)
        ended = broken.until_state(f"{name}-1", "Failed")
    assert "dependency carts (DynamoDbGlobalTable) does not hold" in ended["status"]["message"]
    # The recovery role of this account lacks a right, which refuses the run as well.
    assert "drs:StartRecovery" in ended["status"]["message"]
    assert broken.tasks(f"{name}-1") == {}


def test_an_unplanned_run_lists_everything_at_its_gate_and_loses_only_what_is_broken(
    broken: Lab,
) -> None:
    name = run(broken, "broken", "broken-1", mode="Unplanned")
    waiting = broken.until_gate(name, "wave-all")
    findings = "\n".join(waiting["status"]["findings"])
    for reason, _, _ in FAULTS:
        assert reason in findings
    for said in ("DependencyFailed: dependency directory", "dependency carts", "STALLED"):
        assert said in findings
    assert broken.mutations() == []
    broken.annotate("drx", name, "approve-wave-all", "admin", user="admin")
    held = broken.until_condition("drx", name, "WaitingForDecision")
    tasks = {
        (t["spec"]["accountId"], t["spec"]["recoveryPhase"]): t for t in broken.tasks(name).values()
    }
    states = {r["id"]: r for r in tasks[REPLICATION, "Instantiate"]["status"]["resources"]}
    good = [server(broken, REPLICATION, n) for n in ("stalled", "lagging", "healthy-01")]
    assert [states[s]["state"] for s in good] == ["Complete"] * 3
    for lost in ("never-synced", "disconnected", "no-capacity"):
        assert states[server(broken, REPLICATION, lost)]["state"] == "Failed"
    launched = Counter(
        one["sourceServerID"]
        for call in broken.control.calls(service="drs", operation="StartRecovery")
        if call["executed"] and not call["error"]
        for one in call["params"]["sourceServers"]
    )
    assert launched[good[0]] == 1
    refused = tasks[RIGHTS, "Instantiate"]["status"]["resources"]
    assert {(r["state"], r["reason"]) for r in refused} == {("Failed", "AccessDeniedException")}
    for part in ("drs:StartRecovery", RIGHTS, R):
        assert part in refused[0]["message"]
    assert "skip" in held["status"]["message"]
