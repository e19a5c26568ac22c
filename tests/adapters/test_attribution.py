"""Every request says which part of Leeward asks, and for which run."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest
from botocore.awsrequest import AWSResponse

from leeward_adapters import attribution, registry
from leeward_adapters.attribution import asking, attributed, of_adapter, on_behalf_of
from leeward_adapters.aws import Account, Aws, AwsScope
from leeward_adapters.base import Rehearsable, Traceable

PART, RUN = attribution.PART, attribution.RUN


class Wire:
    """What a client sends, with an answer to each request and no network."""

    def __init__(self, client: Any, statuses: Sequence[int] = ()) -> None:
        self.headers: list[dict[str, str]] = []
        self._statuses = [*statuses]
        client.meta.events.register("before-send", self._answer)

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        sent = request.headers.items()
        self.headers.append({k: v.decode() if isinstance(v, bytes) else v for k, v in sent})
        status = self._statuses.pop(0) if self._statuses else 200
        return AWSResponse(request.url, status, {"x-amzn-requestid": "r-1"}, _Raw())

    @property
    def agents(self) -> list[str]:
        """The headers of all requests so far."""
        return [headers["User-Agent"] for headers in self.headers]

    def said(self) -> list[str]:
        """What each request said of who asks, as it was sent."""
        return [agent.partition(f" {attribution.LIBRARY}")[2].strip() for agent in self.agents]


class _Raw:
    def stream(self) -> list[bytes]:
        return [b"{}"]


@pytest.fixture
def scope(monkeypatch: pytest.MonkeyPatch) -> AwsScope:
    """An account that is reached by a key, and by nobody's network."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    aws = Aws("us-east-2", endpoint_url="http://127.0.0.1:9", sleep=lambda _: None)
    return aws.scope(Account("111111111111"), "us-east-2")


def ask(scope: AwsScope, *_: Any) -> None:
    scope.client("drs").describe_jobs()


def test_a_request_says_who_asks_and_for_which_run(scope: AwsScope) -> None:
    wire = Wire(scope.client("drs"))

    with on_behalf_of("orders", "failover-1"), asking("discovery"):
        ask(scope)
    with asking("discovery"):
        ask(scope)
    ask(scope)

    assert wire.said() == [f"{PART}discovery {RUN}orders.failover-1", f"{PART}discovery", ""]


def test_it_keeps_to_botocore_s_header_and_is_not_signed(scope: AwsScope) -> None:
    wire = Wire(scope.client("drs"))
    with asking("discovery"):
        ask(scope)

    assert wire.agents[0].startswith("Botocore/")
    assert "user-agent" not in wire.headers[0]["Authorization"].lower()


def test_each_attempt_says_it_once(scope: AwsScope) -> None:
    wire = Wire(scope.client("drs"), statuses=[500, 500])

    with asking("discovery"):
        ask(scope)

    assert wire.said() == [f"{PART}discovery"] * 3


def test_one_client_serves_many_who_ask_at_once(scope: AwsScope) -> None:
    wire, together = Wire(scope.client("drs")), threading.Barrier(4, timeout=20)

    def meet(**_: Any) -> None:
        together.wait()

    scope.client("drs").meta.events.register_first("before-call", meet)

    def one(number: int) -> None:
        with on_behalf_of("orders", f"run-{number}"), asking(f"part-{number}"):
            ask(scope)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(one, range(4)))

    assert sorted(wire.said()) == [f"{PART}part-{n} {RUN}orders.run-{n}" for n in range(4)]


def test_calls_for_many_resources_say_who_has_them_made(scope: AwsScope) -> None:
    wire = Wire(scope.client("drs"))

    with on_behalf_of("orders", "failover-1"), asking("adapter.drs"):
        scope.each(lambda _: ask(scope), range(3))

    assert wire.said() == [f"{PART}adapter.drs {RUN}orders.failover-1"] * 3


def test_what_a_header_may_not_hold_is_replaced(scope: AwsScope) -> None:
    wire = Wire(scope.client("drs"))

    with asking("adapter.vm ware\r\nX-Evil: #1"):
        ask(scope)

    assert wire.said() == [f"{PART}adapter.vm-ware--X-Evil---1"]


def test_the_longest_names_are_within_what_cloudtrail_keeps(scope: AwsScope) -> None:
    wire = Wire(scope.client("drs"))

    with on_behalf_of("n" * 63, "e" * 63), asking(of_adapter("k" * 100)):
        ask(scope)

    assert f"{RUN}{'n' * 63}.{'e' * 63}" in wire.agents[0]
    assert len(wire.agents[0]) + len(f" app/{'a' * 50}") <= 1024


# --- adapters ----------------------------------------------------------------------------------


class Foreign:
    """Somebody else's adapter, as far as it is called here."""

    kind: ClassVar = "foreign"
    limits = None

    def readiness(self, scope: AwsScope, targets: Sequence[str]) -> Sequence[str]:
        ask(scope)
        return targets

    @staticmethod
    def observe(scope: AwsScope, step: str) -> str:
        ask(scope)
        return step

    def earlier(self, scope: AwsScope) -> tuple[()]:
        raise ValueError("nothing is known")


def test_an_adapter_s_requests_are_its_own(scope: AwsScope) -> None:
    wire, adapter = Wire(scope.client("drs")), attributed(Foreign)()
    foreign: Any = adapter

    with asking("discovery"):
        assert foreign.readiness(scope, ["a"]) == ["a"]
        assert foreign.observe(scope, step="b") == "b"
        with pytest.raises(ValueError, match="nothing is known"):
            foreign.earlier(scope)
        ask(scope)

    assert wire.said() == [f"{PART}adapter.foreign"] * 2 + [f"{PART}discovery"]
    assert isinstance(adapter, Traceable)
    assert not isinstance(adapter, Rehearsable)


@pytest.mark.parametrize("kind", sorted(registry.BUILT_IN))
def test_every_adapter_of_the_registry_says_who_it_is(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = registry.adapter(kind)
    said: list[str] = []

    def note(*_: Any, **__: Any) -> None:
        said.append(attribution.said())

    for name in ("readiness", "observe", "act", "verify", "undo"):
        monkeypatch.setattr(type(adapter).__base__, name, note)
        getattr(adapter, name)()

    assert said == [f"{attribution.LIBRARY} {PART}adapter.{kind}"] * 5
