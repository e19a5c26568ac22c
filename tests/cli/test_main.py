"""`leeward`: files for an installation, manifests, and exit codes of wrong command lines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from leeward import policies
from leeward.api import crd
from leeward.cli import main, plugin
from leeward_sandbox import cli as sandbox

_MANIFEST: dict[str, Any] = {
    "manifestVersion": "2.0",
    "customer": "acme",
    "environment": "production",
    "waves": [{"waveNumber": 1, "waveName": "web", "technologies": [{"type": "drs"}]}],
    "notifications": {
        "snsTopicArn": "arn:aws:sns:us-east-2:111111111111:dr",
        "emailRecipients": ["dr@example.com"],
    },
}
_REGIONS = ("--primary", "us-east-1", "--recovery", "us-east-2")
_WHERE = ("--name", "orders", "--namespace", "orders", *_REGIONS)


def _leeward(*args: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main.cli, args, input=stdin)


@pytest.mark.parametrize(
    ("command", "render"), [("crds", crd.render), ("policies", policies.render)]
)
def test_files_are_written_and_found_up_to_date(command: str, render: Any, tmp_path: Path) -> None:
    target = tmp_path / "new" / "dir"
    assert _leeward(command, "--write", str(target)).exit_code == 0
    assert {f.name: f.read_text("utf-8") for f in target.iterdir()} == render()
    assert _leeward(command, "--check", str(target)).exit_code == 0

    first, second, *_ = sorted(render())
    (target / first).write_text("changed")
    (target / second).unlink()
    (target / "stray.yaml").touch()
    done = _leeward(command, "--check", str(target))
    assert done.exit_code == 1
    for problem in (f"{first} differs", f"{second} is missing", "stray.yaml is not ours"):
        assert problem in done.stderr


def test_the_policies_name_the_account_that_is_asked_for() -> None:
    named = ("--operator-namespace", "platform-dr", "--service-account", "mover")
    printed = [d for d in yaml.safe_load_all(_leeward("policies", *named).stdout) if d]
    assert printed == policies.load("system:serviceaccount:platform-dr:mover")
    assert printed != policies.load()


def test_what_is_printed_is_one_stream_of_documents() -> None:
    printed = [d for d in yaml.safe_load_all(_leeward("crds").stdout) if d]
    assert [d["kind"] for d in printed] == ["CustomResourceDefinition"] * len(crd.render())
    printed = [d for d in yaml.safe_load_all(_leeward("policies").stdout) if d]
    assert printed == policies.load()


def test_a_manifest_becomes_a_plan_and_what_is_left_out_is_named() -> None:
    done = _leeward(
        *("manifest", "import", "-", *_WHERE, "--account", "orders-web", "--account", "orders-db"),
        stdin=json.dumps(_MANIFEST),
    )
    assert done.exit_code == 0, done.stderr
    plan = yaml.safe_load(done.stdout)
    assert plan["kind"] == "RecoveryPlan"
    assert plan["spec"]["accounts"] == [{"name": "orders-web"}, {"name": "orders-db"}]
    assert plan["spec"]["regions"] == {"primary": "us-east-1", "recovery": "us-east-2"}
    assert plan["spec"]["notifications"] == {
        "snsTopicArns": ["arn:aws:sns:us-east-2:111111111111:dr"]
    }
    left_out = "left out, not supported by this version: spec.notifications.emails: subscribe"
    assert left_out in done.stderr


@pytest.mark.parametrize("text", ["{", json.dumps({**_MANIFEST, "surprise": 1}), "[]"])
def test_a_manifest_that_is_none_is_refused(text: str) -> None:
    done = _leeward("manifest", "import", "-", *_WHERE, "--account", "a", stdin=text)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: <stdin>: ")
    assert done.stdout == ""


@pytest.mark.parametrize(
    "line",
    ["nonsense", "get drx", "get pods x", "wait drx x --timeout soon", "get drx x --timeout 5m",
     "approve drx", "approve drx a b c", "pause drx a b", "retry drx a", "retry drt -l a=b x",
     "retry drt -l a=b --resource s-1", "accept-data-loss drx a b c", "adopt drx a b",
     "unplanned drt a", "undo drx a", "relaunch drt a", "relaunch drt -l a=b",
     "relaunch drt -l a=b --resource s-1"],
)  # fmt: skip
def test_a_wrong_command_line_ends_with_1_because_2_means_that_a_run_failed(line: str) -> None:
    done = CliRunner().invoke(plugin.cli, line.split())
    assert done.exit_code == 1
    assert "Error: " in done.stderr


def test_without_a_kubeconfig_it_is_said_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "none"
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(missing))
    done = CliRunner().invoke(plugin.cli, ["get", "drx", "orders-1"])
    assert done.exit_code == 1
    assert str(missing) in done.stderr


@pytest.mark.parametrize("text", ["clusters: [", "", "[]", "clusters: []", "current-context: x"])
def test_a_kubeconfig_that_is_none_is_named(text: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text(text)
    done = CliRunner().invoke(plugin.cli, ["get", "drx", "x", "--kubeconfig", str(broken)])
    assert done.exit_code == 1
    assert f"the kubeconfig at {broken} cannot be used" in done.stderr


def test_every_command_has_help_and_wait_documents_its_exit_codes() -> None:
    for name, command in plugin.cli.commands.items():
        done = CliRunner().invoke(plugin.cli, [name, "--help"])
        assert done.exit_code == 0
        words = (command.help or "").split()[:5]
        assert " ".join(words) in " ".join(done.stdout.split())
    done = CliRunner().invoke(plugin.cli, ["wait", "--help"])
    assert "3  succeeded within tolerance: people or the plan left something out" in done.stdout


@pytest.mark.parametrize(
    ("program", "group"),
    [(plugin.cli, ""), (plugin.cli, "plan"), (plugin.cli, "drs"),
     (main.cli, ""), (main.cli, "iam"), (main.cli, "manifest"), (main.cli, "verify"),
     (sandbox.main, "")],
)  # fmt: skip
def test_a_list_of_commands_has_their_first_sentences_whole(
    program: click.Command, group: str
) -> None:
    done = CliRunner().invoke(program, [*group.split(), "--help"])
    assert done.exit_code == 0
    assert "..." not in done.stdout.partition("Commands:")[2]


def test_help_does_not_pay_for_the_kubernetes_client_or_the_models() -> None:
    code = (
        "import sys; from leeward.cli import plugin, main\n"
        "heavy = {'kubernetes', 'kopf', 'boto3', 'rich.live', 'leeward.api.plan'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["leeward.cli.main", "leeward.cli.plugin"])
def test_the_command_lines_run_as_modules(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "0." in done.stdout
