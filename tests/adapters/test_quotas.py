"""Quotas as the account has them, as AWS has them, and as they are documented."""

from __future__ import annotations

from typing import Any

import pytest

from leeward_adapters import quotas
from leeward_adapters.base import Rehearsable
from leeward_adapters.registry import adapter

pytestmark = pytest.mark.aws


def test_the_accounts_own_value_comes_first(make_sandbox: Any) -> None:
    sandbox = make_sandbox(1, drs={"quotas": {"jobs": 7}})

    found = quotas.read(sandbox.scope(), quotas.DRS_JOBS)

    assert (found.value, found.source) == (7, "Applied")


def test_a_quota_that_the_account_never_had_changed_is_awss_default(make_sandbox: Any) -> None:
    sandbox = make_sandbox(1, drs={"quotas": {"jobs": 7}})
    sandbox.control.add_fault(
        operation="GetServiceQuota", action="error", code="NoSuchResourceException"
    )

    found = quotas.read(sandbox.scope(), quotas.DRS_JOBS)

    assert (found.value, found.source) == (20, "Default")


def test_a_drill_s_record_has_awss_default_where_the_account_has_no_value_of_its_own(
    make_sandbox: Any,
) -> None:
    sandbox = make_sandbox(1)
    sandbox.control.add_fault(
        operation="GetServiceQuota", action="error", code="NoSuchResourceException"
    )
    drs = adapter("drs")
    assert isinstance(drs, Rehearsable)

    limits = drs.limits(sandbox.scope())

    assert limits[quotas.DRS_JOBS.code] == 20
    assert {c["part"] for c in sandbox.calls("GetAWSDefaultServiceQuota")} == {"adapter.drs"}


def test_a_service_that_does_not_answer_leaves_the_documented_value_and_says_why(
    sandbox: Any,
) -> None:
    sandbox.control.add_fault(
        service="service-quotas", action="error", code="AccessDeniedException", status=403
    )
    scope = sandbox.scope()

    found = quotas.read(scope, quotas.DRS_REPLICATING)
    again = quotas.read(scope, quotas.DRS_REPLICATING)

    assert (found.value, found.source) == (300, "Documented")
    assert "AccessDeniedException" in found.why
    assert again == found
    assert len(sandbox.calls("GetServiceQuota")) == 1
