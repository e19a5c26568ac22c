"""A whole sandbox: a cluster, an AWS, and the operator as a process between them."""

import http.client
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from leeward_sandbox import chart
from leeward_sandbox.cluster import Cluster, ClusterError, ExistingCluster
from leeward_sandbox.cluster.ports import LOOPBACK, free_ports
from leeward_sandbox.cluster.processes import Processes
from leeward_sandbox.cluster.progress import Progress, quiet
from leeward_sandbox.policies import await_policies

AWS = "aws"
OPERATOR = "operator"
SERVICE_ACCOUNT = chart.RELEASE
OPERATOR_NAMESPACE = chart.NAMESPACE
OPERATOR_USER = f"system:serviceaccount:{OPERATOR_NAMESPACE}:{SERVICE_ACCOUNT}"
HUB_ACCOUNT = "999999999999"
RECOVERY_REGION = "us-east-2"
"""Where the operator lives: a hub in the Region that fails would be of no use."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
_RECORD = "stack.json"
_FAILED = "start-failed"
_AWS_START_SECONDS = 120.0
_POLL_SECONDS = 0.05
_HTTP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What a sandbox was started with."""

    estate: str = "small"
    """Name of an estate that comes with the sandbox, or the path of a YAML file."""
    scale: float = 60.0
    """Virtual seconds per second of AWS's clock."""
    aws_port: int = 0


