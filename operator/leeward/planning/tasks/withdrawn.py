"""Whether an account is still what a run was frozen with, as far as a task needs it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from leeward.api.account import TargetAccountSpec
from leeward.api.task import DRTaskSpec

ACCOUNT_REFUSED: Final = "AccountRefused"
"""Reason of what is held because the platform's administrators took the account away."""


def withdrawn(task: DRTaskSpec, namespace: str, account: TargetAccountSpec | None) -> str:
    """Why nothing new may be asked of AWS for a task of that namespace; empty: it may.

    `account` is the TargetAccount that the task names, as it is now; None: there is none any more.
    Who may pass gates, and for which customers and environments, was settled when the run began.
    """
    why = next(_reasons(task, namespace, account), "")
    if not why:
        return ""
    return (
        f"nothing new is asked of account {task.account_id} ({task.account}), {task.region}: "
        f"{why}; it goes on when a platform administrator has given that back, or cancel the run"
    )


def _reasons(task: DRTaskSpec, namespace: str, account: TargetAccountSpec | None) -> Iterator[str]:
    name = f"TargetAccount {task.account}"
    if account is None:
        yield f"there is no {name} any more"
        return
    allow = account.allow
    if account.account_id != task.account_id:
        yield f"{name} is AWS account {account.account_id} now"
    if namespace not in allow.namespaces:
        yield f"{name} is no longer for namespace {namespace} (spec.allow.namespaces)"
    if allow.operations and task.operation not in allow.operations:
        yield f"{name} no longer allows {task.operation} (spec.allow.operations)"
    if task.operation == "Cleanup" and allow.destructive != "Allowed":
        yield f"{name} no longer lets anything be destroyed (spec.allow.destructive)"
    if account.regions and task.region not in account.regions:
        yield f"{name} is no longer for Region {task.region} (spec.regions)"
    if task.role_arn is not None and account.recovery_role_arn != task.role_arn:
        yield (
            f"spec.recoveryRoleArn of {name} is no longer {task.role_arn}, with which the run "
            "began; a run with continueFrom goes on with the new one"
        )
