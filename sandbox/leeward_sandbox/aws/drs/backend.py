"""Elastic Disaster Recovery: the backend that the gateway calls."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar

from leeward_sandbox.aws.backend import AwsError, Call, World
from leeward_sandbox.aws.drs import (
    configuration,
    errors,
    launching,
    lifecycle,
    reading,
    replication,
    seeding,
    sharing,
    templates,
)
from leeward_sandbox.aws.drs.seeding import SourceServerSpec
from leeward_sandbox.aws.drs.settings import DrsSettings
from leeward_sandbox.aws.drs.state import Drs, LaunchListener, Region

Handler = Callable[[Drs, Region, Call], dict[str, Any]]

_HANDLERS: dict[str, Handler] = {
    "InitializeService": lifecycle.initialize_service,
    "DescribeSourceServers": reading.describe_source_servers,
    "DescribeRecoveryInstances": reading.describe_recovery_instances,
    "DescribeRecoverySnapshots": reading.describe_recovery_snapshots,
    "DescribeJobs": reading.describe_jobs,
    "DescribeJobLogItems": reading.describe_job_log_items,
    "StartRecovery": launching.start_recovery,
    "TerminateRecoveryInstances": launching.terminate_recovery_instances,
    "StartFailbackLaunch": launching.start_failback_launch,
    "StartReplication": lifecycle.start_replication,
    "StopReplication": lifecycle.stop_replication,
    "DisconnectSourceServer": lifecycle.disconnect_source_server,
    "DeleteSourceServer": lifecycle.delete_source_server,
    "DisconnectRecoveryInstance": lifecycle.disconnect_recovery_instance,
    "DeleteRecoveryInstance": lifecycle.delete_recovery_instance,
    "StopFailback": lifecycle.stop_failback,
    "ReverseReplication": lifecycle.reverse_replication,
    "GetLaunchConfiguration": configuration.get_launch_configuration,
    "UpdateLaunchConfiguration": configuration.update_launch_configuration,
    "GetReplicationConfiguration": configuration.get_replication_configuration,
    "UpdateReplicationConfiguration": configuration.update_replication_configuration,
    "ListLaunchActions": configuration.list_launch_actions,
    "PutLaunchAction": configuration.put_launch_action,
    "DeleteLaunchAction": configuration.delete_launch_action,
    "CreateReplicationConfigurationTemplate": templates.create_replication_template,
    "DescribeReplicationConfigurationTemplates": templates.describe_replication_templates,
    "UpdateReplicationConfigurationTemplate": templates.update_replication_template,
    "DeleteReplicationConfigurationTemplate": templates.delete_replication_template,
    "CreateLaunchConfigurationTemplate": templates.create_launch_template,
    "DescribeLaunchConfigurationTemplates": templates.describe_launch_templates,
    "UpdateLaunchConfigurationTemplate": templates.update_launch_template,
    "DeleteLaunchConfigurationTemplate": templates.delete_launch_template,
    "TagResource": sharing.tag_resource,
    "UntagResource": sharing.untag_resource,
    "ListTagsForResource": sharing.list_tags,
    "ListStagingAccounts": sharing.list_staging_accounts,
    "ListExtensibleSourceServers": sharing.list_extensible_source_servers,
    "CreateExtendedSourceServer": sharing.create_extended_source_server,
}


class DrsBackend:
    """Elastic Disaster Recovery of every account and Region of the sandbox.

    All state follows from the virtual clock when somebody asks: nothing runs in between, so the
    EC2 instances of a launch appear in moto at the first call after their time. `settle` brings
    everything up to a moment; call it before EC2 is read or changed.

    Args:
        world: clock, seed and moto.
        settings: quotas and switches; `control` may change them later.
    """

    service: ClassVar[str] = "drs"
    operations: ClassVar[frozenset[str] | None] = None

    def __init__(self, world: World, settings: DrsSettings | None = None) -> None:
        self._drs = Drs(world, settings or DrsSettings())
        self._lock = world.lock

    def handle(self, call: Call) -> dict[str, Any]:
        """Answer one request; AwsError as DRS refuses it."""
        handler = _HANDLERS.get(call.operation)
        if handler is None:
            raise AwsError(
                "ValidationException",
                f"The sandbox's DRS does not have {call.operation}",
                status=400,
                reason="unknownOperation",
            )
        with self._lock:
            self._settle(call.now)
            region = self._drs.region(call.account, call.region)
            if not region.initialized and call.operation != "InitializeService":
                raise errors.uninitialized(call.account, call.region)
            return handler(self._drs, region, call)

    def settle(self, now: datetime) -> None:
        """Let everything happen that is due at `now`, EC2 instances included."""
        with self._lock:
            self._settle(now)

    def _settle(self, now: datetime) -> None:
        self._drs.settle(now)
        replication.follow(self._drs, now)

    def control(self, body: dict[str, Any]) -> dict[str, Any]:
        """Change source servers or settings at run time; see `seeding.Change`.

        Raises:
            ValueError: the body is malformed or names what does not exist.
        """
        now = self._drs.world.clock.now()
        with self._lock:
            self._settle(now)
            return seeding.apply(self._drs, body, now)

    def initialize(self, account: str, region: str) -> None:
        """Make DRS initialised in the account and Region, as InitializeService does."""
        with self._lock:
            self._drs.region(account, region).initialized = True

    def trust(self, staging_account: str, region: str, target_account: str) -> None:
        """Let the target account extend source servers of the staging account."""
        with self._lock:
            self._drs.region(staging_account, region).extended_to.add(target_account)

    def add_source_server(self, account: str, region: str, spec: SourceServerSpec) -> str:
        """Add a source server that replicates into the account and Region; returns its id."""
        now = self._drs.world.clock.now()
        with self._lock:
            return seeding.add_source_server(
                self._drs, self._drs.region(account, region), spec, now
            ).id

    def forget_launch_template(self, account: str, region: str, server: str) -> None:
        """Delete the launch template of a source server, as somebody in EC2's console may."""
        with self._lock:
            template = self._drs.region(account, region).servers[server].launch
            self._drs.ec2(account, region).delete_template(template["ec2LaunchTemplateID"])

    def observe_instances(self, launched: LaunchListener, terminated: LaunchListener) -> None:
        """Be told of every instance whose launch has ended, and of every one terminated.

        Both are called with account, Region, instance id, its tags and the virtual time. A
        launched instance is running, or stopped by its launch disposition.
        """
        self._drs.launched.append(launched)
        self._drs.terminated.append(terminated)
