"""Launches into an existing instance, of which DRS may think by itself.

With "launch into source instance" among the default launch settings of an account and Region
(`launchIntoSourceInstance` of its launch configuration template), DRS sets what comes back to the
Region to launch into the instance that it once came from. Such a launch writes over that instance,
and leaves one with the same id, so that an id alone no longer tells what a server protects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from leeward_adapters import drs_lists, drs_settings, drs_sides
from leeward_adapters.base import Finding, Scope, Seen, State, Target
from leeward_adapters.drs_instances import RecoveryInstance
from leeward_adapters.drs_sides import Raw
from leeward_adapters.ec2 import place

_TAG: Final = ("AWSDRS", "AllowLaunchingIntoThisInstance")
"""What DRS demands of an instance that it is to launch into (DRS user guide)."""
FRESH: Final = 20.0
"""Seconds for which a launch believes what it read of these settings."""
_READY: Final = 900.0
"""The same for readiness."""
OFF: Final = (
    "set Launch into instance to none in the launch settings of that server, and where Launch into "
    "source instance is on in the default launch settings, switch it off (DRS console)"
)


def refused(scope: Scope, servers: Sequence[str]) -> dict[str, Seen]:
    """By server: that a failback would write over an instance.

    Args:
        scope: the Region that is failed back to.
        servers: reversed source servers there that are to be launched. A plan names no instances
            of the primary Region.
    """
    return {s: _refused(scope, s, into) for s, into in _into(scope, servers, FRESH).items()}


def _refused(scope: Scope, server: str, into: str) -> Seen:
    return Seen(
        State.REFUSED,
        reason="LaunchesIntoInstance",
        message=f"{server} in {place(scope)} would be launched into {into}, and the launch would "
        f"write over that: {OFF}. Then retry",
        reference=server,
    )


def _into(scope: Scope, servers: Sequence[str], fresh: float) -> dict[str, str]:
    """By server: what it would be launched into, in words where DRS chooses by itself."""
    if not servers:
        return {}
    found: dict[str, str] = {}
    by_itself = into_source(scope, fresh)

    def ask(server: str) -> None:
        config = drs_settings.configuration_of(scope, server, fresh)
        into = drs_settings.launches_into(config)
        if into or by_itself:
            found[server] = into or "the instance that it came from"

    scope.each(ask, servers)
    return found


def into_source(scope: Scope, fresh: float) -> bool:
    """Whether DRS there launches what comes back into the instance that it came from."""

    def ask() -> bool:
        templates = drs_lists.items(scope.client("drs"), "describe_launch_configuration_templates")
        return any(template.get("launchIntoSourceInstance", False) for template in templates)

    return scope.cached(("drs-into-source",), fresh, ask)


# -- reversing --------------------------------------------------------------------------------


def not_allowed(there: Scope, originals: Mapping[str, str]) -> dict[str, str]:
    """Instances that cannot be reversed, since DRS may not launch into what they came from.

    Args:
        there: the Region in which they are to be protected.
        originals: by instance, the one there that it came from; empty: none.

    Returns:
        The same, of those whose original is there without the tag that DRS demands, if it is to
        launch into that (`into_source`).
    """
    known = {i: o for i, o in originals.items() if o}
    listed = _with_state(there, set(known.values()))
    return {i: o for i, o in known.items() if listed.get(o) is False}


def without_tag(there: Scope, instance: str, original: str) -> Seen:
    """What Replicate says of one of `not_allowed`."""
    return Seen(
        State.REFUSED,
        reason="LaunchIntoNotAllowed",
        message=f"DRS in {place(there)} launches what comes back into the instance that it came "
        f"from, and {original} does not have the tag {_TAG[0]}={_TAG[1]}, so that DRS does not "
        f"reverse {instance}. Switch off Launch into source instance in the default launch "
        "settings of DRS there, then retry",
        reference=instance,
    )


def _with_state(scope: Scope, instances: Iterable[str]) -> dict[str, bool]:
    """Of instances that are there: whether DRS may launch into them."""
    found: dict[str, bool] = {}
    wanted = sorted(instances)
    paginator = scope.client("ec2").get_paginator("describe_instances")
    for start in range(0, len(wanted), 200):
        some = [{"Name": "instance-id", "Values": wanted[start : start + 200]}]
        for page in paginator.paginate(Filters=some):
            for one in (i for r in page["Reservations"] for i in r["Instances"]):
                tags = {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])}
                if one["State"]["Name"] not in {"shutting-down", "terminated"}:
                    found[one["InstanceId"]] = tags.get(_TAG[0]) == _TAG[1]
    return found


def follows(scope: Scope, guard: Raw, instance: RecoveryInstance) -> bool:
    """Whether a server protects this very instance, and not what was there before it.

    Where the instance was launched into an existing one, what was there before has the same id. So
    what DRS says of the instance's own replication counts, and its id only where nothing could
    have been launched into it.

    Args:
        scope: account and Region of the instance.
        guard: the source server in the other Region.
        instance: what was launched.
    """
    if instance.replicated:
        return True
    if drs_sides.protects(guard) != instance.id:
        return False
    if instance.reversed_at:
        return True
    tagged: dict[str, bool] = _with_state(scope, [instance.id])
    return not tagged.get(instance.id, False)


# -- readiness --------------------------------------------------------------------------------


def readiness(
    primary: Scope,
    targets: Sequence[Target],
    back: Mapping[str, Raw],
    originals: Mapping[str, str],
) -> list[Finding]:
    """What would be written over by a failback, and what cannot be reversed.

    Args:
        primary: the primary Region.
        targets: servers that serve in the recovery Region.
        back: their reversed servers, by target.
        originals: by target, the instance that it was launched from.
    """
    reversed_ids = {t.id: str(back[t.id]["sourceServerID"]) for t in targets if t.id in back}
    into = _into(primary, sorted(reversed_ids.values()), _READY)
    findings = [
        Finding(
            "Warning",
            "LaunchesIntoInstance",
            f"{server} in {place(primary)}, which protects what serves for {target}, would be "
            f"launched into {into[server]}, so that a Failback is refused: {OFF}",
            target,
        )
        for target, server in reversed_ids.items()
        if server in into
    ]
    waiting = {t.id: originals.get(t.id, "") for t in targets if t.id not in back}
    barred = not_allowed(primary, waiting) if waiting and into_source(primary, _READY) else {}
    for target, original in barred.items():
        message = without_tag(primary, f"what serves for {target}", original).message
        findings.append(Finding("Warning", "LaunchIntoNotAllowed", message, target))
    return findings
