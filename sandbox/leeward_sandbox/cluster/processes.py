"""Starts the sandbox's processes, remembers them in files, and ends them, and only them, by pid.

A pid alone may belong to somebody else after a crash or a restart of the machine, so a record
holds the process's start too and a process that differs is left alone.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from leeward_sandbox.cluster.errors import ClusterError

_POLL_SECONDS = 0.02
_TERM_SECONDS = 15.0
_KILL_SECONDS = 10.0
# Python ignores these for itself, and a child would inherit that.
_DEFAULT_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM)


class Processes:
    """The processes of one sandbox: a record and a log per name below `directory`.

    Any number of instances, in any number of programs, may look at the same directory.
    """

    def __init__(self, directory: Path) -> None:
        self._records = directory / "pids"
        self._logs = directory / "logs"

    def log(self, name: str) -> Path:
        """The file that takes the output of `name`."""
        return self._logs / f"{name}.log"

    def logs(self) -> list[Path]:
        """The logs there are, those of ended processes too."""
        return sorted(self._logs.glob("*.log"))

    def start(
        self, name: str, command: Sequence[str | Path], env: Mapping[str, str] | None = None
    ) -> int:
        """Start `command` in its own session and return its pid; its output is added to the log.

        Raises:
            ClusterError: `name` runs already.

        """
        running = self.pid(name)
        if running is not None:
            raise ClusterError(f"{name} runs already as process {running}")
        self._records.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        arguments = [os.fspath(part) for part in command]
        if not os.access(arguments[0], os.X_OK):
            raise ClusterError(f"{name}: there is no program {arguments[0]} (any more)")
        # Not subprocess.Popen: these outlive the program that starts them.
        pid = os.posix_spawn(
            arguments[0],
            arguments,
            dict(os.environ if env is None else env),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.fspath(self.log(name)), append, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigdef=_DEFAULT_SIGNALS,
        )
        self._write(name, pid)
        return pid

    def _write(self, name: str, pid: int) -> None:
        record = self._records / f"{name}.json"
        draft = record.with_suffix(".draft")
        found = _look_up(pid)
        draft.write_text(json.dumps({"pid": pid, "started": found.start if found else None}))
        draft.rename(record)

    def names(self) -> list[str]:
        """The names that have been started and not stopped, whether or not they still run."""
        return sorted(record.stem for record in self._records.glob("*.json"))

    def pid(self, name: str) -> int | None:
        """The pid of `name` while it runs."""
        try:
            record = json.loads((self._records / f"{name}.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        pid = int(record["pid"])
        found = _look_up(pid)
        if found is None or found.start != record["started"]:
            return None
        if found.ended:
            _reap(pid)
            return None
        return pid

    def pids(self) -> dict[str, int]:
        """The processes that run, by name."""
        running = {name: self.pid(name) for name in self.names()}
        return {name: pid for name, pid in running.items() if pid is not None}

    def stop(self, name: str, *, kill: bool = False) -> None:
        """End `name`: SIGTERM and after 15 s SIGKILL, or SIGKILL at once; not running is fine.

        Raises:
            ClusterError: it lives on after SIGKILL.

        """
        patience = ((signal.SIGTERM, _TERM_SECONDS), (signal.SIGKILL, _KILL_SECONDS))
        for number, seconds in patience[1:] if kill else patience:
            pid = self.pid(name)
            if pid is None:
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            self._wait_for_end(name, seconds)
        pid = self.pid(name)
        if pid is not None:
            raise ClusterError(f"{name}, process {pid}, did not end after SIGKILL")
        (self._records / f"{name}.json").unlink(missing_ok=True)

    def _wait_for_end(self, name: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.pid(name) is not None and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def tail(self, name: str, lines: int = 15) -> str:
        """The last lines of the log of `name`."""
        try:
            text = self.log(name).read_text(errors="replace")
        except FileNotFoundError:
            return "(no output)"
        return "\n".join(text.splitlines()[-lines:]) or "(no output)"


@dataclass(frozen=True, slots=True)
class _Found:
    """A process in the process table."""

    start: str
    """Tells it from a later one of the same pid."""
    ended: bool
    """It only waits for its parent to take its exit status."""


def _reap(pid: int) -> None:
    """Let an ended process leave the process table, if it is a child of this one."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _look_up(pid: int) -> _Found | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _look_up_by_ps(pid)
    # The command's name, in parentheses, may hold spaces; see proc_pid_stat(5).
    fields = stat.rpartition(")")[2].split()
    state, threads, start_ticks = fields[0], int(fields[17]), fields[19]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    # A program of many threads, as Go's are, is shown as a zombie while the last of them still end.
    return _Found(f"{boot} {start_ticks}", state in "ZX" and threads <= 1)


def _look_up_by_ps(pid: int) -> _Found | None:
    """The same where there is no /proc."""
    asked = subprocess.run(
        ["ps", "-o", "state=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    match = re.match(r"\s*(\S+)\s+(.+\S)", asked.stdout)
    return None if match is None else _Found(match[2], match[1].startswith("Z"))
