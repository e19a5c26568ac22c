"""`leeward iam`: the roles and policies that an account needs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

from leeward.cli.app import Subcommands
from leeward.cli.failures import Failure
from leeward.cli.files import DIRECTORY, deliver


@click.group(cls=Subcommands)
def iam() -> None:
    """Roles and policies for the accounts that Leeward works in."""


@iam.command()
@click.option("--adapters", metavar="LIST", help="Technologies, with commas between. Default: all.")
@click.option(
    "--dependencies",
    metavar="LIST",
    help="Types of the plans' dependencies, with commas between. Default: none.",
)
@click.option("--account", required=True, metavar="ID", help="AWS account of the roles.")
@click.option("--partition", default="aws", show_default=True, metavar="NAME")
@click.option(
    "--region",
    "regions",
    multiple=True,
    metavar="REGION",
    help="Region in which the roles may act; may be given again. Default: all.",
)
@click.option("--principal", metavar="ARN", help="The operator's own role, which the roles trust.")
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    metavar="NAME",
    help="Namespace of plans that use the account; may be given again.",
)
@click.option(
    "--hub",
    default="leeward",
    show_default=True,
    metavar="NAME",
    help="The operator's LEEWARD_HUB, a part of the external ids.",
)
@click.option("--external-id", metavar="ID", help="An external id of your own, for all namespaces.")
@click.option(
    "--session-tag",
    "tags",
    multiple=True,
    metavar="KEY",
    help="Key of the account's own spec.sessionTags; may be given again.",
)
@click.option(
    "--pass-role",
    "profile_roles",
    multiple=True,
    metavar="ARN",
    help="Role in an instance profile of your own that launched servers get; may be given again.",
)
@click.option(
    "--automation-document",
    "automation_documents",
    multiple=True,
    metavar="NAME",
    help="SSM document that plans may run; may be given again. Default: none.",
)
@click.option(
    "--automation-role",
    "automation_roles",
    multiple=True,
    metavar="ARN",
    help="Role that plans may give to these documents; may be given again.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "cloudformation"]),
    default="json",
    show_default=True,
)
@click.option("--role", type=click.Choice(["LeewardRead", "LeewardRecovery", "trust"]),
              help="Only this policy, as IAM's API takes it.")  # fmt: skip
def policy(
    adapters: str | None,
    dependencies: str | None,
    account: str,
    partition: str,
    regions: tuple[str, ...],
    principal: str | None,
    namespaces: tuple[str, ...],
    hub: str,
    external_id: str | None,
    tags: tuple[str, ...],
    form: str,
    role: str | None,
    **named: tuple[str, ...],
) -> None:
    """Print least-privilege policies of the read and the recovery role.

    They allow what the adapters declare. With --principal, their trust policy too, which demands
    the external ids of the namespaces.
    """
    from leeward_adapters import iam_policy, registry

    if not (account.isdecimal() and len(account) == 12):
        raise Failure(f"--account must be an AWS account id of 12 digits, not {account!r}")
    try:
        kinds = adapters.split(",") if adapters else sorted(registry.kinds())
        printed = iam_policy.documents(
            kinds, account, partition, regions, _types(dependencies), _named(**named)
        )
    except registry.AdapterError as error:
        raise Failure(str(error)) from error
    trust = _trust(principal, namespaces, hub, external_id, tags)
    if form == "cloudformation":
        if trust is None or role:
            raise Failure("a template needs --principal, and holds both roles: leave --role out")
        click.echo(json.dumps(iam_policy.template(printed, trust), indent=2))
        return
    if trust is not None:
        printed["trust"] = iam_policy.trust_policy(trust)
    if role and role not in printed:
        raise Failure("the trust policy needs --principal")
    shown: Any = printed[role] if role else printed
    click.echo(json.dumps(shown, indent=2))


@iam.command()
@click.option("--write", type=DIRECTORY, metavar="DIR", help="Write them there.")
@click.option("--check", type=DIRECTORY, metavar="DIR", help="Fail if DIR holds others.")
def templates(write: Path | None, check: Path | None) -> None:
    """Print CloudFormation templates of the operator's role and of an account's roles.

    They allow what all adapters declare, and take what differs between estates as parameters.
    """
    from leeward_adapters.iam_templates import render

    deliver(render(), write, check)


def _types(given: str | None) -> list[str]:
    """Types of dependencies in a list with commas."""
    from leeward_adapters.dependencies import CHECKS

    types = given.split(",") if given else []
    if unknown := sorted(set(types) - set(CHECKS)):
        wrong = f"there is no dependency of type {', '.join(unknown)}"
        raise Failure(f"{wrong}; known: {', '.join(CHECKS)}")
    return types


def _named(
    profile_roles: tuple[str, ...],
    automation_documents: tuple[str, ...],
    automation_roles: tuple[str, ...],
) -> Any:
    """What the recovery role may use of the account's own."""
    from leeward_adapters.iam_policy import Named

    for arn in (*profile_roles, *automation_roles):
        if not re.fullmatch(r"arn:aws[a-z-]*:iam::(\d{12}|\*):role/[\w+=,.@/*?-]+", arn):
            raise Failure(f"{arn!r} is no role's ARN, such as arn:aws:iam::111111111111:role/app")
    if automation_roles and not automation_documents:
        raise Failure("--automation-role is for the documents that --automation-document names")
    return Named(profile_roles, automation_documents, automation_roles)


def _trust(
    principal: str | None,
    namespaces: tuple[str, ...],
    hub: str,
    external_id: str | None,
    tags: tuple[str, ...],
) -> Any:
    from leeward_adapters.iam_policy import Trust

    if principal is None:
        return None
    if external_id:
        return Trust(principal, {"": external_id}, tags)
    if not namespaces:
        raise Failure("name the --namespace of the plans, or an --external-id of your own")
    trust = Trust(principal, {name: f"leeward/{hub}/{name}" for name in namespaces}, tags)
    _fits(trust)
    return trust


def _fits(trust: Any) -> None:
    """Fails if IAM takes such a trust policy with no quota, warns if with a raised one alone."""
    from leeward_adapters.iam_policy import (
        TRUST_LENGTH,
        TRUST_LENGTH_RAISED,
        namespaces_that_fit,
        trust_length,
    )

    length = trust_length(trust)
    if length <= TRUST_LENGTH:
        return
    said = (
        f"the trust policy of {len(trust.external_ids)} namespaces has {length:,} characters, and "
        f"IAM takes {TRUST_LENGTH:,}, enough for {namespaces_that_fit(trust, TRUST_LENGTH)} of "
        f"them; the account's quota 'Role trust policy length' can be raised to "
        f"{TRUST_LENGTH_RAISED:,}, enough for {namespaces_that_fit(trust, TRUST_LENGTH_RAISED)}"
    )
    if length > TRUST_LENGTH_RAISED:
        raise Failure(f"{said}: spread the namespaces' plans over more accounts, or name fewer")
    click.echo(f"warning: {said}: raise it before you make the roles", err=True)
