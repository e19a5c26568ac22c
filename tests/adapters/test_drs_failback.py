"""There and back again by DRS: reversed, failed back, protected again, and retired."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from leeward_adapters.base import ErrorClass, IrreversibleError, Phase, State
from leeward_adapters.discovery import discover
from leeward_adapters.errors import classify
from leeward_adapters.registry import adapter

pytestmark = pytest.mark.aws

P, R = "us-east-1", "us-east-2"
SETTLED = 300


@dataclass
class Estate:
    """Servers of the sandbox on their way there and back."""

    sandbox: Any
    make_task: Any
    tasks: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def servers(self) -> list[str]:
        """Ids, the same all the way; known while the recovery Region is silent."""
        return list(self.sandbox.servers())

    def task(self, operation: str, phase: Phase, *ids: str) -> Any:
        home = operation in {"Failback", "Cleanup"}
        made = self.make_task(
            self.sandbox,
            ids or self.servers,
            operation=operation,
            phase=phase,
            settings={},
            region=P if home else R,
            source_region=R if home else P,
        )
        if operation == "Failover":
            made.targets = tuple(
                replace(t, attributes={"originInstanceId": self.origin(t.id)}) for t in made.targets
            )
        self.tasks[f"{operation} {phase}"] = made
        return made

    def run(self, operation: str, *phases: Phase) -> dict[str, Any]:
        proof: dict[str, Any] = {}
        for phase in phases:
            last = self.sandbox.control.last_seq()
            proof = self.task(operation, phase).run(600)
            self.check_permissions(phase, last)
            assert {s.state for s in proof.values()} == {State.DONE}, proof
        return proof

    def check_permissions(self, phase: Phase, since: int) -> None:
        """What was called is what the adapter says that it needs."""
        calls = self.sandbox.control.calls(since=since)
        named = {"service-quotas": "servicequotas"}
        used = {
            f"{named.get(c['service'], c['service'])}:{c['operation']}"
            for c in calls
            if c["service"] != "sts"
        }
        permissions = adapter("drs").permissions
        assert used <= permissions["Read"] | permissions[str(phase)]

    def origin(self, server: str) -> str:
        """The instance that the server replicates, as discovery notes it."""
        hints = self.sandbox.server(server)["sourceProperties"]["identificationHints"]
        return str(hints["awsInstanceID"])

    def fail_over(self) -> None:
        self.run("Failover", Phase.INSTANTIATE, Phase.ACTIVATE)
        self.sandbox.control.advance(SETTLED)

    def reprotect(self) -> None:
        self.run("Reprotect", Phase.REPLICATE)

    def fence(self, region: str, instances: list[str]) -> None:
        self.sandbox.client("ec2", region).stop_instances(InstanceIds=instances)
        self.sandbox.control.advance(60)

    def fail_back(self) -> None:
        self.fence(R, list(self.recovered().values()))
        self.run("Failback", Phase.INSTANTIATE, Phase.ACTIVATE)
        self.sandbox.control.advance(SETTLED)

    def protect_again(self) -> None:
        self.run("Failback", Phase.REPLICATE)

    def recovered(self, region: str = R) -> dict[str, str]:
        """DRS's recovery instances by source server."""
        pages = self.drs(region).get_paginator("describe_recovery_instances").paginate(filters={})
        found = [one for page in pages for one in page["items"]]
        return {i["sourceServerID"]: i["ec2InstanceID"] for i in found}

    def reversed(self) -> dict[str, dict[str, Any]]:
        """Reversed servers in P, by the server whose instance they protect."""
        items = self.drs(P).describe_source_servers(filters={})["items"]
        return {s["reversedDirectionSourceServerArn"].rpartition("/")[2]: s for s in items}

    def at_home(self) -> dict[str, str]:
        """Instances that were launched in P, by the server of R that stands for them."""
        launched = self.recovered(P)
        by_server = {b1: a2["sourceServerID"] for b1, a2 in self.reversed().items()}
        return {b1: launched[a2] for b1, a2 in by_server.items() if a2 in launched}

    def drs(self, region: str = R) -> Any:
        return self.sandbox.client("drs", region)

    def machine(self, instance: str, region: str) -> Any:
        answer = self.sandbox.client("ec2", region).describe_instances(InstanceIds=[instance])
        return answer["Reservations"][0]["Instances"][0]

    def state(self, instance: str, region: str) -> str:
        return str(self.machine(instance, region)["State"]["Name"])

    def mutations(self, since: int = 0) -> list[str]:
        calls = self.sandbox.control.calls(since=since, mutating=True)
        return [c["operation"] for c in calls if c["operation"] != "AssumeRole"]


@pytest.fixture
def estate(sandbox: Any, make_task: Any) -> Estate:
    # Copies of minutes, not of hours: what is tested are their states, which stay the same.
    sandbox.control.backend("drs", {"settings": {"syncMbitPerSecond": 20_000}})
    return Estate(sandbox, make_task)


@pytest.fixture
def away(estate: Estate) -> Estate:
    """Failed over, and protected by nothing."""
    estate.fail_over()
    return estate


@pytest.fixture
def back(away: Estate) -> Estate:
    """Failed over, reprotected and failed back; not protected again."""
    away.reprotect()
    away.fail_back()
    return away


def _take_profile(estate: Estate, instance: str) -> None:
    ec2 = estate.sandbox.client("ec2")
    (one,) = ec2.describe_iam_instance_profile_associations(
        Filters=[{"Name": "instance-id", "Values": [instance]}]
    )["IamInstanceProfileAssociations"]
    ec2.disassociate_iam_instance_profile(AssociationId=one["AssociationId"])


def _terminate(estate: Estate, instances: list[str]) -> None:
    estate.drs().terminate_recovery_instances(recoveryInstanceIDs=instances)
    estate.sandbox.control.advance(600)


def _serve(estate: Estate) -> None:
    estate.protect_again()
    estate.sandbox.client("ec2").start_instances(InstanceIds=list(estate.recovered().values()))
    estate.sandbox.control.advance(60)


def _stop_home(estate: Estate) -> None:
    estate.protect_again()
    estate.fence(P, list(estate.at_home().values()))


# -- Reprotect --------------------------------------------------------------------------------


def test_what_was_recovered_is_protected_in_the_primary_region(away: Estate) -> None:
    first, second = away.servers
    task = away.task("Reprotect", Phase.REPLICATE)

    task.advance_once()
    waiting = task.seen(first)
    proof = task.run(600)

    assert task.sent == [("reverse", [first, second])]
    assert (waiting.state, "INITIATING" in waiting.message) == (State.RUNNING, True)
    servers = away.reversed()
    assert {s: seen.reference for s, seen in proof.items()} == {
        s: servers[s]["sourceServerID"] for s in (first, second)
    }
    whole = "CONTINUOUS, replicatedStorageBytes 100 %, rescannedStorageBytes 100 %, lag P0D"
    assert whole in proof[first].message
    for server in servers.values():
        assert server["replicationDirection"] == "FAILBACK"
        info = server["dataReplicationInfo"]
        assert info["dataReplicationState"] == "CONTINUOUS"


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_reverses_nothing_twice(away: Estate, when: str) -> None:
    first = away.servers[0]
    task = away.task("Reprotect", Phase.REPLICATE, first)
    task.pre_states[first] = task.seen(first).pre_state
    away.sandbox.control.add_fault(
        service="drs", operation="ReverseReplication", action="drop", when=when, times=1
    )

    with pytest.raises(BotoCoreError):
        task.act("reverse", [first])

    assert len(away.sandbox.calls("ReverseReplication")) == 1  # botocore did not repeat it
    seen = task.seen(first)
    assert seen.state is (State.RUNNING if when == "after" else State.NEEDED)
    task.run(600)
    done = [c for c in away.sandbox.calls("ReverseReplication") if c["executed"]]
    assert len(done) == 1
    assert len(away.reversed()) == 1


