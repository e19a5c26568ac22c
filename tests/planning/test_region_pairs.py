"""An installation may say between which Regions plans move."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from leeward.planning.plans.region_pairs import parse, problems

if TYPE_CHECKING:
    from tests.planning.conftest import Build


@pytest.mark.parametrize(
    "text", ["", "us-east-1:us-east-2", "eu-west-1:eu-west-2, us-east-1:us-east-2"]
)
def test_a_pair_that_is_allowed_or_no_list_at_all_is_fine(build: Build, text: str) -> None:
    assert list(problems(build.plan(), parse(text))) == []


@pytest.mark.parametrize("text", ["us-east-2:us-east-1", "eu-west-1:eu-west-2"])
def test_another_pair_is_refused_with_those_that_are_allowed(build: Build, text: str) -> None:
    (problem,) = problems(build.plan(), parse(text))

    assert problem.reason == "RegionPairRefused"
    for said in ("from us-east-1 to us-east-2", f"({text})", "LEEWARD_REGION_PAIRS"):
        assert said in problem.message


@pytest.mark.parametrize("text", ["us-east-1", "us-east-1:us-east-1", "a:b,:c", "us-east-1:"])
def test_what_is_no_pair_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="is not a pair of different Regions"):
        parse(text)
