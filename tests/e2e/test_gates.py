"""Gates and steering: who may answer, what an answer comes to, and how a run is held and ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ACCOUNT_A = "111111111111"
APPROVER, SECOND = "approver-a@example.com", "approver-b@example.com"
GATED = [{"name": "data", "gates": [{"before": "Instantiate"}]}]
GATE = "wave-data"
BINDING = "leeward-commands.leeward.dev"


def answer(lab: Any, name: str, verdict: str = "approve", user: str = "approver-a") -> Any:
    """Answer the gate of the first wave in one's own name."""
    return lab.annotate("drx", name, f"{verdict}-{GATE}.{user}", f"{user}@example.com", user)


def events(lab: Any, name: str) -> dict[str, str]:
    """Type of each event about the execution, by reason."""
    rows = lab.kubectl(
        *("get", "events", "--field-selector", f"involvedObject.name={name}"),
        *("-o", 'jsonpath={range .items[*]}{.reason} {.type}{"\\n"}{end}'),
    ).stdout.splitlines()
    return dict(row.split() for row in rows)


def states(lab: Any, name: str) -> dict[str, str]:
    """State of each task by its phase; the runs of these tests have one task of each."""
    return {
        t["spec"]["recoveryPhase"]: t["status"]["state"]
        for t in lab.tasks(name).values()
        if t["spec"]["wave"] == "data"
    }


def frozen_in_launch(lab: Any, **plan: Any) -> str:
    """A run whose first DRS job has begun and cannot go on: AWS's clock stands still."""
    lab.ready_plan(**{"waves": [{"name": "data"}], **plan})
    lab.control.scale(0)
    name: str = lab.start()
    lab.until("servers are being launched", lab.launches)
    return name


def test_a_rejected_gate_holds_the_run_and_can_still_be_approved(lab: Any) -> None:
    lab.ready_plan(waves=GATED)
    with lab.untouched():
        name = lab.start()
        lab.until_gate(name, GATE)
        lab.annotate("drx", name, f"reject-{GATE}", f"{APPROVER}: lag is 40 minutes")
        run = lab.until_condition("drx", name, "WaitingForDecision")
    assert run["status"]["state"] == "WaitingForDecision"
    assert lab.condition(run, "Succeeded") == "Unknown"
    assert lab.condition(run, "WaitingForApproval") == "False"
    message = run["status"]["message"]
    for part in (
        APPROVER,
        "lag is 40 minutes",
        f"leeward.dev/approve-{GATE}",
        "leeward.dev/cancel",
    ):
        assert part in message
    lab.until("people are told", lambda: events(lab, name).get("GateRejected") == "Warning")
    answer(lab, name, user="approver-b")
    run = lab.until_condition("drx", name, "Succeeded")
    assert lab.condition(run, "WaitingForDecision") == "False"
    assert [a["verdict"] for a in run["status"]["gates"][0]["answers"]] == ["Reject", "Approve"]


def test_a_rejected_run_can_be_cancelled(lab: Any) -> None:
    lab.ready_plan(waves=GATED)
    with lab.untouched():
        name = lab.start()
        lab.until_gate(name, GATE)
        answer(lab, name, "reject")
        lab.until_condition("drx", name, "WaitingForDecision")
        lab.annotate("drx", name, "cancel", "admin: not today", user="admin")
        run = lab.until_condition("drx", name, "Succeeded", "False")
    assert run["status"]["state"] == "Cancelled"
    assert set(states(lab, name).values()) == {"Abandoned"}


def test_a_gate_that_nobody_answers_holds_the_run_and_can_be_approved_afterwards(lab: Any) -> None:
    lab.ready_plan(waves=GATED, approval={"timeout": "2s"})
    with lab.untouched():
        name = lab.start()
        run = lab.until_condition("drx", name, "WaitingForDecision")
    assert lab.reason(run, "WaitingForDecision") == "GateTimedOut"
    assert run["status"]["gates"][0]["state"] == "TimedOut"
    assert f"leeward.dev/approve-{GATE}" in run["status"]["message"]
    answer(lab, name)
    lab.until_condition("drx", name, "Succeeded")


def test_on_reject_fail_ends_a_run_that_has_changed_nothing(lab: Any) -> None:
    lab.ready_plan(waves=GATED, approval={"onReject": "Fail"})
    with lab.untouched():
        name = lab.start()
        lab.until_gate(name, GATE)
        answer(lab, name, "reject")
        run = lab.until_condition("drx", name, "Succeeded", "False")
    assert (run["status"]["state"], lab.condition(run, "Stalled")) == ("Failed", "True")
    assert APPROVER in run["status"]["message"]
    assert not run["status"].get("mutated")
    plan = lab.until(
        "the plan is free",
        lambda: (p := lab.get("rp", lab.application)).get("status", {}).get("history") and p,
    )
    assert "activeExecution" not in plan["status"]