def _throttled(estate: Estate, service: str, operation: str, nth: int) -> None:
    estate.sandbox.control.add_fault(
        service=service,
        operation=operation,
        action="error",
        code="ThrottlingException",
        status=429,
        nth=nth,
    )


@pytest.mark.parametrize(("nth", "taken", "kind"), [(1, 0, "TRANSIENT"), (2, 1, "IN_DOUBT")])
def test_a_batch_of_which_a_part_was_reversed_is_in_doubt(
    away: Estate, nth: int, taken: int, kind: str
) -> None:
    task = away.task("Reprotect", Phase.REPLICATE)
    task.pre_states = {t: seen.pre_state for t, seen in task.observe().targets.items()}
    _throttled(away, "drs", "ReverseReplication", nth)

    with pytest.raises((BotoCoreError, ClientError)) as failed:
        task.act("reverse")

    assert classify(failed.value).kind is ErrorClass[kind]
    assert "ThrottlingException" in str(failed.value)
    assert len(away.reversed()) == taken


@pytest.mark.parametrize(("nth", "taken", "kind"), [(1, 0, "TRANSIENT"), (2, 1, "IN_DOUBT")])
def test_a_batch_of_which_a_part_was_kept_is_in_doubt(
    back: Estate, nth: int, taken: int, kind: str
) -> None:
    back.protect_again()
    task = back.task("Cleanup", Phase.CLEANUP)
    assert {seen.action for seen in task.observe().targets.values()} == {"keep"}
    _throttled(back, "ec2", "CreateSnapshots", nth)

    with pytest.raises((BotoCoreError, ClientError)) as failed:
        task.act("keep")

    assert classify(failed.value).kind is ErrorClass[kind]
    assert len([c for c in back.sandbox.calls("CreateSnapshots") if c["executed"]]) == taken


def test_an_instance_that_is_not_ready_keeps_no_other_waiting(away: Estate) -> None:
    first, second = away.servers
    task = away.task("Reprotect", Phase.REPLICATE)
    task.pre_states = {t: seen.pre_state for t, seen in task.observe().targets.items()}
    away.fence(R, [away.recovered()[first]])

    with pytest.raises(ClientError, match="not finished initializing"):
        task.act("reverse")

    assert list(away.reversed()) == [second]
    assert task.seen(second).state is State.RUNNING


@pytest.mark.parametrize(
    ("spoil", "reason", "remedy"),
    [
        (lambda e, i: e.fence(R, [i]), "InstanceStopped", "start it"),
        (_take_profile, "NoInstanceProfile", "attach one whose role"),
        (lambda e, i: _terminate(e, [i]), "NoRecoveryInstance", "recover it first"),
    ],
    ids=["stopped", "no profile", "gone"],
)
def test_what_cannot_be_reversed_is_refused(
    away: Estate, spoil: Callable[[Estate, str], None], reason: str, remedy: str
) -> None:
    first, second = away.servers
    spoil(away, away.recovered()[first])
    task = away.task("Reprotect", Phase.REPLICATE)

    seen = task.observe().targets

    assert (seen[first].state, seen[first].reason) == (State.REFUSED, reason)
    assert remedy in seen[first].message
    assert away.sandbox.account in seen[first].message
    assert seen[second].action == "reverse"


def test_a_copy_that_somebody_ends_is_told_and_a_retry_begins_it_again(away: Estate) -> None:
    first = away.servers[0]
    task = away.task("Reprotect", Phase.REPLICATE, first)
    task.advance_once()
    away.sandbox.control.advance(1200)
    away.drs(P).stop_replication(sourceServerID=away.reversed()[first]["sourceServerID"])

    seen = task.run()[first]

    assert (seen.state, seen.reason) == (State.FAILED, "ReplicationEnded")
    task.next_attempt()
    assert task.run(600)[first].state is State.DONE


