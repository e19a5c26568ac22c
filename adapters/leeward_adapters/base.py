"""The contract between Leeward's engine and an adapter, whole but for the way to AWS (`scope`).

An adapter knows one technology of AWS and nothing of Kubernetes. It is made of plain synchronous
functions that the engine calls in its thread pool, and it keeps no state: whatever it must know it
is told in a `Step`, or it asks AWS.

The engine's loop for a task is

    seen = adapter.observe(scope, step)          what AWS already did
    decide                                       (the engine's planning; no I/O)
    write the intent to the DRTask               (the engine)
    adapter.act(scope, step, action, batch)      what is missing, one action for one batch
    ... until every target is DONE, then
    adapter.verify(scope, step)                  the proof, per target

so an adapter never sleeps, never retries and never catches an AWS error to make it go away:
`botocore` errors travel to the engine, which classifies them (`leeward_adapters.errors`).

A person may have a step taken back. The same loop then calls undo() as the action `undo`, and
observe() is the proof: the target is back when it says NEEDED with the `pre_state` that was
recorded before the step first acted. So a `pre_state` holds nothing that changes by itself, and
undo() sets it as a whole, whatever the target is like now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final, Protocol, runtime_checkable

from leeward_adapters.scope import Scope as Scope
from leeward_adapters.scope import SharedAnswers as SharedAnswers


class Phase(StrEnum):
    """A phase of recovery."""

    FENCE = "Fence"
    INSTANTIATE = "Instantiate"
    ACTIVATE = "Activate"
    REPLICATE = "Replicate"
    CLEANUP = "Cleanup"


class State(StrEnum):
    """What AWS shows of one target, seen from one step."""

    NEEDED = "Needed"
    """An action of ours is missing: `Seen.action` names it. The only state in which act() is
    called for the target."""
    RUNNING = "Running"
    """AWS is at work on it."""
    DONE = "Done"
    """It is where this step wants it."""
    FAILED = "Failed"
    """AWS gave up on it, or will never do it."""
    REFUSED = "Refused"
    """Leeward will not do it: the target is not in a state in which the step is safe."""


class ErrorClass(StrEnum):
    """What an error means for the caller."""

    TRANSIENT = "Transient"
    """Nothing happened; try again after a pause."""
    QUOTA = "Quota"
    """A limit is reached; try again when something has ended."""
    CONFLICT = "Conflict"
    """The resource is busy or in another state; look again, then decide."""
    DENIED = "Denied"
    """Not permitted; a person must mend the role."""
    FINAL = "Final"
    """Wrong request or missing resource; trying again changes nothing."""
    IN_DOUBT = "InDoubt"
    """No answer: it may have happened."""


@dataclass(frozen=True, slots=True)
class Target:
    """A resource that a step works on."""

    id: str
    """As the technology's API wants it."""
    arn: str
    name: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """What discovery noted for the adapter."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """How this resource in particular is to be made (camelCase, as in the API), such as the launch
    settings of a server. What is absent stays as AWS has it."""


@dataclass(frozen=True, slots=True)
class Call:
    """The newest batch of the step's journal that a target was part of."""

    id: str
    """Id of the batch. AWS carries it as the tag `leeward:call` or as client token."""
    action: str
    at: datetime
    """When the intent was written (the operator's clock)."""
    in_doubt: bool
    """Whether the answer is unknown."""
    reference: str = ""
    """What AWS called it, such as a job id; empty when unknown."""


