"""What discovery has just read of DRS, so that readiness need not ask for it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from leeward_adapters.base import Scope
from leeward_adapters.drs_instances import RecoveryInstance
from leeward_adapters.drs_sources import judged

RECENT: Final = 60.0
"""Seconds for which it serves."""
_KEY: Final = "drs-snapshot"
_ACTIVE: Final = frozenset({"PENDING", "IN_PROGRESS"})
"""States of a source server's last launch (LaunchStatus) in which a job works on it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All source servers and recovery instances of an account and Region."""

    servers: Mapping[str, Mapping[str, Any]]
    """By id, with what is judged of them alone."""
    instances: Mapping[str, Sequence[RecoveryInstance]]
    """By id of the source server; those without any are not in it."""
    launching: bool
    """Whether the last launch of some server is not over."""

    @property
    def idle(self) -> bool:
        """Whether no job can be at work: none launches, and there is nothing to terminate."""
        return not self.launching and not self.instances


def note(
    scope: Scope,
    servers: Sequence[Mapping[str, Any]],
    instances: Sequence[RecoveryInstance],
    began: float,
) -> None:
    """Keep a whole listing, of which the calls began at `began` of the scope's clock."""
    by_server: dict[str, list[RecoveryInstance]] = {}
    for instance in instances:
        by_server.setdefault(instance.server, []).append(instance)
    last = (s.get("lifeCycle", {}).get("lastLaunch", {}).get("status") for s in servers)
    found = Snapshot(
        servers={s["sourceServerID"]: judged(s) for s in servers},
        instances=by_server,
        launching=any(status in _ACTIVE for status in last),
    )
    scope.views.note(_KEY, found, began)


def recent(scope: Scope) -> Snapshot | None:
    """The newest listing, unless it is too old or something was changed there since."""
    found: Snapshot | None = scope.views.noted(_KEY, scope.now() - RECENT)
    return found
