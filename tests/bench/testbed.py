"""The sandbox that a part of the bench runs on, and what is read off it from outside.

Nothing here asks the operator: times and counts come from AWS's call record, the API server's audit
log and /proc.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.config import Config

from leeward_sandbox.aws.control import Control
from leeward_sandbox.aws.estates import load
from leeward_sandbox.aws.estates.model import Estate
from leeward_sandbox.stack import OPERATOR, Stack

Object = dict[str, Any]

RECOVERY = "us-east-2"
_PAUSE = 0.25
_PATIENCE = "40m"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used since it started."""

    cpu: float
    """Seconds of a core, user and system."""
    rss: float
    """MiB now."""
    peak: float
    """MiB at its peak."""


@dataclass(frozen=True, slots=True)
class Write:
    """A successful write to an object of the group leeward.dev, from the audit log."""

    at: datetime
    """When the API server answered."""
    user: str
    verb: str
    resource: str
    name: str
    subresource: str


class Site:
    """One running sandbox."""

    def __init__(self, stack: Stack, folder: Path, estate: Estate, scale: float) -> None:
        self.stack = stack
        self.folder = folder
        self.estate = estate
        self.namespace = estate.namespace
        self.scale = scale
        self.control = Control(stack.aws_endpoint)
        # AWS's clock is the wall's, faster: one pair of readings gives all others.
        self._virtual = self.control.now()
        self._wall = time.time()

    def virtual(self, wall: datetime) -> datetime:
        """AWS's time at a moment of the wall clock."""
        return self._virtual + timedelta(seconds=(wall.timestamp() - self._wall) * self.scale)

    @property
    def poll(self) -> float:
        """How often the operator asks AWS while it waits, in seconds of AWS's clock."""
        return max(15.0 / self.scale, 0.25) * self.scale

    # --- Kubernetes

    def kubectl(self, *args: str, user: str = "admin", text: str | None = None) -> str:
        """Output of kubectl in the estate's namespace."""
        done = self.stack.cluster.kubectl("-n", self.namespace, *args, user=user, input=text)
        return str(done.stdout)

    def apply(self, *bodies: Object) -> None:
        """Apply objects as the administrator."""
        self.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(bodies))

    def get(self, kind: str, name: str) -> Object:
        """An object."""
        found: Object = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def listed(self, kind: str) -> list[Object]:
        """All objects of a kind in the namespace."""
        found: list[Object] = json.loads(self.kubectl("get", kind, "-o", "json"))["items"]
        return found

    def await_ready(self, plan: str) -> None:
        """Wait until a plan is Ready. It is a watch: asking again and again would cost a core."""
        self.kubectl("wait", f"rp/{plan}", "--for=condition=Ready", f"--timeout={_PATIENCE}")

    def await_end(self, execution: str) -> Object:
        """The status of an execution once it has its verdict."""
        ended = "--for=jsonpath={.status.completionTime}"
        self.kubectl("wait", f"drx/{execution}", ended, f"--timeout={_PATIENCE}")
        status: Object = self.get("drx", execution)["status"]
        return status

    def writes(self) -> list[Write]:
        """Successful writes to our objects so far, in order; dry runs are none."""
        lines = self.stack.cluster.audit_log.read_text().splitlines()
        found = []
        for event in map(json.loads, lines):
            refused = event.get("responseStatus", {}).get("code", 500) >= 300
            changes = event["verb"] in {"create", "update", "patch", "delete"}
            what = event.get("objectRef", {})
            ours = what.get("apiGroup") == "leeward.dev"
            if not ours or refused or not changes or "dryRun" in event["requestURI"]:
                continue
            found.append(
                Write(
                    at=datetime.fromisoformat(event["stageTimestamp"]),
                    user=event["user"]["username"],
                    verb=event["verb"],
                    resource=what.get("resource", ""),
                    name=what.get("name", ""),
                    subresource=what.get("subresource", ""),
                )
            )
        return sorted(found, key=lambda w: w.at)

    # --- AWS

    def client(self, service: str, account: str) -> Any:
        """A boto3 client of the recovery Region as that account's administrator."""
        make: Any = boto3.client
        return make(
            service,
            region_name=RECOVERY,
            endpoint_url=self.stack.aws_endpoint,
            aws_access_key_id=f"SANDBOX{account}",
            aws_secret_access_key="sandbox",
            config=Config(max_pool_connections=32),
        )

    # --- the operator as a process

    def usage(self) -> Usage:
        """What the operator has used."""
        folder = Path("/proc") / str(self.stack.pids[OPERATOR])
        # The program's name may hold spaces and brackets; the fields follow its last bracket.
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        status = dict(
            line.split(":", 1)
            for line in (folder / "status").read_text().splitlines()
            if ":" in line
        )

        def mib(key: str) -> float:
            return int(status[key].split()[0]) / 1024

        return Usage((int(fields[11]) + int(fields[12])) / _TICKS, mib("VmRSS"), mib("VmHWM"))


@contextmanager
def site(
    estate: Estate | str, *, scale: float, operator: Mapping[str, str] | None = None
) -> Iterator[Site]:
    """A sandbox of its own for one part, gone afterwards.

    Args:
        estate: what AWS holds, or the name of an estate that comes with the sandbox.
        scale: virtual seconds per second of AWS's clock.
        operator: settings of the operator; None: there is none.
    """
    with tempfile.TemporaryDirectory(prefix="leeward-bench-") as place:
        folder = Path(place)
        held = load(estate) if isinstance(estate, str) else estate
        file = folder / "estate.yaml"
        file.write_text(yaml.safe_dump(held.model_dump(mode="json", by_alias=True)))
        stack = Stack.up(
            "bench", state_dir=folder / "sandbox", estate=str(file), scale=scale, operator=False
        )
        try:
            found = Site(stack, folder, held, scale)
            if operator is not None:
                stack.start_operator(operator)
            yield found
        finally:
            stack.down()


def until(what: str, look: Callable[[], Any], *, patience: float = 1800.0) -> Any:
    """The first true answer of `look`.

    Raises:
        TimeoutError: there was none within `patience` seconds.
    """
    end = time.monotonic() + patience
    while not (answer := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {patience:.0f} s in vain until {what}")
        time.sleep(_PAUSE)
    return answer