def test_on_reject_fail_only_holds_a_run_that_has_changed_something(lab: Any) -> None:
    waves = [{"name": "data", "gates": [{"before": "Activate"}]}]
    lab.ready_plan(waves=waves, approval={"onReject": "Fail"})
    name = lab.start()
    lab.until_gate(name, GATE)
    since = lab.control.last_seq()
    answer(lab, name, "reject")
    run = lab.until_condition("drx", name, "WaitingForDecision")
    assert lab.condition(run, "Succeeded") == "Unknown"
    lab.annotate("drx", name, "cancel", "admin", user="admin")
    run = lab.until_state(name, "Cancelled")
    assert lab.mutations(since) == []
    assert "2 resources were launched and 0 activated" in run["status"]["message"]


@pytest.fixture
def approver_on_duty(lab: Any) -> Iterator[None]:
    """approver-a may start runs as well."""
    with lab.bound("leeward-operator-on-duty"):
        yield


@pytest.fixture
def glass_breaker(lab: Any) -> Iterator[None]:
    """approver-a may break the glass, which nobody may by the chart."""
    with lab.bound("leeward-break-glass"):
        yield


@pytest.mark.usefixtures("glass_breaker")
def test_with_the_glass_broken_one_person_opens_a_gate_that_needs_two(lab: Any) -> None:
    others = {"users": [SECOND, "approver-c@example.com"]}
    lab.ready_plan(waves=GATED, approval={"required": 2, "approvers": others})
    name = lab.start()
    lab.until_gate(name, GATE)
    early = lab.annotate("drx", name, f"approve-{GATE}", APPROVER, check=False)
    assert "is not an approver of gate" in early.stderr
    forbidden = lab.annotate("drx", name, "break-glass", SECOND, user="approver-b", check=False)
    assert "break-glass" in forbidden.stderr
    lab.annotate("drx", name, "break-glass", f"{APPROVER}: nobody else is awake")
    lab.until("the glass is broken", lambda: lab.get("drx", name)["status"].get("breakGlass"))
    answer(lab, name)
    run = lab.until_condition("drx", name, "Succeeded")
    broken = run["status"]["breakGlass"]
    assert (broken["user"], broken["comment"]) == (APPROVER, "nobody else is awake")
    assert run["status"]["gates"][0]["required"] == 1


@pytest.fixture
def demanding_account(lab: Any) -> Iterator[None]:
    """The account demands two approvals."""

    def demand(approvals: int) -> None:
        patch = f'{{"spec":{{"allow":{{"minApprovals":{approvals}}}}}}}'
        words = ("patch", "ta", "east-a", "--type=merge", "-p", patch)
        lab.stack.cluster.kubectl(*words, user="admin")

    demand(2)
    yield
    demand(0)


@pytest.mark.usefixtures("demanding_account")
def test_what_an_account_demands_is_asked_for_though_the_plan_has_no_gate(lab: Any) -> None:
    lab.ready_plan(waves=[{"name": "data"}])
    with lab.untouched():
        name = lab.start()
        lab.until_gate(name, "begin-data")
        lab.annotate("drx", name, "approve-begin-data", APPROVER)
        lab.until(
            "the first approval is counted",
            lambda: "1 of 2 given" in lab.get("drx", name)["status"]["message"],
        )
    lab.annotate("drx", name, "approve-begin-data.second", SECOND, "approver-b")
    run = lab.until_condition("drx", name, "Succeeded")
    assert [(g["name"], g["state"]) for g in run["status"]["gates"]] == [("begin-data", "Approved")]


@pytest.mark.usefixtures("approver_on_duty")
def test_two_people_other_than_the_requester_must_approve(lab: Any) -> None:
    lab.ready_plan(waves=GATED, approval={"required": 2, "fourEyes": "Required"})
    name = f"{lab.application}-foureyes"
    lab.apply(lab.run_body(name), user="approver-a")
    with lab.untouched():
        lab.until_gate(name, GATE)
        refused = lab.annotate("drx", name, f"approve-{GATE}", APPROVER, check=False)
        assert f"four eyes: {APPROVER} asked for execution" in refused.stderr
        answer(lab, name, user="approver-b")
        lab.until(
            "the first approval is counted",
            lambda: "1 of 2 given" in lab.get("drx", name)["status"]["message"],
        )
        again = lab.annotate(
            "drx", name, f"approve-{GATE}.again", SECOND, "approver-b", check=False
        )
        assert "already recorded" in again.stderr
        assert lab.get("drx", name)["status"]["gates"][0]["state"] == "Waiting"
    lab.annotate("drx", name, f"approve-{GATE}.second", "admin: seen", user="admin")
    run = lab.until_condition("drx", name, "Succeeded")
    assert [a["user"] for a in run["status"]["gates"][0]["answers"]] == [SECOND, "admin"]


