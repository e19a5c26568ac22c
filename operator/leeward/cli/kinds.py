"""The kinds that the commands name, by what people type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import click

from leeward.api.common import API_VERSION, GROUP


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind as the API server's paths and people name it."""

    short: str
    plural: str
    singular: str
    namespaced: bool = True

    def path(self, namespace: str, name: str | None = None) -> str:
        """Path of the kind's objects in a namespace, of one object when `name` is given.

        Of a kind without namespaces: in the cluster.
        """
        scope = f"namespaces/{namespace}/" if self.namespaced else ""
        base = f"/apis/{API_VERSION}/{scope}{self.plural}"
        return f"{base}/{name}" if name else base

    @property
    def names(self) -> frozenset[str]:
        """All that kubectl takes for it."""
        return frozenset(
            {self.short, self.plural, self.singular}
            | {f"{word}.{GROUP}" for word in (self.plural, self.singular)}
        )


EXECUTION: Final = Kind("drx", "drexecutions", "drexecution")
TASK: Final = Kind("drt", "drtasks", "drtask")
PLAN: Final = Kind("rp", "recoveryplans", "recoveryplan")
INVENTORY: Final = Kind("rinv", "recoveryinventories", "recoveryinventory")
ACCOUNT: Final = Kind("ta", "targetaccounts", "targetaccount", namespaced=False)


class KindOf(click.ParamType[Kind]):
    """An argument that takes one of some kinds by any of its names."""

    name = "kind"

    def __init__(self, *kinds: Kind) -> None:
        self._kinds = kinds

    def convert(
        self, value: str | Kind, param: click.Parameter | None, ctx: click.Context | None
    ) -> Kind:
        """The kind that `value` names; a usage error where this command has no such kind."""
        if isinstance(value, Kind):
            return value
        found = next((kind for kind in self._kinds if value.lower() in kind.names), None)
        if found is not None:
            return found
        known = " or ".join(f"{kind.short} ({kind.singular})" for kind in self._kinds)
        message = f"{value!r} is none of the kinds that this command takes: {known}"
        raise click.BadParameter(message, ctx, param)
