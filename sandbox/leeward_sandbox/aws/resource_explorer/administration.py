"""Indexes, views, default views and tags."""

from __future__ import annotations

import uuid
from typing import Any

from leeward_sandbox.aws.backend import AwsError, Call
from leeward_sandbox.aws.drs.timing import generator
from leeward_sandbox.aws.resource_explorer.query import invalid, parse
from leeward_sandbox.aws.resource_explorer.state import (
    AGGREGATOR_PAUSE,
    MAX_VIEWS,
    Explorer,
    Index,
    View,
    not_found,
)


def create_index(explorer: Explorer, call: Call) -> dict[str, Any]:
    """CreateIndex: a LOCAL one; one per account and Region."""
    if explorer.index(call.account, call.region) is not None:
        raise _conflict(f"Account {call.account} has an index in {call.region} already")
    index = Index(
        arn=_arn(explorer, call, "index"),
        account=call.account,
        region=call.region,
        created=call.now,
        changed=call.now,
        tags=dict(call.params.get("Tags") or {}),
    )
    explorer.indexes[call.account, call.region] = index
    return {"Arn": index.arn, "State": index.state(call.now), "CreatedAt": index.created}


def get_index(explorer: Explorer, call: Call) -> dict[str, Any]:
    """GetIndex of the Region."""
    index = explorer.index(call.account, call.region)
    if index is None:
        raise not_found(f"An index of account {call.account} in {call.region}")
    others = [
        other.region
        for other in explorer.indexes.values()
        if other.account == index.account and other is not index and not other.deleted
    ]
    aggregator = _aggregator(explorer, index.account)
    answer: dict[str, Any] = {
        "Arn": index.arn,
        "Type": index.type,
        "State": index.state(call.now),
        "CreatedAt": index.created,
        "LastUpdatedAt": index.changed,
        "Tags": dict(index.tags),
    }
    if index.type == "AGGREGATOR":
        answer["ReplicatingFrom"] = sorted(others)
    elif aggregator is not None:
        answer["ReplicatingTo"] = [aggregator.region]
    return answer


def update_index_type(explorer: Explorer, call: Call) -> dict[str, Any]:
    """UpdateIndexType: one AGGREGATOR per account, and 24 h between two."""
    index = _index(explorer, call)
    wanted = call.params["Type"]
    current = _aggregator(explorer, call.account)
    if wanted == "AGGREGATOR" and current not in (None, index):
        assert current is not None
        raise _conflict(f"Account {call.account} has an aggregator index in {current.region}")
    left = explorer.demoted.get(call.account)
    if wanted == "AGGREGATOR" and left is not None and call.now - left < AGGREGATOR_PAUSE:
        raise _conflict(
            f"The aggregator index of account {call.account} was given up at {left:%FT%TZ}; "
            f"24 hours must pass before another index is promoted"
        )
    if index.type == "AGGREGATOR" and wanted == "LOCAL":
        explorer.demoted[call.account] = call.now
    index.type = wanted
    index.changed = call.now
    return _changed(index, call) | {"Type": index.type}


def delete_index(explorer: Explorer, call: Call) -> dict[str, Any]:
    """DeleteIndex, with the views of the Region."""
    index = _index(explorer, call)
    if index.type == "AGGREGATOR":
        explorer.demoted[call.account] = call.now
    index.deleted = True
    index.changed = call.now
    explorer.views = {
        arn: view
        for arn, view in explorer.views.items()
        if (view.account, view.region) != (call.account, call.region)
    }
    explorer.defaults.pop((call.account, call.region), None)
    return _changed(index, call) | {"State": "DELETING"}


def list_indexes(explorer: Explorer, call: Call) -> dict[str, Any]:
    """ListIndexes of the account."""
    found = [
        {"Arn": index.arn, "Region": index.region, "Type": index.type}
        for index in explorer.indexes.values()
        if index.account == call.account
        and not index.deleted
        and call.params.get("Type") in (None, index.type)
        and index.region in (call.params.get("Regions") or [index.region])
    ]
    return _listed("Indexes", sorted(found, key=lambda i: i["Region"]), call, 100)


