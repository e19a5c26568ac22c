"""Which of the resources that discovery found a plan recovers, and why it does not the others.

An EC2 instance that DRS protects is represented by its DRS source server, so every machine is
there once. Each resource goes through a chain of small checks; the first that objects decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from leeward.api.inventory import InventoryResource, RecoveryInventory, Verdict
from leeward.api.plan import RecoveryPlan, RecoveryPlanSpec, Wave
from leeward.planning.estate import machines, taxonomy
from leeward.planning.estate.machines import Found
from leeward.planning.estate.taxonomy import TAXONOMY, TagProblem, Words, problem
from leeward.planning.wording import clip

Item = TypeVar("Item")

PART: Final = 500
"""Resources that one RecoveryInventory holds."""
_REGION: Final = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]")
_TAGS: Final = ("Name", taxonomy.CUSTOMER, taxonomy.ENVIRONMENT, taxonomy.APPLICATION)


@dataclass(frozen=True, slots=True)
class Located:
    """A resource of the inventory, and the account that it is in."""

    account: str
    """TargetAccount."""
    account_id: str
    resource: InventoryResource

    def __str__(self) -> str:
        """`NAME (ACCOUNT, REGION)`."""
        name = self.resource.name or self.resource.id
        return f"{name} ({self.account}, {self.resource.region})"


@dataclass(frozen=True, slots=True)
class _Case:
    """A resource before the checks."""

    spec: RecoveryPlanSpec
    found: Found
    tags: Mapping[str, str]
    adapters: frozenset[str]
    verdict: taxonomy.Verdict
    wave: Wave | None
    instance: Found | None = None
    """The EC2 instance that a source server represents."""
    better: str | None = None
    """Another source server of the same instance, which is to be used."""


@dataclass(frozen=True, slots=True)
class _Ruling:
    outcome: Verdict
    problems: tuple[TagProblem, ...] = ()


def wave_numbers(spec: RecoveryPlanSpec) -> dict[int, Wave]:
    """The plan's waves by the value of `dr:wave` that puts resources into them."""
    return {wave.number or place: wave for place, wave in enumerate(spec.waves, start=1)}


