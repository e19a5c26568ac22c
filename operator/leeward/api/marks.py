"""Which fields and values of a stored object do nothing in this version.

The generated CRD refuses them when they are written (`structural`); an object may hold them all the
same, because a newer version stored it or an older CRD was installed. Both read the same marks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from leeward.api.common import Model
from leeward.api.structural import LATER, LATER_VALUES, Schema, inlined

_MOST = 50
"""As many as `status.unsupported` holds."""


def unsupported(model: Model) -> list[str]:
    """What of `model` is stored and has no effect, such as `spec.waves[1].tolerance: WHY`.

    A value is named after its field: `spec.waves[1].prewarm=WhenInert: WHY`. List positions count
    from 0, as in the API server's own messages. Beyond 50 findings the last line counts the rest,
    so that the result always fits into `status.unsupported`.
    """
    found = list(_walk(model.to_api(), _schema(type(model)), ""))
    if len(found) <= _MOST:
        return found
    return [*found[: _MOST - 1], f"and {len(found) - _MOST + 1} more"]


def supported_part(
    stored: Mapping[str, Any], model: type[Model]
) -> tuple[dict[str, Any], list[str]]:
    """An object without the fields that the CRD would refuse, and what was taken out and why.

    Values without behaviour stay, and `unsupported` names them: which other value is meant, a
    person must say.

    Args:
        stored: The object in the API's form, such as a manifest for `kubectl apply`.
        model: Its model.

    """
    dropped: list[str] = []
    return _without_later(stored, _schema(model), "", dropped), dropped


@cache
def _schema(model: type[Model]) -> Schema:
    return inlined(model)


def _walk(value: Any, schema: Schema, path: str) -> Iterator[str]:
    if LATER in schema:
        # An empty list or map is what an object written by a program has for an absent one.
        if value not in ([], {}):
            yield f"{path}: {schema[LATER]}"
        return
    reason = schema.get(LATER_VALUES, {}).get(value) if isinstance(value, str) else None
    if reason is not None:
        yield f"{path}={value}: {reason}"
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _walk(item, schema["items"], f"{path}[{position}]")
    elif isinstance(value, dict):
        for name, child in schema.get("properties", {}).items():
            if name in value:
                yield from _walk(value[name], child, f"{path}.{name}" if path else name)


def _without_later(value: Any, schema: Schema, path: str, dropped: list[str]) -> Any:
    if isinstance(value, list):
        items: Schema = schema.get("items", {})
        return [
            _without_later(item, items, f"{path}[{position}]", dropped)
            for position, item in enumerate(value)
        ]
    if not isinstance(value, Mapping):
        return value
    kept: dict[str, Any] = {}
    for name, child in value.items():
        field = schema.get("properties", {}).get(name, {})
        where = f"{path}.{name}" if path else name
        if LATER in field:
            dropped.append(f"{where}: {field[LATER]}")
        else:
            kept[name] = _without_later(child, field, where, dropped)
    return kept
