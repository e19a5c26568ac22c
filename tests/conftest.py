"""What the whole suite needs of its process and of its workers, and the last check: rights."""

import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest

import rights
from leeward_sandbox.aws import used
from workers import LongestFirst

# Whoever starts the suite in the background may have it ignore SIGINT, and a program inherits what
# is ignored: the tests that interrupt one would wait in vain.
signal.signal(signal.SIGINT, signal.default_int_handler)

_USED = pytest.StashKey[Path]()
_PROBLEMS = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Have every sandbox of the session, those of all workers, note what Leeward asks it for."""
    if hasattr(config, "workerinput"):
        return
    if used.VARIABLE not in os.environ:
        directory = tempfile.TemporaryDirectory(prefix="leeward-used-")
        config.add_cleanup(directory.cleanup)
        os.environ[used.VARIABLE] = directory.name
    config.stash[_USED] = Path(os.environ[used.VARIABLE])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LongestFirst | None:
    """Share the suite out by what it takes, where files stay together."""
    return LongestFirst(config, log) if config.option.dist == "loadfile" else None


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Say which rights are missing or idle."""
    for problem in config.stash.get(_PROBLEMS, []):
        terminalreporter.write_line(f"RIGHTS: {problem}", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail the session if a right is used and not declared, or of a whole suite never used."""
    config = session.config
    if (directory := config.stash.get(_USED, None)) is None:
        return
    whole = exitstatus == 0 and _is_whole(config)
    found = [*rights.problems(used.read(directory), whole=whole)]
    config.stash[_PROBLEMS] = found
    if found and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _is_whole(config: pytest.Config) -> bool:
    """Whether nothing was left out of the suite."""
    option = config.option
    failed_last = getattr(option, "lf", False)  # without pytest's cache there is no such option
    chosen = (option.keyword, option.markexpr, option.deselect, option.ignore, failed_last)
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not any(chosen)
