"""Gates: when one is asked, who has answered it, and what that comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from leeward.api.execution import ApprovalRecord, DRExecution, FrozenGate, GateStatus
from leeward.api.task import DRTask
from leeward.planning.digests import digest
from leeward.planning.durations import parse
from leeward.planning.times import parse_time, render_time
from leeward.planning.waves import Stage


def ask(
    execution: DRExecution, gate: FrozenGate, stage: Stage, guard: str, now: datetime
) -> GateStatus:
    """The gate as it is written into the execution's status when the run reaches it.

    `guard` is the snapshot of the admission policies proved at this moment, or `Off`.
    """
    automatic = execution.spec.approval_mode == "Automatic"
    earlier = sum(1 for g in execution.status.gates if g.name == gate.name)
    return GateStatus(
        name=gate.name,
        id=digest([execution.metadata.uid, gate.name, earlier])[7:23],
        wave=gate.wave,
        before=gate.before,
        state="Automatic" if automatic else "Waiting",
        required=gate.required,
        approvers=gate.approvers,
        four_eyes=gate.four_eyes,
        asked_at=render_time(now),
        deadline=render_time(now + parse(gate.timeout)),
        on_timeout=gate.on_timeout,
        on_reject=gate.on_reject,
        digest=digest(sorted(t.metadata.name for t in stage.tasks)),
        findings=list(execution.status.findings[:20]),
        guard=guard,
    )


def answered(gate: GateStatus, record: ApprovalRecord) -> GateStatus:
    """The gate with one more answer, and what the answers come to now.

    An approval after a rejection starts the count anew: whoever approves then does so knowing
    of the rejection. N counts distinct people.
    """
    answers = [*gate.answers, record]
    state = gate.state
    if record.verdict == "Reject":
        state = "Rejected"
    elif len(standing(answers)) >= gate.required:
        state = "Approved"
    return gate.model_copy(update={"answers": answers[-20:], "state": state})


def standing(answers: Sequence[ApprovalRecord]) -> set[str]:
    """People whose approval counts: those who approved since the last rejection."""
    people: set[str] = set()
    for answer in answers:
        if answer.verdict == "Reject":
            people.clear()
        else:
            people.add(answer.user)
    return people


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
    is followed in a Test only.
    """
    name, namespace = execution.metadata.name, execution.metadata.namespace
    approve = f'kubectl annotate drx {name} -n {namespace} leeward.dev/approve-{gate.name}="YOU"'
    if gate.state == "Waiting":
        have = len(standing(gate.answers))
        return Consequence(
            "Wait",
            f"waiting for approval of {gate.name} before {gate.before} of wave {gate.wave} "
            f"({have} of {gate.required} given, until {gate.deadline[:19]}Z): {approve}",
        )
    rejected = gate.state == "Rejected"
    why = f"{gate.name} was " + (
        _rejection(gate) if rejected else f"not answered by {gate.deadline[:19]}Z"
    )
    choice = gate.on_reject if rejected else gate.on_timeout
    test = execution.spec.operation == "Test"
    touched = execution.status.mutated or any(t.status.journal for t in tasks)
    if choice == "SkipWave" and test:
        return Consequence("SkipWave", f"{why}; wave {gate.wave} is left out")
    if choice == "Fail" and (test or not touched):
        return Consequence("Fail", why)
    cancel = f'kubectl annotate drx {name} -n {namespace} leeward.dev/cancel="YOU: why"'
    return Consequence("Decide", f"{why}. Approve it after all: {approve} ; or cancel: {cancel}")


def _rejection(gate: GateStatus) -> str:
    last = next(a for a in reversed(gate.answers) if a.verdict == "Reject")
    return f"rejected by {last.user}" + (f" ({last.comment})" if last.comment else "")
