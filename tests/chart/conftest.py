"""The chart with the real helm, on a real API server that has nothing of Leeward yet."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from leeward_sandbox.chart import NAMESPACE, RELEASE
from leeward_sandbox.cluster import Cluster, binaries

Object = dict[str, Any]
Done = subprocess.CompletedProcess[str]
CHART = Path(__file__).parents[2] / "charts" / "leeward"
KUBERNETES = "v1.37.2"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/chart/" in str(item.path):
            item.add_marker(pytest.mark.cluster)


@dataclass(frozen=True)
class Helm:
    """The real helm, with a home of its own."""

    home: Path
    kubeconfig: Path | None = None

    def __call__(self, *args: str | Path, check: bool = True) -> Done:
        env = {**os.environ, "KUBECONFIG": str(self.kubeconfig or os.devnull)}
        env |= {f"HELM_{part}_HOME": str(self.home / part) for part in ("CACHE", "CONFIG", "DATA")}
        done = subprocess.run(
            [binaries.tool("helm"), *args], env=env, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def template(
        self, *options: str, values: Object | None = None, kubernetes: str = KUBERNETES
    ) -> list[Object]:
        """All objects that the chart renders, hooks included."""
        done = self(
            *("template", RELEASE, CHART, "--namespace", NAMESPACE),
            *("--kube-version", kubernetes, *options, *self._values(values)),
        )
        return [found for found in yaml.safe_load_all(done.stdout) if found]

    def refused(self, values: Object) -> str:
        """What helm says against values."""
        done = self("template", RELEASE, CHART, *self._values(values), check=False)
        assert done.returncode != 0, "the values were taken"
        return done.stderr

    def _values(self, values: Object | None) -> list[str]:
        file = self.home / "values.yaml"
        file.write_text(yaml.safe_dump(values or {}))
        return ["--values", str(file)]


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """helm without a cluster."""
    return Helm(tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster whose namespace for the operator enforces the restricted standard."""
    started = Cluster.start(tmp_path_factory.mktemp("chart") / "cluster")
    try:
        enforce = "pod-security.kubernetes.io/enforce=restricted"
        started.kubectl("label", "namespace", NAMESPACE, enforce)
        yield started
    finally:
        started.remove()


class Installation:
    """One release at a time on the cluster."""

    def __init__(self, cluster: Cluster, helm: Helm) -> None:
        self.cluster = cluster
        self.helm = helm
        self._namespace = NAMESPACE

    def install(self, chart: str | Path = CHART, *options: str, namespace: str = NAMESPACE) -> Done:
        """helm install; the hooks need a kubelet, which there is none of."""
        self._namespace = namespace
        return self._deploy("install", chart, "--create-namespace", *options)

    def upgrade(self, chart: str | Path = CHART, *options: str) -> Done:
        """helm upgrade."""
        return self._deploy("upgrade", chart, *options)

    def uninstall(self) -> Done:
        """helm uninstall."""
        return self.helm("uninstall", RELEASE, "--namespace", self._namespace)

    def _deploy(self, verb: str, chart: str | Path, *options: str) -> Done:
        fixed = ("--namespace", self._namespace, "--set=preflight.enabled=false")
        return self.helm(verb, RELEASE, chart, *fixed, *options)

    def get(self, *what: str) -> Object | None:
        """An object, or None."""
        found = self.cluster.kubectl("get", *what, "--ignore-not-found", "-o", "json").stdout
        return json.loads(found) if found else None

    def clear(self) -> None:
        """Take everything away that a release leaves."""
        where = ("--namespace", self._namespace)
        self.helm("uninstall", RELEASE, *where, "--ignore-not-found", "--no-hooks")
        kinds = (
            "validatingadmissionpolicybinding,validatingadmissionpolicy,"
            "mutatingadmissionpolicybinding,mutatingadmissionpolicy,customresourcedefinition"
        )
        chosen = "app.kubernetes.io/part-of=leeward"
        self.cluster.kubectl("delete", kinds, "-l", chosen, "--wait=false")
        self._until_the_definitions_are_gone(chosen)

    def _until_the_definitions_are_gone(self, chosen: str) -> None:
        """A CRD that is deleted before it is served is looked at again only when it changes.

        The finalizer of the API server meets "storage is (re)initializing", loses its second try
        to a conflict, and comes back with the resync five minutes later
        (apiextensions-apiserver, pkg/controller/finalizer/crd_finalizer.go).
        """
        end = time.monotonic() + 120
        for attempt in itertools.count():
            found = self.cluster.kubectl("get", "crd", "-l", chosen, "-o", "name").stdout.split()
            if not found:
                return
            assert time.monotonic() < end, f"still being deleted: {found}"
            time.sleep(0.2)
            if attempt % 10 == 9:
                touched = ("annotate", "--overwrite", *found, f"touched={attempt}")
                self.cluster.kubectl(*touched, check=False)


@pytest.fixture
def release(cluster: Cluster, tmp_path: Path) -> Iterator[Installation]:
    """Nothing is installed before, and nothing is left behind."""
    installation = Installation(cluster, Helm(tmp_path, cluster.kubeconfig("admin")))
    yield installation
    installation.clear()


