from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from leeward.planning.outlook.preflight import Preflight, preflight

if TYPE_CHECKING:
    from tests.planning.conftest import Build

Given = dict[str, Any]
RECOVERED = {"recoveryInstanceId": "i-2", "recoveryInstanceDrill": "false"}
CHECK = {"severity": "Blocking", "reason": "SubnetGone", "message": "no subnet"}


def judge(build: Build, **given: Any) -> Preflight:
    """Preflight of a run that may start, with parts of it replaced."""
    execution = build.execution(**given.get("execution", {}))
    plan = build.plan(**{"status": build.ready(), **given.get("plan", {})})
    if "generation" in given:
        metadata = plan.metadata.model_copy(update={"generation": given["generation"]})
        plan = plan.model_copy(update={"metadata": metadata})
    servers = [build.server(**s) for s in given.get("servers", [{}])]
    inventories = [build.inventory(*servers, **given.get("inventory", {}))]
    return preflight(
        execution,
        plan,
        build.accounts(**given.get("account", {})),
        [] if given.get("undiscovered") else inventories,
        now=build.now,
        live_elsewhere=given.get("live", {}),
    )


def reasons(result: Preflight) -> list[str]:
    return [refusal.reason for refusal in result.refusals]


def noted(result: Preflight) -> list[str]:
    return [finding.partition(":")[0] for finding in result.findings]


@pytest.mark.parametrize("mode", ["Planned", "Unplanned"])
@pytest.mark.parametrize("operation", ["Failover", "Test"])
def test_a_plan_in_order_may_start(build: Build, operation: str, mode: str) -> None:
    result = judge(build, execution={"operation": operation, "mode": mode})
    assert result == Preflight()


def refusing(action: str, subject: str) -> Given:
    """An account whose recovery role may not use something of that name."""
    refused = [{"action": action, "subject": subject, "message": f"the thing {subject}"}]
    return {"status": {"roles": [{"use": "Recovery", "assumed": "Yes", "refused": refused}]}}


def test_a_profile_that_the_role_may_not_pass_refuses_what_would_launch_with_it(
    build: Build,
) -> None:
    given: Given = {
        "account": refusing("iam:PassRole", "app-servers"),
        "servers": [{"launch": {"iamInstanceProfile": "app-servers"}}],
    }
    assert reasons(judge(build, **given)) == ["NotAllowedByName"]
    unplanned = judge(build, execution={"mode": "Unplanned"}, **given)
    assert (reasons(unplanned), noted(unplanned)) == ([], ["NotAllowedByName"])
    other = [{"launch": {"iamInstanceProfile": "web-servers"}}]
    assert judge(build, **{**given, "servers": other}) == Preflight()


def test_a_document_that_the_role_may_not_run_refuses_what_would_run_it(build: Build) -> None:
    automation = {
        "accountRef": {"name": "prod"}, "documentName": "drain", "documentVersion": "1"
    }  # fmt: skip
    task = {
        "name": "drain", "recoveryPhase": "Activate", "type": "Automation", "automation": automation
    }  # fmt: skip
    given: Given = {
        "account": refusing("ssm:StartAutomationExecution", "drain"),
        "plan": {"waves": [{"name": "web", "tasks": [task]}]},
    }
    assert "NotAllowedByName" in reasons(judge(build, **given))
    drill = judge(build, execution={"operation": "Test"}, **given)
    assert "NotAllowedByName" not in reasons(drill)


