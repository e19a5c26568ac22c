"""Proof that the admission policies are in force, before anything on an object is trusted.

An annotation names its author only because the API server refused all others. That is worth
nothing where the policies were deleted, weakened or replaced for a while, so the engine reads the
execution first, proves the guard second, and only then counts what it read: whoever took the
policies away to forge an approval and put them back has changed their uids or generations by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final, Literal, Protocol

from leeward import policies
from leeward.api.common import OPERATOR_USER, PREFIX, Condition
from leeward.api.conditions import Type
from leeward.api.execution import DRExecution
from leeward.api.task import DRTask
from leeward.engine.kube import ApiError, path_of
from leeward.engine.together import both, each

OFF: Final = "Off"
"""Snapshot of gates that were asked while the setting `guard` was Off."""
COMMANDS: Final = "leeward-commands.leeward.dev"
TASK_COMMANDS: Final = "leeward-task-commands.leeward.dev"
_PROBE_VALUE = "nobody-this-is-the-guards-probe"
_PLURALS = {
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
    "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
    "MutatingAdmissionPolicyBinding": "mutatingadmissionpolicybindings",
}
_CONVENIENCES = frozenset({"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"})
"""They fill in what a validating policy demands, so their absence weakens nothing (before
Kubernetes 1.36 they are not to be had); a changed one could write for others and is refused."""

Reason = Literal[
    "Proved",
    "GuardOff",
    "PolicyMissing",
    "PolicyDiffers",
    "PolicyUnreadable",
    "ProbePassed",
    "ProbeInconclusive",
]


class Cluster(Protocol):
    """The part of `engine.kube.Kube` that the guard uses."""

    async def get(self, path: str, *, whole: bool = True) -> dict[str, Any]:
        """The object at `path`, or its metadata alone; raises `ApiError`."""
        ...

    async def patch(
        self, path: str, body: dict[str, Any], *, dry_run: bool = False
    ) -> dict[str, Any]:
        """Merge-patch the object at `path`; raises `ApiError`."""
        ...


@dataclass(frozen=True, slots=True)
class Proof:
    """What the guard is worth at this moment."""

    ok: bool
    """Whether answers on the execution may be trusted."""
    reason: Reason
    """For the condition GuardActive."""
    message: str
    """For people: what is wrong and how to repair it."""
    snapshot: str
    """Digest of the uids and generations of all policies, for `status.gates[].guard`; empty
    where they could not be read, `Off` where the guard is switched off."""
    since: str = ""
    """When the youngest of the policies and bindings that refuse was created: what is on an object
    that is older may be from a time without it. Empty where nothing was proved."""

    @property
    def active(self) -> bool:
        """Whether the policies were proved, rather than trusted."""
        return self.ok and self.snapshot != OFF

    def condition(self, run: DRExecution, at: str) -> Condition:
        """The condition GuardActive of a run at that time (RFC 3339)."""
        return Condition(
            type=Type.GUARD_ACTIVE,
            status="True" if self.active else "False",
            reason=self.reason,
            message=self.message[:4096],
            last_transition_time=at,
            observed_generation=run.metadata.generation,
        )


@dataclass(frozen=True, slots=True)
class _Probe:
    """A command in another's name, which the policies must refuse."""

    path: str
    key: str
    policy: str
    """The one that must refuse it."""
    on: str
    """The object, for people."""


class Guard:
    """Proves that the live policies are those that this version ships, and that they bite."""

    def __init__(
        self,
        kube: Cluster,
        setting: Literal["Required", "Off"] = "Required",
        operator: str = OPERATOR_USER,
    ) -> None:
        self._kube = kube
        self._setting = setting
        self._shipped = policies.load(operator)
        self._repair = _repair(operator)
        self._seen: dict[str, dict[str, Any]] = {}
        """By path: a policy as it was read last. One of the same version is the same."""

    async def prove(self, read: DRExecution | DRTask, gate: str | None = None) -> Proof:
        """Prove the guard for what was `read` of an execution or a task just before.

        `gate` is the name of the gate that waits; without one the probe is another command. An
        answer counts only if the snapshot equals `status.gates[].guard`, the one of when the gate
        was asked; if not, the policies were edited or replaced meanwhile, and all answers on the
        object are void. Whatever is on the object before a gate's first proof is void too.

        Raises `ApiUnavailable` when the API server does not answer.
        """
        if self._setting == "Off":
            message = "the setting guard is Off: approvals are not proved to be unforged"
            return Proof(True, "GuardOff", message, OFF)
        # Side by side: what counts is that all of it comes after the execution was read.
        live, probed = await both(
            each(self._read, self._shipped, at_once=len(self._shipped)),
            self._probe(_probe_of(read, gate)),
        )
        for shipped, found in zip(self._shipped, live, strict=True):
            if problem := _problem(shipped, found, self._repair):
                return problem
        snapshot = _snapshot(self._shipped, live)
        if probed is not None:
            return replace(probed, snapshot=snapshot)
        message = "the admission policies are in force and as shipped"
        return Proof(True, "Proved", message, snapshot, _since(self._shipped, live))

    async def _read(self, shipped: Mapping[str, Any]) -> dict[str, Any] | ApiError:
        plural = _PLURALS[shipped["kind"]]
        name = shipped["metadata"]["name"]
        path = f"/apis/{shipped['apiVersion']}/{plural}/{name}"
        try:
            if (known := self._seen.get(path)) is not None:
                now = await self._kube.get(path, whole=False)
                if _version(now) == _version(known):
                    return known
            self._seen[path] = await self._kube.get(path)
        except ApiError as error:
            return error
        return self._seen[path]

    async def _probe(self, probe: _Probe) -> Proof | None:
        """Try, as a dry run, to give a command in another's name; None if it is refused right."""
        body = {"metadata": {"annotations": {probe.key: _PROBE_VALUE}}}
        try:
            await self._kube.patch(probe.path, body, dry_run=True)
        except ApiError as error:
            if error.status == 403 and _refused_by_identity(error.message, probe):
                return None
            message = (
                f"the guard's probe, a dry run of {probe.key} in another's name on {probe.on}, was "
                "refused for another reason than its author, which proves nothing: "
                f"{error.message}; {self._repair}"
            )
            return Proof(False, "ProbeInconclusive", message, "")
        message = (
            f"the API server would take {probe.key} in another's name on {probe.on}, although the "
            "policies are as shipped (a new policy takes a moment to come into force); if it stays "
            f"so, {self._repair}"
        )
        return Proof(False, "ProbePassed", message, "")


