"""`kubectl leeward check`: what of an installation can be seen through the API server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import click

from leeward.api.common import GROUP, OPERATOR_USER, VERSION
from leeward.cli import findings
from leeward.cli import without_region as without_region_of
from leeward.cli.app import colored, connected, global_options
from leeward.cli.failures import Refused
from leeward.cli.findings import Finding
from leeward.cli.kinds import INVENTORY, PLAN
from leeward.cli.outcome import Exit

if TYPE_CHECKING:
    from leeward.cli.connect import Api

Object = Mapping[str, Any]
_MINIMUM = (1, 30)  # ValidatingAdmissionPolicy v1
_STAMPING = (1, 36)  # MutatingAdmissionPolicy v1; before, who creates a run names himself
_USER = "system:serviceaccount:{}:{}"
_OPERATOR_NAMESPACE, _SERVICE_ACCOUNT = OPERATOR_USER.split(":")[2:]
_LEASE = "leeward"
_PLURALS = {
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
    "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
    "MutatingAdmissionPolicyBinding": "mutatingadmissionpolicybindings",
}


@click.command()
@click.option(
    "--operator-namespace",
    default=_OPERATOR_NAMESPACE,
    show_default=True,
    metavar="NAME",
    help="Namespace of the operator.",
)
@click.option(
    "--service-account",
    default=_SERVICE_ACCOUNT,
    show_default=True,
    metavar="NAME",
    help="ServiceAccount of the operator.",
)
@click.option("--lease", default=_LEASE, show_default=True, metavar="NAME", help="Its Lease.")
@click.option(
    "--without-region",
    metavar="REGION",
    help="List what of the installation needs this Region, in place of the other checks.",
)
@global_options
@click.pass_context
def check(
    ctx: click.Context,
    operator_namespace: str,
    service_account: str,
    lease: str,
    without_region: str | None,
) -> None:
    """Check the installation: versions, CRDs, admission policies, and whether an operator leads.

    It sees what the API server shows, and nothing of AWS. Exit code 1: there is a problem.
    """
    with connected() as api:
        if without_region:
            found = list(_without(api, without_region, operator_namespace, lease))
        else:
            found = list(installation(api, operator_namespace, service_account, lease))
    click.echo(findings.shown(found, color=colored()))
    ctx.exit(Exit.ERROR if findings.failed(found) else Exit.SUCCEEDED)


def _without(api: Api, region: str, namespace: str, lease: str) -> Iterator[Finding]:
    """What needs the Region; what may not be read is said to be unknown."""
    refused: list[Finding] = []

    def listed(path: str, kind: str) -> list[Object]:
        try:
            return [{"kind": kind, **one} for one in api.list(path)[0]]
        except Refused as error:
            refused.append(Finding("unknown", f"{kind}s could not be read: {error}"))
            return []

    try:
        held: Object = api.get(
            f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{lease}"
        )
    except Refused as error:
        refused.append(Finding("unknown", f"Lease {namespace}/{lease} could not be read: {error}"))
        held = {}
    base = f"/apis/{GROUP}/{VERSION}"
    workloads = [
        *listed(f"/apis/apps/v1/namespaces/{namespace}/deployments", "Deployment"),
        *listed(f"/apis/apps/v1/namespaces/{namespace}/statefulsets", "StatefulSet"),
    ]
    yield from without_region_of.operator(region, held, workloads, listed("/api/v1/nodes", "Node"))
    plans = listed(f"{base}/{PLAN.plural}", "RecoveryPlan")
    inventories = listed(f"{base}/{INVENTORY.plural}", "RecoveryInventory")
    yield from without_region_of.plans(region, plans, inventories)
    yield from without_region_of.control_planes(region)
    yield from refused


def installation(api: Api, namespace: str, account: str, lease: str) -> Iterator[Finding]:
    """Versions, CRDs, admission policies, and who leads."""
    # Local: the models that they import take half a second to build.
    from leeward.api.kinds import KINDS
    from leeward.policies import load

    yield Finding("ok", f"kubectl-leeward {version('leeward')}, API {GROUP}/{VERSION}")
    server = api.get("/version")
    yield server_version(server)
    for kind in KINDS.values():
        name = f"{kind.PLURAL}.{GROUP}"
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
        yield looked_up(api, path, f"CRD {name}", definition)
    for shipped in load(_USER.format(namespace, account)):
        if shipped["kind"].startswith("Mutating") and numbers(server) < _STAMPING:
            continue
        name, plural = shipped["metadata"]["name"], _PLURALS[shipped["kind"]]
        path = f"/apis/admissionregistration.k8s.io/v1/{plural}/{name}"
        yield looked_up(api, path, f"{shipped['kind']} {name}", partial(policy, shipped))
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{lease}"
    what = f"Lease {namespace}/{lease}"
    yield looked_up(api, path, what, lambda found: leadership(found, datetime.now(UTC)))


def looked_up(api: Api, path: str, what: str, judge: Callable[[Object], Finding]) -> Finding:
    """What `judge` says of the object at `path`, or that it is not there or may not be read."""
    try:
        found = api.get(path)
    except Refused as refused:
        if refused.status == 404:
            return Finding("problem", f"{what}: not there")
        return Finding("unknown", f"{what}: {refused}")
    judged = judge(found)
    return Finding(judged.verdict, f"{what}: {judged.text}")


def numbers(found: Object) -> tuple[int, ...]:
    """Major and minor of /version; some vendors write the minor as `30+`."""
    parts = (str(found.get(key, "")) for key in ("major", "minor"))
    return tuple(int("".join(filter(str.isdecimal, part)) or 0) for part in parts)


def server_version(found: Object) -> Finding:
    """Whether the API server knows ValidatingAdmissionPolicy v1."""
    text = f"Kubernetes {found.get('gitVersion')}"
    if numbers(found) < _MINIMUM:
        needed = ".".join(map(str, _MINIMUM))
        return Finding("problem", f"{text}: the admission policies need {needed}")
    return Finding("ok", text)


def definition(found: Object) -> Finding:
    """Whether a CRD serves our version."""
    conditions = (found.get("status") or {}).get("conditions") or []
    established = any(c["type"] == "Established" and c["status"] == "True" for c in conditions)
    served = [v["name"] for v in found["spec"]["versions"] if v["served"]]
    if VERSION not in served:
        return Finding("problem", f"does not serve {VERSION}, but {', '.join(served) or 'nothing'}")
    if not established:
        return Finding("problem", "not established")
    stored = (found.get("status") or {}).get("storedVersions") or []
    if lost := sorted(set(stored) - set(served)):
        return Finding(
            "problem", f"objects may be stored in {', '.join(lost)}, which is not served"
        )
    return Finding("ok", f"serves and stores {VERSION}")


def policy(shipped: Object, found: Object) -> Finding:
    """Whether a live policy, or binding of one, is what this version ships, and compiles.

    That it is in force too, the operator itself proves at each gate (condition GuardActive).
    """
    warnings = ((found.get("status") or {}).get("typeChecking") or {}).get("expressionWarnings")
    if warnings:
        return Finding("problem", f"does not compile: {warnings[0].get('warning', '')}")
    denies = "Deny" in shipped["spec"].get("validationActions", [])
    if denies and "Deny" not in found["spec"].get("validationActions", []):
        return Finding("problem", "denies nothing: its validationActions lack Deny")
    if found["spec"] != shipped["spec"]:
        return Finding("problem", "is not what this version ships (see: leeward policies)")
    return Finding("ok", "as shipped")


def leadership(found: Object, now: datetime) -> Finding:
    """Whether somebody holds the operator's Lease now."""
    spec = found.get("spec") or {}
    holder = spec.get("holderIdentity")
    if not holder:
        return Finding("problem", "held by nobody: no operator runs")
    renewed = datetime.fromisoformat(spec["renewTime"])
    late = now - renewed - timedelta(seconds=int(spec.get("leaseDurationSeconds") or 0))
    if late > timedelta():
        seconds = int((now - renewed).total_seconds())
        text = f"{holder} last renewed it {seconds} s ago by this machine's clock: it has run out"
        return Finding("problem", text)
    return Finding("ok", f"held by {holder}, epoch {spec.get('leaseTransitions', 0)}")
