"""Notices on their way: tried again, given up, kept apart, and never waited for.

What is sent with is a function of the test's own: how AWS answers is the adapters' matter.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from leeward.notify import outbox
from leeward.notify.outbox import Outbox
from leeward.notify.sending import Receiver
from leeward.planning.notifications.notice_matters import Matter
from leeward.planning.notifications.notice_text import Message
from leeward.planning.notifications.notices import Delivery, Notice
from leeward.planning.notifications.recipients import Recipients
from leeward_adapters.aws import Account

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
PATIENCE = 60.0


def notice(name: str = "n-1") -> Notice:
    message = Message("subject", "text", {"id": name}, "ExecutionStarted")
    return Notice(name, 1, Matter("ExecutionStarted"), Recipients((), None), message)


def receiver(name: str = "ops", region: str = "us-east-2") -> Receiver:
    return Receiver(f"arn:aws:sns:{region}:111111111111:{name}", Account(id="111111111111"))


def refusal(code: str, status: int = 400) -> ClientError:
    answer: Any = {
        "Error": {"Code": code, "Message": "why"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, "Publish")


class Post:
    """Answers each call with the next of `answers`; with the last one for ever."""

    def __init__(self, *answers: Exception | None) -> None:
        self._answers = list(answers) or [None]
        self.calls: list[str] = []

    def __call__(self, to: Receiver, notice: Notice, run: str, at: datetime) -> None:
        self.calls.append(to.arn.split(":")[-1])
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer is not None:
            raise answer


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(outbox, "_LONGEST_PAUSE", 0.002)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), PATIENCE))  # type: ignore[arg-type]


async def delivered(box: Outbox, count: int = 1, uid: str = "run") -> list[Delivery]:
    """What became of the run's notices, once there are as many."""
    while len(found := box.deliveries(uid)) < count:  # noqa: ASYNC110 - a pass only looks too
        await asyncio.sleep(0.001)
    return found


def box_of(send: outbox.Send, patience: float = 60) -> Outbox:
    return Outbox(send, lambda: None, patience=timedelta(seconds=patience))


def test_a_notice_goes_to_every_receiver_and_is_reported_until_it_is_recorded() -> None:
    async def test() -> None:
        send = Post()
        box = box_of(send)
        assert box.post("run", notice(), [receiver("a"), receiver("b")], NOW)
        assert box.knows("run", notice())
        assert box.age("run") is not None
        assert await delivered(box) == [Delivery(notice(), NOW, 2)]
        assert sorted(send.calls) == ["a", "b"]
        assert box.knows("run", notice())
        assert box.age("run") is None
        assert box.deliveries("another") == []
        box.forget("run", box.deliveries("run"))
        assert not box.knows("run", notice())

    run(test)


@pytest.mark.parametrize(
    "passing",
    [
        refusal("Throttled", 429),
        refusal("InternalError", 500),
        ReadTimeoutError(endpoint_url="x"),
    ],
    ids=["throttled", "5xx", "time-out"],
)
def test_a_passing_failure_is_tried_again(passing: Exception) -> None:
    async def test() -> None:
        send = Post(passing, passing, None)
        box = box_of(send)
        box.post("run", notice(), [receiver()], NOW)
        assert await delivered(box) == [Delivery(notice(), NOW, 1)]
        assert len(send.calls) == 3

    run(test)


@pytest.mark.parametrize("code", ["NotFound", "AuthorizationError", "AccessDenied"])
def test_a_final_refusal_is_not_tried_again_and_says_where_and_why(code: str) -> None:
    async def test() -> None:
        send = Post(refusal(code))
        box = box_of(send)
        box.post("run", notice(), [receiver()], NOW)
        (found,) = await delivered(box)
        why = f"{receiver().arn} (account 111111111111, us-east-2): {code}: why"
        assert (found.delivered, found.failures) == (0, (why,))
        assert len(send.calls) == 1

    run(test)


def test_one_that_goes_on_failing_is_given_up_in_the_end() -> None:
    async def test() -> None:
        send = Post(refusal("Throttled", 429))
        box = box_of(send, patience=0.05)
        box.post("run", notice(), [receiver()], NOW)
        (found,) = await delivered(box)
        assert "Throttled" in found.failures[0]
        assert len(send.calls) > 1

    run(test)


def test_a_defect_is_reported_as_a_failure_and_not_lost() -> None:
    async def test() -> None:
        box = box_of(Post(ValueError("odd")))
        box.post("run", notice(), [receiver()], NOW)
        (found,) = await delivered(box)
        assert found.failures[0].endswith("ValueError: odd")

    run(test)


def test_a_region_that_hangs_keeps_no_other_waiting() -> None:
    gate = threading.Event()
    seen: Counter[str] = Counter()

    def send(to: Receiver, notice: Notice, uid: str, at: datetime) -> None:
        region = to.lane[2]
        seen[region] += 1
        if region == "us-east-1":
            assert gate.wait(PATIENCE)

    async def test() -> None:
        box = box_of(send)
        for number in range(3 * outbox.THREADS):
            box.post("dead", notice(f"d-{number}"), [receiver(region="us-east-1")], NOW)
        for number in range(20):
            box.post("alive", notice(f"a-{number}"), [receiver()], NOW)
        await delivered(box, 20, "alive")
        assert seen == {"us-east-2": 20, "us-east-1": outbox.PER_LANE}
        gate.set()
        await delivered(box, 3 * outbox.THREADS, "dead")

    try:
        run(test)
    finally:
        gate.set()


def test_there_is_room_for_so_many_and_reports_that_nobody_fetches_make_place() -> None:
    gate = threading.Event()

    async def test() -> None:
        box = box_of(lambda *_: None)
        for number in range(outbox.ROOM):
            assert box.post("gone", notice(f"g-{number}"), [receiver()], NOW)
        await delivered(box, outbox.ROOM, "gone")
        assert box.post("run", notice(), [receiver()], NOW)
        assert len(box.deliveries("gone")) == outbox.ROOM - 1
        stuck = box_of(lambda *_: gate.wait(PATIENCE) and None)
        for number in range(outbox.ROOM):
            assert stuck.post("run", notice(f"s-{number}"), [receiver()], NOW)
        assert not stuck.post("run", notice(), [receiver()], NOW)
        assert not stuck.knows("run", notice())
        gate.set()
        await delivered(stuck, outbox.ROOM)

    try:
        run(test)
    finally:
        gate.set()


def test_nothing_is_sent_without_leave() -> None:
    class GoneError(BaseException):
        pass

    async def test() -> None:
        def permit() -> None:
            raise GoneError

        send = Post()
        box = Outbox(send, permit)
        box.post("run", notice(), [receiver()], NOW)
        await delivered(box)
        assert send.calls == []

    run(test)
