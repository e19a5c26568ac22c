"""Commands that must pass, and what GitOps may do meanwhile."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

World = Any  # conftest.World
ALICE = "approver-a@example.com"
BOB = "approver-b@example.com"
DUTY = "operator-on-duty@example.com"


def gate(name: str = "wave-2", state: str = "Waiting", **more: Any) -> dict[str, Any]:
    times = {"askedAt": "2026-01-01T00:00:00Z", "deadline": "2026-01-01T00:30:00Z"}
    place = {"name": name, "id": "1", "wave": "wave-2", "before": "Activate"}
    return place | times | {"state": state, "required": 1} | more


def annotations_of(world: World, run: str) -> dict[str, str]:
    found: dict[str, str] = world.admin.get("drexecutions", run)["metadata"]["annotations"]
    return found


def test_an_approver_approves_with_kubectl_and_withdraws(world: World) -> None:
    run = world.waiting()
    kubectl = world.cluster.kubectl
    kubectl("annotate", "drx", run, f"leeward.dev/approve-wave-2={ALICE}", user="approver-a")
    assert annotations_of(world, run)["leeward.dev/approve-wave-2"] == ALICE
    kubectl("annotate", "drx", run, "leeward.dev/approve-wave-2-", user="approver-a")
    assert "leeward.dev/approve-wave-2" not in annotations_of(world, run)


def test_a_refusal_reaches_the_terminal_with_the_command_that_would_pass(world: World) -> None:
    run = world.waiting()
    words = ("annotate", "drx", run, f"leeward.dev/approve-wave-2={ALICE}")
    refused = world.cluster.kubectl(*words, user="approver-b", check=False)
    assert refused.returncode == 1
    passing = f'kubectl annotate drx {run} -n orders leeward.dev/approve-wave-2="{BOB}"'
    assert passing in refused.stderr


def test_comments_suffixes_and_several_approvers_pass(world: World) -> None:
    run = world.waiting(gate(required=2, fourEyes="Required"))
    assert world.alice.annotate(run, approve_wave_2=f"{ALICE}: lag is 4 s: fine").ok
    assert world.bob.annotate(run, approve_wave_2__second=BOB).ok
    assert annotations_of(world, run)["leeward.dev/approve-wave-2.second"] == BOB


def test_a_user_name_with_colons_approves(world: World) -> None:
    run = world.waiting()
    oidc = world.caller("oidc:https://id.example.com#42:", "dr-approvers")
    assert oidc.annotate(run, approve_wave_2=f"{oidc.user}: fine").ok


@pytest.mark.parametrize(
    "names",
    [
        ("sso:ann@example.com", "sso:bob@example.com"),  # EKS: sso:{{SessionNameRaw}}
        ("sso:ann-example.com", "sso:bob-example.com"),  # EKS: sso:{{SessionName}}
        tuple(f"arn:aws:sts::111111111111:assumed-role/{r}/x" for r in ("Oncall", "Oncall-2")),
        tuple(f"arn:aws:iam::111111111111:user/dr/{user}" for user in ("ann", "bob")),
    ],
    ids=["raw session names", "session names", "two roles", "IAM users"],
)
def test_people_whom_the_cluster_tells_apart_are_two(world: World, names: tuple[str, str]) -> None:
    ann, bob = (world.caller(name, "dr-approvers", "dr-operators") for name in names)
    run = world.waiting(gate(required=2, fourEyes="Required"), by=ann)
    assert bob.annotate(run, approve_wave_2=bob.user).ok
    run = world.waiting(gate(required=2))
    assert ann.annotate(run, approve_wave_2=ann.user).ok
    assert bob.annotate(run, approve_wave_2__second=bob.user).ok


def test_an_approver_rejects_while_the_own_approval_is_still_on_the_object(world: World) -> None:
    run = world.waiting()
    assert world.alice.annotate(run, approve_wave_2=ALICE).ok
    assert world.alice.annotate(run, reject_wave_2=f"{ALICE}: the lag grew").ok


def test_approvers_of_the_gate_pass_by_name_and_by_group(world: World) -> None:
    run = world.waiting(gate(required=2, approvers={"users": [BOB], "groups": ["dba"]}))
    assert world.bob.annotate(run, approve_wave_2=BOB).ok
    dba = world.caller("dba@example.com", "dr-approvers", "dba")
    assert dba.annotate(run, approve_wave_2__dba=dba.user).ok


def test_a_requester_approves_where_four_eyes_are_off_and_rejects_where_they_are_on(
    world: World,
) -> None:
    both = world.caller(ALICE, "dr-approvers", "dr-operators")
    assert both.annotate(world.waiting(gate(), by=both), approve_wave_2=ALICE).ok
    strict = world.waiting(gate(fourEyes="Required"), by=both)
    assert both.annotate(strict, reject_wave_2=ALICE).ok


@pytest.mark.parametrize("state", ["Rejected", "TimedOut"])
def test_a_gate_that_was_missed_is_answered_while_a_decision_is_waited_for(
    world: World, state: str
) -> None:
    run = world.waiting(gate(state=state))
    waiting = {"type": "WaitingForDecision", "status": "True", "reason": state}
    world.status(run, conditions=[waiting | {"lastTransitionTime": "2026-01-01T00:00:00Z"}])
    assert world.alice.annotate(run, approve_wave_2=ALICE).ok


def test_a_rejection_makes_the_count_start_anew(world: World) -> None:
    def said(user: str, verdict: str) -> dict[str, str]:
        return {"user": user, "verdict": verdict, "time": "2026-01-01T00:00:00Z"}

    earlier = [said(ALICE, "Approve"), said(BOB, "Reject")]
    run = world.waiting(gate(required=2, answers=earlier))
    assert world.alice.annotate(run, approve_wave_2=ALICE).ok
    again = world.bob.annotate(run, reject_wave_2=BOB)
    assert f"Reject by {BOB} is already recorded" in again.message


def test_those_on_duty_pause_resume_and_cancel(world: World) -> None:
    run = world.waiting()
    assert world.duty.annotate(run, pause=f"{DUTY}: waiting for the DBA").ok
    assert world.duty.annotate(run, resume=DUTY).ok
    assert world.duty.annotate(run, cancel=f"{DUTY}: false alarm").ok


def test_a_destructive_approver_passes_a_cleanup_gate_and_a_drills_needs_none(
    world: World,
) -> None:
    cleanup = gate("cleanup", before="Cleanup")
    destroyer = world.destroyer
    assert destroyer.annotate(world.waiting(cleanup), approve_cleanup=destroyer.user).ok
    drill = world.waiting(cleanup, operation="Test")
    assert world.bob.annotate(drill, approve_cleanup=BOB).ok


def test_the_operator_takes_commands_off_while_it_records_them(world: World) -> None:
    run = world.waiting()
    assert world.alice.annotate(run, approve_wave_2=ALICE).ok
    world.status(run, accepting={"key": "leeward.dev/approve-wave-2", "value": ALICE})
    assert world.operator.annotate(run, approve_wave_2=None).ok
    world.status(run, accepting=None)
    assert world.bob.annotate(run, approve_wave_2=BOB).ok


def test_the_same_value_again_changes_nothing_and_passes(world: World) -> None:
    run = world.waiting()
    assert world.alice.annotate(run, approve_wave_2=ALICE).ok
    assert world.alice.annotate(run, approve_wave_2=ALICE).ok


def test_an_approver_approves_by_server_side_apply(world: World) -> None:
    run = world.waiting()
    body = {
        "apiVersion": "leeward.dev/v1alpha1",
        "kind": "DRExecution",
        "metadata": {"name": run, "annotations": {"leeward.dev/approve-wave-2": ALICE}},
    }
    assert world.alice.apply("drexecutions", run, body).ok


def test_an_approval_survives_a_sync_that_knows_nothing_of_it(world: World) -> None:
    manifest = world.manifest(operation="Test")
    text = json.dumps(manifest)
    kubectl = world.cluster.kubectl
    kubectl("apply", "-f", "-", input=text, user="on-duty")
    run = manifest["metadata"]["name"]
    world.status(run, gates=[gate()])
    assert world.alice.annotate(run, approve_wave_2=ALICE).ok
    manifest["metadata"]["annotations"] = {"example.com/team": "orders"}
    text = json.dumps(manifest)
    kubectl("apply", "-f", "-", input=text, user="on-duty")
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=text, user="on-duty")
    kept = annotations_of(world, run)
    assert kept["leeward.dev/approve-wave-2"] == ALICE
    assert kept["leeward.dev/requested-by"] == DUTY
    assert kept["example.com/team"] == "orders"


def test_the_audit_log_names_who_commanded_what(world: World) -> None:
    run = world.waiting()
    assert world.alice.annotate(run, approve_wave_2=ALICE).ok
    written = f"{ALICE} wrote leeward.dev/approve-wave-2 on execution orders/{run}"
    lines = [json.loads(line) for line in world.cluster.audit_log.read_text().splitlines()]
    key = "leeward-commands.leeward.dev/commands"
    assert [x for x in lines if x.get("annotations", {}).get(key) == written]


FULL = {
    "as many as there may be": {f"example.com/{n}": "" for n in range(100)},
    "as long as they may be": {"example.com/note": "x" * (65536 - len("example.com/note"))},
    "as many bytes as there may be": {
        "example.com/note": "\U0001f30a" * ((65536 - len("example.com/note")) // 4)
    },
}


@pytest.mark.parametrize("notes", FULL.values(), ids=FULL)
def test_a_run_that_somebody_filled_takes_commands_of_all(
    world: World, notes: dict[str, str]
) -> None:
    run = world.waiting()
    # Beside what is stamped, to the brim: one more is refused.
    assert world.intruder.patch("drexecutions", run, {"metadata": {"annotations": notes}}).ok
    more = {"metadata": {"annotations": {"example.com/more": "1"}}}
    assert "always room for commands" in world.intruder.patch("drexecutions", run, more).message
    assert world.alice.annotate(run, approve_wave_2=f"{ALICE}: {'c' * 256}").ok
    assert world.bob.annotate(run, reject_wave_2__2=BOB).ok
    assert world.duty.annotate(run, cancel=DUTY, pause=DUTY).ok


def test_labels_that_somebody_filled_leave_room_for_the_operators(world: World) -> None:
    run = world.waiting()
    labels = {f"example.com/{n}": "" for n in range(100)}
    assert world.intruder.patch("drexecutions", run, {"metadata": {"labels": labels}}).ok
    ours = {"metadata": {"labels": {"leeward.dev/incident": "INC1"}}}
    assert world.operator.patch("drexecutions", run, ours).ok
    assert world.duty.annotate(run, pause=DUTY).ok
