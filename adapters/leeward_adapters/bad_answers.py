"""Answers that are not AWS's: a proxy's page, a portal's, or what cannot be read.

botocore takes what it gets. By the protocols of JSON a page of HTML, an empty body or the JSON of
something else is an answer whose members are all missing: a list of jobs without a job, an estate
without a server. By those of XML such a page is an error of the parser, or the same, where it is
well-formed.

Every service of AWS gives each request an id, and says it in a header of the answer, be that a
refusal (AWS General Reference, Error responses; S3 API reference, Common response headers); those
of XML say it in the body as well. What has none is not AWS's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from botocore.exceptions import BotoCoreError

_IDS: Final = ("x-amzn-requestid", "x-amz-request-id")
"""Headers in which botocore looks for the id too; the latter is S3's."""
_ID_IN_XML: Final = re.compile(rb"<request_?id>[^<]+</", re.IGNORECASE)
_OF_XML: Final = frozenset({"query", "ec2", "rest-xml"})
_OF_JSON: Final = frozenset({"json", "rest-json"})
_PAGES: Final = (b"<!doctype html", b"<html")


class BadAnswerError(BotoCoreError):
    """What answered was not AWS, or its answer was changed on its way.

    Of a call that changes something it is not known whether it reached AWS (`doubt`).
    """

    fmt = (
        "{service} {operation} of account {account} in {region} got no answer of AWS's: {why}. "
        "Something on the way to {endpoint} answers in its place or changes its answers, such as a "
        "proxy or a portal: see that the operator reaches AWS past it (HTTPS_PROXY, NO_PROXY), and "
        "that it passes the header x-amzn-RequestId on"
    )


def why_bad(response: Mapping[str, Any], operation: Any) -> str:
    """Why an answer cannot be AWS's; empty: it may well be.

    What says itself that a server failed, or that it is too busy, is left to the classes of errors:
    AWS's own front ends say so without an id.

    Args:
        response: as botocore hands it to its parsers (`headers`, `status_code`, `body`).
        operation: botocore's model of the operation.
    """
    status, body = int(response["status_code"]), response["body"]
    if status >= 500 or status == 429:
        return ""
    headers, protocol = response["headers"], operation.service_model.resolved_protocol
    text = body.strip() if isinstance(body, bytes) else b""  # else it is streamed
    kind = headers.get("content-type", "no content type")
    what = f"what came (HTTP {status}, {kind}, {len(text)} bytes)"
    named = any(headers.get(name) for name in _IDS)
    if not named and not (protocol in _OF_XML and _ID_IN_XML.search(text)):
        return f"{what} has no request id"
    if text[: len(_PAGES[0])].lower().startswith(_PAGES):
        return f"{what} is a page"
    if text and protocol in _OF_JSON and _is_whole(operation) and not _is_object(text):
        return f"{what} is no whole object of JSON"
    return ""


def _is_whole(operation: Any) -> bool:
    """Whether the body of an answer is the JSON of all its members, and of no one member alone."""
    return "payload" not in getattr(operation.output_shape, "serialization", {})


def _is_object(text: bytes) -> bool:
    """By its ends: one that is cut off has no end, and to read it twice would take its time."""
    return text.startswith(b"{") and text.endswith(b"}")
