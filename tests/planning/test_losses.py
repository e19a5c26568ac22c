"""What an account no longer shows: kept when it is too much to be believed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from leeward.planning.estate import losses
from leeward.planning.estate.machines import Found
from leeward.planning.times import render_time

if TYPE_CHECKING:
    from tests.planning.conftest import Build


def servers(build: Build, *numbers: int, **fields: Any) -> list[Found]:
    return [build.found("drs", f"s-{n:017d}", **fields) for n in numbers]


@pytest.mark.parametrize(
    ("before", "lost", "kept"),
    [(100, 5, 0), (100, 6, 6), (10, 1, 1), (1000, 50, 0), (1000, 1000, 1000), (0, 0, 0)],
)
def test_more_than_a_twentieth_at_once_is_kept(
    build: Build, before: int, lost: int, kept: int
) -> None:
    known = servers(build, *range(before))
    missing = losses.vanished(known[lost:], known)
    found = losses.kept(missing, known, build.now)
    assert (len(missing), len(found)) == (lost, kept)
    assert {f.missing_since for f in found} <= {render_time(build.now)}


def test_what_is_missing_keeps_its_time_and_is_forgotten_after_a_day(build: Build) -> None:
    known = servers(build, *range(10))
    early = losses.kept(known[:2], known, build.now)
    later = losses.kept(early, [*early, *known[2:]], build.now + timedelta(hours=23))
    assert later == early
    assert losses.kept(early, [*early, *known[2:]], build.now + timedelta(hours=25)) == []


def test_a_machine_is_not_lost_when_a_source_server_stands_for_it(build: Build) -> None:
    instance = build.found("ec2", "i-00000000000000001")
    (server,) = servers(build, 1, attributes={"originInstanceId": instance.id})
    assert losses.vanished([server], [instance]) == []


def test_of_a_silent_account_everything_stays_and_what_it_says_wins(build: Build) -> None:
    known = servers(build, 1, 2, name="old")
    (fresh,) = servers(build, 2, name="new")
    assert [(f.id, f.name) for f in losses.union([fresh], known)] == [
        (fresh.id, "new"),
        (known[0].id, "old"),
    ]


def test_an_inventory_is_what_was_known(build: Build) -> None:
    inventory = build.inventory(build.server(1, missingSince="2026-03-01T01:00:00Z"))
    (found,) = losses.before([inventory], "prod")
    assert (found.id, found.account, found.missing_since) == (
        "s-00000000000000001",
        "prod",
        "2026-03-01T01:00:00Z",
    )
    assert losses.before([inventory], "another") == []


@pytest.mark.parametrize(("now", "kept"), [("i-b2", "i-a3"), ("i-b2-of-the-next-failover", None)])
def test_what_a_failback_launched_is_known_while_the_primary_region_is_silent(
    build: Build, now: str, kept: str | None
) -> None:
    told = {"retiredInstanceId": "i-b2", "failbackInstanceId": "i-a3"}
    known = servers(build, 1, attributes=told)
    (found,) = losses.way_back_kept(servers(build, 1, attributes={"retiredInstanceId": now}), known)
    assert found.attributes.get("failbackInstanceId") == kept
