"""Following one object, and the tasks below it, by list and watch; redrawn or line by line."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol, Self, TextIO

from leeward.cli import outcome, tree
from leeward.cli.connect import Api, Object, Watch
from leeward.cli.failures import Failure, Refused, Unreachable
from leeward.cli.kinds import EXECUTION, TASK, Kind
from leeward.cli.render import Pair, View, changes, layout

_TICK_SECONDS: Final = 1.0
_PACE_SECONDS: Final = 0.2
_JOIN_SECONDS: Final = 1.0
_BACKOFF_SECONDS: Final = (0.5, 1.0, 2.0, 5.0)
_PLAIN_WIDTH: Final = 10_000

Drawing = Callable[[Mapping[str, Any], list[Object], datetime], View]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known at a moment."""

    target: Object
    tasks: list[Object]
    trouble: str
    """Why it may be out of date; empty when it is not."""


class Feed:
    """Keeps what the API server has under one path, in a thread of its own.

    Each watch is followed by another list, so that nothing a watch misses is missed for long.
    """

    def __init__(
        self, api: Api, path: str, query: Mapping[str, str], changed: threading.Event
    ) -> None:
        self._api, self._path, self._query = api, path, dict(query)
        self._changed = changed
        self._lock = threading.Lock()
        self._objects: dict[str, Object] = {}
        self._watch: Watch | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch {path}", daemon=True)
        self._first = ""
        self.trouble = ""
        """What the API server last said no with; empty when it answers."""

    def start(self) -> Self:
        """List once, so that a wrong name or a missing right is heard of here; then follow.

        Raises:
            Failure: the first list did not work.

        """
        self._first = self._list()
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        with self._lock:
            watch = self._watch
        if watch is not None:
            watch.stop()
        # A request that hangs ends by its own time-out; nobody waits for that.
        self._thread.join(_JOIN_SECONDS)

    @property
    def alive(self) -> bool:
        """Whether the thread is at work."""
        return self._thread.is_alive()

    def objects(self) -> list[Object]:
        """What is there, as far as is known."""
        with self._lock:
            return list(self._objects.values())

    def _run(self) -> None:
        version, failures = self._first, 0
        while not self._stop.is_set():
            try:
                version = version or self._list()
                failures = 0
                self._follow(version)
            except (Refused, Unreachable) as error:
                if not (isinstance(error, Refused) and error.status == 410):
                    self._say(str(error))
                    self._stop.wait(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
                    failures += 1
            version = ""

    def _list(self) -> str:
        items, version = self._api.list(self._path, self._query)
        with self._lock:
            self._objects = {item["metadata"]["name"]: item for item in items}
        self._say("")
        return version

    def _follow(self, version: str) -> None:
        watch = self._api.watch(self._path, version, self._query)
        with self._lock:
            self._watch = watch
        try:
            if self._stop.is_set():
                return
            for event in watch:
                self._take(event)
        finally:
            with self._lock:
                self._watch = None

    def _take(self, event: Object) -> None:
        found = event["object"]
        if event["type"] == "ERROR":
            raise Refused(int(found.get("code") or 500), str(found.get("message") or "watch ended"))
        name = found["metadata"]["name"]
        with self._lock:
            if event["type"] == "DELETED":
                self._objects.pop(name, None)
            else:
                self._objects[name] = found
        self._changed.set()

    def _say(self, trouble: str) -> None:
        self.trouble = trouble
        self._changed.set()


def snapshots(
    api: Api,
    kind: Kind,
    namespace: str,
    name: str,
    stop: threading.Event,
    *,
    deadline: float | None = None,
    below: bool = True,
) -> Iterator[Snapshot]:
    """What is known of the object and, with `below`, of an execution's tasks: now, and on change.

    At most five in a second, at least one a second. Ends when `stop` is set or the monotonic
    clock passes `deadline`.

    Raises:
        Failure: there is no such object, it was deleted, or the first look at it did not work.

    """
    changed = threading.Event()
    mine = {"fieldSelector": f"metadata.name={name}"}
    feeds = [Feed(api, kind.path(namespace), mine, changed)]
    if kind is EXECUTION and below:
        owned = {"labelSelector": f"leeward.dev/execution={name}"}
        feeds.append(Feed(api, TASK.path(namespace), owned, changed))
    api.get(kind.path(namespace, name))  # says in the server's words that it is not there
    started: list[Feed] = []
    try:
        started.extend(feed.start() for feed in feeds)
        while True:
            changed.clear()
            yield _snapshot(started, kind, namespace, name)
            if stop.is_set() or _passed(deadline):
                return
            _pause(stop, changed, deadline)
    finally:
        for feed in started:
            feed.stop()


def _snapshot(feeds: list[Feed], kind: Kind, namespace: str, name: str) -> Snapshot:
    if not all(feed.alive for feed in feeds):
        raise RuntimeError("a watch ended by itself")
    found = feeds[0].objects()
    if not found:
        raise Failure(f"{kind.singular} {namespace}/{name} was deleted")
    trouble = next((feed.trouble for feed in feeds if feed.trouble), "")
    return Snapshot(found[0], feeds[1].objects() if len(feeds) > 1 else [], trouble)


def _pause(stop: threading.Event, changed: threading.Event, deadline: float | None) -> None:
    """Wait for a change or the next tick, but never less than one redraw's pace."""
    left = _TICK_SECONDS if deadline is None else max(deadline - time.monotonic(), 0.01)
    stop.wait(min(_PACE_SECONDS, left))
    changed.wait(min(_TICK_SECONDS, left) - min(_PACE_SECONDS, left))


def _passed(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline


class Screen(Protocol):
    """Where views are shown."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *problem: object) -> None: ...
    def show(self, drawn: View) -> None:
        """Show this view instead of the one before."""


class Lines:
    """A log or a pipe: prints each line that is new, once."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._before: View | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self._out.flush()

    def show(self, drawn: View) -> None:
        """Print what is other than in the view before; the first one whole."""
        if self._before is None:
            print_lines(self._out, layout(drawn, _PLAIN_WIDTH, color=False).split("\n"))
        else:
            print_lines(self._out, changes(self._before, drawn))
        self._before = drawn


class Terminal:
    """A terminal: redrawn in place."""

    def __init__(self, out: TextIO, *, color: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        self._color = color
        self._console = Console(file=out, highlight=False, no_color=not color)
        # Cut while it moves, because what has scrolled away cannot be redrawn; whole at the end.
        self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="ellipsis")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._live.vertical_overflow = "visible"
        self._live.stop()

    def show(self, drawn: View) -> None:
        """Draw the view in the place of the one before."""
        from rich.text import Text

        text = layout(drawn, self._console.width, color=self._color)
        self._live.update(Text.from_ansi(text), refresh=True)


def screen_for(out: TextIO, *, color: bool = True) -> Screen:
    """The screen that fits `out`."""
    return Terminal(out, color=color) if out.isatty() else Lines(out)


def print_lines(out: TextIO, lines: list[str]) -> None:
    """Write lines and flush, so that whoever reads a pipe sees them at once."""
    if lines:
        out.write("\n".join(lines) + "\n")
        out.flush()


def terminal_width(out: TextIO) -> int:
    """Cells of a line of `out`; where it is no terminal, more than any line needs."""
    return shutil.get_terminal_size().columns if out.isatty() else _PLAIN_WIDTH


def drawn(snapshot: Snapshot, draw: Drawing) -> View:
    """The view of a snapshot at this moment, headed by what is wrong with it."""
    shown = draw(snapshot.target, snapshot.tasks, datetime.now(UTC))
    if not snapshot.trouble:
        return shown
    note = Pair("Note", f"⚠ shown as last known: {snapshot.trouble}", "waiting")
    return View((note, *shown.pairs), shown.root)


def follow(
    api: Api,
    namespace: str,
    name: str,
    out: TextIO,
    stop: threading.Event,
    *,
    color: bool = True,
    deadline: float | None = None,
) -> Object:
    """Show the execution live on `out` until it ends, `stop` is set or `deadline` passes.

    Returns the execution as last seen; `outcome.verdict` says how it ended. `deadline` is of the
    monotonic clock. Problems of the API server after the first look are shown, and outlasted.

    Raises:
        Failure: there is no such execution, it was deleted, or the first look did not work.

    """
    last: Object = {}
    with screen_for(out, color=color) as screen:
        for snapshot in snapshots(api, EXECUTION, namespace, name, stop, deadline=deadline):
            last = snapshot.target
            screen.show(drawn(snapshot, tree.view))
            # Without the tasks' own last word the final picture would be of a moment ago.
            if outcome.verdict(last) is not None and _settled(snapshot):
                break
    return last


def _settled(snapshot: Snapshot) -> bool:
    live = {"InProgress", "Retry"}
    states = {(task.get("status") or {}).get("state") for task in snapshot.tasks}
    return bool(snapshot.trouble) or not states & live
