"""The tag report of a plan in short (TRS T.9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from leeward.api.plan_record import Compliance, ComplianceProblem
from leeward.planning.estate.inventory import Located
from leeward.planning.estate.taxonomy import ENABLED, Words
from leeward.planning.wording import clip

_MOST: Final = 30
_EXAMPLES: Final = 5


def report(resources: Sequence[Located], words: Words) -> Compliance:
    """How many resources have their tags in order, and what is wrong with the others, by kind."""
    verdicts = [found.resource.verdict for found in resources]
    return Compliance(
        compliant=sum(_in_order(found) for found in resources),
        excluded=sum(verdict in ("Excluded", "NoWave") for verdict in verdicts),
        not_enrolled=verdicts.count("NotEnrolled"),
        problems=_problems(resources, words),
    )


def _in_order(found: Located) -> bool:
    return found.resource.tags.get(ENABLED) == "true" and not found.resource.problems


def _problems(resources: Sequence[Located], words: Words) -> list[ComplianceProblem]:
    kinds: dict[str, list[str]] = {}
    for found in resources:
        for line in found.resource.problems:
            kinds.setdefault(line.partition(":")[0], []).append(str(found))
    ordered = sorted(kinds.items(), key=lambda kind: (-len(kind[1]), kind[0]))
    result = [
        ComplianceProblem(
            reason=clip(reason, 63),
            count=len(names),
            examples=sorted(names)[:_EXAMPLES],
            remedy=clip(words.remedy(reason), 1024),
        )
        for reason, names in ordered
    ]
    if len(result) <= _MOST:
        return result
    rest = result[_MOST - 1 :]
    remedy = f"and {len(rest)} more kinds; the RecoveryInventory objects list them"
    more = ComplianceProblem(reason="More", count=sum(p.count for p in rest), remedy=remedy)
    return [*result[: _MOST - 1], more]
