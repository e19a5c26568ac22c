"""Faults by rule: errors, lost answers, calls that hang, a Region that dies."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from leeward_sandbox.aws.backend import AwsError, Call
from leeward_sandbox.aws.clock import Clock
from leeward_sandbox.aws.wire import HttpResponse

_POLL_SECONDS = 0.02
_DEFAULT_STATUS = {
    "AccessDenied": 403,
    "AccessDeniedException": 403,
    "InternalError": 500,
    "InternalFailure": 500,
    "InternalServerException": 500,
    "RequestLimitExceeded": 503,
    "ServiceUnavailable": 503,
    "ServiceUnavailableException": 503,
    "SlowDown": 503,
    "TooManyRequestsException": 429,
}


class Rule(BaseModel):
    """Which calls a fault hits, and what it does to them.

    `params` is a subset: each path (members joined by dots, lists looked through) must lead to
    the value. `nth` is the number of the one matching call that is hit, from 1; `times` how many
    matching calls are; with `every`, only each such one is. A rule with none of them hits every
    matching call.

    An effect `before` keeps the call from the backend (an error, a dropped connection, a page that
    something between answers with) or only makes it wait (hold, delay); `after` the call was done,
    whatever came of it, and its answer is replaced, lost or late.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: str | None = None
    operation: str | None = None
    account: str | None = None
    region: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    nth: int | None = Field(default=None, ge=1)
    times: int | None = Field(default=None, ge=1)
    every: int = Field(default=1, ge=1)
    action: Literal["error", "drop", "page", "hold", "delay"]
    when: Literal["before", "after"] = "before"
    code: str = "InternalFailure"
    status: int | None = Field(default=None, ge=200, le=599)
    message: str | None = None
    body: str = "<!doctype html><html><body>Sign in to this network</body></html>"
    headers: dict[str, str] = Field(default_factory=lambda: {"Content-Type": "text/html"})
    seconds: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _sensible(self) -> Rule:
        if self.nth is not None and self.times is not None:
            raise ValueError("a rule has nth or times, not both")
        if self.nth is not None and self.every != 1:
            raise ValueError("a rule has nth or every, not both")
        if self.action == "error" and (self.status or 400) < 400:
            raise ValueError("an error's status is 400 or more")
        if self.action == "delay" and self.seconds == 0:
            raise ValueError("a delay needs its seconds (virtual)")
        return self

    def matches(self, call: Call) -> bool:
        """Whether the call is one that the rule is about."""
        for name in ("service", "operation", "account", "region"):
            wanted = getattr(self, name)
            if wanted is not None and wanted != getattr(call, name):
                return False
        return all(value in _at(call.params, path) for path, value in self.params.items())


class AnswerDropped(Exception):  # noqa: N818 - it is no error, the connection is to be closed
    """The rule wants the connection closed without an answer."""


class AnswerReplaced(Exception):  # noqa: N818 - it is no error, something else answers
    """The rule wants what a proxy or portal in AWS's place answers: no request id, any body."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(response.status)
        self.response = response


@dataclass
class _State:
    rule: Rule
    seen: int = 0
    hits: int = 0
    holding: int = 0
    generation: int = 0
    removed: bool = field(default=False)


class Faults:
    """The rules in force; safe to share between threads.

    Args:
        clock: for delays, which are in virtual time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._rules: dict[str, _State] = {}
        self._number = 0
        self._closed = False

    def add(self, rule: Rule) -> str:
        """Put a rule in force and return its id."""
        with self._changed:
            self._number += 1
            identifier = f"fault-{self._number}"
            self._rules[identifier] = _State(rule)
            return identifier

    def remove(self, identifier: str) -> None:
        """Take a rule out of force and let go what it holds; KeyError if there is none."""
        with self._changed:
            self._rules.pop(identifier).removed = True
            self._changed.notify_all()

    def release(self, identifier: str) -> int:
        """Let the held calls of a rule proceed and return their number; later ones are held."""
        with self._changed:
            state = self._rules[identifier]
            state.generation += 1
            self._changed.notify_all()
            return state.holding

    def close(self) -> None:
        """Let everything go: the sandbox ends."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def listed(self) -> list[dict[str, Any]]:
        """The rules with their ids, `seen` (matching calls), `hits` and `holding` (or delaying)."""
        with self._changed:
            return [
                {
                    "id": identifier,
                    **state.rule.model_dump(exclude_defaults=True),
                    "seen": state.seen,
                    "hits": state.hits,
                    "holding": state.holding,
                }
                for identifier, state in self._rules.items()
            ]

    def hitting(self, call: Call) -> list[str]:
        """Count the call against every rule and return the ids of those that hit it."""
        hitting: list[str] = []
        with self._changed:
            for identifier, state in self._rules.items():
                rule = state.rule
                if not rule.matches(call):
                    continue
                state.seen += 1
                spent = rule.times is not None and state.hits >= rule.times
                if spent or (rule.nth is not None and rule.nth != state.seen):
                    continue
                if state.seen % rule.every:
                    continue
                state.hits += 1
                hitting.append(identifier)
        return hitting

    def apply(self, hitting: list[str], when: Literal["before", "after"], call: Call) -> None:
        """Do what the rules want at this moment; waits first, then an error, a page or a drop.

        Raises:
            AwsError: the rule's error.
            AnswerDropped: the connection is to be closed.
            AnswerReplaced: the rule's body is the answer.
        """
        with self._changed:
            states = [self._rules[one] for one in hitting if one in self._rules]
        states = [state for state in states if state.rule.when == when]
        for state in states:
            if state.rule.action == "hold":
                self._hold(state)
            elif state.rule.action == "delay":
                self._delay(state)
        for state in states:
            rule = state.rule
            if rule.action == "drop":
                raise AnswerDropped
            if rule.action == "page":
                page = rule.body.encode()
                raise AnswerReplaced(
                    HttpResponse(rule.status or 200, tuple(rule.headers.items()), page)
                )
            if rule.action == "error":
                status = rule.status or _DEFAULT_STATUS.get(rule.code, 400)
                message = rule.message or (
                    f"A fault rule of the sandbox answers {call.service} {call.operation} in"
                    f" account {call.account}, Region {call.region}, with {rule.code}"
                )
                raise AwsError(rule.code, message, status=status)

    def _hold(self, state: _State) -> None:
        with self._changed:
            generation = state.generation
            state.holding += 1
            self._changed.wait_for(
                lambda: self._closed or state.removed or state.generation != generation
            )
            state.holding -= 1

    def _delay(self, state: _State) -> None:
        begun = self._clock.now()
        with self._changed:
            state.holding += 1
            while not (self._closed or state.removed):
                if (self._clock.now() - begun).total_seconds() >= state.rule.seconds:
                    break
                self._changed.wait(_POLL_SECONDS)
            state.holding -= 1


def _at(params: Any, path: str) -> list[Any]:
    values = [params]
    for name in path.split("."):
        flat = [
            item for value in values for item in (value if isinstance(value, list) else [value])
        ]
        values = [item[name] for item in flat if isinstance(item, dict) and name in item]
    return values + [item for value in values if isinstance(value, list) for item in value]
