"""Accounts, assumed roles and clients: how everything in Leeward reaches AWS.

Clients are made under a lock, because making them from one session in several threads is not
safe, and then shared: calling them is. All sessions share one loader, or each would read every
service model again. Credentials of a role are fetched at their first use and renewed by botocore
before they run out. Endpoints follow botocore's own rules (`AWS_ENDPOINT_URL`).

A client of EC2 takes 1.4 MiB, so that only those used last are kept. Every call passes the guards
(`leeward_adapters.guards`), and what many ask is shared (`leeward_adapters.views`).
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

import botocore.session
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialResolver,
)
from botocore.exceptions import ClientError, NoCredentialsError

from leeward_adapters import attribution, credentials
from leeward_adapters.calls import Circuit, Observe, ignore
from leeward_adapters.crew import Crew
from leeward_adapters.errors import EXPIRED
from leeward_adapters.guards import Guards, Record
from leeward_adapters.notes import Notes
from leeward_adapters.sessions import AssumedRole, not_assumed, session_request
from leeward_adapters.views import KEPT, Clock, Views

T = TypeVar("T")

SESSION_SECONDS = 3600
"""Life of a role session. The operator's own identity is a role session as a rule, and AWS ends
chained sessions after an hour (AWS STS API reference, AssumeRole)."""
CLIENTS: Final = 64
"""Clients that are kept, those used last; the others are made again when they are needed."""
CONNECT_SECONDS: Final = 5
READ_SECONDS: Final = 30
"""Seconds that one attempt may take to be answered; there are three."""
ONCE_SECONDS: Final = 60
"""The same for a call that is never repeated: giving it up leaves doubt."""


@dataclass(frozen=True, slots=True)
class Account:
    """An AWS account and the roles through which it is reached."""

    id: str
    name: str = ""
    """What people call it, for messages."""
    read_role_arn: str = ""
    """Empty: the operator's own credentials."""
    recovery_role_arn: str = ""
    """Empty: the operator's own credentials."""
    external_id: str = field(default="", repr=False)
    """`sts:ExternalId`; empty: none is sent."""
    external_id_from: str = ""
    """Where a secret one comes from, which messages name in its place; empty: it is no secret."""
    session_name: str = "leeward"
    """Name of the role session, 2 to 64 characters; CloudTrail shows it."""
    session_tags: Mapping[str, str] = field(default_factory=dict)
    """Tags of the role session; the trust policy must allow `sts:TagSession` for them."""

    def role(self, *, recovery: bool) -> str:
        """ARN of the role for that use, or an empty string."""
        return self.recovery_role_arn if recovery else self.read_role_arn


@dataclass(frozen=True, slots=True)
class Caller:
    """Who AWS says that we are."""

    account_id: str
    arn: str


