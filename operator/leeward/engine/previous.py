"""Whether AWS knows an earlier run of an execution's name.

A restore, or Git, may create last month's execution again. The cluster has forgotten it, AWS has
not: what Leeward makes there carries the name and the uid of the execution that asked for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from botocore.exceptions import BotoCoreError, ClientError

from leeward.api.account import TargetAccount
from leeward.api.execution import DRExecution
from leeward.engine.context import Context
from leeward.planning.runs.freeze import FrozenTask
from leeward.planning.wording import counted, some
from leeward_adapters import registry
from leeward_adapters.base import Earlier, Traceable

log = logging.getLogger(__name__)
PATIENCE = 10.0
"""Seconds for which a new run waits for an account that does not say."""


class PreviousRuns:
    """Asks AWS for earlier runs."""

    def __init__(self, context: Context) -> None:
        self._c = context

    async def found(
        self,
        execution: DRExecution,
        accounts: Mapping[str, TargetAccount],
        tasks: Sequence[FrozenTask],
    ) -> str:
        """What AWS knows of an earlier run of the name, for people; empty: nothing, or adopted.

        An account that does not answer is passed over: an outage is no reason not to start.
        """
        if execution.status.adopted:
            return ""
        places = {(t.spec.technology, t.spec.account, t.spec.region) for t in tasks}
        asked = [
            asyncio.create_task(self._ask(execution, accounts[account], traceable, region))
            for technology, account, region in sorted(places)
            if (traceable := _traceable(technology))
        ]
        if not asked:
            return ""
        done, late = await asyncio.wait(asked, timeout=PATIENCE)
        if late:
            log.warning("%s: %d accounts do not say", execution.metadata.name, len(late))
        return "; ".join(sorted(said for each in done if (said := each.result())))

    async def _ask(
        self, execution: DRExecution, target: TargetAccount, adapter: Traceable, region: str
    ) -> str:
        namespace, name = execution.metadata.namespace, execution.metadata.name
        account = self._c.account(target, namespace)
        try:
            earlier = await self._c.pool.run(
                adapter.earlier,
                self._c.aws.scope(account, region),
                self._c.settings.hub, namespace, name, execution.metadata.uid,
            )  # fmt: skip
        except (ClientError, BotoCoreError) as error:
            log.warning("%s: account %s, %s: %s", name, account.id, region, error)
            return ""
        return _said(earlier, f"account {account.id} ({target.metadata.name}), {region}")


def _traceable(technology: str) -> Traceable | None:
    """The adapter, if there is one and its service can be asked."""
    try:
        adapter = registry.adapter(technology)
    except registry.AdapterError:
        return None
    return adapter if isinstance(adapter, Traceable) else None


def _said(earlier: Sequence[Earlier], where: str) -> str:
    if not earlier:
        return ""
    resources = {target for one in earlier for target in one.targets}
    jobs = some([f"{one.reference} of {one.at}" for one in earlier], 3)
    return f"{jobs} with {counted(len(resources), 'resource')} in {where}"
