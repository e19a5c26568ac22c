"""Manifests of version 2.0, as S3-based predecessors keep them, to RecoveryPlans and back.

A manifest says the order of recovery and who is asked; it does not say from where to where, nor in
which accounts, so those are given beside it. What becomes what:

- `phases` → `recoveryPhases`, `waves` → `waves` with the title as `description` where it is not a
  name, `pauseBeforeWave` → a gate before Fence;
- `approvalWorkflow` → `approval`; disabled → `automatic: Allowed`: gates stay, and an execution may
  ask to pass them by itself;
- `healthChecks` → `healthChecks`, disabled → `activation: Disabled`;
- `notifications` → `notifications`; its addresses stay a list that does nothing, because who gets
  e-mail is said by the topic's subscriptions.

Some of these fields have no behaviour yet, and the API server refuses a plan that has them;
`leeward.api.marks.supported_part` takes them out and says which.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from leeward.api.common import API_VERSION
from leeward.api.notifications import Notifications
from leeward.api.plan import Gate, HealthChecks, PlanApproval, RecoveryPlan, Wave
from leeward.planning import durations

_ManifestPhase = Literal["INSTANTIATE", "ACTIVATE", "CLEANUP", "REPLICATE"]
_LONGEST_NAME = 24


class ManifestError(ValueError):
    """A manifest cannot become a plan, or a plan cannot become a manifest; the text says why."""


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True
    )


class _Technology(_Part):
    type: str
    priority: Literal["critical", "high", "medium", "low"] | None = None


class _Wave(_Part):
    wave_number: int
    wave_name: Annotated[str, Field(min_length=1)]
    pause_before_wave: bool = False
    technologies: list[_Technology] = []


class _ApprovalWorkflow(_Part):
    enabled: bool = True
    approvers: list[str] | None = None
    timeout: Annotated[int, Field(gt=0)] | None = None


class _Endpoint(_Part):
    url: str
    expected_status: int = 200


class _HealthChecks(_Part):
    enabled: bool = True
    timeout: Annotated[int, Field(gt=0)] = 300
    endpoints: list[_Endpoint] = []


class _Notifications(_Part):
    sns_topic_arn: str | None = None
    email_recipients: list[str] = []


class _Manifest(_Part):
    manifest_version: Literal["2.0"]
    customer: str
    environment: str
    phases: list[_ManifestPhase] | None = None
    waves: list[_Wave]
    approval_workflow: _ApprovalWorkflow | None = None
    health_checks: _HealthChecks | None = None
    notifications: _Notifications | None = None


def from_manifest(
    manifest: Mapping[str, Any],
    *,
    name: str,
    namespace: str,
    regions: tuple[str, str],
    accounts: Sequence[str],
) -> dict[str, Any]:
    """The RecoveryPlan that a manifest of version 2.0 describes.

    `to_manifest` gives the manifest back, with the defaults of absent fields written out.

    Args:
        manifest: The manifest, parsed from JSON; its timeouts are seconds.
        name: Name of the plan.
        namespace: Its namespace.
        regions: The primary and the recovery Region.
        accounts: Names of the TargetAccounts.

    Raises:
        ManifestError: a field is unknown, missing or has a value that no plan can hold.

    """
    read = _read(_Manifest, manifest, "the manifest")
    spec: dict[str, Any] = {
        "customer": read.customer,
        "environment": read.environment,
        "regions": {"primary": regions[0], "recovery": regions[1]},
        "accounts": [{"name": account} for account in accounts],
        "waves": _waves(read.waves),
    }
    if read.phases:
        spec["recoveryPhases"] = [phase.capitalize() for phase in read.phases]
    if read.approval_workflow is not None:
        spec["approval"] = _approval(read.approval_workflow)
    if read.health_checks is not None:
        spec["healthChecks"] = _health_checks(read.health_checks)
    if read.notifications is not None:
        spec["notifications"] = _notifications(read.notifications)
    plan = {
        "apiVersion": API_VERSION,
        "kind": RecoveryPlan.KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
    _read(RecoveryPlan, plan, "the plan made of the manifest")
    return plan


def to_manifest(plan: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of version 2.0 that says what it can of a RecoveryPlan.

    Regions, accounts, selection, explicit tasks, gates before later phases than Instantiate, and
    approval by groups have no place in a manifest and are left out.

    Raises:
        ManifestError: it is no RecoveryPlan, or has more than one SNS topic, of which a manifest
            has one.

    """
    spec = _read(RecoveryPlan, plan, "the plan").spec
    manifest = _Manifest(
        manifest_version="2.0",
        customer=spec.customer,
        environment=spec.environment,
        phases=[_phase(phase) for phase in spec.recovery_phases] or None,
        waves=[_wave_of(wave, ordinal) for ordinal, wave in enumerate(spec.waves, 1)],
        approval_workflow=_workflow_of(spec.approval)
        if "approval" in spec.model_fields_set
        else None,
        health_checks=None if spec.health_checks is None else _checks_of(spec.health_checks),
        notifications=None if spec.notifications is None else _notifications_of(spec.notifications),
    )
    return manifest.model_dump(by_alias=True, exclude_none=True)


