"""The operator in the cluster: whether it runs, what it may do, and how it gets to AWS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from leeward.api.common import GROUP
from leeward.cli.check import looked_up
from leeward.cli.failures import Refused
from leeward.cli.findings import Finding
from leeward.cli.service_accounts import groups_of

if TYPE_CHECKING:
    from leeward.cli.connect import Api

Object = Mapping[str, Any]
_REVIEWS: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
IRSA: Final = "eks.amazonaws.com/role-arn"


@dataclass(frozen=True, slots=True)
class Right:
    """One question to the API server's authorizer."""

    verb: str
    resource: str
    """With its subresource: `drtasks/status`."""
    group: str = GROUP
    here: bool = False
    """In the operator's namespace, not everywhere."""
    name: str = ""
    """Of one object; empty: of all."""

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}"


NEEDED: Final = (
    Right("list", "recoveryplans"),
    Right("list", "targetaccounts"),
    Right("list", "drexecutions"),
    Right("list", "drschedules"),
    Right("patch", "drexecutions"),
    Right("update", "drexecutions/status"),
    Right("create", "drtasks"),
    Right("update", "drtasks/status"),
    Right("update", "recoveryplans/status"),
    Right("update", "targetaccounts/status"),
    Right("update", "drschedules/status"),
    Right("create", "recoveryinventories"),
    Right("create", "events", "events.k8s.io"),
    Right("get", "validatingadmissionpolicies", "admissionregistration.k8s.io"),
)
"""Without these, and its Lease, no run goes anywhere."""
EXCESSIVE: Final = (
    Right("approve", "recoveryplans/approval"),
    Right("operate", "recoveryplans/operation"),
    Right("list", "secrets", ""),
    Right("update", "validatingadmissionpolicies", "admissionregistration.k8s.io"),
)
"""With these it could answer its own gates, read others' secrets, or take its guard away."""


def operator(api: Api, namespace: str, account: str, lease: str) -> Iterator[Finding]:
    """Deployment, service account, rights and identity of the operator."""
    base = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    try:
        yield from running(api.list(base)[0], namespace, account)
    except Refused as refused:
        yield Finding("unknown", f"Deployments of {namespace}: {refused}")
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}"
    what = f"ServiceAccount {namespace}/{account}"
    yield looked_up(api, path, what, lambda found: Finding("ok", "there"))
    user = f"system:serviceaccount:{namespace}:{account}"
    yield from _rights(api, namespace, user, lease)
    try:
        pods = api.list(f"/api/v1/namespaces/{namespace}/pods")[0]
        yield from identity([p for p in pods if _account(p["spec"]) == account])
    except Refused as refused:
        yield Finding("unknown", f"Pods of {namespace}: {refused}")


def running(deployments: Sequence[Object], namespace: str, account: str) -> Iterator[Finding]:
    """Whether the operator's Deployments are up; they are known by their service account."""
    ours = [d for d in deployments if _account(d["spec"]["template"]["spec"]) == account]
    if not ours:
        text = f"no Deployment of {namespace} runs as service account {account}"
        yield Finding("problem", text)
    for found in ours:
        wanted = found["spec"].get("replicas", 1)
        ready = (found.get("status") or {}).get("readyReplicas", 0)
        images = ", ".join(c["image"] for c in found["spec"]["template"]["spec"]["containers"])
        text = (
            f"Deployment {found['metadata']['name']}: {ready} of {wanted} replicas ready ({images})"
        )
        if ready < wanted or not wanted:
            yield Finding("problem", text)
        elif wanted == 1:
            yield Finding("ok", f"{text}; nobody stands by")
        else:
            yield Finding("ok", text)


def identity(pods: Sequence[Object]) -> Iterator[Finding]:
    """From where the operator's pods have their AWS credentials, by what EKS set in them."""
    if not pods:
        yield Finding("unknown", "no pod of the operator was seen: its AWS identity is unknown")
        return
    for pod in pods:
        name = f"Pod {pod['metadata']['name']}"
        variables = {
            one["name"]: one.get("value", "")
            for container in pod["spec"]["containers"]
            for one in container.get("env") or []
        }
        if "AWS_ACCESS_KEY_ID" in variables:
            yield Finding("problem", f"{name}: has AWS keys in its environment, which never expire")
        elif "AWS_WEB_IDENTITY_TOKEN_FILE" in variables:
            yield Finding("ok", f"{name}: IRSA, role {variables.get('AWS_ROLE_ARN')}")
        elif "AWS_CONTAINER_CREDENTIALS_FULL_URI" in variables:
            yield Finding("ok", f"{name}: EKS Pod Identity")
        else:
            text = (
                f"{name}: neither IRSA nor Pod Identity is set up for it: annotate the service "
                f"account with {IRSA}, or associate it with the role, and restart the pod"
            )
            yield Finding("problem", text)


def _rights(api: Api, namespace: str, user: str, lease: str) -> Iterator[Finding]:
    held = Right("update", "leases", "coordination.k8s.io", here=True, name=lease)
    needed = (*NEEDED, held)
    try:
        missing = [r.text for r in needed if not _may(api, namespace, user, r)]
        excessive = [r.text for r in EXCESSIVE if _may(api, namespace, user, r)]
    except Refused as refused:
        yield Finding("unknown", f"rights of {user}: {refused}")
        return
    if missing:
        yield Finding("problem", f"{user} may not {', '.join(missing)}: apply the chart's roles")
    else:
        yield Finding("ok", f"{user} may do what it needs ({len(needed)} rights were asked about)")
    if excessive:
        yield Finding("problem", f"{user} may {', '.join(excessive)}: find and end that binding")
    else:
        yield Finding("ok", f"{user} may neither answer gates, list Secrets, nor change policies")


def _may(api: Api, namespace: str, user: str, right: Right) -> bool:
    resource, _, subresource = right.resource.partition("/")
    asked = {"verb": right.verb, "group": right.group, "resource": resource}
    asked |= {"subresource": subresource} if subresource else {}
    asked |= {"namespace": namespace} if right.here else {}
    asked |= {"name": right.name} if right.name else {}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": groups_of(user), "resourceAttributes": asked},
    }
    return bool(api.create(_REVIEWS, body)["status"].get("allowed"))


def _account(pod: Object) -> str:
    return str(pod.get("serviceAccountName") or "default")
