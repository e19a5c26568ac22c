"""What the Helm chart installs, rendered by helm: a sandbox gets these objects and no others."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

from leeward_sandbox.cluster import ClusterError, binaries, go_build
from leeward_sandbox.cluster.progress import Progress, quiet

RELEASE = "leeward"
NAMESPACE = "leeward-system"
VALUES = Path(__file__).with_name("values.yaml")
"""What a sandbox's chart is told: no pods run there, the operator is a process beside it."""


def objects(chart: Path, *options: str, progress: Progress = quiet) -> list[dict[str, Any]]:
    """The objects of the chart in directory `chart`, as helm would send them; hooks left out.

    Args and errors: as `template`.
    """
    text = template(chart, *options, progress=progress)
    return [found for found in yaml.load_all(text, Loader=_LOADER) if found]


def template(chart: Path, *options: str, progress: Progress = quiet) -> str:
    """What `helm template` prints of the chart in directory `chart` (a third of a second).

    Args:
        chart: its directory.
        options: further options, such as `--set=crds.enabled=false`.
        progress: is told when helm has to be built.

    Raises:
        ClusterError: helm could not be built, or refused chart or values; the text is its own.

    """
    command: list[str | Path] = [
        *(binaries.tool("helm", progress), "template", RELEASE, chart),
        *("--namespace", NAMESPACE, "--no-hooks"),
        *("--kube-version", go_build.module_version("k8s.io/kubernetes"), *options),
    ]
    return _run(command)


def package(chart: Path, directory: Path) -> Path:
    """The chart as an archive in `directory`.

    Raises:
        ClusterError: as `template`.

    """
    said = _run([binaries.tool("helm"), "package", chart, "--destination", directory])
    return Path(said.rsplit(": ", 1)[1].strip())


def _run(command: list[str | Path]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"helm {command[1]}: {done.stderr.strip()}")
    return done.stdout


# A third of a megabyte of CRDs: the parser in C takes a tenth of the time.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
