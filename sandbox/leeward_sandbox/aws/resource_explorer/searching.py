"""Search, ListResources and ListSupportedResourceTypes."""

from __future__ import annotations

import base64
import binascii
import hashlib
from datetime import datetime, timedelta
from typing import Any

from leeward_sandbox.aws.backend import Call
from leeward_sandbox.aws.resource_explorer.documents import CFN_TYPES, Document
from leeward_sandbox.aws.resource_explorer.query import Query, invalid, parse
from leeward_sandbox.aws.resource_explorer.state import Explorer, View, not_found, unauthorized

SEARCH_CAP = 1000
LARGEST_PAGE = 1000
DEFAULT_PAGE = 100
TOKEN_LIFETIME = timedelta(hours=24)


def search(explorer: Explorer, call: Call) -> dict[str, Any]:
    """Search: at most the first 1,000 results, of however many there are."""
    view = used_view(explorer, call)
    query = parse(call.params["QueryString"])
    found = _found(explorer, view, query, call.now)
    capped = found[:SEARCH_CAP]
    answer = _page(capped, view, call, "QueryString")
    answer["Count"] = {
        "TotalResources": len(capped),
        "Complete": len(found) <= SEARCH_CAP,
    }
    return answer


def list_resources(explorer: Explorer, call: Call) -> dict[str, Any]:
    """ListResources: filters only and no cap; a page of 1,000 comes without a NextToken."""
    view = used_view(explorer, call)
    text = (call.params.get("Filters") or {}).get("FilterString", "")
    query = parse(text, words=False, field="FilterString")
    answer = _page(_found(explorer, view, query, call.now), view, call, "Filters")
    if call.params.get("MaxResults") == LARGEST_PAGE:
        answer.pop("NextToken", None)
    return answer


def list_supported_resource_types(explorer: Explorer, call: Call) -> dict[str, Any]:
    """ListSupportedResourceTypes: the types that the sandbox can index."""
    types = sorted(CFN_TYPES.items())
    start, size = _window(call, "ListSupportedResourceTypes")
    answer: dict[str, Any] = {
        "ResourceTypes": [
            {
                "Service": name.partition(":")[0],
                "ResourceType": name,
                "CFNResourceTypes": [cfn],
            }
            for name, cfn in types[start : start + size]
        ]
    }
    if start + size < len(types):
        answer["NextToken"] = _token(call, "ListSupportedResourceTypes", start + size)
    return answer


def used_view(explorer: Explorer, call: Call) -> View:
    """The view that the call names, or the Region's default view.

    Raises:
        AwsError: UnauthorizedException 401 without any, ResourceNotFoundException 404 for one
            that does not exist in the Region.
    """
    arn = call.params.get("ViewArn")
    if not arn:
        arn = explorer.defaults.get((call.account, call.region))
        if arn is None:
            raise unauthorized(
                f"Account {call.account} has no default view in {call.region}; name a view or "
                f"associate a default one"
            )
    view = explorer.views.get(arn)
    if view is None:
        raise not_found(arn)
    if view.region != call.region or view.account != call.account:
        raise unauthorized(f"{arn} cannot be used by account {call.account} in {call.region}")
    return view


def _found(explorer: Explorer, view: View, query: Query, now: datetime) -> list[Document]:
    own = parse(view.filter, words=False, field="FilterString")
    return [
        document
        for document in explorer.in_sight(view)
        if document.visible(now) and own.matches(document) and query.matches(document)
    ]


def _page(found: list[Document], view: View, call: Call, member: str) -> dict[str, Any]:
    selection = f"{view.arn}\n{call.params.get(member)}"
    start, size = _window(call, selection)
    answer: dict[str, Any] = {
        "Resources": [_resource(d, view) for d in found[start : start + size]],
        "ViewArn": view.arn,
    }
    if start + size < len(found):
        answer["NextToken"] = _token(call, selection, start + size)
    return answer


def _resource(document: Document, view: View) -> dict[str, Any]:
    resource = {
        "Arn": document.arn,
        "OwningAccountId": document.account,
        "Region": document.region,
        "ResourceType": document.type,
        "Service": document.service,
        "LastReportedAt": document.reported,
        "Properties": [],
    }
    if document.type in CFN_TYPES:
        resource["CfnResourceType"] = CFN_TYPES[document.type]
    tags = document.tags()
    if view.with_tags and tags:
        resource["Properties"] = [
            {
                "Name": "tags",
                "LastReportedAt": document.reported,
                "Data": [{"Key": key, "Value": value} for key, value in sorted(tags.items())],
            }
        ]
    return resource


def _digest(selection: str) -> str:
    return hashlib.sha256(selection.encode()).hexdigest()[:16]


def _token(call: Call, selection: str, offset: int) -> str:
    expires = (call.now + TOKEN_LIFETIME).timestamp()
    text = f"{_digest(selection)}:{offset}:{expires:.0f}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def _window(call: Call, selection: str) -> tuple[int, int]:
    size = call.params.get("MaxResults") or DEFAULT_PAGE
    token = call.params.get("NextToken")
    if not token:
        return 0, size
    try:
        digest, offset, expires = base64.urlsafe_b64decode(token.encode()).decode().split(":")
        start, until = int(offset), float(expires)
    except (ValueError, binascii.Error) as error:
        raise invalid("The NextToken is malformed", "NextToken") from error
    if digest != _digest(selection):
        raise invalid("The NextToken belongs to another query", "NextToken")
    if call.now.timestamp() > until:
        raise invalid("The NextToken has expired; start again", "NextToken")
    return start, size
