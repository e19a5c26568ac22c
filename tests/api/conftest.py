"""A cluster with the CRDs and the examples."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from leeward_sandbox.cluster import Cluster

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    started = Cluster.start(tmp_path_factory.mktemp("crds") / "state")
    try:
        started.apply(ROOT / "crds")
        started.apply(ROOT / "examples" / "small")
        yield started
    finally:
        started.remove()
