"""Requests to members, by botocore's models.

moto's parsers do the protocols' work. They convert as they go and throw away what went wrong;
the ones here keep a value that is not of its type, so that validation can say which member has it.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import Element

from botocore.utils import parse_timestamp
from moto.core.parse import (
    UNDEFINED,
    EC2QueryParser,
    JSONParser,
    QueryParser,
    RequestParserError,
    RestJSONParser,
    RestXMLParser,
)

from leeward_sandbox.aws.backend import AwsError
from leeward_sandbox.aws.routing import Operation
from leeward_sandbox.aws.wire import HttpRequest


def parse(operation: Operation, request: HttpRequest) -> dict[str, Any]:
    """The request's members by botocore's names.

    Timestamps come as aware datetimes and blobs as bytes. A scalar that does not have its type
    comes as it was sent.

    Raises:
        AwsError: the body is not of the protocol's form (SerializationException).
    """
    normalised = request.normalised
    parser = _PARSERS[operation.protocol](
        operation.model, timestamp_parser=_timestamp, blob_parser=_blob
    )
    try:
        parsed = parser.parse(
            {
                "method": request.method,
                "values": normalised.values,
                "headers": normalised.headers,
                "body": request.body,
                "url_path": normalised.path,
                "url_params": operation.uri_params,
            }
        )
        return _present(operation, parsed)
    except (RequestParserError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise AwsError(
            "SerializationException",
            f"The body of {operation.service} {operation.name} cannot be read as"
            f" {operation.protocol}: {error}",
        ) from error


def _present(operation: Operation, parsed: dict[str, Any]) -> dict[str, Any]:
    # moto's REST parsers make an absent list or map of the query string or headers an empty one.
    shape = operation.model.input_shape
    members = shape.members if shape is not None else {}
    return {
        name: value
        for name, value in parsed.items()
        if value is not None and (value or "location" not in members[name].serialization)
    }


def _timestamp(value: Any) -> Any:
    try:
        stamp = parse_timestamp(value)
    except (ValueError, TypeError, OverflowError):
        return value
    return stamp.astimezone(UTC) if isinstance(stamp, datetime) else value


def _blob(value: Any) -> Any:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError, TypeError):
        return value


def _number(kind: type[int] | type[float], value: Any) -> Any:
    try:
        return kind(value)
    except ValueError:
        return value


def _boolean(value: Any) -> Any:
    return {"true": True, "false": False}.get(str(value).lower(), value)


class _QueryValues:
    """Scalars of the query protocols, whose parsers find a value by its prefix."""

    def _parse_integer(self, shape: Any, params: Any, prefix: str = "") -> Any:
        value = self._default_handle(shape, params, prefix)  # type: ignore[attr-defined]
        return value if value is UNDEFINED else _number(int, value)

    def _parse_float(self, shape: Any, params: Any, prefix: str = "") -> Any:
        value = self._default_handle(shape, params, prefix)  # type: ignore[attr-defined]
        return value if value is UNDEFINED else _number(float, value)

    def _parse_boolean(self, shape: Any, params: Any, prefix: str = "") -> Any:
        value = self._default_handle(shape, params, prefix)  # type: ignore[attr-defined]
        return value if value is UNDEFINED else _boolean(value)

    _parse_long = _parse_integer
    _parse_double = _parse_float


class _Query(_QueryValues, QueryParser):
    """The query protocol."""


class _Ec2(_QueryValues, EC2QueryParser):
    """The ec2 protocol."""


class _JsonValues:
    """JSON keeps its own types; only what came in the URL or a header is text."""

    def _parse_integer(self, shape: Any, value: Any) -> Any:
        return _number(int, value) if _is_text(shape, value) else value

    def _parse_float(self, shape: Any, value: Any) -> Any:
        if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"):
            return float(value)
        return _number(float, value) if _is_text(shape, value) else value

    def _parse_boolean(self, shape: Any, value: Any) -> Any:
        return _boolean(value) if _is_text(shape, value) else value

    def _parse_list(self, shape: Any, value: Any) -> Any:
        if not isinstance(value, list) and not _is_text(shape, value):
            return value
        return super()._parse_list(shape, value)  # type: ignore[misc]

    def _parse_map(self, shape: Any, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return super()._parse_map(shape, value)  # type: ignore[misc]

    def _parse_structure(self, shape: Any, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return super()._parse_structure(shape, value)  # type: ignore[misc]

    def _parse_body_as_json(self, body: bytes) -> Any:
        return json.loads(body) if body else {}

    _parse_byte = _parse_short = _parse_long = _parse_integer
    _parse_double = _parse_float


class _Json(_JsonValues, JSONParser):
    """The JSON protocols 1.0 and 1.1."""


class _RestJson(_JsonValues, RestJSONParser):
    """The REST-JSON protocol."""


class _RestXml(RestXMLParser):
    """The REST-XML protocol, in which everything is text."""

    def _parse_integer(self, shape: Any, node: Any) -> Any:
        return _number(int, _text(node))

    def _parse_float(self, shape: Any, node: Any) -> Any:
        return _number(float, _text(node))

    def _parse_boolean(self, shape: Any, node: Any) -> Any:
        return _boolean(_text(node))

    _parse_long = _parse_integer
    _parse_double = _parse_float


def _is_text(shape: Any, value: Any) -> bool:
    return isinstance(value, str) and "location" in shape.serialization


def _text(node: Any) -> Any:
    return (node.text or "") if isinstance(node, Element) else node


_PARSERS: dict[str, Any] = {
    "query": _Query,
    "ec2": _Ec2,
    "json": _Json,
    "rest-json": _RestJson,
    "rest-xml": _RestXml,
}
