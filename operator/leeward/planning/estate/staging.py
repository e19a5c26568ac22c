"""Which staging accounts the servers of each wave replicate into, and which find no room there.

An account takes 300 replicating servers (AWS's quota L-C1D14A2B) or what its TargetAccount allows,
so that an estate is spread over several, as a rule one or more for each tier. The assignment stands
on the plan, because the tier of a server is its wave, and TargetAccounts are shared by tenants.
Leeward assigns and reports: agents are installed, and replication is moved, on the servers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from leeward.api.account import TargetAccount
from leeward.api.plan import RecoveryPlanSpec, Wave
from leeward.api.plan_record import ReadinessProblem
from leeward.planning.estate.inventory import Located
from leeward.planning.wording import clip, counted, some

UNPROTECTED = "NoSourceServer"
"""Of a resource's problems: it is to be recovered by DRS, and nothing replicates it."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """Where the servers of a wave that do not replicate yet are to go."""

    wave: str
    into: Mapping[str, Sequence[Located]]
    """By TargetAccount, in the order in which they are filled."""
    without: Sequence[Located]
    """Those that find no room in any of the wave's accounts."""


def assign(
    spec: RecoveryPlanSpec, accounts: Mapping[str, TargetAccount], found: Sequence[Located]
) -> list[Assigned]:
    """The servers without replication, wave by wave, into accounts that have room.

    A wave without staging accounts of its own uses the account that a server is in. An account of
    which it is not known how many servers it takes is taken to have room: readiness says apart
    from this what is not known.

    Args:
        spec: the plan.
        accounts: TargetAccounts by name.
        found: everything that was found.
    """
    free = {name: _free(accounts.get(name), spec.regions.recovery) for name in _names(spec)}
    return [
        _of_wave(wave, waiting, free)
        for wave in spec.waves
        if (waiting := sorted((f for f in found if _waits(f, wave)), key=_by_arn))
    ]


def problems(
    spec: RecoveryPlanSpec, accounts: Mapping[str, TargetAccount], found: Sequence[Located]
) -> Iterator[ReadinessProblem]:
    """Servers that replicate elsewhere than their wave's accounts, and those without room."""
    for wave in spec.waves:
        if strangers := _elsewhere(wave, found):
            wanted = ", ".join(wave.staging_accounts)
            message = (
                f"{counted(len(strangers), 'server')} of wave {wave.name} replicate into other "
                f"accounts than its staging accounts {wanted}: install their agents anew with a "
                "role of these, or correct stagingAccounts"
            )
            yield _warning("OtherStagingAccount", strangers, message)
    for one in assign(spec, accounts, found):
        if one.without:
            yield _warning("StagingFull", one.without, _no_room(spec, one))


def _no_room(spec: RecoveryPlanSpec, one: Assigned) -> str:
    placed = [f"{len(servers)} in {name}" for name, servers in one.into.items() if servers]
    many = len(one.without) + sum(map(len, one.into.values()))
    return (
        f"{counted(many, 'server')} of wave {one.wave} have no replication yet; in "
        f"{spec.regions.recovery} there is room for {some(placed) or 'none'}, and for "
        f"{some([str(found) for found in one.without])} there is none in {', '.join(one.into)}: "
        "raise quota L-C1D14A2B or spec.capacity.replicatingServers of these TargetAccounts, or "
        "give the wave another staging account"
    )


def _names(spec: RecoveryPlanSpec) -> list[str]:
    return [ref.name for ref in spec.accounts]


def _free(account: TargetAccount | None, region: str) -> int | None:
    """How many more servers it takes there; None: not known."""
    regions = account.status.regions if account else []
    seen = next((r for r in regions if r.region == region and r.drs == "Initialized"), None)
    return max(seen.free_servers, 0) if seen else None


def _waits(found: Located, wave: Wave) -> bool:
    told = found.resource.problems
    return found.resource.wave == wave.name and any(p.startswith(UNPROTECTED) for p in told)


def _by_arn(found: Located) -> str:
    return found.resource.arn


def _of_wave(wave: Wave, waiting: Sequence[Located], free: dict[str, int | None]) -> Assigned:
    """Fills the accounts in their order; `free` is what is left of them, and is counted down."""
    into: dict[str, list[Located]] = {name: [] for name in wave.staging_accounts}
    without = []
    for server in waiting:
        choice = wave.staging_accounts or [server.account]
        name = next((n for n in choice if free.get(n) is None or free[n]), None)
        for one in choice:
            into.setdefault(one, [])
        if name is None:
            without.append(server)
            continue
        into[name].append(server)
        left = free.get(name)
        if left is not None:
            free[name] = left - 1
    return Assigned(wave.name, into, without)


def _elsewhere(wave: Wave, found: Sequence[Located]) -> list[Located]:
    if not wave.staging_accounts:
        return []
    return [
        f
        for f in found
        if f.resource.wave == wave.name
        and f.resource.technology == "drs"
        and f.resource.verdict == "Selected"
        and f.account not in wave.staging_accounts
    ]


def _warning(reason: str, servers: Sequence[Located], message: str) -> ReadinessProblem:
    return ReadinessProblem(
        severity="Warning",
        reason=reason,
        count=len(servers),
        examples=[str(server) for server in servers[:5]],
        message=clip(message, 1024),
    )