def test_no_more_is_reversed_than_the_primary_region_takes(
    away: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leeward_adapters.drs_reverse.MOST_REPLICATING", 1)
    task = away.task("Reprotect", Phase.REPLICATE)
    assert task.observe().capacity == 1
    task.pre_states = {t: seen.pre_state for t, seen in task.observe().targets.items()}
    task.act("reverse", [away.servers[0]])
    observed = task.observe()
    assert (observed.capacity, P in observed.capacity_reason) == (0, True)


def test_continuous_is_not_believed_before_there_is_a_point_in_time(back: Estate) -> None:
    first = back.servers[0]
    task = back.task("Failback", Phase.REPLICATE, first)
    task.advance_once()
    # What DRS says before the rescan has begun: all of what was there before is there.
    where = {"account": back.sandbox.account, "region": R, "sourceServerID": first}
    at_once = {"state": "CONTINUOUS", "lag": "PT0S", "snapshots": False}
    back.sandbox.control.backend("drs", {**where, **at_once})

    seen = task.seen(first)

    assert (seen.state, "no point in time of it yet" in seen.message) == (State.RUNNING, True)
    retired = back.task("Cleanup", Phase.CLEANUP, first).observe().targets[first]
    assert (retired.state, retired.reason) == (State.REFUSED, "NotProtected")
    assert "no point in time" in retired.message
    back.sandbox.control.backend("drs", {**where, "state": "CONTINUOUS", "lag": "PT0S"})
    back.sandbox.control.advance(1800)
    assert task.seen(first).state is State.DONE


def test_the_way_back_ends_whatever_drs_counts_as_rescanned(away: Estate) -> None:
    away.sandbox.control.backend("drs", {"settings": {"rescannedBytes": "Pending"}})
    away.reprotect()
    (disk, *_) = away.reversed()[away.servers[0]]["dataReplicationInfo"]["replicatedDisks"]
    assert disk["rescannedStorageBytes"] == 0
    away.fail_back()
    away.protect_again()
    assert {a["replicationState"] for a in _discovered(away.sandbox).values()} == {"CONTINUOUS"}
    away.run("Cleanup", Phase.CLEANUP)


# -- Failback ---------------------------------------------------------------------------------


def test_a_failback_launches_stopped_in_the_primary_region_and_starts(away: Estate) -> None:
    away.reprotect()
    b2 = away.recovered()
    away.fence(R, list(b2.values()))
    task = away.task("Failback", Phase.INSTANTIATE)
    last = away.sandbox.control.last_seq()

    proof = task.run()

    assert [action for action, _ in task.sent] == ["prepare", "launch"]
    a3 = away.at_home()
    assert {s: seen.reference for s, seen in proof.items()} == a3
    assert {away.state(i, P) for i in a3.values()} == {"stopped"}
    calls = away.sandbox.control.calls(since=last)
    assert {c["region"] for c in calls if c["service"] != "sts"} == {P}
    assert away.sandbox.calls("StartRecovery")[-1]["params"]["isDrill"] is False
    (job,) = away.drs(P).describe_jobs(filters={})["items"]
    assert job["tags"]["leeward:task"] == task.token

    started = away.task("Failback", Phase.ACTIVATE)
    assert {s.reference for s in started.run().values()} == set(a3.values())
    assert {away.state(i, P) for i in a3.values()} == {"running"}
    assert {away.state(i, R) for i in b2.values()} == {"stopped"}
    started.undo()
    away.sandbox.control.advance(60)
    assert all(started.is_back(s) for s in away.servers)


def test_launch_settings_of_the_other_region_s_network_stay_there(away: Estate) -> None:
    first = away.servers[0]
    away.reprotect()
    away.fence(R, list(away.recovered().values()))
    b2 = away.machine(away.recovered()[first], R)
    task = away.task("Failback", Phase.INSTANTIATE, first)
    of_recovery = {"subnetId": b2["SubnetId"], "privateIpAddress": b2["PrivateIpAddress"]}
    settings = {**of_recovery, "instanceType": "c5.large"}
    task.targets = tuple(replace(t, settings=settings) for t in task.targets)

    assert task.run()[first].state is State.DONE

    a3 = away.machine(away.at_home()[first], P)
    assert a3["InstanceType"] == "c5.large"
    assert a3["SubnetId"] != b2["SubnetId"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_launches_nothing_twice(away: Estate, when: str) -> None:
    away.reprotect()
    away.fence(R, list(away.recovered().values()))
    task = away.task("Failback", Phase.INSTANTIATE)
    task.advance_once()
    before = len(away.sandbox.calls("StartRecovery"))
    away.sandbox.control.add_fault(
        service="drs", operation="StartRecovery", action="drop", when=when, times=1
    )

    with pytest.raises(BotoCoreError):
        task.act("launch")

    wanted = State.RUNNING if when == "after" else State.NEEDED
    assert {s.state for s in task.observe().targets.values()} == {wanted}
    task.run()
    done = [c for c in away.sandbox.calls("StartRecovery")[before:] if c["executed"]]
    assert len(done) == 1


def test_what_was_failed_back_already_is_adopted(back: Estate) -> None:
    a3 = back.at_home()
    last = back.sandbox.control.last_seq()

    proof = back.task("Failback", Phase.INSTANTIATE).run()

    assert {(s.state, s.reason) for s in proof.values()} == {(State.DONE, "Adopted")}
    assert {s: seen.reference for s, seen in proof.items()} == a3
    assert back.mutations(last) == []


def test_without_a_reprotect_there_is_nothing_to_fail_back_from(away: Estate) -> None:
    for phase in (Phase.INSTANTIATE, Phase.ACTIVATE):
        proof = away.task("Failback", phase).run()
        assert {(s.state, s.reason) for s in proof.values()} == {(State.REFUSED, "NotReversed")}
    assert away.recovered(P) == {}


def test_a_copy_that_is_not_whole_is_not_launched(away: Estate) -> None:
    first = away.servers[0]
    task = away.task("Reprotect", Phase.REPLICATE)
    task.advance_once()
    a2 = away.reversed()[first]["sourceServerID"]
    where = {"account": away.sandbox.account, "region": P, "sourceServerID": a2}
    away.sandbox.control.backend("drs", {**where, "state": "RESCAN", "snapshots": True})

    proof = away.task("Failback", Phase.INSTANTIATE).run()

    assert (proof[first].state, proof[first].reason) == (State.REFUSED, "NotSynchronised")
    seen = "RESCAN, replicatedStorageBytes 100 %, rescannedStorageBytes 40 %"
    told = (
        seen,
        "would lose what was written since the failover",
        f"`accept-data-loss` of {first}",
    )
    assert all(word in proof[first].message for word in told), proof[first].message
    assert proof[away.servers[1]].reason == "NeverSynchronised"
    accepted = away.task("Failback", Phase.INSTANTIATE, first)
    accepted.accepted = frozenset(away.servers)
    assert accepted.run()[first].state is State.DONE
    assert [action for action, _ in accepted.sent] == ["prepare", "launch"]


def test_an_instance_that_was_failed_back_is_replaced_only_on_request(back: Estate) -> None:
    first, second = back.servers
    a3 = back.at_home()
    task = back.tasks["Failback Instantiate"]
    task.sent.clear()
    task.launch_anew(first)

    proof = task.run()

    assert [action for action, _ in task.sent] == ["snapshot", "relaunch"]
    after = back.at_home()
    assert after[first] != a3[first]
    assert (after[second], proof[first].reason) == (a3[second], "Relaunched")
    kept = back.sandbox.client("ec2", P).describe_snapshots(
        OwnerIds=["self"], Filters=[{"Name": "tag:leeward:task", "Values": [task.token]}]
    )["Snapshots"]
    assert kept


def _into_source(estate: Estate, *, tagged: bool) -> list[str]:
    """DRS in P launches what comes back into what it came from; answers those instances."""
    estate.drs(P).create_launch_configuration_template(launchIntoSourceInstance=True)
    hints = [estate.sandbox.server(s)["sourceProperties"] for s in estate.servers]
    originals = [h["identificationHints"]["awsInstanceID"] for h in hints]
    estate.fence(P, originals)
    if tagged:
        _allow_launches_into(estate, originals)
    return originals


def _allow_launches_into(estate: Estate, instances: list[str]) -> None:
    tag = {"Key": "AWSDRS", "Value": "AllowLaunchingIntoThisInstance"}
    estate.sandbox.client("ec2", P).create_tags(Resources=instances, Tags=[tag])


def _give_profiles(estate: Estate, instances: list[str]) -> None:
    estate.sandbox.client("iam", P).create_instance_profile(InstanceProfileName="home")
    for instance in instances:
        estate.sandbox.client("ec2", P).associate_iam_instance_profile(
            InstanceId=instance, IamInstanceProfile={"Name": "home"}
        )


def _way_back(estate: Estate) -> dict[str, str]:
    """Readiness's words about launches into instances."""
    targets = estate.task("Reprotect", Phase.REPLICATE, estate.servers[0]).targets
    found = adapter("drs").readiness(estate.sandbox.scope(), targets)
    return {f.reason: f.message for f in found if "Into" in f.reason}


def test_what_drs_would_not_reverse_is_refused_before_it_is_asked(away: Estate) -> None:
    original, _ = _into_source(away, tagged=False)
    last = away.sandbox.control.last_seq()

    proof = away.task("Reprotect", Phase.REPLICATE).run()

    reasons = {(s.state, s.reason) for s in proof.values()}
    assert reasons == {(State.REFUSED, "LaunchIntoNotAllowed")}
    message = proof[away.servers[0]].message
    told = (
        original,
        "AWSDRS=AllowLaunchingIntoThisInstance",
        away.sandbox.account,
        P,
        "Switch off",
    )
    assert all(word in message for word in told), message
    assert away.mutations(last) == []
    assert original in _way_back(away)["LaunchIntoNotAllowed"]


@pytest.mark.parametrize("said_by", ["the server", "the account"])
def test_a_failback_writes_over_no_instance(
    away: Estate, said_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leeward_adapters.drs_into.FRESH", 0.0)  # it changes right before
    if said_by == "the account":  # DRS sets it when it launches, whatever the server says
        away.reprotect()
        originals = _into_source(away, tagged=True)
    else:
        originals = _into_source(away, tagged=True)
        away.reprotect()
        (template,) = away.drs(P).describe_launch_configuration_templates()["items"]
        away.drs(P).update_launch_configuration_template(
            launchConfigurationTemplateID=template["launchConfigurationTemplateID"],
            launchIntoSourceInstance=False,
        )
    away.fence(R, list(away.recovered().values()))
    last = away.sandbox.control.last_seq()

    proof = away.task("Failback", Phase.INSTANTIATE).run()

    reasons = {(s.state, s.reason) for s in proof.values()}
    assert reasons == {(State.REFUSED, "LaunchesIntoInstance")}
    assert away.mutations(last) == []
    into = originals[0] if said_by == "the server" else "the instance that it came from"
    assert into in proof[away.servers[0]].message
    assert into in _way_back(away)["LaunchesIntoInstance"]


def test_what_was_launched_into_the_original_by_hand_is_protected_again(away: Estate) -> None:
    away.reprotect()
    away.fence(R, list(away.recovered().values()))
    hints = {s: away.sandbox.server(s)["sourceProperties"] for s in away.servers}
    originals = {s: h["identificationHints"]["awsInstanceID"] for s, h in hints.items()}
    away.fence(P, list(originals.values()))
    _allow_launches_into(away, list(originals.values()))
    back = {b1: a2["sourceServerID"] for b1, a2 in away.reversed().items()}
    for b1, a2 in back.items():
        away.drs(P).update_launch_configuration(
            sourceServerID=a2,
            copyTags=False,
            launchIntoInstanceProperties={"launchIntoEC2InstanceID": originals[b1]},
        )
    away.drs(P).start_recovery(sourceServers=[{"sourceServerID": a2} for a2 in back.values()])
    away.sandbox.control.advance(900)
    assert away.at_home() == originals  # the same ids as before
    away.sandbox.control.advance(SETTLED)
    for server in away.servers:  # they seem to be protected, and it is what was there before
        where = {"account": away.sandbox.account, "region": R, "sourceServerID": server}
        away.sandbox.control.backend("drs", {**where, "state": "CONTINUOUS", "lag": "PT0S"})
    early = away.task("Cleanup", Phase.CLEANUP).run()
    assert {s.reason for s in early.values()} == {"NotProtected"}
    assert {"does not protect" in s.message for s in early.values()} == {True}
    _give_profiles(away, list(originals.values()))

    task = away.task("Failback", Phase.REPLICATE)
    proof = task.run(600)

    assert [action for action, _ in task.sent] == ["reverse"]
    assert {s.state for s in proof.values()} == {State.DONE}
    away.run("Cleanup", Phase.CLEANUP)


# -- protected again --------------------------------------------------------------------------


def test_the_first_server_protects_again_what_was_failed_back(back: Estate) -> None:
    first = back.servers[0]
    task = back.task("Failback", Phase.REPLICATE)

    task.advance_once()
    waiting = task.seen(first)
    proof = task.run(600)

    assert "RESCAN" in waiting.message or "CONTINUOUS" in waiting.message
    assert waiting.state is State.RUNNING
    assert {s: seen.reference for s, seen in proof.items()} == {s: s for s in back.servers}
    hints = back.sandbox.server(first)["sourceProperties"]["identificationHints"]
    assert hints["awsInstanceID"] == back.at_home()[first]
    assert back.run("Failback", Phase.REPLICATE)  # once more: nothing is sent
    assert len(back.sandbox.calls("ReverseReplication")) == 4


@pytest.mark.parametrize("counts", ["Compared", "Pending"])
def test_continuous_is_not_believed_before_the_rescan_has_ended(back: Estate, counts: str) -> None:
    settings = {"rescanMbitPerSecond": 500, "rescannedBytes": counts}
    back.sandbox.control.backend("drs", {"settings": settings})
    first = back.servers[0]
    task = back.task("Failback", Phase.REPLICATE, first)
    task.advance_once()
    early = []
    for _ in range(240):
        back.sandbox.control.advance(30)
        seen = task.seen(first)
        if seen.state is State.DONE:
            break
        early.append("CONTINUOUS" in seen.message)
    assert seen.state is State.DONE
    assert any(early)


# -- a second round without a clean-up --------------------------------------------------------


def test_a_second_failover_does_not_take_the_first_one_s_instance_for_its_own(
    back: Estate,
) -> None:
    back.protect_again()
    old = back.recovered()
    drill = back.make_task(back.sandbox, back.servers, operation="Test").run()
    assert {s.reason for s in drill.values()} == {"RecoveryInstanceStale"}
    warned = adapter("drs").readiness(
        back.sandbox.scope(), back.task("Failover", Phase.INSTANTIATE).targets
    )
    assert {f.reason for f in warned} == {"RecoveryInstanceStale"}

    task = back.task("Failover", Phase.INSTANTIATE)
    task.run()

    assert [action for action, _ in task.sent] == ["release", "prepare", "launch"]
    new = back.recovered()
    assert not set(new.values()) & set(old.values())
    assert {back.state(i, R) for i in old.values()} == {"stopped"}  # nothing was destroyed


def test_a_second_failback_does_not_adopt_the_old_primary(back: Estate) -> None:
    back.protect_again()
    old = back.at_home()
    back.fence(P, list(old.values()))
    back.fail_over()
    back.reprotect()
    back.fence(R, list(back.recovered().values()))

    task = back.task("Failback", Phase.INSTANTIATE)
    task.run()

    assert [action for action, _ in task.sent] == ["release", "prepare", "launch"]
    assert not set(back.at_home().values()) & set(old.values())
    assert {back.state(i, P) for i in old.values()} == {"stopped"}


@pytest.mark.parametrize("forgets", [None, False, True])
def test_a_failover_after_a_cleanup_that_was_broken_off_adopts_nothing_old(
    back: Estate, forgets: bool | None
) -> None:
    back.protect_again()
    old, first = back.recovered(), back.servers[0]
    cleanup = back.task("Cleanup", Phase.CLEANUP)
    while "stop-replication" not in [action for action, _ in cleanup.sent]:
        cleanup.advance_once()
    if forgets is not None:  # what a Cleanup does where DRS demands it
        back.sandbox.control.backend("drs", {"settings": {"stopFailbackForgets": forgets}})
        for instance in old.values():
            back.drs().stop_failback(recoveryInstanceID=instance)
    back.sandbox.control.advance(7 * 86_400)
    found = _discovered(back.sandbox)[first]
    assert (found["retiredInstanceId"], "recoveryInstanceId" in found) == (old[first], False)
    task = back.task("Failover", Phase.INSTANTIATE)
    task.unplanned = True
    warned = adapter("drs").readiness(back.sandbox.scope(), task.targets)
    assert {f.reason for f in warned} == {"RecoveryInstanceStale"}

    task.run()

    assert [action for action, _ in task.sent] == ["release", "prepare", "launch"]
    assert not set(back.recovered().values()) & set(old.values())
    assert {back.state(i, R) for i in old.values()} == {"stopped"}


@pytest.mark.parametrize("forgets", [False, True])
def test_an_old_instance_of_which_drs_says_nothing_is_adopted_on_request_only(
    back: Estate, forgets: bool
) -> None:
    back.protect_again()
    old, first = back.recovered(), back.servers[0]
    home = back.at_home()
    back.sandbox.client("ec2").start_instances(InstanceIds=list(old.values()))
    back.sandbox.control.advance(7200)
    back.fence(R, list(old.values()))
    back.sandbox.control.backend("drs", {"settings": {"stopFailbackForgets": forgets}})
    for instance in old.values():  # by hand, at the console
        back.drs().stop_failback(recoveryInstanceID=instance)
    back.sandbox.control.advance(3600)
    task = back.task("Failover", Phase.INSTANTIATE)
    task.unplanned = True

    refused = task.run()

    assert {(s.state, s.reason) for s in refused.values()} == {(State.REFUSED, "FailoverOutdated")}
    newest = _newest_point(back, first, R)
    told = (old[first], home[first], newest, back.sandbox.account, R, f"`relaunch` of {first}")
    assert all(word in refused[first].message for word in told), refused[first].message
    assert task.sent == []
    if not forgets:  # a look at the primary Region tells what came home
        noted = _discovered(back.sandbox)
        assert noted[first]["retiredInstanceId"] == old[first]
        task.targets = tuple(replace(t, attributes=noted[t.id]) for t in task.targets)
        assert {s.action for s in task.observe().targets.values()} == {"release"}
        task.targets = tuple(replace(t, attributes={}) for t in task.targets)
    task.accepted = frozenset(back.servers)
    task.next_attempt()
    proof = task.run()
    assert {s: seen.reference for s, seen in proof.items() if seen.reason == "Adopted"} == old


def test_an_instance_is_disconnected_where_drs_does_not_forget_it_else(back: Estate) -> None:
    back.protect_again()
    back.fence(P, list(back.at_home().values()))
    back.sandbox.control.backend("drs", {"settings": {"deleteWants": "Disconnected"}})
    old = back.recovered()

    back.fail_over()

    assert len(back.sandbox.calls("DisconnectRecoveryInstance")) == len(old)
    assert not set(back.recovered().values()) & set(old.values())
    assert {back.state(i, R) for i in old.values()} == {"stopped"}
    back.reprotect()  # its way back is made anew
    back.fence(R, list(back.recovered().values()))
    # In P it is the first source server that would be disconnected.
    again = back.task("Failback", Phase.INSTANTIATE)
    assert "release" not in {s.action for s in again.observe().targets.values()}


def test_what_drs_does_not_forget_in_the_primary_region_is_told_with_a_remedy(
    back: Estate,
) -> None:
    back.protect_again()
    old = back.at_home()
    back.fence(P, list(old.values()))
    back.fail_over()
    back.reprotect()
    back.fence(R, list(back.recovered().values()))
    back.sandbox.control.backend("drs", {"settings": {"deleteWants": "Disconnected"}})
    task = back.task("Failback", Phase.INSTANTIATE)
    assert {s.action for s in task.observe().targets.values()} == {"release"}

    with pytest.raises(ClientError) as failed:
        task.act("release", [back.servers[0]])

    fault = classify(failed.value)
    assert (fault.kind, fault.code) == (ErrorClass.CONFLICT, "ConflictException")
    told = (old[back.servers[0]], back.sandbox.account, P, "in the DRS console", "then retry")
    assert all(word in fault.message for word in told), fault.message
    assert back.sandbox.calls("DisconnectRecoveryInstance") == []


@pytest.mark.parametrize("told_by", ["what came home", "points in time"])
def test_a_failover_keeps_what_holds_the_data_while_the_failback_is_not_through(
    away: Estate, told_by: str
) -> None:
    back = away
    if told_by == "points in time":  # else the originals go on, and so do their points in time
        for server in back.servers:
            where = {"account": back.sandbox.account, "region": R, "sourceServerID": server}
            back.sandbox.control.backend("drs", {**where, "state": "STALLED"})
    back.reprotect()
    back.fail_back()
    known = back.at_home() if told_by == "what came home" else {}
    old = back.recovered()
    back.sandbox.client("ec2").start_instances(InstanceIds=list(old.values()))
    back.sandbox.control.advance(60)
    for fenced in (False, True):  # serving again, and stopped without a successor's protection
        if fenced:
            back.fence(R, list(old.values()))
        # The sandbox's instances change their state when EC2 is asked.
        wanted = "stopped" if fenced else "running"
        assert {back.state(i, R) for i in old.values()} == {wanted}
        task = back.task("Failover", Phase.INSTANTIATE)
        if known:
            task.targets = tuple(
                replace(t, attributes={"failbackInstanceId": known[t.id]}) for t in task.targets
            )

        proof = task.run()

        assert {(s.state, s.reason) for s in proof.values()} == {(State.DONE, "Adopted")}
        seen = task.observe().targets.values()
        assert all("holds the data until the failback" in s.message for s in seen)
        assert task.act("release") == "0 released"
        assert back.recovered() == old


def _called_off(estate: Estate, *, fenced: bool) -> dict[str, str]:
    """Launched at home, and ended there; answers what was launched."""
    estate.reprotect()
    if fenced:
        estate.fence(R, list(estate.recovered().values()))
    estate.run("Failback", Phase.INSTANTIATE)
    return estate.at_home()


def test_a_failback_does_not_adopt_what_is_older_than_what_served_on(away: Estate) -> None:
    a3, b2 = _called_off(away, fenced=True), away.recovered()
    away.sandbox.client("ec2").start_instances(InstanceIds=list(b2.values()))
    away.sandbox.control.advance(60)
    assert away.reversed()  # the sandbox's DRS notices who runs when it is asked
    away.sandbox.control.advance(1800)
    away.fence(R, list(b2.values()))
    points = {i["ec2InstanceID"]: i["pointInTimeSnapshotDateTime"] for i in _launched_home(away)}
    first, second = away.servers
    task = away.task("Failback", Phase.INSTANTIATE)

    refused = task.run()

    assert {(s.state, s.reason) for s in refused.values()} == {(State.REFUSED, "FailbackOutdated")}
    assert task.sent == []
    for server, seen in refused.items():
        newest = _newest_point(away, away.reversed()[server]["sourceServerID"])
        told = (a3[server], b2[server], points[a3[server]], newest, away.sandbox.account, P, R)
        assert all(word in seen.message for word in told), seen.message
        assert f"`relaunch` of {server}" in seen.message
    task.launch_anew(first)
    proof = task.run()
    assert proof[first].reason == "Relaunched"
    assert away.at_home()[first] != a3[first]
    assert (proof[second].reason, away.at_home()[second]) == ("FailbackOutdated", a3[second])
    # What was launched anew holds all, and is adopted when the failback goes on.
    again = away.task("Failback", Phase.INSTANTIATE, first).run()[first]
    assert again.reason == "Adopted", again.message


@pytest.mark.parametrize("again", [False, True])
def test_what_was_launched_is_not_started_once_the_other_side_served_again(
    away: Estate, again: bool
) -> None:
    a3, b2 = _called_off(away, fenced=True), list(away.recovered().values())
    if again:  # the fencing was undone at the gate, and is done once more
        away.sandbox.client("ec2").start_instances(InstanceIds=b2)
        away.sandbox.control.advance(1800)
        away.fence(R, b2)
    task = away.task("Failback", Phase.ACTIVATE)

    proof = task.run()

    reasons = {(s.state, s.reason) for s in proof.values()}
    assert reasons == {(State.REFUSED, "FailbackOutdated") if again else (State.DONE, "")}
    wanted = {"stopped"} if again else {"running"}
    assert {away.state(i, P) for i in a3.values()} == wanted


def _lost(estate: Estate, region: str) -> str:
    """The Region with every API in it; the fault's id."""
    rule: str = estate.sandbox.control.add_fault(
        region=region, action="error", code="ServiceUnavailable", status=503
    )
    return rule


def _replicates(estate: Estate, region: str, servers: list[str], *, on: bool) -> None:
    where = {"account": estate.sandbox.account, "region": region, "sourceServerID": servers}
    change = {"state": "CONTINUOUS", "lag": "PT0S"} if on else {"state": "STALLED"}
    estate.sandbox.control.backend("drs", {**where, **change})
    assert estate.drs(region).describe_source_servers(filters={})["items"]  # it notices when asked


def _activation(estate: Estate, operation: str, left: dict[str, str]) -> Any:
    """Activate of an Unplanned run that could not fence the instances `left`."""
    task = estate.task(operation, Phase.ACTIVATE)
    task.unplanned, task.unfenced = True, frozenset(left.values())
    return task


@dataclass
class Lost:
    """What an Unplanned failback launched while the recovery Region was dead."""

    estate: Estate
    home: dict[str, str]
    left: dict[str, str]
    servers: list[str]
    """The reversed servers."""
    rule: str

    def serves_again(self) -> None:
        self.estate.sandbox.control.remove_fault(self.rule)
        _replicates(self.estate, P, self.servers, on=True)
        self.estate.sandbox.control.advance(3600)


@pytest.fixture
def lost(away: Estate) -> Lost:
    away.reprotect()
    left = away.recovered()
    servers = [s["sourceServerID"] for s in away.reversed().values()]
    _replicates(away, P, servers, on=False)
    away.sandbox.control.advance(3600)
    rule = _lost(away, R)
    launched = away.task("Failback", Phase.INSTANTIATE)
    launched.unplanned = True
    assert {s.state for s in launched.run().values()} == {State.DONE}
    away.sandbox.control.remove_fault(rule)
    home = away.at_home()
    return Lost(away, home, left, servers, _lost(away, R))


def test_a_dead_region_holds_up_no_start(lost: Lost) -> None:
    lost.estate.sandbox.control.advance(7200)

    proof = _activation(lost.estate, "Failback", lost.left).run()

    assert {s.state for s in proof.values()} == {State.DONE}, proof
    assert {lost.estate.state(i, P) for i in lost.home.values()} == {"running"}


@pytest.mark.parametrize("answers", [True, False])
def test_what_an_unplanned_failback_launched_is_not_started_unasked_once_the_other_side_serves(
    lost: Lost, answers: bool
) -> None:
    estate, (first, second) = lost.estate, lost.estate.servers
    lost.serves_again()
    if not answers:  # the servers are back, and EC2 there is not
        rule = _lost(estate, R)
    task = _activation(estate, "Failback", lost.left)

    refused = task.run()

    assert {(s.state, s.reason) for s in refused.values()} == {(State.REFUSED, "FailbackOutdated")}
    assert task.sent == []
    known = "ran on after that" if answers else "whether it still runs is unknown"
    for server, seen in refused.items():
        told = (lost.home[server], lost.left[server], estate.sandbox.account, P, R, known)
        assert all(word in seen.message for word in told), seen.message
        assert f"`relaunch` of {server}" in seen.message
        assert "`accept-data-loss` starts" in seen.message
    assert len(seen.message) < 1024
    # A person takes the older one of the first, and the newest of the second.
    if not answers:
        estate.sandbox.control.remove_fault(rule)
    again = estate.task("Failback", Phase.INSTANTIATE)
    again.unplanned = True
    again.launch_anew(second)
    assert again.run()[second].reason == "Relaunched"
    task.accepted = frozenset({first})
    task.next_attempt()
    proof = task.run()
    assert {s.state for s in proof.values()} == {State.DONE}, proof
    after = estate.at_home()
    assert (after[first], after[second] == lost.home[second]) == (lost.home[first], False)
    assert {estate.state(i, P) for i in after.values()} == {"running"}


def test_fencing_that_was_left_out_holds_up_no_start(lost: Lost) -> None:
    lost.serves_again()
    proof = _activation(lost.estate, "Failback", {}).run()
    assert {s.state for s in proof.values()} == {State.DONE}, proof


@pytest.mark.parametrize("how", ["started again", "came back", "left out"])
def test_a_failover_asks_too_before_it_starts_what_the_primary_region_has_newer(
    estate: Estate, how: str
) -> None:
    left = {s: estate.origin(s) for s in estate.servers}
    if how == "started again":
        estate.fence(P, list(left.values()))
    else:
        _replicates(estate, R, estate.servers, on=False)
        estate.sandbox.control.advance(3600)
    estate.run("Failover", Phase.INSTANTIATE)
    if how == "started again":
        estate.sandbox.client("ec2", P).start_instances(InstanceIds=list(left.values()))
    else:
        _replicates(estate, R, estate.servers, on=True)
    estate.sandbox.control.advance(3600)
    task = _activation(estate, "Failover", left if how == "came back" else {})

    proof = task.run()

    if how == "left out":
        assert {s.state for s in proof.values()} == {State.DONE}, proof
        return
    assert {(s.state, s.reason) for s in proof.values()} == {(State.REFUSED, "FailoverOutdated")}
    for server, seen in proof.items():
        told = (estate.recovered()[server], left[server], estate.sandbox.account, P, R)
        assert all(word in seen.message for word in told), seen.message
    task.accepted = frozenset(estate.servers)
    assert {s.state for s in task.run().values()} == {State.DONE}


def _refused(seen: dict[str, Any], server: str, *told: str) -> None:
    """That the server is refused because its source runs again, and what people are told."""
    one = seen[server]
    assert (one.state, one.reason) == (State.REFUSED, "SourceRestarted"), one
    assert all(word in one.message for word in (*told, "`retry`", "`accept-data-loss`")), (
        one.message
    )
    assert len(one.message) < 1024


def test_what_was_fenced_and_started_by_hand_is_not_launched_unasked(estate: Estate) -> None:
    """A Planned Failover that waited at a gate after its fencing."""
    first, second = estate.servers
    left = {s: estate.origin(s) for s in estate.servers}
    estate.fence(P, list(left.values()))
    estate.sandbox.client("ec2", P).start_instances(InstanceIds=[left[first]])
    estate.sandbox.control.advance(60)
    task = estate.task("Failover", Phase.INSTANTIATE)
    task.fenced = frozenset(left.values())

    proof = task.run()

    _refused(proof, first, left[first], first, estate.sandbox.account, P)
    assert proof[second].state is State.DONE
    assert [ids for action, ids in task.sent if action == "launch"] == [[second]]
    # It is stopped, and tried again.
    estate.fence(P, [left[first]])
    task.next_attempt()
    assert {s.state for s in task.run().values()} == {State.DONE}


def test_a_launch_beside_what_runs_again_is_the_decision_of_a_person(estate: Estate) -> None:
    first, second = estate.servers
    task = estate.task("Failover", Phase.INSTANTIATE)
    task.fenced = frozenset(estate.origin(s) for s in estate.servers)  # all of them run
    task.accepted = frozenset({first})
    proof = task.run()
    assert proof[first].state is State.DONE, proof[first]
    _refused(proof, second)
    task.unplanned = True
    task.next_attempt()
    assert {s.state for s in task.run().values()} == {State.DONE}


def test_what_runs_beside_a_planned_launch_is_asked_about_until_its_data_are_launched(
    estate: Estate,
) -> None:
    left = {s: estate.origin(s) for s in estate.servers}
    fenced = frozenset(left.values())
    estate.run("Failover", Phase.INSTANTIATE)  # while they run, as none was launched unasked
    estate.sandbox.control.advance(1800)
    task = estate.task("Failover", Phase.ACTIVATE)
    task.fenced = fenced
    for server, launched in estate.recovered().items():
        _refused(task.run(), server, left[server], launched, estate.sandbox.account, P, R)
    estate.fence(P, list(left.values()))
    outdated = task.run()
    assert {s.reason for s in outdated.values()} == {"FailoverOutdated"}, outdated
    again = estate.task("Failover", Phase.INSTANTIATE)
    again.fenced = fenced
    again.launch_anew(*estate.servers)
    assert {s.reason for s in again.run().values()} == {"Relaunched"}
    assert {s.state for s in task.run().values()} == {State.DONE}


def test_a_planned_failback_is_not_launched_either_while_what_it_fenced_runs(away: Estate) -> None:
    away.reprotect()
    left = away.recovered()
    first, second = away.servers
    away.fence(R, [left[second]])
    task = away.task("Failback", Phase.INSTANTIATE)
    task.fenced = frozenset(left.values())

    proof = task.run()

    _refused(proof, first, left[first], first, away.sandbox.account, R)
    assert proof[second].state is State.DONE
    away.fence(R, [left[first]])
    task.next_attempt()
    assert {s.state for s in task.run().values()} == {State.DONE}


def test_tasks_of_a_failback_that_wait_ask_once_which_server_stands_for_which(away: Estate) -> None:
    away.reprotect()
    away.fence(R, list(away.recovered().values()))
    tasks = [away.task("Failback", Phase.INSTANTIATE, server) for server in away.servers]
    for task in tasks:
        task.act("launch")
    last, scope = away.sandbox.control.last_seq(), away.sandbox.scope(P)
    since = scope.now()

    for task in (*tasks, *tasks):
        observed = task.adapter.observe(scope, replace(task.step, since=since))
        assert {s.state for s in observed.targets.values()} == {State.RUNNING}, observed

    calls = away.sandbox.control.calls(since=last)
    assert Counter(c["operation"] for c in calls) == {"DescribeSourceServers": 1, "DescribeJobs": 1}


def test_a_planned_run_waits_for_the_side_that_is_left_and_an_unplanned_one_does_not(
    estate: Estate,
) -> None:
    left = [estate.origin(s) for s in estate.servers]
    task = estate.task("Failover", Phase.INSTANTIATE)
    task.fenced = frozenset(left)
    task.act("prepare")
    rule = _lost(estate, P)
    with pytest.raises(ClientError, match=r"ServiceUnavailable.*us-east-1"):
        task.observe()
    task.unplanned = True
    assert {s.action for s in task.observe().targets.values()} == {"launch"}
    estate.sandbox.control.remove_fault(rule)


def test_an_unplanned_failback_that_is_resumed_adopts_what_it_launched(away: Estate) -> None:
    a3 = _called_off(away, fenced=False)
    first = away.servers[0]

    def again(*, unplanned: bool) -> Any:
        task = away.task("Failback", Phase.INSTANTIATE, first)
        task.unplanned = unplanned
        return task.run()[first]

    # The recovery instance runs on, and a point in time was made while its copy was launched.
    assert (seen := again(unplanned=True)).reason == "Adopted", seen.message
    assert seen.reference == a3[first]
    assert "ran on" in (refused := again(unplanned=False)).message
    assert refused.reason == "FailbackOutdated"
    away.sandbox.control.advance(1800)
    assert again(unplanned=True).reason == "FailbackOutdated"


def test_a_failback_adopts_where_nothing_newer_can_be_launched(away: Estate) -> None:
    a3 = _called_off(away, fenced=False)
    for server in away.reversed().values():
        away.sandbox.client("drs", P).stop_replication(sourceServerID=server["sourceServerID"])
    away.sandbox.control.advance(3600)

    proof = away.task("Failback", Phase.INSTANTIATE).run()

    assert {s: seen.reference for s, seen in proof.items() if seen.reason == "Adopted"} == a3


def test_points_in_time_of_what_was_stopped_before_are_not_newer(
    away: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    _called_off(away, fenced=True)
    away.sandbox.control.advance(86_400)
    late = datetime.now(UTC) + timedelta(days=2)
    monkeypatch.setattr("leeward_adapters.drs_servers.newest_point", lambda *_: late)

    proof = away.task("Failback", Phase.INSTANTIATE).run()

    assert {s.reason for s in proof.values()} == {"Adopted"}


def _launched_home(estate: Estate) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = estate.drs(P).describe_recovery_instances(filters={})["items"]
    return items


def _newest_point(estate: Estate, server: str, region: str = P) -> str:
    answer = estate.drs(region).describe_recovery_snapshots(
        sourceServerID=server, order="DESC", maxResults=1
    )
    at = datetime.fromisoformat(answer["items"][0]["expectedTimestamp"])
    return f"{at:%FT%TZ}"


def test_a_cleanup_does_not_take_the_primary_before_this_one_for_what_serves(
    back: Estate,
) -> None:
    back.protect_again()
    before = back.at_home()
    back.fence(P, list(before.values()))
    back.fail_over()
    back.reprotect()
    back.fail_back()
    back.sandbox.client("ec2", P).start_instances(InstanceIds=list(before.values()))
    back.sandbox.control.advance(3600)
    last = back.sandbox.control.last_seq()

    proof = back.task("Cleanup", Phase.CLEANUP).run()

    assert {(s.state, s.reason) for s in proof.values()} == {(State.REFUSED, "NotProtected")}
    assert back.mutations(last) == []


# -- Cleanup ----------------------------------------------------------------------------------


def test_what_served_in_the_recovery_region_is_retired_in_the_safe_order(back: Estate) -> None:
    back.protect_again()
    b2, a3 = back.recovered(), back.at_home()
    volumes = {
        m["Ebs"]["VolumeId"] for i in b2.values() for m in back.machine(i, R)["BlockDeviceMappings"]
    }
    last = back.sandbox.control.last_seq()
    task = back.task("Cleanup", Phase.CLEANUP)

    proof = task.run()

    assert {s.state for s in proof.values()} == {State.DONE}
    order = list(dict.fromkeys(back.mutations(last)))
    assert order == [
        "TagResource",
        "CreateSnapshots",
        "StopReplication",
        "TerminateRecoveryInstances",
        "DeleteRecoveryInstance",
        "DisconnectSourceServer",
        "DeleteSourceServer",
    ]
    assert {back.state(i, P) for i in a3.values()} == {"running"}
    assert {back.state(i, R) for i in b2.values()} == {"terminated"}
    assert back.reversed() == {}
    for server in back.servers:
        known = back.sandbox.server(server)
        assert known["dataReplicationInfo"]["dataReplicationState"] == "CONTINUOUS"
        assert "recoveryInstanceId" not in known
    kept = back.sandbox.client("ec2").describe_snapshots(
        OwnerIds=["self"], Filters=[{"Name": "tag:leeward:task", "Values": [task.token]}]
    )["Snapshots"]
    assert {s["VolumeId"] for s in kept} == volumes
    back.check_permissions(Phase.CLEANUP, last)
    with pytest.raises(IrreversibleError):
        task.undo()


def test_a_failback_is_stopped_only_where_it_is_in_the_way(back: Estate) -> None:
    back.protect_again()
    b2, a3 = back.recovered(), back.at_home()
    back.sandbox.control.backend("drs", {"settings": {"terminateWants": "StoppedFailback"}})
    back.sandbox.control.add_fault(
        service="drs", operation="StopFailback", action="error",
        code="ValidationException", status=400, nth=1,
    )  # fmt: skip
    last = back.sandbox.control.last_seq()
    task = back.task("Cleanup", Phase.CLEANUP)

    with pytest.raises(ClientError, match="during failback") as failed:
        task.run()  # of the one whose failback was not stopped
    proof = task.run()

    assert classify(failed.value).kind is ErrorClass.CONFLICT
    assert {s.state for s in proof.values()} == {State.DONE}
    assert {back.state(i, R) for i in b2.values()} == {"terminated"}
    assert {back.state(i, P) for i in a3.values()} == {"running"}
    back.check_permissions(Phase.CLEANUP, last)


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (lambda e: None, "NotProtected"),
        (_serve, "InstanceServes"),
        (_stop_home, "NotFailedBack"),
    ],
    ids=["not protected", "the old side serves", "home is stopped"],
)
def test_nothing_is_retired_that_may_be_needed(
    back: Estate, before: Callable[[Estate], None], reason: str
) -> None:
    before(back)
    last = back.sandbox.control.last_seq()

    proof = back.task("Cleanup", Phase.CLEANUP).run()

    assert {(s.state, s.reason) for s in proof.values()} == {(State.REFUSED, reason)}
    assert back.mutations(last) == []


def test_before_a_failback_nothing_is_retired(away: Estate) -> None:
    away.reprotect()
    away.fence(R, list(away.recovered().values()))

    proof = away.task("Cleanup", Phase.CLEANUP).run()

    assert {(s.state, s.reason) for s in proof.values()} == {(State.REFUSED, "NotFailedBack")}
    assert len(away.reversed()) == 2


def test_lost_answers_do_not_lead_a_cleanup_astray(back: Estate) -> None:
    back.protect_again()
    a3 = back.at_home()
    task = back.task("Cleanup", Phase.CLEANUP)
    operations = [
        "CreateSnapshots",
        "StopReplication",
        "TerminateRecoveryInstances",
        "DeleteRecoveryInstance",
        "DisconnectSourceServer",
        "DeleteSourceServer",
    ]
    for operation in operations:
        back.sandbox.control.add_fault(operation=operation, action="drop", when="after", times=1)

    proof: dict[str, Any] = {}
    while not proof:
        with suppress(BotoCoreError):
            proof = task.run()

    assert {s.state for s in proof.values()} == {State.DONE}
    assert {back.state(i, P) for i in a3.values()} == {"running"}
    made = [c for c in back.sandbox.calls("CreateSnapshots") if c["executed"]]
    assert len(made) == 2  # one for each server
    ended = [c for c in back.sandbox.calls("TerminateRecoveryInstances") if c["executed"]]
    assert len(ended) == 1
    assert all(fault["hits"] == 1 for fault in back.sandbox.control.faults())


# -- readiness --------------------------------------------------------------------------------


def test_readiness_says_what_the_way_back_lacks(
    away: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = away.servers[0]
    targets = away.task("Reprotect", Phase.REPLICATE, first).targets

    def said() -> set[str]:
        found = adapter("drs").readiness(away.sandbox.scope(), targets)
        assert {f.severity for f in found} == {"Warning"}
        return {f.reason for f in found} - {"LiveRecoveryInstance"}

    assert said() == {"NotReversed"}
    _take_profile(away, away.recovered()[first])
    assert said() == {"NotReversed", "NoInstanceProfile"}
    monkeypatch.setattr("leeward_adapters.drs_reverse.MOST_REPLICATING", 0)
    assert "ReplicatingServersQuota" in said()
    primary = {"account": away.sandbox.account, "region": P, "initialized": False}
    away.sandbox.control.backend("drs", primary)
    assert "PrimaryUninitialized" in said()


def test_readiness_says_the_rest_where_launch_settings_are_not_told(away: Estate) -> None:
    away.sandbox.control.add_fault(
        service="drs", operation="DescribeLaunchConfigurationTemplates", action="error",
        code="AccessDeniedException", status=403,
    )  # fmt: skip
    targets = away.task("Reprotect", Phase.REPLICATE, away.servers[0]).targets
    found = adapter("drs").readiness(away.sandbox.scope(), targets)
    assert {f.reason for f in found} >= {"NotReversed", "PrimarySilent"}


def test_readiness_follows_the_copy(away: Estate) -> None:
    first = away.servers[0]
    task = away.task("Reprotect", Phase.REPLICATE, first)
    task.advance_once()

    def said() -> set[str]:
        return {f.reason for f in adapter("drs").readiness(away.sandbox.scope(), task.targets)}

    assert said() == {"LiveRecoveryInstance", "ReversedReplicationBehind"}
    task.run(600)
    assert said() == {"LiveRecoveryInstance"}
    away.sandbox.control.add_fault(
        service="drs", region=P, action="error", code="InternalServerException", status=500
    )
    assert said() == {"LiveRecoveryInstance", "PrimarySilent"}


# -- discovery --------------------------------------------------------------------------------


def test_discovery_tells_the_way_back_and_what_is_only_left_over(away: Estate) -> None:
    sandbox, first = away.sandbox, away.servers[0]
    away.reprotect()
    found = _discovered(sandbox)
    b2, a2 = away.recovered()[first], away.reversed()[first]["sourceServerID"]
    origin = found[first]["originInstanceId"]
    assert found[first]["recoveryInstanceId"] == b2
    assert {k: v for k, v in found[first].items() if k.startswith("reversed")} == {
        "reversedServerId": a2, "reversedState": "CONTINUOUS", "reversedLag": "P0D"
    }  # fmt: skip

    away.fail_back()
    a3 = away.at_home()[first]
    assert _discovered(sandbox)[first]["failbackInstanceId"] == a3
    away.protect_again()

    found = _discovered(sandbox)
    assert set(found) == set(away.servers)  # the replaced originals are no servers of their own
    assert found[first]["originInstanceId"] == a3
    assert found[first]["retiredInstanceId"] == b2
    assert "recoveryInstanceId" not in found[first]
    tags = {t["Key"]: t["Value"] for t in away.machine(origin, P)["Tags"]}
    assert tags["leeward:replaced-by"] == a3


def test_a_silent_primary_region_hides_nothing(away: Estate) -> None:
    away.reprotect()
    away.sandbox.control.add_fault(
        service="drs", region=P, action="error", code="InternalServerException", status=500
    )

    found = discover(_reader(away.sandbox), regions=(P, R))

    assert found.problems == []
    assert any("does not say who protects" in note for note in found.notes)
    assert {"recoveryInstanceId"} <= set(found.found[0].attributes)
    assert "reversedServerId" not in found.found[0].attributes


def _reader(sandbox: Any) -> Callable[[str], Any]:
    return lambda region: sandbox.aws.scope(sandbox.reached(), region)


def _discovered(sandbox: Any) -> dict[str, Any]:
    sandbox.control.advance(600)
    found = discover(_reader(sandbox), regions=(P, R))
    assert found.problems == []
    return {one.id: one.attributes for one in found.found}
