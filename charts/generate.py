"""Writes what of the chart follows from something else, or says what is not up to date.

- values.schema.json: the part `configuration`, from the operator's settings
- README.md: the tables of values, from the comments in values.yaml
- config/default/install.yaml: what the chart renders without any values, for kustomize

    python charts/generate.py [--check]
    python charts/generate.py --release DIR

The second writes what is published of a version: crds.yaml, install.yaml and the packaged chart.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from leeward.configuration import ENVIRONMENT_ONLY
from leeward.settings import Settings
from leeward_sandbox import chart

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts" / "leeward"
INSTALL = ROOT / "config" / "default" / "install.yaml"
ELSEWHERE = ENVIRONMENT_ONLY | {"namespace", "service_account", "health_port", "tracing"}
"""Settings that have a value of the chart of their own, or come from the pod."""
LIMITS = ("pattern", "enum", "minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength")
_SHOWN = 60
_OF_HELM = re.compile(
    r"^(# Source:| *(helm\.sh/chart|app\.kubernetes\.io/managed-by):).*\n", re.MULTILINE
)


def schema() -> str:
    """The schema of the values; everything but `configuration` is written by hand."""
    found = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    found["properties"]["configuration"]["properties"] = dict(_settings())
    return json.dumps(found, indent=2) + "\n"


def _settings() -> Iterator[tuple[str, Any]]:
    fields = Settings.model_json_schema()["properties"]
    for name, field in sorted(fields.items()):
        if name in ELSEWHERE:
            continue
        kind = field.get("type", "string")
        described = " ".join(field.get("description", "").split())
        # A list is given as one text with commas, as in a variable.
        limits = {key: field[key] for key in LIMITS if key in field and kind != "array"}
        yield (
            name.replace("_", "-"),
            {"description": described, "type": "string" if kind == "array" else kind, **limits},
        )


def readme() -> str:
    """The chart's README: its head, and a table of the values."""
    values = documented((CHART / "values.yaml").read_text("utf-8"))
    rows = [f"| `{path}` | {default} | {text} |" for path, default, text in values]
    table = "\n".join(["| value | default | what |", "|---|---|---|", *rows])
    return _HEAD.format(table=table)


def documented(text: str) -> Iterator[tuple[str, str, str]]:
    """Path, default and description of each value that has a comment beginning with `# --`."""
    values = yaml.safe_load(text)
    above: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# --"):
            comment = [stripped.removeprefix("# --").strip()]
        elif stripped.startswith("#"):
            comment += [stripped.lstrip("# ").strip()] if comment else []
        elif match := re.match(r"^( *)([A-Za-z]\w*):", line):
            depth = len(match[1])
            above = [*(part for part in above if part[0] < depth), (depth, match[2])]
            if comment:
                path = [name for _, name in above]
                yield ".".join(path), _default(values, path), " ".join(comment)
            comment = []
        else:
            comment = []


def _default(values: Any, path: list[str]) -> str:
    for name in path:
        values = values[name]
    shown = json.dumps(values)
    return f"`{shown}`" if len(shown) <= _SHOWN else "see values.yaml"


def install() -> str:
    """What the chart installs by default, without the CRDs and the hooks."""
    return (
        "# Generated from charts/leeward by `make generate`: change the chart, not this file.\n"
        + _without_helm(
            chart.template(CHART, "--set=crds.enabled=false", "--set=policies.keep=false")
        )
    )


def _without_helm(text: str) -> str:
    """What Helm rendered, without the labels by which Helm would take it for its own."""
    return _OF_HELM.sub("", text)


def release(directory: Path) -> list[Path]:
    """The files of a release, written to `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    namespace = INSTALL.with_name("namespace.yaml").read_text("utf-8")
    crds, whole = directory / "crds.yaml", directory / "install.yaml"
    definitions = chart.template(CHART, "--show-only=templates/crds.yaml", "--set=crds.keep=false")
    crds.write_text(_without_helm(definitions), "utf-8")
    whole.write_text(f"{namespace}{install()}", "utf-8")
    return [crds, whole, chart.package(CHART, directory)]


_HEAD = """\
# Leeward's chart

Generated from `values.yaml` by `make generate`. What to do before and afterwards, Argo CD, Flux and
kustomize: [docs/installation.md](../../docs/installation.md).

    helm install leeward charts/leeward --namespace leeward-system --create-namespace \\
      --set image.registry=REGISTRY --set aws.region=us-east-2 --set aws.irsa.roleArn=ROLE_ARN

Kubernetes 1.30 or later; tested with Helm 4.3. Values that do not exist are refused.

{table}

Objects of the cluster have fixed names (`leeward-operator`, `leeward-approver`, …), so that a
second release is refused; objects of the namespace are called like the release.
"""


def main() -> int:
    """Write or check; 1 if something is not up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="Write nothing; fail on a difference.")
    parser.add_argument("--release", type=Path, metavar="DIR", help="Write a release's files.")
    given = parser.parse_args()
    if given.release is not None:
        written = " ".join(map(str, release(given.release)))
        sys.stdout.write(f"{written}\n")
        return 0
    return _generate(check=given.check)


def _generate(*, check: bool) -> int:
    stale = []
    # In this order: helm checks the values against the schema.
    for file, rendered in (
        (CHART / "values.schema.json", schema),
        (CHART / "README.md", readme),
        (INSTALL, install),
    ):
        text = rendered()
        if not file.exists() or file.read_text("utf-8") != text:
            stale.append(file)
            if not check:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, "utf-8")
    shown = ", ".join(str(file.relative_to(ROOT)) for file in stale) or "nothing"
    sys.stdout.write(f"{shown} {'is not up to date' if check else 'written anew'}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