def test_the_api_server_refuses_forged_early_and_unentitled_approvals(lab: Any) -> None:
    waves = [*GATED, {"name": "web", "gates": [{"before": "Instantiate"}]}]
    lab.ready_plan(waves=waves)
    with lab.untouched():
        early = lab.run_body(f"{lab.application}-early")
        early["metadata"]["annotations"] = {f"leeward.dev/approve-{GATE}": "admin"}
        refused = lab.apply(early, check=False)
        assert "cannot be created with leeward.dev/approve-wave-data on it" in refused.stderr
        name = lab.start()
        lab.until_gate(name, GATE)
        for user, value, gate, why in (
            ("intruder", "intruder@example.com", GATE, "may not answer the gates of plan orders/"),
            ("admin", APPROVER, GATE, "must be your own user name"),
            ("approver-a", APPROVER, "wave-web", "gate wave-web of execution"),
        ):
            refused = lab.annotate("drx", name, f"approve-{gate}", value, user, check=False)
            assert refused.returncode != 0
            assert why in refused.stderr
        assert "has not been asked" in refused.stderr
        assert f"leeward.dev/approve-{GATE}" in refused.stderr  # the command that would pass
        refused = lab.annotate("drx", name, "cancel", APPROVER, check=False)
        assert f"{APPROVER} may not give leeward.dev/cancel" in refused.stderr
        lab.annotate("drx", name, "cancel", "admin", user="admin")
        run = lab.until_state(name, "Cancelled")
    assert run["status"]["gates"][0].get("answers", []) == []


def test_a_pause_starts_nothing_and_resume_goes_on(lab: Any) -> None:
    lab.ready_plan(waves=GATED)
    name = lab.start()
    lab.until_gate(name, GATE)
    with lab.untouched():
        lab.annotate("drx", name, "pause", "admin: waiting for the DBA", user="admin")
        lab.until_condition("drx", name, "Paused")
        answer(lab, name)
        run = lab.until_state(name, "Paused")  # a pass went over the tasks and began none
        assert run["status"]["gates"][0]["state"] == "Approved"
        assert set(states(lab, name).values()) == {"NotStarted"}
    lab.annotate("drx", name, "resume", "admin", user="admin")
    run = lab.until_condition("drx", name, "Succeeded")
    assert lab.condition(run, "Paused") == "False"
    assert lab.launches() == Counter(dict.fromkeys(lab.servers(1), 1))


def test_a_pause_during_a_job_follows_it_and_does_not_activate(lab: Any) -> None:
    name = frozen_in_launch(lab)
    lab.annotate("drx", name, "pause", "admin", user="admin")
    lab.until_condition("drx", name, "Paused")
    since = lab.control.last_seq()
    lab.control.scale(240)
    lab.until("the job is over", lambda: states(lab, name)["Instantiate"] == "Complete")
    run = lab.until(
        "the next phase waits",
        lambda: "wave data, Activate" in (r := lab.get("drx", name))["status"]["message"] and r,
    )
    assert run["status"]["state"] == "Paused"
    assert states(lab, name)["Activate"] == "NotStarted"
    assert lab.mutations(since) == []
    lab.annotate("drx", name, "resume", "admin", user="admin")
    lab.until_condition("drx", name, "Succeeded")


def test_a_cancel_while_a_gate_waits_touches_nothing(lab: Any) -> None:
    lab.ready_plan(waves=GATED)
    with lab.untouched():
        name = lab.start()
        lab.until_gate(name, GATE)
        lab.annotate("drx", name, "cancel", "admin: false alarm", user="admin")
        run = lab.until_state(name, "Cancelled")
    assert (lab.condition(run, "Ready"), lab.condition(run, "Stalled")) == ("False", "True")
    assert lab.reason(run, "Succeeded") == "Cancelled"
    assert set(states(lab, name).values()) == {"Abandoned"}
    assert run["status"]["commands"][-1]["comment"] == "false alarm"


def test_a_cancel_during_a_job_follows_it_to_its_end_and_starts_nothing_new(lab: Any) -> None:
    name = frozen_in_launch(lab, waves=[{"name": "data"}, {"name": "web"}])
    lab.annotate("drx", name, "cancel", "admin: false alarm", user="admin")
    lab.until("the cancel is taken", lambda: lab.get("drx", name)["status"].get("cancelling"))
    assert lab.get("drx", name)["status"]["state"] != "Cancelled"
    since = lab.control.last_seq()
    lab.control.scale(240)
    run = lab.until_state(name, "Cancelled")
    assert lab.mutations(since) == []
    assert lab.launches() == Counter(dict.fromkeys(lab.servers(1), 1))
    tasks = {(t["spec"]["wave"], t["spec"]["recoveryPhase"]): t for t in lab.tasks(name).values()}
    launched = tasks.pop(("data", "Instantiate"))["status"]
    assert launched["state"] == "Complete"
    assert sorted(r["id"] for r in launched["resources"]) == lab.servers(1)
    assert all(r["reference"].startswith("i-") for r in launched["resources"])
    assert {t["status"]["state"] for t in tasks.values()} == {"Abandoned"}
    assert "2 resources were launched and 0 activated" in run["status"]["message"]


