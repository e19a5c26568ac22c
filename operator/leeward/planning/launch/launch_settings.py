"""Documents of launch settings: read, checked, and merged for one server.

A document comes from a file of a ConfigMap or stands in the plan, and is for all servers, for those
of an account, for those with a tag, or for one. They are merged deeply, the more special over the
more general; of the same kind, that of a later layer over that of an earlier one, and inside a
layer in the order of tag keys. Maps are merged, everything else is replaced, and `null` takes back
what a more general document says (the rules of RFC 7386, JSON merge patch).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import chain, islice
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

from leeward.api.launch import InlineSettings, Launch, LaunchSettings
from leeward.planning import plain_yaml
from leeward.planning.plain_yaml import shown
from leeward.planning.problem import Problem
from leeward.planning.wording import clip

Files = Mapping[str, str]
"""Data of a ConfigMap: contents by key."""
Settings = Mapping[str, Any]
"""A document in the API's form."""

_FILE: Final = re.compile(
    r"(?P<default>defaults)"
    r"|defaults_for_account_(?P<account>[0-9]{12})"
    r"|override_for_tag__(?P<tag>.+)"
    r"|override_for_resource__(?P<resource>.+)"
)
_NAMES: Final = (
    "defaults.yml, defaults_for_account_ACCOUNT.yml, override_for_tag__KEY__VALUE.yml or "
    "override_for_resource__ID.yml"
)
_ELSEWHERE: Final = {
    "replication": "it belongs to the replication configuration of DRS, not to a launch",
}
"""Keys that files of predecessors have, and why they are none here."""
_MOST_FAULTS: Final = 20
"""Faults of one document that are named; more are in nobody's interest."""
_STOPPED: Final = (
    "Leeward launches stopped, and Activate starts the instances: write STOPPED, or leave it out"
)


class Reach(IntEnum):
    """Whom a document is for, the most general first."""

    ALL = 0
    ACCOUNT = 1
    TAG = 2
    RESOURCE = 3


@dataclass(frozen=True, slots=True)
class Server:
    """A server, as far as documents select by it and addresses depend on it."""

    arn: str
    names: frozenset[str]
    """Id, ARN, and the id of the EC2 instance that it replicates."""
    account_id: str
    tags: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    """Private IPv4 address at the source; empty: unknown."""
    label: str = ""
    """What people call it."""


@dataclass(frozen=True, slots=True)
class Document:
    """A checked document."""

    source: str
    """Where it stands, for people."""
    layer: int
    reach: Reach
    settings: Settings
    key: str = ""
    """Account id, tag key, or name of the resource."""
    value: str = ""
    """Value of the tag."""

    def applies(self, server: Server) -> bool:
        """Whether it is for the server."""
        match self.reach:
            case Reach.ALL:
                return True
            case Reach.ACCOUNT:
                return server.account_id == self.key
            case Reach.TAG:
                return server.tags.get(self.key) == self.value
            case Reach.RESOURCE:
                return self.key in server.names

    @property
    def place(self) -> tuple[int, int, str, str]:
        """What the order of merging goes by."""
        return self.reach, self.layer, self.key, self.source


@dataclass(frozen=True, slots=True)
class Merged:
    """The settings of one server."""

    settings: LaunchSettings
    sources: Mapping[str, str]
    """By path, such as `networking.targetSubnetIds`: the document that it comes from."""

    def says(self, path: str, value: object) -> str:
        """`PATH: VALUE (SOURCE)`, for messages."""
        return f"{path}: {value} ({self.sources.get(path, 'implied')})"


def merge(server: Server, documents: Sequence[Document]) -> Merged:
    """What the documents say for the server, all together."""
    settings: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for document in sorted(documents, key=lambda d: d.place):
        if document.applies(server):
            settings = _over(settings, document.settings, document.source, sources)
    return Merged(LaunchSettings.model_validate(settings), sources)


def _over(
    base: Settings, above: Settings, source: str, sources: dict[str, str], path: str = ""
) -> dict[str, Any]:
    result = dict(base)
    for key, value in above.items():
        where = f"{path}.{key}" if path else key
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            below = result.get(key)
            known = below if isinstance(below, Mapping) else {}
            result[key] = _over(known, value, source, sources, where)
        else:
            result[key] = value
            sources[where] = source
    return result


# --- documents ---------------------------------------------------------------------------------


def documents(
    launch: Launch, config_maps: Mapping[str, Files]
) -> tuple[list[Document], list[Problem]]:
    """All documents of the layers, and what is wrong with them.

    `config_maps` are those that could be read, by name; a layer whose ConfigMap is not among them
    is passed over, since whoever tried to read it knows why.
    """
    found: list[Document] = []
    problems: list[Problem] = []
    for layer, given in enumerate(launch.layers):
        if given.inline is not None:
            found.append(_inline(layer, given.inline))
        elif given.config_map_ref and given.config_map_ref.name in config_maps:
            name = given.config_map_ref.name
            files = config_maps[name]
            for key in sorted(files):
                try:
                    found.append(_file(layer, name, key, files[key]))
                except _BadDocument as bad:
                    problems += [_invalid(f"ConfigMap {name}, key {key}", w) for w in bad.wrong]
            problems += _same_file_twice([d for d in found if d.layer == layer])
    return found, problems