def chunks(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """The items in order, in pieces of at most `size`."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def of_plan(
    plan: RecoveryPlan, inventories: Sequence[RecoveryInventory]
) -> list[RecoveryInventory]:
    """The plan's inventories, without those of accounts that it no longer names."""
    named = {ref.name for ref in plan.spec.accounts}
    return [
        inventory
        for inventory in inventories
        if inventory.spec.plan_ref.name == plan.metadata.name and inventory.spec.account in named
    ]


def located(inventories: Sequence[RecoveryInventory]) -> list[Located]:
    """All resources of the inventories, sorted by ARN and id, each once.

    Where two inventories hold the same resource, the current one wins.
    """
    known: dict[tuple[str, str, str], Located] = {}
    for inventory in sorted(inventories, key=lambda i: (i.status.current, i.spec.part)):
        for resource in inventory.status.resources:
            key = (resource.arn, resource.id, inventory.spec.account)
            known[key] = Located(inventory.spec.account, inventory.spec.account_id, resource)
    return [known[key] for key in sorted(known)]


def selected(inventories: Sequence[RecoveryInventory]) -> list[Located]:
    """The resources that an execution would recover, sorted by ARN."""
    return [found for found in located(inventories) if found.resource.verdict == "Selected"]


# --- which resources there are -----------------------------------------------------------------


def _cases(
    spec: RecoveryPlanSpec, found: Sequence[Found], adapters: frozenset[str], words: Words
) -> Iterator[_Case]:
    waves = wave_numbers(spec)
    found = [machines.plainly(resource) for resource in found]
    better = machines.better_servers(found)
    others = [(f,) for f in found if f.technology != "drs" and not machines.is_instance(f)]
    for resource, *rest in [*machines.machines(spec, found, words), *others]:
        instance = rest[0] if rest else None
        tags = {**resource.tags, **(instance.tags if instance else {})}
        verdict = taxonomy.judge(tags, taxonomy.WAVES | waves.keys(), words)
        case = _Case(
            spec=spec,
            found=resource,
            tags=tags,
            adapters=adapters,
            verdict=verdict,
            wave=waves.get(verdict.wave) if verdict.wave else None,
            instance=instance,
            better=better.get(resource.id),
        )
        if resource.technology == "route53":
            case = replace(case, wave=_zone_wave(case))
        if _in_scope(case):
            yield case


def _zone_wave(case: _Case) -> Wave | None:
    """The first wave with an explicit task for this hosted zone."""
    zone = case.found.id.rpartition("/")[2]
    for wave in case.spec.waves:
        if any(task.route53 and task.route53.hosted_zone_id == zone for task in wave.tasks):
            return wave
    return None


def _in_scope(case: _Case) -> bool:
    """Whether the resource is this plan's business.

    One without `Customer` may be, as long as no other tag says that it is not: it is reported,
    since an untagged server would otherwise be left behind in silence. A service that several
    applications share is the business of each plan that has one of them.
    """
    customer = case.tags.get(taxonomy.CUSTOMER)
    environment = case.tags.get(taxonomy.ENVIRONMENT)
    application = case.tags.get(taxonomy.APPLICATION)
    if case.found.technology == "route53":
        return case.wave is not None or customer == case.spec.customer
    if environment and environment.casefold() != case.spec.environment.casefold():
        return False
    if customer in (case.spec.customer, taxonomy.SHARED_CUSTOMER):
        users = taxonomy.shared_by(case.tags)
        if not frozenset(users).isdisjoint(case.spec.applications):
            return True
    if customer and customer != case.spec.customer:
        return False
    if not case.spec.applications:
        return True
    return application in case.spec.applications if application else not customer


# --- the checks, in order ----------------------------------------------------------------------


def _hosted_zone(case: _Case) -> _Ruling | None:
    """Tags do not select hosted zones; explicit tasks name them."""
    if case.found.technology != "route53":
        return None
    return _Ruling("Selected" if case.wave else "NotSelected")


def _not_enrolled(case: _Case) -> _Ruling | None:
    if case.verdict.enrolled is not False:
        return None
    return _Ruling("NotEnrolled", case.verdict.problems)


def _left_out_by_plan(case: _Case) -> _Ruling | None:
    """The plan's selection; an instance that waits for its agent counts as `drs`."""
    selection, found = case.spec.selection, case.found
    drs = found.technology == "ec2" and case.verdict.strategy == "drs"
    technology = "drs" if drs else found.technology
    names = {found.id, found.arn}
    if case.instance:
        names |= {case.instance.id, case.instance.arn}
    if origin := found.attributes.get("originInstanceId"):
        names.add(origin)
    left_out = (
        technology in selection.exclude_technologies
        or (selection.technologies and technology not in selection.technologies)
        or not names.isdisjoint(selection.exclude_resources)
    )
    return _Ruling("NotSelected") if left_out else None


def _tags_wrong(case: _Case) -> _Ruling | None:
    return _Ruling("Excluded", case.verdict.problems) if case.verdict.problems else None


def _serves_from_both_regions(case: _Case) -> _Ruling | None:
    return _Ruling("ActiveActive") if case.verdict.active_active else None


def _shared_elsewhere(case: _Case) -> _Ruling | None:
    """A shared service moves only with all applications that use it."""
    moved = case.spec.applications
    stay = frozenset(case.verdict.shared_by).difference(moved) if moved else frozenset()
    return _Ruling("SharedElsewhere") if stay else None


def _strategy_does_not_fit(case: _Case) -> _Ruling | None:
    if case.verdict.strategy != "drs" or case.found.technology in ("drs", "ec2"):
        return None
    message = f"{taxonomy.STRATEGY}=drs does not recover a resource of {case.found.technology}"
    return _Ruling("Excluded", (problem("StrategyMismatch", taxonomy.STRATEGY, message),))


def _no_source_server(case: _Case) -> _Ruling | None:
    if case.found.technology != "ec2" or case.verdict.strategy != "drs":
        return None
    message = (
        f"DRS in {case.spec.regions.recovery} has no source server for {case.found.id}, "
        f"though its tag is {taxonomy.STRATEGY}=drs"
    )
    return _Ruling("Excluded", (problem("NoSourceServer", taxonomy.STRATEGY, message),))


def _another_server_is_better(case: _Case) -> _Ruling | None:
    if not case.better:
        return None
    origin = case.found.attributes.get("originInstanceId", "")
    message = f"{origin} has another DRS source server, {case.better}, which is used"
    return _Ruling("Excluded", (problem("DuplicateSourceServer", taxonomy.STRATEGY, message),))


def _no_adapter(case: _Case) -> _Ruling | None:
    """The technology decides, and for machines the strategy: only DRS recovers them."""
    machine = case.found.technology in ("drs", "ec2")
    recoverable = case.verdict.strategy == "drs" if machine else True
    known = recoverable and case.found.technology in case.adapters
    return None if known else _Ruling("NoAdapter")


def _no_wave(case: _Case) -> _Ruling | None:
    if case.wave:
        return None
    numbers = ", ".join(str(number) for number in sorted(wave_numbers(case.spec)))
    message = f"the tag dr:wave is {case.verdict.wave}, but the plan's waves are {numbers}"
    return _Ruling("NoWave", (problem("NoWave", taxonomy.WAVE, message),))


def _not_in_wave(case: _Case) -> _Ruling | None:
    """A wave that lists technologies takes no other."""
    listed = {technology.type for technology in case.wave.technologies} if case.wave else set()
    return _Ruling("NotSelected") if listed and case.found.technology not in listed else None


_CHECKS: Final[tuple[Callable[[_Case], _Ruling | None], ...]] = (
    _hosted_zone,
    _not_enrolled,
    _left_out_by_plan,
    _tags_wrong,
    _serves_from_both_regions,
    _shared_elsewhere,
    _strategy_does_not_fit,
    _no_source_server,
    _another_server_is_better,
    _no_adapter,
    _no_wave,
    _not_in_wave,
)


def _resource(case: _Case, keys: frozenset[str]) -> InventoryResource:
    ruling = next((r for check in _CHECKS if (r := check(case))), _Ruling("Selected"))
    found, home = case.found, case.spec.regions.primary
    tags = {k: v for k, v in sorted(case.tags.items()) if k in keys or k.startswith("dr:")}
    attributes = sorted(found.attributes.items())[:20]
    return InventoryResource(
        id=found.id,
        arn=found.arn,
        technology=clip(found.technology, 24),
        region=found.region if _REGION.fullmatch(found.region) else home,
        name=clip((case.instance and case.instance.name) or found.name, 256),
        tags=dict(list(tags.items())[:50]),
        attributes={key: clip(value, 512) for key, value in attributes},
        verdict=ruling.outcome,
        wave=case.wave.name if case.wave else None,
        problems=[clip(wrong.line(), 256) for wrong in ruling.problems[:10]],
        missing_since=found.missing_since,
    )


def by_account(
    spec: RecoveryPlanSpec,
    found: Sequence[Found],
    adapters: frozenset[str],
    words: Words = TAXONOMY,
    tags: frozenset[str] = frozenset(),
) -> dict[str, list[InventoryResource]]:
    """As `sort_out`, by TargetAccount, with an empty list for an account without any resource.

    Give it all accounts at once: a source server may be in another account than its instance.
    `tags` are keys of further tags that the inventory must keep.
    """
    keys = tags | frozenset(_TAGS)
    result: dict[str, list[InventoryResource]] = {ref.name: [] for ref in spec.accounts}
    for case in _cases(spec, found, adapters, words):
        result.setdefault(case.found.account, []).append(_resource(case, keys))
    return {
        account: sorted(resources, key=lambda r: (r.arn, r.id))
        for account, resources in sorted(result.items())
    }


def sort_out(
    spec: RecoveryPlanSpec,
    found: Sequence[Found],
    adapters: frozenset[str],
    words: Words = TAXONOMY,
) -> list[InventoryResource]:
    """The resources that are the plan's business, each with verdict, wave and problems.

    `adapters` are the technologies that this version can recover, `words` the values that tags
    may have. Sorted by ARN.
    """
    grouped = by_account(spec, found, adapters, words).values()
    return sorted((r for resources in grouped for r in resources), key=lambda r: (r.arn, r.id))
