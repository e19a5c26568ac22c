"""The sandbox of the crash tests: one for all runs, an application of its own for each.

The operator talks to the API server through the sandbox's proxy, so that it can be stopped at any
of its writes. AWS's clock runs so fast that hardly anything is waited for: a run takes seconds.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import yaml
from session_estate import DRS, TAGS, network

from leeward_sandbox import audit
from leeward_sandbox.aws.control import Control
from leeward_sandbox.cluster import Cluster
from leeward_sandbox.cluster.proxy import ApiProxy
from leeward_sandbox.stack import OPERATOR_USER, Stack

Object = dict[str, Any]

NAMESPACE = "orders"
PRIMARY, RECOVERY = "us-east-1", "us-east-2"
ACCOUNTS = {f"crash-{n}": str(n) * 12 for n in range(1, 6)}
ALL = os.environ.get("LEEWARD_TEST_BOUNDARIES", "") == "all"
"""Whether a run is made for each boundary, not only for a sample of them."""
APPLICATIONS = 600 if ALL else 100
"""As many runs as one session can have."""
SCALE = 3600.0
"""A launch of nine minutes takes 0.15 s."""
PATIENCE = 120.0
SETTINGS = {
    "LEEWARD_POLL_INTERVAL": "0.2",
    "LEEWARD_RETRY_BACKOFF": "0.2",
    # Longer than a call can be under way here, where a dead operator's calls are dropped.
    "LEEWARD_SETTLE": "1.5",
}


@dataclass(frozen=True, slots=True)
class Application:
    """Two servers that replicate, and a public name that points to the primary Region."""

    name: str
    account: str
    """Of the TargetAccount."""

    @classmethod
    def number(cls, n: int) -> Application:
        return cls(f"app-{n:03}", list(ACCOUNTS)[n % len(ACCOUNTS)])

    @property
    def account_id(self) -> str:
        return ACCOUNTS[self.account]

    @property
    def zone(self) -> str:
        return f"{self.account}.example.com"

    @property
    def record(self) -> str:
        return f"www.{self.name}.{self.zone}"

    def target(self, region: str) -> str:
        return f"{self.name}.{region}.{self.zone}"


class Bench:
    """Cluster, AWS, proxy and operator."""

    def __init__(self, stack: Stack, proxy: ApiProxy) -> None:
        assert isinstance(stack.cluster, Cluster)
        self.stack = stack
        self.cluster = stack.cluster
        self.proxy = proxy
        self.control = Control(stack.aws_endpoint)
        self._api = stack.cluster.reader()
        self._numbers = itertools.count(1)
        self._kubeconfig = stack.state_dir / "operator-kubeconfig"
        self.client = cache(self._client)

    @classmethod
    @contextmanager
    def opened(cls, folder: Path) -> Iterator[Bench]:
        """A bench of its own; no request of the operator broke AWS's models when it closes."""
        file = folder / "estate.yaml"
        file.write_text(yaml.safe_dump(_estate()))
        stack = Stack.up(
            "crash", state_dir=folder / "sandbox", estate=str(file), scale=SCALE, operator=False
        )
        try:
            assert isinstance(stack.cluster, Cluster)
            stack.cluster.apply(*map(_target_account, ACCOUNTS))
            with ApiProxy(stack.cluster) as proxy:
                bench = cls(stack, proxy)
                yield bench
                bench.stack.kill_operator()
            violations = [(v["operation"], v["problem"]) for v in bench.control.violations()]
            assert violations == [], "AWS's models refuse them"
            refused = audit.refused(stack.cluster.audit_log, OPERATOR_USER)
            assert refused == set(), "requests that the chart's roles do not allow"
        finally:
            stack.down()

    # --- the operator

    def operator_runs(self) -> bool:
        return "operator" in self.stack.pids

    def start_operator(
        self, name: str = "operator", *, behind_proxy: bool = True, **env: str
    ) -> None:
        """Start the operator; a restarted one of the same name takes its Lease up at once."""
        if not self._kubeconfig.exists():
            self.proxy.kubeconfig(self.stack.operator_kubeconfig(), self._kubeconfig)
        through = {"KUBECONFIG": str(self._kubeconfig)} if behind_proxy else {}
        self.stack.start_operator({**SETTINGS, **through, **env}, name=name)

    def kill_operator(self, name: str = "operator") -> None:
        """SIGKILL; what the proxy holds of it comes to nothing."""
        self.stack.kill_operator(name=name)
        self.proxy.drop()

    def log(self, name: str = "operator", since: int = 0) -> str:
        """What an operator has logged, from that many characters on."""
        return self.stack.logs[name].read_text(errors="replace")[since:]

    # --- Kubernetes, as its administrator

    def kubectl(self, *args: str, user: str = "admin", input_: str | None = None) -> str:
        done = self.cluster.kubectl("-n", NAMESPACE, *args, user=user, input=input_)
        return done.stdout

    def get(self, plural: str, name: str = "", *, selector: str = "") -> Object | None:
        """An object, or a list of them; None: there is none, or the API server is away."""
        path = f"/apis/leeward.dev/v1alpha1/namespaces/{NAMESPACE}/{plural}"
        found: Object | None = self._api.get(
            f"{path}/{name}" if name else f"{path}?labelSelector={selector}"
        )
        return found

    def create(self, *bodies: Object) -> None:
        self.kubectl("create", "-f", "-", input_=yaml.safe_dump_all(bodies))

    def until(self, what: str, look: Callable[[], Any], patience: float = PATIENCE) -> Any:
        """The first true answer of `look`."""
        end = time.monotonic() + patience
        while not (answer := look()):
            if time.monotonic() > end:
                tail = "\n".join(self.log().splitlines()[-40:])
                raise AssertionError(
                    f"waited {patience:.0f} s in vain until {what}\n"
                    f"{self.kubectl('get', 'rp,drx,drt', '-o', 'wide')}\n--- operator\n{tail}"
                )
            time.sleep(0.05)
        return answer

    # --- AWS

    def _client(self, service: str, account_id: str, region: str = RECOVERY) -> Any:
        make: Any = boto3.client
        return make(
            service,
            region_name=region,
            endpoint_url=self.stack.aws_endpoint,
            aws_access_key_id=f"SANDBOX{account_id}",
            aws_secret_access_key="sandbox",
        )

    def next_application(self) -> Application:
        number = next(self._numbers)
        assert number <= APPLICATIONS, "the estate of the crash tests has no more applications"
        return Application.number(number)


def _estate() -> Object:
    """Each account: its applications' servers, a zone with their names, and a drill network."""
    everything = [Application.number(n) for n in range(1, APPLICATIONS + 1)]
    accounts: list[Object] = []
    for second, (name, account_id) in enumerate(ACCOUNTS.items(), 10):
        mine = [a for a in everything if a.account == name]
        records = [{"name": a.record, "values": [a.target(PRIMARY)]} for a in mine]
        accounts.append(
            {
                "id": account_id,
                "name": name,
                "network": network(second),
                "serverGroups": [
                    {"prefix": a.name, "count": 2, "tags": {"Application": a.name}} for a in mine
                ],
                # Of another application, so that no plan finds it.
                "zones": [
                    {"name": mine[0].zone, "records": records, "tags": {"Application": "dns"}}
                ],
            }
        )
    return {
        "name": "crash", "namespace": NAMESPACE, "seed": 11, "tags": TAGS | {"dr:wave": "1"},
        "drs": DRS, "accounts": accounts,
    }  # fmt: skip


def _target_account(name: str) -> Object:
    account_id = ACCOUNTS[name]
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
