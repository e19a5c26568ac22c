"""The suite is shared out so that clusters are shared and no worker has the longest part last."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers import FIRST, TOGETHER, place, unit

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("test", "stays_with"),
    [
        ("tests/policies/test_guard.py::test_a[x::y]", "tests/policies"),
        ("tests/e2e/test_gates.py::test_a", "tests/e2e/test_gates.py"),
        ("tests/sandbox/drs/test_drs_wire.py::test_a", "tests/sandbox/drs/test_drs_wire.py"),
    ],
)
def test_tests_of_one_cluster_stay_together_and_others_by_file(test: str, stays_with: str) -> None:
    assert unit(test) == stays_with


def test_the_longest_begins_first_and_what_takes_seconds_last() -> None:
    units = {
        "tests/planning/test_waves.py": 367,
        "tests/adapters/test_drs_launch.py": 34,
        "tests/e2e/test_gates.py": 16,
        "tests/e2e/test_rights.py": 3,
        "tests/policies": 475,
        "tests/crash/test_boundaries.py": 4,
    }
    begins = sorted(units, key=lambda name: place(name, units[name]))
    assert begins == [
        "tests/crash/test_boundaries.py", "tests/policies", "tests/e2e/test_gates.py",
        "tests/e2e/test_rights.py", "tests/adapters/test_drs_launch.py",
        "tests/planning/test_waves.py",
    ]  # fmt: skip


def test_the_directories_that_are_named_are_there() -> None:
    there = {path.name for path in TESTS.iterdir() if path.is_dir()}
    assert {*FIRST, *TOGETHER} <= there