def create_view(explorer: Explorer, call: Call) -> dict[str, Any]:
    """CreateView: unique by name in the Region, repeatable with a ClientToken."""
    params = dict(call.params)
    token = params.pop("ClientToken", None)
    key = (call.account, call.region, token or "")
    if token and key in explorer.tokens:
        before, arn = explorer.tokens[key]
        if before != params:
            raise _conflict(f"ClientToken {token} was used with other parameters")
        if arn in explorer.views:
            return {"View": _view(explorer.views[arn])}
    view = _new_view(explorer, call)
    explorer.views[view.arn] = view
    if token:
        explorer.tokens[key] = (params, view.arn)
    return {"View": _view(view)}


def _new_view(explorer: Explorer, call: Call) -> View:
    name = call.params["ViewName"]
    here = [v for v in explorer.views.values() if v.account == call.account]
    here = [v for v in here if v.region == call.region]
    if any(view.name == name for view in here):
        raise _conflict(f"Account {call.account} has a view {name} in {call.region} already")
    if len(here) >= MAX_VIEWS:
        raise AwsError(
            "ServiceQuotaExceededException",
            f"Account {call.account} has {MAX_VIEWS} views in {call.region}",
            status=402,
            Name="Views per Region",
            Value=str(MAX_VIEWS),
        )
    view = View(
        arn=_arn(explorer, call, f"view/{name}"),
        name=name,
        account=call.account,
        region=call.region,
        scope=_scope(explorer, call),
        updated=call.now,
        tags=dict(call.params.get("Tags") or {}),
    )
    _configure(view, call)
    return view


def _scope(explorer: Explorer, call: Call) -> str:
    own = f"arn:aws:iam::{call.account}:root"
    scope = str(call.params.get("Scope") or own)
    if scope == own:
        return scope
    settings = explorer.settings
    if scope != settings.organization:
        raise invalid(f"{scope} is neither {own} nor the organisation", "Scope")
    if call.account != settings.administrator:
        raise AwsError(
            "AccessDeniedException",
            f"Account {call.account} is not the administrator of {scope}",
            status=403,
        )
    return scope


def _configure(view: View, call: Call) -> None:
    if "IncludedProperties" in call.params:
        names = [entry["Name"] for entry in call.params["IncludedProperties"]]
        if any(name != "tags" for name in names):
            raise invalid("tags is the only property that a view can include", "IncludedProperties")
        view.with_tags = bool(names)
    if "Filters" in call.params:
        text = call.params["Filters"]["FilterString"]
        parse(text, words=False, field="FilterString")
        view.filter = text
    view.updated = call.now


def get_view(explorer: Explorer, call: Call) -> dict[str, Any]:
    """GetView."""
    view = _owned(explorer, call)
    return {"View": _view(view), "Tags": dict(view.tags)}


def batch_get_view(explorer: Explorer, call: Call) -> dict[str, Any]:
    """BatchGetView: views found, and an error for each that is not."""
    arns = call.params.get("ViewArns") or []
    known = [explorer.views[a] for a in arns if _is_own(explorer, call, a)]
    missing = [a for a in arns if not _is_own(explorer, call, a)]
    return {
        "Views": [_view(view) for view in known],
        "Errors": [{"ViewArn": a, "ErrorMessage": f"{a} does not exist"} for a in missing],
    }


def list_views(explorer: Explorer, call: Call) -> dict[str, Any]:
    """ListViews of the Region, as ARNs."""
    arns = sorted(arn for arn in explorer.views if _is_own(explorer, call, arn))
    return _listed("Views", arns, call, 20)


def update_view(explorer: Explorer, call: Call) -> dict[str, Any]:
    """UpdateView: replaces what is given."""
    view = _owned(explorer, call)
    _configure(view, call)
    return {"View": _view(view)}


def delete_view(explorer: Explorer, call: Call) -> dict[str, Any]:
    """DeleteView; a default view leaves the Region without one."""
    view = _owned(explorer, call)
    del explorer.views[view.arn]
    if explorer.defaults.get((call.account, call.region)) == view.arn:
        del explorer.defaults[call.account, call.region]
    return {"ViewArn": view.arn}


