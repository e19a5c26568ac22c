"""`leeward verify`: looks at an installation that runs, and says what of it does not work."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from leeward.api.common import OPERATOR_USER
from leeward.cli import findings
from leeward.cli.app import Subcommands, colored, connected, global_options
from leeward.cli.findings import Finding
from leeward.cli.outcome import Exit

if TYPE_CHECKING:
    from leeward.cli.connect import Api

_NAMESPACE, _ACCOUNT = OPERATOR_USER.split(":")[2:]


@click.group(cls=Subcommands)
def verify() -> None:
    """Look at an installation that runs."""


@verify.command()
@click.option("--operator-namespace", default=_NAMESPACE, show_default=True, metavar="NAME",
              help="Namespace of the operator.")  # fmt: skip
@click.option("--service-account", default=_ACCOUNT, show_default=True, metavar="NAME",
              help="The operator's service account.")  # fmt: skip
@click.option("--lease", default="leeward", show_default=True, metavar="NAME", help="Its Lease.")
@click.option("--aws", "with_aws", is_flag=True,
              help="Ask AWS about topics and buses, too, with your own credentials.")  # fmt: skip
@click.option("--strict", is_flag=True, help="What is ⚠ is a problem, too.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table",
              show_default=True)  # fmt: skip
@global_options
@click.pass_context
def deployment(
    ctx: click.Context,
    operator_namespace: str,
    service_account: str,
    lease: str,
    with_aws: bool,
    strict: bool,
    output: str,
) -> None:
    """Verify the installation: API server, policies in force, operator, rights, accounts, topics.

    That policies are in force is tried: forged requests are sent as dry runs, which store nothing,
    and must be refused. Exit code 1: there is a problem.
    """
    with connected() as api:
        found = _sections(api, operator_namespace, service_account, lease, with_aws)
    failed = _failed(found, strict)
    if output == "json":
        click.echo(json.dumps(_document(found, not failed), indent=2, ensure_ascii=False))
    else:
        click.echo(findings.sections(found, color=colored()))
    ctx.exit(Exit.ERROR if failed else Exit.SUCCEEDED)


def _sections(
    api: Api, namespace: str, account: str, lease: str, with_aws: bool
) -> dict[str, list[Finding]]:
    from leeward.cli import check, verify_aws, verify_cluster, verify_policies, verify_wildcards

    now = datetime.now(UTC)
    return {
        "Installation": list(check.installation(api, namespace, account, lease)),
        "Policies in force": list(verify_policies.tried(api, namespace)),
        "Wildcards": list(verify_wildcards.looked_for(api)),
        "Operator": list(verify_cluster.operator(api, namespace, account, lease)),
        "Accounts": list(verify_aws.accounts(api, now)),
        "Notifications": list(verify_aws.receivers(api, with_aws=with_aws)),
    }


def _failed(found: Mapping[str, Sequence[Finding]], strict: bool) -> bool:
    every = [finding for section in found.values() for finding in section]
    return findings.failed(every) or (strict and any(f.verdict == "unknown" for f in every))


def _document(found: Mapping[str, Sequence[Finding]], passed: bool) -> dict[str, object]:
    return {
        "passed": passed,
        "findings": [
            {"section": section, "verdict": finding.verdict, "text": finding.text}
            for section, listed in found.items()
            for finding in listed
        ],
    }
