"""What must be true of a run that was interrupted: nothing twice, nothing lost, nothing left."""

from __future__ import annotations

from collections import Counter
from typing import Any

from harness.bench import Object
from harness.runs import APPROVER, GATE, USER_NAMES, Run, condition

CALL_TAG = "leeward:call"
SERVER_TAG = "AWSElasticDisasterRecoverySourceServerID"


def calls(run: Run) -> list[Object]:
    """The calls to AWS that changed something during the run, in order."""
    return [c for c in run.bench.control.calls(since=run.since, mutating=True) if c["executed"]]


def assert_whole(run: Run, reference: Counter[str] | None = None) -> int:
    """Everything; `reference` are the calls of a run that nothing interrupted.

    Returns how many calls were sent again that set what they find set already.
    """
    assert shown(run) == run.expected()
    _assert_launched_once(run)
    found = tasks(run)
    _assert_journal(run, found)
    _assert_record(run, found)
    _assert_released(run)
    made = Counter(f"{c['service']} {c['operation']}" for c in calls(run))
    return 0 if reference is None else (made - reference).total()


def shown(run: Run) -> dict[str, Any]:
    """What AWS itself shows of the run's servers and of the public name."""
    account = run.application.account_id
    drs = run.bench.client("drs", account, run.region)
    ec2 = run.bench.client("ec2", account, run.region)
    jobs = _jobs(run)
    live = drs.describe_recovery_instances(filters={"sourceServerIDs": run.launched})["items"]
    found: dict[str, Any] = {}
    for server in run.launched:
        machines = ec2.describe_instances(
            Filters=[{"Name": f"tag:{SERVER_TAG}", "Values": [server]}]
        )["Reservations"]
        config = drs.get_launch_configuration(sourceServerID=server)
        versions = ec2.describe_launch_template_versions(
            LaunchTemplateId=config["ec2LaunchTemplateID"]
        )["LaunchTemplateVersions"]
        found[server] = {
            "jobs": [j["type"] for j in jobs if server in _servers_of(j)],
            "instances": [i["State"]["Name"] for r in machines for i in r["Instances"]],
            "drills": [
                i["isDrill"] for i in live
                if i["sourceServerID"] == server and i["ec2InstanceState"] != "TERMINATED"
            ],
            "disposition": config["launchDisposition"],
            "default version": next(v["VersionNumber"] for v in versions if v["DefaultVersion"]),
            "versions": len(versions),
        }  # fmt: skip
    return {**found, "name": _name(run), **run.besides()}


def _jobs(run: Run) -> list[Object]:
    """DRS's jobs with servers of the run, oldest first."""
    drs = run.bench.client("drs", run.application.account_id, run.region)
    pages = drs.get_paginator("describe_jobs").paginate(filters={})
    jobs = [job for page in pages for job in page["items"]]
    mine = [j for j in jobs if _servers_of(j) & set(run.launched)]
    return sorted(mine, key=lambda j: str(j["creationDateTime"]))


def _servers_of(job: Object) -> set[str]:
    return {server["sourceServerID"] for server in job["participatingServers"]}


def _name(run: Run) -> list[str]:
    route53 = run.bench.client("route53", run.application.account_id)
    (zone,) = route53.list_hosted_zones()["HostedZones"]
    record = route53.list_resource_record_sets(
        HostedZoneId=zone["Id"], StartRecordName=run.application.record,
        StartRecordType="CNAME", MaxItems="1",
    )["ResourceRecordSets"][0]  # fmt: skip
    assert record["Name"] == f"{run.application.record}."
    return [value["Value"] for value in record["ResourceRecords"]]


def _assert_launched_once(run: Run) -> None:
    """Not even asked for twice: DRS refuses a second launch only while the first one runs."""
    asked = Counter(
        server["sourceServerID"]
        for call in calls(run)
        if call["operation"] == "StartRecovery"
        for server in call["params"]["sourceServers"]
        if server["sourceServerID"] in run.launched
    )
    assert asked == Counter(dict.fromkeys(run.launched, 1))
    reversed_ = Counter(
        call["params"]["recoveryInstanceID"]
        for call in calls(run)
        if call["operation"] == "ReverseReplication"
    )
    again = len(run.launched) if run.operation == "Failback" else 0
    assert (len(reversed_), reversed_.total()) == (again, again)


