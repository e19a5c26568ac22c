"""What happens at each call of every client: who may send it, and what is noted of it.

botocore tells its event handlers of each call, and of each attempt to send it. Here that feeds the
circuit breakers, the rate limits, the moments of change that the shared answers depend on, and the
records of what was sent that changes something.

What comes of a call is what came of the last attempt of it that AWS took up: a further one that is
held back does not unsend it, and one that AWS refused for its rate was as good as not sent.

Of a call that changes something, doubt outlives what comes after it: an attempt without an answer
may still arrive when a later one was refused. A success ends it. What the call asks for is there
then, and an attempt that arrives late asks for the same once more.

What is not AWS's answer is no answer, and what botocore cannot read is none either: both come to a
`BadAnswerError`, since nothing that it would read from them is true.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ProxyConnectionError,
)
from botocore.exceptions import (
    ConnectionError as NoConnectionError,
)

from leeward_adapters.bad_answers import BadAnswerError, why_bad
from leeward_adapters.breaker import (
    Breaker,
    Bucket,
    NothingChangedError,
    NotSentError,
    PartlySentError,
    RateLimitError,
)
from leeward_adapters.calls import Attempt, Circuit, Observe, Outcome, ignore, outcome_of
from leeward_adapters.errors import NEVER_LEFT, THROTTLES, leaves_doubt
from leeward_adapters.observers import isolated
from leeward_adapters.views import Clock

PATIENCE: Final = 5.0
"""Seconds that a call waits for its turn at most."""
_READS: Final = ("Describe", "Get", "List", "Search", "Simulate", "BatchGet", "AssumeRole")
_TRIALS: Final = frozenset({"Publish", "PutEvents", "PutMetricData"})
"""Calls that may try whether AWS is back although they change something: the operator asks their
services nothing else, and what they say twice carries an id that says so."""
_UNSEEN: Final = frozenset(
    {"UpdateLaunchConfiguration", "CreateLaunchTemplateVersion", "ModifyLaunchTemplate"}
)
"""Operations that change launch settings, and nothing else of what is shared."""


Unread = Callable[[str, str], BadAnswerError]
"""Makes the error of an operation whose answer is not AWS's, for a reason."""
_ONCE: Final = "leeward-once"
"""In the context that botocore keeps of a call: that it must not be sent twice."""
_CAME_OF: Final = "leeward-came-of"
"""In the context that botocore keeps of a call: what came of it so far, as `_Came`."""
_NOT_TAKEN_UP: Final = frozenset[Outcome]({"NotSent", "Throttled", "Transient"})
"""Outcomes of attempts of which AWS took no more notice than if they had not been sent."""


def reads(operation: str) -> bool:
    """Whether an operation of AWS changes nothing, by its name."""
    return operation.startswith(_READS)


@dataclass(slots=True)
class Record:
    """What was sent of some calls that belong together, of those that change something."""

    sent: bool = False
    """Whether any was that AWS took up, or may have: one that it throttled it did not."""
    once: bool = False
    """The same of those that must not be sent twice, by clients whose calls are never repeated."""
    requests: list[str] = field(default_factory=list)
    """AWS's ids of those that it answered."""


@dataclass(frozen=True, slots=True)
class _Came:
    """What came of an attempt of a call."""

    answer: Any
    """The error, or AWS's parsed answer."""
    doubt: bool
    """Whether it may have changed something, or may still."""

    def error(self, operation: str) -> Exception:
        """As the caller of the operation gets it."""
        if isinstance(self.answer, Exception):
            return self.answer
        return ClientError(self.answer, operation)


class _Mine(threading.local):
    """What one thread is at."""

    record: Record | None = None
    """What its calls are noted in."""
    began: float | None = None
    """When the attempt was sent that is under way; None: none is."""


