"""What a run would do, as a dry run and `kubectl leeward plan preview` show it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from leeward.api.common import (
    GateName,
    Line,
    Model,
    OnTrouble,
    RecoveryPhase,
    Text,
    atomic,
)
from leeward.api.plan import Approvers
from leeward.api.run_times import RunObjectives, Span


class PreviewWork(Model):
    """Tasks of one technology in one account and Region."""

    technology: Annotated[str, Field(max_length=24)]
    """Technology."""
    account: Line = ""
    """TargetAccount; empty where there was no room to list each."""
    account_id: Annotated[str, Field(max_length=12)] = ""
    """AWS account."""
    region: Annotated[str, Field(max_length=25)]
    """Region whose API is asked."""
    tasks: int
    """DRTasks."""
    resources: int
    """Resources."""
    jobs: int = 0
    """Jobs that AWS needs for them, such as those of DRS with at most 100 servers each."""


class PreviewStage(Model):
    """A phase of a wave."""

    wave: Annotated[str, Field(max_length=24)]
    """Wave."""
    recovery_phase: RecoveryPhase
    """Phase."""
    start: Span
    """When it would begin, counted from the start; waiting for people not counted."""
    duration: Span
    """How long it would take."""
    dominated_by: Line = ""
    """What takes the longest."""
    basis: Literal["Figures", "History"]
    """History: from how long earlier runs of the plan took. Figures: from general ones."""
    work: Annotated[list[PreviewWork], Field(max_length=200, json_schema_extra=atomic())] = []
    """What is done in it."""


class PreviewGate(Model):
    """A gate that the run would ask."""

    name: GateName
    """Name."""
    wave: Annotated[str, Field(max_length=24)]
    """Wave that would wait."""
    before: RecoveryPhase
    """Phase that would wait."""
    passes: Literal["ByPeople", "Automatically"]
    """Automatically: the execution's approvalMode passes it without asking."""
    required: int
    """How many different people must approve."""
    approvers: Approvers = Approvers()
    """Who may; empty: whoever has the verb `approve` on the plan."""
    four_eyes: Literal["Required", "Off"]
    """Required: the requester's own approval does not count."""
    data_loss: Literal["None", "Question"] = "None"
    """Question: beyond the approvals somebody must accept the loss of data."""
    timeout: Span
    """How long it would wait."""
    on_timeout: OnTrouble
    """What then."""


class PreviewAccess(Model):
    """IAM actions that a role of some accounts must allow."""

    role: Literal["Read", "Recovery"]
    """Which of the TargetAccounts' roles."""
    accounts: Annotated[list[Line], Field(max_length=200, json_schema_extra=atomic())] = []
    """TargetAccounts."""
    role_arns: Annotated[
        list[Annotated[str, Field(max_length=512)]],
        Field(max_length=200, json_schema_extra=atomic()),
    ] = []
    """Their roles, in the same order."""
    uses: Annotated[list[Line], Field(max_length=50, json_schema_extra=atomic())] = []
    """What for, such as `drs Instantiate`."""
    actions: Annotated[list[Line], Field(max_length=500, json_schema_extra=atomic())] = []
    """IAM actions."""


class PreviewLaunch(Model):
    """Launch settings of the run's servers."""

    servers: int
    """Servers that are launched with settings of the plan."""
    differing: int
    """Servers for which AWS has something else now, which the run would set first."""
    changes: Annotated[list[Text], Field(max_length=1000, json_schema_extra=atomic())] = []
    """What differs, by server; every one on the command line, some in a status."""


class Preview(Model):
    """What a run would do. Nothing of it was done."""

    tasks: int = 0
    """DRTasks."""
    resources: int = 0
    """Resources that the waves work on, each counted once."""
    jobs: int = 0
    """Jobs of all technologies."""
    duration: Span = "0s"
    """How long the whole run would take; waiting for people not counted."""
    objectives: RunObjectives | None = None
    """The estimate, and the replication lag, beside what is promised."""
    stages: Annotated[list[PreviewStage], Field(max_length=100, json_schema_extra=atomic())] = []
    """Phases of the waves, in the order in which they would run."""
    gates: Annotated[list[PreviewGate], Field(max_length=60, json_schema_extra=atomic())] = []
    """Gates, in the order in which the run would meet them."""
    launch: PreviewLaunch | None = None
    """Launch settings; absent where no server of the run has any."""
    access: Annotated[list[PreviewAccess], Field(max_length=100, json_schema_extra=atomic())] = []
    """IAM actions, by role."""
    refusals: Annotated[list[Text], Field(max_length=100, json_schema_extra=atomic())] = []
    """Why the run would be refused now; empty: it would begin."""
    findings: Annotated[list[Text], Field(max_length=40, json_schema_extra=atomic())] = []
    """What approvers would be told."""
    left_out: Annotated[list[Line], Field(max_length=10, json_schema_extra=atomic())] = []
    """What had no room here; `kubectl leeward plan preview` shows it."""
