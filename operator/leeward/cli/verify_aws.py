"""AWS: accounts as the operator sees them, topics and buses as the caller sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from leeward.api.common import API_VERSION
from leeward.cli.failures import Refused
from leeward.cli.findings import Finding
from leeward.cli.kinds import ACCOUNT, EXECUTION, PLAN
from leeward.cli.outcome import condition

if TYPE_CHECKING:
    from leeward.cli.connect import Api
    from leeward_adapters.aws import Aws

Object = Mapping[str, Any]
_FRESH: Final = timedelta(minutes=15)
"""The operator looks at accounts every five minutes."""


def accounts(api: Api, now: datetime) -> Iterator[Finding]:
    """Whether the operator reaches every account through both roles, and did so lately."""
    try:
        found = api.list(f"/apis/{API_VERSION}/{ACCOUNT.plural}")[0]
    except Refused as refused:
        yield Finding("unknown", f"TargetAccounts: {refused}")
        return
    if not found:
        yield Finding("unknown", "there is no TargetAccount: nothing in AWS can be reached yet")
    yield from (account(one, now) for one in found)


def account(found: Object, now: datetime) -> Finding:
    """What one TargetAccount's status says."""
    status = found.get("status") or {}
    name = f"TargetAccount {found['metadata']['name']} ({found['spec']['accountId']})"
    ready = condition(found, "Ready")
    checked = status.get("lastCheckedTime")
    if not checked or not ready:
        return Finding("problem", f"{name}: the operator has not looked at it")
    age = now - datetime.fromisoformat(checked)
    if ready["status"] != "True":
        said = ready.get("message") or status.get("message") or ""
        return Finding("problem", f"{name}: {ready['reason']}: {said}")
    if age > _FRESH:
        minutes = int(age.total_seconds() // 60)
        return Finding("problem", f"{name}: was ready {minutes} min ago; nobody has looked since")
    loose = [r["use"] for r in status.get("roles") or [] if r.get("externalId") == "NotDemanded"]
    if loose:
        text = f"{name}: {' and '.join(loose)} role can be assumed without an external id"
        return Finding("problem", text)
    return Finding("ok", f"{name}: both roles can be assumed and lack nothing")


def receivers(api: Api, *, with_aws: bool) -> Iterator[Finding]:
    """Topics and buses of all plans, and what became of the last notices."""
    try:
        plans = api.list(f"/apis/{API_VERSION}/{PLAN.plural}")[0]
        runs = api.list(f"/apis/{API_VERSION}/{EXECUTION.plural}")[0]
    except Refused as refused:
        yield Finding("unknown", f"plans and their runs: {refused}")
        return
    arns = sorted({arn for plan in plans for arn in named(plan)})
    for plan in plans:
        if not named(plan):
            meta = plan["metadata"]
            name = f"plan {meta['namespace']}/{meta['name']}"
            yield Finding("unknown", f"{name} names no topic and no bus: its runs wait unheard")
    yield from delivered(runs)
    if arns and not with_aws:
        count = f"{len(arns)} topics and buses of plans"
        yield Finding("unknown", f"{count} were not looked at: --aws asks with your credentials")
    elif arns:
        yield from looked_at(arns)
    elif not plans:
        yield Finding("ok", "there is no plan yet, and nobody to tell")


def named(plan: Object) -> list[str]:
    """ARNs of the plan's topics, those of single tasks among them, and of its bus."""
    told = plan["spec"].get("notifications") or {}
    topics = [*told.get("snsTopicArns", [])]
    topics += [arn for task in told.get("tasks", []) for arn in task.get("topics", [])]
    return [*topics, *([told["eventBusArn"]] if told.get("eventBusArn") else [])]


def delivered(runs: Sequence[Object]) -> Iterator[Finding]:
    """Whether the notices of each plan's newest run were taken."""
    newest: dict[tuple[str, str], Object] = {}
    for run in sorted(runs, key=lambda one: str(one["metadata"]["creationTimestamp"])):
        newest[run["metadata"]["namespace"], run["spec"]["planRef"]["name"]] = run
    for (namespace, plan), run in sorted(newest.items()):
        notices = (run.get("status") or {}).get("notifications") or []
        failed = [one for one in notices if one.get("failed")]
        name = f"plan {namespace}/{plan}, run {run['metadata']['name']}"
        if failed:
            said = failed[-1].get("message") or "no reason given"
            yield Finding("problem", f"{name}: {len(failed)} notices were not taken: {said}")
        elif notices:
            yield Finding("ok", f"{name}: {len(notices)} notices were taken")


def looked_at(arns: Sequence[str]) -> Iterator[Finding]:
    """As whom AWS is asked, and what it says of each topic and bus."""
    from botocore.exceptions import BotoCoreError, ClientError

    from leeward_adapters.attribution import asking
    from leeward_adapters.aws import Account, Aws
    from leeward_adapters.errors import classify

    aws = Aws(arns[0].split(":")[3])
    try:
        with asking("cli"):
            caller = aws.whoami(aws.scope(Account("own"), arns[0].split(":")[3]))
    except (ClientError, BotoCoreError) as error:
        yield Finding("unknown", f"your AWS credentials: {classify(error).message}")
        return
    yield Finding("ok", f"AWS is asked as {caller.arn}")
    yield from (receiver(aws, arn) for arn in arns)


def receiver(aws: Aws, arn: str) -> Finding:
    """Whether the topic or bus is there, as far as our own credentials may see."""
    from botocore.exceptions import BotoCoreError, ClientError

    from leeward_adapters import eventbridge, sns
    from leeward_adapters.attribution import asking
    from leeward_adapters.aws import Account
    from leeward_adapters.base import ErrorClass
    from leeward_adapters.errors import classify

    service, region = arn.split(":")[2:4]
    scope = aws.scope(Account("own"), region)
    try:
        with asking("cli"):
            (sns if service == "sns" else eventbridge).exists(scope, arn)
    except (ClientError, BotoCoreError) as error:
        fault = classify(error)
        text = f"{arn}: {fault.code}: {fault.message}"
        return Finding("problem" if fault.kind is ErrorClass.FINAL else "unknown", text)
    return Finding("ok", f"{arn}: there")
