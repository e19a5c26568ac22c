"""Times on the record of a run: what was estimated, what was promised, and what came of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from leeward.api.common import Line, Model, Time, atomic

Span = Annotated[str, Field(max_length=32)]
"""A Go duration that the operator wrote, such as `9m41s`; unlike one of people, it may be `0s`."""
Kept = Literal["Met", "Missed"]


class LagRecord(Model):
    """How far replication is behind, as discovery saw it last; of a run: when it began."""

    servers: int = 0
    """Servers that replicate."""
    worst: Span | None = None
    """The largest lag; absent: no server's lag is known."""
    worst_server: Line = ""
    """Which server that is."""
    above: int = 0
    """Servers that lagged by more than their objective: their tag `dr:rpo-target`, else the plan's
    `objectives.rpo`."""
    unknown: int = 0
    """Servers whose lag DRS did not say."""


class Wait(Model):
    """The run stands still until a person does something."""

    since: Time
    """Since when."""
    what: Literal["Approval", "Decision", "Resume"]
    """What it waits for: an answer to a gate, a decision, or the end of a pause."""
    wave: Annotated[str, Field(max_length=24)] | None = None
    """Wave that it waits in."""


class WaveTimes(Model):
    """Times of one wave. A wave lasts from the end of the one before it to its own."""

    name: Annotated[str, Field(max_length=24)]
    """Wave."""
    lag: LagRecord | None = None
    """Replication lag of its servers at the start; absent: nothing of it replicates."""
    rto_target: Span | None = None
    """The strictest `dr:rto-target` of its resources."""
    adopted: int = 0
    """Servers that had been recovered before, which the run keeps and does not launch."""
    estimated: Span | None = None
    """How long it was to take, as estimated at the start; waiting for people not counted."""
    waited: Span = "0s"
    """How long it waited for people. A wait that still goes on is in `objectives.waiting`."""
    actual: Span | None = None
    """How long it took, without waiting for people; absent until it is complete."""
    recovered_after: Span | None = None
    """From the start of the run until it was complete, waiting for people included."""
    rto: Kept | None = None
    """Whether `recoveredAfter` kept the target. Missed is said as soon as it is so."""


class RunObjectives(Model):
    """What the run was to keep, and what came of it. Objectives are counted from its start."""

    rpo_target: Span | None = None
    """The plan's `objectives.rpo`."""
    rto_target: Span | None = None
    """The plan's `objectives.rto`."""
    lag: LagRecord | None = None
    """Replication lag at the start; absent: nothing replicates."""
    estimated: Span | None = None
    """How long the waves were to take, as estimated at the start; waiting for people not counted.
    A Test's clean-up comes after it."""
    waiting: Wait | None = None
    """What the run waits for now."""
    waited: Span = "0s"
    """How long the whole run waited for people; a wait that still goes on is in `waiting`."""
    actual: Span | None = None
    """How long the waves took, without waiting for people; absent until all are complete."""
    recovered_after: Span | None = None
    """From the start until the last wave was complete, waiting for people included."""
    rto: Kept | None = None
    """Whether `recoveredAfter` kept the plan's target. Missed is said as soon as it is so."""
    waves: Annotated[list[WaveTimes], Field(max_length=20, json_schema_extra=atomic())] = []
    """The same for each wave."""


class WaveActual(Model):
    """How long a wave took in a run that ended."""

    name: Annotated[str, Field(max_length=24)]
    """Wave."""
    seconds: int
    """Seconds, without waiting for people."""
