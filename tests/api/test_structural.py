"""The generator says everything that the models say, and refuses what a CRD cannot say."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import Field

from leeward.api import crd
from leeward.api.common import CountOrPercent, Duration, Model, TagKey, atomic, later, later_values
from leeward.api.kinds import KINDS
from leeward.api.structural import SchemaError, inlined, structural

CRDS = Path(__file__).parents[2] / "crds"
WRITTEN_BY_PEOPLE = ("RecoveryPlan", "DRExecution", "TargetAccount")


def _schema(kind: str) -> dict[str, Any]:
    definition = crd.definition(KINDS[kind])
    schema: dict[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _nodes(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from _nodes(child, f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            yield from _nodes(schema[keyword], f"{path}[]")


def _fields(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, node in _nodes(schema, path):
        for name, child in node.get("properties", {}).items():
            yield f"{where}.{name}", child


def _converted(model: type[Model], *, people: bool = True) -> dict[str, Any]:
    return structural(inlined(model), "Sample.spec", people=people)


def test_the_files_in_crds_are_the_generated_ones() -> None:
    stored = {file.name: file.read_text() for file in CRDS.glob("*.yaml")}
    assert stored == crd.render(), "run `leeward crds --write crds`"


def test_rendering_twice_gives_the_same_text_without_anchors() -> None:
    first = crd.render()
    assert first == crd.render()
    assert not [name for name, text in first.items() if "&id" in text]


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_described_in_one_line(kind: str) -> None:
    undescribed = [
        path
        for path, node in _fields(_schema(kind), kind)
        if path != f"{kind}.metadata"
        and (not node.get("description") or "\n" in node["description"])
    ]
    assert undescribed == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_string_list_and_map_of_spec_and_status_is_limited(kind: str) -> None:
    root = _schema(kind)
    unlimited = []
    for part in ("spec", "status"):
        for path, node in _nodes(root["properties"][part], part):
            needed = {
                "string": {"maxLength", "enum"},
                "array": {"maxItems"},
                "object": {"maxProperties"} if "additionalProperties" in node else set(),
            }.get(node.get("type", ""), set())
            if needed and not needed & node.keys():
                unlimited.append(path)
    assert unlimited == []


@pytest.mark.parametrize("kind", KINDS)
def test_no_keyword_that_the_api_server_refuses_is_left(kind: str) -> None:
    refused = {"anyOf", "$ref", "$defs", "const", "exclusiveMinimum", "propertyNames", "title"}
    offending = [
        (path, sorted(found))
        for path, node in _nodes(_schema(kind), kind)
        if (found := {key for key in node if key in refused or key.startswith("x-leeward-")})
        or node.get("additionalProperties") is False
    ]
    assert offending == []


@pytest.mark.parametrize("kind", KINDS)
def test_keys_of_map_lists_are_required_or_have_a_default(kind: str) -> None:
    for path, node in _nodes(_schema(kind), kind):
        for key in node.get("x-kubernetes-list-map-keys", ()):
            item = node["items"]
            assert key in item.get("required", ()) or "default" in item["properties"][key], path


@pytest.mark.parametrize("kind", KINDS)
def test_only_scalars_have_defaults_and_of_the_status_its_beginning(kind: str) -> None:
    root = _schema(kind)
    initial = root["properties"]["status"].pop("default", {})
    assert initial == KINDS[kind].INITIAL
    spec = dict(_nodes(root["properties"]["spec"], "spec"))
    status = dict(_nodes(root["properties"]["status"], "status"))
    assert not [path for path, node in status.items() if "default" in node]
    for path, node in spec.items():
        assert isinstance(node.get("default", 0), str | int | bool), path


@pytest.mark.parametrize("kind", KINDS)
def test_names_scope_columns_and_status_are_declared(kind: str) -> None:
    model = KINDS[kind]
    spec = crd.definition(model)["spec"]
    version = spec["versions"][0]
    assert spec["names"] == {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": model.PLURAL,
        "singular": kind.lower(),
        "shortNames": [model.SHORT],
        "categories": ["leeward"],
    }
    assert spec["scope"] == ("Cluster" if kind == "TargetAccount" else "Namespaced")
    assert version["subresources"] == {"status": {}}
    columns = [tuple(column.values()) for column in version["additionalPrinterColumns"]]
    assert columns == model.COLUMNS


@pytest.mark.parametrize("kind", KINDS)
def test_columns_show_fields_that_exist(kind: str) -> None:
    fields = {path for path, _ in _fields(_schema(kind), "")}
    for name, _, path in KINDS[kind].COLUMNS:
        plain = path.split("[?")[0]
        assert plain in fields or plain == ".metadata.creationTimestamp", name


def test_a_later_field_says_so_in_its_description_and_refuses_to_be_written() -> None:
    limits = _schema("RecoveryPlan")["properties"]["spec"]["properties"]["historyLimits"]
    assert limits["description"].endswith(
        "Not supported by this version: all finished executions are kept."
    )
    assert limits["x-kubernetes-validations"] == [
        {
            "rule": "false",
            "message": "historyLimits is not supported by this version of Leeward: "
            "all finished executions are kept",
        }
    ]


def test_a_later_list_may_be_empty() -> None:
    wave = _schema("RecoveryPlan")["properties"]["spec"]["properties"]["waves"]["items"]
    (rule,) = wave["properties"]["before"]["x-kubernetes-validations"]
    assert rule["rule"] == "size(self) == 0"


def test_a_later_value_is_named_in_the_description_and_refused() -> None:
    wave = _schema("RecoveryPlan")["properties"]["spec"]["properties"]["waves"]["items"]
    kind = wave["properties"]["tasks"]["items"]["properties"]["type"]
    why = "scripts and checks come with a later version"
    assert kind["description"].endswith(f"Not supported by this version: Check, Script ({why}).")
    assert {
        "rule": "self != 'Script'",
        "message": "waves[].tasks[].type: Script is not supported by this version of Leeward: "
        f"{why}",
    } in kind["x-kubernetes-validations"]


@pytest.mark.parametrize("kind", ["DRExecution", "DRTask"])
def test_the_spec_of_a_run_and_of_its_tasks_is_immutable(kind: str) -> None:
    rules = _schema(kind)["properties"]["spec"]["x-kubernetes-validations"]
    assert "self == oldSelf" in [rule["rule"] for rule in rules]


@pytest.mark.parametrize("kind", WRITTEN_BY_PEOPLE)
def test_names_that_others_refer_to_are_short(kind: str) -> None:
    (rule,) = _schema(kind)["x-kubernetes-validations"]
    assert rule["rule"].startswith("size(self.metadata.name) <= 63 ")


def test_a_mark_counts_wherever_the_field_is() -> None:
    class Inner(Model):
        """Inner."""

        choice: Annotated[
            Literal["A", "B"] | None, Field(json_schema_extra=later_values(B="only A works"))
        ] = None
        """A choice."""

    class Outer(Model):
        """Outer."""

        inner: Annotated[list[Inner], Field(max_length=3, json_schema_extra=atomic())]
        """Inner ones."""
        word: Annotated[Duration | None, Field(json_schema_extra=later("words"))] = None
        """A word."""

    schema = _converted(Outer)["properties"]
    assert schema["inner"]["x-kubernetes-list-type"] == "atomic"
    (choice,) = schema["inner"]["items"]["properties"]["choice"]["x-kubernetes-validations"]
    assert choice["message"].startswith("inner[].choice: B is not supported")
    assert {"rule": "false"}.items() <= schema["word"]["x-kubernetes-validations"][0].items()


def test_durations_are_longer_than_nothing() -> None:
    class Sample(Model):
        """Sample."""

        wait: Duration = "5m"
        """How long."""

    wait = _converted(Sample)["properties"]["wait"]
    assert wait["x-kubernetes-validations"][0]["rule"] == "duration(self) > duration('0s')"
    assert wait["default"] == "5m"


def test_a_count_or_percentage_is_int_or_string_with_a_pattern() -> None:
    class Sample(Model):
        """Sample."""

        least: CountOrPercent | None = None
        """How many."""

    least = _converted(Sample)["properties"]["least"]
    assert least.pop("description") == "How many."
    assert least == {
        "x-kubernetes-int-or-string": True,
        "maxLength": 4,
        "pattern": "^(100|[0-9]{1,2})%$",
        "minimum": 0,
    }


def test_keys_of_peoples_maps_are_limited_by_a_rule() -> None:
    class Sample(Model):
        """Sample."""

        values: Annotated[dict[TagKey, TagKey], Field(max_length=5)]
        """Values."""

    (rule,) = _converted(Sample)["properties"]["values"]["x-kubernetes-validations"]
    assert rule["rule"] == "self.all(key, size(key) >= 1 && size(key) <= 128)"
    assert (
        "x-kubernetes-validations" not in _converted(Sample, people=False)["properties"]["values"]
    )


def _of(annotation: Any, *, described: bool = True) -> type[Model]:
    """A model with one field `it` of that type."""
    body: dict[str, Any] = {"__annotations__": {"it": annotation}, "__doc__": "Sample."}
    body["__module__"] = __name__
    if described:
        body["it"] = Field(description="It.")
    return type("Sample", (Model,), body)


@pytest.mark.parametrize(
    ("annotation", "problem"),
    [
        (str, "Sample.spec.it: a string needs max_length"),
        (list[bool], "Sample.spec.it: a list needs max_length"),
        (dict[str, bool], "Sample.spec.it: a map needs max_length"),
        (Annotated[list[str], Field(max_length=3)], "Sample.spec.it[]: a string needs max_length"),
        (Annotated[int, Field(gt=0)], "Sample.spec.it: exclusiveMinimum cannot be expressed"),
        (int | bool, "Sample.it: a union of types has no place"),
        (float, "Sample.spec.it: type 'number' has no place"),
        (Any, "Sample.spec.it: type None has no place"),
        (Annotated[dict[str, Any], Field(max_length=3)], "Sample.spec.it: additionalProperties"),
        (tuple[bool, bool], "Sample.spec.it: prefixItems cannot be expressed"),
    ],
)
def test_what_a_crd_cannot_say_is_refused_with_its_path(annotation: Any, problem: str) -> None:
    with pytest.raises(SchemaError) as raised:
        _converted(_of(annotation))
    assert str(raised.value).startswith(problem)


def test_a_field_without_description_is_refused() -> None:
    with pytest.raises(SchemaError, match=r"Sample\.spec\.it: a field needs a docstring"):
        _converted(_of(bool, described=False))


def test_each_file_says_where_it_comes_from_and_is_named_after_its_kind() -> None:
    for name, text in crd.render().items():
        assert text.startswith("# Generated by `leeward crds"), name
        spec = yaml.safe_load(text)["spec"]
        assert name == f"{spec['group']}_{spec['names']['plural']}.yaml"
