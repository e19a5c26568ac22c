"""`leeward`: the command line of the installation, and the operator's entry point."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TextIO

import click

from leeward.cli.app import Commands
from leeward.cli.drs import drs
from leeward.cli.failures import Failure
from leeward.cli.files import DIRECTORY, deliver
from leeward.cli.iam import iam
from leeward.cli.verify import verify


@click.group(
    "leeward",
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(version_of("leeward"), prog_name="leeward")
def cli() -> None:
    """Install and run Leeward. To watch and steer recoveries: kubectl leeward."""


@cli.command()
@click.option("--write", type=DIRECTORY, metavar="DIR", help="Write them there.")
@click.option("--check", type=DIRECTORY, metavar="DIR", help="Fail if DIR holds others.")
def crds(write: Path | None, check: Path | None) -> None:
    """Print the CustomResourceDefinitions as YAML."""
    from leeward.api.crd import render

    deliver(render(), write, check)


@cli.command()
@click.option("--write", type=DIRECTORY, metavar="DIR", help="Write them there.")
@click.option("--check", type=DIRECTORY, metavar="DIR", help="Fail if DIR holds others.")
def policies(write: Path | None, check: Path | None) -> None:
    """Print the admission policies as YAML."""
    from leeward.policies import render

    deliver(render(), write, check)


@cli.group()
def manifest() -> None:
    """Work with manifests of version 2.0."""


@manifest.command("import")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--name", required=True, help="Name of the plan.")
@click.option("--namespace", required=True, help="Namespace of the plan.")
@click.option("--primary", required=True, metavar="REGION", help="Region that is left.")
@click.option("--recovery", required=True, metavar="REGION", help="Region of the recovery.")
@click.option(
    "--account",
    "accounts",
    required=True,
    multiple=True,
    metavar="NAME",
    help="TargetAccount of the plan; may be given again.",
)
def import_manifest(
    file: TextIO, name: str, namespace: str, primary: str, recovery: str, accounts: tuple[str, ...]
) -> None:
    """Print the RecoveryPlan that a manifest (JSON; - is standard input) describes, as YAML.

    What this version does nothing with is left out of the plan and named on standard error.
    """
    import yaml

    from leeward.api.marks import supported_part
    from leeward.api.plan import RecoveryPlan
    from leeward.planning.manifest import ManifestError, from_manifest

    try:
        read = json.load(file)
        described = from_manifest(
            read,
            name=name,
            namespace=namespace,
            regions=(primary, recovery),
            accounts=accounts,
        )
    except (ManifestError, ValueError) as error:
        raise Failure(f"{file.name}: {error}") from error
    plan, dropped = supported_part(described, RecoveryPlan)
    for line in dropped:
        click.echo(f"left out, not supported by this version: {line}", err=True)
    click.echo(yaml.safe_dump(plan, sort_keys=False, allow_unicode=True), nl=False)


@cli.command()
def operator() -> None:
    """Run the operator; settings are environment variables that begin with LEEWARD_."""
    from leeward.handlers.main import run

    sys.exit(run())


@cli.command()
def version() -> None:
    """Print the version."""
    click.echo(version_of("leeward"))


for _command in (iam, drs, verify):
    cli.add_command(_command)


def main() -> None:
    """Entry point of `leeward`."""
    cli(prog_name="leeward")


if __name__ == "__main__":
    main()
