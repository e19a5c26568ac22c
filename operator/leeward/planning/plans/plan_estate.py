"""What is known of a plan: what its status, its summary and its conditions are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from leeward.api.inventory import RecoveryInventory
from leeward.api.launch import LaunchStatus
from leeward.api.plan import RecoveryPlan
from leeward.api.plan_record import AccountStatus, Compliance, ReadinessProblem
from leeward.planning.estate import protection
from leeward.planning.estate.direction import toward
from leeward.planning.estate.inventory import Located
from leeward.planning.plans import dependencies
from leeward.planning.problem import Problem
from leeward.planning.runs.explicit import resource_ids, runs_in


@dataclass(frozen=True, slots=True)
class Estate:
    """What is known of a plan."""

    plan: RecoveryPlan
    inventories: Sequence[RecoveryInventory]
    found: Sequence[Located]
    selected: Sequence[Located]
    accounts: Sequence[AccountStatus]
    compliance: Compliance
    readiness: Sequence[ReadinessProblem]
    valid: Sequence[Problem]
    changed: Sequence[str]
    now: datetime
    launch: LaunchStatus | None

    @property
    def tasks(self) -> int:
        """Explicit tasks that a Failover carries out."""
        waves = self.plan.spec.waves
        return sum(runs_in(task, "Failover") for wave in waves for task in wave.tasks)

    @property
    def numbers(self) -> dict[str, int]:
        """By wave: what a Failover works on; of hosted zones, the record sets of its tasks."""
        numbers = {wave.name: 0 for wave in self.plan.spec.waves}
        for found in self.selected:
            if found.resource.technology != "route53" and found.resource.wave in numbers:
                numbers[found.resource.wave] += 1
        for wave in self.plan.spec.waves:
            carried_out = [task for task in wave.tasks if runs_in(task, "Failover")]
            numbers[wave.name] += sum(len(resource_ids(task)) for task in carried_out)
        return numbers

    @property
    def replicating(self) -> list[Located]:
        """DRS servers in the direction that counts: of those that were recovered, the way back."""
        servers = protection.servers(self.selected)
        return [toward("Failback", s) if protection.recovered(s) else s for s in servers]

    @property
    def undiscovered(self) -> list[str]:
        """Accounts that never answered."""
        return [account.name for account in self.accounts if account.discovered_at is None]

    @property
    def lost(self) -> list[str]:
        """Dependencies that do not hold, or of which nothing is known."""
        return [d.name for d in dependencies.current(self.plan) if d.state != "Holds"]

    @property
    def silent(self) -> list[str]:
        """Accounts that did not answer the last time."""
        return [account.name for account in self.accounts if account.problem]

    @property
    def missing(self) -> int:
        """Resources that vanished without a known deletion."""
        return sum(account.missing for account in self.accounts)
