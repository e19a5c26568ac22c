"""Route 53's changes take time: PENDING first, INSYNC after about 30 virtual seconds.

https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetChange.html
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from leeward_sandbox.aws.backend import AwsError, Call, World

PROPAGATION = timedelta(seconds=30)
"""How long a change is PENDING, in virtual time."""


@dataclass(frozen=True, slots=True)
class _Change:
    submitted: datetime
    comment: str | None


class Route53Changes:
    """Gives every change of record sets an id of its own and keeps its state.

    The records themselves are moto's and change at once, as Route 53's lists do.
    """

    service: ClassVar[str] = "route53"
    operations: ClassVar[frozenset[str] | None] = frozenset(
        {"ChangeResourceRecordSets", "GetChange"}
    )
    answers: ClassVar[frozenset[str]] = frozenset({"ChangeResourceRecordSets"})

    def __init__(self, world: World) -> None:
        self._world = world
        self._changes: dict[tuple[str, str], _Change] = {}

    def before(self, call: Call) -> dict[str, Any] | None:
        """Answer GetChange from the changes made here."""
        if call.operation != "GetChange":
            return None
        identifier = str(call.params["Id"]).removeprefix("/change/")
        change = self._changes.get((call.account, identifier))
        if change is None:
            raise AwsError(
                "NoSuchChange",
                f"Could not find resource with ID: {identifier} (account {call.account})",
                status=404,
            )
        return {"ChangeInfo": _info(identifier, change, call.now)}

    def after(self, call: Call, result: dict[str, Any]) -> dict[str, Any]:
        """Answer ChangeResourceRecordSets with a change that is under way."""
        identifier = f"C{uuid.uuid4().hex[:20].upper()}"
        change = _Change(call.now, call.params["ChangeBatch"].get("Comment"))
        self._changes[call.account, identifier] = change
        return {"ChangeInfo": _info(identifier, change, call.now)}


def _info(identifier: str, change: _Change, now: datetime) -> dict[str, Any]:
    info = {
        "Id": f"/change/{identifier}",
        "Status": "INSYNC" if now - change.submitted >= PROPAGATION else "PENDING",
        "SubmittedAt": change.submitted,
    }
    return info if change.comment is None else info | {"Comment": change.comment}
