"""How long a run will take: its frozen tasks, packed as AWS's quotas want it, laid end to end.

Waves and phases follow each other, and tasks of a phase run side by side but for `dependsOn`. The
fencing of an Unplanned run goes on beside its launches, and what may run ahead of its wave begins
with the run. Waiting for people is left out. Where earlier runs of the plan left their times, a
wave takes what it took then; else general figures say it, each with its source.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from graphlib import TopologicalSorter
from itertools import groupby
from statistics import median
from typing import Final, Literal

from leeward.api.common import RecoveryPhase
from leeward.api.plan_record import HistoryEntry
from leeward.api.task import DRTaskSpec
from leeward.planning.durations import parse
from leeward.planning.estate.direction import launched
from leeward.planning.runs.fencing import FENCE
from leeward.planning.runs.freeze import Frozen, FrozenTask
from leeward.planning.runs.waves import serves_before
from leeward.planning.tasks.manual import TECHNOLOGY as MANUAL
from leeward.planning.tasks.step import needs_no_look
from leeward.planning.wording import clip, counted

JOB_SERVERS: Final = 100
"""Servers of one DRS job (service quota L-B827C881)."""
JOBS: Final = 20
"""DRS jobs at once in an account and Region (L-D88FAC3A); an account may have more."""
SERVERS: Final = 500
"""Servers in all of them (L-05AFA8C6)."""
CALL: Final = 0.2
"""Seconds of one call to AWS that changes something; assumed."""
SEEN: Final = 15.0
"""Seconds until the operator notices what AWS did: the default of LEEWARD_POLL_INTERVAL."""
_RUNS: Final = 3
"""Earlier runs that an estimate is made of."""

Unit = tuple[str, str, str]
"""Technology, TargetAccount, Region."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What a phase of a technology takes."""

    seconds: float
    """From the request until AWS shows that it is done."""
    calls: int = 0
    """Calls for each resource, made one after the other, before the request."""
    drill_calls: int = 0
    """Further ones in a Test, for a resource that was never rehearsed; later ones take fewer."""
    launch_calls: int = 0
    """Further ones for a resource with launch settings, but in a Test."""


FIGURES: Final[Mapping[tuple[str, str], Figure]] = {
    # A launch of two small Linux servers, measured: its job ended after 533 and 539 s (output of
    # the AWS sample drs-tools). Windows and large disks take 15 to 20 minutes; the first run of
    # the plan shows it. UpdateLaunchConfiguration for each server; in a first Test what it was is
    # read before, the server is marked, and a launch template's version is made, from two readings,
    # and becomes the default. Launch settings are read twice, and make a version of the template
    # where they differ.
    ("drs", "Instantiate"): Figure(533, calls=1, drill_calls=6, launch_calls=5),
    # StartInstances to running about 20 s; EC2's status checks run each minute and were seen to
    # pass after 60 to 180 s (EC2 User Guide, status checks).
    ("drs", "Activate"): Figure(140),
    # A TERMINATE job takes 30 to 120 s; the slowest of many servers counts.
    ("drs", "Cleanup"): Figure(120),
    # The whole of the disks over what the link carries, so it may be days: 100 GB at 500 Mbit/s
    # take half an hour, and DRS prepares replication for 5 to 10 minutes.
    ("drs", "Replicate"): Figure(2400),
    # StopInstances as the sandbox times it; systems with much to save take minutes.
    ("ec2", "Fence"): Figure(30),
    # New instances boot and pass the group's health checks (EC2 Auto Scaling User Guide: a grace
    # period of 300 s is the console's default).
    ("autoscaling", "Activate"): Figure(300),
    # "Changes generally propagate to all Route 53 name servers within 60 seconds" (API reference,
    # ChangeResourceRecordSets).
    ("route53", "Activate"): Figure(60),
}
_UNKNOWN: Final = Figure(120)
"""Where nothing is known."""


@dataclass(frozen=True, slots=True)
class StageForecast:
    """A phase of a wave, as it is expected."""

    wave: str
    phase: RecoveryPhase
    tasks: tuple[FrozenTask, ...]
    start: timedelta
    """From the start of the run."""
    duration: timedelta
    dominated_by: str
    """The tasks that take the longest, for people; one after the other where they wait."""
    basis: Literal["Figures", "History"]
    jobs: Mapping[Unit, int]

    @property
    def end(self) -> timedelta:
        """When it is over."""
        return self.start + self.duration

    @property
    def operation(self) -> str:
        """Operation of the run."""
        return self.tasks[0].spec.operation


