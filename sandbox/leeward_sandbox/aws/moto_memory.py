"""What moto works out anew for every member of every answer, remembered or looked up.

A list of a hundred instances has tens of thousands of members. For each of them moto builds the
names under which its own objects may hold it, which depend on the member and the object's class
alone, and tries every transformer of the service; and for each instance it goes through the tags
of everything. Answers are the same without.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from moto.core.serialize import AttributePickerContext, XFormedAttributePicker
from moto.core.utils import get_value
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.models.tags import TagBackend

_ABSENT: Final = object()
_worked_out = XFormedAttributePicker.get_possible_keys
_names: dict[tuple[Any, ...], tuple[str, ...]] = {}
_endings: dict[tuple[tuple[str, ...], str], tuple[str, ...]] = {}


def install() -> None:
    """Have this process's moto remember."""
    changes: list[tuple[type, str, Callable[..., Any]]] = [
        (XFormedAttributePicker, "__call__", _picked),
        (TaggedEC2Resource, "get_tags", _tags),
    ]
    for owner, name, instead in changes:
        setattr(owner, name, instead)


def _picked(picker: XFormedAttributePicker, context: AttributePickerContext) -> Any:
    """The value of a member of an object; None: it has none."""
    value = None
    for name in _possible_names(picker, context):
        found = get_value(context.obj, name, _ABSENT)
        if found is not _ABSENT:
            value = found
            break
    if not picker.response_transformers:
        return value
    path = f"{context.key_path}.{context.key}"
    for ending in _possible_endings(picker, context.key):
        if path.endswith(ending):
            return picker.response_transformers[ending](value)
    return value


def _possible_names(
    picker: XFormedAttributePicker, context: AttributePickerContext
) -> tuple[str, ...]:
    """Names of a member in an object, each once. Shapes live as long as the service's model."""
    key = (tuple(picker.alias_providers), type(context.obj), context.shape, context.key)
    found = _names.get(key)
    if found is None:
        found = _names[key] = tuple(dict.fromkeys(_worked_out(picker, context)))
    return found


def _possible_endings(picker: XFormedAttributePicker, key: str) -> tuple[str, ...]:
    """Ends of paths to be transformed that may be those of a member of that name."""
    known = (tuple(picker.response_transformers), key)
    found = _endings.get(known)
    if found is None:
        found = _endings[known] = tuple(p for p in known[0] if f".{key}".endswith(p[-len(key) :]))
    return found


def _tags(resource: Any) -> list[dict[str, str]]:
    known: dict[str, dict[str, str]] = resource.ec2_backend.tags
    if resource.id not in known:
        return []
    alone = TagBackend()
    alone.tags[resource.id] = known[resource.id]
    return list(alone.describe_tags())
