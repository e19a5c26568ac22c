"""Gates: when one is asked, who has answered it, and what that comes to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from leeward.api.execution import DRExecution
from leeward.api.gate_record import ApprovalRecord, FrozenGate, GateStatus
from leeward.api.task import DRTask
from leeward.planning.digests import digest
from leeward.planning.durations import parse
from leeward.planning.runs import fencing
from leeward.planning.runs.waves import GATE_OPEN, Stage, asks_nobody, closes, ends_run
from leeward.planning.times import parse_time, render_time
from leeward.planning.wording import clip

_SESSION: Final = re.compile(r"^(arn:[^:]+:sts::\d{12}:assumed-role/.+)/[^/]+$")
_MOST_ANSWERS: Final = 20


def ask(
    execution: DRExecution,
    gate: FrozenGate,
    stage: Stage,
    tasks: Sequence[DRTask],
    guard: str,
    now: datetime,
) -> GateStatus:
    """The gate as it is written into the execution's status when the run reaches it.

    `guard` is the snapshot of the admission policies proved at this moment, or `Off`. Automatic
    approval does not answer for data that would be lost: a lag above its objective, or unknown,
    is a question to people before users are sent over; nor does it let anything be destroyed. Once
    a person broke the glass, one
    approver of whatever name is enough, but not where something is destroyed.
    """
    destructive = destroys(execution.spec.operation, gate.before)
    automatic = (
        execution.spec.approval_mode == "Automatic" and asks_nobody(gate) and not destructive
    )
    broken = execution.status.break_glass is not None and not destructive
    fenced = [] if gate.before == fencing.FENCE else fencing.findings(gate.wave, tasks)
    findings = [*fenced, *execution.status.findings]
    earlier = sum(1 for g in execution.status.gates if g.name == gate.name)
    return GateStatus(
        name=gate.name,
        id=digest([execution.metadata.uid, gate.name, earlier, render_time(now)])[7:23],
        wave=gate.wave,
        before=gate.before,
        state="Automatic" if automatic else "Waiting",
        required=min(gate.required, 1) if broken else gate.required,
        approvers=gate.approvers,
        four_eyes="Off" if broken else gate.four_eyes,
        data_loss=gate.data_loss,
        asked_at=render_time(now),
        deadline=render_time(now + parse(gate.timeout)),
        on_timeout=gate.on_timeout,
        on_reject=gate.on_reject,
        digest=digest(sorted(t.metadata.name for t in stage.tasks)),
        findings=[clip(f, 256) for f in findings[:20]],
        guard=guard,
    )


def destroys(operation: str, phase: str) -> bool:
    """Whether things other than a drill's own are destroyed in the phase."""
    return phase == "Cleanup" and operation != "Test"


def glass_broken(execution: DRExecution) -> list[GateStatus]:
    """The run's gates once a person broke the glass: one approver is enough, whoever it is."""
    return [
        g
        if g.state in GATE_OPEN or destroys(execution.spec.operation, g.before)
        else _judged(g.model_copy(update={"required": min(g.required, 1), "four_eyes": "Off"}))
        for g in execution.status.gates
    ]


def answered(gate: GateStatus, record: ApprovalRecord) -> GateStatus:
    """The gate with one more answer, and what the answers come to now.

    An approval after a rejection starts the count anew: whoever approves then does so knowing
    of the rejection. N counts distinct people: who approves again adds nothing.
    """
    if record.verdict == "Approve" and _person(record.user) in standing(gate.answers):
        return gate
    update: dict[str, object] = {"answers": [*gate.answers, record][-_MOST_ANSWERS:]}
    if record.verdict == "Reject":
        update["state"] = "Rejected"
        update["data_loss"] = "Question" if gate.data_loss == "Accepted" else gate.data_loss
        return gate.model_copy(update=update)
    if record.verdict == "AcceptDataLoss":
        update["data_loss"] = "Accepted"
    return _judged(gate.model_copy(update=update))


def _judged(gate: GateStatus) -> GateStatus:
    """The gate, approved if its answers are enough. A question about lost data wants its own."""
    if len(standing(gate.answers)) < gate.required or gate.data_loss == "Question":
        return gate
    return gate.model_copy(update={"state": "Approved"})


