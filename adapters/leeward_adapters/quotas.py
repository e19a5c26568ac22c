"""Service Quotas: what an account may hold in a Region.

A quota that cannot be read never holds anything up: the documented value stands in, and the
answer says so. Values and codes are of the AWS General Reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from botocore.exceptions import BotoCoreError, ClientError

from leeward_adapters.base import Scope
from leeward_adapters.errors import classify

PERMISSIONS: Final = frozenset(
    {"servicequotas:GetAWSDefaultServiceQuota", "servicequotas:GetServiceQuota"}
)
"""IAM actions of `read`."""

KEPT: Final = 3600.0
"""Seconds for which a value that AWS gave is believed; Service Quotas throttles early."""
RETRIED: Final = 300.0
"""Seconds after which one that it did not give is asked for again."""


@dataclass(frozen=True, slots=True)
class Known:
    """A quota that Leeward counts with."""

    service: str
    """Service Quotas' code of the service."""
    code: str
    name: str
    """For people."""
    documented: float
    """AWS's documented default."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What one quota allows in one account and Region."""

    known: Known
    value: float
    source: Literal["Applied", "Default", "Documented"]
    """`Applied`: the account's own. `Default`: AWS's default, as Service Quotas says, where the
    account has none of its own. `Documented`: Service Quotas did not answer."""
    why: str = ""
    """For `Documented`: why AWS's own word is missing."""


DRS_REPLICATING: Final = Known("drs", "L-C1D14A2B", "concurrently replicating source servers", 300)
DRS_SERVERS: Final = Known("drs", "L-E28BE5E0", "source servers", 4000)
DRS_JOBS: Final = Known("drs", "L-D88FAC3A", "concurrent jobs", 20)
DRS_SERVERS_IN_JOBS: Final = Known("drs", "L-05AFA8C6", "source servers in all jobs", 500)
DRS_SERVERS_PER_JOB: Final = Known("drs", "L-B827C881", "source servers in one job", 100)
DRS: Final = (
    DRS_REPLICATING, DRS_SERVERS, DRS_JOBS, DRS_SERVERS_IN_JOBS, DRS_SERVERS_PER_JOB,
)  # fmt: skip
"""Those of DRS that decide how many servers an account takes, and how fast."""


def read(scope: Scope, known: Known) -> Quota:
    """The quota in the scope's account and Region, kept for an hour. Never raises AWS's errors."""
    key = (known.service, known.code)

    def ask() -> Quota:
        try:
            return scope.cached(("quota", *key), KEPT, lambda: _ask(scope, known))
        except (ClientError, BotoCoreError) as error:
            fault = classify(error)
            return Quota(known, known.documented, "Documented", f"{fault.code}: {fault.message}")

    return scope.cached(("quota-or-documented", *key), RETRIED, ask)


def _ask(scope: Scope, known: Known) -> Quota:
    client = scope.client("service-quotas")
    asked = {"ServiceCode": known.service, "QuotaCode": known.code}
    try:
        return _quota(known, "Applied", client.get_service_quota(**asked))
    except ClientError as error:
        # Some quotas exist in an account only once somebody asked for another value.
        if error.response.get("Error", {}).get("Code") != "NoSuchResourceException":
            raise
    return _quota(known, "Default", client.get_aws_default_service_quota(**asked))


def _quota(known: Known, source: Literal["Applied", "Default"], answer: Any) -> Quota:
    told = answer["Quota"]
    if "Value" in told:
        return Quota(known, float(told["Value"]), source)
    reason = told.get("ErrorReason", {}).get("ErrorMessage", "Service Quotas gave no value")
    return Quota(known, known.documented, "Documented", reason)
