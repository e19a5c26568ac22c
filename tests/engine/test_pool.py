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
                assert await asyncio.wait_for(looked("well"), 30) == "well"
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
