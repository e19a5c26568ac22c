"""`kubectl leeward wait`: block until a run is where a script needs it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TextIO

import click

from leeward.cli import outcome, tree
from leeward.cli.app import DurationOf, connected, global_options
from leeward.cli.kinds import EXECUTION, Kind, KindOf
from leeward.cli.outcome import Exit, Goal
from leeward.cli.render import status

if TYPE_CHECKING:
    from leeward.cli.connect import Api

_GOALS = ("succeeded", "approval", "terminal")


@click.command(epilog=outcome.CODES)
@click.argument("kind", type=KindOf(EXECUTION), metavar="drx")
@click.argument("name")
@click.option(
    "--for",
    "goal",
    type=click.Choice(_GOALS),
    default="succeeded",
    show_default=True,
    help="succeeded: until it ends, or cannot go on without people. approval: until people are "
    "asked. terminal: until it ends, whatever people do meanwhile.",
)
@click.option(
    "--timeout",
    type=DurationOf(),
    metavar="DURATION",
    default="10m",
    show_default=True,
    help="How long to wait at most.",
)
@global_options
@click.pass_context
def wait(ctx: click.Context, kind: Kind, name: str, goal: Goal, timeout: timedelta) -> None:
    """Wait for a run, and print each thing that changes once.

    The exit code says how it ended, for scripts. The run itself never depends on this command.
    """
    deadline = time.monotonic() + timeout.total_seconds()
    with connected() as api:
        ctx.exit(block(api, name, goal, deadline, sys.stdout))


def block(api: Api, name: str, goal: Goal, deadline: float, out: TextIO) -> Exit:
    """Wait until the execution reached `goal` or the monotonic clock passes `deadline`."""
    from leeward.cli.live import print_lines, snapshots

    said = ""
    stop = threading.Event()
    for snapshot in snapshots(
        api, EXECUTION, api.namespace, name, stop, deadline=deadline, below=False
    ):
        line = f"⚠ {snapshot.trouble}" if snapshot.trouble else summary(snapshot.target)
        if line != said:
            said = line
            print_lines(out, [line])
        code = outcome.reached(snapshot.target, goal)
        if code is not None:
            return code
    print_lines(out, ["timed out; the run goes on by itself"])
    return Exit.TIMEOUT


def summary(execution: Mapping[str, Any]) -> str:
    """The run on one line."""
    run = execution.get("status") or {}
    state = status(tree.state_word(execution)).text
    waves = run.get("waves") or []
    place = next((w for w in waves if w["name"] == run.get("currentWave")), None)
    where = f", wave {place['name']} ({place['ordinal']} of {len(waves)})" if place else ""
    counts = f", {tree.resource_counts(run['resources'])}" if run.get("resources") else ""
    return f"{state}{where}{counts}: {tree.message(execution)}"
