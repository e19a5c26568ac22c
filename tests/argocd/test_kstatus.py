"""Helm, Flux, Argo CD and `kubectl wait` come to the same verdict."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from verdicts.together import CUSTOMIZATIONS, conflicts

SHOWN = [
    path
    for path in sorted(CUSTOMIZATIONS.rglob("testdata/*.yaml"))
    if "observedGeneration" in path.read_text("utf-8")
]


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_all_who_wait_agree_on_the_data_for_argo_cd(path: Path) -> None:
    assert list(conflicts(yaml.safe_load(path.read_text("utf-8")))) == []
