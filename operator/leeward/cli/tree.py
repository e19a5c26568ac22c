"""A run as text: execution, waves, gates, phases, tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from leeward.cli import outcome, preview_view, times_view
from leeward.cli.folding import phase_row, span
from leeward.cli.render import Pair, Row, View, age, clean, elapsed, layout, moment, status

Object = Mapping[str, Any]

_PHASES: Final = ("Fence", "Instantiate", "Activate", "Replicate", "Cleanup")
_QUIET: Final = frozenset({"Complete", "NotStarted", "Skipped", "Abandoned"})
_WAVES_IN_FULL: Final = 6
_FINDINGS_SHOWN: Final = 5


def render(
    execution: Object, tasks: Sequence[Object], now: datetime, width: int, color: bool
) -> str:
    """The run as the API server stores it (`execution`, its DRTasks), as text.

    `now` is an aware time, `width` in cells; `color` adds ANSI colours.
    """
    return layout(view(execution, tasks, now), width, color=color)


def view(execution: Object, tasks: Sequence[Object], now: datetime) -> View:
    """Header and tree of a run."""
    run = _Run(execution, tasks, now)
    return View(tuple(run.pairs()), run.root())


def open_gates(execution: Object) -> list[Object]:
    """Gates that can be answered now."""
    deciding = outcome.holds(execution, "WaitingForDecision")
    late = {"Rejected", "TimedOut"} if deciding else set()
    gates = (execution.get("status") or {}).get("gates") or []
    return [g for g in gates if g["state"] == "Waiting" or g["state"] in late]


def asks_for_loss(gate: Object) -> bool:
    """Whether a gate asks people to accept that data may be lost, and nobody has yet."""
    return bool(gate.get("dataLoss") == "Question")


def found_previous_run(execution: Object) -> bool:
    """Whether the run waits because AWS holds what another execution of its name left."""
    return _decision(execution) == "PreviousRunFound"


def _decision(execution: Object) -> str:
    """Why the run waits for a decision; empty: it does not."""
    waiting = outcome.condition(execution, "WaitingForDecision")
    return str(waiting.get("reason")) if waiting.get("status") == "True" else ""


def _undone(task: Object) -> bool:
    """Whether people undid what the task had fenced, which holds a Planned run."""
    resources = (task.get("status") or {}).get("resources") or []
    fences = task["spec"].get("recoveryPhase") == "Fence"
    return fences and any(r.get("reason") == "Undone" for r in resources)


def broken_by(execution: Object) -> str:
    """Who broke the run's glass; empty: nobody."""
    return str(((execution.get("status") or {}).get("breakGlass") or {}).get("user") or "")


def mode(execution: Object) -> str:
    """The run's mode, as it is now."""
    switched = (execution.get("status") or {}).get("unplanned")
    return "Unplanned" if switched else str(execution["spec"].get("mode") or "Planned")


def state_word(execution: Object) -> str:
    """The run's state for people."""
    return str((execution.get("status") or {}).get("state") or "Pending")


def message(execution: Object) -> str:
    """What the run is doing or waiting for."""
    said = (execution.get("status") or {}).get("message")
    return clean(said or "the operator has not taken it up yet")


def resource_counts(counts: Object) -> str:
    """`310 done, 2 failed, 738 under way or to do, 1,050 total`."""
    total, done = counts.get("total", 0), counts.get("complete", 0)
    failed, skipped = counts.get("failed", 0), counts.get("skipped", 0)
    parts = [f"{done:,} done", f"{failed:,} failed"]
    parts += [f"{skipped:,} left out"] if skipped else []
    return ", ".join([*parts, f"{total:,} total"])