def associate_default_view(explorer: Explorer, call: Call) -> dict[str, Any]:
    """AssociateDefaultView for the Region."""
    view = _owned(explorer, call)
    explorer.defaults[call.account, call.region] = view.arn
    return {"ViewArn": view.arn}


def disassociate_default_view(explorer: Explorer, call: Call) -> dict[str, Any]:
    """DisassociateDefaultView."""
    explorer.defaults.pop((call.account, call.region), None)
    return {}


def get_default_view(explorer: Explorer, call: Call) -> dict[str, Any]:
    """GetDefaultView; without one the answer has no ViewArn."""
    arn = explorer.defaults.get((call.account, call.region))
    return {"ViewArn": arn} if arn else {}


def tag_resource(explorer: Explorer, call: Call) -> dict[str, Any]:
    """TagResource on an index or a view."""
    _tags(explorer, call).update(call.params.get("Tags") or {})
    return {}


def untag_resource(explorer: Explorer, call: Call) -> dict[str, Any]:
    """UntagResource on an index or a view."""
    tags = _tags(explorer, call)
    for key in call.params["tagKeys"]:
        tags.pop(key, None)
    return {}


def list_tags(explorer: Explorer, call: Call) -> dict[str, Any]:
    """ListTagsForResource of an index or a view."""
    return {"Tags": dict(_tags(explorer, call))}


def _tags(explorer: Explorer, call: Call) -> dict[str, str]:
    arn = call.params["resourceArn"]
    if _is_own(explorer, call, arn):
        return explorer.views[arn].tags
    index = explorer.index(call.account, call.region)
    if index is not None and index.arn == arn:
        return index.tags
    raise not_found(arn)


def _is_own(explorer: Explorer, call: Call, arn: str) -> bool:
    view = explorer.views.get(arn)
    return view is not None and (view.account, view.region) == (call.account, call.region)


def _owned(explorer: Explorer, call: Call) -> View:
    arn = call.params["ViewArn"]
    if not _is_own(explorer, call, arn):
        raise not_found(arn)
    return explorer.views[arn]


def _index(explorer: Explorer, call: Call) -> Index:
    index = explorer.index(call.account, call.region)
    if index is None or index.arn != call.params["Arn"]:
        raise not_found(call.params["Arn"])
    return index


def _aggregator(explorer: Explorer, account: str) -> Index | None:
    own = (i for i in explorer.indexes.values() if i.account == account and not i.deleted)
    return next((index for index in own if index.type == "AGGREGATOR"), None)


def _changed(index: Index, call: Call) -> dict[str, Any]:
    return {"Arn": index.arn, "State": index.state(call.now), "LastUpdatedAt": index.changed}


def _view(view: View) -> dict[str, Any]:
    return {
        "ViewArn": view.arn,
        "ViewName": view.name,
        "Owner": view.account,
        "LastUpdatedAt": view.updated,
        "Scope": view.scope,
        "IncludedProperties": [{"Name": "tags"}] if view.with_tags else [],
        "Filters": {"FilterString": view.filter},
    }


def _listed(member: str, items: list[Any], call: Call, default: int) -> dict[str, Any]:
    token = call.params.get("NextToken") or "0"
    if not token.isdecimal():
        raise invalid("The NextToken is malformed", "NextToken")
    start = int(token)
    end = start + (call.params.get("MaxResults") or default)
    answer: dict[str, Any] = {member: items[start:end]}
    return answer | {"NextToken": str(end)} if end < len(items) else answer


def _arn(explorer: Explorer, call: Call, resource: str) -> str:
    explorer.serial += 1
    parts = (explorer.world.seed, "rex", call.account, call.region, resource, explorer.serial)
    identity = uuid.UUID(int=generator(*parts).getrandbits(128), version=4)
    return f"arn:aws:resource-explorer-2:{call.region}:{call.account}:{resource}/{identity}"


def _conflict(message: str) -> AwsError:
    return AwsError("ConflictException", message, status=409)
