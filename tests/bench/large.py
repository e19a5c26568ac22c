"""Ten times the estate `reference`: 10,500 servers in 40 accounts, recovered in two runs.

More accounts of the same size, not larger accounts: DRS replicates at most 300 servers into one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import reference
from table import Figure
from testbed import Object, site

from leeward_sandbox.aws.estates import load
from leeward_sandbox.aws.estates.model import Estate

TIMES = 10
SCALE = 30.0


def estate(times: int) -> Estate:
    """The reference's accounts, `times` times each."""
    body = load("reference").model_dump(mode="json", by_alias=True)
    body["accounts"] = [
        {**account, "id": _number(account["id"], n), "name": f"{account['name']}-{n}"}
        for account in body["accounts"]
        for n in range(times)
    ]
    return Estate.model_validate(body)


def manifests(times: int) -> list[Object]:
    """The reference's objects over all those accounts."""
    return [many for body in reference.manifests() for many in _multiplied(body, times)]


def _multiplied(body: Object, times: int) -> Iterator[Object]:
    if body["kind"] == "RecoveryPlan":
        body = copy.deepcopy(body)
        accounts = body["spec"]["accounts"]
        body["spec"]["accounts"] = [
            {**ref, "name": f"{ref['name']}-{n}"} for ref in accounts for n in range(times)
        ]
    if body["kind"] != "TargetAccount":
        yield body
        return
    for n in range(times):
        one = copy.deepcopy(body)
        old = one["spec"]["accountId"]
        one["metadata"]["name"] += f"-{n}"
        one["spec"]["accountId"] = _number(old, n)
        for role in ("readRoleArn", "recoveryRoleArn"):
            one["spec"][role] = one["spec"][role].replace(old, _number(old, n))
        yield one


def _number(account_id: str, copy_of: int) -> str:
    return f"{account_id[:-2]}{copy_of:02}"


def figures() -> list[Figure]:
    """CPU and memory of the operator over the whole recovery, and its makespan."""
    with site(estate(TIMES), scale=SCALE, operator={}) as place:
        return reference.figures(place, reference.run(place, manifests(TIMES)))