@dataclass(frozen=True, slots=True)
class Forecast:
    """A run as it is expected, without waiting for people."""

    stages: tuple[StageForecast, ...] = ()
    """In the order in which they run."""

    @property
    def duration(self) -> timedelta:
        """Of the whole run, with what follows the last wave."""
        return max((s.end for s in self.stages), default=timedelta())

    @property
    def recovered_after(self) -> timedelta:
        """Until the last wave is complete."""
        return max(self._ends().values(), default=timedelta())

    @property
    def jobs(self) -> int:
        """Jobs of all stages."""
        return sum(sum(stage.jobs.values()) for stage in self.stages)

    def wave(self, name: str) -> timedelta | None:
        """From the end of the waves before it to its own; None: it has nothing to do."""
        ends = self._ends()
        if name not in ends:
            return None
        before = list(ends)[: list(ends).index(name)]
        begun = max((ends[wave] for wave in before), default=timedelta())
        return max(ends[name] - begun, timedelta())

    def _ends(self) -> dict[str, timedelta]:
        """By wave, in their order: when it is complete."""
        ends: dict[str, timedelta] = {}
        for stage in self.stages:
            if not serves_before(stage.operation, stage.phase):
                ends[stage.wave] = max(ends.get(stage.wave, timedelta()), stage.end)
        return ends


@dataclass(frozen=True, slots=True)
class _Model:
    """A stage by the figures alone."""

    wave: str
    phase: RecoveryPhase
    tasks: tuple[FrozenTask, ...]
    place: Literal["InTurn", "Ahead", "Beside"]
    seconds: float
    dominated_by: str
    jobs: Mapping[Unit, int]


def forecast(operation: str, frozen: Frozen, history: Sequence[HistoryEntry]) -> Forecast:
    """The frozen run as it is expected.

    `history` are the plan's earlier runs: the newest successful ones of the same operation count,
    or of another where there are none, because a drill launches as a failover does. What runs
    ahead is taken to find room for its jobs.
    """
    grouped = groupby(frozen.tasks, key=lambda task: (task.spec.wave, task.spec.recovery_phase))
    gated = {(gate.wave, gate.before) for gate in frozen.gates}
    models = [_stage(wave, phase, tuple(group), gated) for (wave, phase), group in grouped]
    took = _history(operation, history)
    sums: dict[str, float] = {}
    for model in models:
        if model.place == "InTurn" and not serves_before(operation, model.phase):
            sums[model.wave] = sums.get(model.wave, 0.0) + model.seconds
    stages: list[StageForecast] = []
    clock = timedelta()
    for model in models:
        known = None
        timed = model.place == "InTurn" and not serves_before(operation, model.phase)
        if timed and sums[model.wave]:
            known = took.get(model.wave)
        seconds = model.seconds if known is None else known * model.seconds / sums[model.wave]
        stage = StageForecast(
            wave=model.wave,
            phase=model.phase,
            tasks=model.tasks,
            start=timedelta() if model.place == "Ahead" else clock,
            duration=timedelta(seconds=round(seconds)),
            dominated_by=model.dominated_by,
            basis="Figures" if known is None else "History",
            jobs=model.jobs,
        )
        stages.append(stage)
        clock = clock if model.place == "Beside" else max(clock, stage.end)
    return Forecast(tuple(stages))


def _place(
    phase: str, tasks: Sequence[FrozenTask], gated: Collection[tuple[str, str]]
) -> Literal["InTurn", "Ahead", "Beside"]:
    """Where a stage has its place: in its turn, with the run's start, or beside what follows it."""
    spec = tasks[0].spec
    if phase == "Replicate" or (phase == FENCE and spec.mode == "Unplanned"):
        return "Beside"
    held = {(spec.wave, FENCE), (spec.wave, "Instantiate")} & set(gated)
    leads = phase == "Instantiate" and all(task.spec.start == "Ahead" for task in tasks)
    return "Ahead" if leads and not held else "InTurn"


def _history(operation: str, entries: Sequence[HistoryEntry]) -> dict[str, float]:
    """By wave: what it took in the newest runs that succeeded, as their median in seconds."""
    timed = [e for e in entries if e.waves]
    alike = [e for e in timed if e.operation == operation] or timed
    found: dict[str, list[int]] = {}
    for entry in alike[-_RUNS:]:
        for wave in entry.waves:
            found.setdefault(wave.name, []).append(wave.seconds)
    return {wave: float(median(seconds)) for wave, seconds in found.items()}


