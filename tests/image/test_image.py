"""The image without a builder: the Dockerfile's own steps, and what can be said of its lines."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
UID = 65532
"""As the chart's podSecurityContext has it."""


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "deploy" / "image" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _instructions() -> list[tuple[str, str]]:
    """Instructions and their arguments, lines joined, comments left out."""
    text = "\n".join(line for line in DOCKERFILE.splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", "", text)
    lines = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(name, rest) for name, rest in lines]


def _stage(name: str) -> list[tuple[str, str]]:
    """The instructions of one stage, with its FROM."""
    stages: dict[str, list[tuple[str, str]]] = {}
    current: list[tuple[str, str]] = []
    for instruction, rest in _instructions():
        if instruction == "FROM":
            current = stages.setdefault(rest.split(" AS ")[1], [])
        current.append((instruction, rest))
    return stages[name]


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    """A directory that everybody may look into: pytest's are the owner's alone."""
    with tempfile.TemporaryDirectory(prefix="leeward-image-") as directory:
        path = Path(directory)
        path.chmod(0o755)
        yield path


@pytest.fixture(scope="module")
def installed(base: Path) -> Path:
    """What the image has at /opt/leeward, made from what its build context holds."""
    context = base / "src"
    for instruction, rest in _stage("build"):
        if instruction == "COPY":
            *sources, target = rest.split()
            for source in sources:
                _copy(source, context / target)
    (base / "opt").mkdir()
    target = base / "opt" / "leeward"
    subprocess.run(
        ["sh", context / "deploy" / "image" / "install.sh", context, target],
        env={**os.environ, "PYTHON": sys.executable},
        check=True,
        timeout=280,
    )
    return target


def _copy(source: str, target: Path) -> None:
    path = ROOT / source
    if path.is_dir():
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(path, target, ignore=ignored)
    else:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def _site(installed: Path) -> Path:
    (site,) = installed.glob("lib/python3.*/site-packages")
    return site


def test_only_what_runs_is_installed(installed: Path) -> None:
    site = _site(installed)
    assert (site / "leeward" / "policies").is_dir()
    assert (site / "leeward_adapters").is_dir()
    for unwanted in ("leeward_sandbox", "moto", "pip", "setuptools", "pytest", "mypy", "hatchling"):
        assert not (site / unwanted).exists(), unwanted
    names = {path.name for path in (installed / "bin").iterdir()}
    assert {"leeward", "kubectl-leeward"} <= names
    assert "leeward-sandbox" not in names


