"""Keeping what is about to be retired: marked at DRS, and its volumes in snapshots.

The mark comes first. Whatever becomes of the Cleanup after that, DRS's record of the instance says
that something else serves in its place, so that no later run takes it for what holds the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from leeward_adapters import ec2
from leeward_adapters.base import Scope, Step
from leeward_adapters.drs_instances import RETIRED_TAG, RecoveryInstance
from leeward_adapters.drs_jobs import CALL_TAG, TASK_TAG
from leeward_adapters.drs_relaunch import SERVER_TAG
from leeward_adapters.errors import begun


@dataclass(frozen=True, slots=True)
class Retired:
    """An instance that is to be retired."""

    instance: RecoveryInstance
    serving: str
    """Id of the instance that serves in its place."""


def keep(away: Scope, step: Step, call: str, retired: Mapping[str, Retired]) -> str:
    """Mark each instance, then one CreateSnapshots for it; the snapshots are found by their tags.

    Args:
        away: the recovery Region.
        step: the clean-up.
        call: id of the batch.
        retired: by target.

    Raises:
        HTTPClientError: one call failed and AWS had taken others, so that there is doubt.
    """
    for done, (target, one) in enumerate(retired.items()):
        tags = {**step.tags, TASK_TAG: step.token, CALL_TAG: call, SERVER_TAG: target}
        try:
            away.client("drs").tag_resource(
                resourceArn=one.instance.arn, tags={RETIRED_TAG: one.serving}
            )
            _snapshots(away, one.instance.id, target, tags)
        except (ClientError, BotoCoreError) as error:
            if done:
                raise begun(error) from error
            raise
    return f"{len(retired)} kept"


def _snapshots(away: Scope, instance: str, target: str, tags: Mapping[str, str]) -> None:
    away.client("ec2", once=True).create_snapshots(
        InstanceSpecification={"InstanceId": instance},
        Description=f"{target} before its recovery instance was retired",
        TagSpecifications=[
            {
                "ResourceType": "snapshot",
                "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
            }
        ],
    )


def kept(
    away: Scope, step: Step, machines: Sequence[ec2.Instance | None]
) -> dict[str, frozenset[str]]:
    """By volume: states of the snapshots that this task made of it."""
    if not any(machines):
        return {}
    mine = [{"Name": f"tag:{TASK_TAG}", "Values": [step.token]}]
    pages = (
        away.client("ec2")
        .get_paginator("describe_snapshots")
        .paginate(OwnerIds=["self"], Filters=mine)
    )
    found: dict[str, frozenset[str]] = {}
    for page in pages:
        for one in page["Snapshots"]:
            before = found.get(one["VolumeId"], frozenset())
            found[one["VolumeId"]] = before | {one["State"]}
    return found
