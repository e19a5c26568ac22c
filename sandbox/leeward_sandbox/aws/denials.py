"""What a role's own policies deny explicitly is refused.

Only that is enforced of policies: an estate says what a role lacks, and everything else is let
through, so that a policy need not be complete to try something. Conditions and resources of
statements are not looked at.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator
from typing import Any

from leeward_sandbox.aws.backend import AwsError, Call, World

# botocore's service, where IAM's prefix is another.
_PREFIXES = {"service-quotas": "servicequotas", "resourcegroupstaggingapi": "tag"}
_CODES = {"ec2": "UnauthorizedOperation", "iam": "AccessDenied", "sts": "AccessDenied"}


class Denials:
    """Refuses calls that the caller's role denies.

    Args:
        world: where moto's roles are.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def check(self, call: Call) -> None:
        """Let the call pass unless its caller is a session of a role that denies it.

        Raises:
            AwsError: the role denies the action.
        """
        _, _, session = call.principal.partition(":assumed-role/")
        action = f"{_PREFIXES.get(call.service, call.service)}:{call.operation}"
        if not session or not self._denied(call.account, session.split("/")[0], action):
            return
        raise AwsError(
            _CODES.get(call.service, "AccessDeniedException"),
            f"User: {call.principal} is not authorized to perform: {action} on resource: * with"
            " an explicit deny in an identity-based policy",
            status=403,
        )

    def _denied(self, account: str, role: str, action: str) -> bool:
        return any(
            statement["Effect"] == "Deny"
            and any(
                fnmatch.fnmatchcase(action.lower(), pattern.lower())
                for pattern in _listed(statement.get("Action", []))
            )
            for statement in self._statements(account, role)
        )

    def _statements(self, account: str, name: str) -> Iterator[dict[str, Any]]:
        for role in self._world.moto("iam", account, "aws").roles.values():
            if role.name == name:
                for document in role.policies.values():
                    read = json.loads(document) if isinstance(document, str) else document
                    yield from _listed(read["Statement"])


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
