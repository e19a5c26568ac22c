"""What one does with a cluster, the sandbox's own or an existing one, through kubectl."""

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from leeward_sandbox.cluster import binaries, kubeconfig
from leeward_sandbox.cluster.errors import ClusterError
from leeward_sandbox.cluster.kubeconfig import USERS

NAMESPACES = ("orders", "leeward-system")
_FIELD_MANAGER = "leeward-sandbox"
_TOKEN_LIFETIME = "720h"
_SERVED_SECONDS = 60.0


class Access:
    """The identities of one cluster: a kubeconfig each below `state_dir`, and kubectl as any."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir

    def kubeconfig(self, user: str) -> Path:
        """The kubeconfig of `admin`, `approver-a`, `approver-b`, `on-duty` or `intruder`."""
        if user not in USERS:
            raise ClusterError(f"there is no user {user!r}; there are {', '.join(USERS)}")
        return self._kubeconfig(user)

    def _kubeconfig(self, *parts: str) -> Path:
        return self.state_dir.joinpath("kubeconfig", *parts)

    @property
    def kubectl_cache(self) -> Path:
        """Where kubectl keeps what it discovered, instead of ~/.kube/cache."""
        return self.state_dir / "kubectl-cache"

    def kubectl(
        self,
        *args: str,
        user: str = "admin",
        input: str | None = None,  # noqa: A002 - the name that subprocess.run has
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as `user`, with `input` on its standard input.

        Raises:
            ClusterError: it failed and `check` is set; the text holds what it said.

        """
        done = subprocess.run(
            [binaries.kubectl(), *args],
            env={
                **os.environ,
                "KUBECONFIG": str(self.kubeconfig(user)),
                "KUBECACHEDIR": str(self.kubectl_cache),
                "KUBERC": "off",
            },
            input="" if input is None else input,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode != 0:
            raise ClusterError(f"kubectl {' '.join(args)} as {user}: {done.stderr.strip()}")
        return done

    def apply(self, *manifests: Path | Mapping[str, Any]) -> None:
        """Apply files, directories of `*.yaml` files, or objects, server-side, as `admin`.

        CustomResourceDefinitions go first, and the rest waits until they are served.

        Raises:
            ClusterError: the API server refused one; the text is its own.

        """
        objects = [found for manifest in manifests for found in _objects(manifest)]
        definitions = [found for found in objects if _is_definition(found)]
        if definitions:
            self._apply(definitions)
            self._await_served([f"crd/{found['metadata']['name']}" for found in definitions])
        others = [found for found in objects if not _is_definition(found)]
        if others:
            self._apply(others)

    def _await_served(self, names: Sequence[str]) -> None:
        deadline, asking = time.monotonic() + _SERVED_SECONDS, True
        while asking:
            # kubectl gives up at once on a definition that has no conditions yet.
            asking = time.monotonic() < deadline
            wait = ("wait", "--for=condition=Established", f"--timeout={_SERVED_SECONDS:.0f}s")
            if self.kubectl(*wait, *names, check=not asking).returncode == 0:
                return

    def _apply(self, objects: Sequence[Mapping[str, Any]]) -> None:
        manager = f"--field-manager={_FIELD_MANAGER}"
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.kubectl("apply", "--server-side", "--force-conflicts", manager, "-f", "-", input=text)

    def create_namespaces(self) -> None:
        """Create the demo's tenant `orders` and the operator's `leeward-system`."""
        self.apply(
            *(
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
                for name in NAMESPACES
            )
        )

    def token(self, namespace: str, service_account: str) -> Path:
        """A kubeconfig of a service account, by a TokenRequest good for 30 days.

        Raises:
            ClusterError: there is no such account, or no right to make its token.

        """
        done = self.kubectl(
            "create", "token", service_account, f"-n={namespace}", f"--duration={_TOKEN_LIFETIME}"
        )
        admin = yaml.safe_load(self.kubeconfig("admin").read_text())
        return kubeconfig.write(
            self._kubeconfig("serviceaccounts", namespace, service_account),
            kubeconfig.for_token(
                kubeconfig.cluster_of(admin),
                f"system:serviceaccount:{namespace}:{service_account}",
                done.stdout.strip(),
                namespace,
            ),
        )


def _objects(manifest: Path | Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if not isinstance(manifest, Path):
        return [manifest]
    files = sorted(manifest.glob("*.yaml")) if manifest.is_dir() else [manifest]
    return [found for file in files for found in yaml.safe_load_all(file.read_text()) if found]


def _is_definition(found: Mapping[str, Any]) -> bool:
    return found.get("kind") == "CustomResourceDefinition"