class Stack:
    """One sandbox below its state directory; `up` makes it, `attach` finds it, `down` ends it."""

    def __init__(
        self, state_dir: Path, cluster: Cluster | ExistingCluster, settings: Settings
    ) -> None:
        self.state_dir = state_dir
        self.cluster = cluster
        self.settings = settings
        self._processes = Processes(state_dir)

    @classmethod
    def up(
        cls,
        name: str = "default",
        *,
        state_dir: Path | None = None,
        estate: str = "small",
        scale: float = 60.0,
        operator: bool = True,
        kubeconfig: Path | None = None,
        installed: bool = True,
        progress: Progress = quiet,
    ) -> Self:
        """Start cluster, AWS and, unless `operator` is false, the operator; wait for the first two.

        Args:
            name: of the sandbox; its state directory follows from it.
            state_dir: instead of the one that follows from `name`.
            estate: what AWS holds, see `Settings`.
            scale: how much faster AWS's clock runs.
            operator: whether to start the operator.
            kubeconfig: of an existing cluster to use instead of one of our own.
            installed: whether the cluster gets Leeward's chart; else somebody else installs it.
            progress: is told what happens.

        Raises:
            ClusterError: it is up already, or a part did not start. Nothing is left running.

        """
        directory = (state_dir or state_directory(name)).absolute()
        _claim(directory, name)
        settings = Settings(estate, scale, free_ports(1)[0])
        (directory / _RECORD).write_text(json.dumps(asdict(settings)))
        try:
            cluster = _start_cluster(directory / "cluster", kubeconfig, progress)
            stack = cls(directory, cluster, settings)
            if installed:
                install(cluster, progress)
            stack._start_aws(progress)
            await_policies(cluster, progress)
            if operator:
                pid = stack.start_operator()
                progress(f"operator started as process {pid}")
        except BaseException:
            _stop_all(directory)
            # The logs stay till the next `up`: the error names the one to read.
            (directory / _FAILED).touch()
            raise
        return stack

    @classmethod
    def attach(cls, name: str = "default", *, state_dir: Path | None = None) -> Self:
        """The sandbox that was started as `name`, or in `state_dir`.

        Raises:
            ClusterError: there is none.

        """
        directory = (state_dir or state_directory(name)).absolute()
        try:
            settings = Settings(**json.loads((directory / _RECORD).read_text()))
        except FileNotFoundError:
            raise ClusterError(
                f"there is no sandbox in {directory}; start one with: leeward-sandbox up"
            ) from None
        return cls(directory, _attach_cluster(directory / "cluster"), settings)

    def down(self) -> None:
        """End every process and remove the state directory."""
        remove(self.state_dir)

    @property
    def aws_endpoint(self) -> str:
        """URL of the sandbox's AWS, for AWS_ENDPOINT_URL."""
        return f"http://{LOOPBACK}:{self.settings.aws_port}"

    @property
    def pids(self) -> dict[str, int]:
        """Every process that runs, by name."""
        return {**self.cluster.pids, **self._processes.pids()}

    @property
    def expected(self) -> list[str]:
        """The names of the processes that have been started and not been stopped."""
        return [*self.cluster.logs, *self._processes.names()]

    @property
    def logs(self) -> dict[str, Path]:
        """The output of each process, by name."""
        return {**self.cluster.logs, **{file.stem: file for file in self._processes.logs()}}

    def aws_is_ready(self) -> bool:
        """Whether AWS answers that it is ready."""
        # Not urllib: it would ask a proxy of the environment.
        connection = http.client.HTTPConnection(
            LOOPBACK, self.settings.aws_port, timeout=_HTTP_SECONDS
        )
        try:
            connection.request("GET", "/_leeward/health")
            return bool(json.load(connection.getresponse()).get("ready"))
        except (OSError, ValueError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def environment(self) -> dict[str, str]:
        """What makes a shell, or a program, talk to this sandbox as its administrator."""
        return {
            "KUBECONFIG": str(self.cluster.kubeconfig("admin")),
            "KUBECACHEDIR": str(self.cluster.kubectl_cache),
            **self._aws_environment(),
        }

    def start_operator(self, env: Mapping[str, str] | None = None, *, name: str = OPERATOR) -> int:
        """Start the operator and return its pid; `name` tells replicas apart.

        It runs as the service account leeward/leeward-system, or as whoever the KUBECONFIG in
        `env` says, and as the hub account's administrator. `LEEWARD_*` variables of this process
        are passed on; `env` is added last.

        Raises:
            ClusterError: one of that name runs already.

        """
        given = env or {}
        environment = {
            **self._operator_settings(name),
            **_without_clouds(os.environ),
            **self._aws_environment(),
            # Nothing of the real AWS is to be found even if an endpoint were forgotten.
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "PYTHONUNBUFFERED": "1",
            "KUBECONFIG": given.get("KUBECONFIG") or str(self.operator_kubeconfig()),
            **given,
        }
        command = [sys.executable, "-m", "leeward.cli.main", "operator"]
        return self._processes.start(name, command, environment)

    def operator_kubeconfig(self) -> Path:
        """The kubeconfig of the operator's service account, which is made if it is not there."""
        account = {"name": SERVICE_ACCOUNT, "namespace": OPERATOR_NAMESPACE}
        self.cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
        return self.cluster.token(OPERATOR_NAMESPACE, SERVICE_ACCOUNT)

    def _operator_settings(self, name: str) -> dict[str, str]:
        """Settings that fit a clock that runs faster: what AWS takes minutes for takes seconds.

        A restarted operator of the same name takes its Lease up at once, as a restarted
        container of the same pod does. Nobody restarts one that ended itself, as a kubelet would:
        the Lease is one that no busy machine keeps it from renewing.
        """
        poll = min(max(15.0 / self.settings.scale, 0.25), 15.0)
        return {
            "LEEWARD_HUB": "sandbox",
            "LEEWARD_POD_NAME": name,
            "LEEWARD_POD_UID": f"sandbox-{name}",
            "LEEWARD_LEASE_DURATION": "60",
            "LEEWARD_POLL_INTERVAL": f"{poll:g}",
            "LEEWARD_SETTLE": "3",
            "LEEWARD_RETRY_BACKOFF": "0.5",
            "LEEWARD_RESYNC_INTERVAL": "5",
            "LEEWARD_HEALTH_PORT": "0",
            "LEEWARD_LOG_FORMAT": "text",
        }

    def stop_operator(self, *, name: str = OPERATOR) -> None:
        """End the operator by SIGTERM, which lets it release its Lease."""
        self._processes.stop(name)

    def kill_operator(self, *, name: str = OPERATOR) -> None:
        """End the operator by SIGKILL."""
        self._processes.stop(name, kill=True)

    def _aws_environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.aws_endpoint,
            "AWS_ACCESS_KEY_ID": f"SANDBOX{HUB_ACCOUNT}",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_REGION": RECOVERY_REGION,
            # The name that boto3 reads; the first is what AWS's other SDKs, and pods on EKS, have.
            "AWS_DEFAULT_REGION": RECOVERY_REGION,
        }

    def _start_aws(self, progress: Progress) -> None:
        began = time.monotonic()
        settings = self.settings
        command = [
            *(sys.executable, "-m", "leeward_sandbox.aws"),
            *("--estate", settings.estate),
            *("--port", str(settings.aws_port)),
            *("--state-dir", str(self.state_dir / AWS)),
            *("--scale", str(settings.scale)),
        ]
        (self.state_dir / AWS).mkdir()
        self._processes.start(AWS, command, _without_clouds(os.environ))
        while not self.aws_is_ready():
            if self._processes.pid(AWS) is None:
                problem = "ended"
            elif time.monotonic() - began > _AWS_START_SECONDS:
                problem = f"was not ready after {_AWS_START_SECONDS:.0f} s"
            else:
                time.sleep(_POLL_SECONDS)
                continue
            log = self._processes.log(AWS)
            raise ClusterError(f"AWS {problem}; {log} ends:\n{self._processes.tail(AWS)}")
        progress(
            f"AWS ready at {self.aws_endpoint} after {time.monotonic() - began:.1f} s "
            f"(estate {settings.estate}, clock x{settings.scale:g})"
        )


