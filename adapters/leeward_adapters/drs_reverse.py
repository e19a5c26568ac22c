"""Replicate: what serves now is replicated to where it came from.

After a failover the recovery instance is reversed, and a source server in the primary Region
begins to protect it: a full copy, which takes hours, or a rescan of volumes that are still there.
After a failback the instance in the primary Region is reversed in its turn, and the first source
server resumes with a rescan (DRS user guide, "Performing a failback").
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from leeward_adapters import (
    drs_instances,
    drs_into,
    drs_servers,
    drs_sides,
    drs_sources,
    drs_stale,
    ec2,
    quotas,
)
from leeward_adapters.base import Observed, Scope, Seen, State, Step, Target
from leeward_adapters.drs_instances import RecoveryInstance
from leeward_adapters.drs_sides import Raw
from leeward_adapters.ec2 import place
from leeward_adapters.errors import begun

REVERSE: Final = "reverse"
BATCH: Final = 10
REPLACED_TAG: Final = "leeward:replaced-by"
"""Tag of an EC2 instance that was the server until another took its place; the value is that
one's id."""
MOST_REPLICATING: Final = int(quotas.DRS_REPLICATING.documented)
"""Source servers that replicate into an account and Region at once (DRS service quota
L-C1D14A2B, which cannot be raised)."""
IRREVERSIBLE: Final = (
    "the copy that was begun goes on, and hurts nobody. Where it is not wanted, stop it by "
    "StopReplication of the source server that the task names as reference"
)


@dataclass(frozen=True, slots=True)
class _View:
    """What DRS says of both sides."""

    servers: Mapping[str, str]
    """By target: the source server here, whose recovery instance serves."""
    serving: Mapping[str, RecoveryInstance]
    """By target: that instance."""
    guards: Mapping[str, Raw]
    """By target: the source server there that protects the instance, or will."""
    replicating: int
    """Source servers that replicate into the account there; none counted where none is added."""


def observe(scope: Scope, step: Step) -> Observed:
    """Whether the other Region protects each server's instance.

    Args:
        scope: the Region that serves.
        step: `source_region` is the Region that is to protect it.
    """
    there = drs_sides.other_side(scope, step)
    view = _look(scope, there, step)
    seen = {t.id: _seen(scope, there, step, t, view) for t in step.targets}
    seen |= _unproved(there, seen, view)
    bare = _without_profile(scope, [s.reference for s in seen.values() if s.state is State.NEEDED])
    for target, one in seen.items():
        if one.state is State.NEEDED and one.reference in bare:
            seen[target] = _no_profile(scope, one.reference)
    if step.operation != "Failback":
        seen |= _not_allowed(scope, there, seen, view)
    room = max(MOST_REPLICATING - view.replicating, 0)
    reason = (
        f"{view.replicating} of at most {MOST_REPLICATING} source servers replicate into "
        f"{place(there)}"
    )
    return Observed(seen, room, reason)


def reverse(scope: Scope, step: Step, batch: Sequence[Target]) -> str:
    """One ReverseReplication for each server; answers the ids of the servers that protect them.

    DRS takes no client token here: the call is never repeated by botocore, and observe() sees by
    the protecting server whether it was heard. An instance that is not ready yet does not keep
    the others waiting.

    Raises:
        HTTPClientError: one call failed and AWS had taken others, so that there is doubt.
    """
    drs = scope.client("drs", once=True)
    before = {t.id: json.loads(step.pre_states[t.id]) for t in batch}
    _mark_replaced(scope, before.values())
    made: list[str] = []
    refusal: Exception | None = None
    for target in batch:
        instance = before[target.id]["recoveryInstanceId"]
        try:
            answer = drs.reverse_replication(recoveryInstanceID=instance)
        except (ClientError, BotoCoreError) as error:
            if _not_ready(error):
                refusal = refusal or error
            elif made:
                raise begun(error) from error
            else:
                raise
        else:
            made.append(answer.get("reversedDirectionSourceServerArn", "").rpartition("/")[2])
    if refusal is not None:
        raise refusal
    return " ".join(made)


def _not_ready(error: Exception) -> bool:
    if not isinstance(error, ClientError):
        return False
    return bool(error.response.get("Error", {}).get("Code") == "ConflictException")


def _mark_replaced(scope: Scope, before: Iterable[Mapping[str, str]]) -> None:
    """Tag each instance that another takes the place of, so that discovery leaves it out.

    It carries the tags of its server still, and from here on no source server protects it. Done
    first: only while the server protects it does AWS say which instance that is.
    """
    replaced = {b["replaces"]: b["recoveryInstanceId"] for b in before if b.get("replaces")}
    ec2_client = scope.client("ec2")
    for old in ec2.describe(ec2_client, replaced) if replaced else ():
        tag = {"Key": REPLACED_TAG, "Value": replaced[old]}
        ec2_client.create_tags(Resources=[old], Tags=[tag])


def _look(scope: Scope, there: Scope, step: Step) -> _View:
    ids = [t.id for t in step.targets]
    replicating = 0
    if step.operation == "Failback":
        # The original source server is still there and takes up where it was.
        back = drs_sides.reversed_of(drs_sides.listing(scope.client("drs")), step.targets)
        servers = {t: str(server["sourceServerID"]) for t, server in back.items()}
        guards: Mapping[str, Raw] = drs_sources.describe(there.client("drs"), ids)
    else:
        known = drs_sides.listing(there.client("drs"))
        servers, guards = {t: t for t in ids}, drs_sides.reversed_of(known, step.targets)
        replicating = sum(
            drs_sides.replication_state(s) not in drs_sides.NOT_REPLICATING for s in known
        )
    found = drs_instances.describe(scope.client("drs"), sorted(servers.values()))
    live = {t: drs_instances.production(found[server]) for t, server in servers.items()}
    return _View(
        servers=servers,
        serving={t: instance for t, instance in live.items() if instance is not None},
        guards=guards,
        replicating=replicating,
    )


