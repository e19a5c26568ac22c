"""Whether what a plan would recover is protected now: replicating, and within its objective."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from leeward.api.conditions import Reason
from leeward.api.inventory import RecoveryInventory
from leeward.api.plan import RecoveryPlanSpec
from leeward.api.run_times import LagRecord
from leeward.planning.durations import parse, parse_iso8601, render
from leeward.planning.estate.inventory import Located
from leeward.planning.estate.taxonomy import RPO, minutes
from leeward.planning.times import parse_time
from leeward.planning.wording import clip, some

REPLICATING: Final = frozenset({"CONTINUOUS", "CREATING_SNAPSHOT", "BACKLOG"})
"""States of a DRS source server (DataReplicationState) in which changes are carried over."""
NOT_REVERSED: Final = "NOT_REVERSED"
"""Stands for the state of a server that was recovered and has no replication back."""
_OLD_AFTER: Final = 3  # missed discoveries
_NEVER_OLD: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Shortcoming:
    """Why a server is not protected."""

    found: Located
    reason: str
    what: str
    """For people; without the server's name."""


def span(text: str | None) -> timedelta | None:
    """A Go duration; None when there is none, or none that can be read (the rules say so)."""
    try:
        return parse(text) if text else None
    except ValueError:
        return None


def lag(attributes: Mapping[str, str]) -> timedelta | None:
    """How far replication is behind, as DRS said at the last discovery; None when unknown."""
    try:
        return parse_iso8601(attributes.get("lag", ""))
    except ValueError:
        return None


def shortcoming(found: Located, objective: timedelta | None) -> Shortcoming | None:
    """Why the server is not protected; None when it is.

    `objective` is the plan's recovery point objective; the tag `dr:rpo-target` replaces it.
    Without any, replication that runs is enough.
    """
    state = found.resource.attributes.get("replicationState") or "not known"
    if state == NOT_REVERSED:
        what = "it serves and nothing replicates back from it; run a Reprotect"
        return Shortcoming(found, Reason.NOT_REPLICATING, what)
    if state not in REPLICATING:
        what = f"replication is {state}; look at the server in the DRS console"
        return Shortcoming(found, Reason.NOT_REPLICATING, what)
    allowed = minutes(found.resource.tags.get(RPO)) or objective
    if allowed is None:
        return None
    behind = lag(found.resource.attributes)
    if behind is None:
        what = f"DRS does not say how far replication lags ({render(allowed)} allowed)"
        return Shortcoming(found, Reason.LAG_UNKNOWN, what)
    if behind > allowed:
        what = f"replication lags by {render(behind)}, {render(allowed)} is allowed"
        return Shortcoming(found, Reason.LAG_ABOVE_OBJECTIVE, what)
    return None


def servers(resources: Iterable[Located]) -> list[Located]:
    """Those of the resources that replicate by DRS."""
    return [found for found in resources if found.resource.technology == "drs"]


def shortcomings(spec: RecoveryPlanSpec, resources: Iterable[Located]) -> list[Shortcoming]:
    """Every server that is not protected, in the order of the resources."""
    objective = span(spec.objectives.rpo)
    judged = (shortcoming(server, objective) for server in servers(resources))
    return [wrong for wrong in judged if wrong]


def told(wrong: Sequence[Shortcoming], show: int = 5) -> str:
    """What is wrong with the servers, for people: what is the same for many is said once."""
    groups: dict[str, list[str]] = {}
    for one in wrong:
        groups.setdefault(one.what, []).append(str(one.found))
    return some([f"{some(names, show)}: {what}" for what, names in groups.items()], show)


def behind(spec: RecoveryPlanSpec, resources: Iterable[Located]) -> LagRecord | None:
    """How far replication of the DRS servers among the resources is behind; None: there is none."""
    objective = span(spec.objectives.rpo)
    lags = [(lag(s.resource.attributes), s) for s in servers(resources)]
    if not lags:
        return None
    known = [(late, server) for late, server in lags if late is not None]
    worst = max(known, key=lambda pair: pair[0], default=None)
    allowed = ((late, minutes(s.resource.tags.get(RPO)) or objective) for late, s in known)
    return LagRecord(
        servers=len(lags),
        worst=render(worst[0]) if worst else None,
        worst_server=clip(worst[1].resource.name or worst[1].resource.id, 256) if worst else "",
        above=sum(most is not None and late > most for late, most in allowed),
        unknown=len(lags) - len(known),
    )


def recovered(found: Located) -> bool:
    """Whether the server has a recovery instance that no drill launched."""
    return has_instance(found.resource.attributes)


def unfinished(found: Located) -> bool:
    """Whether a failback launched the server at home, and nothing protects it there yet.

    Until the first source server protects what was launched, its recovery instance holds the only
    copy outside of the primary Region, and may still serve.
    """
    return half_home(found.resource.attributes)


def half_home(attributes: Mapping[str, str]) -> bool:
    """As `unfinished`, by what discovery noted."""
    home = attributes.get("failbackInstanceId")
    retired = bool(attributes.get("retiredInstanceId"))
    return retired and bool(home) and home != attributes.get("originInstanceId")


def has_instance(attributes: Mapping[str, str]) -> bool:
    """As `recovered`, by what discovery noted.

    An instance of which DRS does not say what it is counts: nothing is launched over it.
    """
    is_drill = attributes.get("recoveryInstanceDrill") == "true"
    return bool(attributes.get("recoveryInstanceId")) and not is_drill


def outdated(
    spec: RecoveryPlanSpec, inventories: Sequence[RecoveryInventory], now: datetime
) -> list[str]:
    """TargetAccounts whose inventory is too old to rely on, sorted.

    Too old means three intervals of discovery, and never less than 15 minutes.
    """
    interval = span(spec.discovery.interval) or timedelta()
    allowed = max(_OLD_AFTER * interval, _NEVER_OLD)
    return sorted(
        {
            inventory.spec.account
            for inventory in inventories
            if inventory.status.discovered_at
            and now - parse_time(inventory.status.discovered_at) > allowed
        }
    )