HISTORY = {
    "name": "shop-1",
    "uid": "old",
    "operation": "Failover",
    "state": "Succeeded",
    "completionTime": "2026-02-01T00:00:00Z",
}
SERVER = "arn:aws:drs:us-east-2:111111111111:source-server/s-00000000000000001"
NOT_READY = {
    "conditions": [
        {
            "type": "Ready",
            "status": "False",
            "reason": "RoleNotUsable",
            "message": "role refused",
            "lastTransitionTime": "2026-03-01T00:00:00Z",
        }
    ]
}
IMPOSSIBLE: list[tuple[str, Given, str, str]] = [
    (
        "its time is over",
        {"execution": {"startBefore": "2026-03-01T02:00:00Z"}},
        "Expired",
        "create an execution of another name",
    ),
    (
        "its time cannot be read",
        {"execution": {"startBefore": "2026-03-01T02:00:00"}},
        "InvalidTime",
        "no time zone",
    ),
    (
        "a service account gives no limit",
        {"execution": {"requested_by": "system:serviceaccount:argocd:controller"}},
        "StartBeforeMissing",
        "spec.startBefore",
    ),
    (
        "a service account gives no limit to what follows a Test",
        {
            "execution": {
                "requested_by": "system:serviceaccount:argocd:controller",
                "operation": "Test",
                "then": [{"operation": "Failover"}],
            }
        },
        "StartBeforeMissing",
        "spec.startBefore",
    ),
    (
        "a wave is asked for that the plan does not have",
        {"execution": {"waves": ["data", "dta"]}},
        "UnknownWave",
        "no wave dta, it has data, app, web",
    ),
    (
        "a resource is asked for that the plan does not select",
        {"execution": {"resources": {"exclude": ["s-9"]}}},
        "UnknownResource",
        "selects no resource s-9",
    ),
    (
        "nothing is left of the plan",
        {"execution": {"waves": ["web"]}},
        "EmptyInventory",
        "selects no resource",
    ),
    (
        "it continues a run that does not exist",
        {"execution": {"continueFrom": {"name": "shop-0"}}},
        "NothingToContinue",
        "no other execution shop-0 in namespace acme",
    ),
    (
        "the name was used",
        {"plan": {"status": {"history": [HISTORY]}}},
        "AlreadyRan",
        "it ended Succeeded",
    ),
    (
        "the plan is invalid",
        {"plan": {"waves": [{"name": "data", "number": 2}, {"name": "app"}]}},
        "InvalidPlan",
        "RecoveryPlan shop is invalid: waves data and app both take dr:wave=2",
    ),
    (
        "its gate belongs to no wave",
        {"execution": {"gates": [{"wave": "nope"}]}},
        "InvalidGate",
        "no wave nope",
    ),
    (
        "two of its gates have one name",
        {"execution": {"gates": [{"wave": "data", "name": "go"}, {"wave": "app", "name": "go"}]}},
        "InvalidGate",
        "name go is taken",
    ),
    (
        "its gate is named as the operator names its own",
        {"execution": {"gates": [{"wave": "data", "before": "Instantiate", "name": "lag-data"}]}},
        "InvalidGate",
        "names that begin with lag- are the operator's own",
    ),
    (
        "the plan refuses automatic approval",
        {"execution": {"approvalMode": "Automatic"}},
        "AutomaticRefused",
        "plan shop does not allow",
    ),
    *(
        (
            f"the account demands approval ({key})",
            {
                "execution": {"approvalMode": "Automatic"},
                "plan": {"approval": {"automatic": "Allowed"}},
                "account": {"allow": {key: value}},
            },
            "AutomaticRefused",
            "TargetAccount prod refuses",
        )
        for key, value in (
            ("automaticApproval", "Refused"),
            ("minApprovals", 1),
            ("fourEyes", "Required"),
        )
    ),
    (
        "the account refuses the operation",
        {"account": {"allow": {"operations": ["Test"]}}},
        "OperationRefused",
        "does not allow Failover, only Test",
    ),
    ("no account is usable", {"account": {"status": NOT_READY}}, "NoUsableAccount", "role refused"),
    ("nothing is selected", {"servers": []}, "EmptyInventory", "selects no resource"),
    ("nothing was ever discovered", {"undiscovered": True}, "NotDiscovered", "account prod"),
    (
        "another run works on a server",
        {"live": {("111111111111", SERVER): "crm-7"}},
        "ResourcesBusy",
        "1 resource of this run is in the live execution crm-7: srv-1 (prod, us-east-2)",
    ),
]


@pytest.mark.parametrize("mode", ["Planned", "Unplanned"])
@pytest.mark.parametrize(
    ("given", "reason", "words"), [c[1:] for c in IMPOSSIBLE], ids=[c[0] for c in IMPOSSIBLE]
)
def test_a_run_is_refused_in_every_mode_when(
    build: Build, given: Given, reason: str, words: str, mode: str
) -> None:
    given = dict(given, execution={**given.get("execution", {}), "mode": mode})
    if status := given.get("plan", {}).get("status"):
        given["plan"] = {**given["plan"], "status": build.ready(**status)}
    result = judge(build, **given)
    assert reasons(result) == [reason]
    assert words in result.refusals[0].message


