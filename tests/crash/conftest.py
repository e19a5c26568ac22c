"""One sandbox for all crash tests, and the operator behind a proxy that can stop it anywhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.bench import Bench

REPORTS = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[REPORTS] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/crash/" in str(item.path):
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.aws)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for text in config.stash[REPORTS]:
        terminalreporter.section("boundaries")
        terminalreporter.write_line(text)


@pytest.fixture
def reports(request: pytest.FixtureRequest) -> list[str]:
    """Texts for the end of the session."""
    return request.config.stash[REPORTS]


@pytest.fixture(scope="session")
def session_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The session's sandbox."""
    with Bench.opened(tmp_path_factory.mktemp("crash")) as bench:
        yield bench


@pytest.fixture
def bench(session_bench: Bench) -> Iterator[Bench]:
    """The sandbox with an operator of the usual settings, and without faults."""
    if not session_bench.operator_runs():
        session_bench.start_operator()
    yield session_bench
    for fault in session_bench.control.faults():
        session_bench.control.remove_fault(fault["id"])
