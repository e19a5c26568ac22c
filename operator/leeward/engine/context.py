"""What every part of the engine works with, handed in rather than global."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from leeward.api.account import TargetAccount
from leeward.api.task import DRTaskSpec
from leeward.engine.account_book import AccountBook
from leeward.engine.events import Recorder
from leeward.engine.guard import Guard
from leeward.engine.kube import Kube
from leeward.engine.lease import Lease
from leeward.engine.pace import Pace
from leeward.engine.pool import Pool
from leeward.planning.estate.taxonomy import TAXONOMY, Words
from leeward.planning.tasks.step import StepRules
from leeward.settings import Settings
from leeward_adapters.aws import Account, Aws
from leeward_adapters.base import Scope

CHECK_THREADS: Final = 8
"""Threads for what tenants have checked, apart from those that recover."""
_SECRET: Final = "the Secret that the TargetAccount names"


class AccountNotAllowedError(Exception):
    """A TargetAccount is not for the namespace that wants to reach it."""


@dataclass(frozen=True, slots=True)
class Context:
    """The engine's surroundings."""

    kube: Kube
    lease: Lease
    aws: Aws
    pool: Pool
    checks: Pool
    """Threads for checks of dependencies, whose targets tenants choose."""
    guard: Guard
    recorder: Recorder
    settings: Settings
    book: AccountBook
    """What the accounts' sessions carry."""
    now: Callable[[], datetime]
    """The operator's clock: aware, UTC."""
    pace: Pace = field(default_factory=Pace)
    """When runs and tasks were written last."""

    def external_id(self, namespace: str) -> str:
        """What is issued for plans of `namespace`, for the roles' trust policies to demand."""
        return f"leeward/{self.settings.hub}/{namespace}"

    def account(self, target: TargetAccount, namespace: str) -> Account:
        """The AWS account of `target` as plans of `namespace` reach it.

        Raises:
            AccountNotAllowedError: the account is not for that namespace.
        """
        spec = target.spec
        if namespace not in spec.allow.namespaces:
            raise AccountNotAllowedError(
                f"TargetAccount {target.metadata.name} is not for namespace {namespace}; a "
                "platform administrator can add it to its spec.allow.namespaces"
            )
        return self._account(
            target.metadata.name, spec.account_id, (spec.read_role_arn, spec.recovery_role_arn),
            namespace,
        )  # fmt: skip

    def scope_of(self, spec: DRTaskSpec, namespace: str) -> Scope:
        """The account and Region in which a task works, through the role that was frozen."""
        role = spec.role_arn or ""
        account = self._account(
            spec.account, spec.account_id, (role, role), namespace, spec.execution_ref.name
        )
        return self.aws.scope(account, spec.region, recovery=True)

    def _account(
        self,
        name: str,
        account_id: str,
        roles: tuple[str, str],
        namespace: str,
        execution: str = "",
    ) -> Account:
        entry = self.book.entry(name)
        tags = {"leeward:namespace": namespace, "leeward:hub": self.settings.hub}
        if execution:
            tags["leeward:execution"] = execution
        return Account(
            id=account_id,
            name=name,
            read_role_arn=roles[0],
            recovery_role_arn=roles[1],
            external_id=entry.external_id or self.external_id(namespace),
            external_id_from=_SECRET if entry.external_id else "",
            session_name=session_name(namespace, execution),
            # Whatever the account's own tags say, Leeward's are true.
            session_tags={**entry.session_tags, **tags},
        )

    def words(self) -> Words:
        """The values that tags may have: the taxonomy's, and those that the settings add."""
        return Words(
            (*TAXONOMY.priorities, *self.settings.extra_priorities),
            (*TAXONOMY.strategies, *self.settings.extra_strategies),
        )

    def step_rules(self) -> StepRules:
        """The figures that step decisions need."""
        return StepRules(
            settle=self.settings.seconds("settle"),
            poll=self.settings.seconds("poll_interval"),
            attempts=self.settings.retry_attempts,
            backoff=self.settings.seconds("retry_backoff"),
        )


def session_name(namespace: str, execution: str = "") -> str:
    """Name of a role session, which CloudTrail shows: whose it is, and for which run.

    AWS takes 64 characters; what is longer is cut, the whole being in the session's tags.
    """
    return "-".join(("leeward", namespace, *filter(None, [execution])))[:64]
