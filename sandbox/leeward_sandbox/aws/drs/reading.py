"""The operations of DRS that only read."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from leeward_sandbox.aws.backend import Call
from leeward_sandbox.aws.drs import errors, views
from leeward_sandbox.aws.drs.paging import page
from leeward_sandbox.aws.drs.replication import Snapshot, snapshots
from leeward_sandbox.aws.drs.state import Drs, Job, Region
from leeward_sandbox.aws.drs.timing import hex_id, iso


def describe_source_servers(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """DescribeSourceServers: all filters must hold; unknown ids are left out."""
    filters = call.params.get("filters") or {}
    found = sorted(region.servers.values(), key=lambda s: s.id)
    if filters.get("sourceServerIDs"):
        wanted = set(filters["sourceServerIDs"])
        found = [s for s in found if s.id in wanted]
    if filters.get("hardwareId"):
        found = [s for s in found if s.instance_id == filters["hardwareId"]]
    if filters.get("stagingAccountIDs"):
        accounts = set(filters["stagingAccountIDs"])
        found = [
            s
            for s in found
            if (s.staging_arn.split(":")[4] if s.staging_arn else s.account) in accounts
        ]
    return page(
        found,
        call.params,
        drs.settings.pages.source_servers,
        lambda server: views.source_server(drs, server, call.now),
        most=drs.settings.pages.most,
    )


def describe_recovery_instances(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """DescribeRecoveryInstances."""
    filters = call.params.get("filters") or {}
    found = sorted(region.instances.values(), key=lambda i: i.id)
    if filters.get("recoveryInstanceIDs"):
        wanted = set(filters["recoveryInstanceIDs"])
        found = [i for i in found if i.id in wanted]
    if filters.get("sourceServerIDs"):
        servers = set(filters["sourceServerIDs"])
        found = [i for i in found if i.server_id in servers]
    return page(
        found,
        call.params,
        drs.settings.pages.recovery_instances,
        lambda instance: views.recovery_instance(drs, instance, call.now),
        most=drs.settings.pages.most,
    )


def describe_recovery_snapshots(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """DescribeRecoverySnapshots, ascending unless `order` is DESC."""
    server = region.server(call.params["sourceServerID"])
    filters = call.params.get("filters") or {}
    first, last = _between(filters.get("fromDateTime"), filters.get("toDateTime"))
    found = [s for s in snapshots(drs, server, call.now) if _inside(s.at, first, last)]
    if call.params.get("order") == "DESC":
        found.reverse()

    def view(snapshot: Snapshot) -> dict[str, Any]:
        return {
            "snapshotID": snapshot.id,
            "sourceServerID": server.id,
            "expectedTimestamp": iso(snapshot.at),
            "timestamp": iso(snapshot.at),
            "ebsSnapshots": [
                hex_id("snap-", drs.world.seed, snapshot.id, disk.device) for disk in server.disks
            ],
        }

    return page(found, call.params, drs.settings.pages.snapshots, view)


def describe_jobs(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """DescribeJobs, newest first, both dates inclusive."""
    filters = call.params.get("filters") or {}
    first, last = _between(filters.get("fromDate"), filters.get("toDate"))
    visible = call.now - timedelta(seconds=drs.settings.jobs_visible_after)
    wanted = set(filters.get("jobIDs") or ())
    found = [
        job
        for job in region.jobs.values()
        if job.created <= visible
        and _inside(job.created, first, last)
        and (not wanted or job.id in wanted)
    ]
    # Made in order of time, so this is newest first, jobs of one instant included.
    found.reverse()

    def view(job: Job) -> dict[str, Any]:
        return views.job(drs, job, call.now)

    return page(found, call.params, drs.settings.pages.jobs, view)


def describe_job_log_items(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """DescribeJobLogItems, oldest first."""
    job = region.jobs.get(call.params["jobID"])
    if job is None:
        raise errors.invalid(
            f"Job {call.params['jobID']} does not exist in account {region.account} in "
            f"{region.name}",
            "jobID",
        )
    return page(job.log, call.params, drs.settings.pages.job_log, views.log_item)


def _between(first: str | None, last: str | None) -> tuple[datetime | None, datetime | None]:
    return tuple(datetime.fromisoformat(text) if text else None for text in (first, last))  # type: ignore[return-value]


def _inside(at: datetime, first: datetime | None, last: datetime | None) -> bool:
    # The request's dates have whole seconds: the last second counts as a whole.
    if first is not None and at < first:
        return False
    return last is None or at < last + timedelta(seconds=1)
