"""What somebody asked of the API server, from its audit log, and what he was allowed."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EVERYWHERE = ""
Right = tuple[str, str, str, str]
"""Namespace (empty: in all, or the cluster's), API group, resource with subresource, verb."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request for a resource."""

    verb: str
    group: str
    resource: str
    """With its subresource: `drexecutions/status`."""
    namespace: str
    name: str
    allowed: bool
    """By RBAC; an admission policy may have refused it all the same."""


def requests(log: Path, user: str) -> Iterator[Request]:
    """All requests for resources of `user`, rotated logs included.

    Args:
        log: the file that the API server writes now.
        user: name of the user, as in `system:serviceaccount:NAMESPACE:NAME`.

    """
    for file in sorted(log.parent.glob(f"{log.stem}*{log.suffix}")):
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                if user in line and line.endswith("\n"):
                    yield from _read(json.loads(line), user)


def _read(event: Mapping[str, Any], user: str) -> Iterator[Request]:
    subject = event.get("objectRef")
    # What is impersonated is another's right.
    if event["user"]["username"] != user or subject is None or "impersonatedUser" in event:
        return
    sub = subject.get("subresource")
    decision = event.get("annotations", {}).get("authorization.k8s.io/decision")
    yield Request(
        verb=event["verb"],
        group=subject.get("apiGroup", ""),
        resource=f"{subject['resource']}/{sub}" if sub else subject["resource"],
        namespace=subject.get("namespace", EVERYWHERE),
        name=subject.get("name", ""),
        allowed=decision != "forbid",
    )


def refused(log: Path, user: str) -> set[Request]:
    """What `user` asked for and had no right to, but for ConfigMaps.

    Those with launch settings are their tenants' to open to the operator, one by one.
    """
    return {one for one in requests(log, user) if not one.allowed and one.resource != "configmaps"}


def rights(objects: Iterable[Mapping[str, Any]], account: str, namespace: str) -> set[Right]:
    """Every right that bindings among `objects` give to a ServiceAccount, one by one."""
    found = list(objects)
    rules = {(o["kind"], o["metadata"]["name"]): o["rules"] for o in found if "rules" in o}
    given: set[Right] = set()
    for binding in found:
        subjects = [(s["name"], s.get("namespace")) for s in binding.get("subjects", [])]
        if (account, namespace) not in subjects:
            continue
        role = binding["roleRef"]
        where = binding["metadata"].get("namespace", EVERYWHERE)
        given |= {
            (where, group, resource, verb)
            for rule in rules[role["kind"], role["name"]]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }
    return given


def unused(given: Iterable[Right], asked: Iterable[Request]) -> set[Right]:
    """The rights by which none of the requests was allowed."""
    held, left = set(given), set(given)
    for one in {r for r in asked if r.allowed}:
        what = (one.group, one.resource, one.verb)
        # A right in all namespaces is not shown to be needed where a narrower one is enough.
        narrow = (one.namespace, *what)
        left.discard(narrow if narrow in held else (EVERYWHERE, *what))
    return left