@pytest.fixture
def previous(tmp_path: Path, helm: Helm) -> Path:
    """The packaged chart of the version before: lower, and of a CRD with a column less."""
    folder = tmp_path / "previous"
    shutil.copytree(CHART, folder / "leeward")
    file = folder / "leeward" / "Chart.yaml"
    described = yaml.safe_load(file.read_text()) | {"version": "0.0.9", "appVersion": "0.0.9"}
    file.write_text(yaml.safe_dump(described))
    definition = folder / "leeward" / "definitions" / "leeward.dev_drexecutions.yaml"
    found = yaml.safe_load(definition.read_text())
    found["spec"]["versions"][0]["additionalPrinterColumns"].pop()
    definition.write_text(yaml.safe_dump(found, sort_keys=False))
    helm("package", folder / "leeward", "--destination", folder)
    return folder / "leeward-0.0.9.tgz"


class HookRunner:
    """Runs Jobs of a namespace as their ServiceAccounts, and says on them how they ended.

    The cluster has no Job controller and no kubelet. Used as a context manager; what a Job printed
    is in `logs`, by the Job's name.
    """

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.logs: dict[str, str] = {}
        self._cluster = cluster
        self._namespace = namespace
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> HookRunner:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join(timeout=60)

    def _loop(self) -> None:
        while not self._ended.is_set():
            found = self._cluster.kubectl("get", "jobs", "-n", self._namespace, "-o", "json")
            for job in json.loads(found.stdout)["items"]:
                if not job.get("status", {}).get("conditions"):
                    self._run(job)
            self._ended.wait(0.2)

    def _run(self, job: Object) -> None:
        pod = job["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        began = datetime.now(UTC)
        token = self._cluster.token(self._namespace, pod["serviceAccountName"])
        command = [*container["command"], *container["args"]]
        assert command[0] == "leeward"
        done = subprocess.run(
            [sys.executable, "-m", "leeward.cli.main", *command[1:]],
            env={**os.environ, "KUBECONFIG": str(token)},
            capture_output=True,
            text=True,
            check=False,
        )
        self.logs[job["metadata"]["name"]] = done.stdout + done.stderr
        self._tell(job["metadata"]["name"], began, succeeded=done.returncode == 0)

    def _tell(self, name: str, began: datetime, *, succeeded: bool) -> None:
        """Write the status that the Job controller would write (KEP-3998: criteria first)."""
        now = datetime.now(UTC)
        kinds = ("SuccessCriteriaMet", "Complete") if succeeded else ("FailureTarget", "Failed")
        conditions = [
            {
                **{"type": kind, "status": "True", "reason": "Ran", "message": ""},
                **{"lastProbeTime": _text(now), "lastTransitionTime": _text(now)},
            }
            for kind in kinds
        ]
        status: Object = {"startTime": _text(began), "conditions": conditions}
        status |= {"succeeded": 1, "completionTime": _text(now)} if succeeded else {"failed": 1}
        self._cluster.kubectl(
            *("patch", "job", name, "-n", self._namespace, "--subresource=status"),
            *("--type=merge", "-p", json.dumps({"status": status})),
        )


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def hooks(cluster: Cluster) -> Iterator[HookRunner]:
    """The hooks of releases in the operator's namespace are run."""
    with HookRunner(cluster, NAMESPACE) as runner:
        yield runner


Conform = Callable[[list[Object]], str]


@pytest.fixture(scope="session")
def conform(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Conform:
    """kubeconform --strict with schemas made of the API server's own OpenAPI documents."""
    folder = tmp_path_factory.mktemp("schemas")
    index = json.loads(cluster.kubectl("get", "--raw", "/openapi/v3").stdout)["paths"]
    written: set[str] = set()

    def schemas(version: str) -> None:
        path = f"apis/{version}" if "/" in version else f"api/{version}"
        if version in written or path not in index:
            return
        written.add(version)
        text = cluster.kubectl("get", "--raw", index[path]["serverRelativeURL"]).stdout
        for name, schema in _by_kind(json.loads(text)["components"]["schemas"]):
            (folder / name).write_text(json.dumps(schema))

    def run(objects: list[Object]) -> str:
        for found in objects:
            schemas(found["apiVersion"])
        done = subprocess.run(
            [
                *(binaries.tool("kubeconform"), "-strict", "-summary", "-output", "json"),
                # Kinds of the Prometheus operator: the API server does not know them.
                *("-skip", "ServiceMonitor,PrometheusRule"),
                *("-schema-location", f"{folder}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"),
            ],
            input=yaml.safe_dump_all(objects), capture_output=True, text=True, check=False,
        )  # fmt: skip
        return "" if done.returncode == 0 else done.stdout + done.stderr

    return run


def _by_kind(components: Object) -> Iterator[tuple[str, Object]]:
    strict = {name: _strict(schema) for name, schema in components.items()}
    for name, schema in components.items():
        for kind in schema.get("x-kubernetes-group-version-kind", []):
            group = kind["group"].split(".")[0]
            parts = (kind["kind"].lower(), *([group] if group else []), kind["version"])
            root = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": strict}}
            yield "-".join(parts) + ".json", root


def _strict(schema: Any) -> Any:
    """The schema, which lets no field pass that it does not know."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _strict(part) for key, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed
