"""A health check of Route 53.

Its state is asked of Route 53's control plane, which in partition `aws` is in us-east-1: while that
Region is down, the check gets no answer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from botocore.exceptions import ClientError

from leeward_adapters.base import Scope
from leeward_adapters.dependencies.contract import Dependency, Verdict

PERMISSIONS: Final = frozenset({"route53:GetHealthCheck", "route53:GetHealthCheckStatus"})
_ENOUGH: Final = 0.18
"""More than this share of the checkers must report success (Route 53 developer guide, How Route 53
determines whether a health check is healthy)."""
_DEEPEST: Final = 3
_TOGETHER: Final = 50.0
"""Seconds for a check and all beneath it, of which a calculated one can have millions."""


def check(scope: Scope, dependency: Dependency) -> Verdict:
    """Whether the health check (its id) is healthy, as Route 53's checkers report it now.

    Raises:
        TimeoutError: there is more beneath it than can be asked for.
    """
    until = time.monotonic() + _TOGETHER
    healthy, said = _state(scope.client("route53"), dependency.target, _DEEPEST, until)
    what = f"health check {dependency.target} in account {scope.account_id}: {said}"
    if healthy:
        return Verdict(True, what)
    return Verdict(False, f"{what}: see what is wrong with what it watches, or enable it")


def _state(route53: Any, check_id: str, depth: int, until: float) -> tuple[bool, str]:
    if time.monotonic() > until:
        raise TimeoutError(f"more than can be asked for in {_TOGETHER:g} s")
    try:
        config = route53.get_health_check(HealthCheckId=check_id)["HealthCheck"][
            "HealthCheckConfig"
        ]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "NoSuchHealthCheck":
            raise
        return False, "is not there"
    if config.get("Disabled"):
        return False, "is disabled, so it says nothing"
    if config["Type"] == "CALCULATED":
        healthy, said = _calculated(route53, config, depth, until)
    else:
        healthy, said = _reported(route53, check_id)
    return healthy != bool(config.get("Inverted")), said


def _calculated(
    route53: Any, config: Mapping[str, Any], depth: int, until: float
) -> tuple[bool, str]:
    """Of its children, as Route 53 does not tell the status of a calculated check."""
    children = config.get("ChildHealthChecks", [])
    if depth == 0:
        return False, "is nested too deeply to be followed"
    healthy = sum(_state(route53, child, depth - 1, until)[0] for child in children)
    said = f"{healthy} of {len(children)} children healthy"
    return healthy >= int(config.get("HealthThreshold", len(children))), said


def _reported(route53: Any, check_id: str) -> tuple[bool, str]:
    answer = route53.get_health_check_status(HealthCheckId=check_id)
    states = [
        o.get("StatusReport", {}).get("Status", "") for o in answer["HealthCheckObservations"]
    ]
    good = sum(state.startswith("Success") for state in states)
    bad = next((state for state in states if not state.startswith("Success")), "")
    said = f"{good} of {len(states)} checkers report success{f', others {bad}' if bad else ''}"
    return good > _ENOUGH * len(states), said[:400]
