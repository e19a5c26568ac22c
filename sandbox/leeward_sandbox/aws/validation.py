"""Requests against botocore's service model: what botocore's own client does not check, too.

Checked are required members, types, ranges, lengths of strings, lists and maps, patterns, enums
(closed, as in AWS's requests) and unions. Not checked are rules that the models do not hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from leeward_sandbox.aws.backend import AwsError
from leeward_sandbox.aws.patterns import matches
from leeward_sandbox.aws.routing import Operation

_INTEGERS = frozenset({"integer", "long", "short", "byte", "bigInteger"})
_FLOATS = frozenset({"float", "double", "bigDecimal"})
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "character": (str,),
    "boolean": (bool,),
    "timestamp": (datetime,),
    "blob": (bytes, str),
    "structure": (dict,),
    "list": (list,),
    "map": (dict,),
    **dict.fromkeys(_INTEGERS, (int,)),
    **dict.fromkeys(_FLOATS, (int, float)),
}
# What the services that do not speak of a ValidationException call it.
_CODES = {"query": "ValidationError", "ec2": "InvalidParameterValue"}
_SERVICE_CODES = {"route53": "InvalidInput", "s3": "InvalidArgument", "s3control": "InvalidRequest"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One breach of the model: the member's path, and AWS's words for what it must satisfy."""

    path: str
    constraint: str
    value: str | None = None
    missing: bool = False

    def __str__(self) -> str:
        shown = "" if self.value is None else f"{self.value!r} "
        return f"Value {shown}at '{self.path}' failed to satisfy constraint: {self.constraint}"


def problems(operation: Operation, params: dict[str, Any]) -> list[Problem]:
    """Every breach of the operation's input shape by `params`, in the model's order."""
    shape = operation.model.input_shape
    return [] if shape is None else list(_structure(shape, params, ""))


def refusal(operation: Operation, found: list[Problem]) -> AwsError:
    """The error with which the service would refuse a request that has these problems."""
    plural = "s" if len(found) > 1 else ""
    text = "; ".join(map(str, found))
    message = f"{len(found)} validation error{plural} detected: {text}"
    if operation.protocol == "ec2" and all(problem.missing for problem in found):
        return AwsError("MissingParameter", message)
    code = _SERVICE_CODES.get(operation.service) or _CODES.get(operation.protocol)
    if code is not None:
        return AwsError(code, message)
    members: dict[str, Any] = {}
    if operation.service == "drs":
        members["reason"] = "fieldValidationFailed"
        members["fieldList"] = [
            {"name": problem.path, "message": problem.constraint} for problem in found
        ]
    return AwsError("ValidationException", message, **members)


def _check(shape: Any, value: Any, path: str) -> Iterator[Problem]:
    kind = str(shape.type_name)
    if getattr(shape, "is_document_type", False) or getattr(shape, "is_eventstream", False):
        return
    if not _has_type(kind, value):
        yield Problem(path, f"Member must be of type {kind}", _shown(shape, value))
        return
    if kind == "structure":
        yield from _structure(shape, value, path)
    elif kind == "list":
        yield from _size(shape, len(value), path, "length")
        for index, item in enumerate(value, start=1):
            yield from _check(shape.member, item, f"{path}.{index}.member")
    elif kind == "map":
        yield from _size(shape, len(value), path, "length")
        for key, item in value.items():
            yield from _check(shape.key, key, f"{path}.{key}.key")
            yield from _check(shape.value, item, f"{path}.{key}.member")
    else:
        yield from _scalar(shape, kind, value, path)


def _has_type(kind: str, value: object) -> bool:
    expected = _TYPES.get(kind, ())
    return isinstance(value, expected) and (bool in expected or not isinstance(value, bool))


def _structure(shape: Any, value: dict[str, Any], path: str) -> Iterator[Problem]:
    prefix = f"{path}." if path else ""
    for name in shape.required_members:
        if value.get(name) is None:
            yield Problem(f"{prefix}{name}", "Member must not be null", missing=True)
    if getattr(shape, "is_tagged_union", False) and len(value) != 1:
        yield Problem(path, f"Member must have exactly one of {', '.join(shape.members)}")
    for name, item in value.items():
        if item is not None:
            yield from _check(shape.members[name], item, f"{prefix}{name}")


def _scalar(shape: Any, kind: str, value: Any, path: str) -> Iterator[Problem]:
    shown = _shown(shape, value)
    if kind in _INTEGERS or kind in _FLOATS:
        yield from _size(shape, value, path, "value", shown)
    elif kind in ("string", "blob"):
        yield from _size(shape, len(value), path, "length", shown)
    enum = getattr(shape, "enum", None)
    if enum and value not in enum:
        yield Problem(path, f"Member must satisfy enum value set: [{', '.join(enum)}]", shown)
    pattern = shape.metadata.get("pattern")
    if pattern and kind == "string" and not matches(pattern, value):
        yield Problem(path, f"Member must satisfy regular expression pattern: {pattern}", shown)


def _size(
    shape: Any, size: float, path: str, what: str, shown: str | None = None
) -> Iterator[Problem]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    noun = "have length" if what == "length" else "have value"
    if least is not None and size < least:
        yield Problem(path, f"Member must {noun} greater than or equal to {least}", shown)
    if most is not None and size > most:
        yield Problem(path, f"Member must {noun} less than or equal to {most}", shown)


def _shown(shape: Any, value: Any) -> str | None:
    if shape.metadata.get("sensitive") or isinstance(value, bytes | dict | list):
        return None
    text = str(value)
    return text if len(text) <= 256 else f"{text[:256]}…"
