"""How an adapter reaches AWS: one account in one Region, and what was asked there lately."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
V = TypeVar("V")


class SharedAnswers(Protocol):
    """What AWS said lately to anybody who reaches an account and Region by one role.

    `since`: moment (`Scope.now`) before which a call is too old; None: now. No answer is used that
    is older than the newest call that changed something there (`moved_by`: of that service alone).
    """

    def ask(self, key: Hashable, since: float | None, call: Callable[[], T]) -> T:
        """`call()`, or its answer to a call that began at `since` or later; `key` names it."""
        ...

    def look_up(
        self,
        key: Hashable,
        ids: Iterable[Hashable],
        since: float | None,
        call: Callable[[Sequence[Any]], Mapping[Any, V]],
        moved_by: str | None = None,
    ) -> dict[Any, V]:
        """The same for each of some ids; `call` asks AWS for some of them, also for others'."""
        ...

    def note(self, key: Hashable, value: object, began: float) -> None:
        """Keep what a call of one's own found that began at `began`, for `noted`."""
        ...

    def noted(self, key: Hashable, since: float) -> Any | None:
        """What was noted last, if its call began at `since` or later; else None."""
        ...


class Scope(Protocol):
    """One account in one Region, through one role."""

    @property
    def account_id(self) -> str:
        """AWS account id."""
        ...

    @property
    def region(self) -> str:
        """Region whose endpoints are called."""
        ...

    @property
    def partition(self) -> str:
        """`aws`, `aws-us-gov`, …"""
        ...

    @property
    def views(self) -> SharedAnswers:
        """Answers that everybody who reaches the account and Region by this role shares.

        For what many tasks ask while they wait. What an action must not be built on unless it is
        seen right before (a launch template's default) is asked of the client.
        """
        ...

    def client(self, service: str, *, once: bool = False, region: str | None = None) -> Any:
        """A boto3 client, cached and safe to share between threads.

        `once=True` gives one whose calls are never repeated by botocore: for actions that are
        not repeatable. Such an action is in doubt once a call of such a client was sent, so all
        that it sends by others must be absolute, as launch settings are. `region` asks for another
        Region than the scope's.
        """
        ...

    def now(self) -> float:
        """The moment, by the clock of `Step.since`."""
        ...

    def changed(self, service: str) -> float:
        """When this process last changed something there by calls of a service, by `now`."""
        ...

    def settings_changed(self) -> float:
        """When this process last changed launch settings in the account and Region, by `now`."""
        ...

    def each(self, call: Callable[[T], Any], items: Iterable[T]) -> None:
        """`call` for every item, some at once, as many as are right for the account and Region.

        After an error no more are begun; the first one, in the order of the items, is raised.
        """
        ...

    def at(self, region: str) -> Scope:
        """The same account through the same role, in another Region."""
        ...

    def cached(self, key: Hashable, seconds: float, make: Callable[[], T]) -> T:
        """`make()`, or its answer for this account and Region if younger than `seconds`.

        For what changes rarely (quotas) or never (the log of an ended job). Errors are not kept.
        """
        ...

    def forget(self, keys: Iterable[Hashable]) -> None:
        """Drop what `cached` keeps under these keys."""
        ...
