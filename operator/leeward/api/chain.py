"""Chains of executions: which operation can follow which, and the record of what followed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Final

from pydantic import Field

from leeward.api.common import PREFIX, Model, Operation, Text

FOLLOWERS: Final[Mapping[str, frozenset[str]]] = {
    "Failover": frozenset({"Reprotect"}),
    "Reprotect": frozenset({"Failback"}),
    "Failback": frozenset({"Cleanup"}),
    "Test": frozenset({"Failover"}),
    "Cleanup": frozenset({"Test"}),
}
"""By operation: those that can follow it. Nothing is cleaned up before a Failback has replicated
again."""
MOST_FOLLOWERS: Final = 5
FOLLOWS_LABEL: Final = f"{PREFIX}follows"
"""Label of an execution that the operator created: the name of the one that it follows."""
FOLLOWS_UID_LABEL: Final = f"{PREFIX}follows-uid"
"""Label with that one's uid."""


class NextRun(Model):
    """An execution that follows this one."""

    operation: Operation
    """What it does."""


class FollowUp(Model):
    """The execution that follows this one."""

    name: Annotated[str, Field(max_length=63)]
    """Its name."""
    operation: Operation
    """What it does."""
    uid: Annotated[str, Field(max_length=64)] = ""
    """Its uid; empty: it was not created."""
    message: Text = ""
    """Why it was not created."""


def _rules() -> Iterator[tuple[str, str]]:
    """Each member of `then` can follow the one before it (the list has few places, and CEL has no
    positions)."""
    pairs = sorted(f"{first}>{next_}" for first, them in FOLLOWERS.items() for next_ in them)
    known = "[" + ", ".join(f"'{pair}'" for pair in pairs) + "]"
    orders = ", ".join(pair.replace(">", " by ") for pair in pairs)
    for place in range(MOST_FOLLOWERS):
        before = f"self.then[{place - 1}]" if place else "self"
        yield (
            f"!has(self.then) || size(self.then) <= {place} || "
            f"{before}.operation + '>' + self.then[{place}].operation in {known}",
            f"spec.then: operations are followed thus: {orders}; never Cleanup before Replicate",
        )


CHAIN_RULES: Final = tuple(_rules())
"""CEL rules (expression, message) of an execution's spec."""
