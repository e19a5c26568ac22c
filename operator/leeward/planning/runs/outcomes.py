"""What a run that goes on says of itself: at work, or held by what failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from leeward.api.common import PREFIX
from leeward.api.execution import DRExecution
from leeward.api.task import DRTask
from leeward.planning.runs import fencing
from leeward.planning.runs.earlier import launched_by, older_than_known
from leeward.planning.runs.record import Outcome, said_by
from leeward.planning.runs.waves import Stage
from leeward.planning.wording import clip, counted, some

_MOST = 1000
"""Characters of a message, so that the remedy stays within it."""
FENCE_UNDONE: Final = "FenceUndone"
"""Reason of a run that waits because people undid what it had fenced."""
NEWER_DATA: Final = "NewerData"
"""Reason of a run that waits because it would start what is older than what is known."""
_NAMED = 5
"""Resources that a command in a message names."""


def at_work(run: DRExecution, stage: Stage, busy: Sequence[DRTask], *, holding: bool) -> Outcome:
    """A run whose tasks `busy` are under way; `holding`: it is paused."""
    # Fence may go on beside what comes after it, and tasks of one account often say the same.
    phase = busy[0].spec.recovery_phase if busy else stage.phase
    begun = [t for t in busy if t.status.state != "NotStarted"]
    words = [*dict.fromkeys(t.status.message or "not begun" for t in begun or busy)]
    more = f" | and {len(words) - 2} more" if len(words) > 2 else ""
    message = f"wave {stage.wave}, {phase}: {' | '.join(words[:2]) or 'done'}{more}"
    if busy and all(t.status.state == "PendingApproval" for t in busy):
        return Outcome("WaitingForDecision", "ManualTask", message, stage.wave, stage.phase)
    if holding:
        message = clip(f"{_paused(run)}. {message}", _MOST)
    state: Literal["Paused", "Running"] = "Paused" if holding else "Running"
    return Outcome(state, state, message, stage.wave, stage.phase)


def _paused(run: DRExecution) -> str:
    """Who paused the run, and how it goes on."""
    pauses = [c for c in run.status.commands if c.key == f"{PREFIX}pause"]
    who = f" by {said_by(pauses[-1])}" if pauses else ""
    name, namespace = run.metadata.name, run.metadata.namespace
    return f'paused{who}; go on: kubectl annotate drx {name} -n {namespace} {PREFIX}resume="YOU"'


def stuck(
    run: DRExecution, stage: Stage, failed: Sequence[DRTask], tasks: Sequence[DRTask]
) -> Outcome:
    """Failed tasks hold the run: a person decides.

    First about what would be lost: of `tasks`, all those of the run, one may launch it anew.
    """
    if asking := [t for t in failed if older_than_known(t)]:
        return _newer(run, stage, asking, tasks)
    namespace, first = run.metadata.namespace, failed[0].metadata.name
    undone = failed[0].status.state != "Failed" and bool(fencing.undone(failed[0]))
    others = [t.metadata.name for t in failed[1:]]
    alike = "like it" if undone else "failed"
    more = f". {len(others)} more {alike}: {some(others, 2)}" if others else ""
    how = (
        f'kubectl annotate drt {first} -n {namespace} leeward.dev/retry="YOU" (or skip), '
        f'or kubectl annotate drx {run.metadata.name} -n {namespace} leeward.dev/cancel="YOU"'
    )
    if stage.phase == fencing.FENCE:
        how += ', or, if the side that is left is lost, leeward.dev/unplanned="YOU"'
    how += fencing.before_cancel(namespace, tasks)
    if run.status.paused:
        how += f'. The run is paused: nothing is sent before {PREFIX}resume="YOU"'
    rest = f"{more}. Decide: {how}"
    said = _serves_again(failed[0]) if undone else failed[0].status.message
    message = clip(f"{first}: {said}", _MOST - len(rest)) + rest
    reason = FENCE_UNDONE if undone else "TasksFailed"
    return Outcome("WaitingForDecision", reason, message, stage.wave, stage.phase)


def _serves_again(task: DRTask) -> str:
    """That people brought back what the run had stopped, beside which it recovers nothing."""
    spec, undone = task.spec, fencing.undone(task)
    return (
        f"fencing was undone, and nothing is recovered beside what may serve and write in "
        f"{spec.region}: {counted(len(undone), 'resource')} of account {spec.account_id} "
        f"({spec.account}): {some([r.id for r in undone], 3)}. retry fences them again, skip goes "
        f"on although they may write"
    )


def _newer(
    run: DRExecution, stage: Stage, asking: Sequence[DRTask], tasks: Sequence[DRTask]
) -> Outcome:
    """What was launched is older than what the other side served since: nothing starts unasked."""
    namespace, first = run.metadata.namespace, asking[0]
    older = older_than_known(first)
    total = sum(len(older_than_known(t)) for t in asking)
    named = ", ".join(r.id for r in older[:_NAMED])
    launch = (launched_by(first, tasks) or first).metadata.name
    rest = f" (and {total - len(older[:_NAMED])} more)" if total > len(older[:_NAMED]) else ""
    how = (
        f"Decide: launch the newest data: kubectl annotate drt {launch} -n {namespace} "
        f'leeward.dev/relaunch="YOU: [{named}]"{rest}; or lose it: kubectl annotate drt '
        f'{first.metadata.name} -n {namespace} leeward.dev/accept-data-loss="YOU"; or leave it '
        f'out there: leeward.dev/skip="YOU"; or kubectl annotate drx {run.metadata.name} '
        f'-n {namespace} leeward.dev/cancel="YOU"'
    )
    where = some([*dict.fromkeys(f"{t.spec.account_id} ({t.spec.account})" for t in asking)])
    said = (
        f"wave {stage.wave}: {counted(total, 'server')} in account {where} would serve older "
        f"data than {first.spec.source_region} has written since. {older[0].message}"
    )
    message = f"{clip(said, max(_MOST - len(how), 200))}. {how}"
    return Outcome("WaitingForDecision", NEWER_DATA, message, stage.wave, stage.phase)
