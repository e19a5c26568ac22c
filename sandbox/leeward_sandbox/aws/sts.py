"""STS's AssumeRole and GetCallerIdentity: roles are honoured as strictly as AWS does.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from leeward_sandbox.aws.backend import AwsError, Call, World
from leeward_sandbox.aws.identity import Identities
from leeward_sandbox.aws.trust import Context, Principal, allows

_ROLE_ARN = re.compile(r"arn:(aws[\w-]*):iam::(\d{12}):role/(?:[\x21-\x7e]+/)?([\w+=,.@-]+)")
_DEFAULT_SECONDS = 3600
_CHAINED_SECONDS = 3600
"""The longest session of a role that was assumed by a role's session."""


class StsBackend:
    """Issues sessions of the roles in moto's IAM.

    A trust policy is evaluated for sts:AssumeRole and, where the request asks for them,
    sts:TagSession and sts:SetSourceIdentity. The caller's own right to assume roles is taken as
    given, and so is an administrator key's, although AWS refuses it to a real root user.
    """

    service: ClassVar[str] = "sts"
    operations: ClassVar[frozenset[str] | None] = frozenset({"AssumeRole", "GetCallerIdentity"})

    def __init__(self, world: World, identities: Identities) -> None:
        self._world = world
        self._identities = identities

    def handle(self, call: Call) -> dict[str, Any]:
        """Answer AssumeRole or GetCallerIdentity."""
        if call.operation == "GetCallerIdentity":
            session = self._identities.session_of(call.principal)
            user_id = session.caller.user_id if session else call.account
            return {"UserId": user_id, "Account": call.account, "Arn": call.principal}
        return self._assume(call)

    def control(self, body: dict[str, Any]) -> dict[str, Any]:
        """Take `{"expire": "*"}`: every session is over; the answer says how many there were."""
        if body != {"expire": "*"}:
            raise ValueError('sts takes {"expire": "*"}')
        return {"expired": self._identities.expire()}

    def _assume(self, call: Call) -> dict[str, Any]:
        arn, name = call.params["RoleArn"], call.params["RoleSessionName"]
        role = self._role(call, arn)
        for action in _actions(call):
            if not allows(
                str(role.assume_role_policy_document),
                action,
                self._principal(call),
                self._context(call),
            ):
                raise _denied(call, action, arn)
        seconds = int(call.params.get("DurationSeconds", _DEFAULT_SECONDS))
        _check_duration(call, seconds, int(role.max_session_duration or _DEFAULT_SECONDS))
        session = self._identities.issue(arn, role.id, name, seconds)
        answer: dict[str, Any] = {
            "Credentials": {
                "AccessKeyId": session.access_key,
                "SecretAccessKey": session.secret_key,
                "SessionToken": session.token,
                "Expiration": session.expiration,
            },
            "AssumedRoleUser": {
                "AssumedRoleId": session.caller.user_id,
                "Arn": session.caller.principal,
            },
        }
        if "SourceIdentity" in call.params:
            answer["SourceIdentity"] = call.params["SourceIdentity"]
        return answer

    def _role(self, call: Call, arn: str) -> Any:
        found = _ROLE_ARN.fullmatch(arn)
        if found is None:
            raise AwsError("ValidationError", f"{arn} is invalid")
        iam = self._world.moto("iam", found[2], call.region)
        role = next((role for role in iam.roles.values() if role.arn == arn), None)
        if role is None:
            raise _denied(call, "sts:AssumeRole", arn)
        return role

    def _context(self, call: Call) -> Context:
        # Of a session, aws:PrincipalArn is its role (IAM user guide, global condition keys).
        session = self._identities.session_of(call.principal)
        return _context(call, session.role_arn if session else call.principal)

    def _principal(self, call: Call) -> Principal:
        arns = {call.principal}
        session = self._identities.session_of(call.principal)
        if session is not None:
            arns.add(session.role_arn)
        return Principal(call.account, frozenset(arns))


def _actions(call: Call) -> list[str]:
    actions = ["sts:AssumeRole"]
    if call.params.get("Tags") or call.params.get("TransitiveTagKeys"):
        actions.append("sts:TagSession")
    if "SourceIdentity" in call.params:
        actions.append("sts:SetSourceIdentity")
    return actions


def _context(call: Call, principal_arn: str) -> Context:
    params = call.params
    context: dict[str, list[str]] = {
        "aws:principalaccount": [call.account],
        "aws:principalarn": [principal_arn],
        "sts:rolesessionname": [params["RoleSessionName"]],
    }
    for key, member in (("sts:externalid", "ExternalId"), ("sts:sourceidentity", "SourceIdentity")):
        if member in params:
            context[key] = [params[member]]
    tags = params.get("Tags", [])
    for tag in tags:
        context[f"aws:requesttag/{tag['Key']}".lower()] = [tag["Value"]]
    if tags:
        context["aws:tagkeys"] = [tag["Key"] for tag in tags]
    if params.get("TransitiveTagKeys"):
        context["sts:transitivetagkeys"] = params["TransitiveTagKeys"]
    return context


def _check_duration(call: Call, seconds: int, longest: int) -> None:
    if ":assumed-role/" in call.principal and seconds > _CHAINED_SECONDS:
        raise AwsError(
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by"
            " role chaining",
        )
    if seconds > longest:
        raise AwsError(
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        )


def _denied(call: Call, action: str, arn: str) -> AwsError:
    return AwsError(
        "AccessDenied",
        f"User: {call.principal} is not authorized to perform: {action} on resource: {arn}",
        status=403,
    )
