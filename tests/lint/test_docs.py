"""What exists is documented: settings, adapters, conditions, reasons, commands, links."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from leeward.api import conditions
from leeward.cli import main as leeward
from leeward.cli import plugin
from leeward.settings import Settings
from leeward_adapters import registry
from leeward_sandbox import cli as sandbox

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])

# Calls that give a condition its reason, or that of a refusal: place of the word in each.
REASONED = {"Outcome": 1, "Problem": 0, "Proof": 1, "_refuse": 2, "_failed": 1, "_fail_all": 1}
# The same in adapters, whose words are on the adapter's own page.
SEEN = {"Finding": 1, "Refusal": 0, "_Problem": 0, "Seen": None}


def _page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def _words(page: str) -> set[str]:
    """Everything in backticks on the page."""
    return set(re.findall(r"`([^`\n]+)`", _page(page)))


def _constants(holder: type) -> list[str]:
    return [value for name, value in vars(holder).items() if name.isupper()]


def _reasons(path: Path, calls: dict[str, Any]) -> Iterator[str]:
    """String constants in the place of a reason, or given by the keyword `reason`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name not in calls:
            continue
        place = calls[name]
        given = [k.value for k in node.keywords if k.arg == "reason"]
        given += node.args[place : place + 1] if place is not None else []
        for value in given:
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value.value


def _of_operator() -> set[str]:
    folder = ROOT / "operator" / "leeward"
    files = [*folder.glob("planning/**/*.py"), *folder.glob("engine/*.py")]
    return {reason for file in files for reason in _reasons(file, REASONED)}


def _commands(command: click.Command, path: str) -> Iterator[str]:
    if path:
        yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, f"{path} {name}")


COMMANDS = sorted(
    [
        *_commands(leeward.cli, "leeward"),
        *_commands(plugin.cli, "kubectl leeward"),
        *_commands(sandbox.main, "leeward-sandbox"),
    ]
)


def test_every_setting_is_documented_with_its_variable() -> None:
    text = _page("settings.md")
    rows = [line for line in text.splitlines() if line.startswith("| `LEEWARD_")]
    wanted = {f"LEEWARD_{name.upper()}" for name in Settings.model_fields}
    assert {re.findall(r"`(\w+)`", row)[0] for row in rows} == wanted


def test_the_defaults_on_the_page_of_settings_are_those_of_the_code() -> None:
    rows = [line for line in _page("settings.md").splitlines() if line.startswith("| `LEEWARD_")]
    for row in rows:
        variable, default = (cell.strip().replace("`", "") for cell in row.split("|")[1:3])
        field = Settings.model_fields[variable.split(",")[0].removeprefix("LEEWARD_").lower()]
        code = field.default
        if code in {"", ()}:
            assert default in {"none", "empty"}, variable
        elif isinstance(code, str):
            assert default == code, variable
        else:
            assert float(default) == float(code), variable


@pytest.mark.parametrize("kind", sorted(registry.BUILT_IN))
def test_an_adapter_has_a_page_with_its_phases_actions_and_permissions(kind: str) -> None:
    adapter, words = registry.adapter(kind), _words(f"adapters/{kind}.md")
    text = _page(f"adapters/{kind}.md")
    assert f"adapters/{kind}.md" in _page("index.md")
    assert set(adapter.actions) <= words
    for use, actions in adapter.permissions.items():
        assert f"**{use}**" in text
        listed = text.split(f"**{use}**", 1)[1].split("\n\n", 1)[0]
        assert set(re.findall(r"`([^`]+)`", listed)) == set(actions), use


@pytest.mark.parametrize("kind", sorted(registry.BUILT_IN))
def test_the_reasons_of_an_adapter_can_be_looked_up(kind: str) -> None:
    folder = ROOT / "adapters" / "leeward_adapters"
    files = [folder / f"{kind}.py", *folder.glob(f"{kind}_*.py")]
    reasons = {reason for file in files for reason in _reasons(file, SEEN)}
    pages = (f"adapters/{kind}.md", "adapters/ec2.md", "conditions.md", "troubleshooting.md")
    assert reasons - {word for page in pages for word in _words(page)} == set()


def test_every_type_of_condition_is_documented() -> None:
    assert set(_constants(conditions.Type)) - _words("conditions.md") == set()