def tag_keys(found: Sequence[Document]) -> frozenset[str]:
    """Keys of the tags that the documents select by."""
    return frozenset(d.key for d in found if d.reach is Reach.TAG)


class _BadDocument(Exception):  # noqa: N818 - what is wrong with it, collected
    def __init__(self, wrong: Sequence[str]) -> None:
        super().__init__("; ".join(wrong))
        self.wrong = wrong


def _invalid(where: str, what: str) -> Problem:
    return Problem("InvalidLaunchSettings", clip(f"{where}: {what}", 1024))


def _inline(layer: int, given: InlineSettings) -> Document:
    reach, key, value = Reach.ALL, "", ""
    if given.account_id is not None:
        reach, key = Reach.ACCOUNT, given.account_id
    elif given.tag is not None:
        reach, key, value = Reach.TAG, given.tag.key, given.tag.value
    elif given.resource is not None:
        reach, key = Reach.RESOURCE, given.resource
    source = f"spec.launch.layers[{layer}]"
    return Document(source, layer, reach, given.settings.to_api(), key, value)


def _file(layer: int, config_map: str, name: str, text: str) -> Document:
    reach, key, value = _reach(name)
    settings = _read(text)
    faults = chain(_unknown(settings, LaunchSettings, ""), _ill_formed(settings))
    if wrong := list(islice(faults, _MOST_FAULTS)):
        if next(faults, None) is not None:
            wrong.append(f"there is more that is wrong; these are the first {_MOST_FAULTS}")
        raise _BadDocument(wrong)
    return Document(f"ConfigMap {config_map}, {name}", layer, reach, settings, key, value)


def _reach(name: str) -> tuple[Reach, str, str]:
    stem, dot, ending = name.rpartition(".")
    match = _FILE.fullmatch(stem) if dot and ending in {"yml", "yaml"} else None
    if match is None:
        raise _BadDocument([f"is no name of a file of launch settings; name it {_NAMES}"])
    if match["default"]:
        return Reach.ALL, "", ""
    if match["account"]:
        return Reach.ACCOUNT, match["account"], ""
    if match["resource"]:
        return Reach.RESOURCE, match["resource"], ""
    parts = match["tag"].split("__")
    if len(parts) != 2 or not all(parts):
        why = "KEY and VALUE, with two underscores between them and nowhere else"
        raise _BadDocument(
            [f"names no tag: after override_for_tag__ comes {why}; else give it inline"]
        )
    return Reach.TAG, parts[0], parts[1]


def _same_file_twice(found: Sequence[Document]) -> Iterator[Problem]:
    seen: dict[tuple[Reach, str, str], str] = {}
    for document in found:
        what = (document.reach, document.key, document.value)
        if what in seen:
            yield _invalid(document.source, f"is for the same servers as {seen[what]}; keep one")
        seen[what] = document.source


def _read(text: str) -> dict[str, Any]:
    try:
        read = plain_yaml.read(text)
    except plain_yaml.PlainYamlError as error:
        raise _BadDocument([str(error)]) from error
    if read is None:
        return {}
    if not isinstance(read, dict):
        raise _BadDocument([f"must be a map of settings, not {shown(read)}"])
    return read


# --- checking a document -----------------------------------------------------------------------


def _unknown(given: Any, model: type[BaseModel], path: str) -> Iterator[str]:
    """Keys that the model does not have, with the nearest one that it has."""
    if not isinstance(given, Mapping):
        return
    known = {info.alias or name: info.annotation for name, info in model.model_fields.items()}
    for key, value in given.items():
        name = clip(key, 80) if isinstance(key, str) else shown(key)
        where = f"{path}.{name}" if path else name
        if key not in known:
            yield f"{where}: unknown; {_remedy(name, known)}"
        elif (inner := _model_in(known[key])) is not None:
            yield from _unknown(value, inner, where)


def _remedy(key: str, known: Mapping[str, Any]) -> str:
    if key in _ELSEWHERE:
        return f"{_ELSEWHERE[key]}: take it out"
    near = difflib.get_close_matches(key, known, n=1)
    meant = f"did you mean {near[0]}? There are" if near else "there are"
    return f"{meant} {', '.join(sorted(known))}"


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model of an optional field."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _ill_formed(given: Settings) -> Iterator[str]:
    """What has a wrong type or value, with its path."""
    try:
        LaunchSettings.model_validate(given, strict=True)
    except ValidationError as error:
        for one in error.errors():
            path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in one["loc"])[1:]
            kind, value = one["type"], shown(one["input"])
            if kind == "missing":
                yield f"{path}: is missing"
            elif path == "launchDisposition":
                yield f"{path}: {value} is not possible; {_STOPPED}"
            elif kind in _TYPES:
                yield f"{path}: {value} must be {_TYPES[kind]}"
            else:
                yield f"{path}: {value} is not possible: {one['msg']}"


_TYPES: Final = {
    "bool_type": "true or false",
    "string_type": "a string",
    "list_type": "a list",
    "model_type": "a map",
}
"""pydantic's types of errors, in YAML's terms."""
