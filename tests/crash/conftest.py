"""One sandbox for all crash tests, and the operator behind a proxy that can stop it anywhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.bench import Bench
from harness.report import REPORT


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/crash/" in str(item.path):
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.aws)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for outcome in "passed", "failed":
        for test in terminalreporter.getreports(outcome):
            for name, text in test.user_properties:
                if name == REPORT:
                    terminalreporter.section(test.nodeid)
                    terminalreporter.write_line(str(text))


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
