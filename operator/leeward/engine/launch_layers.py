"""A plan's launch settings: its layers as they are now, and what they come to for its servers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Network
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from leeward.api.account import TargetAccount
from leeward.api.inventory import InventoryResource, RecoveryInventory
from leeward.api.launch import Launch, LaunchStatus, ServerLaunch
from leeward.api.plan import RecoveryPlan
from leeward.engine.context import Context
from leeward.engine.kube import ApiError, Kube
from leeward.planning.digests import digest
from leeward.planning.launch import launch_settings
from leeward.planning.launch.launch_estate import report, server_of, with_launches
from leeward.planning.launch.launch_placement import (
    TARGET_TAG,
    Resolution,
    Subnet,
    Subnets,
    resolve,
)
from leeward.planning.launch.launch_settings import Document, Files
from leeward.planning.problem import Problem
from leeward_adapters import ec2_capacity
from leeward_adapters.attribution import asking, of_adapter
from leeward_adapters.errors import classify

POLL: Final = timedelta(seconds=20)
"""How soon a change of a ConfigMap is noticed; shorter than a new run waits for its plan."""


@dataclass(frozen=True, slots=True)
class Layers:
    """The layers of a plan as they were read."""

    documents: tuple[Document, ...] = ()
    problems: tuple[Problem, ...] = ()
    digest: str = ""
    """Of all that was read; empty: the plan has no layers."""

    @property
    def tag_keys(self) -> frozenset[str]:
        """Keys of the tags that they select by."""
        return launch_settings.tag_keys(self.documents)


async def read_layers(kube: Kube, plan: RecoveryPlan, before: Layers | None = None) -> Layers:
    """The layers as they are now. What cannot be read is among the problems.

    `before` are the plan's layers as they were read last: they serve again while nothing changed.

    Raises:
        ApiError: the API server fails in another way than "not there" or "not allowed".
        ApiUnavailable: it does not answer.
    """
    read = await _read(kube, plan)
    if read is None:
        return Layers()
    if before is not None and before.digest == read.digest:
        return before
    # In a thread: a tenant's files may be large, and the loop is everybody's.
    documents, wrong = await asyncio.to_thread(launch_settings.documents, read.launch, read.files)
    return Layers(tuple(documents), (*read.unreadable, *wrong), read.digest)


async def digest_now(kube: Kube, plan: RecoveryPlan) -> str:
    """`Layers.digest` as it would be now. Raises as `read_layers` does."""
    read = await _read(kube, plan)
    return read.digest if read is not None else ""


def refers(plan: RecoveryPlan) -> bool:
    """Whether the plan has layers outside itself, which change without it."""
    return any(layer.config_map_ref for layer in (plan.spec.launch or Launch()).layers)


@dataclass(frozen=True, slots=True)
class _Read:
    """What the layers come from; all else follows from it."""

    launch: Launch
    files: Mapping[str, Files]
    unreadable: tuple[Problem, ...]

    @property
    def digest(self) -> str:
        return digest([self.launch.to_api(), self.files, [p.message for p in self.unreadable]])


async def _read(kube: Kube, plan: RecoveryPlan) -> _Read | None:
    """None: the plan has no layers."""
    launch = plan.spec.launch
    if launch is None or not launch.layers:
        return None
    read = await _config_maps(kube, plan.metadata.namespace, launch)
    files = {name: data for name, data in read.items() if not isinstance(data, Problem)}
    return _Read(launch, files, tuple(p for p in read.values() if isinstance(p, Problem)))


async def _config_maps(kube: Kube, namespace: str, launch: Launch) -> dict[str, Files | Problem]:
    refs = (layer.config_map_ref for layer in launch.layers if layer.config_map_ref)
    names = sorted({ref.name for ref in refs})
    read = await asyncio.gather(*(_config_map(kube, namespace, name) for name in names))
    return dict(zip(names, read, strict=True))


async def _config_map(kube: Kube, namespace: str, name: str) -> Files | Problem:
    try:
        found = await kube.get(f"/api/v1/namespaces/{namespace}/configmaps/{name}")
    except ApiError as error:
        if error.status not in {403, 404}:
            raise
        return Problem("LaunchSettingsUnreadable", _why(error, namespace, name))
    data: dict[str, str] = found.get("data") or {}
    return data


def _why(error: ApiError, namespace: str, name: str) -> str:
    if error.status == 404:
        return (
            f"there is no ConfigMap {name} in namespace {namespace}, which spec.launch names: "
            "create it, or take the layer out"
        )
    # The server's own words say who was refused.
    named = re.search(r'User "system:serviceaccount:([^"]+)"', error.message)
    account = named[1] if named else "leeward-system:leeward"
    return (
        f"the operator may not read ConfigMap {name} in namespace {namespace}. Allow it, for this "
        f"one alone: kubectl create role leeward-launch -n {namespace} --verb=get "
        f"--resource=configmaps --resource-name={name} ; kubectl create rolebinding "
        f"leeward-launch -n {namespace} --role=leeward-launch --serviceaccount={account}"
    )


async def with_settings(
    context: Context,
    plan: RecoveryPlan,
    layers: Layers,
    accounts: Mapping[str, TargetAccount],
    resources: Mapping[str, Sequence[InventoryResource]],
    before: Sequence[RecoveryInventory],
) -> tuple[dict[str, list[InventoryResource]], LaunchStatus | None]:
    """The resources, by TargetAccount, with their launch settings; and what is said of them.

    Where the layers are wrong, or do not fit a server, it keeps the settings that it has in
    `before`.
    """
    kept = {name: list(some) for name, some in resources.items()}
    if not layers.digest:
        return kept, None
    last = _last(before)
    if layers.problems:
        launches, problems = last, layers.problems
    else:
        resolution = await _resolve(context, plan, layers, accounts, resources)
        stay = {arn: last[arn] for arn in resolution.unresolved if arn in last}
        launches, problems = {**resolution.launches, **stay}, resolution.problems
    kept = {name: with_launches(some, launches) for name, some in kept.items()}
    return kept, report(layers.digest, kept, problems)


def _last(inventories: Sequence[RecoveryInventory]) -> dict[str, ServerLaunch]:
    return {r.arn: r.launch for i in inventories for r in i.status.resources if r.launch}


async def _resolve(
    context: Context,
    plan: RecoveryPlan,
    layers: Layers,
    accounts: Mapping[str, TargetAccount],
    resources: Mapping[str, Sequence[InventoryResource]],
) -> Resolution:
    servers = [
        server_of(resource, accounts[name].spec.account_id)
        for name, some in resources.items()
        if name in accounts
        for resource in some
        if resource.technology == "drs" and resource.verdict == "Selected"
    ]
    owners = {server.account_id for server in servers}
    asked = [a for a in accounts.values() if a.spec.account_id in owners]
    if not any(_places(document) for document in layers.documents):
        asked = []
    answers = await asyncio.gather(*(_subnets(context, plan, account) for account in asked))
    known = {a.spec.account_id: s for a, s in zip(asked, answers, strict=True)}
    return resolve(servers, layers.documents, known)


def _places(document: Document) -> bool:
    """Whether subnets are needed to resolve it."""
    network = document.settings.get("networking") or {}
    return not network.keys().isdisjoint({"targetSubnetSelection", "targetSubnetIds"})


async def _subnets(context: Context, plan: RecoveryPlan, account: TargetAccount) -> Subnets:
    """Subnets of the account in the recovery Region, or why it does not say."""
    known = context.account(account, plan.metadata.namespace)
    scope = context.aws.scope(known, plan.spec.regions.recovery)
    try:
        with asking(of_adapter("drs")):  # for whose launches they are
            found = await context.pool.run(ec2_capacity.subnets, scope)
    except (ClientError, BotoCoreError) as error:
        fault = classify(error)
        return f"{fault.code}: {fault.message}"
    key, value = TARGET_TAG
    return [Subnet(s.id, IPv4Network(s.cidr), s.tags.get(key) == value) for s in found.values()]
