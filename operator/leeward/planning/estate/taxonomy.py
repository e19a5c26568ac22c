"""The tags by which people enrol a resource, and what is wrong with them (TRS T.2, T.6, U.9).

Keys and values are case-sensitive. A problem in any tag of an enrolled resource, an optional one
included, keeps it out of recovery: what is misspelt is not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

CUSTOMER: Final = "Customer"
ENVIRONMENT: Final = "Environment"
APPLICATION: Final = "Application"
ENABLED: Final = "dr:enabled"
PRIORITY: Final = "dr:priority"
WAVE: Final = "dr:wave"
STRATEGY: Final = "dr:recovery-strategy"
RTO: Final = "dr:rto-target"
RPO: Final = "dr:rpo-target"
SHARED_BY: Final = "dr:shared-by"
FAILOVER_MODE: Final = "dr:failover-mode"

PRIORITIES: Final = ("critical", "high", "medium", "low")
STRATEGIES: Final = ("drs", "eks-dns", "sql-ag", "managed-service")
ACTIVE_ACTIVE: Final = "active-active"
FAILOVER_MODES: Final = (ACTIVE_ACTIVE, "active-passive")
SHARED_CUSTOMER: Final = "shared"
"""Value of `Customer` of a service that applications of several customers use."""
WAVES: Final = frozenset(range(1, 6))

REMEDIES: Final[Mapping[str, str]] = {
    "MissingCustomer": "set the tag Customer to the customer that the resource belongs to",
    "MissingEnvironment": "set the tag Environment, such as Environment=Production",
    "MissingEnabled": "set the tag dr:enabled=true to recover the resource, dr:enabled=false to "
    "leave it out",
    "InvalidEnabled": "set the tag to dr:enabled=true or dr:enabled=false, in lower case",
    "MissingPriority": "set the tag dr:priority to one of {priorities}",
    "InvalidPriority": "set the tag dr:priority to one of {priorities}, in this very spelling",
    "MissingWave": "set the tag dr:wave to the number of a wave of the plan, such as dr:wave=1",
    "InvalidWave": "set the tag dr:wave to the number of a wave of the plan, such as dr:wave=1",
    "MissingRecoveryStrategy": "set the tag dr:recovery-strategy to one of {strategies}",
    "InvalidRecoveryStrategy": "set the tag dr:recovery-strategy to one of {strategies}, in this "
    "very spelling",
    "InvalidRtoTarget": "set the tag dr:rto-target to whole minutes, such as dr:rto-target=30, or "
    "remove it",
    "InvalidRpoTarget": "set the tag dr:rpo-target to whole minutes, such as dr:rpo-target=15, or "
    "remove it",
    "InvalidSharedBy": "set the tag dr:shared-by to names of applications with a comma or a plus "
    "sign between them, such as dr:shared-by=orders+billing, or remove it",
    "InvalidFailoverMode": "set the tag dr:failover-mode to active-active or active-passive, or "
    "remove it",
    "StrategyMismatch": "set the tag dr:recovery-strategy to what recovers this kind of resource; "
    "drs is for EC2 instances alone",
    "NoSourceServer": "install the AWS Replication Agent on the instance, or set the tag "
    "dr:enabled=false",
    "DuplicateSourceServer": "disconnect and delete the DRS source servers that no longer belong "
    "to the instance",
    "NoWave": "set the tag dr:wave to the number of a wave of the plan, or add such a wave to it",
}
"""What to do, by reason, with the configured values in braces. A problem of one resource may say
it more closely."""


@dataclass(frozen=True, slots=True)
class Words:
    """Values that tags may have: those of the taxonomy, and what the operator's settings add."""

    priorities: tuple[str, ...] = PRIORITIES
    """The most urgent first."""
    strategies: tuple[str, ...] = STRATEGIES

    def remedy(self, reason: str) -> str:
        """What to do about problems of that kind; empty: nothing is known."""
        return REMEDIES.get(reason, "").format(
            priorities=", ".join(self.priorities), strategies=", ".join(self.strategies)
        )


TAXONOMY: Final = Words()
"""The values of the taxonomy alone."""


@dataclass(frozen=True, slots=True)
class TagProblem:
    """Something wrong with a resource's tags."""

    reason: str
    """CamelCase word."""
    tag: str
    """Key of the tag."""
    message: str
    """What is wrong; names the tag and its value."""
    remedy: str
    """What to set."""

    def line(self) -> str:
        """`REASON: MESSAGE; REMEDY`, as an inventory keeps it."""
        return f"{self.reason}: {self.message}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the tags of a resource say."""

    enrolled: bool | None
    """True or False by `dr:enabled`; None: the tag is missing or says neither."""
    problems: tuple[TagProblem, ...] = ()
    priority: str | None = None
    wave: int | None = None
    strategy: str | None = None
    rto: timedelta | None = None
    rpo: timedelta | None = None
    shared_by: tuple[str, ...] = ()
    """Applications that use it."""
    active_active: bool = False
    """Whether it serves from both Regions at once, so that nothing is to be recovered."""


