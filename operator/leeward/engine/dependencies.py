"""Checks of what a plan depends on, all at once and within a limit of time. Read-only."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Literal

from botocore.exceptions import BotoCoreError, ClientError

from leeward.api.account import TargetAccount
from leeward.api.plan import Dependency, RecoveryPlan
from leeward.api.plan_record import DependencyStatus
from leeward.engine.context import AccountNotAllowedError, Context
from leeward.planning.dependencies import account_of
from leeward.planning.times import render_time
from leeward.planning.wording import clip
from leeward_adapters import dependencies
from leeward_adapters.dependencies.addresses import Addresses, networks
from leeward_adapters.errors import classify

log = logging.getLogger(__name__)

PATIENCE: Final = 60.0
"""Seconds after which a check that was not answered is given up."""
_FRESH: Final = timedelta(seconds=20)

State = Literal["Holds", "Failed", "Unknown"]


class Dependencies:
    """Looks at the dependencies of plans; an answer serves those who ask within seconds."""

    def __init__(self, context: Context) -> None:
        self._c = context
        self._known: dict[tuple[str, int], tuple[datetime, list[DependencyStatus]]] = {}

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
            account = self._c.account(target, plan.metadata.namespace)
            scope = self._c.aws.scope(account, plan.spec.regions.recovery)
            verdict = await asyncio.wait_for(
                self._c.checks.run(dependencies.check, scope, what), PATIENCE
            )
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

    def _addresses(self) -> Addresses:
        settings = self._c.settings
        return Addresses(
            networks(settings.check_allowed_networks.split(",")),
            networks(settings.check_denied_networks.split(",")),
            tuple(filter(None, [os.environ.get("KUBERNETES_SERVICE_HOST")])),
        )


def _unknown(why: str) -> tuple[State, str]:
    return "Unknown", why
