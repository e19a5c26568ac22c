"""The files for Argo CD, by Argo CD's own test format, and the ConfigMap made from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from verdicts import lua
from verdicts.together import CUSTOMIZATIONS

from leeward import argocd
from leeward.api.kinds import KINDS
from leeward.cli.main import cli

DIRECTORIES = {path.name: path for path in sorted(CUSTOMIZATIONS.iterdir())}


def _load(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def _cases(file: str, *keys: str) -> list[Any]:
    return [
        pytest.param(path.parents[depth], case, id=f"{path.parents[depth].name}-{_name(case)}")
        for depth in (0, 1)
        for path in sorted(CUSTOMIZATIONS.glob("/".join(["*", *["actions"] * depth, file])))
        for key in keys
        for case in _load(path)[key]
    ]


def _name(case: dict[str, Any]) -> str:
    return f"{case.get('action', '')}({Path(case['inputPath']).stem})"


HEALTH = _cases("health_test.yaml", "tests")
DISCOVERY = _cases("action_test.yaml", "discoveryTests")
ACTIONS = _cases("action_test.yaml", "actionTests")


@pytest.mark.parametrize(("directory", "case"), HEALTH)
def test_health(directory: Path, case: dict[str, Any]) -> None:
    assert lua.health(directory, _load(directory / case["inputPath"])) == case["healthStatus"]


@pytest.mark.parametrize(("directory", "case"), DISCOVERY)
def test_discovery_of_actions(directory: Path, case: dict[str, Any]) -> None:
    obj = _load(directory / "actions" / case["inputPath"])
    wanted = sorted(case["result"], key=lambda action: action["name"])
    assert lua.discover(directory, obj) == wanted


@pytest.mark.parametrize(("directory", "case"), ACTIONS)
def test_action(directory: Path, case: dict[str, Any]) -> None:
    wanted = _load(directory / "actions" / case["expectedOutputPath"])
    if isinstance(wanted, dict):
        wanted = [{"k8sOperation": "patch", "unstructuredObj": wanted}]
    done = lua.act(directory, case["action"], _load(directory / "actions" / case["inputPath"]))
    assert done == [
        {"operation": one["k8sOperation"], "resource": one["unstructuredObj"]} for one in wanted
    ]


def test_every_kind_whose_status_has_conditions_has_a_health() -> None:
    judged = {
        name
        for name, kind in KINDS.items()
        if "conditions" in kind.model_fields["status"].annotation.model_fields  # type: ignore[union-attr]
    }
    assert set(DIRECTORIES) == judged
    for directory in DIRECTORIES.values():
        assert (directory / "health.lua").is_file()


def test_every_verdict_and_every_action_is_tested() -> None:
    for name, directory in DIRECTORIES.items():
        told = {c.values[1]["healthStatus"]["status"] for c in HEALTH if c.values[0] == directory}
        assert {"Healthy", "Progressing", "Degraded"} <= told, name
        tried = {c.values[1]["action"] for c in ACTIONS if c.values[0] == directory}
        assert tried == {path.parent.name for path in directory.glob("actions/*/action.lua")}, name
        offered = {
            action["name"]
            for c in DISCOVERY
            if c.values[0] == directory
            for action in c.values[1]["result"]
        }
        assert offered == tried, name


def test_no_action_answers_a_gate_or_destroys() -> None:
    actions = {path.parent.name for path in CUSTOMIZATIONS.glob("*/actions/*/action.lua")}
    assert actions == {"pause", "resume", "cancel", "retry", "start-drill", "suspend"}
    for script in CUSTOMIZATIONS.rglob("*.lua"):
        assert "leeward.dev/approve" not in script.read_text("utf-8")


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(CUSTOMIZATIONS.rglob("testdata/*.yaml")) if isinstance(_load(p), dict)],
    ids=lambda path: f"{path.parents[1].name}-{path.stem}",
)
def test_data_is_of_the_kind_that_the_directory_says(path: Path) -> None:
    obj = _load(path)
    assert obj["kind"] == path.relative_to(CUSTOMIZATIONS).parts[0]
    read = KINDS[obj["kind"]].model_validate(obj)
    written = read.model_dump(by_alias=True, exclude_unset=True, mode="json")
    # What the model does not know would be lost on the way.
    assert written["status"] == obj["status"]
    assert written["spec"] == obj["spec"]


@pytest.mark.parametrize(
    "script",
    [
        'return string.format("%d", 1)',
        'return ("x"):upper()',
        "return math.floor(1.5)",
        'return io.open("/etc/hostname")',
        "return os.getenv",
        'return os.getenv("HOME")',
        'return require("string")',
        "return python.builtins",
    ],
)
def test_scripts_have_no_library_that_argo_cd_does_not_give_them(script: str) -> None:
    try:
        assert lua.run(script, {}) is None
    except lua.ScriptError:
        return


def test_scripts_have_the_libraries_that_argo_cd_gives_them() -> None:
    script = """
      local names = {}
      for _, name in ipairs(obj.names) do table.insert(names, name .. type(os.time())) end
      return {joined = table.concat(names, ","), kind = type(os.date("!%Y"))}
    """
    answer = lua.run(script, {"names": ["a", "b"]})
    assert answer == {"joined": "anumber,bnumber", "kind": "string"}


def test_the_config_map_holds_every_script_under_argo_cds_keys() -> None:
    shown = argocd.config_map()
    data = shown["data"]
    assert shown["metadata"]["labels"] == {"app.kubernetes.io/part-of": "argocd"}
    assert {key.split("_")[1] for key in data} == set(DIRECTORIES)
    for kind, directory in DIRECTORIES.items():
        health = data[f"resource.customizations.health.leeward.dev_{kind}"]
        assert health == (directory / "health.lua").read_text("utf-8")
        if (directory / "actions").is_dir():
            actions = yaml.safe_load(data[f"resource.customizations.actions.leeward.dev_{kind}"])
            assert set(actions) == {"discovery.lua", "definitions"}
            for action in actions["definitions"]:
                script = directory / "actions" / action["name"] / "action.lua"
                assert action["action.lua"] == script.read_text("utf-8")


def test_commands_carry_the_account_that_argo_cd_has_here() -> None:
    account = "system:serviceaccount:kube-system:argocd-manager"
    data = argocd.config_map(account)["data"]
    actions = yaml.safe_load(data["resource.customizations.actions.leeward.dev_DRExecution"])
    scripts = {action["name"]: action["action.lua"] for action in actions["definitions"]}
    paused = lua.run(scripts["pause"], {"metadata": {"name": "orders-failover-1"}})
    value = paused["metadata"]["annotations"]["leeward.dev/pause"]
    assert value.startswith(f"{account}: ")
    assert argocd.SERVER_ACCOUNT not in str(data)


def test_the_command_prints_the_config_map_for_a_given_account() -> None:
    done = CliRunner().invoke(cli, ["argocd", "--account", "argo", "--namespace", "gitops"])
    assert done.exit_code == 0
    assert yaml.safe_load(done.output) == argocd.config_map("argo", "gitops")


@pytest.mark.parametrize("account", ['a"b', "a\\b", "a\nb", "a: b", ""])
def test_an_account_that_no_command_could_name_is_refused(account: str) -> None:
    done = CliRunner().invoke(cli, ["argocd", "--account", account])
    assert done.exit_code == 1
    assert "user name" in done.output
