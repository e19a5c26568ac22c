"""What the Helm chart installs, rendered by helm: a sandbox gets these objects and no others."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from leeward_sandbox.cluster import ClusterError, binaries, go_build
from leeward_sandbox.cluster.progress import Progress, quiet

RELEASE = "leeward"
NAMESPACE = "leeward-system"
VALUES = Path(__file__).with_name("values.yaml")
"""What a sandbox's chart is told: no pods run there, the operator is a process beside it."""


def objects(
    chart: Path, *values: Path, release: str = RELEASE, progress: Progress = quiet
) -> list[dict[str, Any]]:
    """The objects of the chart in directory `chart`, as helm would send them; hooks left out.

    Args:
        chart: its directory.
        values: files with values, the last one wins.
        release: its name; the namespace is always the sandbox's.
        progress: is told when helm has to be built.

    Raises:
        ClusterError: helm could not be built, or refused chart or values; the text is its own.

    """
    # A third of a second: nothing is kept that could be out of date.
    text = _template(chart, values, release, progress)
    return [found for found in yaml.load_all(text, Loader=_LOADER) if found]


def of_kind(found: list[dict[str, Any]], *kinds: str) -> list[Mapping[str, Any]]:
    """Those of some kinds."""
    return [one for one in found if one["kind"] in kinds]


def _template(chart: Path, values: tuple[Path, ...], release: str, progress: Progress) -> str:
    command = [
        *(binaries.tool("helm", progress), "template", release, chart),
        *("--namespace", NAMESPACE, "--no-hooks"),
        *("--kube-version", go_build.module_version("k8s.io/kubernetes")),
        *(part for file in values for part in ("--values", file)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"helm template {chart}: {done.stderr.strip()}")
    return done.stdout


# A third of a megabyte of CRDs: the parser in C takes a tenth of the time.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
