"""Launch and replication settings of a source server, and its launch actions."""

from __future__ import annotations

from typing import Any

from leeward_sandbox.aws.backend import Call
from leeward_sandbox.aws.drs import errors, quotas
from leeward_sandbox.aws.drs.paging import page
from leeward_sandbox.aws.drs.state import Drs, Region


def get_launch_configuration(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """GetLaunchConfiguration."""
    return dict(region.server(call.params["sourceServerID"]).launch)


def update_launch_configuration(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """UpdateLaunchConfiguration: sets the members given and leaves the others."""
    server = region.server(call.params["sourceServerID"])
    into = (call.params.get("launchIntoInstanceProperties") or {}).get("launchIntoEC2InstanceID")
    merged = server.launch | call.params
    if into:
        problem = drs.ec2(region.account, region.name).launch_into_problem(into)
        if problem:
            raise errors.invalid(problem, "launchIntoInstanceProperties")
        for flag in ("copyPrivateIp", "copyTags"):
            if merged[flag]:
                raise errors.invalid(f"{flag} must be off to launch into an instance", flag)
    elif "launchIntoInstanceProperties" in call.params:
        # An empty instance id takes the setting back.
        del merged["launchIntoInstanceProperties"]
    server.launch = merged
    if (writes := drs.settings.configuration_writes) != "Nothing":
        ec2 = drs.ec2(region.account, region.name)
        ec2.write_version(merged["ec2LaunchTemplateID"], default=writes == "Default")
    return dict(merged)


def get_replication_configuration(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """GetReplicationConfiguration."""
    return dict(region.server(call.params["sourceServerID"]).replication_configuration)


def update_replication_configuration(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """UpdateReplicationConfiguration: sets the members given and leaves the others."""
    server = region.server(call.params["sourceServerID"])
    server.replication_configuration = server.replication_configuration | call.params
    return dict(server.replication_configuration)


def list_launch_actions(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """ListLaunchActions of a source server or a launch configuration template, by order."""
    actions = sorted(_actions(region, call.params["resourceId"]).values(), key=lambda a: a["order"])
    wanted = (call.params.get("filters") or {}).get("actionIds")
    if wanted:
        actions = [action for action in actions if action["actionId"] in set(wanted)]
    return page(actions, call.params, drs.settings.pages.others, dict)


def put_launch_action(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """PutLaunchAction: creates or replaces the action of that id."""
    actions = _actions(region, call.params["resourceId"])
    action = {name: value for name, value in call.params.items() if name != "resourceId"}
    limit = drs.settings.quotas.launch_actions
    if action["actionId"] not in actions and len(actions) >= limit:
        raise errors.quota_exceeded(
            f"{call.params['resourceId']} has {len(actions)} launch actions; the quota is {limit}",
            quotas.LAUNCH_ACTIONS,
        )
    for other in actions.values():
        if other["order"] == action["order"] and other["actionId"] != action["actionId"]:
            raise errors.conflict(
                f"Order {action['order']} is taken by launch action {other['actionId']}",
                call.params["resourceId"],
                "LaunchAction",
            )
    action["type"] = "SSM_AUTOMATION" if "Automation" in action["actionCode"] else "SSM_COMMAND"
    actions[action["actionId"]] = action
    return {"resourceId": call.params["resourceId"], **action}


def delete_launch_action(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """DeleteLaunchAction, idempotent."""
    _actions(region, call.params["resourceId"]).pop(call.params["actionId"], None)
    return {}


def _actions(region: Region, resource_id: str) -> dict[str, dict[str, Any]]:
    if resource_id.startswith("s-"):
        return region.server(resource_id).actions
    if resource_id not in region.launch_templates:
        raise errors.not_found(
            resource_id, "LaunchConfigurationTemplate", region.account, region.name
        )
    return region.template_actions.setdefault(resource_id, {})
