"""Service Quotas for DRS, which moto does not know.

Codes and values: https://docs.aws.amazon.com/general/latest/gr/drs.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from leeward_sandbox.aws.backend import AwsError, Call

# code: (name, value, adjustable)
DRS_QUOTAS: dict[str, tuple[str, int, bool]] = {
    "L-C1D14A2B": ("Concurrently replicating source servers", 300, False),
    "L-E28BE5E0": ("Total source servers", 4000, True),
    "L-D88FAC3A": ("Concurrent jobs in progress", 20, False),
    "L-B827C881": ("Max number of source servers in a single job", 100, False),
    "L-05AFA8C6": ("Max number of source servers in all jobs", 500, False),
    "L-DD6D028C": ("Max concurrent jobs per source server", 1, False),
    "L-0588D03B": ("Launch actions per resource", 200, False),
    "L-1F3FAE4D": ("Launch configuration templates", 1, False),
    "L-4B0323BD": ("Source networks", 100, True),
}
_PAGE = 100


class DrsQuotas:
    """Answers Service Quotas for the service code ``drs``; the rest is moto's.

    Args:
        enforced: values, by quota code, that the sandbox's DRS enforces; other quotas have AWS's
            default.
    """

    service: ClassVar[str] = "service-quotas"
    operations: ClassVar[frozenset[str] | None] = frozenset(
        {
            "GetAWSDefaultServiceQuota",
            "GetServiceQuota",
            "ListAWSDefaultServiceQuotas",
            "ListServiceQuotas",
        }
    )

    answers: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, enforced: Mapping[str, float]) -> None:
        self._enforced = enforced

    def before(self, call: Call) -> dict[str, Any] | None:
        """Answer what is asked of ``drs``."""
        if call.params["ServiceCode"] != "drs":
            return None
        if call.operation.startswith("List"):
            return _page([self._quota(call, code) for code in DRS_QUOTAS], call.params)
        code = call.params["QuotaCode"]
        if code not in DRS_QUOTAS:
            raise AwsError(
                "NoSuchResourceException",
                f"The request failed because the specified service quota does not exist: drs {code}"
                f" (account {call.account}, Region {call.region})",
            )
        return {"Quota": self._quota(call, code)}

    def after(self, call: Call, result: dict[str, Any]) -> dict[str, Any]:
        """Leave moto's answers about other services alone."""
        return result

    def _quota(self, call: Call, code: str) -> dict[str, Any]:
        name, default, adjustable = DRS_QUOTAS[code]
        applied = not call.operation.startswith(("GetAWSDefault", "ListAWSDefault"))
        value = self._enforced.get(code, default) if applied else default
        return {
            "ServiceCode": "drs",
            "ServiceName": "AWS Elastic Disaster Recovery",
            "QuotaArn": f"arn:aws:servicequotas:{call.region}:{call.account}:drs/{code}",
            "QuotaCode": code,
            "QuotaName": name,
            "Value": float(value),
            "Unit": "None",
            "Adjustable": adjustable,
            "GlobalQuota": False,
        }


def _page(quotas: list[dict[str, Any]], params: dict[str, Any]) -> dict[str, Any]:
    start = int(params.get("NextToken", "0"))
    end = start + int(params.get("MaxResults", _PAGE))
    page: dict[str, Any] = {"Quotas": quotas[start:end]}
    return page | {"NextToken": str(end)} if end < len(quotas) else page
