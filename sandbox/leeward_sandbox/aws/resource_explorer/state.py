"""Indexes and views of Resource Explorer, per account and Region, and the documents of all."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from leeward_sandbox.aws.backend import AwsError, World
from leeward_sandbox.aws.resource_explorer.documents import Document
from leeward_sandbox.aws.resource_explorer.settings import ResourceExplorerSettings

AGGREGATOR_PAUSE = timedelta(hours=24)
ACTIVATION = timedelta(seconds=30)
MAX_VIEWS = 10


def not_found(arn: str) -> AwsError:
    """ResourceNotFoundException 404."""
    return AwsError("ResourceNotFoundException", f"{arn} does not exist", status=404)


def unauthorized(message: str) -> AwsError:
    """UnauthorizedException 401: no view to search with."""
    return AwsError("UnauthorizedException", message, status=401)


@dataclass(slots=True)
class Index:
    """The index of one account in one Region."""

    arn: str
    account: str
    region: str
    created: datetime
    changed: datetime
    type: str = "LOCAL"
    deleted: bool = False
    tags: dict[str, str] = field(default_factory=dict)

    def state(self, now: datetime) -> str:
        """CREATING, UPDATING, ACTIVE or DELETED at `now`."""
        if self.deleted:
            return "DELETED"
        if now - self.changed < ACTIVATION:
            return "CREATING" if self.changed == self.created else "UPDATING"
        return "ACTIVE"


@dataclass(slots=True)
class View:
    """A view of one account in one Region."""

    arn: str
    name: str
    account: str
    region: str
    scope: str
    updated: datetime
    filter: str = ""
    with_tags: bool = False
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Bucket:
    """A token bucket on virtual time."""

    tokens: float
    filled: datetime

    def take(self, rate: float, now: datetime) -> bool:
        """Take one of `rate` tokens per second; False if there is none."""
        elapsed = (now - self.filled).total_seconds()
        self.tokens = min(rate, self.tokens + elapsed * rate)
        self.filled = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Explorer:
    """All indexes, views and documents."""

    def __init__(self, world: World, settings: ResourceExplorerSettings) -> None:
        self.world = world
        self.settings = settings
        self.indexes: dict[tuple[str, str], Index] = {}
        self.views: dict[str, View] = {}
        self.defaults: dict[tuple[str, str], str] = {}
        self.documents: dict[str, Document] = {}
        self.demoted: dict[str, datetime] = {}
        self.tokens: dict[tuple[str, str, str], tuple[dict[str, Any], str]] = {}
        self.serial = 0
        self._buckets: dict[tuple[str, str, str], Bucket] = {}

    def index(self, account: str, region: str) -> Index | None:
        """The account's index in the Region, if there is one."""
        found = self.indexes.get((account, region))
        return found if found is not None and not found.deleted else None

    def take_token(self, account: str, region: str, operation: str, now: datetime) -> None:
        """Count the call against its rate; ThrottlingException where it is exceeded."""
        kind = "Search" if operation == "Search" else "other"
        rate = 5.0 if kind == "Search" else 3.0
        key = (account, region, kind)
        bucket = self._buckets.setdefault(key, Bucket(rate, now))
        if self.settings.rate_limits and not bucket.take(rate, now):
            raise AwsError(
                "ThrottlingException", f"Rate exceeded: {operation} in {region}", status=429
            )

    def in_sight(self, view: View) -> list[Document]:
        """Documents that the view's index and scope show, before any filter, by ARN."""
        index = self.index(view.account, view.region)
        if index is None:
            return []
        whole_organization = view.scope.startswith("arn:aws:organizations:")
        regions = self._indexed_regions()
        found = []
        for document in self.documents.values():
            if document.account != view.account and not whole_organization:
                continue
            home = "us-east-1" if document.region == "global" else document.region
            indexed = home in regions[document.account]
            here = home == view.region
            if indexed and (here or index.type == "AGGREGATOR"):
                found.append(document)
        return sorted(found, key=lambda d: d.arn)

    def _indexed_regions(self) -> dict[str, set[str]]:
        regions: dict[str, set[str]] = defaultdict(set)
        for index in self.indexes.values():
            if not index.deleted:
                regions[index.account].add(index.region)
        return regions