def _seen(scope: Scope, there: Scope, step: Step, target: Target, view: _View) -> Seen:
    instance, guard = view.serving.get(target.id), view.guards.get(target.id)
    if instance is None:
        return Seen(
            State.REFUSED,
            reason="NoRecoveryInstance",
            message=f"{target.id} has no live recovery instance in {place(scope)} that could be "
            "replicated back: recover it first",
        )
    if instance.failed_back:
        return drs_stale.refused(scope, target.id, instance)
    state = drs_sides.replication_state(guard) if guard is not None else ""
    at_work = guard is not None and state not in drs_sides.NOT_REPLICATING
    if guard is not None and at_work and drs_into.follows(scope, guard, instance):
        return _followed(there, guard, instance)
    if instance.replicated:
        message = f"{instance.id} is being replicated; DRS in {place(there)} does not show it yet"
        return Seen(State.RUNNING, message=message, reference=instance.id)
    call = step.calls.get(target.id)
    if guard is not None and not at_work and call is not None and call.action == REVERSE:
        return _ended(there, guard, state, instance)
    replaces = drs_sides.protects(guard) if guard is not None else ""
    return _to_be_reversed(scope, there, instance, replaces)


def _followed(there: Scope, guard: Raw, instance: RecoveryInstance) -> Seen:
    server = str(guard["sourceServerID"])
    message = f"{server} in {place(there)} protects {instance.id}: {drs_sides.progress(guard)}"
    state = State.DONE if drs_sides.in_step(guard) else State.RUNNING
    return Seen(state, message=message, reference=server)


def _unproved(there: Scope, seen: Mapping[str, Seen], view: _View) -> dict[str, Seen]:
    """By target: of what says that it is in step, what has no point in time since it began."""
    done = {one.reference: t for t, one in seen.items() if one.state is State.DONE}
    since = {server: view.serving[t].reversed_at for server, t in done.items()}
    proved = drs_servers.with_points_since(there, since) if since else set()
    return {
        t: replace(
            seen[t],
            state=State.RUNNING,
            message=f"{seen[t].message}; no point in time of it yet since that began",
        )
        for server, t in done.items()
        if server not in proved
    }


def _not_allowed(
    scope: Scope, there: Scope, seen: Mapping[str, Seen], view: _View
) -> dict[str, Seen]:
    """By target: of what is to be protected for the first time, what DRS would not reverse."""
    fresh = [t for t, one in seen.items() if one.state is State.NEEDED and t not in view.guards]
    if not fresh or not drs_into.into_source(there, drs_into.FRESH):
        return {}
    servers = drs_sources.describe(scope.client("drs"), fresh)
    came_from = {seen[t].reference: drs_sides.protects(s) for t, s in servers.items()}
    barred = drs_into.not_allowed(there, came_from)
    return {
        t: drs_into.without_tag(there, seen[t].reference, barred[seen[t].reference])
        for t in fresh
        if seen[t].reference in barred
    }


def _ended(there: Scope, guard: Raw, state: str, instance: RecoveryInstance) -> Seen:
    server = str(guard["sourceServerID"])
    return Seen(
        State.FAILED,
        reason="ReplicationEnded",
        message=f"replication of {instance.id} by {server} in {place(there)} is {state}: somebody "
        "ended it. Retry to begin it again, with a full copy",
        reference=server,
    )


def _to_be_reversed(scope: Scope, there: Scope, instance: RecoveryInstance, replaces: str) -> Seen:
    if instance.state in {"STOPPED", "STOPPING"}:
        return Seen(
            State.REFUSED,
            reason="InstanceStopped",
            message=f"recovery instance {instance.id} in {place(scope)} is {instance.state}, so "
            "that its agent cannot replicate: start it, then retry",
            reference=instance.id,
        )
    if instance.state != "RUNNING":
        message = f"recovery instance {instance.id} is {instance.state}"
        return Seen(State.RUNNING, message=message, reference=instance.id)
    return Seen(
        State.NEEDED,
        action=REVERSE,
        message=f"{instance.id} is to be replicated to {place(there)}",
        reference=instance.id,
        pre_state=json.dumps(
            {
                "recoveryInstanceId": instance.id,
                "replaces": replaces if replaces != instance.id else "",
            }
        ),
    )


def _no_profile(scope: Scope, instance: str) -> Seen:
    return Seen(
        State.REFUSED,
        reason="NoInstanceProfile",
        message=f"recovery instance {instance} in {place(scope)} has no instance profile, so that "
        "its agent cannot speak to DRS: attach one whose role has the policy "
        "AWSElasticDisasterRecoveryRecoveryInstancePolicy, then retry",
        reference=instance,
    )


def _without_profile(scope: Scope, instances: Iterable[str]) -> set[str]:
    """Those that have no instance profile (DescribeIamInstanceProfileAssociations)."""
    wanted = sorted(instances)
    return set(wanted) - profiled(scope.client("ec2"), wanted)


def profiled(ec2: Any, instances: Sequence[str]) -> set[str]:
    """Those of the instances that have an instance profile."""
    found: set[str] = set()
    paginator = ec2.get_paginator("describe_iam_instance_profile_associations")
    for start in range(0, len(instances), 200):
        some = [{"Name": "instance-id", "Values": list(instances[start : start + 200])}]
        for page in paginator.paginate(Filters=some):
            found.update(
                one["InstanceId"]
                for one in page["IamInstanceProfileAssociations"]
                if one.get("State") in {"associating", "associated"}
            )
    return found