def test_a_paused_run_can_be_cancelled(lab: Any) -> None:
    lab.ready_plan(waves=GATED)
    with lab.untouched():
        name = lab.start()
        lab.until_gate(name, GATE)
        lab.annotate("drx", name, "pause", "admin", user="admin")
        answer(lab, name)
        lab.until_state(name, "Paused")
        lab.annotate("drx", name, "cancel", "admin", user="admin")
        run = lab.until_state(name, "Cancelled")
    assert lab.condition(run, "Paused") == "False"
    assert set(states(lab, name).values()) == {"Abandoned"}


def test_a_running_execution_is_not_deleted_and_a_finished_one_is(lab: Any) -> None:
    lab.ready_plan(waves=GATED)
    name = lab.start()
    lab.until_gate(name, GATE)
    refused = lab.kubectl("delete", "drx", name, check=False)
    assert "has begun and not ended" in refused.stderr
    assert "leeward.dev/cancel" in refused.stderr
    assert "deletionTimestamp" not in lab.get("drx", name)["metadata"]
    lab.annotate("drx", name, "cancel", "admin", user="admin")
    lab.until_state(name, "Cancelled")
    lab.until("it is closed", lambda: "finalizers" not in lab.get("drx", name)["metadata"])
    lab.kubectl("delete", "drx", name)
    lab.until("its tasks go too", lambda: not lab.tasks(name))


@pytest.fixture
def policies(lab: Any) -> Iterator[Callable[[], None]]:
    """Puts the admission policies back as they are shipped."""
    shipped = Path(__file__).resolve().parents[2] / "charts" / "leeward" / "policies"
    yield lambda: lab.stack.cluster.apply(shipped)
    lab.stack.cluster.apply(shipped)


def test_approvals_are_void_once_the_policies_were_away(lab: Any, policies: Any) -> None:
    lab.ready_plan(waves=GATED, approval={"required": 2})
    with lab.untouched():
        name = lab.start()
        lab.until_gate(name, GATE)
        answer(lab, name)
        lab.until(
            "the approval is counted",
            lambda: "1 of 2 given" in lab.get("drx", name)["status"]["message"],
        )
        lab.kubectl("delete", "validatingadmissionpolicybinding", BINDING)
        answer(lab, name, user="approver-b")
        run = lab.until_condition("drx", name, "GuardActive", "False")
        gate = run["status"]["gates"][0]
        assert (gate["state"], gate.get("answers", [])) == ("Waiting", [])
        guard = next(c for c in run["status"]["conditions"] if c["type"] == "GuardActive")
        assert f"ValidatingAdmissionPolicyBinding {BINDING} is missing" in guard["message"]
        assert "leeward policies --write" in guard["message"]
        policies()
        lab.until_condition("drx", name, "GuardActive", "True")
        run = lab.until_gate(name, GATE)
        assert run["status"]["gates"][0].get("answers", []) == []
        assert "0 of 2 given" in run["status"]["message"]
    answer(lab, name)
    answer(lab, name, user="approver-b")
    lab.until_condition("drx", name, "Succeeded")


def test_without_the_policies_only_what_stops_is_taken_and_no_right_is_believed(
    lab: Any, policies: Any
) -> None:
    lab.ready_plan(waves=GATED)
    with lab.untouched():
        name = lab.start()
        lab.until_gate(name, GATE)
        lab.kubectl("delete", "validatingadmissionpolicybinding", BINDING)
        lab.annotate("drx", name, "cancel", "admin", user="admin")
        run = lab.until_condition("drx", name, "GuardActive", "False")
        assert run["status"]["paused"]
        assert not run["status"].get("cancelling")
        result = run["status"]["commands"][-1]["result"]
        assert result.startswith("paused and not cancelled, since who asked for it is not proved")
        part = lab.start(suffix="part", waves=["data"])
        run = lab.until_state(part, "Failed")
        assert lab.reason(run, "Succeeded") == "GuardNotProved"
        assert "nobody checked who may ask for spec.waves" in run["status"]["message"]
        policies()
        forged = ("annotate", "drx", name, "leeward.dev/pause=nobody", "--dry-run=server")
        lab.until("the policies bite", lambda: lab.kubectl(*forged, check=False).returncode)
        lab.annotate("drx", name, "cancel", "admin", user="admin")
        run = lab.until_state(name, "Cancelled")
    assert lab.condition(run, "GuardActive") == "True"
