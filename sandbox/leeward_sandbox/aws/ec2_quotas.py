"""Service Quotas of EC2's On-Demand instances, which moto does not know.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-on-demand-instances.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from leeward_sandbox.aws.backend import AwsError, Call

STANDARD = "L-1216C47A"
NAME = "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances"
DEFAULT = 5.0
"""vCPUs of a new account, which AWS raises by itself as the account is used."""
USUAL = 20_000.0
"""vCPUs of an account of which the estate says nothing."""


class Ec2Quotas:
    """Answers Service Quotas for the service code ``ec2``; the rest is others'.

    Args:
        vcpus: the applied value of `STANDARD` by account.
    """

    service: ClassVar[str] = "service-quotas"
    operations: ClassVar[frozenset[str] | None] = frozenset(
        {"GetAWSDefaultServiceQuota", "GetServiceQuota", "ListServiceQuotas"}
    )
    answers: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, vcpus: Mapping[str, float]) -> None:
        self._vcpus = vcpus

    def before(self, call: Call) -> dict[str, Any] | None:
        """Answer what is asked of ``ec2``."""
        if call.params["ServiceCode"] != "ec2":
            return None
        if call.operation == "ListServiceQuotas":
            return {"Quotas": [self._quota(call)]}
        if call.params["QuotaCode"] != STANDARD:
            raise AwsError(
                "NoSuchResourceException",
                "The request failed because the specified service quota does not exist: ec2"
                f" {call.params['QuotaCode']} (account {call.account}, Region {call.region})",
            )
        return {"Quota": self._quota(call)}

    def after(self, call: Call, result: dict[str, Any]) -> dict[str, Any]:
        """Leave moto's answers about other services alone."""
        return result

    def _quota(self, call: Call) -> dict[str, Any]:
        default = call.operation == "GetAWSDefaultServiceQuota"
        return {
            "ServiceCode": "ec2",
            "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
            "QuotaArn": f"arn:aws:servicequotas:{call.region}:{call.account}:ec2/{STANDARD}",
            "QuotaCode": STANDARD,
            "QuotaName": NAME,
            "Value": DEFAULT if default else self._vcpus.get(call.account, USUAL),
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }
