"""Who has every verb of Leeward's kinds by a wildcard, though nobody gave them those verbs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from leeward.api.common import GROUP
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
        roles = [*api.list(f"{_RBAC}/clusterroles")[0], *api.list(f"{_RBAC}/roles")[0]]
        bindings = api.list(f"{_RBAC}/clusterrolebindings")[0]
        bindings = [*bindings, *api.list(f"{_RBAC}/rolebindings")[0]]
    except Refused as refused:
        yield Finding("unknown", f"roles and their bindings: {refused}")
        return
    yield found(roles, bindings)


def found(roles: Sequence[Object], bindings: Sequence[Object]) -> Finding:
    """The finding on the roles and bindings of the cluster and of all its namespaces."""
    sweeping = {_place(role["metadata"]) for role in roles if _sweeps(role)}
    named = [
        f"{subject['kind']} {subject['name']} ({_called(binding['metadata'])})"
        for binding in bindings
        if _bound(binding) in sweeping
        for subject in binding.get("subjects") or []
        if _is_taken_for_a_person(subject)
    ]
    if not named:
        return Finding("ok", "no user or group is bound to a role with every verb by a wildcard")
    return Finding("unknown", f"every verb by a wildcard have {', '.join(named)}: {_ADVICE}")


def _place(metadata: Object) -> tuple[str, str]:
    """Namespace and name of a role; a ClusterRole has no namespace."""
    return metadata.get("namespace", ""), metadata["name"]


def _bound(binding: Object) -> tuple[str, str]:
    """The role that a binding gives, as `_place` has it."""
    reference = binding["roleRef"]
    of_namespace = reference.get("kind") == "Role"
    return binding["metadata"].get("namespace", "") if of_namespace else "", reference["name"]


def _called(metadata: Object) -> str:
    namespace, name = _place(metadata)
    return f"RoleBinding {namespace}/{name}" if namespace else f"ClusterRoleBinding {name}"


def _sweeps(role: Object) -> bool:
    """Whether it has verbs on plans that nobody named: those of approval are among them."""
    return any(
        "*" in (rule.get("verbs") or [])
        and {"*", GROUP} & set(rule.get("apiGroups") or [])
        and any(_of_plans(resource) for resource in rule.get("resources") or [])
        for rule in role.get("rules") or []
    )


def _of_plans(resource: str) -> bool:
    return resource in {"*", "*/approval"} or resource.startswith("recoveryplans/")


def _is_taken_for_a_person(subject: Object) -> bool:
    """A user or group, but none of Kubernetes' own, as `system:masters`, that is no trap."""
    if subject["kind"] not in ("User", "Group"):
        return False
    return subject["name"] in _EVERYBODY or not subject["name"].startswith("system:")
