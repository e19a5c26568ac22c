"""The service quotas of DRS that its calls enforce."""

from __future__ import annotations

from leeward_sandbox.aws.drs import errors
from leeward_sandbox.aws.drs.settings import Quotas
from leeward_sandbox.aws.drs.state import Region

SERVERS_PER_JOB = "L-B827C881"
JOBS = "L-D88FAC3A"
SERVERS_IN_JOBS = "L-05AFA8C6"
REPLICATING_SERVERS = "L-C1D14A2B"
LAUNCH_ACTIONS = "L-0588D03B"
LAUNCH_TEMPLATES = "L-1F3FAE4D"


def check_new_job(region: Region, quotas: Quotas, servers: int) -> None:
    """Refuse a job of `servers` servers that would exceed a quota of the account and Region."""
    if servers > quotas.servers_per_job:
        raise errors.quota_exceeded(
            f"A job takes at most {quotas.servers_per_job} source servers, not {servers}",
            SERVERS_PER_JOB,
        )
    active = [job for job in region.jobs.values() if job.active]
    if len(active) >= quotas.jobs:
        raise errors.quota_exceeded(
            f"{len(active)} jobs are in progress in account {region.account} in {region.name}; "
            f"the quota is {quotas.jobs}",
            JOBS,
        )
    held = sum(len(job.participants) for job in active)
    if held + servers > quotas.servers_in_jobs:
        raise errors.quota_exceeded(
            f"{held} source servers are in active jobs in account {region.account} in "
            f"{region.name}; {servers} more exceed the quota of {quotas.servers_in_jobs}",
            SERVERS_IN_JOBS,
        )


def check_replicating(region: Region, quotas: Quotas, replicating: int) -> None:
    """Refuse one more replicating source server where the quota is reached."""
    if replicating >= quotas.replicating_servers:
        raise errors.quota_exceeded(
            f"{replicating} source servers replicate into account {region.account} in "
            f"{region.name}; the quota is {quotas.replicating_servers}",
            REPLICATING_SERVERS,
        )
