"""`kubectl leeward plan`: what is known of a plan, and the tag report."""

from __future__ import annotations

import click

from leeward.cli import plan_view
from leeward.cli.app import connected, global_options
from leeward.cli.get import show_once
from leeward.cli.kinds import INVENTORY, PLAN

_LABEL_MAX = 63


@click.group()
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