_Read = TypeVar("_Read", bound=BaseModel)


def _read(model: type[_Read], value: Mapping[str, Any], what: str) -> _Read:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(step) for step in problem['loc'])}: {problem['msg']}"
            for problem in error.errors(include_url=False)
        ]
        raise ManifestError(f"{what} cannot be used: {'; '.join(problems)}") from error


def _waves(waves: Sequence[_Wave]) -> list[dict[str, Any]]:
    _refuse_repetition((wave.wave_number for wave in waves), "waves", "waveNumber")
    taken: set[str] = set()
    result = []
    for wave in waves:
        _refuse_repetition(
            (technology.type for technology in wave.technologies), f'"{wave.wave_name}"', "type"
        )
        name = _wave_name(wave, taken)
        taken.add(name)
        made: dict[str, Any] = {"name": name, "number": wave.wave_number}
        if wave.wave_name != name:
            made["description"] = wave.wave_name
        made["technologies"] = [
            technology.model_dump(exclude_none=True) for technology in wave.technologies
        ]
        if wave.pause_before_wave:
            made["gates"] = [{"before": "Fence"}]
        result.append(made)
    return result


def _refuse_repetition(values: Iterable[object], where: str, field: str) -> None:
    seen: set[object] = set()
    for value in values:
        if value in seen:
            raise ManifestError(f"the manifest cannot be used: {where}: {field} {value} is twice")
        seen.add(value)


def _wave_name(wave: _Wave, taken: set[str]) -> str:
    """A DNS label out of the wave's title, unlike those taken: `Web Tier` → `web-tier`."""
    words = re.sub(r"[^a-z0-9]+", "-", wave.wave_name.lower()).strip("-")
    base = words[:_LONGEST_NAME].rstrip("-") or f"wave-{wave.wave_number}"
    name, number = base, 2
    while name in taken:
        suffix = f"-{number}"
        name = base[: _LONGEST_NAME - len(suffix)].rstrip("-") + suffix
        number += 1
    return name


def _approval(workflow: _ApprovalWorkflow) -> dict[str, Any]:
    approval: dict[str, Any] = {"automatic": "Refused" if workflow.enabled else "Allowed"}
    if workflow.approvers is not None:
        approval["approvers"] = {"users": workflow.approvers}
    if workflow.timeout is not None:
        approval["timeout"] = _duration(workflow.timeout)
    return approval


def _health_checks(checks: _HealthChecks) -> dict[str, Any]:
    return {
        "activation": "Enabled" if checks.enabled else "Disabled",
        "timeout": _duration(checks.timeout),
        "endpoints": [endpoint.model_dump(by_alias=True) for endpoint in checks.endpoints],
    }


def _notifications(notifications: _Notifications) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if notifications.sns_topic_arn is not None:
        result["snsTopicArns"] = [notifications.sns_topic_arn]
    result["emails"] = notifications.email_recipients
    return result


def _wave_of(wave: Wave, ordinal: int) -> _Wave:
    return _Wave(
        wave_number=wave.number or ordinal,
        wave_name=wave.description or wave.name,
        pause_before_wave=any(_pauses(gate) for gate in wave.gates),
        technologies=[
            _Technology(type=technology.type, priority=technology.priority)
            for technology in wave.technologies
        ],
    )


def _pauses(gate: Gate) -> bool:
    return gate.before in {"Fence", "Instantiate"}


def _workflow_of(approval: PlanApproval) -> _ApprovalWorkflow:
    return _ApprovalWorkflow(
        enabled=approval.automatic == "Refused",
        approvers=None if approval.approvers is None else approval.approvers.users,
        timeout=None if approval.timeout is None else _seconds(approval.timeout),
    )


def _checks_of(checks: HealthChecks) -> _HealthChecks:
    return _HealthChecks(
        enabled=checks.activation == "Enabled",
        timeout=_seconds(checks.timeout),
        endpoints=[
            _Endpoint(url=endpoint.url, expected_status=endpoint.expected_status)
            for endpoint in checks.endpoints
        ],
    )


def _notifications_of(notifications: Notifications) -> _Notifications:
    topics = notifications.sns_topic_arns
    if len(topics) > 1:
        raise ManifestError(
            f"the plan notifies {len(topics)} SNS topics and a manifest has one; "
            "remove the others from spec.notifications.snsTopicArns first"
        )
    return _Notifications(
        sns_topic_arn=topics[0] if topics else None, email_recipients=notifications.emails
    )


_PHASES: dict[str, _ManifestPhase] = {
    "Instantiate": "INSTANTIATE",
    "Activate": "ACTIVATE",
    "Cleanup": "CLEANUP",
    "Replicate": "REPLICATE",
}


def _phase(phase: str) -> _ManifestPhase:
    try:
        return _PHASES[phase]
    except KeyError:
        raise ManifestError(f"a manifest has no phase {phase}") from None


def _duration(seconds: int) -> str:
    return durations.render(timedelta(seconds=seconds))


def _seconds(duration: str) -> int:
    """Whole seconds, rounded up, since a manifest knows no parts of them."""
    return math.ceil(durations.parse(duration).total_seconds())
