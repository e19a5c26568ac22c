"""Leadership on a real API server: one leads, and who does so no longer ends itself."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from leeward.engine.lease import FENCED_EXIT
from leeward_sandbox.cluster import Cluster
from leeward_sandbox.cluster.ports import LOOPBACK, free_ports

pytestmark = pytest.mark.cluster
NAMESPACE = "leeward-system"
PATIENCE = 60.0
SHORT, LONG = 3.0, 10.0
"""Seconds of Leases that are to run out, and of those that are to be kept."""


class Candidate:
    """A process that wants to lead (`candidate.py`)."""

    def __init__(
        self, cluster: Cluster, name: str, identity: str, duration: float, floor: int
    ) -> None:
        program = Path(__file__).with_name("candidate.py")
        given = [cluster.kubeconfig("admin"), name, identity, duration, floor]
        self._process = subprocess.Popen(
            [sys.executable, str(program), *map(str, given)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def says(self) -> str:
        """The next line that it writes."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        assert ready, "the candidate says nothing"
        return self._process.stdout.readline().strip()

    def is_silent(self) -> bool:
        """Whether it has not got the Lease so far."""
        assert self._process.stdout is not None
        return not select.select([self._process.stdout], [], [], 0)[0]

    def tell(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def ends(self) -> tuple[int, str]:
        """Exit status and last words."""
        # Not communicate: the end of its input would be a command.
        status = self._process.wait(PATIENCE)
        assert self._process.stderr is not None
        return status, self._process.stderr.read()

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


Start = Callable[..., Candidate]


@pytest.fixture
def start(cluster: Cluster, name: str) -> Iterator[Start]:
    """Starts candidates for this test's Lease."""
    started: list[Candidate] = []

    def begin(identity: str, duration: float = LONG, *, floor: int = 0) -> Candidate:
        started.append(Candidate(cluster, name, identity, duration, floor))
        return started[-1]

    yield begin
    for candidate in started:
        candidate.close()


def lease_of(cluster: Cluster, name: str) -> dict[str, Any]:
    """The Lease's spec; empty where there is none."""
    done = cluster.kubectl("get", "lease", name, "-n", NAMESPACE, "-o", "json", check=False)
    spec: dict[str, Any] = json.loads(done.stdout)["spec"] if done.returncode == 0 else {}
    return spec


def until(look: Callable[[], Any]) -> Any:
    """The first true answer of `look`."""
    end = time.monotonic() + PATIENCE
    while not (answer := look()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return answer


def test_of_two_candidates_one_leads_for_as_long_as_it_renews(
    cluster: Cluster, name: str, start: Start
) -> None:
    first = start("a")
    assert first.says() == "1"
    second = start("b")
    renewals: set[str] = set()

    def often() -> bool:
        renewals.add(lease_of(cluster, name)["renewTime"])
        return len(renewals) > 10  # longer than one validity: 7.5 of them are one

    until(often)
    assert second.is_silent()
    assert lease_of(cluster, name)["holderIdentity"] == "a"
    first.tell("effect")
    assert first.says() == "may act"


def test_a_released_lease_is_free_at_once(cluster: Cluster, name: str, start: Start) -> None:
    first = start("a", 300)
    assert first.says() == "1"
    first.tell("release")
    assert first.ends()[0] == 0
    assert lease_of(cluster, name)["holderIdentity"] == ""
    assert start("b").says() == "2"


def test_an_epoch_is_above_every_floor_and_every_earlier_one(
    cluster: Cluster, name: str, start: Start
) -> None:
    first = start("a", floor=41)
    assert first.says() == "42"
    first.tell("release")
    first.ends()
    assert start("b", floor=7).says() == "43"
    assert lease_of(cluster, name)["leaseTransitions"] == 43


def test_a_lost_lease_cannot_bring_an_old_epoch_back(
    cluster: Cluster, name: str, start: Start
) -> None:
    first = start("a")
    assert first.says() == "1"
    first.tell("release")
    first.ends()
    cluster.kubectl("delete", "lease", name, "-n", NAMESPACE)
    assert start("b", floor=1).says() == "2"


def test_a_leader_whose_lease_is_deleted_goes_on_with_its_epoch(
    cluster: Cluster, name: str, start: Start
) -> None:
    leader = start("a", floor=4)
    assert leader.says() == "5"
    cluster.kubectl("delete", "lease", name, "-n", NAMESPACE)
    until(lambda: lease_of(cluster, name).get("leaseTransitions") == 5)
    leader.tell("effect")
    assert leader.says() == "may act"


def test_a_leader_without_api_server_ends_itself(cluster: Cluster, name: str, start: Start) -> None:
    leader = start("a", SHORT)
    assert leader.says() == "1"
    cluster.stop_api_server(kill=True)
    try:
        status, words = leader.ends()
    finally:
        cluster.start_api_server()
    assert status == FENCED_EXIT
    assert "a ends itself: the Lease could not be renewed in time" in words


def test_a_leader_with_a_stuck_event_loop_ends_itself(start: Start) -> None:
    leader = start("a", SHORT)
    assert leader.says() == "1"
    leader.tell("block")
    status, words = leader.ends()
    assert (status, "could not be renewed in time" in words) == (FENCED_EXIT, True)


def test_a_leader_that_stood_still_ends_itself_when_it_wakes(start: Start) -> None:
    first = start("a", SHORT)
    assert first.says() == "1"
    first.signal(signal.SIGSTOP)
    second = start("b")
    assert second.says() == "2"
    first.tell("effect")
    first.signal(signal.SIGCONT)
    status, words = first.ends()
    assert (status, "a ends itself" in words) == (FENCED_EXIT, True)
    second.tell("effect")
    assert second.says() == "may act"


@pytest.mark.parametrize("year", [1990, 2190])
def test_another_holders_lease_is_judged_by_how_long_it_was_seen_whatever_its_clock_said(
    cluster: Cluster, name: str, start: Start, year: int
) -> None:
    cluster.apply(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "holderIdentity": "another",
                "leaseDurationSeconds": 3,
                "renewTime": f"{year}-01-01T00:00:00.000000Z",
            },
        }
    )
    seen = time.monotonic()
    candidate = start("a")
    assert candidate.says() == "1"
    assert time.monotonic() - seen >= 3


