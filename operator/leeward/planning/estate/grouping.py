"""What a plan recovers, counted by what people sort it by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from leeward.api.plan_record import GroupCount
from leeward.planning.estate import taxonomy
from leeward.planning.estate.inventory import Located
from leeward.planning.estate.taxonomy import Words

By = Literal["Wave", "Priority", "Strategy", "Application"]
OTHERS: Final = "others"
_MOST: Final[Mapping[By, int]] = {"Wave": 20, "Priority": 15, "Strategy": 15, "Application": 100}
"""Together as many as `status.groups` holds."""


def groups(selected: Sequence[Located], waves: Sequence[str], words: Words) -> list[GroupCount]:
    """Resources that an execution would recover, by wave, priority, strategy and application.

    Waves in the plan's order, priorities in the order of urgency, all else the largest first.
    """
    return [
        *_counted("Wave", selected, lambda f: f.resource.wave or "", waves),
        *_counted("Priority", selected, _tag(taxonomy.PRIORITY), words.priorities),
        *_counted("Strategy", selected, _tag(taxonomy.STRATEGY), ()),
        *_counted("Application", selected, _tag(taxonomy.APPLICATION), ()),
    ]


def _tag(key: str) -> Callable[[Located], str]:
    return lambda found: found.resource.tags.get(key, "")


def _counted(
    by: By,
    selected: Sequence[Located],
    value: Callable[[Located], str],
    order: Sequence[str],
) -> list[GroupCount]:
    places = {name: place for place, name in enumerate(order)}
    counts = sorted(
        Counter(map(value, selected)).items(),
        key=lambda pair: (places.get(pair[0], len(places)), -pair[1], pair[0]),
    )
    listed = [GroupCount(by=by, name=name, count=count) for name, count in counts]
    if len(listed) <= _MOST[by]:
        return listed
    shown, rest = listed[: _MOST[by] - 1], listed[_MOST[by] - 1 :]
    return [*shown, GroupCount(by=by, name=OTHERS, count=sum(g.count for g in rest))]
