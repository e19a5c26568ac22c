"""Readiness of the way back: whether what serves in the recovery Region can be failed back.

Asked only for servers that were recovered for real. The primary Region may be down on that day, so
its silence is a warning like the others: none of them keeps anybody from recovering.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from leeward_adapters import (
    drs_instances,
    drs_into,
    drs_reverse,
    drs_servers,
    drs_sides,
    drs_snapshot,
    drs_sources,
)
from leeward_adapters.base import Finding, Scope, Target
from leeward_adapters.drs_instances import RecoveryInstance
from leeward_adapters.drs_sides import Raw
from leeward_adapters.ec2 import place

_WARNING: Final = "Warning"


def readiness(scope: Scope, targets: Sequence[Target]) -> list[Finding]:
    """Findings about the way back of those targets that serve in the scope's Region.

    Args:
        scope: the recovery Region, through the read role.
        targets: source servers there.
    """
    drs = scope.client("drs")
    ids = [t.id for t in targets if drs_servers.SERVER_ID.fullmatch(t.id)]
    try:
        seen = drs_snapshot.recent(scope)
        found = seen.instances if seen else drs_instances.describe(drs, ids)
    except ClientError as error:
        if _code(error) != "UninitializedAccountException":
            raise
        return []
    live = {s: i for s in ids if (i := drs_instances.production(found.get(s, ()))) is not None}
    live = {s: i for s, i in live.items() if not i.failed_back}
    if not live:
        return []
    servers = drs_sources.describe(drs, sorted(live))
    noted = {t.id: t.attributes for t in targets}
    serving = {
        s: i for s, i in live.items() if not drs_sides.superseded(i, servers.get(s), noted[s])
    }
    mine = [t for t in targets if t.id in serving]
    findings = list(_of_profiles(scope, serving))
    for region in sorted({_origin(server) for server in servers.values()} - {""}):
        here = [t for t in mine if t.id in servers and _origin(servers[t.id]) == region]
        originals = {t.id: drs_sides.protects(servers[t.id]) for t in here}
        findings += _of_primary(scope.at(region), here, serving, originals)
    return findings


def _of_profiles(scope: Scope, serving: Mapping[str, RecoveryInstance]) -> Iterable[Finding]:
    """Instances whose agent cannot speak to DRS, as nothing gives it a role."""
    to_be_reversed = {s: i.id for s, i in serving.items() if not i.replicated}
    known = drs_reverse.profiled(scope.client("ec2"), sorted(to_be_reversed.values()))
    for server, instance in to_be_reversed.items():
        if instance not in known:
            message = (
                f"recovery instance {instance} of {server} in {place(scope)} has no instance "
                "profile, so that it cannot be replicated back: attach one whose role has the "
                "policy AWSElasticDisasterRecoveryRecoveryInstancePolicy, and name it in the "
                "launch template"
            )
            yield Finding(_WARNING, "NoInstanceProfile", message, server)


def _of_primary(
    primary: Scope,
    targets: Sequence[Target],
    serving: Mapping[str, RecoveryInstance],
    originals: Mapping[str, str],
) -> list[Finding]:
    try:
        known = drs_sides.listing(primary.client("drs"))
    except (ClientError, BotoCoreError) as error:
        return [_silent(primary, error)]
    back = drs_sides.reversed_of(known, targets)
    findings: list[Finding] = []
    try:
        findings += drs_into.readiness(primary, targets, back, originals)
    except (ClientError, BotoCoreError) as error:
        findings.append(_silent(primary, error))
    for target in targets:
        server = back.get(target.id)
        protects = server is not None and drs_sides.protects(server) == serving[target.id].id
        if server is None or not protects:
            message = (
                f"nothing protects {serving[target.id].id}, which serves for {target.id}, in "
                f"{place(primary)}: run a Reprotect as soon as that Region can be trusted"
            )
            findings.append(Finding(_WARNING, "NotReversed", message, target.id))
        elif not drs_sides.in_step(server):
            findings.append(_behind(primary, target, server))
    return [*findings, *_of_quota(primary, known, sum(f.reason == "NotReversed" for f in findings))]


def _behind(primary: Scope, target: Target, server: Raw) -> Finding:
    message = (
        f"{server['sourceServerID']} in {place(primary)} does not hold all of {target.id} yet "
        f"({drs_sides.progress(server)}): fail back when it is CONTINUOUS and copied whole"
    )
    return Finding(_WARNING, "ReversedReplicationBehind", message, target.id)


def _of_quota(primary: Scope, known: Sequence[Raw], missing: int) -> list[Finding]:
    now = sum(drs_sides.replication_state(s) not in drs_sides.NOT_REPLICATING for s in known)
    if now + missing <= drs_reverse.MOST_REPLICATING:
        return []
    message = (
        f"{now} source servers replicate into {place(primary)} and {missing} more are to be "
        f"protected there; DRS takes at most {drs_reverse.MOST_REPLICATING} (quota L-C1D14A2B, "
        "which cannot be raised): stop the replication of what is not needed"
    )
    return [Finding(_WARNING, "ReplicatingServersQuota", message)]


def _silent(primary: Scope, error: ClientError | BotoCoreError) -> Finding:
    if _code(error) == "UninitializedAccountException":
        message = (
            f"DRS was never initialised in {place(primary)}, so that nothing can be failed back: "
            f"run `leeward drs init --account {primary.account_id} --region {primary.region}`"
        )
        return Finding(_WARNING, "PrimaryUninitialized", message)
    message = f"DRS in {place(primary)} does not say whether a failback is possible: {error}"
    return Finding(_WARNING, "PrimarySilent", message)


def _code(error: ClientError | BotoCoreError) -> str:
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return ""


def _origin(server: Raw) -> str:
    return str(server.get("sourceCloudProperties", {}).get("originRegion", ""))
