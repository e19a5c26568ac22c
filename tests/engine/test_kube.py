"""What the API server answers, as the engine reads it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from leeward.engine.kube import path_of

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("kinds", "served")]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("selector", [None, "leeward.dev/schedule-uid=nobodys"])
def test_a_list_of_nothing_is_empty(connect: Any, whole: bool, selector: str | None) -> None:
    async def ask() -> list[Any]:
        async with connect() as kube:
            # In a namespace where there is nothing.
            path = path_of("drexecutions", "kube-public")
            found: list[Any] = await kube.list(path, selector=selector, whole=whole)
            return found

    assert asyncio.run(ask()) == []
