"""`kubectl leeward get`: a run or a plan as a tree, once or live."""

from __future__ import annotations

import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from leeward.cli import outcome, plan_view, tree
from leeward.cli.app import DurationOf, colored, connected, global_options
from leeward.cli.kinds import EXECUTION, PLAN, TASK, Kind, KindOf
from leeward.cli.outcome import Exit
from leeward.cli.render import View, layout

if TYPE_CHECKING:
    from leeward.cli.connect import Api


@click.command(epilog=outcome.CODES)
@click.argument("kind", type=KindOf(EXECUTION, PLAN), metavar="drx|rp")
@click.argument("name")
@click.option("-w", "--watch", is_flag=True, help="Show it live; a run: until it ends.")
@click.option("--timeout", type=DurationOf(), metavar="DURATION", help="With -w: stop after this.")
@global_options
@click.pass_context
def get(ctx: click.Context, kind: Kind, name: str, watch: bool, timeout: timedelta | None) -> None:
    """Show a run (drx) or a plan (rp) as a tree.

    Equal things are folded into one line, trouble is shown in full, and what waits for people is
    shown with the command that answers it. With -w and a terminal the tree is redrawn in place;
    without one, each line that changed is printed once.
    """
    if timeout is not None and not watch:
        raise click.UsageError("--timeout goes with -w")
    with connected() as api:
        if not watch:
            show_once(api, kind, name)
            return
        deadline = None if timeout is None else time.monotonic() + timeout.total_seconds()
        follow = _follow_run if kind is EXECUTION else _follow_plan
        ctx.exit(follow(api, name, deadline))


def show_once(api: Api, kind: Kind, name: str) -> None:
    """Print the object as it is now."""
    from leeward.cli.live import terminal_width

    target = api.get(kind.path(api.namespace, name))
    now = datetime.now(UTC)
    shown: View
    if kind is EXECUTION:
        query = {"labelSelector": f"leeward.dev/execution={name}"}
        tasks, _ = api.list(TASK.path(api.namespace), query)
        shown = tree.view(target, tasks, now)
    else:
        shown = plan_view.view(target, now)
    click.echo(layout(shown, terminal_width(sys.stdout), color=colored()))


def _follow_run(api: Api, name: str, deadline: float | None) -> Exit:
    from leeward.cli.live import follow

    last = follow(
        api, api.namespace, name, sys.stdout, threading.Event(), color=colored(), deadline=deadline
    )
    ended = outcome.verdict(last)
    return Exit.TIMEOUT if ended is None else ended


def _follow_plan(api: Api, name: str, deadline: float | None) -> Exit:
    from leeward.cli import live

    stop = threading.Event()
    with live.screen_for(sys.stdout, color=colored()) as screen:
        seen = live.snapshots(api, PLAN, api.namespace, name, stop, deadline=deadline)
        for snapshot in seen:
            screen.show(live.drawn(snapshot, lambda plan, _, now: plan_view.view(plan, now)))
    return Exit.TIMEOUT