class Aws:
    """All clients of the process.

    Args:
        base_region: Region whose STS is asked for role sessions; not the one that may be failing.
        endpoint_url: endpoint for every service; None: as botocore finds it.
        read_timeout: seconds that one attempt of any call may take to be answered; None: as is
            right for the kind of call.
        clock: seconds that only ever grow.
        sleep: waits some seconds.
        observe: is told of each attempt of each call.
    """

    def __init__(
        self,
        base_region: str,
        *,
        endpoint_url: str | None = None,
        read_timeout: int | None = None,
        clock: Clock = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        observe: Observe = ignore,
    ) -> None:
        self._base_region = base_region
        self._endpoint_url = endpoint_url
        self._read_timeout = read_timeout
        self.now = clock
        """The clock of all moments that adapters are told."""
        self.guards = Guards(clock, sleep, observe)
        """What all calls pass."""
        self._crew = Crew()
        self._lock = threading.RLock()
        self._base = botocore.session.Session()
        self._sessions: dict[Hashable, botocore.session.Session] = {}
        self._clients: OrderedDict[tuple[Hashable, str, str, bool], Any] = OrderedDict()
        self._views: dict[Hashable, Views] = {}
        self.notes = Notes(clock)
        """What is kept of rare questions, by account, role and Region."""

    def scope(self, account: Account, region: str, *, recovery: bool = False) -> AwsScope:
        """The account in the Region, through its read role or its recovery role."""
        return AwsScope(self, account, region, account.role(recovery=recovery))

    def whoami(self, scope: AwsScope) -> Caller:
        """Account and identity behind the scope's credentials (STS GetCallerIdentity).

        Raises:
            ClientError: the role cannot be assumed; the message says which and why.
        """
        answer = scope.client("sts", region=self._base_region).get_caller_identity()
        return Caller(answer["Account"], answer["Arn"])

    def assume(self, account: Account, *, recovery: bool = False) -> None:
        """Assume the role once and keep nothing of it, to see whether that is possible.

        Raises:
            ClientError: the role cannot be assumed; the message says which and why.
        """
        self._fetcher(account, account.role(recovery=recovery))()

    def partition(self, region: str) -> str:
        """Partition of the Region."""
        with self._lock:
            return self._base.get_partition_for_region(region)

    def client(self, account: Account, role: str, region: str, service: str, *, once: bool) -> Any:
        """The shared client; see `Scope.client`."""
        identity = _identity(account, role)
        key = (identity, region, service, once)
        with self._lock:
            if key in self._clients:
                self._clients.move_to_end(key)
                return self._clients[key]
            session = self._session(identity, account, role)
            client = session.create_client(
                service, region, config=self._config(once), endpoint_url=self._endpoint_url
            )
            events = client.meta.events
            if not role:  # so that an error of their renewal says what to look at
                events.register_first("before-sign", lambda **_: self.own_credentials())
            events.register("response-received", _naming(_place(account, role, region)))
            events.register("after-call", self._renewing(identity, session))
            self.guards.watch(client, account.id, region, once=once)
            attribution.mark(client)
            self._clients[key] = client
            self._evict()
            return client

    def _evict(self) -> None:
        """Drop what was not used lately: clients, and the sessions of which none is left."""
        while len(self._clients) > CLIENTS:
            (identity, *_), _ = self._clients.popitem(last=False)
            if not any(key[0] == identity for key in self._clients):
                self._sessions.pop(identity, None)

    def views(self, account: Account, role: str, region: str) -> Views:
        """The shared answers; see `Scope.views`. Another role sees answers of its own."""
        key, now = (_identity(account, role), region), self.now()
        with self._lock:
            if key not in self._views:
                kept = {k: v for k, v in self._views.items() if now - v.used < KEPT}
                made = Views(self.now, partial(self.guards.changed, account.id, region))
                self._views = {**kept, key: made}
            return self._views[key]

    def each(
        self, account: Account, region: str, call: Callable[[T], Any], items: Iterable[T]
    ) -> None:
        """`call` for every item, some at once; see `Scope.each`."""
        record = self.guards.record

        def one(item: T) -> None:
            with self.guards.recording_in(record):
                call(item)

        self._crew.each((account.id, region), one, items)

    def recording(self, record: Record | None = None) -> AbstractContextManager[Record]:
        """What is sent inside it that changes something; see `Guards.recording`."""
        return self.guards.recording(record)

    def circuits(self) -> list[Circuit]:
        """The circuit breakers of everything that was called so far."""
        return self.guards.circuits()

    def own_credentials(self) -> Any:
        """The operator's own credentials, renewed where they ran out.

        Raises:
            NoCredentialsError: there are none.
            CredentialRetrievalError: their source does not give them.
        """
        with credentials.explained():
            with self._lock:
                source = self._base.get_credentials()
            if source is None:
                raise NoCredentialsError()
            source.get_frozen_credentials()  # renews them, where they run out
            return source

    def _renewing(
        self, identity: Hashable, session: botocore.session.Session
    ) -> Callable[..., None]:
        """An event handler that has the role assumed anew when AWS calls its session expired.

        botocore believes the expiry that it was told, by this machine's clock. Where AWS sees it
        otherwise, the same credentials would be sent, in vain, until that time.
        """

        def renew(parsed: Any, **_: Any) -> None:
            if parsed.get("Error", {}).get("Code") not in EXPIRED:
                return
            with self._lock:
                if self._sessions.get(identity) is session:
                    del self._sessions[identity]
                    kept = ((k, c) for k, c in self._clients.items() if k[0] != identity)
                    self._clients = OrderedDict(kept)

        return renew

    def _session(self, identity: Hashable, account: Account, role: str) -> botocore.session.Session:
        if not role:
            return self._base
        if identity not in self._sessions:
            session = botocore.session.Session()
            session.register_component("data_loader", self._base.get_component("data_loader"))
            provider = AssumedRole(self._fetcher(account, role))
            session.register_component("credential_provider", CredentialResolver([provider]))
            self._sessions[identity] = session
        return self._sessions[identity]

    def _fetcher(self, account: Account, role: str) -> Callable[[], Any]:
        arguments = session_request(account, SESSION_SECONDS)

        @attribution.asking("sessions")
        def fetch() -> Any:
            source = self.own_credentials()
            # Made anew each time: the fetcher keeps its answer, and would hand it out again.
            fetcher = AssumeRoleCredentialFetcher(self._sts, source, role, extra_args=arguments)
            try:
                return fetcher.fetch_credentials()
            except ClientError as error:
                raise not_assumed(error, account, role, self._base_region) from error

        return fetch

    def _sts(self, service: str, **keys: Any) -> Any:
        with self._lock:
            client = self._base.create_client(
                service,
                self._base_region,
                config=self._config(once=False),
                endpoint_url=self._endpoint_url,
                **keys,
            )
        self.guards.watch(client, "", self._base_region)
        attribution.mark(client)
        return client

    def _config(self, once: bool) -> Config:
        # `standard`, not `adaptive`: the latter sleeps inside the thread that called.
        return Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=self._read_timeout or (ONCE_SECONDS if once else READ_SECONDS),
            max_pool_connections=32,
            retries={"mode": "standard", "total_max_attempts": 1 if once else 3},
        )


