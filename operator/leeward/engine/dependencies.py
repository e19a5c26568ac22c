"""Checks of what a plan depends on, all at once and within a limit of time. Read-only."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Literal

from botocore.exceptions import BotoCoreError, ClientError

from leeward.api.account import TargetAccount
from leeward.api.plan import Dependency, RecoveryPlan
from leeward.api.plan_record import DependencyStatus
from leeward.engine.context import CHECK_THREADS, AccountNotAllowedError, Context
from leeward.planning.plans.dependencies import account_of
from leeward.planning.times import render_time
from leeward.planning.wording import clip
from leeward_adapters import dependencies
from leeward_adapters.aws import AwsScope
from leeward_adapters.dependencies.addresses import Addresses, networks
from leeward_adapters.errors import classify

log = logging.getLogger(__name__)

PATIENCE: Final = 60.0
"""Seconds after which a check that was not answered is given up."""
OF_A_NAMESPACE: Final = CHECK_THREADS // 2
"""Checks of one namespace that are under way at a time: half of the threads, so that what hangs in
one tenant's plans leaves the other half to the others."""
_FRESH: Final = timedelta(seconds=20)

State = Literal["Holds", "Failed", "Unknown"]


class Dependencies:
    """Looks at the dependencies of plans; an answer serves those who ask within seconds."""

    def __init__(self, context: Context) -> None:
        self._c = context
        self._known: dict[tuple[str, int], tuple[datetime, list[DependencyStatus]]] = {}
        self._rooms = defaultdict[str, asyncio.Semaphore](lambda: asyncio.Semaphore(OF_A_NAMESPACE))

    async def look(
        self, plan: RecoveryPlan, accounts: Mapping[str, TargetAccount]
    ) -> list[DependencyStatus]:
        """What each dependency of the plan is like, in the plan's order. Never raises AWS's errors.

        It takes a minute at most.
        """
        if not plan.spec.dependencies:
            return []
        key, now = (plan.metadata.uid, plan.metadata.generation), self._c.now()
        self._known = {k: v for k, v in self._known.items() if now - v[0] < _FRESH}
        if key not in self._known:
            found = await asyncio.gather(
                *(self._look_at(plan, one, accounts) for one in plan.spec.dependencies)
            )
            self._known[key] = (self._c.now(), list(found))
        return self._known[key][1]

    async def _look_at(
        self, plan: RecoveryPlan, dependency: Dependency, accounts: Mapping[str, TargetAccount]
    ) -> DependencyStatus:
        name = account_of(dependency, plan.spec)
        target = accounts.get(name)
        if target is None:
            state, message = _unknown(f"there is no TargetAccount {name}")
        else:
            state, message = await self._asked(target, plan, dependency)
        return DependencyStatus(
            name=dependency.name, type=dependency.type, state=state,
            message=clip(message, 1024), checked_at=render_time(self._c.now()),
        )  # fmt: skip

    async def _asked(
        self, target: TargetAccount, plan: RecoveryPlan, dependency: Dependency
    ) -> tuple[State, str]:
        what = dependencies.Dependency(
            type=dependency.type,
            target=dependency.target,
            parameters=dict(dependency.parameters),
            primary_region=plan.spec.regions.primary,
            addresses=self._addresses(),
        )
        try:
            namespace = plan.metadata.namespace
            account = self._c.account(target, namespace)
            scope = self._c.aws.scope(account, plan.spec.regions.recovery)
            verdict = await self._checked(namespace, scope, what)
        except AccountNotAllowedError as error:
            return _unknown(str(error))
        except TimeoutError:
            return _unknown(f"no answer within {PATIENCE:g} s")
        except (ClientError, BotoCoreError) as error:
            fault = classify(error)
            return _unknown(f"{fault.code}: {fault.message}")
        except ValueError as error:
            return "Failed", f"{error}; correct spec.dependencies"
        except Exception as error:
            log.warning("dependency %s of %s", dependency.name, plan.metadata.name, exc_info=True)
            return _unknown(
                f"the check itself failed ({type(error).__name__}), which is a defect of Leeward: "
                "the operator's log has the details"
            )
        return ("Holds" if verdict.holds else "Failed"), verdict.message

    async def _checked(
        self, namespace: str, scope: AwsScope, what: dependencies.Dependency
    ) -> dependencies.Verdict:
        """The check's verdict. One that is given up keeps its place until its thread is free."""
        room = self._rooms[namespace]

        def leave(done: asyncio.Future[dependencies.Verdict]) -> None:
            room.release()
            if not done.cancelled():
                done.exception()  # whoever asked may be gone

        async with asyncio.timeout(PATIENCE):
            await room.acquire()
            running = asyncio.ensure_future(self._c.checks.run(dependencies.check, scope, what))
            running.add_done_callback(leave)
            return await asyncio.shield(running)

    def _addresses(self) -> Addresses:
        settings = self._c.settings
        return Addresses(
            networks(settings.check_allowed_networks.split(",")),
            networks(settings.check_denied_networks.split(",")),
            tuple(filter(None, [os.environ.get("KUBERNETES_SERVICE_HOST")])),
        )


def _unknown(why: str) -> tuple[State, str]:
    return "Unknown", why
