"""AWS calls of a run beside the fewest with which it could have been done.

The fewest are the calls that change something, in batches as large as AWS takes them, and one
question per account, Region and service for each poll interval in which the run waited for that
service there.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from recovery import BATCH, Recovery

from leeward_sandbox.aws.ec2_states import STOPPING

Call = Mapping[str, Any]
_PER_SERVER = "UpdateLaunchConfiguration"
_BATCHED = frozenset({"StartRecovery", "StartInstances"})


def split(calls: Iterable[Call]) -> str:
    """Calls by operation, most frequent first."""
    counted = Counter(f"{c['service']}:{c['operation']}" for c in calls)
    return ", ".join(f"{n} {name}" for name, n in counted.most_common())


def fewest(calls: Sequence[Call], done: Recovery, poll: float) -> int:
    """How many calls the run needed.

    Args:
        calls: those that were made.
        done: what AWS did for them.
        poll: seconds of AWS's clock between two questions.
    """
    servers = Counter((launch.account, launch.wave) for launch in done.launches)
    batches = sum(math.ceil(n / BATCH) for n in servers.values())
    others = sum(
        1
        for c in calls
        if c["mutating"] and not c["error"] and c["operation"] not in {*_BATCHED, _PER_SERVER}
    )
    return servers.total() + len(_BATCHED) * batches + others + polls(calls, done, poll)


def polls(calls: Iterable[Call], done: Recovery, poll: float) -> int:
    """One for each interval in which a service of an account and Region was waited for."""
    waits: defaultdict[tuple[str, ...], list[tuple[datetime, datetime]]] = defaultdict(list)
    for launch in done.launches:
        waits["drs", launch.account].append((launch.asked, launch.ended))
    for start in done.starts:
        waits["ec2", start.account].append((start.asked, start.ended))
    for call in calls:
        if call["operation"] == "StopInstances" and not call["error"]:
            asked = datetime.fromisoformat(call["virtual_at"])
            where = ("ec2", call["account"], call["region"])
            waits[where].append((asked, asked + STOPPING))
    return sum(
        math.ceil((end - begin).total_seconds() / poll)
        for spans in waits.values()
        for begin, end in _merged(spans)
    )


def _merged(spans: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    merged: list[tuple[datetime, datetime]] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged
