"""The registry, and what every adapter in it must keep to."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

import leeward_adapters
from leeward_adapters import discovery, registry
from leeward_adapters.attribution import of_adapter
from leeward_adapters.base import Adapter, Phase
from leeward_adapters.registry import AdapterError, adapter, kinds
from rights import ON_BEHALF, PREFIXES

KINDS = sorted(registry.BUILT_IN)

SERVICES = {prefix: service for service, prefix in PREFIXES.items()}
# IAM actions that are no operation of their own.
RIGHTS_ONLY = {
    "drs:CreateRecoveryInstanceForDrs", "iam:PassRole", "kms:ReEncryptFrom", "kms:ReEncryptTo",
}  # fmt: skip


def _sources(kind: str) -> list[Path]:
    """The adapter's modules: KIND.py and KIND_*.py, and what of ec2.py drs uses."""
    folder = Path(leeward_adapters.__path__[0])
    return [folder / f"{kind}.py", *sorted(folder.glob(f"{kind}_*.py"))]


def _named_actions(path: Path) -> Iterator[str]:
    """Values of the keyword `action` in the module, constants resolved."""
    module = importlib.import_module(f"leeward_adapters.{path.stem}")
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "action":
            yield eval(ast.unparse(node.value), vars(module))  # a constant of the module


def test_the_built_in_adapters_are_known() -> None:
    assert {"drs", "ec2", "route53"} <= kinds()


def test_an_adapter_is_made_once() -> None:
    assert adapter("drs") is adapter("drs")


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(AdapterError, match=r"no adapter 'vmware'; known: .*drs, ec2.*, route53"):
        adapter("vmware")


def _install(monkeypatch: pytest.MonkeyPatch, *entries: EntryPoint) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: entries)
    monkeypatch.setattr(registry, "_made", {})


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (EntryPoint("x", "no.such.module:X", registry.GROUP), "cannot be loaded"),
        (EntryPoint("x", "leeward_adapters.drs:Drs", registry.GROUP), "says that it is 'drs'"),
    ],
)
def test_an_installed_adapter_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, entry: EntryPoint, said: str
) -> None:
    _install(monkeypatch, entry)

    assert "x" in kinds()
    with pytest.raises(AdapterError, match=said):
        adapter("x")


def test_an_installed_adapter_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "BUILT_IN", {})
    _install(monkeypatch, EntryPoint("drs", "leeward_adapters.drs:Drs", registry.GROUP))

    assert adapter("drs").kind == "drs"


@pytest.mark.parametrize("names", [("drs",), ("x", "x")])
def test_two_adapters_of_one_kind_are_an_error(
    monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    _install(monkeypatch, *(EntryPoint(name, "a.b:C", registry.GROUP) for name in names))

    with pytest.raises(AdapterError, match="remove one of the packages"):
        kinds()


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_says_what_it_is(kind: str) -> None:
    made = adapter(kind)

    assert made.kind == kind
    assert len(inspect.getdoc(type(made)) or "") > 200
    assert made.phases
    for phase in made.phases:
        assert isinstance(phase, Phase)
        assert made.permissions[str(phase)]
    assert set(made.permissions) == {"Read", *map(str, made.phases)}
    for method in ("readiness", "observe", "act", "verify", "undo"):
        expected = inspect.signature(getattr(Adapter, method)).parameters
        assert list(inspect.signature(getattr(type(made), method)).parameters) == list(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_every_action_that_is_named_is_declared(kind: str) -> None:
    named = {action for path in _sources(kind) for action in _named_actions(path)}

    # drs also starts instances, by the functions of ec2.
    declared = set(adapter(kind).actions)
    assert named <= declared
    assert declared - named <= ({"start"} if kind == "drs" else set())


def _iam_actions() -> set[str]:
    found = set(discovery.PERMISSIONS)
    for kind in KINDS:
        found |= set().union(*adapter(kind).permissions.values())
    return found


@pytest.mark.parametrize("action", sorted(_iam_actions() - RIGHTS_ONLY))
def test_every_iam_action_is_an_operation_of_aws(action: str) -> None:
    prefix, _, operation = action.partition(":")
    service = SERVICES.get(prefix, prefix)
    model = botocore.session.Session().get_service_model(service)

    assert operation in model.operation_names


@pytest.mark.parametrize("kind", KINDS)
def test_every_iam_action_is_of_a_call_that_the_adapters_make(kind: str) -> None:
    """A right that nothing uses is one too many."""
    text = "".join(
        path.read_text("utf-8") for path in Path(leeward_adapters.__path__[0]).glob("*.py")
    )
    declared = set().union(*adapter(kind).permissions.values())
    excused = ON_BEHALF.get(of_adapter(kind), {}).keys()
    unused = {a for a in declared - excused if xform_name(a.partition(":")[2]) not in text}

    assert unused == set()
    assert excused <= declared


def test_no_adapter_module_is_forgotten() -> None:
    """A module with an adapter in it must be in the registry."""
    classes: dict[str, Any] = {}
    for module in pkgutil.iter_modules(leeward_adapters.__path__, "leeward_adapters."):
        for _, found in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if found is not Adapter and hasattr(found, "kind") and hasattr(found, "observe"):
                classes[found.kind] = found
    assert set(classes) == set(KINDS)
