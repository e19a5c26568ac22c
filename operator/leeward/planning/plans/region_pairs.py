"""Between which Regions plans may move, where the installation says so."""

from __future__ import annotations

from collections.abc import Iterator

from leeward.api.plan import RecoveryPlan
from leeward.planning.problem import Problem

Pairs = frozenset[tuple[str, str]]
"""Primary and recovery Region. Empty: any two in which the services exist."""


def parse(text: str) -> Pairs:
    """`us-east-1:us-east-2,eu-west-1:eu-central-1`. Raises ValueError."""
    pairs = set()
    for part in filter(None, (p.strip() for p in text.split(","))):
        primary, colon, recovery = (p.strip() for p in part.partition(":"))
        if not (primary and colon and recovery) or primary == recovery:
            raise ValueError(f"{part!r} is not a pair of different Regions, PRIMARY:RECOVERY")
        pairs.add((primary, recovery))
    return frozenset(pairs)


def problems(plan: RecoveryPlan, allowed: Pairs) -> Iterator[Problem]:
    """Why the plan may not move between its Regions."""
    regions = plan.spec.regions
    if allowed and (regions.primary, regions.recovery) not in allowed:
        known = ", ".join(":".join(pair) for pair in sorted(allowed))
        yield Problem(
            "RegionPairRefused",
            f"from {regions.primary} to {regions.recovery} is not among the pairs of Regions that "
            f"this installation allows ({known}): choose another, or ask a platform administrator "
            "for LEEWARD_REGION_PAIRS",
        )