class Guards:
    """The state that calls share, of one process.

    Args:
        clock: the clock of all moments.
        sleep: waits some seconds, for a call's turn.
        observe: is told of each attempt, once it has taken its effect here.
    """

    def __init__(
        self, clock: Clock, sleep: Callable[[float], None], observe: Observe = ignore
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._observe = isolated(observe)
        # Nothing that answers at an endpoint's address concerns all accounts; an account that
        # gets no answer concerns itself.
        self._endpoints = _Made(lambda: Breaker(clock))
        self._breakers = _Made(lambda: Breaker(clock))
        self._buckets = _Made(lambda: Bucket(clock))
        self._changed: dict[tuple[str, str], dict[str, float]] = {}
        self._settings_changed: dict[tuple[str, str], float] = {}
        self._mine = _Mine()

    def circuits(self) -> list[Circuit]:
        """The circuit breakers of everything that was called so far."""
        return [
            *(Circuit("", r, s, True, b.is_open) for (r, s), b in self._endpoints.all()),
            *(Circuit(a, r, s, False, b.is_open) for (a, r, s), b in self._breakers.all()),
        ]

    def changed(self, account: str, region: str, service: str | None = None) -> float:
        """When this process last changed something in the account and Region.

        `service`: by calls of that one alone; None: by any.
        """
        moments = self._changed.get((account, region), {})
        if service is not None:
            return moments.get(service, float("-inf"))
        return max(list(moments.values()), default=float("-inf"))

    def settings_changed(self, account: str, region: str) -> float:
        """When launch settings were last changed in the account and Region by this process."""
        return self._settings_changed.get((account, region), float("-inf"))

    @contextmanager
    def recording(self, record: Record | None = None) -> Iterator[Record]:
        """A record of this thread's calls, and of those that other threads make for it.

        Args:
            record: an empty one to be filled, for who asks after an error; None: a new one.

        Raises:
            PartlySentError: a call was not sent, others that change something were.
            NothingChangedError: what became of a call is not known, and none that changes
                something was sent: it only reads.
        """
        record = record or Record()
        try:
            with self.recording_in(record):
                yield record
        except NotSentError as error:
            if not record.sent:
                raise
            raise PartlySentError(error=error, seconds=error.kwargs["seconds"]) from error
        except (ClientError, BotoCoreError) as error:
            if record.sent or not leaves_doubt(error):
                raise
            raise NothingChangedError(error=error) from error

    @contextmanager
    def recording_in(self, record: Record | None) -> Iterator[None]:
        """Have this thread's calls noted in the record of the thread that it works for."""
        before = self._mine.record
        self._mine.record = record
        try:
            yield
        finally:
            self._mine.record = before

    @property
    def record(self) -> Record | None:
        """What this thread's calls are noted in."""
        return self._mine.record

    def watch(self, client: Any, account: str, region: str, *, once: bool = False) -> None:
        """Have all calls of a client pass here; `once`: they are never repeated."""
        service = client.meta.service_model.service_name
        place = (account, region, service)
        events, unread = client.meta.events, partial(_unread, place, client.meta.endpoint_url)
        events.register("before-send", partial(self._sent, place))
        events.register_first("before-parse", partial(_refuse_bad, unread))
        events.register("response-received", partial(self._received, place))
        if once:
            events.register_first("before-call", _never_twice)
        mark = partial(self._mark, place)
        for moment in ("before-call", "after-call", "after-call-error"):
            events.register(moment, mark)
        events.register("after-call", self._note)
        events.register_last("after-call", self._refused)
        events.register_last("after-call-error", partial(self._given_up, place, unread))

    def _sent(self, place: tuple[str, str, str], event_name: str, **_: Any) -> None:
        self._mine.began = self._clock()
        region, service = place[1:]
        operation = _operation(event_name)
        trial = reads(operation) or operation in _TRIALS
        for breaker in self._breakers_of(place):
            breaker.admit(service, region, trial=trial)
        wait = self._buckets[place].wait(PATIENCE)
        if wait > PATIENCE:
            raise RateLimitError(service=service, region=region, seconds=wait)
        if wait > 0:
            self._sleep(wait)
            self._mine.began = self._clock()

    def _received(
        self,
        place: tuple[str, str, str],
        event_name: str,
        parsed_response: Any,
        exception: Any,
        context: dict[str, Any],
        **_: Any,
    ) -> None:
        self._over(place, _operation(event_name), context, exception, parsed_response)

    def _over(
        self,
        place: tuple[str, str, str],
        operation: str,
        context: dict[str, Any],
        exception: Exception | None,
        parsed: Any = None,
    ) -> None:
        """Take what came of the attempt that is under way."""
        now = self._clock()
        seconds, self._mine.began = now - (self._mine.began or now), None
        outcome = outcome_of(parsed, exception, operation)
        if outcome not in _NOT_TAKEN_UP:
            doubt = outcome == "InDoubt" and not reads(operation)
            self._taken_up(operation, context, _Came(exception or parsed, doubt))
        said = parsed or {}
        code = said.get("Error", {}).get("Code") or ""
        self._judge(place, code, exception)
        request = said.get("ResponseMetadata", {}).get("RequestId") or ""
        self._observe(Attempt(*place, operation, seconds, outcome, request, code))

    def _taken_up(self, operation: str, context: dict[str, Any], came: _Came) -> None:
        """Note an attempt that AWS took up, or may have."""
        before = context.get(_CAME_OF)
        if before is None or came.doubt or not before.doubt:
            context[_CAME_OF] = came
        if self.record is not None and not reads(operation):
            self.record.sent = True
            self.record.once |= _ONCE in context

    def _judge(self, place: tuple[str, str, str], code: str, exception: Any) -> None:
        """Let the breakers and the rate limit know what came of an attempt."""
        if isinstance(exception, NotSentError):
            return
        endpoint, account = self._breakers_of(place)
        if isinstance(exception, _NO_ANSWER):
            cause = type(exception).__name__
            account.failed(cause)
            if isinstance(exception, _NO_WAY):
                endpoint.failed(cause)
            return
        for breaker in (endpoint, account):
            breaker.answered()
        bucket = self._buckets[place]
        if code in THROTTLES:
            bucket.throttled()
        else:
            bucket.accepted()

    def _breakers_of(self, place: tuple[str, str, str]) -> tuple[Breaker, Breaker]:
        return self._endpoints[place[1:]], self._breakers[place]

    def _mark(self, place: tuple[str, str, str], event_name: str, **_: Any) -> None:
        operation, (account, region, service) = _operation(event_name), place
        if operation in _UNSEEN:
            self._settings_changed[account, region] = self._clock()
        elif not reads(operation):
            self._changed.setdefault((account, region), {})[service] = self._clock()

    def _note(self, event_name: str, parsed: Any, **_: Any) -> None:
        if self.record is not None and not reads(_operation(event_name)):
            request = str(parsed.get("ResponseMetadata", {}).get("RequestId", ""))
            self.record.requests.append(request)

    def _refused(
        self, event_name: str, http_response: Any, parsed: Any, context: dict[str, Any], **_: Any
    ) -> None:
        """Raise the doubt that an earlier attempt left, where AWS refused the last one."""
        came, operation = context.get(_CAME_OF), _operation(event_name)
        if came is None or not came.doubt or came.answer is parsed:
            return
        if http_response.status_code >= 300:
            raise came.error(operation) from ClientError(parsed, operation)

    def _given_up(
        self,
        place: tuple[str, str, str],
        unread: Unread,
        event_name: str,
        exception: Exception,
        context: dict[str, Any],
        **_: Any,
    ) -> None:
        """Raise what came of a call of which an attempt was sent, and the last one was not.

        An attempt that is still under way was answered, and botocore did not get to say so: it
        could not read the answer.
        """
        operation, error = _operation(event_name), exception
        if self._mine.began is not None:
            if not isinstance(error, BotoCoreError):
                error = unread(operation, f"what came cannot be read ({type(error).__name__})")
            self._over(place, operation, context, error)
        came = context.get(_CAME_OF)
        if came is not None and (came.doubt or isinstance(error, NEVER_LEFT)):
            error = came.error(operation)
        if error is not exception:
            raise error from exception


def _never_twice(context: dict[str, Any], **_: Any) -> None:
    context[_ONCE] = True


def _refuse_bad(
    unread: Unread, event_name: str, operation_model: Any, response_dict: Any, **_: Any
) -> None:
    """Raise where an answer is not AWS's, before anything is read from it."""
    if why := why_bad(response_dict, operation_model):
        raise unread(_operation(event_name), why)


def _unread(place: tuple[str, str, str], endpoint: str, operation: str, why: str) -> BadAnswerError:
    account, region, service = place
    return BadAnswerError(
        service=service,
        operation=operation,
        account=account or "the operator's own",
        region=region,
        endpoint=endpoint,
        why=why,
        doubt=not reads(operation),
    )


_NO_ANSWER: Final = (NoConnectionError, HTTPClientError, BadAnswerError)
_NO_WAY: Final = (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError)


class _Made(defaultdict[Any, Any]):
    """Makes what is missing, once, whichever threads ask."""

    def __init__(self, make: Callable[[], Any]) -> None:
        super().__init__(make)
        self._lock = threading.Lock()

    def __missing__(self, key: Any) -> Any:
        with self._lock:
            return self[key] if key in self else super().__missing__(key)

    def all(self) -> list[tuple[Any, Any]]:
        """All that were made, with their keys."""
        with self._lock:
            return list(self.items())


def _operation(event_name: str) -> str:
    return event_name.rpartition(".")[2]
