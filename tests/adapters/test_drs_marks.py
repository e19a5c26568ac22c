"""What a launch reads to know which servers a drill may have touched, and that it misses none."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from leeward_adapters.base import State
from leeward_adapters.drs_sources import DRILL_TAG, drill_subnets, judged, launched_by_drill, mark

pytestmark = pytest.mark.aws

MANY = 12


@pytest.fixture(params=["Nothing", "Version", "Default"])
def writing(request: pytest.FixtureRequest, make_sandbox: Any) -> Any:
    """Many servers whose templates have a history, if UpdateLaunchConfiguration writes one."""
    sandbox = make_sandbox(MANY)
    sandbox.control.backend("drs", {"settings": {"configurationWrites": request.param}})
    for server in sandbox.servers():
        _write(sandbox, server)
    return sandbox


def _write(sandbox: Any, server: str) -> None:
    """What somebody at the console may do at any time; DRS may write the template by it."""
    sandbox.client("drs").update_launch_configuration(sourceServerID=server, copyTags=True)


def _own_reads(sandbox: Any, since: int) -> Counter[str]:
    """Reads that were about one server alone."""
    return Counter(
        call["operation"]
        for call in sandbox.control.calls(since=since)
        if call["operation"] == "GetLaunchConfiguration"
        or (
            call["operation"] == "DescribeLaunchTemplateVersions"
            and "LaunchTemplateId" in call["params"]
        )
    )


def _homes(sandbox: Any) -> set[str]:
    """The subnets into which the servers would be launched now."""
    pages = sandbox.client("ec2").get_paginator("describe_launch_template_versions")
    return {
        version["LaunchTemplateData"]["NetworkInterfaces"][0]["SubnetId"]
        for page in pages.paginate(Versions=["$Default"])
        for version in page["LaunchTemplateVersions"]
    }


def _launch_for_real(sandbox: Any, make_task: Any, execution: str = "orders-2") -> Counter[str]:
    """Prepare and launch all; answers all that was asked meanwhile, but for what was looked at."""
    task = make_task(sandbox, sandbox.servers(), execution=execution)
    task.act("prepare")
    scope = sandbox.scope()
    # As in an operator: what its pass has just seen is not asked again.
    since = scope.now()
    seen = task.adapter.observe(scope, replace(task.step, since=since)).targets
    assert {one.action for one in seen.values()} == {"launch"}
    last = sandbox.control.last_seq()
    step = replace(task.step, since=since)
    task.adapter.act(scope, step, "launch", "call-of-all", task.targets)
    return Counter(call["operation"] for call in sandbox.control.calls(since=last))


def test_a_launch_reads_nothing_of_single_servers_that_were_never_rehearsed(
    writing: Any, make_task: Any
) -> None:
    last = writing.control.last_seq()

    asked = _launch_for_real(writing, make_task)

    assert asked == {"DescribeLaunchTemplateVersions": 1, "StartRecovery": 1}
    assert _own_reads(writing, last) == {}


def test_a_launch_reads_nothing_of_single_servers_whose_drill_was_put_back(
    writing: Any, make_task: Any
) -> None:
    homes, servers = _homes(writing), writing.servers()
    drill = make_task(writing, servers, operation="Test")
    assert {seen.state for seen in drill.run().values()} == {State.DONE}
    last = writing.control.last_seq()

    asked = _launch_for_real(writing, make_task)

    assert _own_reads(writing, last) == {}
    assert asked == {
        "DescribeLaunchTemplateVersions": 1,
        "UpdateLaunchConfiguration": MANY,
        "StartRecovery": 1,
    }
    assert _homes(writing) == homes


def test_a_drill_that_never_launched_and_was_written_over_is_put_back_at_the_cost_of_its_server(
    writing: Any, make_task: Any
) -> None:
    homes, servers = _homes(writing), writing.servers()
    make_task(writing, servers[:1], operation="Test").act("prepare")
    _write(writing, servers[0])
    last = writing.control.last_seq()

    _launch_for_real(writing, make_task)

    assert _homes(writing) == homes
    assert sum(_own_reads(writing, last).values()) <= 1


def test_a_drill_without_its_mark_is_known_by_the_last_launch(writing: Any, make_task: Any) -> None:
    homes, servers = _homes(writing), writing.servers()
    drill = make_task(writing, servers[:1], operation="Test")
    drill.act("prepare")
    drill.act("launch")
    _write(writing, servers[0])
    writing.control.advance(timedelta(hours=1).total_seconds())
    arn = drill.targets[0].arn
    writing.client("drs").untag_resource(resourceArn=arn, tagKeys=[DRILL_TAG])
    last = writing.control.last_seq()

    _launch_for_real(writing, make_task)

    assert _homes(writing) == homes
    assert sum(_own_reads(writing, last).values()) <= 1


def test_a_server_is_marked_before_anything_of_its_drill_and_once_for_a_network(
    sandbox: Any, make_task: Any
) -> None:
    server, _ = sandbox.servers()
    task = make_task(sandbox, [server], operation="Test")
    last = sandbox.control.last_seq()

    task.act("prepare")
    make_task(sandbox, [server], operation="Test", execution="orders-2").act("prepare")

    changes = [
        call["operation"]
        for call in sandbox.control.calls(since=last)
        if not call["operation"].startswith(("Describe", "Get", "AssumeRole"))
    ]
    assert changes[0] == "TagResource"
    assert changes.count("TagResource") == 1
    subnet = task.settings["drillNetwork"]["subnetId"]
    assert drill_subnets(sandbox.server(server)) == (subnet,)


def test_a_mark_keeps_the_newest_networks_and_fits_into_a_tag(sandbox: Any) -> None:
    server, _ = sandbox.servers()
    subnets = [f"subnet-{n:017x}" for n in range(12)]

    for subnet in (*subnets, subnets[5]):
        mark(sandbox.scope(), sandbox.server(server), subnet)

    said = sandbox.server(server)["tags"]
    assert len(said[DRILL_TAG]) <= 256
    assert drill_subnets({"tags": said}) == (subnets[5], *subnets[:5:-1], *subnets[4:1:-1])
    assert said["Name"] == "app-01"


def test_what_is_kept_of_a_server_says_whether_a_drill_launched_it_last(sandbox: Any) -> None:
    drilled, recovered = sandbox.servers()
    sandbox.launch_by_hand([drilled], drill=True)
    sandbox.launch_by_hand([recovered])

    found = [judged(sandbox.server(server)) for server in (drilled, recovered)]

    assert [launched_by_drill(server) for server in found] == [True, False]
