"""A sandbox that a real Argo CD installs Leeward on, from a Git repository."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from argo import ACCOUNTS, EXAMPLES, OPERATOR, ORDERS, ArgoCd, health, synced

from leeward_sandbox import chart
from leeward_sandbox.cluster import ClusterError, binaries
from leeward_sandbox.policies import await_policies
from leeward_sandbox.stack import Stack, examples

ROOT = Path(__file__).parents[2]
SCALE = 240.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.aws)


@pytest.fixture(scope="session")
def program() -> Path:
    """Argo CD, built from its Go modules. Who asks for these tests is told what they lack."""
    if not os.environ.get("LEEWARD_TEST_GITOPS"):
        pytest.skip("a real Argo CD takes minutes to build: make test-gitops")
    for name, package in (("git", "git"), ("redis-server", "redis-server")):
        if shutil.which(name) is None:
            pytest.fail(f"Argo CD needs {name}: apt-get install {package}")
    try:
        return binaries.tool("argocd", progress=_show)
    except ClusterError as error:
        pytest.fail(f"Argo CD cannot be built here: {error}")


def _show(message: str, /) -> None:
    print(message, flush=True)  # noqa: T201 - building takes minutes


@pytest.fixture(scope="session")
def stack(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A sandbox without Leeward: no CRDs, no policies, no operator."""
    state = tmp_path_factory.mktemp("gitops") / "sandbox"
    stack = Stack.up("gitops", state_dir=state, scale=SCALE, operator=False, installed=False)
    try:
        stack.cluster.apply(ROOT / "sandbox" / "leeward_sandbox" / "cluster" / "manifests")
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="session")
def argo(stack: Stack, program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArgoCd]:
    """Argo CD has installed Leeward by the app of apps of the examples, and the operator runs."""
    argo = ArgoCd(stack.cluster, tmp_path_factory.mktemp("argocd"), program)
    accounts = (examples() / "targetaccounts.yaml").read_text()
    argo.platform.commit(
        {**_chart(), **_apps(argo), "accounts/accounts.yaml": accounts}, "Leeward, and accounts"
    )
    argo.tenant.commit({"plan.yaml": (examples() / "recoveryplan.yaml").read_text()}, "The plan")
    try:
        argo.start()
        argo.cluster.apply(*argo.example("project.yaml"), *argo.example("root.yaml"))
        argo.until(OPERATOR, "Leeward's installation", synced)
        _observe_deployment(stack)
        await_policies(stack.cluster, _show)
        stack.start_operator()
        yield argo
    finally:
        argo.stop()


def _observe_deployment(stack: Stack) -> None:
    """What the Deployment controller, which there is none of, would say of no replicas.

    Until then Argo CD takes the Deployment for progressing, and the next wave waits.
    """
    what = ("deployment", chart.RELEASE, "-n", chart.NAMESPACE)
    found = json.loads(stack.cluster.kubectl("get", *what, "-o", "json").stdout)
    status = {"status": {"observedGeneration": found["metadata"]["generation"]}}
    patch = ("--subresource=status", "--type=merge", "-p", json.dumps(status))
    stack.cluster.kubectl("patch", *what, *patch)


@pytest.fixture(scope="session")
def estate(argo: ArgoCd) -> ArgoCd:
    """Argo CD has synced accounts and plan, and there is room for executions beside them."""
    for app in (ACCOUNTS, ORDERS):
        argo.until(app, "accounts and plan", lambda a: synced(a) and health(a) == "Healthy")
    return argo


@pytest.fixture(scope="session")
def on_duty(argo: ArgoCd) -> str:
    """The ID token of somebody who is on duty for the tenant."""
    return argo.people.token("olga@example.com", "orders-on-duty")


@pytest.fixture(scope="session")
def developer(argo: ArgoCd) -> str:
    """The ID token of somebody who may look at the tenant's Applications."""
    return argo.people.token("dan@example.com", "orders-developers")


def _chart() -> dict[str, str | None]:
    """The chart's files as a platform team's repository has them."""
    folder = ROOT / "charts" / "leeward"
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {f"charts/leeward/{path.relative_to(folder)}": path.read_text() for path in files}


def _apps(argo: ArgoCd) -> dict[str, str | None]:
    """The Applications of the examples; the operator's has values of a cluster without nodes."""
    found: dict[str, str | None] = {}
    for file in sorted((EXAMPLES / "apps").iterdir()):
        (app,) = argo.example(f"apps/{file.name}")
        if app["metadata"]["name"] == OPERATOR:
            app["spec"]["source"]["helm"]["valuesObject"] |= yaml.safe_load(
                chart.VALUES.read_text()
            )
        found[f"argocd/apps/{file.name}"] = yaml.safe_dump(app)
    return found
