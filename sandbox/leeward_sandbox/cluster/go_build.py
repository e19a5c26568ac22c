"""Builds the sandbox's programs from Go modules, once, into a cache that runs share.

The versions are those of a go.mod beside this file. Programs that share no release share no go.mod
either: a new version of one set then rebuilds nothing of another. A program is built under a
temporary name and renamed, so an interrupted build leaves the finished ones usable, and a file lock
lets one run build while the others wait.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from leeward_sandbox.cluster.errors import ClusterError
from leeward_sandbox.cluster.progress import Progress

_TICK_SECONDS = 15.0
_LOG_LINES = 15


@dataclass(frozen=True, slots=True)
class ModuleSet:
    """A go.mod with its go.sum, and the programs whose versions it pins."""

    name: str
    """Directory of the cache that holds its programs."""
    directory: Path
    """Where go.mod and go.sum lie."""
    main: str
    """The Go module whose version its place in the cache begins with."""
    first_time: str
    """How long the first build takes, for the person who waits."""

    def version(self, module: str) -> str:
        """The version that go.mod pins for `module`, such as `v1.37.2`."""
        file = self.directory / "go.mod"
        found = re.search(
            rf"^(?:require|\t) ?{re.escape(module)} (v\S+)", file.read_text(), re.MULTILINE
        )
        if found is None:
            raise ClusterError(f"{file} requires no module {module}")
        return found[1]

    def cache_directory(self) -> Path:
        """Where these versions' programs are kept: a directory per go.mod, go.sum and platform."""
        digest = hashlib.sha256()
        for name in ("go.mod", "go.sum"):
            digest.update((self.directory / name).read_bytes())
        machine = os.uname()
        platform = (machine.sysname.lower(), machine.machine.lower())
        key = "-".join((self.version(self.main), *platform, digest.hexdigest()[:10]))
        return cache_root() / self.name / key


@dataclass(frozen=True, slots=True)
class Program:
    """One program that the sandbox can build."""

    name: str
    """File name in the cache."""
    package: str
    """Go import path of its main package."""
    module: str
    """Go module of the package, whose version in go.mod it carries."""
    modules: ModuleSet
    """The go.mod that it is built from."""
    flags: Callable[[str], str] = lambda _version: ""
    """Linker flags that stamp the version into it, from that version."""
    tags: str = ""
    """Build tags, separated by commas."""


def _kubernetes_flags(version: str) -> str:
    major, minor, _ = version.removeprefix("v").split(".", 2)
    variable = "-X k8s.io/component-base/version"
    return (
        f"{variable}.gitVersion={version} {variable}.gitMajor={major} {variable}.gitMinor={minor}"
    )


def _prometheus_flags(version: str) -> str:
    # Prometheus 3.16.0 is v0.316.0 as a Go module, which must not claim a stable API.
    minor, patch = version.removeprefix("v0.").split(".", 1)
    release = f"{int(minor) // 100}.{int(minor) % 100}.{patch}"
    return f"-X github.com/prometheus/common/version.Version={release}"


_HERE = Path(__file__).parent
_KUBERNETES = "k8s.io/kubernetes"
_PROMETHEUS = "github.com/prometheus/prometheus"
_ARGO_CD = "github.com/argoproj/argo-cd/v3"
CLUSTER = ModuleSet("cluster", _HERE / "go", _KUBERNETES, "6 to 8 minutes on two cores")
PROMETHEUS = ModuleSet(
    "prometheus", _HERE / "go-prometheus", _PROMETHEUS, "4 to 8 minutes on two cores"
)
ARGO_CD = ModuleSet("argocd", _HERE / "go-argocd", _ARGO_CD, "4 to 8 minutes on two cores")
# The sandbox's Prometheus is told its targets: each cloud's discovery would double the build.
_NO_DISCOVERY = "remove_all_sd"
PROGRAMS = {
    program.name: program
    for program in (
        Program("etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3", CLUSTER),
        Program(
            "kube-apiserver",
            f"{_KUBERNETES}/cmd/kube-apiserver",
            _KUBERNETES,
            CLUSTER,
            _kubernetes_flags,
        ),
        Program(
            "kube-controller-manager",
            f"{_KUBERNETES}/cmd/kube-controller-manager",
            _KUBERNETES,
            CLUSTER,
            _kubernetes_flags,
        ),
        Program(
            "helm",
            "helm.sh/helm/v4/cmd/helm",
            "helm.sh/helm/v4",
            CLUSTER,
            lambda version: f"-X helm.sh/helm/v4/internal/version.version={version}",
        ),
        Program(
            "kubeconform",
            "github.com/yannh/kubeconform/cmd/kubeconform",
            "github.com/yannh/kubeconform",
            CLUSTER,
            lambda version: f"-X main.version={version}",
        ),
        # What Helm and Flux wait by, in the version that this Helm has; its main is ours.
        Program("kstatus", "./kstatus", "github.com/fluxcd/cli-utils", CLUSTER),
        Program(
            "argocd",
            f"{_ARGO_CD}/cmd",
            _ARGO_CD,
            ARGO_CD,
            lambda version: f"-X {_ARGO_CD}/common.version={version.removeprefix('v')}",
        ),
        *(
            Program(
                name,
                f"{_PROMETHEUS}/cmd/{name}",
                _PROMETHEUS,
                PROMETHEUS,
                _prometheus_flags,
                _NO_DISCOVERY,
            )
            for name in ("prometheus", "promtool")
        ),
    )
}