def _probe_of(read: DRExecution | DRTask, gate: str | None) -> _Probe:
    meta = read.metadata
    path = path_of(read.PLURAL, meta.namespace, meta.name)
    verb, policy = f"approve-{gate}" if gate else "pause", COMMANDS
    if isinstance(read, DRTask):
        verb, policy = "retry", TASK_COMMANDS
    return _Probe(path, PREFIX + verb, policy, f"{meta.namespace}/{meta.name}")


def _version(policy: Mapping[str, Any]) -> tuple[str, str]:
    return policy["metadata"]["uid"], policy["metadata"]["resourceVersion"]


def _refused_by_identity(message: str, probe: _Probe) -> bool:
    """Whether a refusal is that of the rule about the author, in the policy's own words."""
    policy = probe.policy
    return (
        f"ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request: "
        f"the value of {probe.key} must be your own user name" in message
    )


def _repair(operator: str) -> str:
    named = ""
    if operator != OPERATOR_USER:
        *_, namespace, account = operator.split(":")
        named = f" --operator-namespace {namespace} --service-account {account}"
    return (
        f"repair it with `leeward policies --write DIR{named}` of this version and `kubectl apply "
        "-f DIR`; gates are held until then"
    )


def _problem(
    shipped: Mapping[str, Any], live: dict[str, Any] | ApiError, repair: str
) -> Proof | None:
    what = f"{shipped['kind']} {shipped['metadata']['name']}"
    if isinstance(live, ApiError):
        if live.status == 404:
            if shipped["kind"] in _CONVENIENCES:
                return None
            return Proof(False, "PolicyMissing", f"{what} is missing; {repair}", "")
        message = f"{what} cannot be read: {live.message}; grant the operator get on it"
        return Proof(False, "PolicyUnreadable", message, "")
    if live["metadata"].get("deletionTimestamp"):
        return Proof(False, "PolicyMissing", f"{what} is being deleted; {repair}", "")
    if difference := _difference(shipped["spec"], live.get("spec"), "spec"):
        message = f"{what} is not what this version of Leeward ships: {difference}; {repair}"
        return Proof(False, "PolicyDiffers", message, "")
    return None


def _difference(shipped: Any, live: Any, path: str) -> str | None:
    """The first place in which two specs differ, or None.

    Nothing is ignored: the shipped files spell out the server's defaults, so that a field that
    only the live object has, such as a selector or a match condition, is a difference.
    """
    if isinstance(shipped, Mapping) and isinstance(live, Mapping):
        for key in [*shipped, *(k for k in live if k not in shipped)]:
            if key not in shipped:
                return f"{path}.{key} is added"
            if key not in live:
                return f"{path}.{key} is gone"
            if found := _difference(shipped[key], live[key], f"{path}.{key}"):
                return found
        return None
    if isinstance(shipped, list) and isinstance(live, list):
        if len(shipped) != len(live):
            return f"{path} has {len(live)} entries instead of {len(shipped)}"
        pairs = enumerate(zip(shipped, live, strict=True))
        return next((d for i, (a, b) in pairs if (d := _difference(a, b, f"{path}[{i}]"))), None)
    return None if shipped == live else f"{path} is changed"


def _snapshot(
    shipped: Sequence[Mapping[str, Any]], live: Sequence[dict[str, Any] | ApiError]
) -> str:
    lines = []
    for expected, found in zip(shipped, live, strict=True):
        state = "absent"
        if not isinstance(found, ApiError):
            state = f"{found['metadata']['uid']} {found['metadata'].get('generation', 0)}"
        lines.append(f"{expected['kind']} {expected['metadata']['name']} {state}")
    return "sha256:" + sha256("\n".join(lines).encode()).hexdigest()


def _since(shipped: Sequence[Mapping[str, Any]], live: Sequence[dict[str, Any] | ApiError]) -> str:
    return max(
        str(found["metadata"].get("creationTimestamp", ""))
        for expected, found in zip(shipped, live, strict=True)
        if expected["kind"] not in _CONVENIENCES and not isinstance(found, ApiError)
    )
