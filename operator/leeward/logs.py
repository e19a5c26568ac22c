"""Log lines: one JSON object each, with what they are about; or text for people.

What a line is about goes with the context (contextvars): whoever begins to work on something says
so once, and every line below carries it, those of libraries too.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, Literal

_SUBJECT: ContextVar[Mapping[str, str]] = ContextVar("subject", default={})  # noqa: B039 - never changed in place
_QUIET: Final = ("kopf.objects", "botocore", "urllib3", "aiohttp.access")


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """Lines inside are about this besides; an empty value says nothing.

    Fields: `namespace`, `execution`, `plan`, `task`, `schedule`, `account` (TargetAccount),
    `region`.
    """
    token = _SUBJECT.set({**_SUBJECT.get(), **{k: v for k, v in fields.items() if v}})
    try:
        yield
    finally:
        _SUBJECT.reset(token)


class JsonFormatter(logging.Formatter):
    """One JSON object in a line: `time` (RFC 3339), `level`, `logger`, `message`, the subject.

    `identify` gives further fields, of the context in which the line is written.
    """

    def __init__(self, identify: Callable[[], Mapping[str, str]] = dict) -> None:
        super().__init__()
        self._identify = identify

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_SUBJECT.get(),
            **self._identify(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """Time, level, message, and the subject in brackets."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; a traceback follows on lines of its own."""
        subject = " ".join(f"{key}={value}" for key, value in _SUBJECT.get().items())
        line = f"{_time(record)} {record.levelname:<7} {record.getMessage()}"
        line += f" [{subject}]" if subject else ""
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(
    form: Literal["json", "text"],
    level: str,
    identify: Callable[[], Mapping[str, str]] = dict,
) -> None:
    """Log to standard error in that form, from that level on; `identify`: see `JsonFormatter`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(identify) if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in _QUIET:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # A role that cannot be assumed is raised to us and said on the object; its stack says no more.
    logging.getLogger("botocore.credentials").setLevel(logging.ERROR)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
