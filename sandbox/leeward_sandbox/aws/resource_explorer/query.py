"""The query language of Resource Explorer.

Filters (`name:value`) must all hold, their comma-separated values are alternatives, free words
are alternatives, `-` negates, a trailing `*` matches any ending, quotes hold a phrase together.
There are no AND and OR keywords: such words are searched for.
https://docs.aws.amazon.com/resource-explorer/latest/userguide/using-search-query-syntax.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from leeward_sandbox.aws.backend import AwsError
from leeward_sandbox.aws.resource_explorer.documents import Document

FILTERS = (
    "accountid",
    "application",
    "id",
    "region",
    "resourcetype",
    "resourcetype.supports",
    "service",
    "tag",
    "tag.key",
    "tag.value",
)
_QUOTES = "\"'"


def invalid(message: str, field: str) -> AwsError:
    """ValidationException about one member."""
    return AwsError(
        "ValidationException",
        message,
        status=400,
        FieldList=[{"Name": field, "ValidationIssue": message}],
    )


@dataclass(frozen=True, slots=True)
class Term:
    """One filter or free word: `name` is empty for a word."""

    name: str
    values: tuple[str, ...]
    negated: bool

    def holds(self, document: Document) -> bool:
        """Whether the document satisfies the term."""
        found = any(_MATCHERS[self.name](document, value) for value in self.values)
        return found is not self.negated


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query."""

    filters: tuple[Term, ...]
    words: tuple[Term, ...]

    def matches(self, document: Document) -> bool:
        """Whether the document satisfies every filter and, if there are words, one of them."""
        if not all(term.holds(document) for term in self.filters):
            return False
        wanted = [term for term in self.words if not term.negated]
        excluded = [term for term in self.words if term.negated]
        if not all(term.holds(document) for term in excluded):
            return False
        return not wanted or any(term.holds(document) for term in wanted)


def parse(text: str, *, words: bool = True, field: str = "QueryString") -> Query:
    """Parse a query string.

    Args:
        text: the query; empty matches everything.
        words: whether free words are allowed (ListResources and views take filters only).
        field: the request's member, named in errors.

    Raises:
        AwsError: ValidationException for an unknown filter, an open quote or a word where only
            filters are allowed.
    """
    terms = [_term(token, field) for token in _tokens(text, field)]
    free = tuple(term for term in terms if not term.name)
    if free and not words:
        raise invalid(f"{field} takes filters only, not the word {free[0].values[0]!r}", field)
    return Query(tuple(term for term in terms if term.name), free)


def _tokens(text: str, field: str) -> list[str]:
    tokens: list[str] = []
    current, quote, started = "", "", False
    for char in text:
        if quote:
            quote = "" if char == quote else quote
            current += char
        elif char in _QUOTES:
            quote, started = char, True
            current += char
        elif char.isspace():
            if started:
                tokens.append(current)
            current, started = "", False
        else:
            current, started = current + char, True
    if quote:
        raise invalid(f"{field} has an open quote: {text!r}", field)
    return [*tokens, current] if started else tokens


def _term(token: str, field: str) -> Term:
    negated = token.startswith("-") and len(token) > 1
    body = token[1:] if negated else token
    name, colon, value = _split_unquoted(body, ":")
    if not colon or body[0] in _QUOTES:
        return Term("", (_plain(body),), negated)
    if name.lower() not in FILTERS:
        raise invalid(f"{field} has the unknown filter {name!r}", field)
    values = tuple(_plain(v) for v in _all_unquoted(value, ",") if _plain(v))
    if not values:
        raise invalid(f"{field}: the filter {name!r} has no value", field)
    return Term(name.lower(), values, negated)


def _split_unquoted(text: str, mark: str) -> tuple[str, str, str]:
    quote = ""
    for index, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in _QUOTES:
            quote = char
        elif char == mark:
            return text[:index], mark, text[index + 1 :]
    return text, "", ""


def _all_unquoted(text: str, mark: str) -> list[str]:
    parts, rest, found = [], text, mark
    while found:
        part, found, rest = _split_unquoted(rest, mark)
        parts.append(part)
    return parts


def _plain(text: str) -> str:
    return text.replace('"', "").replace("'", "").strip().lower()


def _same(actual: str, wanted: str) -> bool:
    if wanted.endswith("*"):
        return actual.lower().startswith(wanted[:-1])
    return actual.lower() == wanted


def _tag(document: Document, value: str) -> bool:
    tags = document.tags()
    if value == "all":
        return bool(tags)
    if value == "none":
        return not tags
    key, equals, wanted = value.partition("=")
    if not equals:
        return any(_same(k, key) for k in tags)
    return any(_same(k, key) and _same(v, wanted) for k, v in tags.items())


def _word(document: Document, value: str) -> bool:
    wanted = value.removesuffix("*")
    tags = document.tags()
    texts = (document.arn, document.type, document.region, document.account, *tags, *tags.values())
    return any(wanted in text.lower() for text in texts)


_MATCHERS: dict[str, Callable[[Document, str], bool]] = {
    "": _word,
    "accountid": lambda d, v: _same(d.account, v),
    # No resource of the sandbox belongs to an application of myApplications.
    "application": lambda d, v: False,
    "id": lambda d, v: _same(d.arn, v),
    "region": lambda d, v: _same(d.region, v),
    "resourcetype": lambda d, v: _same(d.type, v),
    # Every type in the sandbox's index can be tagged.
    "resourcetype.supports": lambda d, v: v == "tags",
    "service": lambda d, v: _same(d.service, v),
    "tag": _tag,
    "tag.key": lambda d, v: any(_same(key, v) for key in d.tags()),
    "tag.value": lambda d, v: any(_same(value, v) for value in d.tags().values()),
}
