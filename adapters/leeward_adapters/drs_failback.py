"""Failback by DRS: launching in the primary Region what protects the recovery instances.

It is a launch like any other, of the reversed source servers, so that it is done by the same code.
What is different is said here: which server stands for which, that its first copy must be whole,
and which recovery instance must not be adopted. Only the primary Region need answer, unless there
is an instance already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from leeward_adapters import (
    drs_fenced,
    drs_instances,
    drs_into,
    drs_outdated,
    drs_sides,
    drs_stale,
)
from leeward_adapters.base import (
    NOT_SYNCHRONISED,
    Observed,
    Phase,
    Scope,
    Seen,
    State,
    Step,
    Target,
)
from leeward_adapters.drs_sides import Raw
from leeward_adapters.ec2 import place

Look = Callable[[Scope, Step], Observed]
_PHASES: Final = frozenset({Phase.INSTANTIATE, Phase.ACTIVATE})


def applies(step: Step) -> bool:
    """Whether the step works on the reversed source servers of its targets."""
    return step.operation == "Failback" and step.phase in _PHASES


def observe(scope: Scope, step: Step, look: Look) -> Observed:
    """What `look` sees of the reversed servers, told of the step's targets.

    Args:
        scope: the primary Region.
        step: targets are source servers of the recovery Region.
        look: observe() or verify() of an ordinary launch or activation.
    """
    back = _reversed(scope, step)
    inner = drs_sides.as_seen_there(step, back)
    found = look(scope, inner) if inner.targets else Observed({})
    told = {**found.targets, **_judged(scope, inner, back, found.targets)}
    seen = {
        t.id: told[str(back[t.id]["sourceServerID"])]
        if t.id in back
        else drs_sides.not_reversed(scope, t)
        for t in step.targets
    }
    return replace(found, targets=seen)


def translated(scope: Scope, step: Step, batch: Sequence[Target]) -> tuple[Step, list[Target]]:
    """Step and batch with the reversed source servers in place of the targets."""
    back = _reversed(scope, step)
    wanted = drs_sides.as_seen_there(replace(step, targets=tuple(batch)), back)
    return drs_sides.as_seen_there(step, back), list(wanted.targets)


def release(scope: Scope, step: Step, batch: Sequence[Target]) -> str:
    """Let DRS forget the instances that are from before the last change of sides."""
    if not applies(step):
        return drs_stale.release(scope, step, None, [t.id for t in batch])
    back = _reversed(scope, replace(step, targets=tuple(batch)))
    servers = {str(server["sourceServerID"]): server for server in back.values()}
    return drs_stale.release(scope, step, servers, sorted(servers))


def _reversed(scope: Scope, step: Step) -> dict[str, Raw]:
    return drs_sides.reversed_of(drs_sides.shared_listing(scope, step.since), step.targets)


def _judged(
    scope: Scope, inner: Step, back: Mapping[str, Raw], seen: Mapping[str, Seen]
) -> dict[str, Seen]:
    """What must not be launched from, and what must not be adopted, nor started."""
    servers = {str(server["sourceServerID"]): server for server in back.values()}
    names = {str(server["sourceServerID"]): target for target, server in back.items()}
    sources = {s: drs_sides.protects(raw) for s, raw in servers.items()}
    if inner.phase is not Phase.INSTANTIATE:
        stopped = [s for s, one in seen.items() if one.state is State.NEEDED]
        launched = drs_instances.to_start(scope, inner, stopped) if stopped else {}
        return drs_outdated.refused(scope, inner, names, sources, launched)
    # A launch that is about to be asked for; one that was asked for already says more.
    wanted = [s for s, one in seen.items() if one.state is State.NEEDED]
    asked = [s for s in wanted if s not in inner.accepted]
    told = {
        s: _incomplete(scope, s, names[s], servers[s])
        for s in asked
        if not drs_sides.copied(servers[s])
    }
    due = [s for s in wanted if s not in told and seen[s].action != drs_stale.RELEASE]
    told |= drs_into.refused(scope, due)
    whole = {s: one for s, one in seen.items() if s not in told}
    told |= drs_fenced.before_launch(scope, inner, whole, names, sources)
    adopted = [s for s, one in seen.items() if one.reason == "Adopted"]
    if not adopted:
        return told
    live = drs_instances.launched(scope, adopted)
    old = drs_stale.before_failover(drs_sides.other_side(scope, inner), servers, live)
    told |= {s: drs_stale.release_needed(scope, s, live[s]) for s in old}
    rest = {s: i for s, i in live.items() if s not in old}
    return told | drs_outdated.refused(scope, inner, names, sources, rest)


def _incomplete(scope: Scope, server: str, name: str, raw: Raw) -> Seen:
    return Seen(
        State.REFUSED,
        reason=NOT_SYNCHRONISED,
        message=f"{server} in {place(scope)} does not hold all of {drs_sides.protects(raw)} "
        f"({drs_sides.progress(raw)}): a launch would lose what was written since the failover. "
        "Start that instance again if it is fenced, let the copy end, then retry; "
        f"`accept-data-loss` of {name} launches the newest point in time that there is",
        reference=server,
    )
