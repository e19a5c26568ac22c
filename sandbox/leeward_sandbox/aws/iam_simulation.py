"""IAM's SimulatePrincipalPolicy, which moto lacks: what the policies of a role allow.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
Inline and managed policies of the role are evaluated, with the resources and the context of the
request; without resources it is asked about "*", which only statements about "*" allow.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from leeward_sandbox.aws.backend import AwsError, Call, World
from leeward_sandbox.aws.trust import Context, listed, met

Statement = Mapping[str, Any]


class IamSimulation:
    """Answers SimulatePrincipalPolicy from the roles in moto's IAM; the rest of IAM is moto's.

    A condition whose key the request's context lacks is not met, as AWS has it.
    """

    service: ClassVar[str] = "iam"
    operations: ClassVar[frozenset[str] | None] = frozenset({"SimulatePrincipalPolicy"})

    def __init__(self, world: World) -> None:
        self._world = world

    def handle(self, call: Call) -> dict[str, Any]:
        """Decide about every action and resource of the request."""
        arn = call.params["PolicySourceArn"]
        iam = self._world.moto("iam", call.account, call.region)
        role = next((role for role in iam.roles.values() if role.arn == arn), None)
        if role is None:
            raise AwsError(
                "NoSuchEntity", f"The user or role with ARN {arn} cannot be found", status=404
            )
        statements = [*_statements(role)]
        context = {
            entry["ContextKeyName"].lower(): entry.get("ContextKeyValues", [])
            for entry in call.params.get("ContextEntries", [])
        }
        results = [
            {
                "EvalActionName": action,
                "EvalResourceName": resource,
                "EvalDecision": _decision(statements, action, resource, context),
            }
            for action in call.params["ActionNames"]
            for resource in call.params.get("ResourceArns") or ["*"]
        ]
        start = int(call.params.get("Marker", "0"))
        end = start + int(call.params.get("MaxItems", 100))
        page: dict[str, Any] = {
            "EvaluationResults": results[start:end],
            "IsTruncated": end < len(results),
        }
        return page | {"Marker": str(end)} if end < len(results) else page


def _statements(role: Any) -> Iterator[Statement]:
    documents = [*role.policies.values()]
    documents += [policy.document for policy in role.managed_policies.values()]
    for document in documents:
        read = json.loads(document) if isinstance(document, str) else document
        yield from listed(read["Statement"])


def _decision(statements: list[Statement], action: str, resource: str, context: Context) -> str:
    effects = {s["Effect"] for s in statements if _applies(s, action, resource, context)}
    if "Deny" in effects:
        return "explicitDeny"
    return "allowed" if "Allow" in effects else "implicitDeny"


def _applies(statement: Statement, action: str, resource: str, context: Context) -> bool:
    if "NotAction" in statement:
        if _matches(action.lower(), _lower(statement["NotAction"])):
            return False
    elif not _matches(action.lower(), _lower(statement["Action"])):
        return False
    if "NotResource" in statement:
        if _matches(resource, [str(r) for r in listed(statement["NotResource"])]):
            return False
    elif not _matches(resource, [str(r) for r in listed(statement["Resource"])]):
        return False
    denies = statement["Effect"] == "Deny"
    return all(
        met(operator, key, [str(value) for value in listed(wanted)], context, denies)
        for operator, keys in statement.get("Condition", {}).items()
        for key, wanted in keys.items()
    )


def _lower(actions: Any) -> list[str]:
    return [str(action).lower() for action in listed(actions)]


def _matches(value: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(value, pattern.replace("[", "[[]")) for pattern in patterns)
