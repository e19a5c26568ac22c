"""`leeward preflight`: whether a cluster is fit for an installation, an upgrade, or the end of one.

The chart runs it as a hook, with an account of its own: what it finds is said before anything is
changed. What it may not see is a problem, too, since the chart gives it all that it needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from leeward.api.common import GROUP, VERSION
from leeward.cli import findings
from leeward.cli.app import colored, connected, global_options
from leeward.cli.check import numbers, server_version
from leeward.cli.failures import Failure, Refused
from leeward.cli.findings import Finding, Verdict
from leeward.cli.kinds import EXECUTION
from leeward.cli.outcome import Exit
from leeward.cli.service_accounts import groups_of

if TYPE_CHECKING:
    from leeward.cli.connect import Api

Object = Mapping[str, Any]
Step = Literal["install", "upgrade", "uninstall"]
Scope = tuple[str, str, str, str]
"""API group, resource with subresource, name (empty: all of them), verb."""
_STAMPING: Final = (1, 36)
_GUARDING: Final = frozenset({"validatingadmissionpolicies", "validatingadmissionpolicybindings"})
_SHOWN: Final = 5
_BODIES: Final = "25"
"""Whole executions in memory at a time: the Job has little, and the records of a run are long."""


@click.command()
@click.option(
    "--before",
    type=click.Choice(["install", "upgrade", "uninstall"]),
    default="install",
    show_default=True,
    help="What is about to be done.",
)
@click.option("--external-crds", is_flag=True, help="The CRDs must be there: nobody installs them.")
@click.option(
    "--roles",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Roles (YAML) whose rights the operator must have already.",
)
@click.option("--operator-namespace", default="leeward-system", show_default=True, metavar="NAME")
@click.option("--service-account", default="leeward", show_default=True, metavar="NAME")
@global_options
@click.pass_context
def preflight(
    ctx: click.Context,
    before: Step,
    external_crds: bool,
    roles: Path | None,
    operator_namespace: str,
    service_account: str,
) -> None:
    """Check the cluster before an installation, an upgrade or an uninstallation.

    Exit code 1: there is a problem, and nothing should be changed before it is solved.
    """
    with connected() as api:
        if before == "uninstall":
            found = list(live_runs(api, ending=True))
        else:
            found = [*_server(api), *_definitions(api, external=external_crds)]
            if before == "upgrade":
                found += live_runs(api, ending=False)
            if roles is not None:
                user = f"system:serviceaccount:{operator_namespace}:{service_account}"
                found += _rights(api, _documents(roles), user)
    click.echo(findings.shown(found, color=colored()))
    ctx.exit(Exit.ERROR if findings.failed(found) else Exit.SUCCEEDED)


def _server(api: Api) -> Iterator[Finding]:
    server = api.get("/version")
    yield server_version(server)
    group = "/apis/admissionregistration.k8s.io/v1"
    served = {r["name"] for r in api.get(group)["resources"]}
    if missing := sorted(_GUARDING - served):
        text = f"the API server does not serve {', '.join(missing)} (admissionregistration v1)"
        yield Finding("problem", f"{text}: approvals could not be told from forged ones")
    if numbers(server) < _STAMPING:
        text = "before Kubernetes 1.36 who creates a run writes leeward.dev/requested-by himself"
        yield Finding("ok", f"{text}, as kubectl leeward does")


def _definitions(api: Api, *, external: bool) -> Iterator[Finding]:
    from leeward.api.kinds import KINDS

    for kind in KINDS.values():
        name = f"{kind.PLURAL}.{GROUP}"
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
        try:
            verdict = definition(api.get(path))
        except Refused as refused:
            if refused.status != 404:
                verdict = Finding("problem", f"cannot be read: {refused}")
            elif external:
                verdict = Finding("problem", "not there: apply `leeward crds`, or let the chart")
            else:
                verdict = Finding("ok", "not there yet")
        yield Finding(verdict.verdict, f"CRD {name}: {verdict.text}")


def definition(found: Object) -> Finding:
    """Whether this version can take over a CRD: all that is stored in it must still be served."""
    if found["metadata"].get("deletionTimestamp"):
        return Finding("problem", "is being deleted; wait until it is gone")
    stored = (found.get("status") or {}).get("storedVersions") or []
    if unknown := [version for version in stored if version != VERSION]:
        return Finding(
            "problem",
            f"objects may be stored as {', '.join(unknown)}, which this version does not serve: it "
            "is older than what runs here, or a version in between was left out (see "
            "docs/installation.md, Upgrade)",
        )
    return Finding("ok", f"stores {VERSION}")


def live_runs(api: Api, *, ending: bool) -> Iterator[Finding]:
    """Which runs are live: a problem if nobody would finish them (`ending`)."""
    from leeward.engine.objects import NOT_ENDED

    path = f"/apis/{GROUP}/{VERSION}/{EXECUTION.plural}"
    try:
        pages = api.pages(path, {"labelSelector": NOT_ENDED, "limit": _BODIES})
        live = [_name(run) for page in pages for run in page["items"] if not ended(run)]
    except Refused as refused:
        # Without the CRD there is nothing that could be live.
        if refused.status != 404:
            # Live runs only keep an uninstallation back.
            verdict: Verdict = "problem" if ending else "unknown"
            yield Finding(verdict, f"executions cannot be listed: {refused}")
            return
        live = []
    if not live:
        yield Finding("ok", "no run is live")
        return
    more = f" and {len(live) - _SHOWN} more" if len(live) > _SHOWN else ""
    named = f"{', '.join(sorted(live)[:_SHOWN])}{more}"
    if ending:
        text = f"runs are live: {named}; nobody would finish them. Wait, or cancel them first"
        yield Finding("problem", text)
    else:
        yield Finding("ok", f"runs are live and go on with the new version: {named}")


def ended(run: Object) -> bool:
    """Whether an execution has come to its end."""
    conditions = (run.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Succeeded" and c["status"] in ("True", "False") for c in conditions)


def _name(run: Object) -> str:
    return f"{run['metadata']['namespace']}/{run['metadata']['name']}"


def _documents(file: Path) -> list[Object]:
    import yaml

    try:
        return [found for found in yaml.safe_load_all(file.read_text("utf-8")) if found]
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise Failure(f"{file}: {error}") from error


def granted(roles: Sequence[Object]) -> dict[str, set[Scope]]:
    """What roles allow, by namespace; an empty one stands for all, as a ClusterRole grants it."""
    found: dict[str, set[Scope]] = {}
    for role in roles:
        if role["kind"] not in ("ClusterRole", "Role"):
            continue
        held = found.setdefault(role["metadata"].get("namespace", ""), set())
        held |= {
            (group, resource, name, verb)
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for name in rule.get("resourceNames", [""])
            for verb in rule["verbs"]
        }
    return found


def _rights(api: Api, roles: Sequence[Object], user: str) -> Iterator[Finding]:
    missing = []
    for namespace, scopes in granted(roles).items():
        for scope in sorted(scopes):
            if not _may(api, user, namespace, scope):
                missing.append(_worded(scope, namespace))
    if missing:
        text = f"{user} lacks rights, which rbac.create=false leaves to you: {'; '.join(missing)}"
        yield Finding("problem", text)
    else:
        yield Finding("ok", f"{user} has all rights of the operator's roles")


def _worded(scope: Scope, namespace: str) -> str:
    group, resource, name, verb = scope
    return (
        f"{verb} {resource}{'.' if group else ''}{group}"
        + (f" {name}" if name else "")
        + (f" in {namespace}" if namespace else "")
    )


def _may(api: Api, user: str, namespace: str, scope: Scope) -> bool:
    group, resource, name, verb = scope
    plural, _, subresource = resource.partition("/")
    attributes = {"group": group, "resource": plural, "subresource": subresource, "verb": verb}
    attributes |= {"name": name, "namespace": namespace}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": user,
            "groups": groups_of(user),
            "resourceAttributes": {key: value for key, value in attributes.items() if value},
        },
    }
    answer = api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])
