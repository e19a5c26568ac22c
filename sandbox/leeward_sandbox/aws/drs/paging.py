"""Pages with opaque tokens, as DRS hands them out."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from leeward_sandbox.aws.drs import errors

T = TypeVar("T")


def page(
    items: Sequence[T],
    params: dict[str, Any],
    default: int,
    view: Callable[[T], Any],
    member: str = "items",
    most: int = 1000,
) -> dict[str, Any]:
    """One page of `items` under `member`, with `nextToken` while there are more.

    A token holds good for the request that it was given for, with whatever page size.

    Args:
        items: everything that the request selects, in order.
        params: the request; `maxResults` and `nextToken` are read.
        default: the page size where the request has no `maxResults`.
        view: makes an item's wire form; called for the items of this page only.
        member: name of the list in the answer.
        most: the largest page, whatever the request asks for.

    Raises:
        AwsError: ValidationException for a token that is not of this request.
    """
    selection = {k: v for k, v in params.items() if k not in ("maxResults", "nextToken")}
    digest = hashlib.sha256(json.dumps(selection, sort_keys=True, default=str).encode())
    request = digest.hexdigest()[:16]
    start = _offset(params["nextToken"], request) if params.get("nextToken") else 0
    end = start + min(params.get("maxResults") or default, most)
    answer: dict[str, Any] = {member: [view(item) for item in items[start:end]]}
    if end < len(items):
        answer["nextToken"] = base64.urlsafe_b64encode(f"{request}:{end}".encode()).decode()
    return answer


def _offset(token: str, request: str) -> int:
    try:
        owner, _, offset = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
        if owner == request:
            return int(offset)
    except (ValueError, binascii.Error):
        pass
    raise errors.invalid("The token is invalid for this request", "nextToken")
