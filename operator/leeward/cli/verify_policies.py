"""Whether the admission policies bite: forged requests, sent as dry runs, must be refused.

A refusal counts only if it comes from the policy that is tried: one for want of rights, or of a
namespace, proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from leeward.api.common import API_VERSION, PREFIX
from leeward.cli.failures import Refused
from leeward.cli.findings import Finding
from leeward.cli.kinds import EXECUTION, TASK

if TYPE_CHECKING:
    from leeward.cli.connect import Api

_NOBODY: Final = "nobody-this-is-a-probe"
_NAME: Final = "leeward-verify-probe"
_REPAIR: Final = "apply what `leeward policies` of this version prints"


def tried(api: Api, namespace: str) -> Iterator[Finding]:
    """One finding for each forgery; what needs a run is tried on one that exists.

    Args:
        api: the connection; its user must have the rights that the forgeries need.
        namespace: where the objects would be, were they stored.
    """
    yield _tried(
        "leeward-requests",
        "a run in another's name",
        lambda: api.create(EXECUTION.path(namespace), _execution(), dry_run=True),
    )
    yield _tried(
        "leeward-record",
        "a task that the operator did not make",
        lambda: api.create(TASK.path(namespace), _task(), dry_run=True),
    )
    try:
        runs = api.get(f"/apis/{API_VERSION}/{EXECUTION.plural}", {"limit": "1"})["items"]
    except Refused as refused:
        yield Finding("unknown", f"a forged approval was not tried: {refused}")
        return
    if not runs:
        text = (
            "a forged approval was not tried: there is no run yet; the operator tries at each gate"
        )
        yield Finding("ok", text)
        return
    meta = runs[0]["metadata"]
    path = EXECUTION.path(meta["namespace"], meta["name"])
    approval = {"metadata": {"annotations": {f"{PREFIX}approve-wave-probe": _NOBODY}}}
    yield _tried(
        "leeward-commands",
        f"an approval in another's name on {meta['namespace']}/{meta['name']}",
        lambda: api.patch(path, approval, dry_run=True),
        saying="must be your own user name",
    )
    yield _tried(
        "leeward-status",
        f"a change of the record of {meta['namespace']}/{meta['name']}",
        lambda: api.patch(f"{path}/status", {"status": {"message": _NOBODY}}, dry_run=True),
    )


def _tried(policy: str, what: str, attempt: Callable[[], Any], saying: str = "") -> Finding:
    """Whether the attempt is refused by the policy, in the words that are expected."""
    name = f"{policy}.leeward.dev"
    try:
        attempt()
    except Refused as refused:
        if f"'{name}'" in refused.message and saying in refused.message:
            return Finding("ok", f"{what} is refused ({name})")
        return Finding("unknown", f"{what} was refused, but not by {name}: {refused}")
    return Finding("problem", f"{what} would be taken: {name} is not in force; {_REPAIR}")


def _execution() -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "DRExecution",
        "metadata": {"name": _NAME, "annotations": {f"{PREFIX}requested-by": _NOBODY}},
        "spec": {"planRef": {"name": _NAME}, "operation": "Test"},
    }


def _task() -> dict[str, Any]:
    arn = "arn:aws:drs:us-east-1:000000000000:source-server/s-00000000000000000"
    return {
        "apiVersion": API_VERSION,
        "kind": "DRTask",
        "metadata": {"name": _NAME},
        "spec": {
            "executionRef": {"name": _NAME, "uid": "none"},
            "plan": _NAME,
            "operation": "Test",
            "mode": "Planned",
            "wave": "none",
            "waveOrdinal": 1,
            "recoveryPhase": "Instantiate",
            "technology": "drs",
            "account": "none",
            "accountId": "0" * 12,
            "region": "us-east-1",
            "sourceRegion": "us-east-2",
            "resources": [{"id": "s-00000000000000000", "arn": arn}],
        },
    }
