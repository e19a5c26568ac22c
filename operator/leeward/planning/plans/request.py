"""A run that asks to start, with all that the checks of preflight look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from leeward.api.account import TargetAccount
from leeward.api.execution import DRExecution
from leeward.api.inventory import RecoveryInventory
from leeward.api.plan import RecoveryPlan
from leeward.api.plan_record import DependencyStatus
from leeward.api.tasks import ExplicitTask
from leeward.planning.estate.direction import MOVES_TO, OUTWARD, takes, toward
from leeward.planning.estate.inventory import Located
from leeward.planning.estate.scope import taken, waves_of
from leeward.planning.problem import Problem
from leeward.planning.runs.explicit import RecordedSizes, run_accounts
from leeward.planning.runs.holding import Holding


@dataclass(frozen=True, slots=True)
class Request:
    """A run that asks to start."""

    execution: DRExecution
    plan: RecoveryPlan
    accounts: Mapping[str, TargetAccount]
    inventories: Sequence[RecoveryInventory]
    found: Sequence[Located]
    now: datetime
    live_elsewhere: Mapping[Holding, str]
    previous: DRExecution | None = None
    """The run that this one continues."""
    dependencies: Sequence[DependencyStatus] | None = None
    """What the plan depends on, as it was looked at for this run; None: the plan's status says."""
    sizes: RecordedSizes = field(default_factory=dict)
    """Of Auto Scaling groups before a Failover emptied them."""

    @property
    def test(self) -> bool:
        """Whether it is a rehearsal."""
        return self.execution.spec.operation == "Test"

    @property
    def outward(self) -> bool:
        """Whether it begins where the estate is at home."""
        return self.execution.spec.operation in OUTWARD

    @property
    def strict(self) -> bool:
        """Whether a failed check refuses the run."""
        return self.test or self.execution.spec.mode == "Planned"

    @property
    def selected(self) -> list[Located]:
        """Resources that the run works on."""
        return taken(self.execution.spec, self.plan.spec, self.eligible)

    @property
    def losing(self) -> list[Located]:
        """What the run moves, with the replication that carries it over."""
        operation = self.execution.spec.operation
        moves = self.outward or operation in MOVES_TO
        return [toward(operation, f) for f in self.selected if moves and takes(operation, f)]

    @property
    def eligible(self) -> list[Located]:
        """Resources that tags select; hosted zones are worked on by explicit tasks."""
        return [
            found
            for found in self.found
            if found.resource.verdict == "Selected" and found.resource.technology != "route53"
        ]

    @property
    def tasks(self) -> list[ExplicitTask]:
        """The explicit tasks of the run's waves."""
        waves = waves_of(self.execution.spec, self.plan.spec)
        return [task for _, wave in waves for task in wave.tasks]

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
