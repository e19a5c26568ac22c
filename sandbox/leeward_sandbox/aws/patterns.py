"""The patterns of AWS's models as Python regular expressions.

The models are written for Java, whose character properties `re` does not know. What stands for
them here admits at least the same ASCII characters, and beyond ASCII at most a little more.
"""

from __future__ import annotations

import functools
import logging
import re

_log = logging.getLogger(__name__)

# Inside a character class. `\w` has letters, marks, digits and the underscore of all scripts.
_IN_CLASS: dict[str, str] = {
    "L": r"\w",
    "M": "\u0300-\u036f",
    "N": r"\d",
    "Nd": r"\d",
    "Z": r"\s",
    "Zs": " \u00a0\u2000-\u200a\u202f\u205f\u3000",
    "P": r"!-#%-*,-/:;?@\[-\]_{}\u00a1-\u00bf\u2010-\u2027\u2030-\u205e\u3001-\u3003",
    "S": r"$+<->^`|~\u00a2-\u00b8\u00d7\u00f7\u2044\u20a0-\u20cf\u2100-\u2bff",
    "Print": r"\x20-\x7e",
    "ASCII": r"\x00-\x7f",
    "XDigit": "0-9A-Fa-f",
    "Alnum": "0-9A-Za-z",
    "Alpha": "A-Za-z",
    "Punct": r"!-/:-@\[-`{-~",
    "LD": r"\w",
}
_PROPERTY = re.compile(r"\\p\{(\w+)\}")
# Java reads the pair of surrogates as one code point; Python sees a reversed range.
_SURROGATE_RANGE = r"\uD800\uDC00-\uDBFF\uDFFF"
_ASTRAL_RANGE = r"\U00010000-\U0010ffff"
_HYPHEN_AFTER_CLASS = re.compile(r"(\\[wd])-(?=[^\]])")


@functools.cache
def matcher(pattern: str) -> re.Pattern[str] | None:
    """The compiled pattern, or None (logged once) where Python cannot express it."""
    source = pattern.replace(_SURROGATE_RANGE, _ASTRAL_RANGE)
    flags = re.ASCII if r"\p{" not in source else re.UNICODE
    if "(?i)" in source:
        source, flags = source.replace("(?i)", ""), flags | re.IGNORECASE
    try:
        return re.compile(_translated(source), flags)
    except re.error as error:
        _log.warning("pattern %r of a service model is not checked: %s", pattern, error)
        return None


def matches(pattern: str, value: str) -> bool:
    """Whether AWS would accept `value` for a member with that pattern.

    The whole value must match, as in AWS's older services, unless the pattern brings its own
    anchors (``^``, ``$``) or only asks for one character of a kind (``\\S``).
    """
    compiled = matcher(pattern)
    if compiled is None:
        return True
    anchored = pattern.startswith("^") or pattern.endswith("$") or pattern == r"\S"
    return bool(compiled.search(value) if anchored else compiled.fullmatch(value))


def _translated(source: str) -> str:
    out: list[str] = []
    position = 0
    in_class = False
    while position < len(source):
        found = _PROPERTY.match(source, position)
        if found and found[1] in _IN_CLASS:
            members = _IN_CLASS[found[1]]
            out.append(members if in_class else f"[{members}]")
            position = found.end()
            continue
        hyphen = _HYPHEN_AFTER_CLASS.match(source, position) if in_class else None
        if hyphen:
            out.append(f"{hyphen[1]}\\-")
            position = hyphen.end()
            continue
        char = source[position]
        width = 2 if char == "\\" else 1
        if char == "[":
            in_class = True
        elif char == "]":
            in_class = False
        out.append(source[position : position + width])
        position += width
    return "".join(out)
