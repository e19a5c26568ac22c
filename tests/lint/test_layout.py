"""The shape of the tree: sizes, the name `operator`, what committed files may not mention."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from leeward import argocd, policies
from leeward.api import crd
from leeward_adapters import iam_templates

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for part in ("operator", "adapters", "sandbox") for path in (ROOT / part).rglob("*.py")
)
MODULE = 400
FUNCTION = 50

# A machine's own paths, and registries, which every user may have mirrored elsewhere.
FOREIGN = re.compile(
    r"(?<![\w.])/(?:root|work|home)/"
    r"|\b(?:pypi\.org|pythonhosted\.org|proxy\.golang\.org|sum\.golang\.org|registry\.npmjs\.org"
    r"|docker\.io|ghcr\.io|quay\.io|gcr\.io|registry\.k8s\.io)\b"
    r"|--(?:extra-)?index-url"
)
# Files that must name what they look for.
NAMING = {"tests/lint/test_layout.py"}


def _committed() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_the_standard_librarys_operator_is_found_from_the_root() -> None:
    code = "import operator, sys; sys.stdout.write(operator.__file__); operator.attrgetter"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not Path(found.stdout).is_relative_to(ROOT / "operator")
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_modules_are_short() -> None:
    sizes = {
        str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in SOURCES
    }
    assert len(sizes) > 100
    assert {name: n for name, n in sizes.items() if n > MODULE} == {}


def test_functions_are_short() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {name} has {lines} lines"
        for path in SOURCES
        for name, lines in _functions(path)
        if lines > FUNCTION
    ]
    assert long == []


def test_no_committed_file_names_a_machines_path_or_a_registry() -> None:
    found = []
    for path in _committed():
        name = str(path.relative_to(ROOT))
        if name in NAMING:
            continue
        for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").splitlines(), 1):
            if match := FOREIGN.search(line):
                found.append(f"{name}:{number}: {match.group()}")
    assert found == []


@pytest.mark.parametrize(
    ("folder", "rendered"),
    [
        ("crds", crd.render),
        ("charts/leeward/definitions", crd.render),
        ("charts/leeward/policies", policies.render),
        ("argocd", argocd.render),
        ("deploy/aws/iam", iam_templates.render),
    ],
    ids=["crds", "definitions", "policies", "argocd", "roles"],
)
def test_generated_files_are_what_would_be_generated(folder: str, rendered: object) -> None:
    assert callable(rendered)
    held = {path.name: path.read_text("utf-8") for path in (ROOT / folder).glob("*.yaml")}
    assert held == rendered(), "run: make generate"
