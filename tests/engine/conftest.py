"""A real API server for what leadership and supervision must be proved on."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from kubernetes.aio import client, config

from leeward.engine.kube import Kube
from leeward_sandbox.cluster import Cluster

CRDS = Path(__file__).parents[2] / "crds"
Connect = Callable[[], AbstractAsyncContextManager[Kube]]
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One cluster for all tests; those that take its API server away bring it back."""
    cluster = Cluster.start(tmp_path_factory.mktemp("engine") / "cluster")
    try:
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture(scope="session")
def kinds(cluster: Cluster) -> None:
    """Leeward's kinds, as the API server of `cluster` knows them."""
    cluster.apply(CRDS)
    cluster.kubectl("wait", "--for=condition=Established", "--all", "crd")


@pytest.fixture(scope="session")
def served(cluster: Cluster, kinds: None) -> None:
    """Waits until the API server lists what is asked for: right after it got a CRD it says 429."""
    deadline = time.monotonic() + 60
    listed = "drexecutions,drtasks,recoveryinventories,recoveryplans"
    while cluster.kubectl("get", listed, check=False).returncode:
        assert time.monotonic() < deadline, "the API server does not list them"
        time.sleep(0.1)


@pytest.fixture
def connect(cluster: Cluster) -> Connect:
    """Opens a connection as the cluster's administrator."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Kube]:
        configuration = client.Configuration()
        configuration.retries = None
        file = str(cluster.kubeconfig("admin"))
        await config.load_kube_config(config_file=file, client_configuration=configuration)
        kube = Kube(configuration)
        try:
            yield kube
        finally:
            await kube.close()

    return opened


@pytest.fixture
def name() -> str:
    """A name that no other test has."""
    return f"subject-{next(_numbers)}"
