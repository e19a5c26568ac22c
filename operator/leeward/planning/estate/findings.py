"""Findings of readiness checks: as many as fit are listed, and none is lost to a count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypedDict

from leeward.api.inventory import Finding, FurtherFindings, RecoveryInventory

SEVERITIES: Final = ("Blocking", "Degraded", "Warning")
"""The gravest first."""
_KINDS: Final = 100
_OF_ONE_KIND: Final = 5000


class Kept(TypedDict):
    """The fields of a RecoveryInventory's status that hold its findings."""

    findings: list[Finding]
    further: list[FurtherFindings]


def kept(findings: Iterable[Finding], most: int) -> Kept:
    """The first `most` in their order but the gravest first, and the others by kind.

    What refuses a run must not be lost behind hundreds of warnings.
    """
    ordered = sorted(findings, key=lambda f: SEVERITIES.index(f.severity))
    kinds: dict[tuple[str, str], list[Finding]] = {}
    for finding in ordered[most:]:
        kinds.setdefault((finding.severity, finding.reason), []).append(finding)
    further = [_further(some) for some in kinds.values()]
    return Kept(findings=ordered[:most], further=further[:_KINDS])


def all_of(inventory: RecoveryInventory) -> Iterator[Finding]:
    """Every finding; one that was not listed speaks with the words of the first of its kind."""
    yield from inventory.status.findings
    for kind in inventory.status.further:
        for resource in (*kind.resources, *[None] * kind.of_account):
            yield Finding(
                resource=resource, severity=kind.severity, reason=kind.reason, message=kind.message
            )


def _further(members: list[Finding]) -> FurtherFindings:
    first = members[0]
    named = [f.resource for f in members if f.resource is not None]
    return FurtherFindings(
        severity=first.severity,
        reason=first.reason,
        message=first.message,
        resources=named[:_OF_ONE_KIND],
        of_account=len(members) - len(named),
    )
