"""What every part of the engine works with, handed in rather than global."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from leeward.api.account import TargetAccount
from leeward.api.task import DRTaskSpec
from leeward.engine.events import Recorder
from leeward.engine.guard import Guard
from leeward.engine.kube import Kube
from leeward.engine.lease import Lease
from leeward.engine.pace import Pace
from leeward.engine.pool import Pool
from leeward.planning.step import StepRules
from leeward.settings import Settings
from leeward_adapters.aws import Account, Aws
from leeward_adapters.base import Scope


@dataclass(frozen=True, slots=True)
class Context:
    """The engine's surroundings."""

    kube: Kube
    lease: Lease
    aws: Aws
    pool: Pool
    guard: Guard
    recorder: Recorder
    settings: Settings
    now: Callable[[], datetime]
    """The operator's clock: aware, UTC."""
    pace: Pace = field(default_factory=Pace)
    """When runs and tasks were written last."""

    def external_id(self, namespace: str) -> str:
        """What the roles' trust policies demand for plans of `namespace`."""
        return f"leeward/{self.settings.hub}/{namespace}"

    def account(self, target: TargetAccount, namespace: str) -> Account:
        """The AWS account of `target` as plans of `namespace` reach it."""
        return self._account(
            target.metadata.name, target.spec.account_id, target.spec.read_role_arn,
            target.spec.recovery_role_arn, namespace,
        )  # fmt: skip

    def scope_of(self, spec: DRTaskSpec, namespace: str) -> Scope:
        """The account and Region in which a task works, through the role that was frozen."""
        role = spec.role_arn or ""
        account = self._account(spec.account, spec.account_id, role, role, namespace)
        return self.aws.scope(account, spec.region, recovery=True)

    def _account(
        self, name: str, account_id: str, read: str, recovery: str, namespace: str
    ) -> Account:
        return Account(
            id=account_id,
            name=name,
            read_role_arn=read,
            recovery_role_arn=recovery,
            external_id=self.external_id(namespace),
            session_tags={"leeward:namespace": namespace, "leeward:hub": self.settings.hub},
        )

    def step_rules(self) -> StepRules:
        """The figures that step decisions need."""
        return StepRules(
            settle=self.settings.seconds("settle"),
            poll=self.settings.seconds("poll_interval"),
            attempts=self.settings.retry_attempts,
            backoff=self.settings.seconds("retry_backoff"),
        )
