"""The two Regions of a protected server, and the servers of DRS that protect it both ways.

A source server in the recovery Region protects the original. Once its recovery instance is
replicated back, a reversed source server (`replicationDirection` FAILBACK) in the primary Region
protects that one. Each names the other by `reversedDirectionSourceServerArn`. Leeward speaks of
both by the id of the first, which stays the same through failover, failback and the next failover.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from botocore.exceptions import ClientError

from leeward_adapters import drs_lists, drs_settings, drs_sources
from leeward_adapters.base import Scope, Seen, State, Step, Target
from leeward_adapters.drs_instances import RecoveryInstance
from leeward_adapters.ec2 import place

NOT_REPLICATING: Final = frozenset({"STOPPED", "DISCONNECTED"})
Raw = Mapping[str, Any]
_TOTAL: Final = "totalStorageBytes"
_REPLICATED: Final = "replicatedStorageBytes"
_RESCANNED: Final = "rescannedStorageBytes"


def other_side(scope: Scope, step: Step) -> Scope:
    """The same account in `step.source_region`."""
    return scope.at(step.source_region)


def listing(drs: Any) -> list[Raw]:
    """All source servers of an account and Region (DescribeSourceServers)."""
    return list(drs_lists.items(drs, "describe_source_servers", filters={}))


_SIDES: Final = ("replicationDirection", "reversedDirectionSourceServerArn")


def shared_listing(scope: Scope, as_of: float | None) -> list[Raw]:
    """What is judged of `listing`, asked once for all who wait.

    Args:
        scope: account and Region.
        as_of: how new the answer must be, see `Step.since`.
    """

    def judged(raw: Raw) -> Raw:
        return drs_sources.judged(raw) | {key: raw[key] for key in _SIDES if key in raw}

    drs = scope.client("drs")
    return scope.views.ask("drs-sides", as_of, lambda: [*map(judged, listing(drs))])


def reversed_of(servers: Sequence[Raw], targets: Sequence[Target]) -> dict[str, Raw]:
    """By target: the reversed source server that protects its recovery instance.

    The servers' own words decide; what discovery noted is asked only where DRS names no partner.

    Args:
        servers: those of the primary Region.
        targets: source servers of the recovery Region.
    """
    back = [s for s in servers if s.get("replicationDirection") == "FAILBACK"]
    # One that was disconnected is a left-over if another took its place.
    back.sort(key=lambda s: replication_state(s) == "DISCONNECTED", reverse=True)
    by_partner = {s.get("reversedDirectionSourceServerArn", ""): s for s in back}
    by_instance = {protects(s): s for s in back}
    by_id = {s["sourceServerID"]: s for s in back}
    found: dict[str, Raw] = {}
    for target in targets:
        noted = target.attributes
        server = (
            by_partner.get(target.arn)
            or by_instance.get(noted.get("recoveryInstanceId") or "none")
            or by_id.get(noted.get("reversedServerId", ""))
        )
        if server is not None:
            found[target.id] = server
    return found


def protects(server: Raw) -> str:
    """Id of the EC2 instance that a source server replicates; empty outside EC2."""
    hints = server.get("sourceProperties", {}).get("identificationHints", {})
    return str(hints.get("awsInstanceID", ""))


def replication_state(server: Raw) -> str:
    """`dataReplicationState` of a source server."""
    return str(server.get("dataReplicationInfo", {}).get("dataReplicationState", ""))


def _disks(server: Raw) -> Sequence[Raw]:
    disks: Sequence[Raw] = server.get("dataReplicationInfo", {}).get("replicatedDisks", [])
    return disks


def rescanning(server: Raw) -> bool:
    """Whether the bytes of a comparison of the disks tell that it has not ended, whatever the state
    says: DRS reports CONTINUOUS while a rescan is still under way.

    Whether `rescannedStorageBytes` counts what was compared, as the DRS user guide has it, or what
    is still to be compared, as the API's model has it, is not known, nor what it is after a first
    copy. So neither none nor all of the bytes says anything; what lies between does.
    """
    told = [
        min(disk.get(_RESCANNED, 0), disk.get(_TOTAL, 0)) / max(disk.get(_TOTAL, 0), 1)
        for disk in _disks(server)
    ]
    return any(share != told[0] or 0 < share < 1 for share in told)


def superseded(
    instance: RecoveryInstance, server: Raw | None, attributes: Mapping[str, str]
) -> bool:
    """Whether the instance is known to be from before the last failback.

    Args:
        instance: a live recovery instance.
        server: its source server as DRS describes it; None: it is not there.
        attributes: what discovery noted of the server.
    """
    if instance.failed_back:
        return True
    at_home = attributes.get("failbackInstanceId")
    if not (at_home and instance.reversed_at and instance.left and server is not None):
        return False
    return protects(server) == at_home


def copied(server: Raw) -> bool:
    """Whether the server holds every byte of every disk, and compares none of them just now."""
    disks = _disks(server)
    every = all(disk.get(_REPLICATED, 0) >= disk.get(_TOTAL, 0) > 0 for disk in disks)
    compares = replication_state(server) == "RESCAN" or rescanning(server)
    return bool(disks) and every and not compares


def in_step(server: Raw) -> bool:
    """Whether the server says that it could take over now: copied, CONTINUOUS, its lag known.

    It may say so before a rescan has begun. Only a point in time since then proves it
    (`drs_servers.with_points_since`).
    """
    info = server.get("dataReplicationInfo", {})
    error = info.get("dataReplicationError", {}).get("error")
    known = "lagDuration" in info and not error
    return replication_state(server) == "CONTINUOUS" and copied(server) and known


def remove(call: Callable[..., Any], **identity: str) -> None:
    """One call that takes something off DRS; what is off already is as it should be.

    botocore repeats a call whose answer was lost, and then it is the repetition that finds nothing.
    """
    try:
        call(**identity)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "ResourceNotFoundException":
            raise


def progress(server: Raw) -> str:
    """How far the replication of a server is, for people."""
    info = server.get("dataReplicationInfo", {})
    disks = _disks(server)
    total = sum(disk.get(_TOTAL, 0) for disk in disks)
    words = [replication_state(server) or "in an unknown state"]
    for member in (_REPLICATED, _RESCANNED):
        if total:
            share = sum(disk.get(member, 0) for disk in disks) * 100 // total
            words.append(f"{member} {share} %")
    words.append(f"lag {info.get('lagDuration', 'unknown')}")
    if info.get("etaDateTime"):
        words.append(f"expected at {info['etaDateTime']}")
    if error := info.get("dataReplicationError", {}).get("error"):
        words.append(str(error))
    return ", ".join(words)


def not_reversed(scope: Scope, target: Target) -> Seen:
    """No server in the primary Region protects the target's recovery instance."""
    return Seen(
        State.REFUSED,
        reason="NotReversed",
        message=f"DRS in {place(scope)} has no source server that protects the recovery instance "
        f"of {target.id}: run a Reprotect first, and let its first copy end",
    )


def as_seen_there(step: Step, servers: Mapping[str, Raw]) -> Step:
    """The step with the reversed servers in place of its targets; others are left out.

    Launch settings come along but for those that name networks, addresses and instances: they are
    of the recovery Region, and nothing of them exists in the primary one.
    """
    ids = {t: str(server["sourceServerID"]) for t, server in servers.items()}
    return replace(
        step,
        targets=tuple(
            replace(
                t,
                id=ids[t.id],
                arn=servers[t.id]["arn"],
                settings=drs_settings.for_drill(t.settings),
            )
            for t in step.targets
            if t.id in ids
        ),
        calls={ids[t]: call for t, call in step.calls.items() if t in ids},
        pre_states={ids[t]: state for t, state in step.pre_states.items() if t in ids},
        relaunch=frozenset(ids[t] for t in step.relaunch if t in ids),
        accepted=frozenset(ids[t] for t in step.accepted if t in ids),
    )
