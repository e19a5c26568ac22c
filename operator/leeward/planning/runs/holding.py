"""What a live run holds, so that no other live run works on it beside."""

from __future__ import annotations

from typing import Final, TypeAlias

from leeward.api.task import DRTaskSpec
from leeward.planning.runs.explicit import TECHNOLOGIES

Holding: TypeAlias = tuple[str, str]
"""AWS account id and ARN: there are ARNs that name no account."""

_NAMED: Final = frozenset(TECHNOLOGIES.values())


def holdings(task: DRTaskSpec) -> frozenset[Holding]:
    """What a run holds by this task: what discovery found in the account, and nothing else.

    What an explicit task names a plan may write as it likes. It is no proof that the run has it,
    a drill leaves it alone, and its ARN may be shared (a document), stand for more than is meant
    (the zone of a record), or be empty (a person's task).
    """
    if task.technology in _NAMED:
        return frozenset()
    return frozenset((task.account_id, resource.arn) for resource in task.resources if resource.arn)