def _anybody(installed: Path) -> list[str]:
    """A Python that another user may run with the image's packages."""
    for python in (Path(sys.executable).resolve(), Path("/usr/bin/python3")):
        reachable = all(os.stat(parent).st_mode & 0o001 for parent in python.parents)
        if reachable and python.exists():
            asked = [
                str(python),
                "-c",
                "import sys; sys.stdout.write('%d.%d' % sys.version_info[:2])",
            ]
            found = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
            if f"python{found}" in str(_site(installed)):
                return [str(python)]
    pytest.skip("no Python of this version that another user could run")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["version"], 0, r"^\d+\.\d+"),
        (["policies"], 0, "ValidatingAdmissionPolicy"),
        (["operator"], 2, "LEEWARD_BASE_REGION"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_it_runs_as_somebody_who_owns_nothing_and_may_write_nowhere(
    installed: Path, arguments: list[str], status: int, said: str
) -> None:
    code = (
        "import os, sys; "
        "sys.exit(not os.access(sys.argv[1], os.R_OK) or os.access(sys.argv[1], os.W_OK))"
    )
    python = _anybody(installed)
    environment = {
        "PYTHONPATH": str(_site(installed)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": "/nonexistent",
        "PATH": "/usr/bin:/bin",
    }
    as_nobody: dict[str, Any] = {
        "user": UID, "group": UID, "extra_groups": [], "cwd": "/", "env": environment,
    }  # fmt: skip
    before = sorted(path for path in installed.rglob("*"))

    assert (
        subprocess.run([*python, "-c", code, installed], check=False, **as_nobody).returncode == 0
    )
    done = subprocess.run(
        [*python, "-m", "leeward.cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **as_nobody,
    )

    assert done.returncode == status, done.stderr
    assert re.search(said, done.stdout + done.stderr), done.stdout + done.stderr
    assert sorted(path for path in installed.rglob("*")) == before


def test_what_traces_need_is_in_it(installed: Path) -> None:
    code = "from leeward.tracing.otlp import Otlp; Otlp('hub', '0')"
    environment = {"PYTHONPATH": str(_site(installed)), "PYTHONDONTWRITEBYTECODE": "1"}
    isolated = [*_anybody(installed), "-S", "-W", "error", "-c", code]
    done = subprocess.run(
        isolated, capture_output=True, text=True, check=False, timeout=60, env=environment, cwd="/"
    )
    assert done.returncode == 0, done.stderr


def test_the_images_lock_is_a_part_of_the_lock() -> None:
    lock = _script("lock")
    held = (ROOT / "requirements-image.lock").read_text("utf-8")
    assert held == lock.render(), "run: make generate"
    pins, whole = lock.pins(held), lock.pins(lock.LOCK.read_text("utf-8"))
    assert pins.items() <= whole.items()
    assert {"boto3", "kopf", "kubernetes", "pydantic"} <= set(pins)
    assert not {"moto", "pytest", "mypy", "cryptography"} & set(pins)
    assert all("--hash=sha256:" in entry for entry in pins.values())


def test_the_bill_of_materials_names_every_package_of_the_image_once() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "deploy" / "image" / "sbom.py"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    bill = json.loads(done.stdout)
    lock = _script("lock")
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", bill["serialNumber"])
    pinned = lock.pins((ROOT / "requirements-image.lock").read_text("utf-8"))
    references = [part["bom-ref"] for part in bill["components"]]
    assert len(set(references)) == len(references) == len(pinned)
    assert all(re.fullmatch(r"pkg:pypi/[a-z0-9-]+@[\w.]+", one) for one in references)
    (graph,) = bill["dependencies"]
    assert graph["dependsOn"] == references


def test_every_base_is_the_one_that_is_pinned_by_digest() -> None:
    (first,) = [rest for name, rest in _instructions()[:1] if name == "ARG"]
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.\d+-slim@sha256:[0-9a-f]{64}", first)
    bases = {rest.split(" AS ")[0] for name, rest in _instructions() if name == "FROM"}
    assert bases == {"${PYTHON_IMAGE}", "build"}


def test_the_last_stage_is_the_operators_and_runs_as_a_number_without_tools() -> None:
    stage = _stage("operator")
    assert _instructions()[-1] == stage[-1] == ("CMD", '["leeward", "operator"]')
    assert ("USER", f"{UID}:{UID}") in stage
    assert ("HEALTHCHECK", "NONE") in stage
    assert [rest for name, rest in stage if name == "COPY"] == [
        "--from=build /opt/leeward /opt/leeward"
    ]
    (run,) = [rest for name, rest in stage if name == "RUN"]
    assert "pip uninstall" in run
    for installing in ("apt-get", "pip install", "curl", "wget"):
        assert installing not in run
    assert stage.index(("USER", f"{UID}:{UID}")) > max(
        i for i, (name, _) in enumerate(stage) if name in {"RUN", "COPY"}
    )
    (variables,) = [rest for name, rest in stage if name == "ENV"]
    assert {"HOME=/tmp", "PYTHONDONTWRITEBYTECODE=1"} <= set(variables.split())


def test_nothing_is_added_from_elsewhere() -> None:
    names = {name for name, _ in _instructions()}
    assert "ADD" not in names
    assert not re.search(r"https?://", re.sub(r"^#.*$", "", DOCKERFILE, flags=re.MULTILINE))


def test_the_build_context_holds_what_is_copied_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {line[1:] for line in rules if line.startswith("!")}
    copied = {
        source
        for name, rest in _instructions()
        if name == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert allowed == copied
    assert all((ROOT / source).exists() for source in copied)
