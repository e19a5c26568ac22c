"""Helm, Flux, Argo CD and `kubectl wait` come to the same verdict."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from verdicts import kstatus
from verdicts.together import CUSTOMIZATIONS, conflicts
from verdicts.witness import Witness

from leeward_sandbox.cluster import ClusterError, binaries

SHOWN = [
    path
    for path in sorted(CUSTOMIZATIONS.rglob("testdata/*.yaml"))
    if "observedGeneration" in path.read_text("utf-8")
]


def _load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return loaded


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_all_who_wait_agree_on_the_data_for_argo_cd(path: Path) -> None:
    assert list(conflicts(_load(path))) == []


def _condition(kind: str, status: str) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": "Because", "observedGeneration": 1}


@pytest.mark.parametrize(
    ("conditions", "observed"),
    [
        ([], 1),
        ([], None),
        ([_condition("Ready", "False")], 1),
        ([_condition("Ready", "True"), _condition("Succeeded", "False")], 1),
        ([_condition("Ready", "False"), _condition("Stalled", "False")], 1),
        ([_condition("Ready", "True"), _condition("Reconciling", "True")], 1),
        ([_condition("Ready", "True"), _condition("Succeeded", "True")], 2),
        ([_condition("Succeeded", "True"), {"type": "Ready", "status": "True"}], 1),
    ],
)
def test_a_status_on_which_they_do_not_agree_is_found(
    conditions: list[dict[str, Any]], observed: int | None
) -> None:
    status = {"conditions": conditions, "observedGeneration": observed}
    metadata = {"name": "orders-failover-1", "generation": 1}
    obj = {"kind": "DRExecution", "metadata": metadata, "status": status}
    assert list(conflicts(obj)) != []
    witness = Witness(Path("kubectl"), Path("kubeconfig"))
    witness.judge(obj)
    assert list(witness.said.values()) == [list(conflicts(obj))]


def _variants() -> Iterator[dict[str, Any]]:
    """The data, and what kstatus must bear that our operator never writes."""
    for path in SHOWN:
        whole = _load(path)
        conditions, metadata = whole["status"].get("conditions", []), whole["metadata"]
        for place, condition in enumerate(conditions):
            rest = [*conditions[:place], *conditions[place + 1 :]]
            told = [[*rest, condition | {"status": s}] for s in ("True", "False", "Unknown")]
            for given in (rest, *told):
                yield whole | {"status": whole["status"] | {"conditions": given}}
        for observed in (0, 1, 2):
            yield whole | {"status": whole["status"] | {"observedGeneration": observed}}
        yield whole | {"status": {"conditions": conditions}}
        yield {key: value for key, value in whole.items() if key != "status"}
        yield whole | {"metadata": metadata | {"deletionTimestamp": "2026-11-23T02:41:30Z"}}


@pytest.mark.cluster
def test_our_kstatus_judges_as_the_real_one() -> None:
    try:
        real = binaries.tool("kstatus")
    except ClusterError as error:
        pytest.skip(f"the real kstatus cannot be built here: {error}")
    objects = list(_variants())
    asked = subprocess.run(
        [real],
        input="\n".join(json.dumps(obj) for obj in objects),
        capture_output=True,
        text=True,
        check=True,
    )
    answers = asked.stdout.split()
    assert len(objects) == len(answers) > 300
    assert set(answers) == {"Current", "InProgress", "Failed", "Terminating"}
    differing = [
        (obj, theirs, kstatus.compute(obj))
        for obj, theirs in zip(objects, answers, strict=True)
        if kstatus.compute(obj) != theirs
    ]
    assert differing == []
