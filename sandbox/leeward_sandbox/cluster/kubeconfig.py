"""Kubeconfig files of the sandbox's own, one per identity; the user's is never read or changed."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from leeward_sandbox.cluster.certificates import KeyPair, write_private
from leeward_sandbox.cluster.errors import ClusterError


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who talks to the sandbox's API server."""

    short_name: str
    name: str
    groups: tuple[str, ...]


USERS = {
    user.short_name: user
    for user in (
        User("admin", "admin", ("system:masters",)),
        User("approver-a", "approver-a@example.com", ("dr-approvers",)),
        User("approver-b", "approver-b@example.com", ("dr-approvers",)),
        User("on-duty", "operator-on-duty@example.com", ("dr-operators",)),
        User("intruder", "intruder@example.com", ("developers",)),
    )
}
DEFAULT_NAMESPACE = "orders"


def for_certificate(server: str, ca_file: Path, user: str, pair: KeyPair) -> dict[str, Any]:
    """A kubeconfig of `user` by client certificate."""
    identity = {
        "client-certificate-data": _base64(pair.certificate),
        "client-key-data": _base64(pair.key),
    }
    return _kubeconfig(_server(server, ca_file), user, identity, DEFAULT_NAMESPACE)


def for_token(cluster: dict[str, Any], user: str, token: str, namespace: str) -> dict[str, Any]:
    """A kubeconfig of `user` by bearer token, for a cluster entry as `cluster_of` gives it."""
    return _kubeconfig(cluster, user, {"token": token}, namespace)


def for_identity(source: dict[str, Any]) -> dict[str, Any]:
    """A kubeconfig of the user of `source` itself."""
    user = str(source["users"][0]["name"])
    return _kubeconfig(cluster_of(source), user, user_of(source), DEFAULT_NAMESPACE)


def for_impersonation(source: dict[str, Any], user: User) -> dict[str, Any]:
    """A kubeconfig that acts as `user` with the rights of `source` to impersonate."""
    identity = {**user_of(source), "as": user.name, "as-groups": list(user.groups)}
    return _kubeconfig(cluster_of(source), user.name, identity, DEFAULT_NAMESPACE)


def _server(server: str, ca_file: Path) -> dict[str, Any]:
    return {"server": server, "certificate-authority-data": _base64(ca_file)}


def _kubeconfig(
    cluster: dict[str, Any], user: str, identity: dict[str, Any], namespace: str
) -> dict[str, Any]:
    context = {"cluster": "leeward-sandbox", "user": user, "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "leeward-sandbox", "cluster": cluster}],
        "users": [{"name": user, "user": identity}],
        "contexts": [{"name": "leeward-sandbox", "context": context}],
        "current-context": "leeward-sandbox",
    }


def write(file: Path, content: dict[str, Any]) -> Path:
    """Write a kubeconfig, readable by its owner alone, and return its path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_private(file, yaml.safe_dump(content, sort_keys=False).encode())
    return file


def flattened(text: str) -> dict[str, Any]:
    """Read what `kubectl config view --raw --minify --flatten -o json` printed."""
    content: dict[str, Any] = json.loads(text)
    if not content.get("clusters") or not content.get("users"):
        raise ClusterError("the kubeconfig given has no current context with a cluster and a user")
    return content


def cluster_of(content: dict[str, Any]) -> dict[str, Any]:
    """The one cluster entry of a minified kubeconfig."""
    entry: dict[str, Any] = content["clusters"][0]["cluster"]
    return entry


def user_of(content: dict[str, Any]) -> dict[str, Any]:
    """The one user entry of a minified kubeconfig."""
    entry: dict[str, Any] = content["users"][0]["user"]
    return entry


def _base64(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
