"""A run that asks to start, with all that the checks of preflight look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from leeward.api.account import TargetAccount
from leeward.api.execution import DRExecution
from leeward.api.inventory import RecoveryInventory
from leeward.api.plan import RecoveryPlan
from leeward.api.tasks import ExplicitTask
from leeward.planning.explicit import run_accounts
from leeward.planning.inventory import Located
from leeward.planning.rules import Problem


@dataclass(frozen=True, slots=True)
class Request:
    """A run that asks to start."""

    execution: DRExecution
    plan: RecoveryPlan
    accounts: Mapping[str, TargetAccount]
    inventories: Sequence[RecoveryInventory]
    found: Sequence[Located]
    now: datetime
    live_elsewhere: Mapping[str, str]

    @property
    def test(self) -> bool:
        """Whether it is a rehearsal."""
        return self.execution.spec.operation == "Test"

    @property
    def strict(self) -> bool:
        """Whether a failed check refuses the run."""
        return self.test or self.execution.spec.mode == "Planned"

    @property
    def selected(self) -> list[Located]:
        """Resources that tags select; hosted zones are worked on by explicit tasks."""
        return [
            found
            for found in self.found
            if found.resource.verdict == "Selected" and found.resource.technology != "route53"
        ]

    @property
    def tasks(self) -> list[ExplicitTask]:
        """The plan's explicit tasks."""
        return [task for wave in self.plan.spec.waves for task in wave.tasks]

    @property
    def undiscovered(self) -> list[str]:
        """Accounts that never answered."""
        heard = {i.spec.account for i in self.inventories if i.status.discovered_at}
        return [ref.name for ref in self.plan.spec.accounts if ref.name not in heard]

    @property
    def known_accounts(self) -> list[tuple[str, TargetAccount]]:
        """The accounts that a run may use, as far as they exist."""
        names = run_accounts(self.plan.spec)
        return [(name, self.accounts[name]) for name in names if name in self.accounts]


Check = Callable[[Request], Iterable[Problem]]
"""A check of preflight: the problems that it sees."""
