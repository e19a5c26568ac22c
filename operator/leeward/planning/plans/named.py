"""What plans name, and the recovery role of an account must be allowed by that name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from leeward.api.plan import RecoveryPlanSpec
from leeward.api.plan_record import AccountStatus
from leeward.api.tasks import ExplicitTask
from leeward.planning.plans.request import Request
from leeward.planning.runs import explicit

ASSUMED: Final = "AutomationAssumeRole"
"""Parameter by which documents are given the role of their steps (SSM user guide)."""


@dataclass(frozen=True, slots=True)
class Named:
    """Names in one account, sorted."""

    instance_profiles: tuple[str, ...] = ()
    """Names or ARNs of instance profiles of launched servers."""
    documents: tuple[str, ...] = ()
    """Names or ARNs of SSM documents."""
    document_roles: tuple[str, ...] = ()
    """ARNs of roles that the documents are given."""

    def __contains__(self, subject: str) -> bool:
        return subject in (*self.instance_profiles, *self.documents, *self.document_roles)


def named_by(name: str, spec: RecoveryPlanSpec, own: Iterable[AccountStatus]) -> Named:
    """What one plan names in the account `name`; `own` is what its status says of its accounts.

    Instance profiles are those of launch settings.
    """
    profiles = (p for account in own if account.name == name for p in account.instance_profiles)
    return named_of(profiles, (t for t in explicit.tasks(spec) if _is_of(t, name)))


def named_in_run(name: str, request: Request) -> Named:
    """What a run would use in the account `name`. A Test runs no documents."""
    launches = (found.resource.launch for found in request.selected if found.account == name)
    profiles = (one.iam_instance_profile for one in launches if one and one.iam_instance_profile)
    operation = request.execution.spec.operation
    runs = (t for t in request.tasks if not request.test and explicit.runs_in(t, operation))
    return named_of(profiles, (t for t in runs if _is_of(t, name)))


def _is_of(task: ExplicitTask, name: str) -> bool:
    return task.automation is not None and task.automation.account_ref.name == name


def named_of(profiles: Iterable[str], tasks: Iterable[ExplicitTask]) -> Named:
    """The names in instance profiles and Automation tasks.

    A role that a document is given by its author is not known here.
    """
    ours = [task.automation for task in tasks if task.automation]
    given = [role for task in ours for role in task.parameters.get(ASSUMED, [])]
    return Named(
        _sorted(profiles),
        _sorted(task.document_name for task in ours),
        _sorted(role for role in given if role.startswith("arn:")),
    )


def together(named: Sequence[Named]) -> Named:
    """Those of all."""
    return Named(
        _sorted(p for one in named for p in one.instance_profiles),
        _sorted(d for one in named for d in one.documents),
        _sorted(r for one in named for r in one.document_roles),
    )


def _sorted(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(texts)))
