"""Tells people what a run's record says: after each pass, without ever holding the run up.

A pass decides what is due, hands it to the outbox and goes on; a later pass records what became of
it, by compare-and-set like everything else. Only passes hand notices over, so only the leader does.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from leeward.api.account import TargetAccount
from leeward.api.execution import DRExecution
from leeward.api.notifications import NotificationRecord
from leeward.api.plan import RecoveryPlan
from leeward.api.task import DRTask
from leeward.engine.context import Context
from leeward.engine.kube import ApiError, ApiUnavailable
from leeward.engine.objects import (
    Held,
    put_status,
    read,
    read_all,
)
from leeward.notify.outbox import Outbox
from leeward.notify.sending import Receiver, send
from leeward.planning.notifications.notices import Delivery, Due, Notice, due, recorded
from leeward.planning.notifications.recipients import account_of
from leeward.planning.times import render_time
from leeward_adapters.aws import Account, Aws

log = logging.getLogger(__name__)

TIMEOUT = 10
"""Seconds that SNS and EventBridge have to answer one call."""
_FRESH = timedelta(seconds=10)
"""How long a plan that was read is taken as it was."""
_AGAIN = timedelta(seconds=1)


class Notifier:
    """Sends the notices of runs."""

    def __init__(self, context: Context) -> None:
        self._c = context
        # Clients of its own: a service that hangs here must not wait a minute, nor hold others up.
        aws = Aws(context.settings.base_region, read_timeout=TIMEOUT)
        self._outbox = Outbox(partial(send, aws), context.lease.assert_valid)
        self._plans: dict[tuple[str, str], tuple[datetime, RecoveryPlan | None]] = {}

    async def after_pass(
        self, run: Held[DRExecution], tasks: Sequence[Held[DRTask]]
    ) -> timedelta | None:
        """Send what is due by the run as it was just written; when to come back, None: any time.

        Never raises for want of the API server: what could not be done now is due at the next
        pass too.
        """
        try:
            return await self._tell(run, [task.model for task in tasks])
        except (ApiError, ApiUnavailable) as error:
            # A 409 says that the object moved on, which wakes the next pass.
            if not (isinstance(error, ApiError) and error.status == 409):
                log.warning("notices of %s wait: %s", run.model.metadata.name, error)
            return None

    async def settle(self, run: Held[DRExecution], tasks: Sequence[DRTask]) -> timedelta | None:
        """The same for a run that ended; when to come back, None: nothing is on its way any more.

        Unlike in a run that goes on, what nobody took is not tried again later.
        """
        plan = await self._plan(run.model)
        if plan is None or plan.spec.notifications is None:
            return None
        uid = run.model.metadata.uid
        if deliveries := self._outbox.deliveries(uid):
            await self._record(run, deliveries)
            return timedelta(0)
        tried = {record.id for record in run.model.status.notifications}
        notices = self._due(run.model, tasks, plan).notices
        handed_over = await self._post(run.model, [n for n in notices if n.id not in tried])
        return self._back(uid) if handed_over else _AGAIN

    async def _tell(self, run: Held[DRExecution], tasks: Sequence[DRTask]) -> timedelta | None:
        plan = await self._plan(run.model)
        if plan is None or plan.spec.notifications is None:
            return None
        uid = run.model.metadata.uid
        if deliveries := self._outbox.deliveries(uid):
            run = await self._record(run, deliveries)
        found = self._due(run.model, tasks, plan)
        handed_over = await self._post(run.model, found.notices)
        waits = (found.later, self._back(uid), None if handed_over else _AGAIN)
        return min((wait for wait in waits if wait is not None), default=None)

    def _back(self, uid: str) -> timedelta | None:
        """When to look whether a notice on its way has arrived: soon, then more and more seldom."""
        if self._outbox.deliveries(uid):
            return _AGAIN
        age = self._outbox.age(uid)
        return None if age is None else max(age, _AGAIN)

    def _due(self, run: DRExecution, tasks: Sequence[DRTask], plan: RecoveryPlan) -> Due:
        """What is due and not on its way."""
        found = due(run, tasks, plan, self._c.now())
        uid = run.metadata.uid
        new = tuple(n for n in found.notices if not self._outbox.knows(uid, n))
        return replace(found, notices=new)

    async def _post(self, run: DRExecution, notices: Sequence[Notice]) -> bool:
        """Hand notices over to be sent; False: there was no room for all of them."""
        if not notices:
            return True
        metadata, now = run.metadata, self._c.now()
        accounts = await read_all(self._c.kube, TargetAccount, None)
        for notice in notices:
            to = [
                Receiver(arn, self._account(arn, metadata.namespace, accounts))
                for arn in notice.to.arns
            ]
            if not self._outbox.post(metadata.uid, notice, to, now):
                log.warning("too many notices on their way; those of %s wait", metadata.name)
                return False
        return True

    def _account(
        self, arn: str, namespace: str, accounts: Sequence[Held[TargetAccount]]
    ) -> Account:
        """The receiver's account: through a TargetAccount of the namespace, else by ourselves.

        A role that demands the namespace's external id lets a tenant reach its own topics only;
        our own identity reaches what the platform's administrators allow it for everybody.
        """
        account_id = account_of(arn)
        for target in sorted(accounts, key=lambda held: held.model.metadata.name):
            spec = target.model.spec
            if spec.account_id == account_id and namespace in spec.allow.namespaces:
                return self._c.account(target.model, namespace)
        return Account(id=account_id)

    async def _record(
        self, run: Held[DRExecution], deliveries: Sequence[Delivery]
    ) -> Held[DRExecution]:
        """The run with what became of notices in its status; a failure is an event besides."""
        records: list[NotificationRecord] = run.model.status.notifications
        for delivery in deliveries:
            records = recorded(records, delivery)
        status = run.model.status.model_copy(update={"notifications": records})
        run = await put_status(self._c.kube, run, status)
        self._outbox.forget(run.model.metadata.uid, deliveries)
        for delivery in deliveries:
            if delivery.failures:
                await self._emit(run, delivery)
        return run

    async def _emit(self, run: Held[DRExecution], delivery: Delivery) -> None:
        what = f"{delivery.notice.matter.type} was not taken by {len(delivery.failures)} receivers"
        await self._c.recorder.emit(
            run.raw, "NotificationFailed", f"{what}: {'; '.join(delivery.failures)}", "Warning",
            render_time(delivery.at), "Notify",
        )  # fmt: skip

    async def _plan(self, run: DRExecution) -> RecoveryPlan | None:
        """The run's plan as it is now, or was a moment ago; None: there is none."""
        key, now = (run.metadata.namespace, run.spec.plan_ref.name), self._c.now()
        known = self._plans.get(key)
        if known is not None and timedelta(0) <= now - known[0] < _FRESH:
            return known[1]
        self._plans = {k: kept for k, kept in self._plans.items() if now - kept[0] < _FRESH}
        plan: RecoveryPlan | None = None
        try:
            plan = (await read(self._c.kube, RecoveryPlan, *key)).model
        except ApiError as error:
            if error.status != 404:
                raise
        self._plans[key] = (now, plan)
        return plan
