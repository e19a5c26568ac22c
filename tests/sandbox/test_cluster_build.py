"""How the control plane's programs are found and built, with a go that is a small script."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from leeward_sandbox.cluster import ClusterError, binaries, go_build

_GO = """#!/bin/sh
echo "$@" >> "$FAKE_GO_CALLS"
if [ "$1" = env ]; then echo "${FAKE_GO_VERSION:-go1.26.8}"; exit 0; fi
for word; do
    if [ "$previous" = -o ]; then target="$word"; fi
    previous="$word"
done
printf half > "$target"
case "$*" in *"${FAKE_GO_HANGS:-nothing}") exec sleep 600 ;; esac
case "$*" in *"${FAKE_GO_FAILS:-nothing}") echo "no such module" >&2; exit 1 ;; esac
printf '#!/bin/sh\\necho built\\n' > "$target"
chmod +x "$target"
"""
_DEADLINE_SECONDS = 60.0


class Machine:
    """A machine whose only programs are a fake go and the system's own."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bin = root / "bin"
        self.calls_file = root / "calls"
        self._env = monkeypatch
        self.bin.mkdir()
        self.install("go", _GO)
        monkeypatch.setenv("PATH", f"{self.bin}{os.pathsep}/usr/bin{os.pathsep}/bin")
        monkeypatch.setenv("FAKE_GO_CALLS", str(self.calls_file))
        monkeypatch.setenv("LEEWARD_CACHE", str(root / "cache"))
        monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)

    def install(self, name: str, script: str, directory: Path | None = None) -> None:
        program = (directory or self.bin) / name
        program.write_text(script)
        program.chmod(0o755)

    def set(self, name: str, value: str) -> None:
        self._env.setenv(name, value)

    def built_packages(self) -> list[str]:
        if not self.calls_file.exists():
            return []
        calls = [line.split() for line in self.calls_file.read_text().splitlines()]
        return [call[-1] for call in calls if call[0] == "build"]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def _eventually(condition: str, file: Path) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not (file.exists() and condition in file.read_text()):
        assert time.monotonic() < deadline, f"{condition!r} never came to {file}"
        time.sleep(0.02)


def test_programs_are_built_once_and_then_taken_from_the_cache(machine: Machine) -> None:
    first = binaries.control_plane()
    second = binaries.control_plane()

    assert first == second
    assert set(first) == {"etcd", "kube-apiserver", "kube-controller-manager"}
    assert all(subprocess.check_output([path]) == b"built\n" for path in first.values())
    assert machine.built_packages() == [
        "go.etcd.io/etcd/server/v3",
        "k8s.io/kubernetes/cmd/kube-apiserver",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
    ]


def test_only_what_is_asked_for_is_built(machine: Machine) -> None:
    binaries.tool("kubeconform")

    assert machine.built_packages() == ["github.com/yannh/kubeconform/cmd/kubeconform"]


def test_programs_of_another_go_mod_are_built_there_and_kept_apart(machine: Machine) -> None:
    kubeconform = binaries.tool("kubeconform")
    before = machine.calls_file.read_text()

    promtool = binaries.tool("promtool")

    assert promtool.parent == go_build.PROMETHEUS.cache_directory()
    assert kubeconform.parent == go_build.CLUSTER.cache_directory()
    calls = machine.calls_file.read_text().removeprefix(before)
    assert "-tags remove_all_sd" in calls
    assert "version.Version=3." in calls


def test_the_versions_of_go_mod_are_stamped_into_the_programs(machine: Machine) -> None:
    binaries.control_plane()

    version = go_build.module_version("k8s.io/kubernetes")
    assert f"version.gitVersion={version}" in machine.calls_file.read_text()
    assert version.startswith("v1.")


def test_progress_names_each_program_and_how_long_the_first_time_takes(machine: Machine) -> None:
    lines: list[str] = []

    binaries.control_plane(lines.append)

    text = "\n".join(lines)
    assert "6 to 8 minutes on two cores" in text
    for name in binaries.CONTROL_PLANE:
        assert f"{name} v" in text
    assert text.count("built in") == 3


def test_a_failed_build_keeps_what_was_finished_and_shows_what_go_said(machine: Machine) -> None:
    machine.set("FAKE_GO_FAILS", "kube-apiserver")
    with pytest.raises(ClusterError, match=r"kube-apiserver v1.* could not be built") as raised:
        binaries.control_plane()

    assert "no such module" in str(raised.value)
    assert go_build.cached("etcd") is not None
    assert go_build.cached("kube-apiserver") is None
    machine.set("FAKE_GO_FAILS", "nothing")
    binaries.control_plane()

    assert machine.built_packages().count("go.etcd.io/etcd/server/v3") == 1


def test_a_killed_build_is_resumed_where_it_was(machine: Machine) -> None:
    machine.set("FAKE_GO_HANGS", "kube-apiserver")
    command = "from leeward_sandbox.cluster import binaries; binaries.control_plane()"
    run = subprocess.Popen([sys.executable, "-c", command])
    try:
        _eventually("cmd/kube-apiserver", machine.calls_file)
    finally:
        run.kill()
        run.wait()
    machine.set("FAKE_GO_HANGS", "nothing")

    found = binaries.control_plane()

    assert subprocess.check_output([found["kube-apiserver"]]) == b"built\n"
    assert machine.built_packages().count("go.etcd.io/etcd/server/v3") == 1
    assert not list(go_build.cache_directory().glob(".*building*"))


