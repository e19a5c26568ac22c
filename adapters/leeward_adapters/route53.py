"""Amazon Route 53: switching record sets of a hosted zone to the other side."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from botocore.exceptions import ClientError

from leeward_adapters.base import (
    UNDO,
    ActionTraits,
    Finding,
    Observed,
    Phase,
    PhaseTraits,
    Scope,
    Seen,
    State,
    Step,
    Target,
)

SWITCH: Final = "switch"
_MOST_ELEMENTS: Final = 1000
_MOST_CHARACTERS: Final = 32_000
"""Limits of one change batch; an UPSERT counts twice (Route 53 Developer Guide, Quotas)."""
_MOST_PRE_STATE: Final = 8192
"""What a DRTask keeps of one resource's former state."""

RecordSet = dict[str, Any]
"""A ResourceRecordSet as Route 53 gives and takes it."""


@dataclass(frozen=True, slots=True)
class Key:
    """What tells a record set from all others of its zone."""

    name: str
    """In lower case, with the final dot, `*` as Route 53 writes it."""
    type: str
    set_identifier: str = ""

    @classmethod
    def of(cls, name: str, type_: str, set_identifier: str | None) -> Key:
        """The key, however the name is written."""
        return cls(_dns(name), type_, set_identifier or "")

    def __str__(self) -> str:
        return " ".join(part for part in (self.name, self.type, self.set_identifier) if part)


@dataclass(frozen=True, slots=True)
class _Problem:
    reason: str
    message: str


class Route53:
    """Record sets of one hosted zone, switched together by one transactional change batch.

    Targets have the id `NAME TYPE` or `NAME TYPE SETIDENTIFIER`, name with its final dot.
    `settings["route53"]` gives the zone and for each record what it is on either side. Only what
    is given there changes; the rest of the record set (health check, routing policy, TTL, weight)
    stays as Route 53 has it. `Activate` is done when every set is as wanted and the change is
    INSYNC on all of Route 53's servers; resolvers keep the old answer for its TTL.

    A Test is refused: a drill never touches production's names. The calls go to Route 53's
    control plane, which is in us-east-1; when that Region is the one that fails, use a switch
    that needs no control plane.
    """

    kind: ClassVar[str] = "route53"
    phases: ClassVar[Mapping[Phase, PhaseTraits]] = {Phase.ACTIVATE: PhaseTraits(inert=False)}
    actions: ClassVar[Mapping[str, ActionTraits]] = {SWITCH: ActionTraits(repeatable=True)}
    permissions: ClassVar[Mapping[str, frozenset[str]]] = {
        "Read": frozenset({"route53:ListResourceRecordSets"}),
        "Activate": frozenset({"route53:ChangeResourceRecordSets", "route53:GetChange"}),
    }

    def readiness(self, scope: Scope, targets: Sequence[Target]) -> Sequence[Finding]:
        """Blocking for record sets that their zone does not have, and for missing zones.

        A target is a record set, its zone being the attribute `hostedZoneId` or the end of its
        ARN; or a whole zone, its id without a type.
        """
        findings: list[Finding] = []
        for zone, group in _by_zone(targets).items():
            keys = {t.id: _parse(t.id) for t in group if " " in t.id}
            try:
                found = _record_sets(scope, zone, keys.values())
                if not keys:
                    scope.client("route53").list_resource_record_sets(
                        HostedZoneId=zone, MaxItems="1"
                    )
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "NoSuchHostedZone":
                    raise
                message = (
                    f"account {scope.account_id} has no hosted zone {zone}: mend the plan, or name "
                    "the account that owns the zone"
                )
                findings += [Finding("Blocking", "HostedZoneMissing", message, t.id) for t in group]
                continue
            findings += [
                Finding("Blocking", "RecordSetMissing", _missing(key, zone, scope), target)
                for target, key in keys.items()
                if key not in found
            ]
        return findings

    def observe(self, scope: Scope, step: Step) -> Observed:
        """Whether each record set is as wanted, and the change known to all servers.

        Equal and never asked for by this attempt: done (somebody else switched it). Equal and
        asked for, but the answer was lost: asked for again, since only the id of a change tells
        whether it is INSYNC, and an UPSERT of the same set changes nothing.
        """
        if step.drill:
            refused = Seen(
                State.REFUSED,
                reason="NotInATest",
                message="a Test never touches production's DNS names",
            )
            return Observed({t.id: refused for t in step.targets})
        look = _look(scope, step)
        if look.problems:
            return Observed({t.id: _refused(_parse(t.id), look.problems) for t in step.targets})
        statuses: dict[str, str] = {}
        return Observed({t.id: self._seen(scope, step, t, look, statuses) for t in step.targets})

    def act(self, scope: Scope, step: Step, action: str, call: str, batch: Sequence[Target]) -> str:
        """One change batch for the sets that still differ; answers the change's id.

        Where none differs, all are sent again, for the sake of the id.
        """
        zone = step.settings["route53"]["hostedZoneId"]
        records = _records(step)
        keys = [_parse(t.id) for t in batch]
        found = _record_sets(scope, zone, keys)
        wanted = {key: _wanted(found[key], _side(step, records[key])) for key in keys}
        differing = [k for k in keys if _canonical(wanted[k]) != _canonical(found[k])]
        return _upsert(scope, zone, [wanted[k] for k in differing or keys], f"Leeward {call}")

    def verify(self, scope: Scope, step: Step) -> Observed:
        """INSYNC is the proof; observe() has asked for it."""
        return self.observe(scope, step)

    def undo(self, scope: Scope, step: Step, call: str, batch: Sequence[Target]) -> str:
        """UPSERT the record sets as they were; answers the change's id."""
        old = [json.loads(step.pre_states[t.id]) for t in batch if step.pre_states.get(t.id)]
        if not old:
            return ""
        zone = step.settings["route53"]["hostedZoneId"]
        return _upsert(scope, zone, old, f"Leeward {call} undo")

    def _seen(
        self, scope: Scope, step: Step, target: Target, look: _Look, statuses: dict[str, str]
    ) -> Seen:
        key = _parse(target.id)
        current = look.found[key]
        call = step.calls.get(target.id)
        if call is not None and call.action == UNDO and call.reference:
            seen = _of_change(scope, call.reference, statuses)
            if seen.state is State.RUNNING:
                return seen
        if _canonical(look.wanted[key]) == _canonical(current):
            if call is None:
                return Seen(State.DONE, reason="Adopted", message="it was as wanted already")
            if call.reference:
                return _of_change(scope, call.reference, statuses)
        return Seen(
            State.NEEDED,
            action=SWITCH,
            message=f"{target.id} is to be switched",
            pre_state=json.dumps(current, sort_keys=True),
        )


