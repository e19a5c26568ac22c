"""The demonstration: one failover of the estate `small`, seen live, approved on the way.

It does what a user would do, with a user's tools: kubectl applies the examples, `kubectl leeward`
shows the run, kubectl annotates the approval as the user approver-a.
"""

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml

from leeward_sandbox.aws.control import Control
from leeward_sandbox.cluster import ClusterError
from leeward_sandbox.stack import Stack

NAMESPACE = "orders"
PLAN = "orders"
EXECUTION = "orders-failover-1"
APPROVER = "approver-a@example.com"
READ_THE_GATE_SECONDS = 2.0
"""How long the approver of the demonstration looks at the gate before answering."""
_DEADLINE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs and the environment of a user of the sandbox."""

    stack: Stack
    examples: Path

    def kubectl(self, *args: str, user: str = "admin") -> str:
        """Output of kubectl as `user`."""
        return str(self.stack.cluster.kubectl("-n", NAMESPACE, *args, user=user).stdout)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """An object."""
        found: dict[str, Any] = yaml.safe_load(self.kubectl("get", kind, name, "-o", "yaml"))
        return found

    def watch(self) -> int:
        """Show the run until it ends; the exit status of `kubectl leeward get -w`."""
        program = Path(sys.executable).with_name("kubectl-leeward")
        command = [str(program), "-n", NAMESPACE, "get", "drx", EXECUTION, "-w", "--timeout", "5m"]
        return subprocess.run(
            command, env={**os.environ, **self.stack.environment()}, check=False
        ).returncode


def run(stack: Stack, examples: Path) -> int:
    """Run the demonstration on a fresh sandbox; 0 when the failover succeeded."""
    began, tools = time.monotonic(), Tools(stack, examples)
    control = Control(stack.aws_endpoint)
    _say("Four AWS accounts and a plan of three waves: kubectl apply -f examples/small/")
    tools.kubectl("apply", "-f", str(examples / "targetaccounts.yaml"))
    tools.kubectl("apply", "-f", str(examples / "recoveryplan.yaml"))
    _until("the plan is Ready", lambda: _condition(tools.get("rp", PLAN), "Ready") == "True")
    click.echo(tools.kubectl("get", "rp", PLAN), nl=False)
    _say("The failover: kubectl apply -f examples/small/failover.yaml")
    virtual, before = control.now(), len(control.calls())
    tools.kubectl("apply", "-f", str(examples / "failover.yaml"))
    approver = threading.Thread(target=_approve, args=(tools,), daemon=True)
    approver.start()
    status = tools.watch()
    elapsed = (control.now() - virtual).total_seconds()
    execution = tools.get("drx", EXECUTION)
    _summary(execution, control.calls()[before:], elapsed, time.monotonic() - began)
    return status


def _approve(tools: Tools) -> None:
    """Answer every gate as approver-a, as a person would: look, then annotate."""
    answered: set[str] = set()
    while _condition(execution := tools.get("drx", EXECUTION), "Succeeded") in ("Unknown", ""):
        for gate in execution.get("status", {}).get("gates", []):
            if gate["state"] == "Waiting" and gate.get("guard") and gate["id"] not in answered:
                time.sleep(READ_THE_GATE_SECONDS)
                key = f"leeward.dev/approve-{gate['name']}"
                value = f"{APPROVER}: lag checked, go"
                tools.kubectl("annotate", "drx", EXECUTION, f"{key}={value}", user="approver-a")
                answered.add(gate["id"])
        time.sleep(0.25)


def _summary(
    execution: dict[str, Any], calls: list[dict[str, Any]], virtual: float, wall: float
) -> None:
    status = execution["status"]
    launches = [c for c in calls if c["operation"] == "StartRecovery" and not c["error"]]
    servers = sum(len(c["params"]["sourceServers"]) for c in launches)
    mutating = Counter(f"{c['service']}:{c['operation']}" for c in calls if c["mutating"])
    resources = status["resources"]
    lines = [
        ("Verdict", f"{status['state']}: {status['message']}"),
        ("Waves", ", ".join(f"{w['name']} {w['state']}" for w in status["waves"])),
        ("Resources", f"{resources['complete']} of {resources['total']} recovered, "
                      f"{resources['failed']} failed"),
        ("Servers launched", f"{servers} in {len(launches)} DRS jobs"),
        ("AWS calls", f"{len(calls)}, of which {sum(mutating.values())} changed something: "
                      + ", ".join(f"{n} {k}" for k, n in sorted(mutating.items()))),
        ("Approvals", ", ".join(
            f"{g['name']} by {a['user']}" for g in status.get("gates", [])
            for a in g.get("answers", [])) or "none"),
        ("Elapsed", f"{virtual / 60:.1f} min on the sandbox's clock, {wall:.0f} s on the wall"),
    ]  # fmt: skip
    click.echo("\nSummary")
    for name, value in lines:
        click.echo(f"  {name + ':':<18}{value}")


def _say(text: str) -> None:
    click.secho(f"\n# {text}", bold=True)


def _condition(body: dict[str, Any], kind: str) -> str:
    conditions = body.get("status", {}).get("conditions", [])
    return next((str(c["status"]) for c in conditions if c["type"] == kind), "")


def _until(what: str, holds: Callable[[], bool]) -> None:
    end = time.monotonic() + _DEADLINE_SECONDS
    while not holds():
        if time.monotonic() > end:
            raise ClusterError(f"waited {_DEADLINE_SECONDS:.0f} s in vain until {what}")
        time.sleep(0.2)