def test_an_interrupted_build_ends_go_and_leaves_no_half_program(machine: Machine) -> None:
    machine.set("FAKE_GO_HANGS", "server/v3")
    command = "from leeward_sandbox.cluster import binaries; binaries.control_plane()"
    run = subprocess.Popen([sys.executable, "-c", command], stderr=subprocess.DEVNULL)
    _eventually("server/v3", machine.calls_file)
    run.send_signal(signal.SIGINT)

    assert run.wait(_DEADLINE_SECONDS) != 0
    assert go_build.cached("etcd") is None
    assert not list(go_build.cache_directory().glob(".*building*"))


def test_a_second_run_waits_for_the_first_and_builds_nothing_again(machine: Machine) -> None:
    directory = go_build.cache_directory()
    directory.mkdir(parents=True)
    said: list[str] = []
    waiting = threading.Event()

    def progress(message: str, /) -> None:
        said.append(message)
        if "waiting" in message:
            waiting.set()

    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = threading.Thread(target=go_build.build, args=(["etcd"], progress))
        second.start()
        assert waiting.wait(_DEADLINE_SECONDS)
        # What the first run, which holds the lock, finishes meanwhile.
        machine.install("etcd", "#!/bin/sh\necho first\n", directory)
    second.join(_DEADLINE_SECONDS)

    assert not second.is_alive()
    assert said == [f"another run is building into {directory}, waiting"]
    assert machine.built_packages() == []


def test_a_machine_without_go_is_told_what_to_install(machine: Machine, tmp_path: Path) -> None:
    machine.set("PATH", str(tmp_path / "empty"))

    with pytest.raises(ClusterError, match=r"there is no go: install Go 1\.\d+.*--kubeconfig"):
        binaries.control_plane()


def test_a_go_that_is_too_old_is_named(machine: Machine) -> None:
    machine.set("FAKE_GO_VERSION", "go1.19.4")

    with pytest.raises(ClusterError, match=r"is go1\.19\.4, too old: install Go 1\.26"):
        binaries.control_plane()
    assert machine.built_packages() == []


def _assets(machine: Machine, directory: Path, version: str, *names: str) -> Path:
    directory.mkdir()
    for name in names:
        machine.install(name, f"#!/bin/sh\necho Kubernetes {version}\n", directory)
    return directory


def test_kubebuilder_assets_are_used_and_only_the_controllers_are_built(
    machine: Machine, tmp_path: Path
) -> None:
    assets = _assets(machine, tmp_path / "assets", "v1.37.0", "etcd", "kube-apiserver")
    machine.set("KUBEBUILDER_ASSETS", str(assets))

    found = binaries.control_plane()

    assert found["etcd"] == assets / "etcd"
    assert found["kube-apiserver"] == assets / "kube-apiserver"
    assert machine.built_packages() == ["k8s.io/kubernetes/cmd/kube-controller-manager"]


def test_assets_too_old_for_the_policies_are_not_used_and_the_reason_is_shown(
    machine: Machine, tmp_path: Path
) -> None:
    assets = _assets(machine, tmp_path / "assets", "v1.33.1", *binaries.CONTROL_PLANE)
    machine.set("KUBEBUILDER_ASSETS", str(assets))
    said: list[str] = []

    found = binaries.control_plane(said.append)

    assert found["kube-apiserver"].parent == go_build.cache_directory()
    assert any("is 1.33, and 1.36 or later is needed" in line for line in said)


def test_setup_envtest_is_asked_for_the_pinned_minor_version(
    machine: Machine, tmp_path: Path
) -> None:
    assets = _assets(machine, tmp_path / "assets", "v1.37.1", "etcd", "kube-apiserver")
    asked = tmp_path / "asked"
    machine.install("setup-envtest", f"#!/bin/sh\necho $* > {asked}\nprintf {assets}\n")

    found = binaries.control_plane()

    assert found["kube-apiserver"] == assets / "kube-apiserver"
    assert asked.read_text() == "use 1.37.x -p path\n"


def test_a_setup_envtest_that_cannot_download_falls_through_to_building(machine: Machine) -> None:
    machine.install("setup-envtest", "#!/bin/sh\necho no route to host >&2\nexit 2\n")
    said: list[str] = []

    found = binaries.control_plane(said.append)

    assert found["etcd"].parent == go_build.cache_directory()
    assert any("gave nothing: no route to host" in line for line in said)


def test_a_kubectl_far_from_the_servers_version_gives_way_to_the_packaged_one(
    machine: Machine,
) -> None:
    binaries.kubectl.cache_clear()
    version = '{"clientVersion": {"minor": "20"}}'
    machine.install("kubectl", f"#!/bin/sh\necho '{version}'\n")
    try:
        found = binaries.kubectl()
    finally:
        binaries.kubectl.cache_clear()

    assert found != machine.bin / "kubectl"
    assert "v1." in subprocess.check_output([found, "version", "--client"], text=True)


def test_a_kubectl_of_the_servers_version_is_taken_from_path(machine: Machine) -> None:
    binaries.kubectl.cache_clear()
    version = '{"clientVersion": {"minor": "36+"}}'
    machine.install("kubectl", f"#!/bin/sh\necho '{version}'\n")
    try:
        assert binaries.kubectl() == machine.bin / "kubectl"
    finally:
        binaries.kubectl.cache_clear()