def test_every_reason_is_documented() -> None:
    reasons = set(_constants(conditions.Reason)) | _of_operator()
    assert len(reasons) > 60
    assert reasons - _words("conditions.md") == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command: str) -> None:
    if command in {"leeward", "kubectl leeward", "leeward-sandbox"}:
        assert f"## {command}\n" in _page("cli.md")
    elif command == "leeward manifest":
        assert "`leeward manifest import`" in _page("cli.md")
    else:
        assert f"| `{command}` |" in _page("cli.md")


def test_no_command_is_documented_that_does_not_exist() -> None:
    listed = re.findall(r"^\| `((?:kubectl )?leeward[^`]*)` \|", _page("cli.md"), re.MULTILINE)
    assert set(listed) <= set(COMMANDS)


PROGRAMS = {"leeward": leeward.cli, "kubectl leeward": plugin.cli, "leeward-sandbox": sandbox.main}
WITH_COMMANDS = [*PAGES, *ROOT.glob("examples/**/*.yaml"), *ROOT.glob("charts/leeward/templates/*")]


def _invocations(text: str) -> Iterator[tuple[str, list[str]]]:
    """Program and arguments of each command line in backticks or in a block of code."""
    text = text.replace("\\\n", " ")
    blocks = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    quoted = [" ".join(piece.split()) for piece in re.findall(r"`([^`]+)`", text)]
    line = re.compile(rf"(?:^|\$ |\()({'|'.join(PROGRAMS)}) ([^|;&>#`)]*)")
    for match in (match for part in [*blocks, *quoted] for match in line.finditer(part)):
        yield match[1], match[2].replace('"', " ").split()


def _options(command: click.Command) -> dict[str, bool]:
    """Names of the options, and whether a value follows."""
    flags = {"-h": False, "--help": False}
    found = [option for option in command.params if isinstance(option, click.Option)]
    return flags | {name: not option.is_flag for option in found for name in option.opts}


def _unknown(command: click.Command, arguments: list[str]) -> str:
    """The first word that is neither a command nor an option of the commands before it."""
    options, words = _options(command), iter(arguments)
    for word in words:
        name, _, value = word.partition("=")
        if name.startswith("-") and name != "-":
            name = name.rstrip("…,")
            if name not in options:
                return name
            if options[name] and not value:
                next(words, None)
        elif isinstance(command, click.Group) and re.fullmatch(r"[a-z-]+", word):
            if word not in command.commands:
                return word
            command = command.commands[word]
            options |= _options(command)
    return ""


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_a_page_shows_exist_with_their_options(page: Path) -> None:
    for program, arguments in _invocations(page.read_text("utf-8")):
        wrong = _unknown(PROGRAMS[program], arguments)
        assert not wrong, f"{program} {' '.join(arguments)}: {wrong}"


def test_a_command_that_does_not_exist_is_seen() -> None:
    shown = list(_invocations("    $ kubectl leeward tree orders --deep  # `leeward verify all`"))
    assert shown == [
        ("kubectl leeward", ["tree", "orders", "--deep"]), ("leeward", ["verify", "all"])
    ]  # fmt: skip
    assert [_unknown(PROGRAMS[program], words) for program, words in shown] == ["tree", "all"]
    assert _unknown(plugin.cli, ["get", "drx", "x", "--deep"]) == "--deep"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), link
        if anchor:
            assert anchor in _anchors(file.read_text("utf-8")), link


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_can_be_reached_from_the_index() -> None:
    index = _page("index.md")
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - {"index.md"}
    assert {page for page in pages if f"({page})" not in index} == set()


def test_a_decision_fits_on_a_page_and_has_its_three_parts() -> None:
    records = sorted((DOCS / "adr").glob("[0-9]*.md"))
    assert [record.name[:4] for record in records] == [f"{n + 1:04}" for n in range(len(records))]
    for record in records:
        lines = record.read_text("utf-8").splitlines()
        assert len(lines) <= 40, record.name
        assert lines[0].startswith(f"# {record.name[:4]}: "), record.name
        headings = [line for line in lines if line.startswith("## ")]
        assert headings == ["## Context", "## Decision", "## Consequences"], record.name
