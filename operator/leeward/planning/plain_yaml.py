"""YAML that tenants write, read within limits.

The operator is everybody's, so a text of a few kilobytes must not cost it minutes or gigabytes: no
aliases, which multiply what they stand for; no tags; little depth; and no more than `LONGEST`
characters. What settings are written with is all there.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

from leeward.planning.wording import clip

LONGEST: Final = 64 * 1024
"""Characters of one text."""
DEEPEST: Final = 16
"""Maps and lists inside one another."""


class PlainYamlError(Exception):
    """The text is not read; the message says why, and where."""


def read(text: str) -> Any:
    """What the text says: maps, lists, strings, numbers, dates, booleans and None.

    Raises:
        PlainYamlError: it is no YAML, or goes beyond the limits.
    """
    if len(text) > LONGEST:
        raise PlainYamlError(
            f"has {len(text)} characters, and {LONGEST} are read: divide it, or leave out what is "
            "no setting"
        )
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ArithmeticError, RecursionError, TypeError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        why = getattr(error, "problem", None) or str(error)
        raise PlainYamlError(f"is no YAML: {where}{clip(why, 300)}") from error


def shown(value: Any) -> str:
    """A value that was read, for messages: what is large is described, not printed."""
    if isinstance(value, str):
        return clip(repr(value[:80]), 80)
    if isinstance(value, dict):
        return f"a map of {len(value)}"
    if isinstance(value, list | tuple | set):
        return f"a list of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"
    return clip(str(value), 80)


class _Loader(yaml.SafeLoader):
    """Refuses what multiplies, and a key that is given twice, which would be the last one's word.

    Nodes are looked at as they are composed, so that nothing beyond the limits is ever built.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _refused("anchors and aliases are not read; write it out", event.start_mark)
        if getattr(event, "tag", None) not in {None, "!"}:
            raise _refused("tags are not read; leave it out", event.start_mark)
        if self._depth == DEEPEST:
            raise _refused(f"more than {DEEPEST} maps and lists in one another", event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for name, _ in node.value:
            if not isinstance(name, yaml.ScalarNode):
                raise _refused("a key must be a single value", name.start_mark)
            key = self.construct_object(name, deep=True)
            if key in seen:
                raise _refused(f"the key {shown(key)} is given twice", name.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _refused(why: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(None, None, why, mark)
