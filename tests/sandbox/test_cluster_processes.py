"""Processes are remembered by pid and start, and only the sandbox's own are ended."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from leeward_sandbox.cluster import ClusterError
from leeward_sandbox.cluster.processes import Processes

_SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
_STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True);"
    " time.sleep(600)",
]


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_another_instance_finds_and_ends_a_process(tmp_path: Path) -> None:
    pid = Processes(tmp_path).start("sleeper", _SLEEP)
    other = Processes(tmp_path)

    assert other.pids() == {"sleeper": pid}
    other.stop("sleeper")

    assert other.pids() == {}
    assert other.names() == []
    assert _is_gone(pid)


def test_a_process_that_takes_over_a_recorded_pid_is_left_alone(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    stranger = subprocess.Popen(_SLEEP)
    try:
        record = tmp_path / "pids" / "sleeper.json"
        record.parent.mkdir()
        record.write_text(json.dumps({"pid": stranger.pid, "started": "in another life"}))

        assert processes.pid("sleeper") is None
        processes.stop("sleeper")

        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_an_ended_process_is_not_running_but_still_known(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    pid = processes.start("sleeper", _SLEEP)
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    assert processes.pids() == {}
    assert processes.names() == ["sleeper"]


def test_the_same_name_is_not_started_twice(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    pid = processes.start("sleeper", _SLEEP)
    try:
        with pytest.raises(ClusterError, match=f"sleeper runs already as process {pid}"):
            processes.start("sleeper", _SLEEP)
    finally:
        processes.stop("sleeper")


def test_a_process_deaf_to_sigterm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leeward_sandbox.cluster.processes._TERM_SECONDS", 0.2)
    processes = Processes(tmp_path)
    pid = processes.start("stubborn", _STUBBORN)
    while "deaf" not in processes.tail("stubborn"):
        assert processes.pid("stubborn") == pid

    processes.stop("stubborn")

    assert _is_gone(pid)


def test_the_output_goes_to_a_log_that_only_its_owner_reads(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    pid = processes.start("talker", [sys.executable, "-c", "print('hello')"])
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    assert processes.tail("talker") == "hello"
    assert processes.log("talker").stat().st_mode & 0o077 == 0


def test_a_program_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="etcd: there is no program /nowhere/etcd"):
        Processes(tmp_path).start("etcd", ["/nowhere/etcd"])
