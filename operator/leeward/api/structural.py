"""Structural schemas, as the API server accepts them, from the pydantic models.

pydantic speaks JSON Schema 2020-12, the API server a narrow part of OpenAPI v3 ("structural
schemas": https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/
custom-resource-definitions/#specifying-a-structural-schema). What cannot be said there, and what
has no limit or no description, is refused here, so that it is noticed when a model is changed and
not when a CRD is installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter

from leeward.api.common import Duration

LATER = "x-leeward-later"
LATER_VALUES = "x-leeward-later-values"
ATOMIC = "x-leeward-atomic"
VALIDATIONS = "x-kubernetes-validations"
INT_OR_STRING = "x-kubernetes-int-or-string"

Schema = dict[str, Any]

_DURATION = TypeAdapter(Duration).json_schema()["pattern"]
_PERCENT = "^(100|[0-9]{1,2})%$"
_KEPT = {
    "string": ("minLength", "maxLength", "pattern", "format", "enum"),
    "integer": ("minimum", "maximum", "enum"),
    "boolean": (),
    "array": ("minItems", "maxItems", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
    "object": ("maxProperties",),
}
"""Keywords that mean the same on both sides, by type."""
_TRANSLATED = frozenset(
    {
        *("type", "const", "description", "default", "title", "items", "properties", "required"),
        *("additionalProperties", "propertyNames", VALIDATIONS, LATER, LATER_VALUES, ATOMIC),
    }
)
"""Keywords that `_convert` reads itself."""


class SchemaError(ValueError):
    """A model says something that the CRD cannot, or leaves out a limit or a description."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


def inlined(model: type[BaseModel]) -> Schema:
    """The model's JSON schema (camelCase) without references and without null.

    An optional field is one that is not required; its schema is that of its value. Marks of ours
    (`x-leeward-…`) are kept, for the generator and for `marks.unsupported` to read.

    Raises:
        SchemaError: a union other than with None or of `CountOrPercent`.

    """
    schema = model.model_json_schema(by_alias=True)
    definitions: Mapping[str, Schema] = schema.pop("$defs", {})
    return _inline(schema, definitions, model.__name__)


def _inline(node: Schema, definitions: Mapping[str, Schema], path: str) -> Schema:
    node = dict(node)
    while "$ref" in node or "anyOf" in node:
        if "$ref" in node:
            target = definitions[node.pop("$ref").removeprefix("#/$defs/")]
        elif node.get(INT_OR_STRING):
            del node["anyOf"]
            break
        else:
            options = [option for option in node.pop("anyOf") if option.get("type") != "null"]
            if len(options) != 1:
                raise SchemaError(path, "a union of types has no place in a structural schema")
            target = options[0]
        validations = [*target.get(VALIDATIONS, ()), *node.get(VALIDATIONS, ())]
        node = {**target, **node}
        if validations:
            node[VALIDATIONS] = validations
    if "properties" in node:
        node["properties"] = {
            name: _inline(child, definitions, f"{path}.{name}")
            for name, child in node["properties"].items()
        }
    for keyword, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(node.get(keyword), dict):
            node[keyword] = _inline(node[keyword], definitions, path + mark)
    return node


def structural(schema: Schema, path: str, *, people: bool) -> Schema:
    """The structural schema of one field, usually `spec` or `status`, from `inlined`.

    Args:
        schema: The field's schema without references.
        path: Kind and field such as `RecoveryPlan.spec`, for messages.
        people: Whether people write it. What the operator alone writes gets no defaults, since it
            is always written whole, and no rules over the keys of maps, which would be evaluated
            for each resource at each write.

    Raises:
        SchemaError: with the path of what cannot be expressed, has no limit or no description.

    """
    return _Converter(root=path, people=people).convert(schema, path)


