"""What EC2 says of instances, asked as seldom and as cheaply as will do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from botocore.exceptions import ClientError

from leeward_adapters.base import Scope


@dataclass(frozen=True, slots=True)
class Instance:
    """What EC2 says of an instance."""

    id: str
    state: str
    """`pending`, `running`, `stopping`, `stopped`, `shutting-down`, `terminated`."""
    subnet: str = ""
    type: str = ""
    address: str = ""
    """Primary private IPv4 address."""
    reason_code: str = ""
    reason: str = ""
    checks: tuple[str, ...] = ()
    """Results of system and instance status check, of a running instance: `ok`,
    `initializing`, `impaired`, `insufficient-data`, `not-applicable`."""
    impaired: datetime | None = None
    """Since when it fails a status check, by EC2's clock; since its start, if it never passed it.
    None: it fails none, or EC2 does not say."""
    launched: datetime | None = None
    """When it was last started, by EC2's clock."""
    stopped: datetime | None = None
    """When a person or program stopped it by the API; None: it runs, or EC2 does not say."""
    volumes: tuple[str, ...] = ()
    """Ids of its EBS volumes."""

    @property
    def alive(self) -> bool:
        """Whether it may still be used."""
        return self.state not in {"shutting-down", "terminated"}

    @property
    def passed(self) -> bool:
        """Whether both status checks are ok."""
        return bool(self.checks) and all(check == "ok" for check in self.checks)


def describe(ec2: Any, ids: Iterable[str]) -> dict[str, Instance]:
    """The instances that exist, by id (DescribeInstances; by filter, since one unknown id among
    `InstanceIds` would fail the whole call)."""
    wanted = sorted(set(ids))
    found: dict[str, Instance] = {}
    for chunk in _chunks(wanted, 200):
        pages = ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "instance-id", "Values": chunk}]
        )
        for page in pages:
            for reservation in page["Reservations"]:
                for raw in reservation["Instances"]:
                    found[raw["InstanceId"]] = _instance(raw)
    return found


def described(
    scope: Scope, ids: Iterable[str], as_of: float | None, *, checks: bool
) -> dict[str, Instance]:
    """Like `describe`, asked once for all who wait.

    Args:
        scope: account and Region.
        ids: of instances.
        as_of: how new the answer must be, see `Step.since`.
        checks: whether the status checks of those that run are wanted.
    """
    found = _shared(scope, ids, as_of)
    if not checks:
        return found
    running = [instance.id for instance in found.values() if instance.state == "running"]
    statuses = _shared_statuses(scope, running, as_of)
    return {i: _with_checks(one, statuses.get(i)) for i, one in found.items()}


def watched(
    scope: Scope, ids: Iterable[str], as_of: float | None, *, enough: frozenset[str]
) -> dict[str, Instance]:
    """State and checks of instances that are on their way (DescribeInstanceStatus).

    It costs AWS a tenth of DescribeInstances, which is asked of the others.

    Args:
        scope: account and Region.
        ids: of instances.
        as_of: how new the answer must be, see `Step.since`.
        enough: states of which nothing else is to be known.
    """
    wanted = list(ids)
    statuses = _shared_statuses(scope, wanted, as_of)
    found = {
        i: Instance(id=i, state=status.state, checks=status.checks, impaired=status.impaired)
        for i, status in statuses.items()
        if status.state in enough
    }
    rest = _shared(scope, [i for i in wanted if i not in found], as_of)
    return found | {i: _with_checks(one, statuses.get(i)) for i, one in rest.items()}


def pace(instances: Iterable[Instance]) -> float:
    """When there may be news of instances that are started, see `Observed.pace`."""
    return 0.5 if any(i.state == "running" and not i.passed for i in instances) else 1.0


@dataclass(frozen=True, slots=True)
class Status:
    """What DescribeInstanceStatus says of an instance."""

    state: str
    checks: tuple[str, ...]
    impaired: datetime | None = None


