"""Launch settings and the inventory: servers as the layers see them, and what is said of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal

from leeward.api.conditions import Reason
from leeward.api.inventory import Finding, InventoryResource, RecoveryInventory
from leeward.api.launch import LaunchStatus, ServerLaunch
from leeward.planning.estate.findings import all_of
from leeward.planning.launch.launch_settings import Server
from leeward.planning.problem import Problem
from leeward.planning.wording import counted

DIFFER: Final = "LaunchSettingsDiffer"
"""Reason of the finding that AWS has other settings than the plan wants."""
_PROBLEMS: Final = 20
_EXAMPLES: Final = 5


def server_of(resource: InventoryResource, account_id: str) -> Server:
    """A source server of the inventory, in the recovery account `account_id`."""
    attributes = resource.attributes
    names = {resource.id, resource.arn, attributes.get("originInstanceId", "")} - {""}
    return Server(
        arn=resource.arn,
        names=frozenset(names),
        account_id=account_id,
        tags=resource.tags,
        address=attributes.get("sourceAddress", ""),
        label=f"{resource.name} ({resource.id})" if resource.name else resource.id,
    )


def with_launches(
    resources: Sequence[InventoryResource], launches: Mapping[str, ServerLaunch]
) -> list[InventoryResource]:
    """The resources with their settings, by ARN."""
    return [
        r.model_copy(update={"launch": launches[r.arn]}) if r.arn in launches else r
        for r in resources
    ]


def report(
    digest: str,
    resources: Mapping[str, Sequence[InventoryResource]],
    problems: Sequence[Problem],
) -> LaunchStatus:
    """What the plan's status says of the layers; what AWS has comes with the findings."""
    return LaunchStatus(
        digest=digest,
        servers=sum(r.launch is not None for some in resources.values() for r in some),
        problem_count=len(problems),
        problems=[problem.message for problem in problems[:_PROBLEMS]],
        reason=problems[0].reason if problems else "",
    )


def told(launch: LaunchStatus, show: int = 3) -> str:
    """What is wrong with the settings; a fault that servers of an account share is said once."""
    faults: dict[str, str] = {}
    for problem in launch.problems:
        faults.setdefault(problem.partition("(account ")[2] or problem, problem)
    shown = list(faults.values())[:show]
    more = launch.problem_count - len(shown)
    return "; ".join(shown) + (f"; and {more} more (see status.launch.problems)" if more else "")


def verdict(launch: LaunchStatus) -> tuple[Literal["True", "False"], str, str]:
    """Status, reason and message of the condition `LaunchSettingsValid`."""
    if launch.problem_count:
        kept = "; servers keep the settings that they had"
        return "False", launch.reason, told(launch) + kept
    message = f"{counted(launch.servers, 'server')} with settings of the plan"
    if launch.differing:
        message += f", of which AWS has {launch.differing} otherwise until their next launch"
    return "True", Reason.LAUNCH_SETTINGS_RESOLVED, message


def with_drift(
    status: LaunchStatus | None, inventories: Sequence[RecoveryInventory]
) -> LaunchStatus | None:
    """The report with what AWS has otherwise."""
    if status is None:
        return None
    found = drift(inventories)
    examples = [finding.message for finding in found[:_EXAMPLES]]
    return status.model_copy(update={"differing": len(found), "examples": examples})


def drift(
    inventories: Sequence[RecoveryInventory], servers: Collection[str] | None = None
) -> list[Finding]:
    """Findings that AWS has other settings; of these servers (ids) alone where they are given."""
    return [
        finding
        for inventory in inventories
        for finding in all_of(inventory)
        if finding.reason == DIFFER and (servers is None or finding.resource in servers)
    ]
