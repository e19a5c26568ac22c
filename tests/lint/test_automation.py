"""Workflows and shell scripts: they parse, pin what they use, and call what exists."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted([*ROOT.glob("deploy/**/*.sh"), ROOT / ".ci" / "run"])
WORKFLOW: dict[Any, Any] = yaml.safe_load(
    (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
)
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_parses_ends_at_errors_and_is_executable(script: Path) -> None:
    text = script.read_text("utf-8")
    shell = "bash" if text.startswith("#!/usr/bin/env bash\n") else "sh"
    assert shell == "bash" or text.startswith("#!/bin/sh\n")
    assert ("\nset -euo pipefail\n" if shell == "bash" else "\nset -eu\n") in text
    assert os.access(script, os.X_OK)
    subprocess.run([shell, "-n", script], check=True)


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def test_the_workflow_makes_targets_that_exist() -> None:
    made = {t for step in STEPS for t in re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))}
    assert {"lint", "test", "test-gitops", "kind", "checkov", "sbom"} <= made
    assert made <= _targets()


def test_actions_are_pinned_by_commit_and_say_their_version() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    used = re.findall(r"uses: (\S+)(.*)", text)
    assert used
    for action, remark in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", remark), action


def test_the_workflow_may_only_read_and_keeps_no_credentials() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in WORKFLOW["jobs"].values())
    for step in STEPS:
        if "actions/checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False
    for job in WORKFLOW["jobs"].values():
        assert job["timeout-minutes"] <= 90


def test_argo_cd_gets_what_the_machine_lacks() -> None:
    runs = [step.get("run", "") for step in WORKFLOW["jobs"]["gitops"]["steps"]]
    install = next(n for n, run in enumerate(runs) if "apt-get install --yes redis-server" in run)
    assert install < runs.index("make test-gitops")


def test_nothing_that_others_write_gets_into_a_shell() -> None:
    assert not [step["run"] for step in STEPS if "${{" in step.get("run", "")]


def test_kind_uses_the_images_that_it_builds() -> None:
    script = (ROOT / "deploy" / "kind" / "run.sh").read_text("utf-8")
    built = set(re.findall(r"docker build --target \w+ --tag (\S+) ", script))
    values = yaml.safe_load((ROOT / "deploy" / "kind" / "values.yaml").read_text("utf-8"))
    cloud = (ROOT / "deploy" / "kind" / "aws.yaml").read_text("utf-8")
    image = values["image"]
    assert built == {f"{image['repository']}:{image['tag']}", *re.findall(r"image: (\S+)", cloud)}
    (loaded,) = re.findall(
        r"kind load docker-image .* (\S+:kind) (\S+:kind)$", script, re.MULTILINE
    )
    assert set(loaded) == built
    stages = re.findall(r" AS (\w+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert set(re.findall(r"docker build --target (\w+)", script)) <= set(stages)
