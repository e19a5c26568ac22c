"""Launch settings of an estate: on the plan, in frozen tasks, before a run, in a preview."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from leeward.api.launch import LaunchStatus, ServerLaunch
from leeward.api.plan_record import RecoveryPlanStatus
from leeward.planning.estate.inventory import by_account
from leeward.planning.launch.launch_estate import report, server_of, with_launches
from leeward.planning.outlook.preflight import preflight
from leeward.planning.outlook.preview import preview
from leeward.planning.outlook.preview_size import fitted
from leeward.planning.plans.plan_status import assess
from leeward.planning.problem import Problem
from leeward.planning.runs.freeze import freeze

if TYPE_CHECKING:
    from tests.planning.conftest import Build

SETTINGS = {"instanceType": "m5.large", "subnetId": "subnet-0123456789abcdef0"}
BAD = Problem("InvalidLaunchSettings", "ConfigMap estate, key defaults.yml: copytags: unknown")


def differing(number: int) -> dict[str, Any]:
    return {
        "resource": f"s-{number:017d}",
        "severity": "Warning",
        "reason": "LaunchSettingsDiffer",
        "message": f"s-{number:017d}: instanceType is t3.micro, wanted m5.large",
    }


def status_of(build: Build, launch: LaunchStatus | None, *found: Any) -> RecoveryPlanStatus:
    inventory = build.inventory(build.server(1, launch=SETTINGS), findings=list(found))
    return assess(
        build.plan(), build.accounts(), [inventory],
        now=build.now, valid=[], previous=RecoveryPlanStatus(), adapters=frozenset({"drs"}),
        launch=launch,
    )  # fmt: skip


def condition(status: RecoveryPlanStatus, kind: str) -> Any:
    return next((c for c in status.conditions if c.type == kind), None)


def test_a_plan_without_layers_has_no_condition_of_launch_settings(build: Build) -> None:
    status = status_of(build, None)
    assert (condition(status, "LaunchSettingsValid"), status.launch) == (None, None)


def test_the_status_counts_what_aws_has_otherwise(build: Build) -> None:
    status = status_of(build, LaunchStatus(digest="d", servers=1), differing(1))
    said = condition(status, "LaunchSettingsValid")
    assert (said.status, said.reason) == ("True", "LaunchSettingsResolved")
    assert "1 server with settings of the plan, of which AWS has 1 otherwise" in said.message
    assert status.launch is not None
    assert status.launch.differing == 1
    assert "wanted m5.large" in status.launch.examples[0]
    assert condition(status, "Ready").reason == "Ready"  # a launch sets it


def test_bad_settings_are_a_condition_and_the_plan_stays_ready(build: Build) -> None:
    status = status_of(build, report("d", {}, [BAD]))
    said = condition(status, "LaunchSettingsValid")
    assert (said.status, said.reason) == ("False", "InvalidLaunchSettings")
    assert "ConfigMap estate, key defaults.yml: copytags" in said.message
    assert "keep the settings that they had" in said.message
    ready = condition(status, "Ready")
    assert (ready.status, ready.reason) == ("True", "Degraded")
    assert "1 problem of launch settings" in ready.message


def test_a_report_keeps_some_problems_and_counts_all() -> None:
    said = report("d", {}, [Problem("LaunchSettingsUnfit", str(n)) for n in range(50)])
    assert (said.reason, said.problem_count, len(said.problems)) == ("LaunchSettingsUnfit", 50, 20)


@pytest.mark.parametrize(("mode", "refused"), [("Planned", True), ("Unplanned", False)])
def test_bad_settings_stop_a_planned_run_and_are_shown_in_an_unplanned_one(
    build: Build, mode: str, refused: bool
) -> None:
    launch = report("d", {}, [BAD]).to_api()
    plan = build.plan(status=build.ready(launch=launch))
    verdict = preflight(
        build.execution(mode=mode), plan, build.accounts(), [build.inventory(build.server())],
        now=build.now, live_elsewhere={},
    )  # fmt: skip
    assert ("InvalidLaunchSettings" in {r.reason for r in verdict.refusals}) is refused
    assert any("InvalidLaunchSettings" in f for f in verdict.findings) is not refused


def test_tasks_that_launch_carry_the_settings_and_no_others(build: Build) -> None:
    inventory = build.inventory(build.server(1, launch=SETTINGS), build.server(2))
    for operation in ("Failover", "Test"):
        frozen = freeze(
            build.execution(operation=operation), build.plan(), build.accounts(), [inventory]
        )
        carried = {
            t.spec.recovery_phase: [r.launch and r.launch.to_api() for r in t.spec.resources]
            for t in frozen.tasks
        }
        assert carried.pop("Instantiate") == [SETTINGS, None]
        assert all(not any(launches) for launches in carried.values())


def test_the_inventory_keeps_the_tags_that_layers_select_by(build: Build) -> None:
    found = build.found("drs", "s-1", tags={**build.tags, "Tier": "1", "Other": "2"})
    spec = build.plan().spec
    (kept,) = by_account(spec, [found], frozenset({"drs"}), tags=frozenset({"Tier"}))["prod"]
    assert (kept.tags.get("Tier"), kept.tags.get("Other")) == ("1", None)


def test_a_server_is_known_by_its_ids_and_its_address(build: Build) -> None:
    inventory = build.inventory(build.server(1, attributes={"sourceAddress": "10.0.1.7"}))
    (resource,) = inventory.status.resources
    server = server_of(resource, build.account_id)
    assert server.names == {resource.id, resource.arn, resource.attributes["originInstanceId"]}
    assert server.address == "10.0.1.7"
    (launched,) = with_launches([resource], {resource.arn: ServerLaunch(copy_tags=True)})
    assert launched.launch == ServerLaunch(copy_tags=True)


def preview_of(build: Build, numbers: range) -> Any:
    servers = [build.server(n, launch=SETTINGS) for n in numbers]
    inventory = build.inventory(*servers, findings=[differing(n) for n in [*numbers, 999]])
    whole, _ = preview(
        build.execution(), build.plan(status=build.ready()), build.accounts(), [inventory],
        now=build.now, live_elsewhere={}, permissions=lambda _: {}, leading=(),
    )  # fmt: skip
    return whole


def test_a_preview_shows_the_settings_that_would_change(build: Build) -> None:
    launch = preview_of(build, range(1, 3)).launch
    assert (launch.servers, launch.differing) == (2, 2)
    assert "instanceType is t3.micro, wanted m5.large" in launch.changes[0]


def test_a_preview_in_a_status_keeps_some_of_many_changes(build: Build) -> None:
    whole = fitted(preview_of(build, range(1, 400)))
    assert (whole.launch.differing, len(whole.launch.changes)) == (399, 10)
    assert whole.left_out[0].startswith("changes of launch settings")


def test_a_preview_of_a_run_without_settings_says_nothing_of_them(build: Build) -> None:
    whole, _ = preview(
        build.execution(), build.plan(status=build.ready()), build.accounts(),
        [build.inventory(build.server())],
        now=build.now, live_elsewhere={}, permissions=lambda _: {}, leading=(),
    )  # fmt: skip
    assert whole.launch is None
