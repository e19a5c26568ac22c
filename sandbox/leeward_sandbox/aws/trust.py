"""Trust policies of IAM roles: who may assume a role, and under which conditions.

The evaluation is that of
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html for one
resource policy: a matching Deny refuses, else a matching Allow allows, else no.
"""

from __future__ import annotations

import fnmatch
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_log = logging.getLogger(__name__)

Context = Mapping[str, Sequence[str]]
"""Condition keys, lower case, and their values; a key that the request lacks is absent."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: the account, and every ARN under which a policy may name the caller."""

    account: str
    arns: frozenset[str]

    def is_named_by(self, value: str) -> bool:
        """Whether a policy's ``Principal.AWS`` value means this caller (alone or among others)."""
        if value in ("*", self.account) or value in self.arns:
            return True
        return bool(re.fullmatch(rf"arn:aws[\w-]*:iam::{self.account}:root", value))


def allows(document: str, action: str, principal: Principal, context: Context) -> bool:
    """Whether the trust policy `document` (JSON) lets `principal` do `action`.

    A policy that is no JSON allows nothing. A condition operator that is not known here is taken
    as not met in an Allow and met in a Deny, and logged.
    """
    try:
        statements = json.loads(document)["Statement"]
    except (ValueError, KeyError, TypeError):
        _log.warning("a role's trust policy is not a policy document; it allows nothing")
        return False
    allowed = False
    for statement in listed(statements):
        denies = statement.get("Effect") == "Deny"
        if not _applies(statement, action, principal, context, doubt=denies):
            continue
        if denies:
            return False
        allowed = True
    return allowed


def _applies(
    statement: Mapping[str, Any], action: str, principal: Principal, context: Context, doubt: bool
) -> bool:
    actions = [str(name).lower() for name in listed(statement.get("Action", []))]
    if not any(fnmatch.fnmatchcase(action.lower(), pattern) for pattern in actions):
        return False
    named = statement.get("Principal", {})
    values = ["*"] if named == "*" else listed(named.get("AWS", []))
    if not any(principal.is_named_by(str(value)) for value in values):
        return False
    return all(
        met(operator, key, [str(value) for value in listed(wanted)], context, doubt)
        for operator, keys in statement.get("Condition", {}).items()
        for key, wanted in keys.items()
    )


def _like(value: str, pattern: str) -> bool:
    # IAM knows * and ?, and no [classes].
    return fnmatch.fnmatchcase(value, pattern.replace("[", "[[]"))


_COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "stringequals": lambda value, wanted: value == wanted,
    "stringequalsignorecase": lambda value, wanted: value.lower() == wanted.lower(),
    "stringlike": _like,
    "arnequals": _like,
    "arnlike": _like,
    "bool": lambda value, wanted: value.lower() == wanted.lower(),
}


def met(operator: str, key: str, wanted: list[str], context: Context, doubt: bool) -> bool:
    """Whether a condition holds; `doubt` is the answer for an operator that is not known here."""
    quantifier, _, name = operator.lower().rpartition(":")
    optional = name.endswith("ifexists")
    name = name.removesuffix("ifexists")
    values = context.get(key.lower())
    if name == "null":
        return (values is None) == (wanted[0].lower() == "true")
    negated = name.startswith(("stringnot", "arnnot"))
    compare = _COMPARISONS.get(name.replace("not", "", 1) if negated else name)
    if compare is None:
        _log.warning("condition operator %s of a trust policy is not known here", operator)
        return doubt
    if values is None:
        return optional or negated or quantifier == "forallvalues"
    results = [any(compare(value, one) for one in wanted) != negated for value in values]
    return any(results) if quantifier == "foranyvalue" else all(results)


def listed(value: Any) -> list[Any]:
    """`value` as a list: policies write a list of one without its brackets."""
    return value if isinstance(value, list) else [value]