@dataclass(frozen=True, slots=True)
class Step:
    """One task of a run, as an adapter sees it."""

    token: str
    """The same for every attempt of this task and no other: the task's uid."""
    phase: Phase
    operation: str
    """`Failover`, `Test`, …"""
    started: datetime
    """When the task began; nothing that this task did is older."""
    source_region: str
    """The Region that is left."""
    targets: tuple[Target, ...]
    calls: Mapping[str, Call] = field(default_factory=dict)
    """By target id: its newest batch of an action that is not repeatable, else its newest batch.
    Absent: this task never asked AWS for anything about it in this attempt."""
    pre_states: Mapping[str, str] = field(default_factory=dict)
    """By target id: `Seen.pre_state` as it was before this task first acted."""
    relaunch: frozenset[str] = frozenset()
    """Ids of targets that a person wants made anew, in place of what is there, which is kept first
    (a snapshot). Only in phases whose traits say `relaunch`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The technology's block of the task's spec (camelCase), such as `route53`."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags that everything made by this step carries: `leeward:hub`, `leeward:namespace`,
    `leeward:execution`, `leeward:execution-uid`, `leeward:operation`, `leeward:phase`,
    `leeward:task` (the token)."""
    since: float | None = None
    """Moment of the scope's clock: shared answers (`Scope.views`) of calls that began before it
    are too old. None: all that are there are."""
    unplanned: bool = False
    """Whether the run goes on without waiting for `source_region`."""
    unfenced: frozenset[str] = frozenset()
    """Ids of the instances of the step's wave in `source_region` that the run could not fence."""
    fenced: frozenset[str] = frozenset()
    """Ids of those there that it saw stopped."""
    accepted: frozenset[str] = frozenset()
    """Ids of targets of which a person took what is there although something newer is known: no
    refusal for a reason of `LOSSES` is repeated for them."""

    @property
    def drill(self) -> bool:
        """Whether this is a rehearsal."""
        return self.operation == "Test"


@dataclass(frozen=True, slots=True)
class Seen:
    """What AWS shows of one target."""

    state: State
    action: str = ""
    """For NEEDED: the action of ours that is missing."""
    reason: str = ""
    """CamelCase word; required for FAILED and REFUSED."""
    message: str = ""
    """For people: what it is doing, or what went wrong and what to do now."""
    reference: str = ""
    """What AWS calls it: a job, a recovery instance, a change."""
    pre_state: str = ""
    """For NEEDED: JSON of how the target is now, enough to undo it, the same while it is so."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Answer of observe()."""

    targets: Mapping[str, Seen]
    """One entry for each target of the step."""
    capacity: int | None = None
    """How many targets AWS would take now (quotas) in an unrepeatable action; None: no limit."""
    capacity_reason: str = ""
    """What the limit is, for people."""
    pace: float = 1.0
    """After how many of the usual intervals there may be news; 2 at most."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a readiness check says."""

    severity: str
    """`Blocking`: cannot be recovered. `Degraded`: with a loss that is named. `Warning`."""
    reason: str
    message: str
    target: str | None = None
    """Target id; None: the account and Region as a whole."""


@dataclass(frozen=True, slots=True)
class ActionTraits:
    """What repeating an action would do, and whom it hurts."""

    repeatable: bool
    """True: AWS takes a client token, or the action sets an absolute state; sending it twice does
    nothing more. False: a lost answer must be looked up before the action is sent again."""
    batch: int = 100
    """Most targets of one call of act()."""
    restores: bool = False
    """Puts back what this step changed for a while; done even when the run is being cancelled."""
    ahead: bool = False
    """May be done before a step's turn: repeatable, inert, and harmless if that never comes."""
    slow: bool = False
    """AWS is at work for a while then: there is no news before the usual interval has passed."""


@dataclass(frozen=True, slots=True)
class PhaseTraits:
    """What a phase means for the order of things."""

    inert: bool
    """Changes nothing for users; may run ahead of its wave."""
    fixes_recovery_point: bool = False
    """Nothing written afterwards on the losing side is recovered."""
    irreversible: bool = False
    """undo() cannot bring it back."""
    instead: str = ""
    """For an irreversible phase: why it is, and what a person can do instead."""
    relaunch: bool = False
    """observe() and verify() honour `Step.relaunch`."""


