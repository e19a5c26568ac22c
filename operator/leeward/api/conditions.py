"""Condition types and reasons, and how a condition joins a list of them.

Types and the rules between them follow kstatus and the Kubernetes API conventions: `Reconciling`
and `Stalled` are absent when they do not hold, never both present, and exclude `Ready=True`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from leeward.api.common import Condition


class Type:
    """Types of conditions."""

    READY: Final = "Ready"
    """The object is as its spec wants it; a plan: it could be recovered now."""
    RECONCILING: Final = "Reconciling"
    """The operator is at work on it. Absent otherwise."""
    STALLED: Final = "Stalled"
    """It does not move without a person. Absent otherwise."""
    DISCOVERED: Final = "Discovered"
    """Plan: every account answered the last discovery."""
    COMPLIANT: Final = "Compliant"
    """Plan: no resource is left out because of its tags."""
    PROTECTED: Final = "Protected"
    """Plan: everything replicates, within the recovery point objectives."""
    SOURCE_FENCED: Final = "SourceFenced"
    """Plan: after a failover, nothing on the side that was left can write any more."""
    LAUNCH_SETTINGS_VALID: Final = "LaunchSettingsValid"
    """Plan: its launch settings can be read and fit the servers. Absent without layers."""
    DRILL_CURRENT: Final = "DrillCurrent"
    """Plan: a drill of the whole plan passed, and what it proved is as it was."""
    SUCCEEDED: Final = "Succeeded"
    """Run or task: Unknown until it ends, then its verdict."""
    WAITING_FOR_APPROVAL: Final = "WaitingForApproval"
    """Run: a gate waits for people."""
    WAITING_FOR_DECISION: Final = "WaitingForDecision"
    """Run: something went wrong and a person must say how to go on."""
    PAUSED: Final = "Paused"
    """Run: a person paused it."""
    GUARD_ACTIVE: Final = "GuardActive"
    """Run: the admission policies that make approvals unforgeable were proved to work."""


class Reason:
    """Reasons of conditions."""

    READY: Final = "Ready"
    """Nothing known stands in the way."""
    DEGRADED: Final = "Degraded"
    """It could start, but findings or silent accounts stand against it."""
    INVALID: Final = "Invalid"
    """The spec contradicts itself or the accounts; the message lists how."""
    DISCOVERING: Final = "Discovering"
    """An account has not answered for the first time yet."""
    NOTHING_SELECTED: Final = "NothingSelected"
    """Discovery found nothing that an execution would recover."""
    DISCOVERED: Final = "Discovered"
    """Every account answered the last discovery."""
    ACCOUNT_SILENT: Final = "AccountSilent"
    """An account did not answer; what it said before is kept."""
    INVENTORY_SHRANK: Final = "InventoryShrank"
    """Over 5 % of an account's resources vanished, and nobody is known to have deleted them."""
    TAGS_IN_ORDER: Final = "TagsInOrder"
    """No resource has a tag problem."""
    TAG_PROBLEMS: Final = "TagProblems"
    """Tags leave resources out of recovery."""
    REPLICATING: Final = "Replicating"
    """All servers replicate, within their objectives."""
    NOTHING_REPLICATES: Final = "NothingReplicates"
    """The plan has no replicating server."""
    INVENTORY_OLD: Final = "InventoryOld"
    """What is known is too old to say."""
    NOT_REPLICATING: Final = "NotReplicating"
    """The server's replication does not run."""
    LAG_ABOVE_OBJECTIVE: Final = "LagAboveObjective"
    """The server's replication lags by more than its recovery point objective."""
    LAG_UNKNOWN: Final = "LagUnknown"
    """There is an objective, but AWS does not say how far replication lags."""
    LAUNCH_SETTINGS_RESOLVED: Final = "LaunchSettingsResolved"
    """Every layer was read, and each server knows its launch settings."""
    RUNNING: Final = "Running"
    """The run or task is at work."""
    SUCCEEDED: Final = "Succeeded"
    """Every resource was proved to be where it should be."""
    DRY_RUN: Final = "DryRun"
    """It was asked what would be done; nothing was."""
    WITHIN_TOLERANCE: Final = "WithinTolerance"
    """It succeeded but for failures that the plan tolerates."""
    FAILED: Final = "Failed"
    """It ended without success."""
    CANCELLED: Final = "Cancelled"
    """A person cancelled it."""
    EXPIRED: Final = "Expired"
    """`startBefore` passed before it began; nothing was touched."""
    FENCE_DEFERRED: Final = "FenceDeferred"
    """The side that was left did not answer; what it may still write is a duty for later."""
    SOURCE_RETURNED: Final = "SourceReturned"
    """The side that was left answers again, and servers run there that should not write."""
    FENCED: Final = "Fenced"
    """Everything on the side that was left was stopped."""
    LEFT_STOPPED: Final = "LeftStopped"
    """A run fenced something and ended before anything served in its place."""
    VERIFIED: Final = "Verified"
    """Account: both roles can be used, and may do what is needed."""
    NOT_VERIFIED: Final = "NotVerified"
    """Account: AWS did not answer, so it is not known whether the roles can be used."""
    ROLE_NOT_USABLE: Final = "RoleNotUsable"
    """Account: a role cannot be assumed, or is another account's."""
    EXTERNAL_ID_UNKNOWN: Final = "ExternalIdUnknown"
    """Account: the Secret with the external id cannot be used."""
    REGION_REFUSED: Final = "RegionNotInPartition"
    """Account: a Region is not in the partition of the roles."""
    PERMISSIONS_MISSING: Final = "PermissionsMissing"
    """Account: a role lacks IAM actions that its plans need."""
    DRS_NOT_INITIALIZED: Final = "DrsNotInitialized"
    """Account: plans recover servers here, and DRS was never initialised."""
    DRILL_PASSED: Final = "DrillPassed"
    """Nothing has changed since the last drill that passed."""
    CHANGED_SINCE_DRILL: Final = "ChangedSinceDrill"
    """Something has changed since the last drill that passed; the message lists what."""
    NEVER_DRILLED: Final = "NeverDrilled"
    """No drill of the whole plan has passed yet."""
    REFUSED: Final = "Refused"
    """Preflight refused it; nothing was touched."""


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of this type, or None."""
    return next((c for c in conditions if c.type == kind), None)


def holds(conditions: Iterable[Condition], kind: str) -> bool:
    """Whether the condition of this type is there with status True."""
    found = find(conditions, kind)
    return found is not None and found.status == "True"


def set_condition(conditions: Iterable[Condition], new: Condition) -> list[Condition]:
    """The list with `new` in it, in the place of the one of its type, else at the end.

    `lastTransitionTime` of the old one is kept while the status is the same.
    """
    result = list(conditions)
    for place, old in enumerate(result):
        if old.type == new.type:
            if old.status == new.status:
                new = new.model_copy(update={"last_transition_time": old.last_transition_time})
            result[place] = new
            return result
    return [*result, new]


def drop_condition(conditions: Iterable[Condition], kind: str) -> list[Condition]:
    """The list without the condition of this type."""
    return [c for c in conditions if c.type != kind]