CHECKS: Final = ("SystemStatus", "InstanceStatus")
_BY_ID: Final = 100
"""Instances that may be named in one DescribeInstanceStatus."""
_PAGE: Final = 1000


def _shared(scope: Scope, ids: Iterable[str], as_of: float | None) -> dict[str, Instance]:
    return scope.views.look_up("ec2-instances", ids, as_of, partial(describe, scope.client("ec2")))


def _shared_statuses(scope: Scope, ids: Iterable[str], as_of: float | None) -> dict[str, Status]:
    return scope.views.look_up("ec2-statuses", ids, as_of, partial(_statuses, scope.client("ec2")))


def _statuses(ec2: Any, ids: Sequence[str]) -> dict[str, Status]:
    """Of many, by one list of all instances where one page holds them; else by id."""
    if len(ids) > _BY_ID:
        page = ec2.describe_instance_status(IncludeAllInstances=True, MaxResults=_PAGE)
        if not page.get("NextToken"):
            return parsed(page)
    found: dict[str, Status] = {}
    for chunk in _chunks(ids, _BY_ID):
        try:
            page = ec2.describe_instance_status(InstanceIds=chunk, IncludeAllInstances=True)
            found |= parsed(page)
        except ClientError as error:
            # One id that EC2 does not know fails the whole question; a filter does not.
            if not error.response.get("Error", {}).get("Code", "").startswith("InvalidInstanceID"):
                raise
            known = describe(ec2, chunk)
            if known:
                page = ec2.describe_instance_status(
                    InstanceIds=sorted(known), IncludeAllInstances=True
                )
                found |= parsed(page)
    return found


def parsed(page: Mapping[str, Any]) -> dict[str, Status]:
    """What an answer of DescribeInstanceStatus says, by instance id."""
    return {
        raw["InstanceId"]: Status(
            state=raw["InstanceState"]["Name"],
            checks=tuple(raw.get(key, {}).get("Status", "") for key in CHECKS),
            impaired=min(_impaired(raw), default=None),
        )
        for raw in page["InstanceStatuses"]
    }


def _impaired(raw: Mapping[str, Any]) -> list[datetime]:
    details = (detail for key in CHECKS for detail in raw.get(key, {}).get("Details", []))
    return [detail["ImpairedSince"] for detail in details if "ImpairedSince" in detail]


def _with_checks(instance: Instance, status: Status | None) -> Instance:
    """The instance with its checks, where it runs."""
    if status is None or instance.state != "running":
        return instance
    return replace(instance, checks=status.checks, impaired=status.impaired)


def _instance(raw: Mapping[str, Any]) -> Instance:
    reason = raw.get("StateReason", {})
    return Instance(
        id=raw["InstanceId"],
        state=raw["State"]["Name"],
        subnet=raw.get("SubnetId", ""),
        type=raw.get("InstanceType", ""),
        address=raw.get("PrivateIpAddress", ""),
        reason_code=reason.get("Code", ""),
        reason=reason.get("Message", ""),
        launched=raw.get("LaunchTime"),
        stopped=_stopped(raw),
        volumes=tuple(
            mapping["Ebs"]["VolumeId"]
            for mapping in raw.get("BlockDeviceMappings", [])
            if "Ebs" in mapping
        ),
    )


_TRANSITION: Final = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")
"""The time in `StateTransitionReason`, which EC2 tells in words alone."""


def _stopped(raw: Mapping[str, Any]) -> datetime | None:
    told = _TRANSITION.search(raw.get("StateTransitionReason", ""))
    if raw["State"]["Name"] != "stopped" or told is None:
        return None
    return datetime.fromisoformat(told[1]).replace(tzinfo=UTC)


def _chunks(items: Sequence[str], size: int) -> list[list[str]]:
    return [list(items[i : i + size]) for i in range(0, len(items), size)]
