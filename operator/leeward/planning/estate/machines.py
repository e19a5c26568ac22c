"""Which machines there are, each once: its DRS source server stands for the EC2 instance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from leeward.api.plan import RecoveryPlanSpec
from leeward.planning.estate import taxonomy
from leeward.planning.estate.taxonomy import Words

_DORMANT: Final = frozenset({"STOPPED", "DISCONNECTED"})  # DRS DataReplicationState


@dataclass(frozen=True, slots=True)
class Found:
    """A resource as discovery found it."""

    id: str
    arn: str
    technology: str
    account: str
    """TargetAccount."""
    account_id: str
    region: str
    name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    missing_since: str | None = None
    """Since when AWS no longer shows it, though it may well still be there; see `losses`."""


def is_instance(found: Found) -> bool:
    """Whether it is a machine of EC2, protected or not."""
    return found.technology == "ec2" and ":instance/" in found.arn


def plainly(found: Found) -> Found:
    """The resource; an instance that discovery took for one of DRS by its tags is one of EC2."""
    unprotected = found.technology == "drs" and ":instance/" in found.arn
    return replace(found, technology="ec2", attributes={}) if unprotected else found


def _stands_for_itself(tags: Mapping[str, str], words: Words) -> bool:
    """Whether the tags want something else than DRS for the machine."""
    return tags.get(taxonomy.STRATEGY, "drs") in frozenset(words.strategies) - {"drs"}


def _best_server(servers: Sequence[Found]) -> Found:
    """Of several source servers of one instance, the one whose agent is connected."""
    dormant = [s.attributes.get("replicationState", "") in _DORMANT for s in servers]
    return min(zip(dormant, servers, strict=True), key=lambda pair: (pair[0], pair[1].id))[1]


def machines(
    spec: RecoveryPlanSpec, found: Sequence[Found], words: Words
) -> Iterator[tuple[Found, ...]]:
    """Source servers with the instance that each represents, and instances without one.

    Source servers live in the recovery Region and instances in the primary one; what is in the
    other Region was launched by a recovery, or protects the way back.
    """
    home, away = spec.regions.primary, spec.regions.recovery
    instances = {f.id: f for f in found if is_instance(f) and f.region == home}
    servers = [
        f
        for f in found
        if f.technology == "drs"
        and f.region == away
        and (f.attributes.get("originRegion") or home) == home
    ]
    represented: set[str] = set()
    for server in servers:
        instance = instances.get(server.attributes.get("originInstanceId", ""))
        if instance is None:
            yield (server,)
        elif not _stands_for_itself({**server.tags, **instance.tags}, words):
            represented.add(instance.id)
            yield (server, instance)
    for instance in instances.values():
        if instance.id not in represented:
            yield (instance,)


def better_servers(found: Sequence[Found]) -> dict[str, str]:
    """By id of a source server: the one that replaces it, where an instance has several."""
    groups: dict[str, list[Found]] = {}
    for server in found:
        origin = server.attributes.get("originInstanceId")
        if server.technology == "drs" and origin:
            groups.setdefault(f"{server.region}/{origin}", []).append(server)
    replaced = {}
    for servers in groups.values():
        best = _best_server(servers)
        replaced.update({s.id: best.id for s in servers if s.id != best.id})
    return replaced
