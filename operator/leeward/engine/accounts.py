"""The pass over one TargetAccount: issue external ids, try both roles, say what is wrong."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from botocore.exceptions import BotoCoreError, ClientError

from leeward.api.account import IssuedExternalId, TargetAccount, TargetAccountStatus
from leeward.api.common import Condition
from leeward.api.conditions import Type, drop_condition, set_condition
from leeward.api.marks import unsupported
from leeward.engine.context import Context
from leeward.engine.kube import ApiError
from leeward.engine.objects import put_status, read
from leeward.engine.supervisor import Key
from leeward.planning.times import render_time
from leeward_adapters.errors import classify

INTERVAL = timedelta(minutes=5)


class AccountReconciler:
    """Passes over TargetAccounts."""

    def __init__(self, context: Context) -> None:
        self._c = context
        self._tried: dict[str, tuple[int, datetime]] = {}

    async def run(self, key: Key) -> float | None:
        """One pass; seconds until the next, or None when there is no such account."""
        try:
            held = await read(self._c.kube, TargetAccount, None, key.name)
        except ApiError as error:
            if error.status == 404:
                self._tried.pop(key.uid, None)
                return None
            raise
        generation = held.model.metadata.generation
        tried = self._tried.get(key.uid)
        if tried and tried[0] == generation and self._c.now() - tried[1] < INTERVAL:
            return (tried[1] + INTERVAL - self._c.now()).total_seconds()
        problems = [
            problem
            for namespace in held.model.spec.allow.namespaces
            for recovery in (False, True)
            if (problem := await self._try(held.model, namespace, recovery))
        ]
        await put_status(self._c.kube, held, self._status(held.model, problems))
        self._tried[key.uid] = (generation, self._c.now())
        return INTERVAL.total_seconds()

    async def _try(self, target: TargetAccount, namespace: str, recovery: bool) -> str:
        """Why the role can't be used for plans of `namespace`; empty: it can."""
        account = self._c.account(target, namespace)
        region = (target.spec.regions or [self._c.settings.base_region])[0]
        scope = self._c.aws.scope(account, region, recovery=recovery)
        role = account.role(recovery=recovery)
        try:
            caller = await self._c.pool.run(self._c.aws.whoami, scope)
        except (ClientError, BotoCoreError) as error:
            fault = classify(error)
            return f"{role} for namespace {namespace}: {fault.code}: {fault.message}"
        if caller.account_id != target.spec.account_id:
            return f"{role} is a role of account {caller.account_id}, not {target.spec.account_id}"
        return ""

    def _status(self, target: TargetAccount, problems: list[str]) -> TargetAccountStatus:
        message = "; ".join(problems)[:1024]
        at = render_time(self._c.now())
        conditions = list(target.status.conditions)

        def put(kind: str, verdict: Literal["True", "False"]) -> None:
            nonlocal conditions
            new = Condition(
                type=kind,
                status=verdict,
                reason="RoleNotUsable" if problems else "RolesAssumed",
                message=message or "both roles were assumed for every namespace",
                last_transition_time=at,
                observed_generation=target.metadata.generation,
            )
            conditions = set_condition(conditions, new)

        put(Type.READY, "False" if problems else "True")
        if problems:
            put(Type.STALLED, "True")
        else:
            conditions = drop_condition(conditions, Type.STALLED)
        return target.status.model_copy(
            update={
                "observed_generation": target.metadata.generation,
                "conditions": conditions,
                "external_ids": [
                    IssuedExternalId(namespace=n, external_id=self._c.external_id(n))
                    for n in target.spec.allow.namespaces
                ],
                "message": message or None,
                "unsupported": unsupported(target.spec),
            }
        )
