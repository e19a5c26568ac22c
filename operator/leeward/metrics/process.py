"""What the parts of the operator's process say as values of gauges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from leeward.engine.lease import Lease
from leeward.engine.pool import Pool
from leeward.engine.supervisor import Supervisor
from leeward.metrics import definitions as d
from leeward.metrics.estate import Sample
from leeward.metrics.meters import OWN
from leeward_adapters.aws import Aws

_ENDPOINT = "all"


def of_lease(lease: Lease) -> Iterator[Sample]:
    """Whether this replica leads."""
    yield Sample(d.LEADER, (), lease.epoch > 0)
    yield Sample(d.EPOCH, (), lease.epoch)


def of_pool(name: str, pool: Pool) -> Iterator[Sample]:
    """How much waits in threads, and for them."""
    yield Sample(d.QUEUE, (name,), pool.waiting)
    yield Sample(d.BUSY, (name,), pool.busy)


def of_supervisors(supervisors: Mapping[str, Supervisor], now: datetime) -> Iterator[Sample]:
    """What gets passes, by kind, and how fresh the lists are."""
    for kind, supervisor in supervisors.items():
        yield Sample(d.SUPERVISED, (kind,), len(supervisor.uids))
        age = supervisor.listed_ago
        if age is not None:
            yield Sample(d.RESYNCED, (kind,), now.timestamp() - age)


def of_aws(aws: Aws) -> Iterator[Sample]:
    """Which circuits are open."""
    for circuit in aws.circuits():
        account = circuit.account_id or (_ENDPOINT if circuit.of_endpoint else OWN)
        yield Sample(d.CIRCUIT, (account, circuit.region, circuit.service), circuit.is_open)
