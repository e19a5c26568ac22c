"""A Region that is silent leaves threads to the others."""

from __future__ import annotations

import asyncio
import threading

from leeward.engine.pool import Pool


def test_looks_at_a_region_that_hangs_leave_half_of_the_threads_to_others() -> None:
    async def scenario() -> None:
        pool, answers = Pool(4), threading.Event()
        begun: list[str] = []

        def look(region: str) -> str:
            begun.append(region)
            if region == "silent":
                answers.wait(60)
            return region

        async def looked(region: str) -> str:
            async with pool.room(region):
                return await pool.run(look, region)

        hanging = [asyncio.create_task(looked("silent")) for _ in range(8)]
        try:
            for _ in range(8):
                assert await asyncio.wait_for(looked("well"), 60) == "well"
            assert begun.count("silent") == 2
        finally:
            answers.set()
        assert await asyncio.gather(*hanging) == ["silent"] * 8
        pool.close()

    asyncio.run(scenario())


def test_a_pool_of_one_thread_has_room_for_a_look() -> None:
    async def scenario() -> None:
        pool = Pool(1)
        async with pool.room("us-east-1"):
            assert await pool.run(lambda: "seen") == "seen"
        pool.close()

    asyncio.run(scenario())


def test_a_pool_knows_how_many_calls_wait_and_run_also_when_some_are_given_up() -> None:
    async def scenario() -> None:
        pool, go, begun = Pool(1), threading.Event(), threading.Event()

        def work() -> None:
            begun.set()
            go.wait(60)

        calls = [asyncio.create_task(pool.run(work)) for _ in range(3)]
        await asyncio.to_thread(begun.wait, 60)
        assert (pool.waiting, pool.busy) == (2, 1)
        calls[2].cancel()
        await asyncio.wait({calls[2]})
        assert (pool.waiting, pool.busy) == (1, 1)
        go.set()
        await asyncio.gather(*calls[:2])
        assert (pool.waiting, pool.busy) == (0, 0)
        pool.close()

    asyncio.run(scenario())
