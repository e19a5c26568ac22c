"""Commands on tasks: mark-done, undo, skip ahead and relaunch, on the real operator."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

ACCOUNT, SECOND = "111111111111", "222222222222"
APPROVER = "approver-a@example.com"
ONE_WAVE: dict[str, Any] = {"accounts": [{"name": "east-a"}], "waves": [{"name": "data"}]}


def change(lab: Any, server: str, **what: Any) -> None:
    """Change a source server in the sandbox's DRS."""
    where = {"account": ACCOUNT, "region": "us-east-2", "sourceServerID": server}
    lab.control.backend("drs", {**where, **what})


def task(lab: Any, run: str, phase: str, wave: str = "data") -> Any:
    """The run's task of a phase of a wave."""
    return next(
        t for t in lab.tasks(run).values()
        if (t["spec"]["recoveryPhase"], t["spec"]["wave"]) == (phase, wave)
    )  # fmt: skip


def resources(lab: Any, run: str, phase: str, wave: str = "data") -> dict[str, Any]:
    """What a task says of each resource."""
    status = task(lab, run, phase, wave).get("status", {})
    return {r["id"]: r for r in status.get("resources", [])}


def order(lab: Any, run: str, phase: str, verb: str, words: str = "", wave: str = "data") -> str:
    """Annotate the task as the administrator, and wait for what the run records as the result."""
    name = task(lab, run, phase, wave)["metadata"]["name"]
    before = len(lab.get("drx", run)["status"].get("commands", []))
    lab.annotate("drt", name, verb, f"admin: {words}" if words else "admin", user="admin")

    def taken() -> Any:
        commands = lab.get("drx", run)["status"].get("commands", [])[before:]
        mine = [c for c in commands if (c["key"], c["object"]) == (f"leeward.dev/{verb}", name)]
        return mine[-1] if mine else None  # a command before this one may be recorded meanwhile

    record = lab.until(f"{verb} is taken", taken)
    lab.until(
        "the annotation is off",
        lambda: (
            f"leeward.dev/{verb}" not in lab.get("drt", name)["metadata"].get("annotations", {})
        ),
    )
    return str(record["result"])


def until_resource(
    lab: Any, run: str, phase: str, server: str, state: str, reason: str = ""
) -> Any:
    """What a task of wave data says of a server, once it is in that state for that reason."""

    def look() -> Any:
        found = resources(lab, run, phase)[server]
        there = (found["state"], found["reason"]) == (state, reason)
        return found if there and "request" not in found else None

    return lab.until(f"{server} is {state} {reason} in {phase}", look)


def instances(lab: Any, wave: int = 1) -> dict[str, str]:
    """Recovery instances by server."""
    drs = lab.client("drs", ACCOUNT)
    found = drs.describe_recovery_instances(filters={"sourceServerIDs": lab.servers(wave)})
    return {i["sourceServerID"]: i["ec2InstanceID"] for i in found["items"]}


def machine(lab: Any, instance: str) -> Any:
    """What EC2 says of an instance."""
    answer = lab.client("ec2", ACCOUNT).describe_instances(InstanceIds=[instance])
    return answer["Reservations"][0]["Instances"][0]


def failing(lab: Any) -> tuple[str, str, str]:
    """A run that waits because a server was not launched; its bad and its good server."""
    bad, good = lab.servers(1)
    change(lab, bad, fault={"failAt": "LAUNCH", "rawError": "InsufficientInstanceCapacity: none"})
    lab.ready_plan(**ONE_WAVE)
    run = lab.start()
    lab.until_condition("drx", run, "WaitingForDecision")
    return run, bad, good


@pytest.fixture
def halfway(lab: Any) -> str:
    """A run whose first wave is through, and which waits at the gate before its second."""
    lab.ready_plan()
    run: str = lab.start()
    lab.until_gate(run)
    return run


def finish(lab: Any, run: str) -> Any:
    """Approve the gate; the run once it has succeeded."""
    lab.until_gate(run)
    lab.annotate("drx", run, "approve-wave-web", APPROVER)
    return lab.until_condition("drx", run, "Succeeded")


def test_what_a_person_calls_done_is_on_record_as_their_word(lab: Any) -> None:
    run, bad, good = failing(lab)
    said = order(lab, run, "Instantiate", "mark-done", f"[{bad}] restored from a backup")
    assert "AWS is looked at once more" in said
    marked = until_resource(lab, run, "Instantiate", bad, "Complete", "Asserted")
    assert marked["message"].startswith("done as admin says; AWS shows: ")
    assert resources(lab, run, "Instantiate")[good]["reason"] == ""
    lab.until(
        "the activation fails",
        lambda: task(lab, run, "Activate").get("status", {}).get("state") == "Failed",
    )
    order(lab, run, "Activate", "mark-done", f"[{bad}]")
    ended = lab.until_condition("drx", run, "Succeeded")
    assert lab.reason(ended, "Succeeded") == "WithinTolerance"
    assert f"1 done as people say: {bad}" in ended["status"]["message"]
    counts = ended["status"]["resources"]
    assert (counts["complete"], counts["failed"], counts["skipped"]) == (2, 0, 0)
    assert lab.launches() == Counter({bad: 1, good: 1})


def test_what_aws_proves_is_done_by_proof_whoever_did_it(lab: Any) -> None:
    run, bad, good = failing(lab)
    change(lab, bad, fault=None)
    lab.client("drs", ACCOUNT).start_recovery(sourceServers=[{"sourceServerID": bad}])
    lab.until("it was launched by hand", lambda: bad in instances(lab))
    lab.until(
        "the job is over",
        lambda: machine(lab, instances(lab)[bad])["State"]["Name"] in {"stopped", "running"},
    )
    order(lab, run, "Instantiate", "mark-done", f"[{bad}] launched it in the console")
    proved = until_resource(lab, run, "Instantiate", bad, "Complete", "Adopted")
    assert proved["reference"] == instances(lab)[bad]
    ended = lab.until_condition("drx", run, "Succeeded")
    assert lab.reason(ended, "Succeeded") == "Succeeded"
    assert lab.launches() == Counter({bad: 2, good: 1})