BY_MODE: list[tuple[str, Given, str, str]] = [
    (
        "the plan was edited and not assessed since",
        {"generation": 4},
        "PlanNotAssessed",
        "kubectl wait rp/shop -n acme --for=condition=Ready",
    ),
    (
        "the plan has fields without effect",
        {"plan": {"historyLimits": {"runs": 2}}},
        "Unsupported",
        "RecoveryPlan: spec.historyLimits",
    ),
    (
        "the execution has fields without effect",
        {"execution": {"priority": 5}},
        "Unsupported",
        "execution: spec.priority",
    ),
    (
        "an account is silent",
        {"inventory": {"current": False, "problem": "timed out"}},
        "AccountSilent",
        "account prod did not answer the last discovery (timed out)",
    ),
    (
        "the inventory is old",
        {"inventory": {"discoveredAt": "2026-03-01T01:44:00Z"}},
        "InventoryOld",
        "account prod",
    ),
    (
        "the inventory knows waves that are gone",
        {"servers": [{}, {"number": 2, "wave": "gone"}]},
        "InventoryOutdated",
        "srv-2 (prod, us-east-2)",
    ),
    (
        "a check blocks",
        {"inventory": {"findings": [{**CHECK, "resource": "s-00000000000000001"}]}},
        "SubnetGone",
        "srv-1 (prod, us-east-2): no subnet",
    ),
    (
        "a check of the whole account blocks",
        {"inventory": {"findings": [CHECK]}},
        "SubnetGone",
        "account prod: no subnet",
    ),
]


@pytest.mark.parametrize("execution", [{"mode": "Planned"}, {"operation": "Test"}])
@pytest.mark.parametrize(
    ("given", "reason", "words"), [c[1:] for c in BY_MODE], ids=[c[0] for c in BY_MODE]
)
def test_a_planned_run_or_a_test_is_refused_when(
    build: Build, given: Given, reason: str, words: str, execution: Given
) -> None:
    given = dict(given, execution={**given.get("execution", {}), **execution})
    result = judge(build, **given)
    assert reasons(result) == [reason]
    assert words in result.refusals[0].message


@pytest.mark.parametrize(
    ("given", "reason", "words"), [c[1:] for c in BY_MODE], ids=[c[0] for c in BY_MODE]
)
def test_an_unplanned_run_goes_on_and_says_so_when(
    build: Build, given: Given, reason: str, words: str
) -> None:
    given = dict(given, execution={**given.get("execution", {}), "mode": "Unplanned"})
    result = judge(build, **given)
    assert result.refusals == ()
    assert noted(result) == [reason]
    assert words in result.findings[0]


RETIRED = {"retiredInstanceId": "i-2"}
NOTED: list[tuple[str, Given, str]] = [
    (
        "lag above the objective",
        {"plan": {"objectives": {"rpo": "15m"}}, "servers": [{"attributes": {"lag": "PT40M"}}]},
        "LagAboveObjective: 1 server: srv-1 (prod, us-east-2): replication lags by 40m, 15m is",
    ),
    (
        "replication that does not run",
        {"servers": [{"attributes": {"replicationState": "STALLED"}}]},
        "NotReplicating: 1 server: srv-1 (prod, us-east-2): replication is STALLED",
    ),
    (
        "degrading checks",
        {"inventory": {"findings": [{**CHECK, "severity": "Degraded"}]}},
        "SubnetGone: 1 finding, such as account prod: no subnet",
    ),
    (
        "what is excluded by tags",
        {"servers": [{}, {"number": 2, "verdict": "Excluded"}]},
        "Excluded: 1 resource left out by tags: srv-2 (prod, us-east-2)",
    ),
    (
        "what has no adapter",
        {"servers": [{}, {"number": 2, "technology": "ecs", "verdict": "NoAdapter"}]},
        "NoAdapter: no adapter for ecs; left out",
    ),
    (
        "servers that were recovered before",
        {
            "servers": [
                {"attributes": {"recoveryInstanceId": "i-2", "recoveryInstanceDrill": "false"}}
            ]
        },
        "RecoveryInstanceExists: 1 server already recovered",
    ),
    (
        "the same when readiness says it too",
        {
            "servers": [
                {"attributes": {"recoveryInstanceId": "i-2", "recoveryInstanceDrill": "false"}}
            ],
            "inventory": {
                "findings": [{**CHECK, "severity": "Warning", "reason": "LiveRecoveryInstance"}]
            },
        },
        "RecoveryInstanceExists: 1 server already recovered",
    ),
    (
        "as many as there are, with the first of them",
        {
            "inventory": {
                "findings": [{**CHECK, "severity": "Warning", "message": f"{n}"} for n in range(9)]
            }
        },
        "SubnetGone: 9 findings, such as account prod: 0",
    ),
    (
        "servers whose failback ended on its way",
        {
            "servers": [
                {"attributes": {"retiredInstanceId": "i-2", "failbackInstanceId": "i-3"}},
                {"number": 2, "attributes": RETIRED},
            ]
        },
        "FailbackUnfinished: 1 finding, such as srv-1",
    ),
]


