"""Who has every verb by a wildcard, and so all of Leeward's, though nobody gave them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from leeward.cli.failures import Refused
from leeward.cli.findings import Finding

if TYPE_CHECKING:
    from leeward.cli.connect import Api

Object = Mapping[str, Any]
_RBAC: Final = "/apis/rbac.authorization.k8s.io/v1"
_EVERYBODY: Final = frozenset({"system:authenticated", "system:unauthenticated"})
_ADVICE: Final = (
    "the policies take them for people. Bind what is none (Argo CD of another cluster, a "
    "pipeline's certificate or IAM role) to a role of enumerated verbs"
)


def looked_for(api: Api) -> Iterator[Finding]:
    """Users and groups with a wildcard; of service accounts the policies know by themselves."""
    try:
        roles = api.list(f"{_RBAC}/clusterroles")[0]
        bindings = api.list(f"{_RBAC}/clusterrolebindings")[0]
    except Refused as refused:
        yield Finding("unknown", f"ClusterRoles and their bindings: {refused}")
        return
    yield found(roles, bindings)


def found(roles: Sequence[Object], bindings: Sequence[Object]) -> Finding:
    """The finding on ClusterRoles and ClusterRoleBindings of the cluster."""
    sweeping = {role["metadata"]["name"] for role in roles if _sweeps(role)}
    named = [
        f"{subject['kind']} {subject['name']} (ClusterRoleBinding {binding['metadata']['name']})"
        for binding in bindings
        if binding["roleRef"]["name"] in sweeping
        for subject in binding.get("subjects") or []
        if _is_taken_for_a_person(subject)
    ]
    if not named:
        text = "no user or group is bound to a ClusterRole with every verb by a wildcard"
        return Finding("ok", text)
    return Finding("unknown", f"every verb by a wildcard have {', '.join(named)}: {_ADVICE}")


def _sweeps(role: Object) -> bool:
    return any(
        all("*" in (rule.get(part) or []) for part in ("verbs", "apiGroups", "resources"))
        for rule in role.get("rules") or []
    )


def _is_taken_for_a_person(subject: Object) -> bool:
    """A user or group, but none of Kubernetes' own, as `system:masters`, that is no trap."""
    if subject["kind"] not in ("User", "Group"):
        return False
    return subject["name"] in _EVERYBODY or not subject["name"].startswith("system:")
