"""Log lines: machines can read them, and each says what it is about."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from leeward import logs
from leeward.engine.pool import Pool
from leeward.logs import about

log = logging.getLogger("leeward.test")


class Lines:
    """What was logged."""

    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream

    def read(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    stream, root = io.StringIO(), logging.getLogger()
    before = root.handlers[:], root.level
    monkeypatch.setattr(sys, "stderr", stream)
    logs.configure("json", "INFO")
    yield Lines(stream)
    root.handlers[:] = before[0]
    root.setLevel(before[1])


def test_a_line_is_one_object_with_its_subject(lines: Lines) -> None:
    with about(namespace="orders", execution="run-1"), about(task="t-1", region="", account="prod"):
        log.warning("two\nlines %d", 5)
    log.info("of nothing")
    first, second = lines.read()
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "WARNING", "logger": "leeward.test", "message": "two\nlines 5",
        "namespace": "orders", "execution": "run-1", "task": "t-1", "account": "prod",
    }  # fmt: skip
    assert "namespace" not in second


def test_a_traceback_stays_in_its_line(lines: Lines) -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        log.exception("pass failed")
    (line,) = lines.read()
    assert "ValueError: broken" in line["exception"]


def test_the_subject_goes_along_into_tasks_and_threads(lines: Lines) -> None:
    async def work() -> None:
        pool = Pool(1)
        with about(execution="run-1"):
            await asyncio.create_task(pool.run(log.info, "in a thread"))
        await pool.run(log.info, "of nothing")
        pool.close()

    asyncio.run(work())
    inside, outside = lines.read()
    assert inside["execution"] == "run-1"
    assert "execution" not in outside


def test_text_is_for_people() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "leading as %s", ("pod",), None)
    with about(execution="run-1"):
        line = logs.TextFormatter().format(record)
    assert line.endswith("INFO    leading as pod [execution=run-1]")


def test_a_line_carries_what_identifies_it() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "at work", (), None)
    formatter = logs.JsonFormatter(lambda: {"trace_id": "7", "span_id": "8"})
    with about(execution="run-1"):
        line = json.loads(formatter.format(record))
    assert (line["execution"], line["trace_id"], line["span_id"]) == ("run-1", "7", "8")


def test_libraries_are_quiet_and_the_level_holds(lines: Lines) -> None:
    log.debug("not written")
    logging.getLogger("botocore.hooks").info("not written")
    assert lines.read() == []