@pytest.mark.parametrize("mode", ["Planned", "Unplanned"])
@pytest.mark.parametrize(("given", "words"), [n[1:] for n in NOTED], ids=[n[0] for n in NOTED])
def test_approvers_are_told_of(build: Build, given: Given, words: str, mode: str) -> None:
    result = judge(build, **given, execution={"mode": mode})
    assert result.refusals == ()
    (finding,) = result.findings
    assert finding.startswith(words)


def test_a_test_without_a_drill_network_is_refused(build: Build) -> None:
    result = judge(build, execution={"operation": "Test"}, plan={"drill": {"networks": []}})
    assert reasons(result) == ["NoDrillNetwork"]
    assert "account prod (111111111111)" in result.refusals[0].message


@pytest.mark.parametrize(("drill", "refused"), [("true", False), ("false", True), (None, True)])
def test_a_test_never_launches_over_a_real_recovery(
    build: Build, drill: str | None, refused: bool
) -> None:
    attributes = {"recoveryInstanceId": "i-2", "recoveryInstanceDrill": drill}
    result = judge(build, execution={"operation": "Test"}, servers=[{"attributes": attributes}])
    assert reasons(result) == (["RecoveryInstanceExists"] if refused else [])


@pytest.mark.parametrize(("home", "refused"), [("i-3", True), (None, False)])
def test_a_test_never_replaces_what_holds_the_data_of_a_failback(
    build: Build, home: str | None, refused: bool
) -> None:
    attributes = {**RETIRED, "failbackInstanceId": home}
    result = judge(build, execution={"operation": "Test"}, servers=[{"attributes": attributes}])
    assert reasons(result) == (["FailbackUnfinished"] if refused else [])


def test_checks_of_resources_that_are_left_out_do_not_matter(build: Build) -> None:
    servers = [{}, {"number": 2, "verdict": "NotSelected"}]
    findings = [{**CHECK, "resource": "s-00000000000000002"}]
    assert judge(build, servers=servers, inventory={"findings": findings}) == Preflight()


def test_a_record_set_that_its_zone_lacks_refuses_a_planned_run(build: Build) -> None:
    finding = {**CHECK, "reason": "RecordSetMissing", "resource": "shop.example.com. A"}
    plan = {"waves": [{"name": "data", "tasks": [build.dns_task()]}]}
    result = judge(build, plan=plan, inventory={"findings": [finding]})
    assert reasons(result) == ["RecordSetMissing"]
    assert "shop.example.com. A (prod, task switch)" in result.refusals[0].message


def test_dns_alone_can_fail_over_but_not_be_rehearsed(build: Build) -> None:
    plan = {"waves": [{"name": "web", "tasks": [build.dns_task()]}]}
    assert judge(build, plan=plan, servers=[]).refusals == ()
    rehearsal = judge(build, plan=plan, servers=[], execution={"operation": "Test"})
    assert reasons(rehearsal) == ["EmptyInventory"]


def test_dns_is_not_switched_while_nobody_knows_of_the_servers(build: Build) -> None:
    plan = {"waves": [{"name": "web", "tasks": [build.dns_task()]}]}
    result = judge(build, plan=plan, undiscovered=True, execution={"mode": "Unplanned"})
    assert reasons(result) == ["NotDiscovered"]


def test_an_expired_run_says_so_first(build: Build) -> None:
    execution = {"startBefore": "2026-03-01T01:00:00Z", "waves": ["gone"]}
    assert reasons(judge(build, execution=execution)) == ["Expired", "UnknownWave"]


def test_a_service_account_may_rehearse_without_a_limit(build: Build) -> None:
    requester = "system:serviceaccount:acme:schedule"
    execution = {"requested_by": requester, "operation": "Test"}
    assert judge(build, execution=execution) == Preflight()