class AwsScope:
    """One account in one Region, through one role: the `Scope` that adapters get."""

    def __init__(self, aws: Aws, account: Account, region: str, role: str) -> None:
        self._aws = aws
        self._account = account
        self._region = region
        self._role = role

    @property
    def account_id(self) -> str:
        """AWS account id."""
        return self._account.id

    @property
    def account_name(self) -> str:
        """What people call the account."""
        return self._account.name

    @property
    def role_arn(self) -> str:
        """The role; empty: the operator's own credentials."""
        return self._role

    @property
    def region(self) -> str:
        """Region whose endpoints are called."""
        return self._region

    @property
    def partition(self) -> str:
        """`aws`, `aws-us-gov`, …"""
        return self._aws.partition(self._region)

    @property
    def views(self) -> Views:
        """Answers of this account and Region that all who reach it by this role share."""
        return self._aws.views(self._account, self._role, self._region)

    def client(self, service: str, *, once: bool = False, region: str | None = None) -> Any:
        """A boto3 client; `once`: one whose calls botocore never repeats."""
        return self._aws.client(
            self._account, self._role, region or self._region, service, once=once
        )

    def each(self, call: Callable[[T], Any], items: Iterable[T]) -> None:
        """`call` for every item, some at once; the first error is raised."""
        self._aws.each(self._account, self._region, call, items)

    def now(self) -> float:
        """The moment, by the clock of `Step.since`."""
        return self._aws.now()

    def changed(self, service: str) -> float:
        """When this process last changed something there by a service, through whatever role."""
        return self._aws.guards.changed(self._account.id, self._region, service)

    def settings_changed(self) -> float:
        """When this process last changed launch settings there, through whatever role."""
        return self._aws.guards.settings_changed(self._account.id, self._region)

    def at(self, region: str) -> AwsScope:
        """The same account through the same role, in another Region."""
        return AwsScope(self._aws, self._account, region, self._role)

    def cached(self, key: Hashable, seconds: float, make: Callable[[], T]) -> T:
        """`make()`, or its answer to this role in this Region if younger than `seconds`."""
        return self._aws.notes.cached(self._key(key), seconds, make)

    def forget(self, keys: Iterable[Hashable]) -> None:
        """Drop what `cached` keeps under these keys."""
        self._aws.notes.forget({self._key(key) for key in keys})

    def _key(self, key: Hashable) -> tuple[Hashable, ...]:
        return (_identity(self._account, self._role), self._region, key)


def _identity(account: Account, role: str) -> Hashable:
    if not role:
        return (account.id, "")
    tags = tuple(sorted(account.session_tags.items()))
    return (account.id, role, account.external_id, account.session_name, tags)


def _place(account: Account, role: str, region: str) -> str:
    named = f"{account.id} ({account.name})" if account.name else account.id
    return f"account {named}, {region}, {role or 'own credentials'}"


def _naming(place: str) -> Callable[..., None]:
    """An event handler that lets every error of a client say where it happened."""

    def name(parsed_response: Any, **_: Any) -> None:
        answer = parsed_response or {}
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status >= 300 and "Error" in answer:
            message = answer["Error"].get("Message") or ""
            answer["Error"]["Message"] = f"{message} [{place}]".strip()

    return name
