"""Resource Explorer: the backend that the gateway calls."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar

from leeward_sandbox.aws.backend import AwsError, Call, World
from leeward_sandbox.aws.resource_explorer import administration, searching
from leeward_sandbox.aws.resource_explorer.documents import Document
from leeward_sandbox.aws.resource_explorer.settings import ResourceExplorerSettings
from leeward_sandbox.aws.resource_explorer.state import ACTIVATION, Explorer

_HANDLERS: dict[str, Callable[[Explorer, Call], dict[str, Any]]] = {
    "CreateIndex": administration.create_index,
    "GetIndex": administration.get_index,
    "UpdateIndexType": administration.update_index_type,
    "DeleteIndex": administration.delete_index,
    "ListIndexes": administration.list_indexes,
    "CreateView": administration.create_view,
    "GetView": administration.get_view,
    "BatchGetView": administration.batch_get_view,
    "ListViews": administration.list_views,
    "UpdateView": administration.update_view,
    "DeleteView": administration.delete_view,
    "AssociateDefaultView": administration.associate_default_view,
    "DisassociateDefaultView": administration.disassociate_default_view,
    "GetDefaultView": administration.get_default_view,
    "Search": searching.search,
    "ListResources": searching.list_resources,
    "ListSupportedResourceTypes": searching.list_supported_resource_types,
    "TagResource": administration.tag_resource,
    "UntagResource": administration.untag_resource,
    "ListTagsForResource": administration.list_tags,
}


class ResourceExplorerBackend:
    """Resource Explorer of every account and Region of the sandbox.

    Args:
        world: clock, seed and moto.
        settings: rates, lags and the organisation.
    """

    service: ClassVar[str] = "resource-explorer-2"
    operations: ClassVar[frozenset[str] | None] = None

    def __init__(self, world: World, settings: ResourceExplorerSettings | None = None) -> None:
        self._explorer = Explorer(world, settings or ResourceExplorerSettings())
        self._lock = world.lock

    def handle(self, call: Call) -> dict[str, Any]:
        """Answer one request; AwsError as Resource Explorer refuses it."""
        handler = _HANDLERS.get(call.operation)
        if handler is None:
            raise AwsError(
                "ValidationException",
                f"The sandbox's Resource Explorer does not have {call.operation}",
                status=400,
            )
        with self._lock:
            self._explorer.take_token(call.account, call.region, call.operation, call.now)
            return handler(self._explorer, call)

    def set_up(self, account: str, region: str, *, aggregator: bool, default_view: bool) -> None:
        """Make an index that is active, and a default view with tags, as if made long ago."""
        now = self._explorer.world.clock.now() - ACTIVATION

        def do(operation: str, **params: Any) -> dict[str, Any]:
            principal = f"arn:aws:iam::{account}:root"
            call = Call(self.service, operation, account, region, params, principal, now)
            return _HANDLERS[operation](self._explorer, call)

        with self._lock:
            index = do("CreateIndex")
            if aggregator:
                do("UpdateIndexType", Arn=index["Arn"], Type="AGGREGATOR")
            if default_view:
                included = [{"Name": "tags"}]
                view = do("CreateView", ViewName="all", IncludedProperties=included)
                do("AssociateDefaultView", ViewArn=view["View"]["ViewArn"])

    def add(
        self,
        arn: str,
        *,
        account: str,
        region: str,
        type: str,  # noqa: A002 - the field's own word
        tags: Callable[[], dict[str, str]],
        since: datetime | None = None,
    ) -> None:
        """Put a resource into the index.

        Args:
            arn: the resource's ARN.
            account: its account.
            region: its Region, or "global".
            type: Resource Explorer's type ("ec2:instance").
            tags: called at every query, so that the index follows the resource's tags.
            since: when it came into being; it is found after the indexing lag from then on.
                None: it is found at once.
        """
        explorer = self._explorer
        now = explorer.world.clock.now()
        lag = timedelta(seconds=explorer.settings.indexing_lag)
        visible = since + lag if since is not None else now - lag
        with self._lock:
            explorer.documents[arn] = Document(
                arn, account, region, type, tags, reported=visible, visible_from=visible
            )

    def remove(self, arn: str, at: datetime) -> None:
        """The resource is gone since `at`; the index shows it for some time yet."""
        with self._lock:
            document = self._explorer.documents.get(arn)
            if document is not None:
                lingering = timedelta(seconds=self._explorer.settings.lingering)
                document.visible_until = at + lingering
