"""What the policies of a role say of an action.

The sandbox enforces explicit denials only: an estate says what a role lacks, and everything else is
let through, so that a policy need not be complete to try something. Conditions and resources of
statements are not looked at.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from leeward_sandbox.aws.backend import AwsError, Call, World

Decision = Literal["allowed", "explicitDeny", "implicitDeny"]

# botocore's service, where IAM's prefix is another.
_PREFIXES = {"service-quotas": "servicequotas", "resourcegroupstaggingapi": "tag"}
_PAGE = 100


class RolePolicies:
    """Answers SimulatePrincipalPolicy, and refuses what a caller's role denies.

    Args:
        world: where moto's state is.
    """

    service: ClassVar[str] = "iam"
    operations: ClassVar[frozenset[str] | None] = frozenset({"SimulatePrincipalPolicy"})

    def __init__(self, world: World) -> None:
        self._world = world

    def handle(self, call: Call) -> dict[str, Any]:
        """SimulatePrincipalPolicy for a role, without resources and context."""
        arn = call.params["PolicySourceArn"]
        role = self._role(call.account, arn.rpartition("/")[2])
        if role is None or arn.split(":")[4] != call.account:
            raise AwsError("NoSuchEntity", f"The principal {arn} cannot be found.", status=404)
        actions = list(call.params["ActionNames"])
        start = int(call.params.get("Marker", "0"))
        end = start + int(call.params.get("MaxItems", _PAGE))
        page: dict[str, Any] = {
            "EvaluationResults": [
                {
                    "EvalActionName": action,
                    "EvalResourceName": "*",
                    "EvalDecision": _decision(role, action),
                }
                for action in actions[start:end]
            ],
            "IsTruncated": end < len(actions),
        }
        return page | {"Marker": str(end)} if end < len(actions) else page

    def refuse_denied(self, call: Call) -> None:
        """Let the call pass unless its caller is a session of a role that denies it.

        Raises:
            AwsError: the role denies the action.
        """
        _, _, session = call.principal.partition(":assumed-role/")
        role = self._role(call.account, session.split("/")[0]) if session else None
        action = f"{_PREFIXES.get(call.service, call.service)}:{call.operation}"
        if role is None or _decision(role, action) != "explicitDeny":
            return
        code = {"ec2": "UnauthorizedOperation", "iam": "AccessDenied", "sts": "AccessDenied"}
        raise AwsError(
            code.get(call.service, "AccessDeniedException"),
            f"User: {call.principal} is not authorized to perform: {action} on resource: * with"
            " an explicit deny in an identity-based policy",
            status=403,
        )

    def _role(self, account: str, name: str) -> Any:
        roles = self._world.moto("iam", account, "aws").roles.values()
        return next((role for role in roles if role.name == name), None)


def _decision(role: Any, action: str) -> Decision:
    effects = {
        statement["Effect"]
        for statement in _statements(role)
        if any(
            fnmatch.fnmatchcase(action.lower(), pattern.lower())
            for pattern in _listed(statement.get("Action", []))
        )
    }
    if "Deny" in effects:
        return "explicitDeny"
    return "allowed" if "Allow" in effects else "implicitDeny"


def _statements(role: Any) -> Iterator[dict[str, Any]]:
    documents = [*role.policies.values(), *(p.document for p in role.managed_policies.values())]
    for document in documents:
        read = json.loads(document) if isinstance(document, str) else document
        yield from _listed(read["Statement"])


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