def cache_root() -> Path:
    """The cache of built programs: `$LEEWARD_CACHE`, else `~/.cache/leeward`."""
    given = os.environ.get("LEEWARD_CACHE")
    return Path(given).absolute() if given else Path.home() / ".cache" / "leeward"


def module_version(module: str) -> str:
    """The version of `module` that the cluster's go.mod pins, such as `v1.37.2`."""
    return CLUSTER.version(module)


def _go(modules: ModuleSet) -> Path:
    """The go command, new enough for go.mod."""
    wanted = re.search(r"^go (\S+)$", (modules.directory / "go.mod").read_text(), re.MULTILINE)
    version = wanted[1] if wanted else "1"
    advice = f"install Go {version} or later (https://go.dev/doc/install) and put it on PATH"
    if modules is CLUSTER:
        advice += (
            ", or set KUBEBUILDER_ASSETS to a directory that has kube-apiserver, "
            "kube-controller-manager and etcd, or name an existing cluster with --kubeconfig"
        )
    found = which("go")
    if found is None:
        raise ClusterError(f"the sandbox's programs must be built and there is no go: {advice}")
    # Asked inside the module, an older go fetches the toolchain that go.mod wants, where it can.
    asked = subprocess.run(
        [found, "env", "GOVERSION"],
        cwd=modules.directory,
        env={**os.environ, "GOWORK": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode != 0:
        raise ClusterError(f"{found} cannot be used: {asked.stderr.strip()}; {advice}")
    have = asked.stdout.strip()
    if _numbers(have.removeprefix("go")) < _numbers(version):
        raise ClusterError(f"{found} is {have}, too old: {advice}")
    return Path(found)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def cache_directory() -> Path:
    """Where the control plane's programs are kept."""
    return CLUSTER.cache_directory()


def _place(name: str) -> Path:
    return PROGRAMS[name].modules.cache_directory() / name


def cached(name: str) -> Path | None:
    """The program `name` if an earlier run finished building it."""
    path = _place(name)
    return path if path.is_file() else None


def build(names: Sequence[str], progress: Progress) -> dict[str, Path]:
    """Build those of `names` that the cache lacks and return the path of each.

    Raises:
        ClusterError: go is missing or too old, or a build failed; the text says what to do.

    """
    missing = [name for name in names if cached(name) is None]
    for modules in dict.fromkeys(PROGRAMS[name].modules for name in missing):
        mine = [name for name in missing if PROGRAMS[name].modules is modules]
        directory = modules.cache_directory()
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory / ".lock", progress):
            # Another run may have built them while this one waited.
            _build_all([name for name in mine if cached(name) is None], modules, progress)
    return {name: _place(name) for name in names}


@contextlib.contextmanager
def _locked(file: Path, progress: Progress) -> Iterator[None]:
    with file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"another run is building into {file.parent}, waiting")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build_all(names: Sequence[str], modules: ModuleSet, progress: Progress) -> None:
    if not names:
        return
    go = _go(modules)
    directory = modules.cache_directory()
    progress(
        f"building {', '.join(names)} from Go modules into {directory}; the first time takes "
        f"{modules.first_time}, afterwards they are ready at once"
    )
    for name in names:
        for left in directory.glob(f".{name}.building-*"):
            left.unlink()
        _build_one(go, PROGRAMS[name], directory, progress)


def _build_one(go: Path, program: Program, directory: Path, progress: Progress) -> None:
    version = program.modules.version(program.module)
    target = directory / f".{program.name}.building-{os.getpid()}"
    log = directory / f"{program.name}.build.log"
    flags = f"-s -w {program.flags(version)}".strip()
    command: list[str | Path] = [
        go,
        "build",
        "-mod=readonly",
        "-trimpath",
        *(["-tags", program.tags] if program.tags else []),
        "-ldflags",
        flags,
        "-o",
        target,
        program.package,
    ]
    started = time.monotonic()
    progress(f"{program.name} {version}: building")
    try:
        exit_code = _run(command, program, log, progress)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    if exit_code != 0:
        target.unlink(missing_ok=True)
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
        raise ClusterError(
            f"{program.name} {version} could not be built (go build exit {exit_code}); go must "
            f"reach a module proxy (GOPROXY) the first time. Whole output: {log}\n{tail}"
        )
    target.rename(directory / program.name)
    log.unlink()
    progress(f"{program.name} {version}: built in {_elapsed(started)}")


def _run(command: Sequence[str | Path], program: Program, log: Path, progress: Progress) -> int:
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=program.modules.directory,
            env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(process, program.name, started, progress)
    except BaseException:
        # Ctrl-C: go's compilers are in its own process group and end with it.
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise
    return process.returncode


def _wait(
    process: "subprocess.Popen[bytes]", name: str, started: float, progress: Progress
) -> None:
    while True:
        try:
            process.wait(_TICK_SECONDS)
        except subprocess.TimeoutExpired:
            progress(f"{name}: still building, {_elapsed(started)}")
        else:
            return


def _elapsed(started: float) -> str:
    minutes, seconds = divmod(int(time.monotonic() - started), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
