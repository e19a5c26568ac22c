"""Gates in the status of a DRExecution: as they were frozen, as they were asked and answered."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from leeward.api.common import (
    Duration,
    GateName,
    Line,
    Model,
    OnTrouble,
    RecoveryPhase,
    Time,
    atomic,
)
from leeward.api.plan import Approvers


class ApprovalRecord(Model):
    """One answer to a gate."""

    user: Line
    """Who, as the API server knows them."""
    verdict: Literal["Approve", "Reject", "AcceptDataLoss"]
    """What they said."""
    time: Time
    """When the operator recorded it."""
    comment: Line = ""
    """What they added."""


class GateStatus(Model):
    """A gate that was asked."""

    name: GateName
    """Name, as in `leeward.dev/approve-NAME`."""
    id: Annotated[str, Field(max_length=64)]
    """Of this asking; an approval counts for it alone."""
    wave: Annotated[str, Field(max_length=24)]
    """Wave that waits."""
    before: RecoveryPhase
    """Phase that waits."""
    state: Literal["Waiting", "Approved", "Rejected", "TimedOut", "Automatic"]
    """Waiting: it can be answered. A rejected or timed-out gate can be answered too while the
    run waits for a decision."""
    required: int
    """How many different people must approve; 0: accepting the loss of data is the answer."""
    approvers: Approvers = Approvers()
    """Who may answer, frozen when the gate was asked."""
    four_eyes: Literal["Required", "Off"] = "Off"
    """Whether the requester's own approval counts."""
    asked_at: Time
    """When it was asked."""
    deadline: Time
    """When it times out."""
    on_timeout: OnTrouble = "Hold"
    """What then."""
    on_reject: OnTrouble = "Hold"
    """What a rejection does."""
    data_loss: Literal["None", "Question", "Accepted"] = "None"
    """Question: beyond the approvals somebody must accept the loss of data that replication has
    not carried over (`leeward.dev/accept-data-loss-NAME`). Accepted: somebody did."""
    answers: Annotated[list[ApprovalRecord], Field(max_length=20, json_schema_extra=atomic())] = []
    """Answers, in order."""
    digest: Annotated[str, Field(max_length=80)] = ""
    """Of the tasks that an approval sets going."""
    findings: Annotated[list[Line], Field(max_length=20, json_schema_extra=atomic())] = []
    """What the approver should know: failed checks, lag."""
    guard: Annotated[str, Field(max_length=128)] = ""
    """The admission policies' uids and generations as proved when the gate was asked, or `Off`."""


class FrozenGate(Model):
    """A gate of the frozen plan, with everything resolved."""

    name: GateName
    """Name."""
    wave: Annotated[str, Field(max_length=24)]
    """Wave."""
    before: RecoveryPhase
    """Phase that waits."""
    required: int = 1
    """How many different people must approve."""
    approvers: Approvers = Approvers()
    """Who may answer."""
    four_eyes: Literal["Required", "Off"] = "Off"
    """Whether the requester's own approval counts."""
    timeout: Duration = "30m"
    """How long to wait."""
    data_loss: Literal["None", "Question"] = "None"
    """Whether servers behind it lag beyond their objective, or nobody knows how far."""
    on_timeout: OnTrouble = "Hold"
    """What then."""
    on_reject: OnTrouble = "Hold"
    """What a rejection does."""
    opening: bool = False
    """Whether the run begins with it: nothing is done in any wave before it is passed."""
