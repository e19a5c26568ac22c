"""`kubectl leeward plan`: what is known of a plan, and the tag report."""

from __future__ import annotations

import sys
import uuid
from typing import get_args

import click

from leeward.api.common import PREFIX, Operation
from leeward.cli import plan_readiness, plan_view
from leeward.cli.app import Subcommands, colored, connected, global_options
from leeward.cli.get import show_once
from leeward.cli.kinds import INVENTORY, PLAN
from leeward.cli.outcome import Exit

_LABEL_MAX = 63
_REFRESH = f"{PREFIX}refresh"
"""The operator looks at a plan when its value changes."""


@click.group(cls=Subcommands)
@global_options
def plan() -> None:
    """Look at a plan."""


@plan.command()
@click.argument("name")
@global_options
def status(name: str) -> None:
    """Show the plan: whether it could be recovered now, and what stands in the way."""
    with connected() as api:
        show_once(api, PLAN, name)


@plan.command()
@click.argument("name")
@global_options
def refresh(name: str) -> None:
    """Have the plan looked at now, with everything asked of AWS again."""
    with connected() as api:
        api.annotate(PLAN.path(api.namespace, name), {_REFRESH: str(uuid.uuid4())})
        see = f"kubectl leeward plan status {name} -n {api.namespace}"
    click.echo(f"plan {name} is looked at; see: {see}")


@plan.command()
@click.argument("name")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="How it is written.",
)
@global_options
def compliance(name: str, output: str) -> None:
    """List every resource that was found: whether it is recovered, where, and what is wrong.

    It is read from the plan's RecoveryInventory objects; those in trouble come first.
    """
    with connected() as api:
        api.get(PLAN.path(api.namespace, name))
        # The label of a longer name is a hash; the plan's name in the spec decides anyway.
        query = {"labelSelector": f"leeward.dev/plan={name}"} if len(name) <= _LABEL_MAX else None
        inventories, _ = api.list(INVENTORY.path(api.namespace), query)
    rows = plan_view.compliance_rows(name, inventories)
    if output == "json":
        click.echo(plan_view.compliance_json(rows))
    elif output == "csv":
        click.echo(plan_view.compliance_csv(rows))
    else:
        silent = plan_view.silent_accounts(name, inventories)
        click.echo(plan_view.compliance_table(rows, silent))


@plan.command()
@click.argument("name")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How it is written.",
)
@global_options
@click.pass_context
def readiness(ctx: click.Context, name: str, output: str) -> None:
    """Report what stands for and against recovering the plan now, as the operator last saw it.

    ✔ in order, ⚠ it costs something but stops nothing, ✖ it refuses a Planned run and a Test.
    Exit code 2: there is a ✖.
    """
    with connected() as api:
        lines = plan_readiness.report(api.get(PLAN.path(api.namespace, name)))
    said = plan_readiness.written(lines)
    click.echo(said if output == "json" else plan_readiness.text(lines, color=colored()))
    ctx.exit(Exit.FAILED if plan_readiness.refused(lines) else Exit.SUCCEEDED)


@plan.command()
@click.argument("name")
@click.option(
    "--operation",
    type=click.Choice(get_args(Operation)),
    default="Failover",
    show_default=True,
    help="What the run does.",
)
@click.option(
    "--mode",
    type=click.Choice(["Planned", "Unplanned"]),
    default="Planned",
    show_default=True,
    help="How the run judges failed checks.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json", "yaml"]),
    default="table",
    show_default=True,
    help="How it is written.",
)
@global_options
@click.pass_context
def preview(ctx: click.Context, name: str, operation: str, mode: str, output: str) -> None:
    """Show what a run of the plan would do now: waves, gates, tasks, times, IAM actions.

    It is worked out here from what the API server has: nothing is created, and AWS is not asked.
    Exit code 2: the run would be refused.
    """
    # Local: the models that they import take half a second to build.
    from leeward.cli import plan_preview
    from leeward.cli.live import terminal_width

    with connected() as api:
        shown = plan_preview.look(api, name, operation, mode)
    if output == "table":
        width = terminal_width(sys.stdout)
        said = plan_preview.drawn(shown, name, operation, mode, width, color=colored())
    else:
        said = plan_preview.written(shown, output)
    click.echo(said)
    ctx.exit(Exit.FAILED if shown.refusals else Exit.SUCCEEDED)
