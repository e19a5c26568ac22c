"""Active Directory: AWS's in the recovery Region, or domain controllers of one's own.

Service: https://docs.aws.amazon.com/directoryservice/latest/devguide/ (DescribeDirectories,
DescribeDomainControllers). A directory of several Regions has no failover: it works in each.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Final

from botocore.exceptions import ClientError

from leeward_adapters.base import Scope
from leeward_adapters.dependencies import tcp_port
from leeward_adapters.dependencies.addresses import AddressRefusedError
from leeward_adapters.dependencies.contract import Dependency, Verdict
from leeward_adapters.ec2 import place

PERMISSIONS: Final = frozenset({"ds:DescribeDirectories", "ds:DescribeDomainControllers"})
_ID: Final = re.compile(r"d-[0-9a-f]{10}")
_LDAP: Final = 389
_MOST: Final = 20
_TOGETHER: Final = 40.0
"""Seconds for all controllers of one's own; of those that come after, each has `_LEAST`."""
_LEAST: Final = 0.1


def check(scope: Scope, dependency: Dependency) -> Verdict:
    """Whether the directory is Active, with enough domain controllers, in the recovery Region.

    The target is a directory id of that Region (`d-…`), or the name of a domain. Parameters:
    `controllers`, domain controllers of one's own as `host,host`, which are asked at `port` (389 by
    default) in place of Directory Service; `minimum`, how many controllers must work, by default 2.
    """
    least = dependency.number("minimum", 2, _MOST)
    if hosts := dependency.parameters.get("controllers", ""):
        return _own(dependency, [h.strip() for h in hosts.split(",") if h.strip()], least)
    found = _directory(scope, dependency.target)
    if found is None:
        return Verdict(
            False,
            f"Directory Service has no directory {dependency.target} in {place(scope)}: add the "
            "Region to the directory, or name its id there",
        )
    what = f"directory {found['DirectoryId']} ({found.get('Name', '')}) in {place(scope)}"
    if found.get("Stage") != "Active":
        why = found.get("StageReason") or "no reason given"
        return Verdict(False, f"{what} is {found.get('Stage')} ({why}): mend it in the console")
    if found.get("Type") != "MicrosoftAD":
        return Verdict(True, f"{what} is Active")
    return _controllers(scope, found["DirectoryId"], what, least)


def _directory(scope: Scope, target: str) -> Mapping[str, Any] | None:
    asked: dict[str, Any] = {"DirectoryIds": [target]} if _ID.fullmatch(target) else {}
    try:
        pages = scope.client("ds").get_paginator("describe_directories").paginate(**asked)
        found = [one for page in pages for one in page["DirectoryDescriptions"]]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "EntityDoesNotExistException":
            return None
        raise
    wanted = (d for d in found if target.lower() in {d["DirectoryId"], d.get("Name", "").lower()})
    return next(wanted, None)


def _controllers(scope: Scope, directory: str, what: str, least: int) -> Verdict:
    pages = (
        scope.client("ds")
        .get_paginator("describe_domain_controllers")
        .paginate(DirectoryId=directory)
    )
    states = [one.get("Status", "") for page in pages for one in page["DomainControllers"]]
    active = states.count("Active")
    said = f"{what} is Active, with {active} of {len(states)} domain controllers"
    if active >= least:
        return Verdict(True, said)
    return Verdict(False, f"{said}; {least} must be: restore or add domain controllers there")


def _own(dependency: Dependency, hosts: list[str], least: int) -> Verdict:
    """Domain controllers of one's own: how many accept connections."""
    port, seconds = dependency.number("port", _LDAP, 65535), dependency.number("timeout", 3, 5)
    if len(hosts) > _MOST:
        raise ValueError(f"parameter controllers names {len(hosts)} hosts, and may name {_MOST}")
    failures = []
    until = time.monotonic() + _TOGETHER
    for host in hosts:
        share = min(seconds, max(until - time.monotonic(), _LEAST))
        try:
            tcp_port.connect(host, port, share, dependency.addresses).close()
        except (OSError, AddressRefusedError) as error:
            failures.append(tcp_port.unreachable(f"{host}:{port}", error))
    works = len(hosts) - len(failures)
    said = f"{works} of {len(hosts)} domain controllers of {dependency.target} accept connections"
    if works >= min(least, len(hosts)):
        return Verdict(True, said)
    return Verdict(False, f"{said}: {failures[0]}")