def test_a_restarted_container_leads_at_once_and_its_predecessor_ends_itself(
    start: Start,
) -> None:
    first = start("pod-1", 30)
    assert first.says() == "1"
    second = start("pod-1", 30)
    assert second.says() == "2"
    status, words = first.ends()
    assert status == FENCED_EXIT
    assert "the Lease is at epoch 2, this process at 1" in words


def test_a_standby_ends_on_sigterm_and_leaves_the_lease_alone(
    cluster: Cluster, name: str, tmp_path: Path
) -> None:
    cluster.kubectl("create", "namespace", name)
    cluster.apply(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "leeward", "namespace": name},
            "spec": {"holderIdentity": "another", "leaseDurationSeconds": 3600},
        }
    )
    (port,) = free_ports(1)
    settings = {
        "LEEWARD_BASE_REGION": "us-east-2",
        "LEEWARD_NAMESPACE": name,
        "LEEWARD_HEALTH_ADDRESS": LOOPBACK,
        "LEEWARD_HEALTH_PORT": str(port),
        "KUBECONFIG": str(cluster.kubeconfig("admin")),
    }
    log = tmp_path / "log"
    with log.open("w") as output, subprocess.Popen(
        [sys.executable, "-m", "leeward.cli.main", "operator"],
        env={**os.environ, **settings}, stdout=output, stderr=output,
    ) as standby:  # fmt: skip
        try:
            until(lambda: role(port) == "standby")
            standby.terminate()
            assert standby.wait(PATIENCE) == 0, log.read_text()
        finally:
            standby.kill()
    done = cluster.kubectl("get", "lease", "leeward", "-n", name, "-o", "json")
    assert json.loads(done.stdout)["spec"]["holderIdentity"] == "another"
    assert "Traceback" not in log.read_text()


def role(port: int) -> str:
    """What /readyz of an operator says it is; empty while it does not answer."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=PATIENCE)
    try:
        connection.request("GET", "/readyz")
        return str(json.load(connection.getresponse())["role"])
    except ConnectionError:
        return ""
    finally:
        connection.close()
