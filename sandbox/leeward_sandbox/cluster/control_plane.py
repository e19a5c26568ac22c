"""The command lines of etcd, kube-apiserver and kube-controller-manager, and the files they need.

The same parts as kubeadm sets up, without nodes: everything listens on loopback with certificates
of the sandbox's own, etcd under an authority of its own so that no API user can reach it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from leeward_sandbox.cluster import kubeconfig
from leeward_sandbox.cluster.certificates import Authority, write_signing_key
from leeward_sandbox.cluster.kubeconfig import USERS
from leeward_sandbox.cluster.ports import LOOPBACK

ETCD = "etcd"
API_SERVER = "kube-apiserver"
CONTROLLER_MANAGER = "kube-controller-manager"

_SERVICE_RANGE = "10.96.0.0/16"
_SERVICE_NAMES = (
    LOOPBACK,
    "localhost",
    "10.96.0.1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
_ISSUER = "https://kubernetes.default.svc.cluster.local"
_AUDIT_LOG_MEGABYTES = 200

_CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "ttl-after-finished-controller",
    "validatingadmissionpolicy-status-controller",
)
"""What makes objects behave as in a whole cluster; there are no nodes, so no workloads."""

_OPERATOR = "system:serviceaccount:leeward-system:leeward"
_AUDIT_POLICY: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "resources": [{"group": "leeward.dev"}]},
        # All else that the operator asks: its rights are held against what it uses.
        {"level": "Metadata", "users": [_OPERATOR]},
        {"level": "None"},
    ],
}


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the control plane listens on loopback."""

    api: int
    etcd_client: int
    etcd_peer: int

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://{LOOPBACK}:{self.api}"


class Files:
    """Where a cluster keeps what, below its state directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.record = directory / "cluster.json"
        self.pki = directory / "pki"
        self.etcd_pki = directory / "pki" / "etcd"
        self.ca = self.pki / "ca.crt"
        self.etcd_data = directory / "etcd"
        self.audit_policy = directory / "audit-policy.yaml"
        self.audit_log = directory / "logs" / "audit.log"
        self.controller_kubeconfig = directory / "kubeconfig" / "kube-controller-manager"

    def kubeconfig(self, user: str) -> Path:
        """The kubeconfig file of a user, by short name."""
        return self.directory / "kubeconfig" / user


def prepare(files: Files, ports: Ports) -> None:
    """Write certificates, kubeconfigs and the audit policy of a new cluster."""
    etcd = Authority(files.etcd_pki, "leeward-sandbox-etcd")
    etcd.server("server", [LOOPBACK, "localhost"])
    etcd.client("apiserver", "kube-apiserver-etcd-client", [])
    authority = Authority(files.pki, "leeward-sandbox")
    authority.server("apiserver", _SERVICE_NAMES)
    write_signing_key(files.pki / "serviceaccounts.key")
    for user in USERS.values():
        pair = authority.client(user.short_name, user.name, user.groups)
        content = kubeconfig.for_certificate(ports.server, files.ca, user.name, pair)
        kubeconfig.write(files.kubeconfig(user.short_name), content)
    manager = f"system:{CONTROLLER_MANAGER}"
    pair = authority.client(CONTROLLER_MANAGER, manager, [])
    content = kubeconfig.for_certificate(ports.server, files.ca, manager, pair)
    kubeconfig.write(files.controller_kubeconfig, content)
    files.audit_policy.write_text(yaml.safe_dump(_AUDIT_POLICY, sort_keys=False))


def etcd_command(program: Path, files: Files, ports: Ports) -> list[str | Path]:
    """The command line of etcd."""
    client = f"https://{LOOPBACK}:{ports.etcd_client}"
    peer = f"https://{LOOPBACK}:{ports.etcd_peer}"
    flags: dict[str, object] = {
        "name": "sandbox",
        "data-dir": files.etcd_data,
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"sandbox={peer}",
        # A power cut may cost the sandbox its data; in return writes take microseconds.
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    }
    for prefix in ("", "peer-"):
        flags[f"{prefix}cert-file"] = files.etcd_pki / "server.crt"
        flags[f"{prefix}key-file"] = files.etcd_pki / "server.key"
        flags[f"{prefix}trusted-ca-file"] = files.etcd_pki / "ca.crt"
        flags[f"{prefix}client-cert-auth"] = "true"
    return [program, *_flags(flags)]


def api_server_command(program: Path, files: Files, ports: Ports) -> list[str | Path]:
    """The command line of kube-apiserver."""
    signing_key = files.pki / "serviceaccounts.key"
    flags: dict[str, object] = {
        "etcd-servers": f"https://{LOOPBACK}:{ports.etcd_client}",
        "etcd-cafile": files.etcd_pki / "ca.crt",
        "etcd-certfile": files.etcd_pki / "apiserver.crt",
        "etcd-keyfile": files.etcd_pki / "apiserver.key",
        "bind-address": LOOPBACK,
        "secure-port": ports.api,
        "advertise-address": LOOPBACK,
        # The endpoints of the Service "kubernetes" may not be loopback addresses.
        "endpoint-reconciler-type": "none",
        "service-cluster-ip-range": _SERVICE_RANGE,
        "tls-cert-file": files.pki / "apiserver.crt",
        "tls-private-key-file": files.pki / "apiserver.key",
        "client-ca-file": files.ca,
        "authorization-mode": "RBAC",
        # Beside the default ones, MutatingAdmissionPolicy and ValidatingAdmissionPolicy included.
        "enable-admission-plugins": "OwnerReferencesPermissionEnforcement",
        "service-account-issuer": _ISSUER,
        "service-account-key-file": signing_key,
        "service-account-signing-key-file": signing_key,
        "audit-policy-file": files.audit_policy,
        "audit-log-path": files.audit_log,
        "audit-log-maxsize": _AUDIT_LOG_MEGABYTES,
        "audit-log-maxbackup": 1,
        # Else the server waits, up to a minute, for the watches of others to end.
        "shutdown-send-retry-after": "true",
        "profiling": "false",
    }
    return [program, *_flags(flags)]


def controller_manager_command(program: Path, files: Files) -> list[str | Path]:
    """The command line of kube-controller-manager."""
    flags: dict[str, object] = {
        "kubeconfig": files.controller_kubeconfig,
        "controllers": ",".join(_CONTROLLERS),
        # Each controller acts as its own service account, as in any cluster, so that admission
        # policies see system:serviceaccount:kube-system:generic-garbage-collector and the like.
        "use-service-account-credentials": "true",
        "service-account-private-key-file": files.pki / "serviceaccounts.key",
        "root-ca-file": files.ca,
        "leader-elect": "false",
        "secure-port": 0,
    }
    return [program, *_flags(flags)]


def _flags(values: dict[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in values.items()]
