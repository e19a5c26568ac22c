"""Commands to a run as the annotations that carry them: the key, and the value with its author."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from leeward.api.common import PREFIX
from leeward.cli.failures import Failure

_NAME_MAX: Final = 63
_VALUE_MAX_BYTES: Final = 512
_COMMENT_MAX: Final = 256
_SUFFIX: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")


def key(verb: str, gate: str = "", suffix: str = "") -> str:
    """The annotation's key.

    Raises:
        Failure: it would be none that the API server takes.

    """
    name = f"{verb}-{gate}" if gate else verb
    if suffix:
        if not _SUFFIX.fullmatch(suffix):
            raise Failure(
                f"{suffix!r} is no suffix: it takes letters and digits, and -, _ and . between them"
            )
        name = f"{name}.{suffix}"
    if len(name) > _NAME_MAX:
        raise Failure(
            f"{name} is longer than the {_NAME_MAX} characters that a key may have; "
            "give a shorter --suffix"
        )
    return PREFIX + name


def value(user: str, comment: str = "", resources: Sequence[str] = ()) -> str:
    """The annotation's value: the author, then the resources that are meant, then a comment.

    Raises:
        Failure: it says more than a command may, or would be taken for something else.

    """
    comment = " ".join(comment.split())
    if comment.startswith("["):
        raise Failure("a comment does not begin with [: that is where resource ids are listed")
    if odd := next((r for r in resources if set(r) & set("[],") or r != r.strip()), None):
        raise Failure(f"{odd!r} is no resource id")
    said = " ".join(x for x in (f"[{','.join(resources)}]" if resources else "", comment) if x)
    text = f"{user}: {said}" if said else user
    if len(said) > _COMMENT_MAX or len(text.encode()) > _VALUE_MAX_BYTES:
        raise Failure(
            f"a command says at most {_COMMENT_MAX} characters, resource ids included, and has "
            f"{_VALUE_MAX_BYTES} bytes in all; shorten the comment, or name fewer resources at once"
        )
    return text


def author(text: str) -> str:
    """Who gave the command with this value."""
    return text.partition(": ")[0]


def free_suffix(annotations: Mapping[str, str], verb: str, gate: str, user: str) -> str:
    """A suffix under which `user` can answer beside others whose answers still wait; or none."""
    suffix, number = "", 1
    while (found := annotations.get(key(verb, gate, suffix))) and author(found) != user:
        number += 1
        suffix = str(number)
    return suffix