SOURCE_RESTARTED: Final = "SourceRestarted"
"""Reason of a refusal to go on while what was fenced runs again, and writes."""
NOT_SYNCHRONISED: Final = "NotSynchronised"
"""Reason of a refusal to launch a copy that is not whole."""
LOSSES: Final = frozenset(
    {"FailbackOutdated", "FailoverOutdated", SOURCE_RESTARTED, NOT_SYNCHRONISED}
)
"""Reasons of refusals to go on with what is older than what could be had, or will be. A person may
accept that (`Step.accepted`)."""

UNDO: Final = "undo"
"""The action, in the journal and in `Step.calls`, that stands for Adapter.undo()."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """Something that AWS did for an earlier run."""

    reference: str
    """What AWS calls it, such as a job id."""
    uid: str
    """Uid of the execution that asked for it."""
    at: str
    """When, in AWS's words (RFC 3339)."""
    targets: tuple[str, ...]
    """Ids of the resources that it is about."""


class Adapter(Protocol):
    """One technology. Instances are stateless and shared between threads."""

    kind: ClassVar[str]
    """Technology, as in `DRTask.spec.technology`."""
    phases: ClassVar[Mapping[Phase, PhaseTraits]]
    """The phases that it has."""
    actions: ClassVar[Mapping[str, ActionTraits]]
    """Every action that observe() may name."""
    permissions: ClassVar[Mapping[str, frozenset[str]]]
    """IAM actions by use. `Read`: what the read role asks, for readiness, rehearsals, earlier runs
    and duties of Fence that are watched. The phases: what a step asks beyond that, its own looks
    included."""

    def readiness(self, scope: Scope, targets: Sequence[Target]) -> Sequence[Finding]:
        """Findings of read-only checks; nothing for a target that is ready."""
        ...

    def observe(self, scope: Scope, step: Step) -> Observed:
        """What AWS already did for the step. Read-only."""
        ...

    def act(self, scope: Scope, step: Step, action: str, call: str, batch: Sequence[Target]) -> str:
        """Ask AWS for `action` on every target of `batch`, once.

        `call` is the id of the batch, already in the journal; it goes out as tag or token. The
        answer is AWS's reference (a job id), or an empty string. botocore errors are not caught.
        """
        ...

    def verify(self, scope: Scope, step: Step) -> Observed:
        """The proof for targets that observe() calls DONE. Read-only; may answer RUNNING."""
        ...

    def undo(self, scope: Scope, step: Step, call: str, batch: Sequence[Target]) -> str:
        """Bring targets back to `step.pre_states`; the answer is AWS's reference, as of act().

        It sets what was recorded as a whole, so that it may be repeated.
        Raises `IrreversibleError` where the phase's traits say so.
        """
        ...


@runtime_checkable
class Traceable(Protocol):
    """An adapter whose service can be asked for the work of runs of which nothing is recorded.

    Optional: not every service tags what it does.
    """

    def earlier(
        self, scope: Scope, hub: str, namespace: str, execution: str, uid: str
    ) -> Sequence[Earlier]:
        """What an execution of that name asked for under another uid than `uid`. Read-only."""
        ...


@runtime_checkable
class Rehearsable(Protocol):
    """An adapter that can say what a drill of its resources proves.

    Optional: where there is nothing to compare, a drill proves that the resource took part.
    """

    def settings(self, scope: Scope, targets: Sequence[Target]) -> Mapping[str, str]:
        """By target id: a digest (hexadecimal) of how it would be recovered. Read-only."""
        ...

    def limits(self, scope: Scope) -> Mapping[str, int]:
        """Quotas that bound a recovery there, by quota code, as far as AWS says. Read-only."""
        ...


def actions_of(adapter: Adapter) -> dict[str, ActionTraits]:
    """Every action that the engine may carry out with the adapter: its own, and `undo`."""
    return {UNDO: ActionTraits(repeatable=True, restores=True), **adapter.actions}


class IrreversibleError(Exception):
    """The step cannot be undone; the message says what a person can do instead."""
