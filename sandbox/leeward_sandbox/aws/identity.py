"""Who calls: access keys to accounts and principals.

Access keys ``SANDBOX<account>`` are administrators of their account; sessions of roles are issued
by AssumeRole. The SigV4 signature is **not** verified and secrets are not compared: the sandbox
is on loopback and tells callers apart, it does not protect anything. The rights of a role beyond
its trust policy are not evaluated either.
"""

from __future__ import annotations

import re
import secrets
import string
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

from leeward_sandbox.aws.backend import AwsError
from leeward_sandbox.aws.wire import HttpRequest

_ADMINISTRATOR = re.compile(r"SANDBOX(\d{12})")
_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/\d{8}/([^/,\s]+)/([^/,\s]+)/aws4_request")
_KEY_CHARACTERS = string.ascii_uppercase + "234567"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a request's credential scope says; the access key is never shown."""

    access_key: str
    region: str
    signing_name: str

    def __repr__(self) -> str:
        return f"Scope(region={self.region!r}, signing_name={self.signing_name!r})"


@dataclass(frozen=True, slots=True)
class Caller:
    """A known caller: the account it acts in, its ARN and its unique id."""

    account: str
    principal: str
    user_id: str


@dataclass(frozen=True, slots=True, repr=False)
class Session:
    """A role's session. Expires by the real clock, because botocore renews by it."""

    access_key: str
    secret_key: str
    token: str
    caller: Caller
    role_arn: str
    expiration: datetime


def scope_of(request: HttpRequest) -> Scope | None:
    """The credential scope of the Authorization header or of a presigned URL, if there is one."""
    found = _CREDENTIAL.search(request.header("authorization") or "")
    if found is None:
        for value in parse_qs(request.query).get("X-Amz-Credential", []):
            found = _CREDENTIAL.search(f"Credential={value}")
    return None if found is None else Scope(found[1], found[2], found[3])


class Identities:
    """The sandbox's access keys; safe to share between threads.

    Args:
        now: the real time, aware.
    """

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self._by_principal: dict[str, Session] = {}

    def resolve(self, scope: Scope, request: HttpRequest, protocol: str) -> Caller:
        """The caller behind the scope's access key.

        Raises:
            AwsError: the key is unknown, its token does not belong to it, or the session is over.
        """
        administrator = _ADMINISTRATOR.fullmatch(scope.access_key)
        if administrator:
            account = administrator[1]
            return Caller(account, f"arn:aws:iam::{account}:root", account)
        with self._lock:
            session = self._sessions.get(scope.access_key)
        token = request.header("x-amz-security-token")
        if token is None:
            token = next(iter(parse_qs(request.query).get("X-Amz-Security-Token", [])), None)
        if session is None or token is None or not secrets.compare_digest(token, session.token):
            raise _unknown_key(protocol, scope.signing_name)
        if self._now() >= session.expiration:
            code = "ExpiredTokenException" if "json" in protocol else "ExpiredToken"
            raise AwsError(
                code,
                "The security token included in the request is expired"
                f" ({session.caller.principal}, since {session.expiration.isoformat()});"
                " assume the role again",
                status=403,
            )
        return session.caller

    def session_of(self, principal: str) -> Session | None:
        """The newest session with that assumed-role ARN."""
        with self._lock:
            return self._by_principal.get(principal)

    def expire(self) -> int:
        """End every session that still runs, and return how many there were.

        Their holders believe them good for as long as they were told: as where a clock is wrong.
        """
        with self._lock:
            now = self._now()
            running = [s for s in self._sessions.values() if s.expiration > now]
            for session in running:
                self._sessions[session.access_key] = replace(session, expiration=now)
            return len(running)

    def issue(self, role_arn: str, role_id: str, session_name: str, seconds: int) -> Session:
        """Start a session of a role that lasts `seconds` of real time."""
        account = role_arn.split(":")[4]
        partition, role_name = role_arn.split(":")[1], role_arn.rpartition("/")[2]
        principal = f"arn:{partition}:sts::{account}:assumed-role/{role_name}/{session_name}"
        session = Session(
            access_key="ASIA" + "".join(secrets.choice(_KEY_CHARACTERS) for _ in range(16)),
            secret_key=secrets.token_urlsafe(30),
            token=secrets.token_urlsafe(96),
            caller=Caller(account, principal, f"{role_id}:{session_name}"),
            role_arn=role_arn,
            expiration=(self._now() + timedelta(seconds=seconds)).replace(microsecond=0),
        )
        with self._lock:
            now = self._now()
            for key in [k for k, s in self._sessions.items() if s.expiration < now - _KEPT]:
                del self._sessions[key]
            self._sessions[session.access_key] = session
            self._by_principal[principal] = session
        return session


# An ended session stays for a while, so that its use is answered with "expired".
_KEPT = timedelta(hours=1)


def _unknown_key(protocol: str, signing_name: str) -> AwsError:
    invalid = "The security token included in the request is invalid."
    if signing_name == "s3":
        return AwsError(
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
            status=403,
        )
    if protocol == "ec2":
        return AwsError(
            "AuthFailure",
            "AWS was not able to validate the provided access credentials",
            status=401,
        )
    code = "UnrecognizedClientException" if "json" in protocol else "InvalidClientTokenId"
    return AwsError(code, invalid, status=403)
