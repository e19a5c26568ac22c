"""`leeward`: the command line of the installation, and the operator's entry point."""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TextIO

import click

from leeward.cli.app import Commands, Subcommands
from leeward.cli.drs import drs
from leeward.cli.failures import Failure
from leeward.cli.files import DIRECTORY, deliver
from leeward.cli.iam import iam
from leeward.cli.preflight import preflight
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
@click.option(
    "--operator-namespace",
    default="leeward-system",
    show_default=True,
    metavar="NAME",
    help="Namespace of the operator, whom the policies name.",
)
@click.option(
    "--service-account", default="leeward", show_default=True, metavar="NAME",
    help="ServiceAccount of the operator.",
)  # fmt: skip
def policies(
    write: Path | None, check: Path | None, operator_namespace: str, service_account: str
) -> None:
    """Print the admission policies as YAML."""
    from leeward.policies import render

    user = f"system:serviceaccount:{operator_namespace}:{service_account}"
    deliver(render(user), write, check)


def _account(_context: click.Context, _option: click.Parameter, value: str) -> str:
    """A user name that a command can carry."""
    if not re.fullmatch(r'[^"\\\x00-\x1f\x7f]+', value) or ": " in value:
        raise click.BadParameter("a user name has no quotes, backslashes or line ends, nor ': '")
    return value


@cli.command()
@click.option(
    "--account",
    default="system:serviceaccount:argocd:argocd-server",
    show_default=True,
    callback=_account,
    metavar="USER",
    help="User name that Argo CD's server has in the cluster; commands carry it.",
)
@click.option("--namespace", default="argocd", show_default=True, help="Where Argo CD is.")
@click.option("--write", type=DIRECTORY, metavar="DIR", help="Write it there.")
@click.option("--check", type=DIRECTORY, metavar="DIR", help="Fail if DIR holds another.")
def argocd(account: str, namespace: str, write: Path | None, check: Path | None) -> None:
    """Print what Argo CD needs to show and steer Leeward's objects, as a part of argocd-cm."""
    from leeward.argocd import render

    deliver(render(account, namespace), write, check)


@cli.group(cls=Subcommands)
def manifest() -> None:
    """Work with manifests (JSON, version 2.0) that earlier orchestrators keep in S3."""


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


for _command in (iam, drs, preflight, verify):
    cli.add_command(_command)


def main() -> None:
    """Entry point of `leeward`."""
    cli(prog_name="leeward")


if __name__ == "__main__":
    main()
