"""What readiness checks found in the estate, by kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from leeward.api.account import TargetAccount
from leeward.api.conditions import Type, find
from leeward.api.inventory import Finding, RecoveryInventory
from leeward.api.plan import RecoveryPlanSpec
from leeward.api.plan_record import AccountStatus, ReadinessProblem
from leeward.planning.estate.findings import SEVERITIES, all_of
from leeward.planning.estate.inventory import Located
from leeward.planning.estate.protection import unfinished
from leeward.planning.notifications import recipients
from leeward.planning.plans.named import Named, named_by
from leeward.planning.runs.explicit import resource_owners, run_accounts
from leeward.planning.wording import clip

NOT_ALLOWED: Final = "NotAllowedByName"
"""Reason: a role may not use what plans name."""
_MOST: Final = 40
_EXAMPLES: Final = 5

Kind = tuple[str, str]


def readiness(
    spec: RecoveryPlanSpec,
    inventories: Sequence[RecoveryInventory],
    resources: Sequence[Located],
    more: Iterable[ReadinessProblem] = (),
    unready: Iterable[ReadinessProblem] = (),
) -> list[ReadinessProblem]:
    """What stands against accounts (`unready`), then the findings by severity and reason, the
    gravest and most frequent first.

    Only findings about `resources` count, those about what explicit tasks name, those about an
    account as a whole, what stands against the plan's notifications, and `more`. The last entry
    counts those that have no room.
    """
    known = {
        (account, record): f"{record} ({account}, task {task})"
        for (account, record), task in resource_owners(spec).items()
    }
    known |= {(found.account, found.resource.id): str(found) for found in resources}
    kinds: dict[Kind, list[tuple[str, Finding]]] = {}
    for inventory in inventories:
        account = inventory.spec.account
        for finding in all_of(inventory):
            where: str | None = f"account {account}"
            if finding.resource is not None:
                where = known.get((account, finding.resource))
            if where is not None:
                kinds.setdefault((finding.severity, finding.reason), []).append((where, finding))
    problems = [
        *map(_problem, kinds.values()), *_half_home(resources), *recipients.findings(spec), *more
    ]  # fmt: skip
    found = [*unready, *sorted(problems, key=_rank)]
    return found if len(found) <= _MOST else [*found[: _MOST - 1], _rest(found[_MOST - 1 :])]


def _half_home(resources: Sequence[Located]) -> Iterator[ReadinessProblem]:
    """Servers whose failback ended on its way."""
    half = [str(found) for found in resources if unfinished(found)]
    if half:
        yield ReadinessProblem(
            severity="Warning",
            reason="FailbackUnfinished",
            count=len(half),
            examples=half[:_EXAMPLES],
            message="a failback launched them in the primary Region and is not through: nothing "
            "protects them there, and the recovery instances hold the newest data. A Failover "
            "keeps those, a Test is refused; go on with the Failback",
        )


def of_accounts(
    spec: RecoveryPlanSpec,
    accounts: Mapping[str, TargetAccount],
    own: Sequence[AccountStatus] = (),
) -> list[ReadinessProblem]:
    """What stands against the accounts that a run of the plan would use, as they say themselves.

    `own` is what the plan's status says of its accounts.
    """
    found = []
    for name in run_accounts(spec):
        account = accounts.get(name)
        if account is None:
            continue
        where = f"TargetAccount {name} ({account.spec.account_id})"
        ready = find(account.status.conditions, Type.READY)
        if ready is not None and ready.status == "False":
            why = account.status.message or ready.message or ready.reason
            found.append(_of_account("AccountNotReady", where, [why]))
        if lacking := refused(account, named_by(name, spec, own)):
            found.append(_of_account(NOT_ALLOWED, where, lacking))
    return found


def refused(account: TargetAccount, named: Named) -> list[str]:
    """What of these names the account's recovery role may not use, with the remedy."""
    arn = account.spec.recovery_role_arn
    remedy = "add it to the roles' template, or name another"
    return [
        f"{arn} lacks {one.action} for {one.message}: {remedy} (see docs/accounts.md)"
        for role in account.status.roles
        for one in role.refused
        if one.subject in named
    ]


def _of_account(reason: str, where: str, said: Sequence[str]) -> ReadinessProblem:
    return ReadinessProblem(
        severity="Blocking", reason=reason, count=len(said),
        examples=[where], message=clip(f"{where}: {said[0]}", 1024),
    )  # fmt: skip


def _problem(members: Sequence[tuple[str, Finding]]) -> ReadinessProblem:
    ordered = sorted(members, key=lambda member: (member[0], member[1].message))
    first = ordered[0][1]
    return ReadinessProblem(
        severity=first.severity,
        reason=first.reason,
        count=len(ordered),
        examples=list(dict.fromkeys(where for where, _ in ordered))[:_EXAMPLES],
        message=clip(first.message, 1024),
    )


def _rank(problem: ReadinessProblem) -> tuple[int, int, str]:
    return SEVERITIES.index(problem.severity), -problem.count, problem.reason


def _rest(problems: Sequence[ReadinessProblem]) -> ReadinessProblem:
    """One entry for those that have no room; it is as grave as the gravest of them."""
    return ReadinessProblem(
        severity=min((p.severity for p in problems), key=SEVERITIES.index),
        reason="More",
        count=sum(problem.count for problem in problems),
        message=f"and {len(problems)} more kinds; the RecoveryInventory objects list them",
    )
