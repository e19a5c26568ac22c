"""A cluster that exists already, named by a kubeconfig: nothing is built or started."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

from leeward_sandbox.cluster import binaries, kubeconfig
from leeward_sandbox.cluster.access import Access
from leeward_sandbox.cluster.errors import ClusterError
from leeward_sandbox.cluster.kubeconfig import USERS
from leeward_sandbox.cluster.progress import Progress, quiet

_OLDEST_MINOR = 36
_RECORD = "existing-cluster.json"


class ExistingCluster(Access):
    """Somebody else's cluster, used with the rights of a given kubeconfig.

    The other users are impersonated, so that kubeconfig needs the right to impersonate. What is
    applied stays there; only files below the state directory are ours to remove.
    """

    @classmethod
    def adopt(cls, state_dir: Path, source: Path, *, progress: Progress = quiet) -> Self:
        """Write kubeconfigs for the cluster of `source`'s current context, and the namespaces.

        `source` is only read.

        Raises:
            ClusterError: it names no cluster, or one that is unreachable or older than 1.36.

        """
        state_dir = state_dir.absolute()
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        cluster = cls(state_dir)
        cluster._write_kubeconfigs(_current_context(source))
        cluster._check_version()
        (state_dir / _RECORD).write_text(json.dumps({"source": str(source)}))
        cluster.create_namespaces()
        progress(f"using the existing cluster {cluster.server}; `down` leaves it what it was given")
        return cluster

    @classmethod
    def attach(cls, state_dir: Path) -> Self:
        """The cluster that was adopted in `state_dir`.

        Raises:
            ClusterError: there is none.

        """
        if not (state_dir / _RECORD).exists():
            raise ClusterError(f"no existing cluster was adopted in {state_dir}")
        return cls(state_dir.absolute())

    @property
    def server(self) -> str:
        """URL of the API server."""
        entry = json.loads((self.state_dir / "server.json").read_text())
        return str(entry["server"])

    @property
    def ca_file(self) -> Path:
        """The certificate that vouches for the API server; absent where the kubeconfig has none."""
        return self.state_dir / "ca.crt"

    @property
    def pids(self) -> dict[str, int]:
        """None of its processes is ours."""
        return {}

    @property
    def logs(self) -> dict[str, Path]:
        """None of its logs is ours."""
        return {}

    def stop(self) -> None:
        """Leave it running: it is not ours."""

    def remove(self) -> None:
        """Delete our kubeconfigs of it."""
        shutil.rmtree(self.state_dir)

    def _write_kubeconfigs(self, source: dict[str, Any]) -> None:
        entry = kubeconfig.cluster_of(source)
        (self.state_dir / "server.json").write_text(json.dumps({"server": entry["server"]}))
        authority = entry.get("certificate-authority-data")
        if authority:
            self.ca_file.write_bytes(base64.b64decode(authority))
        for user in USERS.values():
            content = (
                kubeconfig.for_identity(source)
                if user.short_name == "admin"
                else kubeconfig.for_impersonation(source, user)
            )
            kubeconfig.write(self._kubeconfig(user.short_name), content)

    def _check_version(self) -> None:
        answer = json.loads(self.kubectl("version", "-o", "json").stdout)["serverVersion"]
        minor = int(re.sub(r"\D", "", answer["minor"]))
        if minor < _OLDEST_MINOR:
            raise ClusterError(
                f"{self.server} is Kubernetes {answer['gitVersion']}; the sandbox's policies need "
                f"1.{_OLDEST_MINOR} or later"
            )


def _current_context(source: Path) -> dict[str, Any]:
    if not source.is_file():
        raise ClusterError(f"there is no kubeconfig {source}")
    done = subprocess.run(
        [
            *(binaries.kubectl(), f"--kubeconfig={source.absolute()}"),
            *("config", "view", "--raw", "--minify", "--flatten", "-o", "json"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ClusterError(f"the kubeconfig {source} cannot be used: {done.stderr.strip()}")
    return kubeconfig.flattened(done.stdout)