def test_an_unknown_plan_is_named(build: Build) -> None:
    result = preflight(build.execution(), None, {}, [], now=build.now, live_elsewhere={})
    assert reasons(result) == ["UnknownPlan"]
    assert "RecoveryPlan shop in namespace acme" in result.refusals[0].message


@pytest.mark.parametrize(
    ("given", "passing"),
    [
        ({"generation": 4}, True),
        ({"undiscovered": True}, True),
        ({"generation": 4, "servers": []}, False),
        ({}, False),
    ],
)
def test_a_refusal_that_waiting_may_end_is_known_as_such(
    build: Build, given: Given, passing: bool
) -> None:
    assert judge(build, **given).passing is passing


def test_findings_stay_within_their_number(build: Build) -> None:
    findings = [{**CHECK, "severity": "Warning", "reason": f"R{n:02d}"} for n in range(35)]
    result = judge(build, inventory={"findings": findings})
    assert len(result.findings) == 30
    assert result.findings[-1] == "and 6 more"


def test_many_servers_make_one_finding(build: Build) -> None:
    stalled = {"attributes": {"replicationState": "STALLED"}}
    result = judge(build, servers=[{"number": n, **stalled} for n in range(1, 251)])
    (finding,) = result.findings
    assert finding.startswith("NotReplicating: 250 servers: ")
    assert " and 247 more: replication is STALLED; look at the server" in finding


GONE = {"missingSince": "2026-03-01T01:00:00Z"}


@pytest.mark.parametrize("execution", [{"operation": "Test"}, {"mode": "Planned"}])
def test_what_vanished_refuses_a_run_that_would_leave_it_behind(
    build: Build, execution: Given
) -> None:
    result = judge(build, servers=[{}, {"number": 2, **GONE}], execution=execution)
    assert reasons(result) == ["InventoryShrank"]
    assert "vanished at 2026-03-01T01:00:00Z" in result.refusals[0].message


def test_an_unplanned_run_works_on_what_vanished_and_says_so(build: Build) -> None:
    result = judge(build, servers=[GONE], execution={"mode": "Unplanned"})
    assert result.refusals == ()
    assert noted(result) == ["InventoryShrank"]


# --- what the plan depends on --------------------------------------------------------------------

DEPENDENCY = {"name": "directory", "type": "ActiveDirectory", "target": "corp.example.com"}


def _depends(build: Build, state: str | None) -> Given:
    known = {"name": "directory", "type": "ActiveDirectory", "state": state, "message": "dead"}
    status = build.ready(**({"dependencies": [known]} if state else {}))
    return {"plan": {"dependencies": [DEPENDENCY], "status": status}}


@pytest.mark.parametrize(
    ("state", "reason"),
    [("Failed", "DependencyFailed"), ("Unknown", "DependencyUnknown"), (None, "DependencyUnknown")],
)
@pytest.mark.parametrize("run", [{"operation": "Test", "mode": "Unplanned"}, {"mode": "Planned"}])
def test_a_dependency_that_does_not_hold_refuses_a_test_and_a_planned_run(
    build: Build, state: str | None, reason: str, run: Given
) -> None:
    result = judge(build, execution=run, **_depends(build, state))
    assert reasons(result) == [reason]
    assert "dependency directory (ActiveDirectory)" in result.refusals[0].message


@pytest.mark.parametrize("state", ["Failed", "Unknown"])
def test_approvers_of_an_unplanned_run_read_what_does_not_hold(build: Build, state: str) -> None:
    result = judge(build, execution={"mode": "Unplanned"}, **_depends(build, state))
    assert result.refusals == ()
    assert noted(result) == [f"Dependency{state}"]


def test_a_dependency_that_holds_is_not_spoken_of(build: Build) -> None:
    assert judge(build, **_depends(build, "Holds")) == Preflight()


def test_a_parameter_that_the_check_does_not_take_makes_the_plan_invalid(build: Build) -> None:
    wrong = {**DEPENDENCY, "type": "Tcp", "target": "dc:389", "parameters": {"source": "x"}}
    result = judge(build, plan={"dependencies": [wrong], "status": build.ready()})
    assert reasons(result)[0] == "InvalidPlan"
    assert "it takes: timeout" in result.refusals[0].message
