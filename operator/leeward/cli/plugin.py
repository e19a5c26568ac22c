"""`kubectl leeward`: the command line for people who watch and steer recoveries."""

from __future__ import annotations

from importlib.metadata import version

import click

from leeward.cli import outcome, steer
from leeward.cli.app import Commands, Globals, global_options
from leeward.cli.check import check
from leeward.cli.drs import drs
from leeward.cli.get import get
from leeward.cli.plan import plan
from leeward.cli.wait import wait


@click.group(
    "kubectl leeward",
    cls=Commands,
    epilog=outcome.CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@global_options
@click.version_option(version("leeward"), prog_name="kubectl leeward")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Watch and steer recoveries: plans (rp), runs (drx), and their tasks (drt).

    Everything is done as the user of the kubeconfig, by reading and annotating objects; whoever
    may not do something with kubectl may not do it here.
    """
    ctx.ensure_object(Globals)


for _command in (get, wait, plan, check, drs, *steer.COMMANDS):
    cli.add_command(_command)


def main() -> None:
    """Entry point of `kubectl-leeward`."""
    cli(prog_name="kubectl leeward")


if __name__ == "__main__":
    main()
