"""Which staging accounts the servers of a wave replicate into, and which find no room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from leeward.api.account import TargetAccount
from leeward.api.plan_record import ReadinessProblem
from leeward.planning.estate import staging
from leeward.planning.estate.inventory import Located, located

if TYPE_CHECKING:
    from tests.planning.conftest import Build

UNPROTECTED = {"verdict": "Excluded", "problems": ["NoSourceServer: DRS has no source server"]}


def room(build: Build, name: str, free: int | None) -> TargetAccount:
    """A TargetAccount that takes so many more servers; None: nobody knows how many."""
    region = {"region": "us-east-2", "drs": "Unknown" if free is None else "Initialized"}
    return build.account(name, status={"regions": [{**region, "freeServers": free or 0}]})


def found(build: Build, *servers: dict[str, Any], account: str = "prod") -> list[Located]:
    return located([build.inventory(*(build.server(**s) for s in servers), account=account)])


def waiting(*numbers: int, wave: str = "data") -> list[dict[str, Any]]:
    return [{"number": n, "wave": wave, **UNPROTECTED} for n in numbers]


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        ({"east": 300, "west": 300}, ({"east": 3, "west": 0}, 0)),
        ({"east": 2, "west": 300}, ({"east": 2, "west": 1}, 0)),
        ({"east": 0, "west": 2}, ({"east": 0, "west": 2}, 1)),
        ({"east": -4, "west": 0}, ({"east": 0, "west": 0}, 3)),
        ({"east": None, "west": 0}, ({"east": 3, "west": 0}, 0)),
    ],
    ids=["room", "over into the next", "one is left", "full and too full", "not known"],
)
def test_accounts_are_filled_in_their_order(
    build: Build, free: dict[str, int | None], expected: tuple[dict[str, int], int]
) -> None:
    plan = build.plan(
        accounts=[{"name": name} for name in free],
        waves=[{"name": "data", "stagingAccounts": ["east", "west"]}],
    )
    accounts = {name: room(build, name, left) for name, left in free.items()}
    (one,) = staging.assign(plan.spec, accounts, found(build, *waiting(1, 2, 3)))
    assert ({n: len(s) for n, s in one.into.items()}, len(one.without)) == expected


def test_an_earlier_wave_takes_the_room_that_a_later_one_lacks(build: Build) -> None:
    plan = build.plan(
        accounts=[{"name": "prod"}],
        waves=[{"name": "data", "stagingAccounts": ["prod"]}, {"name": "web"}],
    )
    servers = found(build, *waiting(1, 2), *waiting(3, wave="web"))
    first, second = staging.assign(plan.spec, {"prod": room(build, "prod", 2)}, servers)
    assert (len(first.into["prod"]), len(first.without)) == (2, 0)
    assert [str(f) for f in second.without] == ["srv-3 (prod, us-east-2)"]


def told(build: Build, free: int, *servers: dict[str, Any]) -> list[ReadinessProblem]:
    plan = build.plan(
        accounts=[{"name": "prod"}, {"name": "east"}],
        waves=[{"name": "data", "stagingAccounts": ["east"]}],
    )
    accounts = {"east": room(build, "east", free)}
    return [*staging.problems(plan.spec, accounts, found(build, *servers))]


def test_servers_without_room_are_named_with_what_to_do(build: Build) -> None:
    (full,) = told(build, 1, *waiting(1, 2))
    assert (full.severity, full.reason, full.count) == ("Warning", "StagingFull", 1)
    assert full.examples == ["srv-2 (prod, us-east-2)"]
    for part in ("2 servers of wave data", "room for 1 in east", "L-C1D14A2B", "us-east-2"):
        assert part in full.message


def test_servers_that_replicate_elsewhere_are_named(build: Build) -> None:
    (other,) = told(build, 300, {"number": 1}, *waiting(2))
    assert (other.reason, other.count) == ("OtherStagingAccount", 1)
    assert "its staging accounts east" in other.message


def test_a_plan_that_assigns_nothing_and_lacks_nothing_is_told_nothing(build: Build) -> None:
    plan = build.plan(waves=[{"name": "data"}])
    assert [*staging.problems(plan.spec, {}, found(build, {"number": 1}, *waiting(2)))] == []
