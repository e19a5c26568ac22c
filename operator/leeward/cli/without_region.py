"""What of an installation needs a Region, found in what the API server has.

AWS's Regions fail one at a time, and a recovery must not need the one that is left. Whatever names
that Region outside of what is recovered from it is listed: the operator and its nodes, images, keys
and topics, and the control planes that AWS runs in one Region of a partition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from leeward.api.common import BASE_REGION
from leeward.cli.findings import Finding
from leeward.cli.render import clean

Object = Mapping[str, Any]

CONTROL_PLANES: Final[Mapping[str, str]] = {
    "us-east-1": "aws",
    "us-gov-west-1": "aws-us-gov",
    "cn-northwest-1": "aws-cn",
}
"""By Region: the partition whose control planes of IAM and Route 53 are there (AWS Fault Isolation
Boundaries, partitional and global services; Route 53 in China: cn-northwest-1)."""
_MOST: Final = 12


def operator(
    region: str, lease: Object, workloads: Sequence[Object], nodes: Sequence[Object]
) -> Iterator[Finding]:
    """The operator itself: where it asks for sessions, where it runs, what its pods name."""
    base = (lease.get("metadata", {}).get("annotations") or {}).get(BASE_REGION)
    if base is None:
        yield Finding("unknown", f"operator: its Lease does not say whose STS it asks for {region}")
    elif base == region:
        yield _bad(
            f"operator: STS of {region} gives it role sessions (LEEWARD_BASE_REGION); without it "
            "no account is reached: set it to a recovery Region"
        )
    else:
        yield Finding("ok", f"operator: role sessions come from STS of {base}")
    label = "topology.kubernetes.io/region"
    here = [n for n in nodes if (n["metadata"].get("labels") or {}).get(label) == region]
    if here:
        yield _bad(
            f"cluster: {len(here)} of {len(nodes)} nodes are in {region}; an operator that goes "
            "down with the Region recovers nothing: run it in a recovery Region"
        )
    elif nodes:
        yield Finding("ok", f"cluster: none of its {len(nodes)} nodes says that it is in {region}")
    for workload in workloads:
        yield from _named(
            region, f"{workload['kind']} {workload['metadata']['name']}", _pod(workload)
        )


def plans(region: str, found: Sequence[Object], inventories: Sequence[Object]) -> Iterator[Finding]:
    """What recovery out of the Region, or into it, would need of it."""
    fragile = _fragile(inventories)
    for plan in found:
        regions, metadata = plan["spec"]["regions"], plan["metadata"]
        what = f"plan {metadata['namespace']}/{metadata['name']}"
        if regions["recovery"] == region:
            yield _bad(f"{what}: recovers into {region}, and cannot without it")
            continue
        needs = [
            *_named(region, what, {k: v for k, v in plan["spec"].items() if k != "regions"}),
            *_control_planes(region, what, plan["spec"]),
            *(fragile.get((metadata["namespace"], metadata["name"]), ())),
        ]
        if regions["primary"] == region:
            needs += _tasks_there(region, what, plan["spec"])
        yield from needs or [Finding("ok", f"{what}: names nothing of {region}")]


def control_planes(region: str) -> Iterator[Finding]:
    """What AWS runs for a whole partition in that Region."""
    if partition := CONTROL_PLANES.get(region):
        yield Finding(
            "unknown",
            f"IAM's control plane of partition {partition} is in {region}: without it roles and "
            "policies cannot be changed, and rights cannot be simulated; sessions go on",
        )


def _pod(workload: Object) -> Any:
    """The parts of a workload that decide where it reaches."""
    return workload["spec"].get("template", workload)["spec"]


def _named(region: str, what: str, part: Any) -> list[Finding]:
    """Every string of the part that names the Region as ARNs and host names do."""
    found = [
        f"{path} is {text}" for path, text in _strings(part, "") if _names(region, text)
    ]  # fmt: skip
    more = len(found) - _MOST
    shown = [*found[:_MOST], *([f"and {more} more"] if more > 0 else [])]
    return [
        _bad(f"{what}: {clean(one)}; have one in a Region that is not left as well")
        for one in shown
    ]


def _names(region: str, text: str) -> bool:
    """Whether the text is the Region, or an ARN or a host name in it."""
    return text == region or f":{region}:" in text or f".{region}." in text


def _strings(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path or "it", value
    elif isinstance(value, Mapping):
        for key, child in value.items():
            yield from _strings(child, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for place, child in enumerate(value):
            name = child.get("name") if isinstance(child, Mapping) else None
            yield from _strings(child, f"{path}[{name or place}]")


def _control_planes(region: str, what: str, spec: Object) -> Iterator[Finding]:
    if region not in CONTROL_PLANES:
        return
    switches = [
        task["name"]
        for wave in spec.get("waves") or []
        for task in wave.get("tasks") or []
        if task.get("type") == "Route53"
    ]
    if switches:
        yield _bad(
            f"{what}: task {', '.join(switches)} changes records through Route 53's control plane, "
            f"which is in {region}; without it names are switched by a routing control of ARC, or "
            "by a health check that watches something in the recovery Region"
        )
    checks = [
        d["name"] for d in spec.get("dependencies") or [] if d.get("type") == "Route53HealthCheck"
    ]
    if checks:
        yield Finding(
            "unknown",
            f"{what}: dependency {', '.join(checks)} is asked of Route 53's control plane, which "
            f"is in {region}; without it an Unplanned run lists it as not known",
        )


def _tasks_there(region: str, what: str, spec: Object) -> Iterator[Finding]:
    """Tasks beside fencing that are carried out on the side that is left."""
    for wave in spec.get("waves") or []:
        for task in wave.get("tasks") or []:
            block = task.get("automation") or task.get("autoScaling") or {}
            if block.get("region") == "Primary" and task.get("recoveryPhase") != "Fence":
                yield _bad(
                    f"{what}: task {task['name']} of phase {task.get('recoveryPhase')} works in "
                    f"{region}; an Unplanned run waits for a decision about it"
                )


def _fragile(inventories: Sequence[Object]) -> Mapping[tuple[str, str], list[Finding]]:
    """By namespace and plan: accounts whose discovery needs more than the recovery Region."""
    found: dict[tuple[str, str], list[Finding]] = {}
    for part in inventories:
        plan = (part["metadata"]["namespace"], part["spec"]["planRef"]["name"])
        for finding in (part.get("status") or {}).get("findings") or []:
            if finding["reason"] == "DiscoveryFragile":
                text = f"plan {plan[0]}/{plan[1]}, {part['spec']['account']}: {finding['message']}"
                found.setdefault(plan, []).append(_bad(clean(text)))
    return found


def _bad(text: str) -> Finding:
    return Finding("problem", text)
