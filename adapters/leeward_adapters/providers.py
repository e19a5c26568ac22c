"""Who is asked for the tagged resources of an account: one of three, for each Region.

Resource Explorer answers for all Regions at once, where its aggregator index is. What it does not
cover is asked of the Tagging API in that Region, and where that is not allowed either, of the
services themselves. A Region that cannot be reached is not asked twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's name
    HTTPClientError,
    NoCredentialsError,
)

from leeward_adapters import describing, resource_explorer, tagging
from leeward_adapters.base import Scope
from leeward_adapters.ec2 import place
from leeward_adapters.errors import classify
from leeward_adapters.resource_explorer import TYPES, Resource

Provider = Literal["ResourceExplorer", "TaggingApi", "Describe"]
PROVIDERS: Final[tuple[Provider, ...]] = ("ResourceExplorer", "TaggingApi", "Describe")
"""All of them, in the order in which they are asked unless a plan says otherwise."""
PERMISSIONS: Final = resource_explorer.PERMISSIONS | tagging.PERMISSIONS | describing.PERMISSIONS

_BY_REGION: Final[Mapping[str, Callable[[Scope], list[Resource]]]] = {
    "TaggingApi": tagging.get_resources,
    "Describe": describing.describe,
}


@dataclass(frozen=True, slots=True)
class Explored:
    """The tagged resources of an account."""

    resources: tuple[Resource, ...]
    used: tuple[tuple[str, str], ...]
    """Which provider answered, for which Region."""
    problems: tuple[str, ...] = ()
    """Why Regions are missing; empty: none is."""
    notes: tuple[str, ...] = ()
    """Why others than the first provider were asked, and what may not work on the day of need."""
    aggregators: frozenset[str] = frozenset()
    """Regions whose index of Resource Explorer was seen to cover all Regions."""


def explore(
    aws_scope: Callable[[str], Scope],
    regions: Sequence[str],
    providers: Sequence[str] = PROVIDERS,
    aggregators: frozenset[str] = frozenset(),
) -> Explored:
    """The tagged resources of those Regions.

    Args:
        aws_scope: the account in a Region, through its read role.
        regions: the primary Region first, the recovery Region last.
        providers: whom to ask, in order of preference.
        aggregators: Regions whose index is known to cover all; it is not looked at again.
    """
    tour = _Tour(aws_scope, tuple(dict.fromkeys(reversed(regions))), aggregators)
    for provider in providers or PROVIDERS:
        if tour.missing:
            tour.ask(provider)
    return tour.result()


@dataclass
class _Tour:
    """One look, provider by provider; the recovery Region comes first."""

    aws_scope: Callable[[str], Scope]
    regions: tuple[str, ...]
    aggregators: frozenset[str]
    found: dict[str, Resource] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    unreachable: set[str] = field(default_factory=set)
    used: dict[str, str] = field(default_factory=dict)
    failed: dict[str, list[str]] = field(default_factory=dict)
    """By Region: what its providers said instead of answering."""
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.missing = set(self.regions)

    def ask(self, provider: str) -> None:
        for region in self.regions:
            if region not in self.missing or region in self.unreachable:
                continue
            scope = self.aws_scope(region)
            try:
                found, covered = self._answer(provider, scope)
            except (ClientError, BotoCoreError) as error:
                self.failed.setdefault(region, []).append(_silent(provider, scope, error))
                if _account_closed(error):
                    self.unreachable |= set(self.regions)
                elif _unreachable(error):
                    self.unreachable.add(region)
                continue
            self.found |= {r.arn: r for r in found}
            self.used |= dict.fromkeys(covered & self.missing, provider)
            self.missing -= covered
            self._remark(provider, scope, covered)

    def _answer(self, provider: str, scope: Scope) -> tuple[list[Resource], set[str]]:
        if provider != "ResourceExplorer":
            return _BY_REGION[provider](scope), {scope.region}
        found = resource_explorer.list_resources(scope, self.regions)
        if scope.region not in self.aggregators and resource_explorer.aggregates(scope):
            self.aggregators |= {scope.region}
        covers_all = scope.region in self.aggregators
        return found, set(self.regions) if covers_all else {scope.region}

    def _remark(self, provider: str, scope: Scope, covered: set[str]) -> None:
        if provider == "ResourceExplorer" and covered != set(self.regions):
            if scope.region == self.regions[0]:
                self.notes.append(
                    f"the Resource Explorer index in {place(scope)} sees its own Region only: "
                    f"make the one in {scope.region} the aggregator, or the inventory needs the "
                    "other Region"
                )
        elif provider == "Describe":
            unseen = ", ".join(sorted(TYPES.keys() - describing.SEEN))
            self.notes.append(f"Describe in {place(scope)} does not see {unseen}")

    def result(self) -> Explored:
        problems = [text for r in self.regions if r in self.missing for text in self._said(r)]
        overcome = [
            text
            for r in self.regions
            if r not in self.missing
            for text in self._said(r)
            if text not in problems
        ]
        return Explored(
            resources=tuple(self.found.values()),
            used=tuple((self.used[r], r) for r in self.regions if r in self.used),
            problems=tuple(dict.fromkeys(problems)),
            notes=tuple(dict.fromkeys((*overcome, *self.notes))),
            aggregators=self.aggregators,
        )

    def _said(self, region: str) -> list[str]:
        """Why the Region is missing; where the account is closed, one Region speaks for all."""
        told = self.failed.get(region)
        return told or [text for texts in self.failed.values() for text in texts]


def _account_closed(error: Exception) -> bool:
    """Whether no call at all can be made: there is no identity to make it with."""
    assumed = isinstance(error, ClientError) and error.operation_name == "AssumeRole"
    return assumed or isinstance(error, NoCredentialsError)


def _unreachable(error: Exception) -> bool:
    return isinstance(error, ConnectionError | HTTPClientError)


def _silent(provider: str, scope: Scope, error: ClientError | BotoCoreError) -> str:
    fault = classify(error)
    head = f"{provider} in {place(scope)} did not answer: {fault.code}: {fault.message}"
    if provider == "ResourceExplorer" and fault.code in {
        "UnauthorizedException",
        "ResourceNotFoundException",
    }:
        return (
            f"{head}. Make an index and a default view that includes tags in {scope.region} "
            "(resource-explorer-2 create-resource-explorer-setup), and allow "
            "resource-explorer-2:Search on the view to the read role"
        )
    return head