def problem(reason: str, tag: str, message: str, words: Words = TAXONOMY) -> TagProblem:
    """A problem with the remedy that its reason has."""
    return TagProblem(reason, tag, message, words.remedy(reason))


def _one_of(words: Iterable[str]) -> Callable[[str], bool]:
    allowed = frozenset(words)
    return lambda value: value in allowed


def _positive(value: str) -> bool:
    return re.fullmatch(r"[1-9][0-9]{0,5}", value, re.ASCII) is not None


@dataclass(frozen=True, slots=True)
class _Rule:
    """What is asked of one tag."""

    tag: str
    word: str
    """Of the reasons `MissingWORD` and `InvalidWORD`."""
    fits: Callable[[str], bool]
    wanted: str
    mandatory: bool = True

    def check(self, tags: Mapping[str, str], words: Words) -> TagProblem | None:
        value = tags.get(self.tag)
        if value is None:
            if not self.mandatory:
                return None
            missing = f"the tag {self.tag} is missing"
            return problem(f"Missing{self.word}", self.tag, missing, words)
        if self.fits(value):
            return None
        wrong = f'the tag {self.tag} is "{value}" and not {self.wanted}'
        return problem(f"Invalid{self.word}", self.tag, wrong, words)


_ENROLMENT: Final = _Rule(ENABLED, "Enabled", _one_of(("true", "false")), "true or false")


def _rules(waves: Collection[int], words: Words, *, recovered: bool) -> tuple[_Rule, ...]:
    """The rules for enrolled resources; what is not `recovered` needs no place in the order."""
    numbers = [str(number) for number in sorted(waves)]
    listed = (
        (PRIORITY, "Priority", words.priorities),
        (WAVE, "Wave", numbers),
        (STRATEGY, "RecoveryStrategy", words.strategies),
    )
    return (
        *(
            _Rule(tag, word, _one_of(values), f"one of {', '.join(values)}", recovered)
            for tag, word, values in listed
        ),
        _Rule(SHARED_BY, "SharedBy", lambda v: bool(_names(v)), "names of applications", False),
        _Rule(
            FAILOVER_MODE,
            "FailoverMode",
            _one_of(FAILOVER_MODES),
            f"one of {', '.join(FAILOVER_MODES)}",
            mandatory=False,
        ),
        _Rule(RTO, "RtoTarget", _positive, "a positive whole number of minutes", mandatory=False),
        _Rule(RPO, "RpoTarget", _positive, "a positive whole number of minutes", mandatory=False),
    )


def _scoping(tags: Mapping[str, str]) -> list[TagProblem]:
    found = []
    for tag in (CUSTOMER, ENVIRONMENT):
        if not tags.get(tag):
            how = "empty" if tag in tags else "missing"
            found.append(problem(f"Missing{tag}", tag, f"the tag {tag} is {how}"))
    return found


def judge(
    tags: Mapping[str, str], waves: Collection[int] = WAVES, words: Words = TAXONOMY
) -> Verdict:
    """What the tags say, and every problem that they have.

    `waves` are the numbers that `dr:wave` may have: 1 to 5 by the taxonomy, and whatever else
    the plan numbers a wave; `words` the values of the others. Values that are wrong are left out
    of the verdict.
    """
    problems = _scoping(tags)
    if enrolment := _ENROLMENT.check(tags, words):
        return Verdict(enrolled=None, problems=(*problems, enrolment))
    if tags[ENABLED] == "false":
        return Verdict(enrolled=False, problems=tuple(problems))
    active_active = tags.get(FAILOVER_MODE) == ACTIVE_ACTIVE
    rules = _rules(waves, words, recovered=not active_active)
    found = [wrong for rule in rules if (wrong := rule.check(tags, words))]
    wrong_tags = {wrong.tag for wrong in found}
    right = {tag: value for tag, value in tags.items() if tag not in wrong_tags}
    return Verdict(
        enrolled=True,
        problems=(*problems, *found),
        priority=right.get(PRIORITY),
        wave=int(right[WAVE]) if WAVE in right else None,
        strategy=right.get(STRATEGY),
        rto=minutes(right.get(RTO)),
        rpo=minutes(right.get(RPO)),
        shared_by=shared_by(right),
        active_active=active_active,
    )


def shared_by(tags: Mapping[str, str]) -> tuple[str, ...]:
    """The applications that use a shared service (`dr:shared-by`); empty: it is not shared.

    The plus sign is for services that take no comma in the value of a tag.
    """
    return _names(tags.get(SHARED_BY, ""))


def _names(value: str) -> tuple[str, ...]:
    """Names between commas or plus signs; none at all where one is empty."""
    names = tuple(part.strip() for part in re.split(r"[,+]", value))
    return names if all(names) else ()


def minutes(value: str | None) -> timedelta | None:
    """The value of `dr:rto-target` or `dr:rpo-target`; None when it is absent or malformed."""
    return timedelta(minutes=int(value)) if value is not None and _positive(value) else None
