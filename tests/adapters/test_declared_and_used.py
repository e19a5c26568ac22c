"""What adapters declare is what they use, seen over all tests of this directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from leeward_adapters import registry
from leeward_adapters.registry import adapter

pytestmark = pytest.mark.aws

FOR_DRS: dict[str, set[str]] = {}


@pytest.fixture
def whole(request: pytest.FixtureRequest) -> None:
    """Skips where only some of the directory's tests run: what they use is no proof."""
    ran = {
        item.path.name
        for item in request.session.items
        if item.path.parent == Path(__file__).parent
    }
    there = {path.name for path in Path(__file__).parent.glob("test_*.py")}
    if ran != there or request.config.getoption("keyword") or request.session.testsfailed:
        pytest.skip("judges the whole of tests/adapters, all passed")


@pytest.mark.parametrize("kind", sorted(registry.BUILT_IN))
def test_nothing_is_declared_that_no_test_sees_used(
    kind: str, whole: None, recorded: dict[tuple[str, str], set[str]]
) -> None:
    permissions = adapter(kind).permissions
    used = {use: recorded[kind, use] for use in permissions if use != "Read"}
    looked = {"Read": set().union(*used.values())}

    unused = {
        use: sorted(declared - (looked | used)[use] - FOR_DRS.get(kind, set()))
        for use, declared in permissions.items()
    }
    assert {use: actions for use, actions in unused.items() if actions} == {}
