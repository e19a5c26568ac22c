"""Sessions of assumed roles, and what to do when a role cannot be assumed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.credentials import CredentialProvider, DeferredRefreshableCredentials
from botocore.exceptions import ClientError

from leeward_adapters.base import ErrorClass
from leeward_adapters.errors import classify

if TYPE_CHECKING:
    from leeward_adapters.aws import Account


class AssumedRole(CredentialProvider):
    """Hands botocore the credentials of one role session."""

    METHOD = "leeward-assume-role"
    CANONICAL_NAME = None

    def __init__(self, fetch: Callable[[], Any]) -> None:
        super().__init__()
        self._fetch = fetch

    def load(self) -> DeferredRefreshableCredentials:
        """Credentials that are fetched at their first use and renewed in time."""
        return DeferredRefreshableCredentials(self._fetch, self.METHOD)


def session_request(account: Account, seconds: int) -> dict[str, Any]:
    """What AssumeRole is asked with for a session of that many seconds, apart from the role."""
    request: dict[str, Any] = {"RoleSessionName": account.session_name, "DurationSeconds": seconds}
    if account.external_id:
        request["ExternalId"] = account.external_id
    if account.session_tags:
        tags = sorted(account.session_tags.items())
        request["Tags"] = [{"Key": key, "Value": value} for key, value in tags]
    return request


def not_assumed(error: ClientError, account: Account, role: str, region: str) -> ClientError:
    """The same error, saying which role of which account, and what to look at."""
    answer: Any = {**error.response, "Error": dict(error.response.get("Error", {}))}
    what = (
        f"{answer['Error'].get('Message', '')}. Role {role} of account {account.id}"
        f"{f' ({account.name})' if account.name else ''} cannot be assumed through STS in {region}"
    )
    if classify(error).kind in {ErrorClass.TRANSIENT, ErrorClass.IN_DOUBT}:
        answer["Error"]["Message"] = f"{what} for now; it is tried again"
        return ClientError(answer, error.operation_name)
    answer["Error"]["Message"] = f"{what}. {_to_mend(account, classify(error).kind)}"
    return ClientError(answer, error.operation_name)


def _to_mend(account: Account, kind: ErrorClass) -> str:
    """What to look at.

    STS gives one answer for a role that is not there and for one that does not trust its caller.
    """
    if kind is not ErrorClass.DENIED:
        return "Correct what AWS names: the role's ARN, the external id or the tags of the session"
    rights = "sts:AssumeRole and sts:TagSession" if account.session_tags else "sts:AssumeRole"
    return (
        f"It does not exist (mind the ARN's path), or does not trust the identity named above, or "
        f"does not {_external_id(account)}: AWS says the same of all three, so look in this order. "
        f"Its trust policy and that identity's own policy must allow {rights}"
    )


def _external_id(account: Account) -> str:
    """What the trust policy must demand; of a secret only where it stands."""
    if not account.external_id:
        return "demand no external id"
    if account.external_id_from:
        return f"demand exactly the external id of {account.external_id_from}"
    return f"demand exactly the external id '{account.external_id}'"
