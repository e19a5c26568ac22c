"""Tags, and source servers that are extended from a staging account."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

from leeward_sandbox.aws.backend import Call
from leeward_sandbox.aws.drs import errors, views
from leeward_sandbox.aws.drs.paging import page
from leeward_sandbox.aws.drs.state import Drs, Region, SourceServer
from leeward_sandbox.aws.drs.timing import hex_id


def tag_resource(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """TagResource."""
    _tags(region, call.params["resourceArn"]).update(call.params["tags"])
    return {}


def untag_resource(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """UntagResource."""
    tags = _tags(region, call.params["resourceArn"])
    for key in call.params["tagKeys"]:
        tags.pop(key, None)
    return {}


def list_tags(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """ListTagsForResource."""
    return {"tags": dict(_tags(region, call.params["resourceArn"]))}


def _tags(region: Region, arn: str) -> dict[str, str]:
    prefix = f"arn:aws:drs:{region.name}:{region.account}:"
    kind, _, name = arn.removeprefix(prefix).partition("/")
    kinds: dict[str, dict[str, Any]] = {
        "source-server": region.servers,
        "recovery-instance": region.instances,
        "job": region.jobs,
        "replication-configuration-template": region.replication_templates,
        "launch-configuration-template": region.launch_templates,
    }
    found = kinds.get(kind, {}).get(name) if arn.startswith(prefix) else None
    if found is not None:
        tags: dict[str, str] = found["tags"] if isinstance(found, dict) else found.tags
        return tags
    raise errors.not_found(arn, "Resource", region.account, region.name)


def list_staging_accounts(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """ListStagingAccounts: accounts that trust the caller's account with their servers."""
    found = sorted(
        other.account
        for other in drs.regions.values()
        if other.name == region.name and region.account in other.extended_to
    )
    return page(found, call.params, 50, lambda account: {"accountID": account}, "accounts")


def list_extensible_source_servers(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """ListExtensibleSourceServers of a staging account that trusts the caller's."""
    staging = _staging(drs, region, call.params["stagingAccountID"])
    taken = {server.staging_arn for server in region.servers.values()}
    found = [s for s in staging.servers.values() if s.arn not in taken and s.staging_arn is None]
    return page(
        found,
        call.params,
        drs.settings.pages.others,
        lambda s: {"hostname": s.hostname, "arn": s.arn, "tags": dict(s.tags)},
    )


def create_extended_source_server(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """CreateExtendedSourceServer: the caller's own server over a staging account's replication."""
    arn = call.params["sourceServerArn"]
    staging = _staging(drs, region, arn.split(":")[4])
    source = drs.by_arn(arn)
    if source is None or source.region != region.name:
        raise errors.not_found(arn, "SourceServer", staging.account, region.name)
    if any(server.staging_arn == arn for server in region.servers.values()):
        raise errors.invalid(f"{arn} is extended into account {region.account} already")
    server = _extended(drs, region, source, dict(call.params.get("tags") or {}), call)
    region.servers[server.id] = server
    return {"sourceServer": views.source_server(drs, server, call.now)}


def _extended(
    drs: Drs, region: Region, source: SourceServer, tags: dict[str, str], call: Call
) -> SourceServer:
    ec2 = drs.ec2(region.account, region.name)
    network = ec2.any_network()
    if network is None:
        raise errors.invalid(f"Account {region.account} has no subnet in {region.name}")
    server_id = hex_id("s-", drs.world.seed, "extended", region.account, source.arn)
    template = ec2.create_template(server_id, source.instance_type, *network)
    launch = deepcopy(source.launch) | {
        "sourceServerID": server_id,
        "ec2LaunchTemplateID": template,
    }
    return replace(
        source,
        id=server_id,
        account=region.account,
        tags=tags,
        added=call.now,
        launch=launch,
        replication_configuration=deepcopy(source.replication_configuration)
        | {"sourceServerID": server_id},
        staging_arn=source.arn,
        sync=None,
        last_launch=None,
        last_result="NOT_STARTED",
        recovery_instance=None,
        reversed_arn=None,
        actions={},
    )


def _staging(drs: Drs, region: Region, account: str) -> Region:
    staging = drs.regions.get((account, region.name))
    if staging is None or region.account not in staging.extended_to:
        raise errors.denied(
            f"Error in Authorization: account {account} does not trust account {region.account} "
            f"as a target account in {region.name}"
        )
    return staging
