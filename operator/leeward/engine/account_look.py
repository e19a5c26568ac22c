"""Looks at an account through its roles: identity, trust, rights, and DRS with its quotas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from botocore.exceptions import BotoCoreError, ClientError

from leeward.api.account import (
    QuotaStatus,
    RefusedStatus,
    RegionStatus,
    RoleStatus,
    TargetAccount,
)
from leeward.engine.context import Context
from leeward.planning.accounts.account_status import free_servers
from leeward.planning.accounts.account_use import Use
from leeward.planning.plans.named import Named
from leeward.planning.wording import clip
from leeward_adapters import drs_capacity, iam_policy, permissions, quotas
from leeward_adapters.attribution import asking
from leeward_adapters.aws import Account
from leeward_adapters.base import ErrorClass
from leeward_adapters.errors import Fault, classify

_LONGEST = 1024
_MOST_ACTIONS = 200
RoleUse = Literal["Read", "Recovery"]


@dataclass(frozen=True, slots=True)
class Looker:
    """Blocking looks at one account; each is called in the pool of threads."""

    context: Context
    target: TargetAccount
    use: Use

    @property
    def region(self) -> str:
        """The Region through which the roles are tried: one where the account is used."""
        regions = self.use.regions or tuple(self.target.spec.regions)
        base = self.context.settings.base_region
        return base if not regions or base in regions else regions[0]

    @asking("accounts")
    def role(self, use: RoleUse) -> RoleStatus:
        """Everything about one of the roles."""
        for namespace in self.target.spec.allow.namespaces:
            status = self._assumed(use, self.context.account(self.target, namespace), namespace)
            if status.assumed != "Yes":
                return status
        account = self.context.account(self.target, self.target.spec.allow.namespaces[0])
        return self._rights(use, account, self._trust(use, account))

    def _assumed(self, use: RoleUse, account: Account, namespace: str) -> RoleStatus:
        role = account.role(recovery=use == "Recovery")
        scope = self.context.aws.scope(account, self.region, recovery=use == "Recovery")
        try:
            caller = self.context.aws.whoami(scope)
        except (ClientError, BotoCoreError) as error:
            fault = classify(error)
            passing = fault.kind in {ErrorClass.TRANSIENT, ErrorClass.IN_DOUBT}
            said = f"{role} for namespace {namespace}: {_said(fault)}"
            return RoleStatus(
                use=use, assumed="Unknown" if passing else "No", message=clip(said, _LONGEST)
            )
        if caller.account_id == self.target.spec.account_id:
            return RoleStatus(use=use, assumed="Yes")
        said = (
            f"{role} answers as account {caller.account_id}, not {self.target.spec.account_id}: "
            "correct spec.accountId or the role's ARN"
        )
        return RoleStatus(use=use, assumed="No", message=said)

    def _trust(self, use: RoleUse, account: Account) -> RoleStatus:
        """Whether the role refuses a session that shows no external id."""
        status = RoleStatus(use=use, assumed="Yes")
        try:
            self.context.aws.assume(replace(account, external_id=""), recovery=use == "Recovery")
        except (ClientError, BotoCoreError) as error:
            refused = classify(error).kind is ErrorClass.DENIED
            return status.model_copy(update={"external_id": "Demanded" if refused else "Unknown"})
        return status.model_copy(update={"external_id": "NotDemanded"})

    def _rights(self, use: RoleUse, account: Account, status: RoleStatus) -> RoleStatus:
        recovery = use == "Recovery"
        needed = iam_policy.needed(self.use.technologies, self.use.dependencies)
        rights = permissions.check(
            self.context.aws.scope(account, self.region),
            self.context.aws.scope(account, self.region, recovery=recovery),
            account.role(recovery=recovery),
            needed.recovery if recovery else needed.read,
            _named(self.use.named) if recovery else None,
        )
        return status.model_copy(
            update={
                "permissions": rights.how,
                "missing": list(rights.missing)[:_MOST_ACTIONS],
                "unchecked": len(rights.unchecked),
                "refused": [
                    RefusedStatus(
                        action=one.action, subject=one.subject, message=clip(one.why, _LONGEST)
                    )
                    for one in rights.refused
                ],
                "message": clip(rights.why, _LONGEST) or None,
            }
        )

    @asking("accounts")
    def drs(self, region: str) -> RegionStatus:
        """DRS of the account in one Region, through the read role."""
        account = self.context.account(self.target, self.target.spec.allow.namespaces[0])
        scope = self.context.aws.scope(account, region)
        try:
            used = drs_capacity.look(scope)
        except (ClientError, BotoCoreError) as error:
            said = clip(_said(classify(error)), _LONGEST)
            return RegionStatus(region=region, drs="Unknown", message=said)
        if not used.initialized:
            return RegionStatus(region=region, drs="NotInitialized")
        read = [quotas.read(scope, known) for known in quotas.DRS]
        limit = next(q for q in read if q.known is quotas.DRS_REPLICATING)
        unread = next((q.why for q in read if q.why), "")
        return RegionStatus(
            region=region,
            drs="Initialized",
            source_servers=used.servers,
            replicating_servers=used.replicating,
            free_servers=free_servers(self.target, int(limit.value), used.replicating),
            jobs=used.jobs,
            servers_in_jobs=used.servers_in_jobs,
            quotas=_quotas(read),
            message=clip(f"quotas: {unread}", _LONGEST) if unread else None,
        )


def _quotas(read: Sequence[quotas.Quota]) -> list[QuotaStatus]:
    return [
        QuotaStatus(code=q.known.code, name=q.known.name, value=int(q.value), source=q.source)
        for q in read
    ]


def _named(named: Named) -> permissions.Named:
    return permissions.Named(named.instance_profiles, named.documents, named.document_roles)


def _said(fault: Fault) -> str:
    return f"{fault.code}: {fault.message}"
