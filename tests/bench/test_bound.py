"""The figures that the bench compares with: the lower bound and the fewest calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from calls import fewest, polls
from recovery import ACTIVATION, Launch, Recovery, Start, bound, losses, packed

from leeward_sandbox.aws.drs.settings import Quotas
from leeward_sandbox.aws.drs.timing import JOB_END_AFTER_LAST_SERVER as CLOSING

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def launch(server: str, asked: float, ended: float, *, wave: int = 1, account: str = "a") -> Launch:
    return Launch(server, account, wave, f"{account}{wave}", after(asked), after(ended))


TWO_WAVES = Recovery(
    launches=[launch("s-1", 10, 510), launch("s-2", 10, 610), launch("s-3", 900, 1500, wave=2)],
    starts=[Start("a", 1, after(615), 2), Start("a", 2, after(1520), 1)],
)


@pytest.mark.parametrize(
    ("jobs", "quotas", "seconds"),
    [
        ([[500.0, 600.0], [550.0]], Quotas(), 600.0),
        ([[600.0], [500.0]], Quotas(jobs=1), 600 + CLOSING + 500),
        ([[500.0] * 3, [600.0] * 3], Quotas(servers_in_jobs=5), 600 + CLOSING + 500),
        ([[500.0] * 3, [600.0] * 3], Quotas(servers_in_jobs=6), 600.0),
    ],
)
def test_jobs_run_at_once_as_far_as_the_quotas_allow(
    jobs: list[list[float]], quotas: Quotas, seconds: float
) -> None:
    assert packed(jobs, quotas) == seconds


def test_the_bound_is_what_aws_took_wave_after_wave() -> None:
    assert bound(TWO_WAVES, Quotas()) == 600 + ACTIVATION + 600 + ACTIVATION


def test_bound_and_losses_make_up_the_makespan() -> None:
    began, ended = after(0), after(1700)
    lost = losses(TWO_WAVES, began, ended)
    assert lost == {
        "before the first launch": 10,
        "from launched to started": 5 + 20,
        "to the next wave's launches": 900 - 615 - ACTIVATION,
        "from started to the verdict": 1700 - 1520 - ACTIVATION,
    }
    assert bound(TWO_WAVES, Quotas()) + sum(lost.values()) == (ended - began).total_seconds()


def test_waits_for_one_service_of_one_account_are_polled_together() -> None:
    together = Recovery([launch("s-1", 0, 60), launch("s-2", 30, 90)], [])
    assert polls([], together, 15) == 6
    elsewhere = Recovery([*together.launches, launch("s-3", 0, 61, account="b")], [])
    assert polls([], elsewhere, 15) == 6 + 5


def test_each_server_is_prepared_and_each_batch_launched_and_started_once() -> None:
    calls = [
        {
            "operation": operation,
            "mutating": mutating,
            "error": None,
            "account": "a",
            "region": "us-east-1",
            "virtual_at": NOON.isoformat(),
        }
        for operation, mutating in [
            ("UpdateLaunchConfiguration", True),
            ("StartRecovery", True),
            ("StartRecovery", True),
            ("StopInstances", True),
            ("DescribeJobs", False),
        ]
    ]
    servers = [launch(f"s-{n}", 0, 15) for n in range(101)]
    assert fewest(calls, Recovery(servers, []), 15) == 101 + 2 + 2 + 1 + (1 + 2)
