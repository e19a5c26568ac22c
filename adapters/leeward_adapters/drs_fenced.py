"""What a Planned run stopped on the side that is left, looked at again before it goes on.

Between the proof that nothing writes there and the launch, or the start, people may be waited for.
Whoever starts such an instance by hand meanwhile has it write what no launch holds, and once the
other side is started both serve.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from leeward_adapters import drs_sides, ec2
from leeward_adapters.base import SOURCE_RESTARTED, Phase, Scope, Seen, State, Step
from leeward_adapters.drs_instances import RecoveryInstance
from leeward_adapters.drs_launch import LAUNCH
from leeward_adapters.ec2 import place

_WRITING: Final = frozenset({"pending", "running", "stopping"})
"""States of an instance that writes, or may still."""


def look(there: Scope, step: Step, ids: Iterable[str]) -> dict[str, ec2.Instance] | None:
    """What EC2 says now of instances that are left; None: an Unplanned run got no answer.

    The call begins after the question, and is one for all that ask meanwhile. An Unplanned run
    asks once: a Region that is lost holds nothing up.

    Args:
        there: the Region that is left.
        step: the step.
        ids: of instances.
    """
    ask = partial(ec2.describe, there.client("ec2", once=step.unplanned))
    try:
        return there.views.look_up(("ec2-left", step.unplanned), ids, None, ask)
    except (ClientError, BotoCoreError):
        if not step.unplanned:
            raise
        return None


def stays(step: Step, source: str) -> bool:
    """Whether the run counts on it that the instance was stopped and still is.

    An Unplanned one launches beside its fencing, and counts on nothing.
    """
    return not step.unplanned and source in step.fenced


def before_launch(
    scope: Scope,
    step: Step,
    seen: Mapping[str, Seen],
    names: Mapping[str, str],
    sources: Mapping[str, str],
) -> dict[str, Seen]:
    """By server: that it is not launched unasked, since what it replicates runs again.

    One question where something is about to be launched, else none. Nothing is said of a launch
    that may be under way.

    Args:
        scope: the Region that is recovered into.
        step: `source_region` is the one that is left.
        seen: what the launch itself says, by source server in the scope's Region.
        names: what the targets are called, by the same.
        sources: the instances that the servers replicate, by the same.
    """
    wanted = {
        s: sources[s]
        for s, one in seen.items()
        if one.state is State.NEEDED
        and one.action == LAUNCH
        and s not in step.accepted
        and stays(step, sources.get(s, ""))
        and not (s in step.calls and step.calls[s].action == LAUNCH)
    }
    if not wanted:
        return {}
    found = look(drs_sides.other_side(scope, step), step, sorted({*wanted.values()})) or {}
    return {
        s: refused(scope, step, names[s], found[source])
        for s, source in wanted.items()
        if source in found and writes(found[source])
    }


def writes(instance: ec2.Instance | None) -> bool:
    """Whether the instance writes, or may still."""
    return instance is not None and instance.state in _WRITING


def refused(
    scope: Scope,
    step: Step,
    name: str,
    source: ec2.Instance,
    launched: RecoveryInstance | None = None,
) -> Seen:
    """What is said of a server whose source runs again.

    Args:
        scope: the Region that is recovered into.
        step: the step.
        name: what the target is called.
        source: the instance that it replicates.
        launched: what would be adopted or started; None: it is to be launched.
    """
    there = drs_sides.other_side(scope, step)
    since = f" since {source.launched:%FT%TZ}" if source.launched is not None else ""
    if launched is None:
        lost = "what it writes after the launch would be lost"
        retried, otherwise = "launches the newest data", f"launches {name} all the same"
    else:
        verb = "adopts" if step.phase is Phase.INSTANTIATE else "starts"
        lost = f"what it writes is not in {launched.id} in {place(scope)}"
        retried, otherwise = "looks for what it wrote", f"{verb} {launched.id} as it is"
    return Seen(
        State.REFUSED,
        reason=SOURCE_RESTARTED,
        message=f"instance {source.id} of {name} in {place(there)} was stopped by this run and is "
        f"{source.state} again{since}: {lost}, and both sides would serve. Find out what started "
        f"it, stop it there (ec2 stop-instances), then `retry`, which {retried}; "
        f"`accept-data-loss` {otherwise}",
        reference=source.id if launched is None else launched.id,
    )