@dataclass(frozen=True, slots=True)
class _Look:
    """What the zone has, and what the step wants of it."""

    found: Mapping[Key, RecordSet]
    wanted: Mapping[Key, RecordSet]
    problems: Mapping[Key, _Problem]


def _look(scope: Scope, step: Step) -> _Look:
    zone = step.settings["route53"]["hostedZoneId"]
    records = _records(step)
    keys = [_parse(target.id) for target in step.targets]
    found = _record_sets(scope, zone, keys)
    wanted: dict[Key, RecordSet] = {}
    problems: dict[Key, _Problem] = {}
    for key in keys:
        judged = _judge(scope, step, key, records, found, zone)
        if isinstance(judged, _Problem):
            problems[key] = judged
        else:
            wanted[key] = judged
    large = _too_large(wanted.values(), zone, scope)
    if large is not None:
        problems = dict.fromkeys(keys, large) | problems
    return _Look(found, wanted, problems)


def _refused(key: Key, problems: Mapping[Key, _Problem]) -> Seen:
    """Sets that change together are refused together: half a switch is worse than none."""
    if key in problems:
        return Seen(State.REFUSED, reason=problems[key].reason, message=problems[key].message)
    other, problem = next(iter(problems.items()))
    return Seen(
        State.REFUSED,
        reason="RefusedTogether",
        message=f"{key} changes only together with {other}, for which: {problem.message}",
    )


def _judge(
    scope: Scope,
    step: Step,
    key: Key,
    records: Mapping[Key, Mapping[str, Any]],
    found: Mapping[Key, RecordSet],
    zone: str,
) -> RecordSet | _Problem:
    """The wanted record set, or why it cannot be made."""
    where = f"hosted zone {zone}, account {scope.account_id}"
    record = records.get(key)
    side = _side(step, record) if record is not None else None
    if side is None:
        name = "primary" if step.operation == "Failback" else "recovery"
        return _Problem("NoSuchSide", f"the plan does not say what {key} is on its {name} side")
    current = found.get(key)
    if current is None:
        return _Problem("RecordSetMissing", _missing(key, zone, scope))
    if "TrafficPolicyInstanceId" in current:
        return _Problem(
            "TrafficPolicy",
            f"{key} in {where} belongs to a traffic policy: change the policy instead",
        )
    if side.get("weight") is not None and "Weight" not in current:
        return _Problem(
            "NotWeighted",
            f"{key} in {where} is no weighted record set, so it takes no weight: give values or "
            "alias, or make it weighted (that means deleting and creating it)",
        )
    if side.get("values") and "TTL" not in current and side.get("ttl") is None:
        return _Problem("TtlMissing", f"{key} in {where} is an alias without TTL: give ttl too")
    if len(json.dumps(current)) > _MOST_PRE_STATE:
        return _Problem(
            "RecordSetTooLarge",
            f"{key} in {where} is larger than what can be kept for undoing the switch "
            f"({_MOST_PRE_STATE} characters as JSON)",
        )
    return _wanted(current, side)


