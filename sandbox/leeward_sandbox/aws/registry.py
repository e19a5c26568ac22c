"""What answers for AWS in the sandbox: our own backends, and what stands around moto."""

from __future__ import annotations

from leeward_sandbox.aws.automation import AutomationBackend, AutomationTags
from leeward_sandbox.aws.backend import Backend, Overlay, World
from leeward_sandbox.aws.copies import DomainControllers, GlobalClusterMembers, TableReplicas
from leeward_sandbox.aws.drs import DrsBackend, DrsSettings, Quotas
from leeward_sandbox.aws.drs import quotas as drs_quotas
from leeward_sandbox.aws.ec2_quotas import Ec2Quotas
from leeward_sandbox.aws.ec2_states import Ec2States
from leeward_sandbox.aws.estates import Estate, seed
from leeward_sandbox.aws.gateway import Gateway
from leeward_sandbox.aws.iam_simulation import IamSimulation
from leeward_sandbox.aws.identity import Identities
from leeward_sandbox.aws.launch_templates import LaunchTemplateVersions
from leeward_sandbox.aws.messaging import EventLimits, SnsLimits
from leeward_sandbox.aws.quotas import DrsQuotas
from leeward_sandbox.aws.resource_explorer import ResourceExplorerBackend
from leeward_sandbox.aws.route53 import Route53Changes
from leeward_sandbox.aws.sts import StsBackend


def backends(world: World, estate: Estate | None) -> list[Backend]:
    """The services that moto lacks, with the estate's settings or, without one, defaults."""
    if estate is None:
        return [DrsBackend(world), ResourceExplorerBackend(world), AutomationBackend(world)]
    return [
        DrsBackend(world, estate.drs),
        ResourceExplorerBackend(world, estate.resource_explorer),
        AutomationBackend(world),
    ]


def overlays(world: World, estate: Estate | None, own: list[Backend]) -> list[Overlay]:
    """What gives moto's services AWS's timing and quotas."""
    states = Ec2States(world)
    for backend in own:
        if isinstance(backend, DrsBackend):
            backend.observe_instances(states.launched, states.terminated)
    settings = estate.drs if estate else DrsSettings()
    return [
        Route53Changes(world),
        states,
        LaunchTemplateVersions(world),
        DrsQuotas(_enforced(settings.quotas)),
        Ec2Quotas(_vcpus(estate)),
        TableReplicas(),
        GlobalClusterMembers(),
        SnsLimits(),
        EventLimits(),
        *(AutomationTags(backend) for backend in own if isinstance(backend, AutomationBackend)),
    ]


def gateway(world: World, estate: Estate | None = None) -> Gateway:
    """An AWS that holds the estate, or nothing."""
    identities = Identities()
    own: list[Backend] = [
        StsBackend(world, identities),
        IamSimulation(world),
        DomainControllers(world),
        *backends(world, estate),
    ]
    around = overlays(world, estate, own)
    if estate is not None:
        seed(estate, world, own)
    return Gateway(world, identities, own, around)


def _vcpus(estate: Estate | None) -> dict[str, float]:
    accounts = estate.accounts if estate else []
    return {a.id: a.vcpu_quota for a in accounts if a.vcpu_quota is not None}


def _enforced(quotas: Quotas) -> dict[str, float]:
    return {
        drs_quotas.SERVERS_PER_JOB: quotas.servers_per_job,
        drs_quotas.JOBS: quotas.jobs,
        drs_quotas.SERVERS_IN_JOBS: quotas.servers_in_jobs,
        drs_quotas.REPLICATING_SERVERS: quotas.replicating_servers,
        drs_quotas.LAUNCH_ACTIONS: quotas.launch_actions,
        drs_quotas.LAUNCH_TEMPLATES: quotas.launch_templates,
    }
