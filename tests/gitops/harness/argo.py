"""A real Argo CD beside the sandbox: controller, repository server, API server, redis and a Git.

It is started as its manual's manifests start it, with the service accounts that these give it, but
as processes on this machine: the sandbox's cluster has no nodes. People sign in by an identity
provider; there is no admin.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from identity import CLIENT, IdentityProvider
from repository import Repository

from leeward import argocd
from leeward_sandbox.cluster import Cluster, ExistingCluster, binaries, go_build
from leeward_sandbox.cluster.ports import LOOPBACK, free_ports
from leeward_sandbox.cluster.processes import Processes

Object = dict[str, Any]

NAMESPACE = "argocd"
CONTROLLER = "argocd-application-controller"
REPO_SERVER = "argocd-repo-server"
SERVER = "argocd-server"
OPERATOR, ACCOUNTS, ORDERS = "leeward-operator", "leeward-accounts", "leeward-orders"
"""The Applications of the examples."""
EXAMPLES = Path(__file__).parents[3] / "examples" / "argocd"
GIT_HOST = "https://git.example.com"
"""Where the repositories of the examples are."""
PATIENCE = 120.0
_REFRESH = "argocd.argoproj.io/refresh"


def sources() -> Path:
    """Argo CD's own files: its CRDs, roles and scripts, in the version that is built."""
    modules = go_build.ARGO_CD
    asked = subprocess.run(
        ["go", "mod", "download", "-json", f"{modules.main}@{modules.version(modules.main)}"],
        cwd=modules.directory,
        env={**os.environ, "GOWORK": "off"},
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(json.loads(asked.stdout)["Dir"])


@dataclass(frozen=True)
class _Ports:
    redis: int
    git: int
    repo_server: int
    server: int
    metrics: tuple[int, int, int]


class ArgoCd:
    """Argo CD's processes, and its objects as people see them."""

    def __init__(self, cluster: Cluster | ExistingCluster, folder: Path, program: Path) -> None:
        self.cluster = cluster
        self.platform = Repository(folder, "platform/dr")
        self.tenant = Repository(folder, "orders/dr")
        self.people = IdentityProvider()
        self.processes = Processes(folder)
        self._folder = folder
        self._program = program
        redis, git, repo_server, server, *metrics = free_ports(7)
        self._ports = _Ports(redis, git, repo_server, server, (*metrics,))  # type: ignore[arg-type]

    def example(self, file: str) -> list[Object]:
        """Objects of `examples/argocd`, as they stand but for the Git host."""
        text = (EXAMPLES / file).read_text()
        host = f"git://{LOOPBACK}:{self._ports.git}"
        return list(yaml.safe_load_all(text.replace(GIT_HOST, host)))

    def start(self) -> None:
        """Install Argo CD's objects and start its processes."""
        source = sources()
        self._install(source)
        bin_ = self._folder / "bin"
        bin_.mkdir()
        for name in (CONTROLLER, REPO_SERVER, SERVER, "argocd"):
            (bin_ / name).symlink_to(self._program)
        (bin_ / "helm").symlink_to(binaries.tool("helm"))
        for name in ("git-verify-wrapper.sh", "gpg-wrapper.sh"):
            # Files of a Go module are not executable.
            Path(shutil.copy(source / "hack" / name, bin_)).chmod(0o755)
        ports = self._ports
        redis, repo = f"{LOOPBACK}:{ports.redis}", f"{LOOPBACK}:{ports.repo_server}"
        self._spawn(
            "redis", "redis-server", "--bind", LOOPBACK, "--port", ports.redis, "--save", ""
        )
        served = self._folder / "served"
        daemon = ("git", "daemon", f"--listen={LOOPBACK}", f"--port={ports.git}", "--export-all")
        self._spawn("git", *daemon, f"--base-path={served}", str(served))
        self._spawn(
            REPO_SERVER, bin_ / REPO_SERVER, "--redis", redis, "--disable-tls",
            "--client-ca-path", "", "--address", LOOPBACK, "--port", ports.repo_server,
            "--metrics-address", LOOPBACK, "--metrics-port", ports.metrics[0],
        )  # fmt: skip
        # Its metrics, and nothing else of it, listen on every address; it has no option for that.
        self._spawn(
            CONTROLLER, bin_ / CONTROLLER, "--redis", redis, "--repo-server", repo,
            "--repo-server-plaintext", "--metrics-port", ports.metrics[1],
            "--persist-resource-health", "--namespace", NAMESPACE,
            account=CONTROLLER,
        )  # fmt: skip
        self._spawn(
            SERVER, bin_ / SERVER, "--redis", redis, "--repo-server", repo,
            "--repo-server-plaintext", "--insecure", "--address", LOOPBACK,
            "--port", ports.server, "--metrics-address", LOOPBACK,
            "--metrics-port", ports.metrics[2], "--namespace", NAMESPACE,
            account=SERVER,
        )  # fmt: skip

    def stop(self) -> None:
        """End the processes."""
        for name in (CONTROLLER, SERVER, REPO_SERVER, "git", "redis"):
            self.processes.stop(name)
        self.people.stop()

    def _install(self, source: Path) -> None:
        """What `manifests/install.yaml` installs, but for workloads."""
        meta: Object = {"namespace": NAMESPACE, "labels": {"app.kubernetes.io/part-of": "argocd"}}
        key = base64.b64encode(os.urandom(32)).decode()
        maps = ("argocd-rbac-cm", "argocd-cmd-params-cm", "argocd-ssh-known-hosts-cm",
                "argocd-tls-certs-cm", "argocd-gpg-keys-cm")  # fmt: skip
        crds = source / "manifests" / "crds"
        self.cluster.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}}
        )
        self.cluster.apply(
            *sorted(crds.glob("app*-crd.yaml")),
            *({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta | {"name": name}}
              for name in maps),
            self._settings(),
            {"apiVersion": "v1", "kind": "Secret", "metadata": meta | {"name": "argocd-secret"},
             "data": {"server.secretkey": key}},
            *({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta | {"name": name}}
              for name in (CONTROLLER, SERVER)),
            *(
                _namespaced(yaml.safe_load(file.read_text()))
                for part in (CONTROLLER, SERVER)
                for file in sorted(source.glob(f"manifests/*/*/{part}-*role*.yaml"))
            ),
        )  # fmt: skip

    def _settings(self) -> Object:
        """`argocd-cm`: what Leeward adds to it, what the examples do, and who signs in."""
        settings = argocd.config_map()
        for part in self.example("argocd-cm.yaml"):
            settings["data"] |= part["data"]
        settings["data"] |= {
            "admin.enabled": "false",
            "url": f"http://{LOOPBACK}:{self._ports.server}",
            "oidc.config": yaml.safe_dump(
                {"name": "SSO", "issuer": self.people.issuer, "clientID": CLIENT}
            ),
        }
        return settings

    def _spawn(self, name: str, *command: object, account: str | None = None) -> None:
        state = self._folder / "state" / name
        state.mkdir(parents=True)
        config = self.cluster.token(NAMESPACE, account) if account else os.devnull
        environment = {
            "PATH": f"{self._folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(state),
            "TMPDIR": str(state),
            "KUBECONFIG": str(config),
            "ARGOCD_FAKE_IN_CLUSTER": "true",
            "ARGOCD_GPG_ENABLED": "false",
            "ARGOCD_TLS_DATA_PATH": str(state),
            "ARGOCD_SSH_DATA_PATH": str(state),
            "ARGOCD_GNUPGHOME": str(state),
            "ARGOCD_CONTROLLER_REPLICAS": "1",
            # For so long a commit may go unseen.
            "ARGOCD_RECONCILIATION_TIMEOUT": "3s",
            "ARGOCD_RECONCILIATION_JITTER": "0s",
            "NO_PROXY": LOOPBACK,
        }
        program, *rest = (str(part) for part in command)
        found = shutil.which(program)
        assert found, f"there is no {program}"
        self.processes.start(name, [found, *rest], environment)

    # --- as people use it

    def get(self, name: str) -> Object:
        """An Application; empty if there is none."""
        what = ("get", "applications", name, "-n", NAMESPACE, "-o", "json", "--ignore-not-found")
        found: Object = json.loads(self.cluster.kubectl(*what).stdout or "{}")
        return found

    def refresh(self, name: str) -> None:
        """Have the Application compared anew, the cache of manifests left out."""
        key = f"{_REFRESH}=hard"
        self.cluster.kubectl("annotate", "applications", name, "-n", NAMESPACE, key, "--overwrite")

    def until(self, name: str, what: str, holds: Callable[[Object], Any]) -> Object:
        """The Application once `holds` says so of it."""
        end = time.monotonic() + PATIENCE
        while not holds(app := self.get(name)):
            assert time.monotonic() < end, f"{name}: waited in vain for {what}\n{self._told(app)}"
            time.sleep(0.3)
        return app

    def until_compared(self, name: str, times: int = 1) -> Object:
        """The Application after so many further comparisons with Git."""
        for _ in range(times):
            self.refresh(name)
            # Argo CD takes the annotation off when it has compared.
            self.until(name, "a comparison", lambda app: _REFRESH not in _annotations(app))
        return self.get(name)

    def commit_synced(self, files: Mapping[str, str | None], message: str) -> Object:
        """Commit to the tenant's repository; its Application once the cluster is as it says."""
        commit = self.tenant.commit(files, message)

        def followed(app: Object) -> bool:
            sync = app["status"]["sync"]
            return bool(sync["revision"] == commit and sync["status"] == "Synced")

        return self.until(ORDERS, message, followed)

    def act(self, token: str, action: str, kind: str, resource: str) -> None:
        """Press a button of Argo CD's page; whoever bears the token must be let."""
        status, said = self.press(token, action, kind, resource)
        assert status == http.HTTPStatus.OK, said

    def press(self, token: str, action: str, kind: str, resource: str) -> tuple[int, str]:
        """Press a button; status and text of the answer.

        As the page does, since `argocd app actions run` knows of what a manifest holds alone, and
        tasks are in none.
        """
        body = {
            **{"name": ORDERS, "namespace": "orders", "group": "leeward.dev", "kind": kind},
            **{"version": "v1alpha1", "resourceName": resource, "action": action},
        }
        connection = http.client.HTTPConnection(LOOPBACK, self._ports.server, timeout=60)
        try:
            connection.request(
                *("POST", f"/api/v1/applications/{ORDERS}/resource/actions/v2", json.dumps(body)),
                {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            )
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def refusal(self, token: str, verb: str, kind: str, resource: str, *rest: str) -> str:
        """What Argo CD's API server says to `argocd app VERB …`, which it must refuse."""
        chosen = ("--kind", kind, "--group", "leeward.dev", "--resource-name", resource)
        done = self._cli(token, verb, ORDERS, *chosen, *rest)
        assert done.returncode != 0, f"{verb} was let: {done.stdout}"
        return done.stderr

    def _cli(self, token: str, *command: str) -> subprocess.CompletedProcess[str]:
        """`argocd app`, signed in by an ID token."""
        return subprocess.run(
            [
                *(self._folder / "bin" / "argocd", "app", *command),
                *("--server", f"{LOOPBACK}:{self._ports.server}", "--plaintext"),
            ],
            env={
                **{"PATH": os.environ["PATH"], "HOME": str(self._folder), "NO_PROXY": LOOPBACK},
                "ARGOCD_AUTH_TOKEN": token,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def _told(self, app: Object) -> str:
        status = app.get("status", {})
        shown = {
            key: status.get(key)
            for key in ("sync", "health", "conditions", "operationState", "resources")
        }
        text = yaml.safe_dump(shown, sort_keys=False)
        return f"{text}\n--- controller\n{self.processes.tail(CONTROLLER, 20)}"


def _namespaced(body: Object) -> Object:
    """A role or binding with the namespace that Argo CD's kustomization would give it."""
    if not body["kind"].startswith("Cluster"):
        body["metadata"]["namespace"] = NAMESPACE
    return body


def _annotations(app: Object) -> Object:
    found: Object = app["metadata"].get("annotations", {})
    return found


def synced(app: Object) -> bool:
    """Whether all of the Application is as in Git, and no sync runs."""
    status = app.get("status", {})
    done = status.get("operationState", {}).get("phase") == "Succeeded"
    return bool(done and status["sync"]["status"] == "Synced")


def health(app: Object, kind: str | None = None, name: str | None = None) -> str:
    """The health of the Application, or of one of its resources."""
    status = app.get("status", {})
    if kind is None:
        return str(status.get("health", {}).get("status", ""))
    found = [r for r in status.get("resources", []) if (r["kind"], r["name"]) == (kind, name)]
    return str(found[0].get("health", {}).get("status", "")) if found else ""


def outcome(app: Object) -> str:
    """What the last sync came to, in words."""
    status = app.get("status", {})
    operation = status.get("operationState", {})
    results = operation.get("syncResult", {}).get("resources", [])
    told = [operation.get("message", ""), *(r.get("message", "") for r in results)]
    return "\n".join([*told, *(c["message"] for c in status.get("conditions", []))])
