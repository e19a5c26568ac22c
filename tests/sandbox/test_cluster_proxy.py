"""The proxy before the API server: writes seen, held, dropped; everything else untouched."""

from __future__ import annotations

import itertools
import json
import os
import select
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from leeward_sandbox.cluster import Cluster, binaries
from leeward_sandbox.cluster.proxy import ApiProxy, Write

pytestmark = pytest.mark.cluster
PATIENCE = 60.0
EDITOR = {
    "apiVersion": "v1",
    "kind": "ServiceAccount",
    "metadata": {"name": "editor", "namespace": "orders"},
}
MAY_EDIT = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "RoleBinding",
    "metadata": {"name": "editor", "namespace": "orders"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
    "subjects": [{"kind": "ServiceAccount", "name": "editor", "namespace": "orders"}],
}


@dataclass
class Client:
    """kubectl through the proxy, with a token."""

    cluster: Cluster
    proxy: ApiProxy
    kubeconfig: Path

    def begins(self, *args: str) -> subprocess.Popen[str]:
        """kubectl, as a process."""
        return subprocess.Popen(
            [binaries.kubectl(), "--request-timeout=60s", *args],
            env={
                **os.environ,
                "KUBECONFIG": str(self.kubeconfig),
                "KUBECACHEDIR": str(self.cluster.kubectl_cache),
                "KUBERC": "off",
            },
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def does(self, *args: str) -> str:
        """kubectl, to its good end."""
        process = self.begins(*args)
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, err
        return out

    def begins_to_make(self, name: str, *flags: str) -> subprocess.Popen[str]:
        """kubectl create of a ConfigMap; from a file, because without one it sends protobuf."""
        file = self.kubeconfig.with_name(f"{name}.json")
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
        file.write_text(json.dumps({**body, "data": {"name": name}}))
        return self.begins("create", "-f", str(file), *flags)

    def makes(self, name: str, *flags: str) -> None:
        """The same, to its good end."""
        _, err = (process := self.begins_to_make(name, *flags)).communicate(timeout=PATIENCE)
        assert process.returncode == 0, err

    def exists(self, name: str) -> bool:
        """Whether the API server has the ConfigMap."""
        found = self.cluster.kubectl("-n", "orders", "get", "cm", name, check=False)
        return found.returncode == 0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    started = Cluster.start(tmp_path_factory.mktemp("proxy") / "state")
    try:
        started.apply(EDITOR, MAY_EDIT)
        yield started
    finally:
        started.remove()


@pytest.fixture
def client(cluster: Cluster, tmp_path: Path) -> Iterator[Client]:
    with ApiProxy(cluster) as proxy:
        token = cluster.token("orders", "editor")
        yield Client(cluster, proxy, proxy.kubeconfig(token, tmp_path / "kubeconfig"))


def creates(name: str) -> Callable[[Write], bool]:
    return lambda write: (write.method, write.name) == ("POST", name)


def test_writes_are_seen_by_what_they_are_and_dry_runs_are_none(client: Client) -> None:
    client.makes("seen")
    client.makes("tried", "--dry-run=server")
    client.does("label", "configmap", "seen", "b=2")
    client.does("delete", "configmap", "seen")
    seen = [(w.method, w.resource, w.namespace, w.name) for w in client.proxy.writes()]
    assert seen == [
        ("POST", "configmaps", "orders", "seen"),
        ("PATCH", "configmaps", "orders", "seen"),
        ("DELETE", "configmaps", "orders", "seen"),
    ]
    first, *later = client.proxy.writes()
    assert first.body["data"] == {"name": "seen"}
    assert client.proxy.writes(since=first.number) == later


@pytest.mark.parametrize(("side", "done"), [("before", False), ("after", True)])
def test_a_write_that_is_dropped_has_no_answer_and_took_effect_only_after(
    client: Client, side: Any, done: bool
) -> None:
    name = f"dropped-{side}"
    with client.proxy.stop_at(creates(name), 1, side) as stop:
        process = client.begins_to_make(name)
        assert stop.wait(PATIENCE)
        assert client.exists(name) is done
        client.proxy.drop()
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert "EOF" in err or "reset" in err
    assert client.exists(name) is done


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_write_that_goes_on_is_as_if_nothing_had_been(client: Client, side: Any) -> None:
    name = f"goes-on-{side}"
    with client.proxy.stop_at(creates(name), 1, side) as stop:
        process = client.begins_to_make(name)
        assert stop.wait(PATIENCE)
        client.proxy.go_on()
        assert process.communicate(timeout=PATIENCE)[0] == f"configmap/{name} created\n"
    client.does("get", "configmap", name)


def test_while_it_stands_nothing_passes_and_what_comes_later_does(client: Client) -> None:
    with client.proxy.stop_at(creates("first"), 1, "before") as stop:
        first = client.begins_to_make("first")
        assert stop.wait(PATIENCE)
        second = client.begins_to_make("second")
        reader = client.begins("get", "configmaps")
        client.exists("second")  # as long as kubectl takes, beside the proxy
        assert [p.poll() for p in (second, reader)] == [None, None]
        client.proxy.drop()
        for process in (first, second, reader):
            process.communicate(timeout=PATIENCE)
    assert first.returncode != 0  # the others only read so far, and kubectl reads again
    assert not client.exists("first")
    client.makes("third")


def test_the_nth_write_that_is_wanted_is_the_one(client: Client) -> None:
    with client.proxy.stop_at(lambda w: w.name.startswith("nth-"), 2, "after") as stop:
        client.makes("nth-1")
        client.makes("other")
        assert not stop.reached
        process = client.begins_to_make("nth-2")
        assert stop.wait(PATIENCE)
    process.communicate(timeout=PATIENCE)
    assert process.returncode != 0  # the end of the context drops it
    client.makes("nth-3")


def test_answers_are_lost_and_nothing_else_is_held_up(client: Client) -> None:
    with client.proxy.lose_answers(lambda w: w.name.startswith("lost-"), every=2):
        client.makes("lost-1")
        process = client.begins_to_make("lost-2")
        process.communicate(timeout=PATIENCE)
        assert process.returncode != 0
        assert client.exists("lost-2")
        client.does("get", "configmap", "lost-2")


def test_a_watch_streams_through_and_ends_with_its_client(client: Client) -> None:
    watch = client.begins("get", "configmaps", "--watch-only", "-o", "name")
    assert watch.stdout is not None
    try:
        # It shows what happens after it began, so that something must happen until it does.
        for number in itertools.count(1):
            client.makes(f"watched-{number}")
            if select.select([watch.stdout], [], [], 1)[0]:
                break
            assert number < PATIENCE, "the watch shows nothing"
        assert watch.stdout.readline().startswith("configmap/watched-")
    finally:
        watch.kill()
        watch.communicate()


def test_an_api_server_that_is_away_looks_the_same_through_it(client: Client) -> None:
    client.cluster.stop_api_server(kill=True)
    try:
        process = client.begins("get", "configmaps")
        process.communicate(timeout=PATIENCE)
        assert process.returncode != 0
    finally:
        client.cluster.start_api_server()
    client.does("get", "configmaps")