def tasks(run: Run) -> list[Object]:
    """The DRTasks of the run."""
    selector = f"leeward.dev%2Fexecution%3D{run.name}"
    found = run.bench.get("drtasks", selector=selector)
    assert found is not None
    return list(found["items"])


def _assert_journal(run: Run, found: list[Object]) -> None:
    """Each intent is accounted for, and DRS's launches are those of the journal."""
    body = run.bench.get("drexecutions", run.name)
    assert body is not None
    journals = [t["status"].get("journal", []) for t in found]
    journal = [intent for one in journals for intent in one]
    ids = [intent["id"] for intent in journal]
    assert len(ids) == len(set(ids))
    launches = [i for i in journal if i["action"] == "launch"]
    jobs = [j["tags"][CALL_TAG] for j in _jobs(run) if j["type"] == "LAUNCH"]
    for one in journals:
        for place, intent in enumerate(one):
            known = _is_accounted_for(intent, one[place + 1 :], body["status"]["epoch"])
            looked_up = intent["id"] in jobs
            assert known or looked_up, f"nobody knows what became of {intent}"
    taken = [i["id"] for i in launches if i["outcome"] not in {"Absent", "Refused"}]
    assert sorted(jobs) == sorted(taken), "DRS's jobs are not those of the journal"


def _is_accounted_for(intent: Object, later: list[Object], epoch: int) -> bool:
    """Answered, of a leader that died, or done by a later one: its own write had no answer."""
    if intent["outcome"] != "Pending" or intent["epoch"] < epoch:
        return True
    return any(
        i["action"] == intent["action"] and i["resources"] == intent["resources"] for i in later
    )


def _assert_record(run: Run, found: list[Object]) -> None:
    body = run.bench.get("drexecutions", run.name)
    assert body is not None
    status, metadata = body["status"], body["metadata"]
    recorded = {r["name"]: r["uid"] for r in status["tasks"]}
    assert recorded == {t["metadata"]["name"]: t["metadata"]["uid"] for t in found}
    states = {_kind(t): t["status"]["state"] for t in found}
    assert states.items() >= run.tasks().items()
    assert set(states.values()) <= {"Complete", "Skipped"}
    counts = status["resources"]
    assert counts["complete"] + counts["skipped"] == counts["total"]
    assert counts["complete"] >= len(run.servers)
    assert condition(body, "Succeeded") == "True"
    assert status["state"] == "Succeeded"
    assert [c["key"] for c in status["commands"]] == [f"leeward.dev/{c}" for c in run.commands]
    (gate,) = status["gates"]
    answers = [(a["user"], a["verdict"]) for a in gate["answers"]]
    assert (gate["name"], gate["state"]) == (GATE, "Approved")
    assert answers == [(USER_NAMES[APPROVER], "Approve")]
    assert "accepting" not in status
    assert not any("approve" in key for key in metadata.get("annotations", {}))
    assert [e["reason"] for e in status["events"]].count("Succeeded") == 1


def _kind(task: Object) -> str:
    return f"{task['spec']['recoveryPhase']} {task['spec']['technology']}"


def _assert_released(run: Run) -> None:
    plan = run.bench.get("recoveryplans", run.application.name)
    body = run.bench.get("drexecutions", run.name)
    assert plan is not None
    assert body is not None
    assert "activeExecution" not in plan["status"]
    assert [h["name"] for h in plan["status"]["history"]] == [run.name]
    moved = run.operation == "Failover"
    assert plan["status"]["location"] == ("Recovery" if moved else "Primary")
    assert not body["metadata"].get("finalizers")
    assert not any("leeward.dev/live" in t["metadata"]["labels"] for t in tasks(run))