def standing(answers: Sequence[ApprovalRecord]) -> set[str]:
    """People whose approval counts: those who approved since the last rejection.

    All sessions of an assumed role are one person, because whoever may assume it chooses the
    session's name.
    """
    people: set[str] = set()
    for answer in answers:
        if answer.verdict == "Reject":
            people.clear()
        elif answer.verdict == "Approve":
            people.add(_person(answer.user))
    return people


def _person(user: str) -> str:
    match = _SESSION.match(user)
    return match[1] if match else user


def reopened(gate: GateStatus, now: datetime) -> GateStatus:
    """The gate with all its answers void: it waits anew, as long as it was to wait at first."""
    patience = parse_time(gate.deadline) - parse_time(gate.asked_at)
    update = {
        "guard": "",
        "answers": [],
        "data_loss": "Question" if gate.data_loss == "Accepted" else gate.data_loss,
        "state": "Waiting",
        "asked_at": render_time(now),
        "deadline": render_time(now + patience),
    }
    return gate.model_copy(update=update)


def timed_out(gate: GateStatus, now: datetime) -> GateStatus:
    """The gate as it is at `now`: still waiting, or past its deadline."""
    if gate.state == "Waiting" and now >= parse_time(gate.deadline):
        return gate.model_copy(update={"state": "TimedOut"})
    return gate


@dataclass(frozen=True, slots=True)
class Consequence:
    """What a gate that was not passed does to the run."""

    kind: Literal["Wait", "Decide", "Fail", "SkipWave"]
    message: str


def consequence(execution: DRExecution, gate: GateStatus, tasks: Sequence[DRTask]) -> Consequence:
    """What the run does at `gate`, which is asked and not passed.

    After the first mutation a Failover does not fail by itself: then Fail means Hold. SkipWave
    is followed in a Test only, and its clean-up is neither left out nor failed by a gate.
    """
    annotate = f"kubectl annotate drx {execution.metadata.name} -n {execution.metadata.namespace}"
    approve = f'{annotate} leeward.dev/approve-{gate.name}="YOU"'
    if gate.data_loss == "Question":
        accept = f'{annotate} leeward.dev/accept-data-loss-{gate.name}="YOU"'
        why = f"since servers lag or do not replicate: {accept}"
        approve = f"{approve} ; and, {why}" if gate.required else why
    if gate.state == "Waiting":
        have = len(standing(gate.answers))
        wanted, given = f"approval of {gate.name}", f"{have} of {gate.required} given, "
        if not gate.required:
            wanted, given = f"an answer at {gate.name}", ""
        return Consequence(
            "Wait",
            f"waiting for {wanted} before {gate.before} of wave {gate.wave} "
            f"({given}until {gate.deadline[:19]}Z): {approve}",
        )
    rejected = gate.state == "Rejected"
    why = f"{gate.name} was " + (
        _rejection(gate) if rejected else f"not answered by {gate.deadline[:19]}Z"
    )
    choice = gate.on_reject if rejected else gate.on_timeout
    test = execution.spec.operation == "Test"
    touched = execution.status.mutated or any(t.status.journal for t in tasks)
    if choice == "SkipWave" and test and not closes("Test", gate.before):
        return Consequence("SkipWave", f"{why}; wave {gate.wave} is left out")
    if ends_run(execution.spec.operation, gate) and (test or not touched):
        return Consequence("Fail", why)
    cancel = f'{annotate} leeward.dev/cancel="YOU: why"'
    cancel += fencing.before_cancel(execution.metadata.namespace, tasks)
    return Consequence("Decide", f"{why}. Approve it after all: {approve} ; or cancel: {cancel}")


def _rejection(gate: GateStatus) -> str:
    """Who rejected it. Answers that became void are gone, the rejection stands."""
    last = next((a for a in reversed(gate.answers) if a.verdict == "Reject"), None)
    if last is None:
        return "rejected"
    return f"rejected by {last.user}" + (f" ({last.comment})" if last.comment else "")
