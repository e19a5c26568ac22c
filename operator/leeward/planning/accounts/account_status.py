"""The status of a TargetAccount, from what was seen of its roles and of DRS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from leeward.api.account import (
    IssuedExternalId,
    RegionStatus,
    RoleStatus,
    TargetAccount,
    TargetAccountStatus,
)
from leeward.api.common import Condition
from leeward.api.conditions import Reason, Type, drop_condition, set_condition
from leeward.api.marks import unsupported
from leeward.planning.accounts.account_use import Use
from leeward.planning.problem import Problem
from leeward.planning.times import render_time
from leeward.planning.wording import some

_LONGEST: Final = 1024


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of an account."""

    roles: tuple[RoleStatus, ...]
    regions: tuple[RegionStatus, ...]
    use: Use
    issued: tuple[IssuedExternalId, ...]
    """External ids that Leeward issued; empty where somebody else's is used."""
    foreign_regions: tuple[str, ...] = ()
    """Regions of the spec, or of plans, that are not in the partition of the roles."""
    secret: str = ""
    """Why the external id of somebody else's making is not known."""


def status_of(target: TargetAccount, seen: Seen, now: datetime) -> TargetAccountStatus:
    """The whole status of `target`."""
    blocking = list(_blocking(target, seen))
    unknown = [] if blocking else list(_unknown(seen))
    degraded = list(_degraded(target, seen))
    problems = [*blocking, *unknown, *degraded]
    verdict: Literal["True", "False", "Unknown"] = "True"
    if blocking:
        verdict = "False"
    elif unknown:
        verdict = "Unknown"
    message = "; ".join(problem.message for problem in problems)[:_LONGEST]
    good = "both roles can be used, and may do what is needed"
    ready = Condition(
        type=Type.READY,
        status=verdict,
        reason=problems[0].reason if problems else Reason.VERIFIED,
        message=message or good,
        last_transition_time=render_time(now),
        observed_generation=target.metadata.generation,
    )
    conditions = set_condition(target.status.conditions, ready)
    conditions = drop_condition(conditions, Type.STALLED)
    if blocking:
        stalled = ready.model_copy(update={"type": Type.STALLED, "status": "True"})
        conditions = set_condition(conditions, stalled)
    return TargetAccountStatus(
        observed_generation=target.metadata.generation,
        conditions=conditions,
        external_ids=list(seen.issued),
        partition=target.spec.read_role_arn.split(":")[1],
        roles=list(seen.roles),
        regions=list(seen.regions),
        technologies=list(seen.use.technologies),
        last_checked_time=render_time(now),
        message=message or None,
        unsupported=unsupported(target.spec),
    )


def _blocking(target: TargetAccount, seen: Seen) -> Iterator[Problem]:
    """What keeps the account from being used, the root of the trouble first."""
    if seen.secret:
        yield Problem(Reason.EXTERNAL_ID_UNKNOWN, seen.secret)
    for role in seen.roles:
        if role.assumed == "No":
            yield Problem(Reason.ROLE_NOT_USABLE, role.message or "")
    if seen.foreign_regions:
        partition = target.spec.read_role_arn.split(":")[1]
        yield Problem(
            Reason.REGION_REFUSED,
            f"{', '.join(seen.foreign_regions)}: not in the partition {partition} of the roles; "
            "correct spec.regions, or use an account of that partition",
        )
    for role in seen.roles:
        if role.missing:
            yield Problem(Reason.PERMISSIONS_MISSING, _missing(target, role))
    for region in seen.regions:
        if region.drs == "NotInitialized" and "drs" in seen.use.technologies:
            yield Problem(
                Reason.DRS_NOT_INITIALIZED,
                f"DRS was never initialised in {target.spec.account_id}, {region.region}: see "
                f"`leeward drs check --account {target.metadata.name} --region {region.region}`",
            )


def _unknown(seen: Seen) -> Iterator[Problem]:
    for role in seen.roles:
        if role.assumed == "Unknown":
            yield Problem(Reason.NOT_VERIFIED, role.message or "")


def _degraded(target: TargetAccount, seen: Seen) -> Iterator[Problem]:
    """What a run could do with, and people should know."""
    for role in seen.roles:
        if role.external_id == "NotDemanded":
            yield Problem(
                Reason.DEGRADED,
                f"{_arn(target, role)} can be assumed without an external id, so that whoever may "
                "have Leeward assume roles may use it: its trust policy must demand sts:ExternalId",
            )
        if role.refused:
            first, more = role.refused[0], len(role.refused) - 1
            yield Problem(
                Reason.DEGRADED,
                f"{_arn(target, role)} lacks {first.action} for {first.message}"
                f"{f' (and {more} more, see status.roles)' if more else ''}, which a plan names: "
                "the plan cannot be recovered so; name it when the roles are made, see "
                "docs/accounts.md",
            )
    for region in seen.regions:
        if region.drs == "Unknown":
            yield Problem(Reason.DEGRADED, f"{region.region}: {region.message or 'DRS is silent'}")
        elif region.drs == "Initialized" and region.free_servers < 0:
            yield Problem(
                Reason.DEGRADED,
                f"{region.replicating_servers} source servers replicate into "
                f"{target.spec.account_id}, {region.region}, {-region.free_servers} more than "
                "spec.capacity.replicatingServers and AWS's quota allow: move some to another "
                "account",
            )


def _missing(target: TargetAccount, role: RoleStatus) -> str:
    return (
        f"{_arn(target, role)} lacks {some(role.missing)}: allow them, see `leeward iam policy "
        f"--account {target.spec.account_id}`"
    )


def _arn(target: TargetAccount, role: RoleStatus) -> str:
    spec = target.spec
    return spec.read_role_arn if role.use == "Read" else spec.recovery_role_arn


def free_servers(target: TargetAccount, quota: int, replicating: int) -> int:
    """How many more source servers may replicate in one Region; below zero: too many do."""
    wanted = target.spec.capacity.replicating_servers if target.spec.capacity else quota
    return min(wanted, quota) - replicating


def unverified(roles: Sequence[RoleStatus]) -> bool:
    """Whether it is worth to look again soon, because AWS did not answer."""
    return any(role.assumed == "Unknown" for role in roles)
