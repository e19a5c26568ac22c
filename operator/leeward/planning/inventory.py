"""Which of the resources that discovery found a plan recovers, and why it does not the others.

An EC2 instance that DRS protects is represented by its DRS source server, so every machine is
there once. Each resource goes through a chain of small checks; the first that objects decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeVar

from leeward.api.inventory import InventoryResource, RecoveryInventory
from leeward.api.plan import RecoveryPlan, RecoveryPlanSpec, Wave
from leeward.planning import taxonomy
from leeward.planning.taxonomy import TagProblem, problem
from leeward.planning.wording import clip

Outcome = Literal["Selected", "NotEnrolled", "Excluded", "NotSelected", "NoAdapter", "NoWave"]
Item = TypeVar("Item")

PART: Final = 500
"""Resources that one RecoveryInventory holds."""
_REGION: Final = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]")
_TAGS: Final = ("Name", taxonomy.CUSTOMER, taxonomy.ENVIRONMENT, taxonomy.APPLICATION)
_DORMANT: Final = frozenset({"STOPPED", "DISCONNECTED"})  # DRS DataReplicationState


@dataclass(frozen=True, slots=True)
class Found:
    """A resource as discovery found it."""

    id: str
    arn: str
    technology: str
    account: str
    """TargetAccount."""
    account_id: str
    region: str
    name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)


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
    outcome: Outcome
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


def _is_instance(found: Found) -> bool:
    return found.technology == "ec2" and ":instance/" in found.arn


def _plainly(found: Found) -> Found:
    """The resource; an instance that discovery took for one of DRS by its tags is one of EC2."""
    unprotected = found.technology == "drs" and ":instance/" in found.arn
    return replace(found, technology="ec2", attributes={}) if unprotected else found


def _stands_for_itself(tags: Mapping[str, str]) -> bool:
    """Whether the tags want something else than DRS for the machine."""
    return tags.get(taxonomy.STRATEGY, "drs") in frozenset(taxonomy.STRATEGIES) - {"drs"}


def _best_server(servers: Sequence[Found]) -> Found:
    """Of several source servers of one instance, the one whose agent is connected."""
    dormant = [s.attributes.get("replicationState", "") in _DORMANT for s in servers]
    return min(zip(dormant, servers, strict=True), key=lambda pair: (pair[0], pair[1].id))[1]


def _machines(spec: RecoveryPlanSpec, found: Sequence[Found]) -> Iterator[tuple[Found, ...]]:
    """Source servers with the instance that each represents, and instances without one.

    Source servers live in the recovery Region and instances in the primary one; what is in the
    other Region was launched by a recovery, or protects the way back.
    """
    home, away = spec.regions.primary, spec.regions.recovery
    instances = {f.id: f for f in found if _is_instance(f) and f.region == home}
    servers = [
        f
        for f in found
        if f.technology == "drs"
        and f.region == away
        and (f.attributes.get("originRegion") or home) == home
    ]
    represented: set[str] = set()
    for server in servers:
        instance = instances.get(server.attributes.get("originInstanceId", ""))
        if instance is None:
            yield (server,)
        elif not _stands_for_itself({**server.tags, **instance.tags}):
            represented.add(instance.id)
            yield (server, instance)
    for instance in instances.values():
        if instance.id not in represented:
            yield (instance,)


def _better_servers(found: Sequence[Found]) -> dict[str, str]:
    """By id of a source server: the one that replaces it, where an instance has several."""
    groups: dict[str, list[Found]] = {}
    for server in found:
        origin = server.attributes.get("originInstanceId")
        if server.technology == "drs" and origin:
            groups.setdefault(f"{server.region}/{origin}", []).append(server)
    replaced = {}
    for servers in groups.values():
        best = _best_server(servers)
        replaced.update({s.id: best.id for s in servers if s.id != best.id})
    return replaced


def _cases(
    spec: RecoveryPlanSpec, found: Sequence[Found], adapters: frozenset[str]
) -> Iterator[_Case]:
    waves = wave_numbers(spec)
    found = [_plainly(resource) for resource in found]
    better = _better_servers(found)
    others = [(f,) for f in found if f.technology != "drs" and not _is_instance(f)]
    for resource, *rest in [*_machines(spec, found), *others]:
        instance = rest[0] if rest else None
        tags = {**resource.tags, **(instance.tags if instance else {})}
        verdict = taxonomy.judge(tags, taxonomy.WAVES | waves.keys())
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
    since an untagged server would otherwise be left behind in silence.
    """
    customer = case.tags.get(taxonomy.CUSTOMER)
    environment = case.tags.get(taxonomy.ENVIRONMENT)
    application = case.tags.get(taxonomy.APPLICATION)
    if case.found.technology == "route53":
        return case.wave is not None or customer == case.spec.customer
    if customer and customer != case.spec.customer:
        return False
    if environment and environment.casefold() != case.spec.environment.casefold():
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
    )


def by_account(
    spec: RecoveryPlanSpec,
    found: Sequence[Found],
    adapters: frozenset[str],
    tags: frozenset[str] = frozenset(),
) -> dict[str, list[InventoryResource]]:
    """As `sort_out`, by TargetAccount, with an empty list for an account without any resource.

    Give it all accounts at once: a source server may be in another account than its instance.
    `tags` are keys of further tags that the inventory must keep.
    """
    keys = tags | frozenset(_TAGS)
    result: dict[str, list[InventoryResource]] = {ref.name: [] for ref in spec.accounts}
    for case in _cases(spec, found, adapters):
        result.setdefault(case.found.account, []).append(_resource(case, keys))
    return {
        account: sorted(resources, key=lambda r: (r.arn, r.id))
        for account, resources in sorted(result.items())
    }


def sort_out(
    spec: RecoveryPlanSpec, found: Sequence[Found], adapters: frozenset[str]
) -> list[InventoryResource]:
    """The resources that are the plan's business, each with verdict, wave and problems.

    `adapters` are the technologies that this version can recover. Sorted by ARN.
    """
    grouped = by_account(spec, found, adapters).values()
    return sorted((r for resources in grouped for r in resources), key=lambda r: (r.arn, r.id))