def state_directory(name: str) -> Path:
    """Where the sandbox `name` keeps its state.

    Raises:
        ClusterError: `name` is no DNS label of at most 40 characters.

    """
    if not _NAME.fullmatch(name):
        raise ClusterError(
            f"{name!r} is no name for a sandbox: lower-case letters, digits and dashes, at most 40"
        )
    given = os.environ.get("LEEWARD_SANDBOX_HOME")
    home = Path(given) if given else Path.home() / ".local" / "state" / "leeward-sandbox"
    return home.absolute() / name


def remove(directory: Path) -> bool:
    """End every process of the sandbox in `directory` and delete it; False if there is none.

    A directory that no sandbox made is left alone.
    """
    if not (directory / _RECORD).exists():
        return False
    _stop_all(directory)
    shutil.rmtree(directory)
    return True


def install(cluster: Cluster | ExistingCluster, progress: Progress = quiet) -> None:
    """Give a cluster what the project's chart installs, and the tenant's bindings of its roles.

    Raises:
        ClusterError: this package was not installed from a checkout, or the chart was refused.

    """
    root = _checkout()
    found = chart.objects(
        root / "charts" / "leeward", f"--values={chart.VALUES}", progress=progress
    )
    bindings = root / "sandbox" / "leeward_sandbox" / "cluster" / "manifests"
    cluster.apply(*found, bindings)
    progress(f"applied {len(found)} objects of charts/leeward and {bindings.relative_to(root)}")


def examples(estate: str = "small") -> Path:
    """The example manifests for an estate that comes with the sandbox.

    Raises:
        ClusterError: this package was not installed from a checkout.

    """
    return _checkout() / "examples" / estate


def _checkout() -> Path:
    root = Path(__file__).resolve().parents[2]
    if not all((root / part).is_dir() for part in ("charts/leeward", "examples")):
        raise ClusterError(
            f"{root} is no checkout of the project (it has no charts/leeward and examples): run "
            "leeward-sandbox from a checkout, installed with: pip install -e '.[sandbox]'"
        )
    return root


def _claim(directory: Path, name: str) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    if (directory / _FAILED).exists():
        shutil.rmtree(directory)
    try:
        # Making it decides which of two runs gets it.
        directory.mkdir(mode=0o700)
    except FileExistsError:
        raise ClusterError(
            f"{directory} exists: the sandbox is up, or one was not taken down; look with: "
            f"leeward-sandbox status --name {name}, and end it with: "
            f"leeward-sandbox down --name {name}"
        ) from None


def _start_cluster(
    directory: Path, kubeconfig: Path | None, progress: Progress
) -> Cluster | ExistingCluster:
    if kubeconfig is not None:
        return ExistingCluster.adopt(directory, kubeconfig, progress=progress)
    return Cluster.start(directory, progress=progress)


def _attach_cluster(directory: Path) -> Cluster | ExistingCluster:
    if (directory / "cluster.json").exists():
        return Cluster.attach(directory)
    return ExistingCluster.attach(directory)


def _stop_all(directory: Path) -> None:
    """End what was recorded, however far the start had come; the operator before what it needs."""
    processes = Processes(directory)
    for name in sorted(processes.names(), key=lambda name: name == AWS):
        processes.stop(name)
    if (directory / "cluster" / "cluster.json").exists():
        Cluster.attach(directory / "cluster").stop()


def _without_clouds(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without the caller's AWS and Kubernetes settings and credentials."""
    kept = {
        key: value
        for key, value in environment.items()
        if not key.startswith(("AWS_", "KUBE")) and key.upper() != "NO_PROXY"
    }
    # The sandbox is on loopback; a proxy for the outer world must not come between.
    outer = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    direct = ",".join(part for part in (outer, LOOPBACK, "localhost") if part)
    return {**kept, "NO_PROXY": direct, "no_proxy": direct}