class _Run:
    """One run at one moment."""

    def __init__(self, execution: Object, tasks: Sequence[Object], now: datetime) -> None:
        self._execution = execution
        self._spec: Object = execution["spec"]
        self._status: Object = execution.get("status") or {}
        self._tasks = tasks
        self._now = now
        self._name = execution["metadata"]["name"]
        self._namespace = execution["metadata"]["namespace"]

    def pairs(self) -> Iterator[Pair]:
        spec, run = self._spec, self._status
        yield Pair("Name", self._name)
        yield Pair("Namespace", self._namespace)
        yield Pair("Plan", spec["planRef"]["name"])
        dry = ", dry run" if spec.get("dryRun") == "Plan" else ""
        yield Pair("Operation", f"{spec['operation']}{dry}")
        yield Pair("Mode", mode(self._execution))
        if who := broken_by(self._execution):
            why = run["breakGlass"].get("comment") or "no reason given"
            yield Pair("Glass", clean(f"broken by {who}: {why}"), "waiting")
        look = self._look()
        yield Pair("Status", look.text, look.tone)
        yield Pair("Message", message(self._execution))
        if preview := run.get("preview"):
            yield from preview_view.pairs(preview)
            return
        waves = run.get("waves") or []
        done = sum(1 for wave in waves if wave["state"] in {"Complete", "Skipped"})
        yield Pair("Waves", f"{done}/{len(waves)}")
        yield Pair("Resources", resource_counts(run.get("resources") or {}))
        if started := run.get("startTime"):
            start = datetime.fromisoformat(started)
            ended = run.get("completionTime")
            until = datetime.fromisoformat(ended) if ended else self._now
            yield Pair("Started", moment(start))
            yield Pair("Elapsed", elapsed(until - start), timed=not ended)
            yield from times_view.pairs(run, self._now)
        yield from self._said("Unsupported", run.get("unsupported") or [])
        yield from self._said("Finding", run.get("findings") or [])
        yield from self._following()
        yield from self._asked()

    def _following(self) -> Iterator[Pair]:
        """What follows this run, or why nothing does; until it ends, what is to follow."""
        if following := self._status.get("next"):
            why = following.get("message")
            said = f"{following['operation']}: {why}" if why else following["name"]
            yield Pair("Next", clean(said), "waiting" if why else "")
        elif chain := self._spec.get("then"):
            yield Pair("Next", ", then ".join(run["operation"] for run in chain))

    def _look(self) -> Any:
        tolerated = outcome.verdict(self._execution) is outcome.Exit.WITHIN_TOLERANCE
        return status(state_word(self._execution), flawed=tolerated)

    @staticmethod
    def _said(label: str, lines: Sequence[str]) -> Iterator[Pair]:
        for line in lines[:_FINDINGS_SHOWN]:
            yield Pair(label, clean(line), "waiting")
        if (more := len(lines) - _FINDINGS_SHOWN) > 0:
            yield Pair(label, f"and {more} more", "waiting")

    def _asked(self) -> Iterator[Pair]:
        """What waits for people, with the commands that answer it."""
        if outcome.verdict(self._execution) is not None:
            return
        gates = open_gates(self._execution)
        for gate in gates:
            yield from self._gate_pairs(gate)
        if outcome.holds(self._execution, "WaitingForDecision"):
            selector = f"drt -l leeward.dev/execution={self._name}"
            if found_previous_run(self._execution):
                yield self._command("Decide: adopt", "adopt", f"drx {self._name}")
                delete = f"kubectl delete drx {self._name} -n {self._namespace}"
                yield Pair("or delete", delete)
            elif _decision(self._execution) == "ManualTask":
                yield self._command("When done", "mark-done", selector, ' -m "WHAT"')
            elif _decision(self._execution) == "FenceUndone":
                undone = [t for t in self._tasks if _undone(t)]
                for name in (str(t["metadata"]["name"]) for t in undone[:_FINDINGS_SHOWN]):
                    yield self._command("Decide: fence again", "retry", f"drt {name}")
                    yield self._command("or go on without", "skip", f"drt {name}")
            elif not gates:
                yield self._command("Decide: retry", "retry", selector)
                yield self._command("or skip", "skip", selector)
            yield self._command("or cancel", "cancel", f"drx {self._name}", ' -m "WHY"')
        if outcome.holds(self._execution, "Paused"):
            yield self._command("Go on", "resume", f"drx {self._name}")

    def _gate_pairs(self, gate: Object) -> Iterator[Pair]:
        deadline = datetime.fromisoformat(gate["deadline"]) - self._now
        left = f"{age(deadline)} left" if deadline.total_seconds() > 0 else "past its deadline"
        said = f"{gate['name']}, before {gate['before']} of wave {gate['wave']}: {_answers(gate)}"
        yield Pair("Gate", said, "waiting")
        if gate["state"] == "Waiting":
            yield Pair("  deadline", f"{left}, then {gate.get('onTimeout', 'Hold')}", timed=True)
        if approvers := _approvers(gate):
            yield Pair("  approvers", approvers)
        for finding in gate.get("findings") or []:
            if finding not in (self._status.get("findings") or []):
                yield Pair("  finding", clean(finding), "waiting")
        if asks_for_loss(gate):
            what = f"drx {self._name} {gate['name']}"
            yield self._command("  accept loss", "accept-data-loss", what, ' -m "WHY"')
        yield self._command("  approve", "approve", f"drx {self._name} {gate['name']}")
        yield self._command("  reject", "reject", f"drx {self._name} {gate['name']}", ' -m "WHY"')

    def _command(self, label: str, verb: str, what: str, tail: str = "") -> Pair:
        return Pair(label, f"kubectl leeward {verb} {what} -n {self._namespace}{tail}")

    def root(self) -> Row:
        """The tree."""
        waves = self._status.get("waves") or []
        fold = len(waves) > _WAVES_IN_FULL
        started, ended = self._status.get("startTime"), self._status.get("completionTime")
        info = "being cancelled: nothing new is started" if self._cancelling() else ""
        return Row(
            self._name,
            self._spec["operation"],
            self._look(),
            span(started, ended, self._now),
            info,
            children=(
                *preview_view.rows(self._status.get("preview") or {}),
                *(self._wave(wave, fold=fold) for wave in waves),
            ),
        )

    def _cancelling(self) -> bool:
        return bool(self._status.get("cancelling")) and outcome.verdict(self._execution) is None

    def _wave(self, wave: Object, *, fold: bool) -> Row:
        counts = wave.get("resources") or {}
        flawed = bool(counts.get("failed"))
        times = times_view.of_wave(self._status.get("objectives"), wave["name"])
        info = "; ".join(said for said in (resource_counts(counts), times) if said)
        children = tuple(self._children(wave))
        if fold and wave["state"] in _QUIET and not flawed and not self._waiting(wave):
            children = ()
        return Row(
            f"{wave['ordinal']} {wave['name']}",
            "Wave",
            status(wave["state"], flawed=flawed),
            span(wave.get("startTime"), wave.get("completionTime"), self._now),
            info,
            children=children,
        )

    def _waiting(self, wave: Object) -> bool:
        return any(gate["wave"] == wave["name"] for gate in open_gates(self._execution))

    def _children(self, wave: Object) -> Iterator[Row]:
        """Gates and phases of the wave, each gate before the phase that it holds."""
        asked = {(g["wave"], g["before"]): g for g in self._status.get("gates") or []}
        frozen = {(g["wave"], g["before"]): g for g in self._status.get("frozenGates") or []}
        mine = [t for t in self._tasks if t["spec"]["wave"] == wave["name"]]
        for phase in _PHASES:
            key = (wave["name"], phase)
            if gate := asked.get(key) or frozen.get(key):
                yield self._gate(gate)
            if tasks := [t for t in mine if t["spec"]["recoveryPhase"] == phase]:
                yield phase_row(phase, tasks, self._now)

    def _gate(self, gate: Object) -> Row:
        if "state" not in gate:
            needed = f"{gate.get('required', 1)} to approve, within {gate.get('timeout', '30m')}"
            return Row(gate["name"], "Gate", status("NotAsked"), "", needed)
        answered = [a["time"] for a in gate.get("answers") or []]
        end = answered[-1] if answered and gate["state"] != "Waiting" else None
        end = end or (gate["askedAt"] if gate["state"] == "Automatic" else None)
        end = end or (gate["deadline"] if gate["state"] == "TimedOut" else None)
        open_at_the_end = gate["state"] == "Waiting" and bool(self._status.get("completionTime"))
        if open_at_the_end:
            end = self._status["completionTime"]
        state = "Unanswered" if open_at_the_end else gate["state"]
        waited = span(gate["askedAt"], end, self._now)
        return Row(gate["name"], "Gate", status(state), waited, _answers(gate))


def _answers(gate: Object) -> str:
    """How the gate stands: whose approvals count, or who rejected it and why."""
    if gate["state"] == "Automatic":
        return "passed by approvalMode Automatic"
    answers = gate.get("answers") or []
    people: list[str] = []
    for answer in answers:
        # A rejection makes the count of approvals start anew.
        people = [] if answer["verdict"] == "Reject" else [*people, answer["user"]]
    if gate["state"] == "Rejected" and answers:
        last = next((a for a in reversed(answers) if a["verdict"] == "Reject"), answers[-1])
        why = f": {last['comment']}" if last.get("comment") else ""
        return clean(f"rejected by {last['user']}{why}")
    given = f"{len(set(people))} of {gate['required']} approvals"
    given += f": {', '.join(dict.fromkeys(people))}" if people else ""
    return clean(given + ("; data loss not accepted" if asks_for_loss(gate) else ""))


def _approvers(gate: Object) -> str:
    listed = gate.get("approvers") or {}
    users = [f"user {name}" for name in listed.get("users") or []]
    groups = [f"group {name}" for name in listed.get("groups") or []]
    tail = ", not the requester" if gate.get("fourEyes") == "Required" else ""
    return clean(", ".join(users + groups) + tail) if users or groups else tail[2:]
