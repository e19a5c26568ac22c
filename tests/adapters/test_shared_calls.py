"""What tasks cost AWS that wait in the same account, and how settings are made for many servers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from leeward_adapters.aws import Aws
from leeward_adapters.base import Observed, Phase, State
from leeward_adapters.crew import Crew

pytestmark = pytest.mark.aws

THERE, HERE = "us-east-1", "us-east-2"
INTERVAL = 600.0
"""Seconds that answers may be old here: longer than any test takes."""


@pytest.fixture
def look(sandbox: Any) -> Callable[[Any], Observed]:
    """A look that may be built on what others were told within the interval."""

    def look(task: Any) -> Observed:
        scope = sandbox.scope()
        step = replace(task.step, since=scope.now() - INTERVAL)
        return task.adapter.observe(scope, step)  # type: ignore[no-any-return]

    return look


def _operations(sandbox: Any, since: int) -> Counter[str]:
    return Counter(call["operation"] for call in sandbox.control.calls(since=since))


def _launched(sandbox: Any, make_task: Any) -> list[Any]:
    """A task for each server, whose launches AWS has taken."""
    tasks = [make_task(sandbox, [server]) for server in sandbox.servers()]
    for task in tasks:
        task.act("launch")
    return tasks


def test_tasks_that_wait_in_one_account_and_region_share_one_question(
    sandbox: Any, make_task: Any, look: Any
) -> None:
    tasks = _launched(sandbox, make_task)
    last = sandbox.control.last_seq()

    for task in (*tasks, *tasks):
        assert {s.state for s in look(task).targets.values()} == {State.RUNNING}

    assert _operations(sandbox, last) == {"DescribeJobs": 1}


def test_a_look_as_of_now_is_never_answered_by_what_was_said_before(
    sandbox: Any, make_task: Any, look: Any
) -> None:
    task = _launched(sandbox, make_task)[0]
    look(task)
    last = sandbox.control.last_seq()

    task.observe()

    assert _operations(sandbox, last) == {"DescribeJobs": 1}


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_action_whose_answer_is_lost_makes_all_answers_too_old(
    sandbox: Any, make_task: Any, look: Any, when: str
) -> None:
    """Else the launch that took effect would be missing from them, and be asked for again."""
    first, second = (make_task(sandbox, [server]) for server in sandbox.servers())
    look(first)
    sandbox.control.add_fault(
        service="drs", operation="StartRecovery", action="drop", when=when, times=1
    )
    with pytest.raises(Exception, match="closed"):
        first.act("launch")

    found = [look(task).targets[task.targets[0].id].state for task in (first, second)]

    assert found == [State.RUNNING if when == "after" else State.NEEDED, State.NEEDED]


def test_launch_settings_make_no_answer_too_old(sandbox: Any, make_task: Any, look: Any) -> None:
    task = make_task(sandbox, sandbox.servers())
    look(task)
    task.act("prepare")
    last = sandbox.control.last_seq()

    assert {seen.action for seen in look(task).targets.values()} == {"launch"}
    assert _operations(sandbox, last) == Counter()


def test_instances_that_start_are_watched_by_their_status_alone(
    sandbox: Any, make_task: Any, look: Any
) -> None:
    servers = sandbox.servers()
    make_task(sandbox, servers).run()
    task = make_task(sandbox, servers, phase=Phase.ACTIVATE)
    task.advance_once()
    look(task)
    sandbox.control.advance(60)
    last = sandbox.control.last_seq()
    scope = sandbox.scope()
    since = scope.now()

    observed = task.adapter.observe(scope, replace(task.step, since=since))
    proved = task.adapter.verify(scope, replace(task.step, since=since))

    assert {seen.state for seen in observed.targets.values()} == {State.RUNNING}
    assert observed.pace < 1
    assert proved == observed
    assert _operations(sandbox, last)["DescribeInstances"] == 0
    assert _operations(sandbox, last)["DescribeInstanceStatus"] == 1


@pytest.mark.parametrize("unplanned", [True, False])
def test_before_a_start_the_other_side_is_asked_once_and_the_rest_is_known(
    sandbox: Any, make_task: Any, unplanned: bool
) -> None:
    servers = sandbox.servers()
    hints = (sandbox.server(s)["sourceProperties"]["identificationHints"] for s in servers)
    origins = {s: hint["awsInstanceID"] for s, hint in zip(servers, hints, strict=True)}
    make_task(sandbox, servers).run()
    task = make_task(sandbox, servers, phase=Phase.ACTIVATE, unplanned=unplanned)
    task.targets = tuple(
        replace(t, attributes={"originInstanceId": origins[t.id]}) for t in task.targets
    )

    def look(scope: Any) -> Counter[tuple[str, str]]:
        last = sandbox.control.last_seq()
        observed = task.adapter.observe(scope, replace(task.step, since=scope.now()))
        assert {seen.action for seen in observed.targets.values()} == {"start"}
        calls = sandbox.control.calls(since=last)
        return Counter((c["region"], c["operation"]) for c in calls if c["service"] != "sts")

    here = {(HERE, "DescribeInstances"): 1, (THERE, "DescribeInstances"): 1}
    assert look(sandbox.scope()) == here
    # Another process did not launch them, and asks DRS what it launched, and when.
    other = Aws(HERE, endpoint_url=sandbox.endpoint)
    unknown = {(HERE, "DescribeRecoveryInstances"): 1, (HERE, "DescribeJobs"): 1}
    scope = other.scope(sandbox.reached(), HERE, recovery=True)
    assert look(scope) == here | unknown
    assert look(scope) == here


def test_an_instance_that_ec2_forgot_does_not_hide_the_others(sandbox: Any, make_task: Any) -> None:
    origin = sandbox.client("ec2", "us-east-1").describe_instances()["Reservations"][0]
    known = origin["Instances"][0]["InstanceId"]
    task = make_task(
        sandbox, [known, "i-0123456789abcdef0"], kind="ec2", phase=Phase.FENCE, region="us-east-1"
    )
    task.act("stop", [known])
    sandbox.control.advance(60)

    found = task.observe().targets

    assert {seen.state for seen in found.values()} == {State.DONE}
    assert found["i-0123456789abcdef0"].reason == "InstanceGone"


def test_settings_of_many_servers_are_made_though_one_fails(
    make_sandbox: Any, make_task: Any
) -> None:
    sandbox = make_sandbox(12)
    servers = sandbox.servers()
    task = make_task(sandbox, servers)
    sandbox.control.add_fault(
        service="drs",
        operation="UpdateLaunchConfiguration",
        params={"sourceServerID": servers[5]},
        action="error",
        code="ValidationException",
        status=400,
    )
    with pytest.raises(ClientError, match="UpdateLaunchConfiguration"):
        task.act("prepare")
    others = [server for server in servers if server != servers[5]]
    task.act("prepare", others)

    made = Counter(
        call["params"]["sourceServerID"]
        for call in sandbox.calls("UpdateLaunchConfiguration")
        if not call["error"]
    )
    assert made == dict.fromkeys(others, 1)


def test_settings_are_made_though_aws_throttles(make_sandbox: Any, make_task: Any) -> None:
    sandbox = make_sandbox(12)
    task = make_task(sandbox, sandbox.servers())
    sandbox.control.add_fault(
        service="drs",
        operation="UpdateLaunchConfiguration",
        action="error",
        code="ThrottlingException",
        status=429,
        times=3,
    )

    assert task.act("prepare") == "12 prepared"

    calls = sandbox.calls("UpdateLaunchConfiguration")
    assert Counter(bool(call["error"]) for call in calls) == {True: 3, False: 12}


def test_a_crew_bounds_what_is_under_way_and_begins_no_more_after_an_error() -> None:
    crew, begun = Crew(helpers=4, at_once=2), []

    def call(item: int) -> None:
        begun.append(item)
        if item >= 3:
            raise LookupError(str(item))

    with pytest.raises(LookupError, match="3"):
        crew.each("here", call, range(100))

    assert {0, 1, 2, 3} <= set(begun)
    assert len(begun) <= 6
    crew.each("here", begun.append, [7])
    assert begun[-1] == 7