def _wanted(current: RecordSet, side: Mapping[str, Any] | None) -> RecordSet:
    """The full record set, with nothing changed but what the side gives."""
    wanted = dict(current)
    if side is None:
        return wanted
    if side.get("values"):
        wanted.pop("AliasTarget", None)
        wanted["ResourceRecords"] = [{"Value": value} for value in side["values"]]
    if side.get("alias"):
        for key in ("ResourceRecords", "TTL"):
            wanted.pop(key, None)
        wanted["AliasTarget"] = {
            "HostedZoneId": side["alias"]["hostedZoneId"],
            "DNSName": side["alias"]["dnsName"],
            "EvaluateTargetHealth": side["alias"].get("evaluateTargetHealth", False),
        }
    if side.get("weight") is not None:
        wanted["Weight"] = side["weight"]
    if side.get("ttl") is not None and "AliasTarget" not in wanted:
        wanted["TTL"] = side["ttl"]
    return wanted


def _canonical(record_set: RecordSet) -> RecordSet:
    """The set in the form in which equal ones are equal."""
    same = dict(record_set) | {"Name": _dns(record_set["Name"])}
    if "ResourceRecords" in same:
        same["ResourceRecords"] = sorted(r["Value"] for r in same["ResourceRecords"])
    if "AliasTarget" in same:
        alias = same["AliasTarget"]
        same["AliasTarget"] = dict(alias) | {"DNSName": _dns(alias["DNSName"])}
    return same


def _record_sets(scope: Scope, zone: str, keys: Iterable[Key]) -> dict[Key, RecordSet]:
    """The record sets of those keys that the zone has.

    A listing starts at a name and goes on in the zone's order, so that one call mostly answers
    for many keys; each key that did not turn up yet begins another.
    """
    route53 = scope.client("route53")
    seen: dict[Key, RecordSet] = {}
    # Route 53 sorts by labels from the right.
    wanted = sorted(set(keys), key=lambda key: (key.name.split(".")[::-1], str(key)))
    for key in wanted:
        if key in seen:
            continue
        answer = route53.list_resource_record_sets(
            HostedZoneId=zone, StartRecordName=key.name, StartRecordType=key.type, MaxItems="300"
        )
        for found in answer["ResourceRecordSets"]:
            seen[Key.of(found["Name"], found["Type"], found.get("SetIdentifier"))] = found
    return {key: seen[key] for key in wanted if key in seen}


def _upsert(scope: Scope, zone: str, sets: Sequence[RecordSet], comment: str) -> str:
    answer = scope.client("route53").change_resource_record_sets(
        HostedZoneId=zone,
        ChangeBatch={
            "Comment": comment[:256],
            "Changes": [{"Action": "UPSERT", "ResourceRecordSet": wanted} for wanted in sets],
        },
    )
    return str(answer["ChangeInfo"]["Id"])


def _of_change(scope: Scope, change: str, asked: dict[str, str]) -> Seen:
    if change not in asked:
        answer = scope.client("route53").get_change(Id=change.removeprefix("/change/"))
        asked[change] = answer["ChangeInfo"]["Status"]
    if asked[change] == "INSYNC":
        message = f"change {change} is INSYNC; resolvers keep the old answer for its TTL"
        return Seen(State.DONE, message=message, reference=change)
    return Seen(State.RUNNING, message=f"change {change} is {asked[change]}", reference=change)


def _too_large(sets: Iterable[RecordSet], zone: str, scope: Scope) -> _Problem | None:
    values = [record["Value"] for one in sets for record in one.get("ResourceRecords", [])]
    # An UPSERT counts twice.
    elements, characters = 2 * len(values), 2 * sum(len(value) for value in values)
    if elements <= _MOST_ELEMENTS and characters <= _MOST_CHARACTERS:
        return None
    return _Problem(
        "ChangeBatchTooLarge",
        f"the task's record sets in hosted zone {zone}, account {scope.account_id}, come to "
        f"{elements} elements and {characters} characters; Route 53 takes {_MOST_ELEMENTS} and "
        f"{_MOST_CHARACTERS} in one transaction (an UPSERT counts twice): make two tasks of it",
    )


def _records(step: Step) -> dict[Key, Mapping[str, Any]]:
    return {
        Key.of(r["name"], r["type"], r.get("setIdentifier")): r
        for r in step.settings["route53"]["records"]
    }


def _side(step: Step, record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    side: Mapping[str, Any] | None = record.get(
        "primary" if step.operation == "Failback" else "recovery"
    )
    return side


def _parse(target: str) -> Key:
    name, _, rest = target.partition(" ")
    type_, _, identifier = rest.partition(" ")
    return Key.of(name, type_, identifier)


def _dns(name: str) -> str:
    """A DNS name as Route 53 writes it, as far as names are compared here."""
    return name.lower().rstrip(".").replace("*", r"\052") + "."


def _by_zone(targets: Sequence[Target]) -> dict[str, list[Target]]:
    zones: dict[str, list[Target]] = {}
    for target in targets:
        zone = target.attributes.get("hostedZoneId") or target.arn.rpartition("/")[2]
        zones.setdefault(zone, []).append(target)
    return zones


def _missing(key: Key, zone: str, scope: Scope) -> str:
    return (
        f"hosted zone {zone} in account {scope.account_id} has no record set {key}: create it as "
        "it is on the primary side (a switch changes sets, it makes none), or mend the plan"
    )
