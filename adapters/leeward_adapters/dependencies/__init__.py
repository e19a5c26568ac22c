"""What must work in the recovery Region before an estate can be recovered there: a check per type.

A check is read-only and asks AWS, or an endpoint, for what it sees now. One module is one service;
it has `check(scope, dependency)` and `PERMISSIONS`, and lets botocore's errors travel unless the
error itself is the answer (what was asked for is not there).
"""

from __future__ import annotations

from importlib import import_module
from typing import Final, Protocol, cast

from leeward_adapters.attribution import asking
from leeward_adapters.base import Scope
from leeward_adapters.dependencies.contract import Dependency, Verdict

__all__ = ["CHECKS", "Dependency", "Verdict", "check", "permissions"]

CHECKS: Final = {
    "ActiveDirectory": "active_directory",
    "AuroraGlobal": "aurora_global",
    "DynamoDbGlobalTable": "dynamodb_global_table",
    "Http": "http_endpoint",
    "Route53HealthCheck": "route53_health_check",
    "S3Replication": "s3_replication",
    "Tcp": "tcp_port",
}
"""By type of dependency: its module here."""


class _Module(Protocol):
    PERMISSIONS: frozenset[str]

    def check(self, scope: Scope, dependency: Dependency) -> Verdict: ...


def check(scope: Scope, dependency: Dependency) -> Verdict:
    """Whether the dependency holds now.

    Args:
        scope: the dependency's account in the recovery Region, through its read role.
        dependency: what is checked.

    Raises:
        ClientError, BotoCoreError: AWS did not say.
        ValueError: target or parameters are not what the type takes.
    """
    with asking(of_check(dependency.type)):
        return _module(dependency.type).check(scope, dependency)


def of_check(kind: str) -> str:
    """What the check of that type is called as a part (`leeward_adapters.attribution`)."""
    return f"dependency.{kind}"


def permissions(kind: str) -> frozenset[str]:
    """IAM actions of the check."""
    return _module(kind).PERMISSIONS


def _module(kind: str) -> _Module:
    return cast(_Module, import_module(f"{__name__}.{CHECKS[kind]}"))