def _stage(
    wave: str,
    phase: RecoveryPhase,
    tasks: tuple[FrozenTask, ...],
    gated: Collection[tuple[str, str]],
) -> _Model:
    own, jobs = _durations(tasks)
    ends: dict[str, float] = {}
    chains: dict[str, tuple[str, ...]] = {}
    specs = {task.name: task.spec for task in tasks}
    waits = {name: [d for d in spec.depends_on if d in specs] for name, spec in specs.items()}
    for name in TopologicalSorter(waits).static_order():
        last = max(waits[name], key=lambda before: ends[before], default=None)
        ends[name] = own[name] + (ends[last] if last else 0.0)
        chains[name] = (*(chains[last] if last else ()), name)
    slowest = max(ends, key=lambda name: ends[name])
    chain = [_words(specs[name], jobs) for name in chains[slowest] if own[name]]
    words = clip(", then ".join(chain), 256)
    place = _place(phase, tasks, gated)
    seconds = ends[slowest]
    if place == "Beside" and (limit := specs[slowest].fence_limit):
        seconds = min(seconds, parse(limit).total_seconds())
    return _Model(wave, phase, tasks, place, seconds, words, jobs)


def _durations(tasks: Sequence[FrozenTask]) -> tuple[dict[str, float], dict[Unit, int]]:
    """What each task takes by itself, and how many jobs each account and Region needs."""
    seconds: dict[str, float] = {}
    jobs: dict[Unit, int] = {}
    launches: dict[Unit, list[FrozenTask]] = {}
    for task in tasks:
        spec = task.spec
        if needs_no_look(spec) or spec.technology == MANUAL:
            seconds[task.name] = 0.0  # left out, or people's time
        elif (spec.technology, spec.recovery_phase) == ("drs", "Instantiate"):
            launches.setdefault(_unit(spec), []).append(task)
        else:
            figure = FIGURES.get((spec.technology, spec.recovery_phase), _UNKNOWN)
            seconds[task.name] = figure.seconds + _calls(figure, [task]) + SEEN
    for unit, group in launches.items():
        ends, jobs[unit] = _launches(group)
        seconds |= ends
    return seconds, jobs


def _calls(figure: Figure, tasks: Iterable[FrozenTask]) -> float:
    """Seconds for what is asked resource by resource."""
    calls = 0
    for task in tasks:
        resources = task.spec.resources
        calls += figure.calls * len(resources)
        if task.spec.operation == "Test":
            calls += figure.drill_calls * len(resources)
        else:
            calls += figure.launch_calls * sum(r.launch is not None for r in resources)
    return CALL * calls


def _launches(tasks: Sequence[FrozenTask]) -> tuple[dict[str, float], int]:
    """When the DRS launches of one account and Region end, by task, and their number of jobs.

    A task's servers go into jobs as long as both quotas leave room; the rest waits for the end of
    a job. Servers that were recovered before are adopted and need none.
    """
    figure = FIGURES["drs", "Instantiate"]
    drill = tasks[0].spec.operation == "Test"
    clock = _calls(figure, tasks)  # one queue for each account and Region
    running: list[tuple[float, int]] = []
    ends: dict[str, float] = {}
    jobs = 0
    for task in tasks:
        operation = task.spec.operation
        left = sum(1 for r in task.spec.resources if drill or not launched(operation, r))
        ends[task.name] = clock + SEEN
        while left:
            room = min((JOBS - len(running)) * JOB_SERVERS, SERVERS - sum(n for _, n in running))
            if room <= 0:
                clock = running[0][0]
                while running and running[0][0] <= clock:
                    heapq.heappop(running)
                continue
            batch = min(left, JOB_SERVERS, room)
            heapq.heappush(running, (clock + figure.seconds, batch))
            ends[task.name] = clock + figure.seconds + SEEN
            left, jobs = left - batch, jobs + 1
    return ends, jobs


def _unit(spec: DRTaskSpec) -> Unit:
    return spec.technology, spec.account, spec.region


def _words(spec: DRTaskSpec, jobs: Mapping[Unit, int]) -> str:
    what = counted(len(spec.resources), f"{spec.technology} resource")
    if spec.task:
        return f"{spec.task} ({what})"
    if packed := jobs.get(_unit(spec)):
        what = counted(packed, f"{spec.technology} job")
    return f"{what} in {spec.account} ({spec.account_id}, {spec.region})"
