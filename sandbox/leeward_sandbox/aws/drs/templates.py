"""Replication and launch configuration templates: defaults for new source servers."""

from __future__ import annotations

from typing import Any

from leeward_sandbox.aws.backend import Call
from leeward_sandbox.aws.drs import errors, quotas
from leeward_sandbox.aws.drs.paging import page
from leeward_sandbox.aws.drs.state import Drs, Region
from leeward_sandbox.aws.drs.timing import hex_id

_REPLICATION_ID = "replicationConfigurationTemplateID"
_LAUNCH_ID = "launchConfigurationTemplateID"
_REPLICATION_DEFAULTS: dict[str, Any] = {
    "associateDefaultSecurityGroup": True,
    "replicationServerInstanceType": "t3.small",
    "useDedicatedReplicationServer": False,
    "defaultLargeStagingDiskType": "GP3",
    "dataPlaneRouting": "PRIVATE_IP",
    "createPublicIP": False,
    "autoReplicateNewDisks": True,
    "tags": {},
}
_LAUNCH_DEFAULTS: dict[str, Any] = {
    "launchDisposition": "STARTED",
    "targetInstanceTypeRightSizingMethod": "NONE",
    "copyPrivateIp": False,
    "copyTags": True,
    "licensing": {"osByol": False},
    "postLaunchEnabled": False,
    "launchIntoSourceInstance": False,
    "recoveryMode": "OPTIMAL",
    "tags": {},
}


def _identity(drs: Drs, region: Region, prefix: str, resource: str) -> tuple[str, str]:
    serial = next(drs.serial)
    template_id = hex_id(prefix, drs.world.seed, region.account, region.name, serial)
    return template_id, f"arn:aws:drs:{region.name}:{region.account}:{resource}/{template_id}"


def _known(
    templates: dict[str, dict[str, Any]], template_id: str, kind: str, region: Region
) -> dict[str, Any]:
    if template_id not in templates:
        raise errors.not_found(template_id, kind, region.account, region.name)
    return templates[template_id]


def _page(
    drs: Drs, call: Call, templates: dict[str, dict[str, Any]], member: str
) -> dict[str, Any]:
    wanted = call.params.get(member)
    found = [t for t_id, t in templates.items() if not wanted or t_id in wanted]
    return page(found, call.params, drs.settings.pages.others, dict)


def create_replication_template(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """CreateReplicationConfigurationTemplate."""
    template_id, arn = _identity(drs, region, "rct-", "replication-configuration-template")
    template = _REPLICATION_DEFAULTS | call.params | {_REPLICATION_ID: template_id, "arn": arn}
    region.replication_templates[template_id] = template
    return dict(template)


def describe_replication_templates(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """DescribeReplicationConfigurationTemplates."""
    return _page(drs, call, region.replication_templates, "replicationConfigurationTemplateIDs")


def update_replication_template(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """UpdateReplicationConfigurationTemplate: sets the members given."""
    template = _known(
        region.replication_templates,
        call.params[_REPLICATION_ID],
        "ReplicationConfigurationTemplate",
        region,
    )
    template.update({name: v for name, v in call.params.items() if name != "arn"})
    return dict(template)


def delete_replication_template(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """DeleteReplicationConfigurationTemplate."""
    template_id = call.params[_REPLICATION_ID]
    _known(region.replication_templates, template_id, "ReplicationConfigurationTemplate", region)
    del region.replication_templates[template_id]
    return {}


def create_launch_template(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """CreateLaunchConfigurationTemplate: one per account and Region by quota."""
    limit = drs.settings.quotas.launch_templates
    if len(region.launch_templates) >= limit:
        raise errors.quota_exceeded(
            f"Account {region.account} has {limit} launch configuration template(s) in "
            f"{region.name}, which is the quota",
            quotas.LAUNCH_TEMPLATES,
        )
    template_id, arn = _identity(drs, region, "lct-", "launch-configuration-template")
    template = _LAUNCH_DEFAULTS | call.params | {_LAUNCH_ID: template_id, "arn": arn}
    region.launch_templates[template_id] = template
    return {"launchConfigurationTemplate": dict(template)}


def describe_launch_templates(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """DescribeLaunchConfigurationTemplates."""
    return _page(drs, call, region.launch_templates, "launchConfigurationTemplateIDs")


def update_launch_template(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """UpdateLaunchConfigurationTemplate: sets the members given."""
    template = _known(
        region.launch_templates, call.params[_LAUNCH_ID], "LaunchConfigurationTemplate", region
    )
    template.update(call.params)
    return {"launchConfigurationTemplate": dict(template)}


def delete_launch_template(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """DeleteLaunchConfigurationTemplate with its launch actions."""
    template_id = call.params[_LAUNCH_ID]
    _known(region.launch_templates, template_id, "LaunchConfigurationTemplate", region)
    del region.launch_templates[template_id]
    region.template_actions.pop(template_id, None)
    return {}