class _Converter:
    def __init__(self, *, root: str, people: bool) -> None:
        self._root = root
        self._people = people

    def convert(self, node: Schema, path: str, *, described: bool = True) -> Schema:
        if node.get(INT_OR_STRING):
            kind, result = "int-or-string", _int_or_string(node)
        else:
            kind, result = self._typed(node, path)
        rules = [*node.get(VALIDATIONS, ()), *self._value_rules(node), *self._marks(node, path)]
        if node.get("pattern") == _DURATION:
            rules.append(
                {"rule": "duration(self) > duration('0s')", "message": "must be longer than 0s"}
            )
        if rules:
            result[VALIDATIONS] = rules
        if node.get(ATOMIC):
            target = "list" if kind == "array" else "map"
            result[f"x-kubernetes-{target}-type"] = "atomic"
        default = node.get("default")
        if self._people and isinstance(default, str | int | bool) and default != "":
            result["default"] = default
        if described:
            result = {"description": _description(node, path), **result}
        return result

    def _typed(self, node: Schema, path: str) -> tuple[str, Schema]:
        kind = node.get("type")
        if kind not in _KEPT:
            raise SchemaError(path, f"type {kind!r} has no place in a structural schema")
        unknown = sorted(node.keys() - _TRANSLATED - set(_KEPT[kind]))
        if unknown:
            raise SchemaError(path, f"{', '.join(unknown)} cannot be expressed for type {kind}")
        result: Schema = {"type": kind}
        result |= {keyword: node[keyword] for keyword in _KEPT[kind] if keyword in node}
        if "const" in node:
            result["enum"] = [node["const"]]
        if kind == "string" and not result.keys() & {"maxLength", "enum"}:
            raise SchemaError(path, "a string needs max_length")
        if kind == "array":
            if "maxItems" not in node:
                raise SchemaError(path, "a list needs max_length")
            result["items"] = self.convert(node["items"], f"{path}[]", described=False)
        if kind == "object":
            result |= self._object(node, path)
        return kind, result

    def _object(self, node: Schema, path: str) -> Schema:
        values = node.get("additionalProperties")
        if isinstance(values, dict):
            if "maxProperties" not in node:
                raise SchemaError(path, "a map needs max_length")
            return {"additionalProperties": self.convert(values, f"{path}{{}}", described=False)}
        if values is not None:
            raise SchemaError(path, "additionalProperties must be typed")
        if "properties" not in node:
            raise SchemaError(path, "an object needs fields")
        result: Schema = {}
        if node.get("required"):
            result["required"] = sorted(node["required"])
        result["properties"] = {
            name: self.convert(child, f"{path}.{name}")
            for name, child in node["properties"].items()
        }
        return result

    def _value_rules(self, node: Schema) -> list[Schema]:
        """The limits of a map's keys, which a structural schema cannot say otherwise."""
        names = node.get("propertyNames", {})
        if not self._people or not names.keys() & {"minLength", "maxLength"}:
            return []
        shortest, longest = names.get("minLength", 0), names["maxLength"]
        return [
            {
                "rule": f"self.all(key, size(key) >= {shortest} && size(key) <= {longest})",
                "message": f"keys have {shortest} to {longest} characters",
            }
        ]

    def _marks(self, node: Schema, path: str) -> list[Schema]:
        """The refusal of fields and values that have no behaviour yet.

        The rule stands on the field itself, not on the object around it: the API server then lets
        a stored value pass for as long as nobody changes it (ratcheting), even when its
        neighbours are edited.
        """
        field = path.removeprefix(f"{self._root}.")
        rules = []
        if LATER in node:
            sized = node.get("type") == "array" or "additionalProperties" in node
            rule = "size(self) == 0" if sized else "false"
            rules.append({"rule": rule, "message": f"{field} {not_supported(node[LATER])}"})
        for value, what in node.get(LATER_VALUES, {}).items():
            message = f"{field}: {value} {not_supported(what)}"
            rules.append({"rule": f"self != '{value}'", "message": message})
        return rules


def not_supported(what: str) -> str:
    """How every message about a later field or value ends."""
    return f"is not supported by this version of Leeward: {what}"


def _int_or_string(node: Schema) -> Schema:
    return {
        INT_OR_STRING: True,
        "maxLength": 4,
        "pattern": node.get("pattern", _PERCENT),
        "minimum": node.get("minimum", 0),
    }


def _description(node: Schema, path: str) -> str:
    """The docstring in one line, with what is not supported at its end."""
    text = " ".join(node.get("description", "").split())
    if not text:
        raise SchemaError(path, "a field needs a docstring")
    if LATER in node:
        text += f" Not supported by this version: {node[LATER]}."
    if LATER_VALUES in node:
        by_reason: dict[str, list[str]] = {}
        for value, what in node[LATER_VALUES].items():
            by_reason.setdefault(what, []).append(value)
        parts = [f"{', '.join(values)} ({what})" for what, values in by_reason.items()]
        text += f" Not supported by this version: {'; '.join(parts)}."
    return text
