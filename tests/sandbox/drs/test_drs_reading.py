"""What DRS shows: replication, pages, filters, snapshots, settings, tags."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from leeward_sandbox.aws.backend import AwsError

P, R = "us-east-1", "us-east-2"


def all_pages(lab: Any, operation: str, **params: Any) -> list[list[Any]]:
    pages, token = [], None
    while True:
        more: dict[str, Any] = {"nextToken": token} if token else {}
        answer = lab.call(operation, **params, **more)
        pages.append(answer["items"])
        token = answer.get("nextToken")
        if token is None:
            return pages


def refused(lab: Any, operation: str, **params: Any) -> AwsError:
    with pytest.raises(AwsError) as caught:
        lab.call(operation, **params)
    return caught.value


def test_an_uninitialised_region_refuses_everything_but_initialising(lab: Any) -> None:
    with pytest.raises(AwsError) as caught:
        lab.call("DescribeSourceServers", region="eu-west-1")
    assert (caught.value.code, caught.value.status) == ("UninitializedAccountException", 400)
    lab.call("InitializeService", region="eu-west-1")
    assert lab.call("DescribeSourceServers", region="eu-west-1")["items"] == []


def test_an_operation_that_is_not_modelled_says_so(lab: Any) -> None:
    error = refused(lab, "StartRecoveryPlanExecution")
    assert "sandbox's DRS does not have StartRecoveryPlanExecution" in error.message


def test_a_healthy_server_is_described_as_recorded_output_shows_it(lab: Any) -> None:
    server = lab.described()
    info = server["dataReplicationInfo"]
    assert (info["dataReplicationState"], info["lagDuration"]) == ("CONTINUOUS", "P0D")
    disk = info["replicatedDisks"][0]
    assert disk["rescannedStorageBytes"] == disk["totalStorageBytes"] == 100 * 1024**3
    assert disk["backloggedStorageBytes"] == 0
    assert "dataReplicationError" not in info
    assert server["replicationDirection"] == "FAILOVER"
    assert server["sourceCloudProperties"]["originRegion"] == P
    hints = server["sourceProperties"]["identificationHints"]
    assert hints["awsInstanceID"] == lab.seeded.servers["app-01"].instance_id
    assert server["tags"]["source:instance-id"] == hints["awsInstanceID"]
    assert server["lifeCycle"]["addedToServiceDateTime"] == "2026-07-02T12:00:00.000000+00:00"


def test_the_lag_of_a_stalled_server_grows(lab: Any) -> None:
    lab.change(state="STALLED", lag="PT5M", error="AGENT_NOT_SEEN")
    lab.wait(600)
    info = lab.described()["dataReplicationInfo"]
    assert info["lagDuration"] == "PT15M"
    assert info["dataReplicationError"] == {"error": "AGENT_NOT_SEEN"}
    seen = lab.described()["lifeCycle"]["lastSeenByServiceDateTime"]
    assert seen == "2026-08-01T12:00:00.000000+00:00"


def test_a_lagging_server_keeps_its_lag_and_shows_a_backlog(lab: Any) -> None:
    lab.change(lag="PT40M")
    lab.wait(600)
    info = lab.described()["dataReplicationInfo"]
    assert (info["dataReplicationState"], info["lagDuration"]) == ("CONTINUOUS", "PT40M")
    assert info["replicatedDisks"][0]["backloggedStorageBytes"] > 0


def test_all_servers_of_a_region_can_be_changed_at_once(lab: Any) -> None:
    assert len(lab.change("*", state="STALLED")["changed"]) == 3
    items = lab.call("DescribeSourceServers")["items"]
    assert {i["dataReplicationInfo"]["dataReplicationState"] for i in items} == {"STALLED"}


def test_a_change_of_an_unknown_server_says_which(lab: Any) -> None:
    with pytest.raises(ValueError, match="s-0000"):
        lab.change("s-00000000000000000", state="STALLED")


def test_a_change_with_an_unknown_key_is_refused(lab: Any) -> None:
    with pytest.raises(ValueError, match="colour"):
        lab.change(colour="red")


def test_servers_are_found_by_their_ec2_instance(lab: Any) -> None:
    instance = lab.seeded.servers["app-02"].instance_id
    found = lab.call("DescribeSourceServers", filters={"hardwareId": instance})["items"]
    assert [s["sourceServerID"] for s in found] == [lab.server("app-02")]


def test_pages_together_are_the_whole_list(make_lab: Any) -> None:
    lab = make_lab(7, {"pages": {"sourceServers": 3}})
    pages = all_pages(lab, "DescribeSourceServers")
    assert [len(page) for page in pages] == [3, 3, 1]
    assert len({s["sourceServerID"] for page in pages for s in page}) == 7


def test_a_token_is_refused_with_other_filters(make_lab: Any) -> None:
    lab = make_lab(2, {"pages": {"sourceServers": 1}})
    token = lab.call("DescribeSourceServers")["nextToken"]
    other = {"sourceServerIDs": [lab.server()]}
    assert refused(lab, "DescribeSourceServers", filters=other, nextToken=token).code == (
        "ValidationException"
    )
    assert refused(lab, "DescribeSourceServers", nextToken="nonsense").code == (
        "ValidationException"
    )


def test_jobs_come_newest_first_and_by_date(lab: Any) -> None:
    ids = []
    for name in ("app-01", "app-02", "app-03"):
        ids.append(lab.start(lab.server(name))["jobID"])
        lab.wait(60)
    assert [j["jobID"] for j in lab.call("DescribeJobs")["items"]] == ids[::-1]
    window = {"fromDate": "2026-08-01T12:01:00Z", "toDate": "2026-08-01T12:01:00Z"}
    assert [j["jobID"] for j in lab.call("DescribeJobs", filters=window)["items"]] == [ids[1]]


def test_jobs_are_found_by_their_tags_after_a_lost_answer(lab: Any) -> None:
    lab.start(lab.server(), tags={"leeward:call": "abc"})
    jobs = lab.call("DescribeJobs", filters={"fromDate": "2026-08-01T11:58:00Z"})["items"]
    assert [j["tags"] for j in jobs] == [{"leeward:call": "abc"}]
    assert lab.start(lab.server("app-02"))["tags"] == {}


def test_a_new_job_can_be_invisible_for_a_while(make_lab: Any) -> None:
    lab = make_lab(1, {"jobsVisibleAfter": 5})
    lab.start()
    lab.wait(4)
    assert lab.call("DescribeJobs")["items"] == []
    lab.wait(1)
    assert len(lab.call("DescribeJobs")["items"]) == 1


def test_snapshots_follow_the_pit_policy(lab: Any) -> None:
    pages = all_pages(lab, "DescribeRecoverySnapshots", sourceServerID=lab.server())
    times = [datetime.fromisoformat(s["timestamp"]) for page in pages for s in page]
    assert times == sorted(times)
    now = lab.world.clock.now()
    assert times[-1] == now
    # 10-minute points of an hour, hourly ones of a day, daily ones of a week; some coincide.
    assert sum(t >= now - timedelta(hours=1) for t in times) == 7
    assert times[0] == datetime.fromisoformat("2026-07-26T00:00:00+00:00")
    # 7, 23 earlier hours and 6 earlier midnights.
    assert len(times) == 36


def test_snapshots_are_found_by_time_and_order(lab: Any) -> None:
    found = lab.call(
        "DescribeRecoverySnapshots",
        sourceServerID=lab.server(),
        order="DESC",
        filters={"fromDateTime": "2026-08-01T11:40:00Z", "toDateTime": "2026-08-01T11:55:00Z"},
    )["items"]
    assert [s["timestamp"][11:16] for s in found] == ["11:50", "11:40"]


def test_launch_settings_change_only_where_given(lab: Any) -> None:
    before = lab.call("GetLaunchConfiguration", sourceServerID=lab.server())
    after = lab.call(
        "UpdateLaunchConfiguration", sourceServerID=lab.server(), launchDisposition="STOPPED"
    )
    assert after == before | {"launchDisposition": "STOPPED"}
    assert lab.call("GetLaunchConfiguration", sourceServerID=lab.server()) == after


def test_replication_settings_change_only_where_given(lab: Any) -> None:
    before = lab.call("GetReplicationConfiguration", sourceServerID=lab.server())
    after = lab.call(
        "UpdateReplicationConfiguration", sourceServerID=lab.server(), bandwidthThrottling=100
    )
    assert after == before | {"bandwidthThrottling": 100}


def test_replication_templates_live_and_die(lab: Any) -> None:
    made = lab.call(
        "CreateReplicationConfigurationTemplate",
        stagingAreaSubnetId="subnet-00000000",
        replicationServersSecurityGroupsIDs=[],
        ebsEncryption="DEFAULT",
        bandwidthThrottling=0,
        stagingAreaTags={},
        pitPolicy=[{"units": "MINUTE", "interval": 10, "retentionDuration": 60}] * 3,
    )
    identity = {"replicationConfigurationTemplateID": made["replicationConfigurationTemplateID"]}
    lab.call("UpdateReplicationConfigurationTemplate", **identity, bandwidthThrottling=5)
    listed = lab.call("DescribeReplicationConfigurationTemplates")["items"]
    assert [t["bandwidthThrottling"] for t in listed] == [5]
    lab.call("DeleteReplicationConfigurationTemplate", **identity)
    assert refused(lab, "DeleteReplicationConfigurationTemplate", **identity).status == 404


def test_there_is_one_launch_template_per_region(lab: Any) -> None:
    made = lab.call("CreateLaunchConfigurationTemplate", launchDisposition="STOPPED")
    template = made["launchConfigurationTemplate"]
    assert refused(lab, "CreateLaunchConfigurationTemplate").members["quotaCode"] == "L-1F3FAE4D"
    identity = {"launchConfigurationTemplateID": template["launchConfigurationTemplateID"]}
    changed = lab.call("UpdateLaunchConfigurationTemplate", **identity, copyTags=False)
    assert changed["launchConfigurationTemplate"]["copyTags"] is False
    assert len(lab.call("DescribeLaunchConfigurationTemplates")["items"]) == 1
    lab.call("DeleteLaunchConfigurationTemplate", **identity)
    assert lab.call("DescribeLaunchConfigurationTemplates")["items"] == []


def test_launch_actions_are_replaced_by_id(lab: Any) -> None:
    action: dict[str, Any] = {
        "resourceId": lab.server(),
        "actionId": "11111111-1111-4111-8111-111111111111",
        "actionCode": "AWS-RunShellScript",
        "actionVersion": "1",
        "order": 10,
        "optional": False,
        "active": True,
        "name": "check",
        "category": "VALIDATION",
        "description": "checks",
    }
    lab.call("PutLaunchAction", **action)
    lab.call("PutLaunchAction", **(action | {"name": "again"}))
    listed = lab.call("ListLaunchActions", resourceId=lab.server())["items"]
    assert [a["name"] for a in listed] == ["again"]
    other = action | {"actionId": "22222222-2222-4222-8222-222222222222"}
    assert refused(lab, "PutLaunchAction", **other).code == "ConflictException"
    lab.call("DeleteLaunchAction", resourceId=lab.server(), actionId=action["actionId"])
    assert lab.call("ListLaunchActions", resourceId=lab.server())["items"] == []


def test_tags_of_servers_jobs_and_instances_can_be_changed(lab: Any) -> None:
    job = lab.launch(lab.server())
    for arn in (lab.described()["arn"], job["arn"], lab.instance()["arn"]):
        lab.call("TagResource", resourceArn=arn, tags={"leeward:unit": "u1", "more": "x"})
        lab.call("UntagResource", resourceArn=arn, tagKeys=["more"])
        tags = lab.call("ListTagsForResource", resourceArn=arn)["tags"]
        assert (tags["leeward:unit"], "more" in tags) == ("u1", False)
    assert lab.described()["tags"]["leeward:unit"] == "u1"
    other = lab.described()["arn"].replace(lab.account, "999999999999")
    assert refused(lab, "ListTagsForResource", resourceArn=other).status == 404


def test_servers_are_extended_only_from_an_account_that_trusts(lab: Any) -> None:
    target = str(int(lab.account) + 500_000_000_000)
    lab.drs.initialize(target, R)
    arn = lab.described()["arn"]
    with pytest.raises(AwsError, match="does not trust"):
        lab.call("CreateExtendedSourceServer", account=target, sourceServerArn=arn)
    lab.drs.trust(lab.account, R, target)
    accounts = lab.call("ListStagingAccounts", account=target)["accounts"]
    assert accounts == [{"accountID": lab.account}]
    made = lab.call("CreateExtendedSourceServer", account=target, sourceServerArn=arn)
    server = made["sourceServer"]
    assert server["stagingArea"]["status"] == "EXTENDED"
    assert server["stagingArea"]["stagingSourceServerArn"] == arn
    lab.change(state="STALLED")
    seen = lab.call("DescribeSourceServers", account=target)["items"][0]
    assert seen["dataReplicationInfo"]["dataReplicationState"] == "STALLED"
    left = lab.call("ListExtensibleSourceServers", account=target, stagingAccountID=lab.account)
    assert len(left["items"]) == 2
