"""A Kubernetes control plane of its own, on loopback, in one state directory."""

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Self

from leeward_sandbox.cluster import binaries, control_plane
from leeward_sandbox.cluster.access import NAMESPACES, Access
from leeward_sandbox.cluster.certificates import KeyPair
from leeward_sandbox.cluster.client import Client
from leeward_sandbox.cluster.control_plane import (
    API_SERVER,
    CONTROLLER_MANAGER,
    ETCD,
    Files,
    Ports,
)
from leeward_sandbox.cluster.errors import ClusterError
from leeward_sandbox.cluster.ports import free_ports
from leeward_sandbox.cluster.processes import Processes
from leeward_sandbox.cluster.progress import Progress, quiet

_START_SECONDS = 90.0
_POLL_SECONDS = 0.05


class Cluster(Access):
    """Real etcd, kube-apiserver and kube-controller-manager, with an identity per kind of user.

    Any number live side by side; everything a cluster has is below its state directory and in the
    processes recorded there. The user's own kubeconfig is neither read nor written.
    """

    def __init__(self, state_dir: Path, ports: Ports, programs: Mapping[str, Path]) -> None:
        super().__init__(state_dir)
        self._files = Files(state_dir)
        self._ports = ports
        self._programs = dict(programs)
        self._processes = Processes(state_dir)

    @classmethod
    def start(cls, state_dir: Path, *, progress: Progress = quiet) -> Self:
        """Start a cluster in `state_dir`, or start again the stopped one whose data is there.

        Builds the programs first where the machine has none (minutes, once). On return the API
        serves, roles are aggregated, and the namespaces `orders` and `leeward-system` are there.

        Raises:
            ClusterError: a program is missing, a process ended, or the cluster runs already.

        """
        state_dir = state_dir.absolute()
        if (state_dir / "cluster.json").exists():
            cluster = cls.attach(state_dir)
            if cluster.pids:
                raise ClusterError(f"a cluster runs in {state_dir} already; stop it first")
        else:
            cluster = cls._create(state_dir, progress)
        began = time.monotonic()
        try:
            cluster._start_all()
        except BaseException:
            cluster.stop()
            raise
        progress(f"cluster ready at {cluster.server} after {time.monotonic() - began:.1f} s")
        return cluster

    @classmethod
    def _create(cls, state_dir: Path, progress: Progress) -> Self:
        programs = binaries.control_plane(progress)
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        cluster = cls(state_dir, Ports(*free_ports(3)), programs)
        control_plane.prepare(cluster._files, cluster._ports)
        paths = {name: str(path) for name, path in programs.items()}
        record = {"ports": asdict(cluster._ports), "programs": paths}
        cluster._files.record.write_text(json.dumps(record, indent=2))
        return cluster

    @classmethod
    def attach(cls, state_dir: Path) -> Self:
        """The cluster that was started in `state_dir`, running or not.

        Raises:
            ClusterError: there is none.

        """
        state_dir = state_dir.absolute()
        try:
            record = json.loads((state_dir / "cluster.json").read_text())
        except FileNotFoundError:
            raise ClusterError(f"there is no cluster in {state_dir}") from None
        programs = {name: Path(path) for name, path in record["programs"].items()}
        return cls(state_dir, Ports(**record["ports"]), programs)

    def stop(self) -> None:
        """End the processes; the data stays, for `start`."""
        # The controllers first: they would only complain of the API server's absence.
        for name in (CONTROLLER_MANAGER, API_SERVER, ETCD):
            self._processes.stop(name)

    def remove(self) -> None:
        """End the processes and delete the state directory."""
        self.stop()
        shutil.rmtree(self.state_dir)

    @property
    def server(self) -> str:
        """URL of the API server."""
        return self._ports.server

    @property
    def ca_file(self) -> Path:
        """The certificate that vouches for the API server."""
        return self._files.ca

    @property
    def audit_log(self) -> Path:
        """JSON lines: who asked what of the group leeward.dev, and all that the operator asked."""
        return self._files.audit_log

    @property
    def pids(self) -> dict[str, int]:
        """The processes that run, by name: etcd, kube-apiserver, kube-controller-manager."""
        return self._processes.pids()

    @property
    def logs(self) -> dict[str, Path]:
        """The output of each process."""
        return {name: self._processes.log(name) for name in (ETCD, API_SERVER, CONTROLLER_MANAGER)}

    def stop_api_server(self, *, kill: bool = False) -> None:
        """Begin an outage: end the API server, with `kill` by SIGKILL."""
        self._processes.stop(API_SERVER, kill=kill)

    def start_api_server(self) -> None:
        """End the outage and wait until the API serves."""
        command = control_plane.api_server_command(
            self._programs[API_SERVER], self._files, self._ports
        )
        self._processes.start(API_SERVER, command)
        self._await(API_SERVER, lambda: self.reader().ok("/readyz"))

    def restart_api_server(self, *, kill: bool = False) -> None:
        """Stop and start the API server."""
        self.stop_api_server(kill=kill)
        self.start_api_server()

    def restart_etcd(self, *, kill: bool = False) -> None:
        """Stop and start etcd, and wait until the API serves again if it was running."""
        self._processes.stop(ETCD, kill=kill)
        self._start_etcd()
        if self._processes.pid(API_SERVER) is not None:
            self._await(API_SERVER, lambda: self.reader().ok("/readyz"))

    def _start_all(self) -> None:
        self._start_etcd()
        self.start_api_server()
        self._start_controller_manager()
        self.create_namespaces()
        self._await(CONTROLLER_MANAGER, self._controllers_work)

    def _start_etcd(self) -> None:
        command = control_plane.etcd_command(self._programs[ETCD], self._files, self._ports)
        self._processes.start(ETCD, command)
        pki = self._files.etcd_pki
        pair = KeyPair(pki / "apiserver.crt", pki / "apiserver.key")
        client = Client(self._ports.etcd_client, str(pki / "ca.crt"), pair)
        self._await(ETCD, lambda: client.ok("/readyz"))

    def _start_controller_manager(self) -> None:
        program = self._programs[CONTROLLER_MANAGER]
        command = control_plane.controller_manager_command(program, self._files)
        self._processes.start(CONTROLLER_MANAGER, command)

    def _controllers_work(self) -> bool:
        """Whether new namespaces have got their accounts and aggregated roles their rules."""
        client = self.reader()
        for name in NAMESPACES:
            space = f"/api/v1/namespaces/{name}"
            if not client.ok(f"{space}/serviceaccounts/default"):
                return False
            if not client.ok(f"{space}/configmaps/kube-root-ca.crt"):
                return False
        role = client.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/edit")
        return bool(role and role.get("rules"))

    def _await(self, name: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not ready():
            if self._processes.pid(name) is None:
                problem = "ended"
            elif time.monotonic() > deadline:
                problem = f"was not ready after {_START_SECONDS:.0f} s"
            else:
                time.sleep(_POLL_SECONDS)
                continue
            log = self._processes.log(name)
            raise ClusterError(f"{name} {problem}; {log} ends:\n{self._processes.tail(name)}")

    def reader(self) -> Client:
        """Reads objects as the administrator, for whoever looks at them many times a second."""
        admin = KeyPair(self._files.pki / "admin.crt", self._files.pki / "admin.key")
        return Client(self._ports.api, str(self.ca_file), admin)