def test_an_activation_is_undone_in_a_paused_run_and_wanted_again(lab: Any, halfway: str) -> None:
    first, second = lab.servers(1)
    ids = instances(lab)
    lab.annotate("drx", halfway, "pause", "admin", user="admin")
    lab.until_condition("drx", halfway, "Paused")
    said = order(lab, halfway, "Activate", "undo", f"[{first}] the wrong one")
    assert said == "Undo asked for by admin: 1 resource"
    undone = until_resource(lab, halfway, "Activate", first, "Skipped", "Undone")
    assert "undone by admin" in undone["message"]
    assert machine(lab, ids[first])["State"]["Name"] == "stopped"
    assert machine(lab, ids[second])["State"]["Name"] == "running"
    after = task(lab, halfway, "Activate")["status"]
    assert after["state"] == "Complete"
    assert [i["action"] for i in after["journal"]] == ["start", "undo"]
    lab.annotate("drx", halfway, "resume", "admin", user="admin")
    order(lab, halfway, "Activate", "retry", f"[{first}] it was right")
    until_resource(lab, halfway, "Activate", first, "Complete")
    assert machine(lab, ids[first])["State"]["Name"] == "running"
    ended = finish(lab, halfway)
    assert lab.reason(ended, "Succeeded") == "Succeeded"


def test_a_run_does_not_do_again_what_was_undone(lab: Any, halfway: str) -> None:
    first, _ = lab.servers(1)
    order(lab, halfway, "Activate", "undo", f"[{first}]")
    until_resource(lab, halfway, "Activate", first, "Skipped", "Undone")
    ended = finish(lab, halfway)
    assert lab.reason(ended, "Succeeded") == "WithinTolerance"
    assert first in ended["status"]["message"]
    assert machine(lab, instances(lab)[first])["State"]["Name"] == "stopped"


def test_what_cannot_be_undone_or_is_not_named_is_refused_with_the_reason(
    lab: Any, halfway: str
) -> None:
    since = lab.control.last_seq()
    said = order(lab, halfway, "Instantiate", "undo")
    assert "Instantiate cannot be undone" in said
    assert "may hold the only good copy" in said
    launched = task(lab, halfway, "Instantiate")["metadata"]["name"]
    unnamed = lab.annotate("drt", launched, "relaunch", "admin", user="admin", check=False)
    assert "so it names the resources" in unnamed.stderr
    assert "launches nothing" in order(
        lab, halfway, "Activate", "relaunch", f"[{lab.servers(1)[0]}]"
    )
    assert lab.mutations(since) == []
    events = lab.kubectl(
        "get", "events", "--field-selector", f"involvedObject.name={halfway}"
    ).stdout
    assert "CommandRefused" in events
    assert {t["status"]["state"] for t in lab.tasks(halfway).values() if "status" in t} <= {
        "Complete", "NotStarted"
    }  # fmt: skip


def test_what_is_left_out_ahead_of_its_time_is_never_touched(lab: Any, halfway: str) -> None:
    out, kept = lab.servers(2)
    said = order(lab, halfway, "Instantiate", "skip", f"[{out}] it is retired", wave="web")
    assert said == "1 resource left out ahead"
    ended = finish(lab, halfway)
    assert lab.reason(ended, "Succeeded") == "WithinTolerance"
    for phase in ("Instantiate", "Activate"):
        states = {i: r["state"] for i, r in resources(lab, halfway, phase, "web").items()}
        assert states == {out: "Skipped", kept: "Complete"}
    assert lab.launches()[out] == 0
    assert lab.launches()[kept] == 1


def test_a_server_is_launched_anew_kept_first_and_activated_again(lab: Any, halfway: str) -> None:
    log = lab.stack.logs["operator"]
    said_before = log.stat().st_size
    first, second = lab.servers(1)
    before = instances(lab)
    kept = {m["Ebs"]["VolumeId"] for m in machine(lab, before[first])["BlockDeviceMappings"]}
    said = order(lab, halfway, "Instantiate", "relaunch", f"[{first}] it boots into a black hole")
    assert said == f"relaunch asked for by admin: {first}; snapshots first"
    # Whatever dies now, one set of snapshots and one launch come of it.
    lab.stack.kill_operator()
    lab.stack.start_operator()
    until_resource(lab, halfway, "Instantiate", first, "Complete", "Relaunched")
    until_resource(lab, halfway, "Activate", first, "Complete")
    after = instances(lab)
    assert after[first] != before[first]
    assert after[second] == before[second]
    assert machine(lab, after[first])["State"]["Name"] == "running"
    assert machine(lab, before[first])["State"]["Name"] == "terminated"
    made = lab.client("ec2", ACCOUNT).describe_snapshots(
        OwnerIds=["self"], Filters=[{"Name": "tag:leeward:server", "Values": [first]}]
    )["Snapshots"]
    assert {s["VolumeId"] for s in made} == kept
    assert len(made) == len(kept)
    assert lab.launches() == Counter({first: 2, second: 1})
    assert resources(lab, halfway, "Activate")[first]["reference"] == after[first]
    assert b"Traceback" not in log.read_bytes()[said_before:]
    ended = finish(lab, halfway)
    assert lab.reason(ended, "Succeeded") == "Succeeded"
