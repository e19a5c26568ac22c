"""`leeward drs`: sets DRS up in an account and Region, and says what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from leeward.cli.app import Subcommands, colored, connected, global_options
from leeward.cli.failures import Failure
from leeward.cli.outcome import Exit

if TYPE_CHECKING:
    from leeward_adapters.aws import AwsScope
    from leeward_adapters.drs_setup import Wanted

_F = TypeVar("_F", bound=Callable[..., Any])
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(cls=Subcommands)
def drs() -> None:
    """Set up AWS Elastic Disaster Recovery in an account.

    Works with your own AWS credentials (environment, profile), which must be of the account, or
    with a role of it that they may assume: --role. Leeward's roles may not set DRS up.
    """


def _where(command: _F) -> _F:
    for option in (
        click.option("-f", "--filename", "file", type=_FILE, metavar="FILE",
                     help="YAML with the settings `replication` and `launch`, in DRS's own terms."),
        click.option("--external-id", default="", metavar="ID", help="For --role."),
        click.option("--role", default="", metavar="ARN", help="Role to assume first."),
        click.option("--region", required=True, metavar="REGION", help="Recovery Region."),
        click.option("--account", required=True, metavar="ID|NAME",
                     help="AWS account id, or name of a TargetAccount of the cluster."),
    ):  # fmt: skip
        command = option(command)
    return global_options(command)


@drs.command()
@_where
@click.pass_context
def check(
    ctx: click.Context, account: str, region: str, role: str, external_id: str, file: Path | None
) -> None:
    """Print the checklist: what is set up, and what is missing. Exit code 1: something is."""
    with _errors(account, region):
        scope = _scope(account, region, role, external_id)
        ctx.exit(_print_checklist(scope, _wanted(scope, file)))


@drs.command()
@_where
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@click.pass_context
def init(
    ctx: click.Context,
    account: str,
    region: str,
    role: str,
    external_id: str,
    file: Path | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Initialise DRS, and create or update its templates; then print the checklist.

    What would be done is always shown first, and done once you say so. What is there already is
    left alone, so that it can be run again.
    """
    from leeward_adapters import drs_setup

    with _errors(account, region):
        scope = _scope(account, region, role, external_id)
        want = _wanted(scope, file)
        missing = drs_setup.changes(drs_setup.look(scope), want)
        where = f"account {scope.account_id}, {scope.region}"
        click.echo(f"In {where}:" if missing else f"In {where}: nothing is to be done.")
        for change in missing:
            click.echo(f"  {change.text}")
        if missing and dry_run:
            click.echo("Dry run: nothing was changed.")
            return
        if missing and not yes:
            click.confirm("Do that?", abort=True)
        for change in missing:
            drs_setup.carry_out(scope, change)
        ctx.exit(_print_checklist(scope, want))


def _print_checklist(scope: AwsScope, want: Wanted) -> int:
    from leeward_adapters import drs_setup

    checks = drs_setup.checklist(scope, want)
    for one in checks:
        mark, colour = ("✔", "green") if one.ok else ("✖", "red")
        click.echo(f"{click.style(mark, fg=colour) if colored() else mark} {one.text}")
    return Exit.SUCCEEDED if all(one.ok for one in checks) else Exit.ERROR


def _wanted(scope: AwsScope, file: Path | None) -> Wanted:
    import yaml

    from leeward_adapters import drs_setup

    if file is None:
        return drs_setup.Wanted()
    try:
        given = yaml.safe_load(file.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Failure(f"{file}: {error}") from error
    return drs_setup.wanted(given, lambda said: Failure(f"{file}: {said}"), scope)


def _scope(account: str, region: str, role: str, external_id: str) -> AwsScope:
    """The account through the caller's own credentials; refused where they are another's."""
    from leeward_adapters.aws import Account, Aws

    number = account if account.isdecimal() and len(account) == 12 else _account_id(account)
    aws = Aws(region)
    reached = Account(number, read_role_arn=role, external_id=external_id)
    scope = aws.scope(reached, region)
    caller = aws.whoami(scope)
    if caller.account_id != number:
        raise Failure(
            f"your credentials are {caller.arn}, of account {caller.account_id}, not {number}: "
            "choose another profile (AWS_PROFILE), or a role of that account with --role"
        )
    return scope


def _account_id(name: str) -> str:
    from leeward.api.account import TargetAccount
    from leeward.api.common import API_VERSION

    with connected() as api:
        found = api.get(f"/apis/{API_VERSION}/{TargetAccount.PLURAL}/{name}")
    return str(found["spec"]["accountId"])


@contextmanager
def _errors(account: str, region: str) -> Iterator[None]:
    """Says AWS's errors as a command does, with account and Region."""
    from botocore.exceptions import BotoCoreError, ClientError

    from leeward_adapters.attribution import asking
    from leeward_adapters.errors import classify

    try:
        with asking("cli"):
            yield
    except (ClientError, BotoCoreError) as error:
        fault = classify(error)
        raise Failure(f"account {account}, {region}: {fault.code}: {fault.message}") from error
