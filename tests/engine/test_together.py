"""Requests side by side: one success, or one failure that leaves nothing running."""

from __future__ import annotations

import asyncio

import pytest

from leeward.engine.together import both, each


class RefusedError(Exception):
    """What a request may come to."""


class Requests:
    """Requests that are answered when the test says so."""

    def __init__(self) -> None:
        self.answered = asyncio.Event()
        self.three_open = asyncio.Event()
        self.open = 0
        self.most = 0
        self.cut = 0

    async def hang(self, number: int) -> int:
        self.open += 1
        self.most = max(self.most, self.open)
        if self.open == 3:
            self.three_open.set()
        try:
            await self.answered.wait()
        except asyncio.CancelledError:
            self.cut += 1
            raise
        finally:
            self.open -= 1
        return number * 10

    async def refuse(self, number: int) -> int:
        raise RefusedError(number)


def test_what_each_comes_to_is_in_the_order_of_the_items_and_no_more_go_at_once_than_may() -> None:
    async def run() -> None:
        requests = Requests()
        asked = asyncio.create_task(each(requests.hang, range(10), at_once=3))
        await requests.three_open.wait()
        requests.answered.set()
        assert await asked == [n * 10 for n in range(10)]
        assert requests.most == 3

    asyncio.run(run())


def test_an_error_is_raised_as_it_is_and_ends_the_others() -> None:
    async def run() -> None:
        requests = Requests()

        async def one(number: int) -> int:
            return await (requests.refuse(number) if number == 2 else requests.hang(number))

        with pytest.raises(RefusedError):
            await each(one, range(4), at_once=4)
        assert (requests.cut, requests.open) == (3, 0)
        with pytest.raises(RefusedError):
            await both(requests.hang(1), requests.refuse(2))
        assert (requests.cut, requests.open) == (4, 0)

    asyncio.run(run())


def test_both_give_what_each_of_them_gives() -> None:
    async def text() -> str:
        return "text"

    async def number() -> int:
        return 5

    assert asyncio.run(both(text(), number())) == ("text", 5)
