"""Checks of what plans depend on: through which accounts, in which threads, and in trouble."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from leeward.api.account import TargetAccount
from leeward.api.plan import RecoveryPlan
from leeward.api.plan_record import DependencyStatus
from leeward.engine import dependencies as module
from leeward.engine.account_book import AccountBook, Entry
from leeward.engine.context import CHECK_THREADS, AccountNotAllowedError, Context
from leeward.engine.dependencies import OF_A_NAMESPACE, Dependencies
from leeward.engine.pool import Pool
from leeward_adapters import dependencies
from leeward_adapters.aws import Aws

SETTINGS = SimpleNamespace(
    hub="hub", check_allowed_networks="127.0.0.0/8", check_denied_networks="10.96.0.0/12"
)


def account(name: str = "prod", *namespaces: str) -> TargetAccount:
    role = "arn:aws:iam::111111111111:role/r"
    spec = {
        "accountId": "111111111111", "readRoleArn": role, "recoveryRoleArn": role,
        "allow": {"namespaces": list(namespaces or ("acme",))},
    }  # fmt: skip
    return TargetAccount.model_validate({"metadata": {"name": name, "uid": name}, "spec": spec})


def plan(*needs: dict[str, Any], namespace: str = "acme") -> RecoveryPlan:
    spec = {
        "customer": "acme", "environment": "Production",
        "regions": {"primary": "us-east-1", "recovery": "us-east-2"},
        "accounts": [{"name": "prod"}], "waves": [{"name": "data"}], "dependencies": list(needs),
    }  # fmt: skip
    metadata = {"name": "shop", "namespace": namespace, "uid": namespace, "generation": 1}
    return RecoveryPlan.model_validate({"metadata": metadata, "spec": spec})


@pytest.fixture
def context() -> Iterator[Context]:
    parts: dict[str, Any] = dict.fromkeys(("kube", "lease", "guard", "recorder", "pool"))
    checks = Pool(2, "check")
    yield Context(
        **parts, aws=Aws("us-east-2"), settings=SETTINGS, book=AccountBook("leeward-system"),
        checks=checks, now=lambda: datetime(2026, 3, 1, tzinfo=UTC),
    )  # fmt: skip
    checks.close()


def look(context: Context, *needs: dict[str, Any]) -> list[DependencyStatus]:
    accounts = {"prod": account(), "theirs": account("theirs", "others")}
    return asyncio.run(Dependencies(context).look(plan(*needs), accounts))


NEED = {"name": "one", "type": "Tcp", "target": "127.0.0.1:1"}


def test_an_account_of_others_is_not_reached(context: Context) -> None:
    """And no call is made: there is no pool in which it could be."""
    (one,) = look(context, {**NEED, "type": "AuroraGlobal", "accountRef": {"name": "theirs"}})
    assert (one.state, "TargetAccount theirs is not for namespace acme" in (one.message or "")) == (
        "Unknown", True,
    )  # fmt: skip


@pytest.mark.parametrize("namespace", ["acme", "others"])
def test_a_namespace_reaches_only_accounts_that_are_for_it(
    context: Context, namespace: str
) -> None:
    theirs = account("theirs", "others")
    if namespace == "others":
        assert context.account(theirs, namespace).id == "111111111111"
    else:
        with pytest.raises(AccountNotAllowedError, match="not for namespace acme"):
            context.account(theirs, namespace)


def test_checks_have_threads_of_their_own(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []

    def check(*_: Any) -> dependencies.Verdict:
        threads.append(threading.current_thread().name)
        return dependencies.Verdict(True, "well")

    monkeypatch.setattr(dependencies, "check", check)
    assert [d.state for d in look(context, *({**NEED, "name": f"n{n}"} for n in range(4)))] == [
        "Holds"
    ] * 4
    assert all(name.startswith("check") for name in threads)


def test_what_hangs_in_one_namespace_leaves_threads_to_the_others(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    over, hanging, checks = threading.Event(), threading.Semaphore(0), Pool(CHECK_THREADS, "check")

    def check(_: Any, what: dependencies.Dependency) -> dependencies.Verdict:
        if what.target == "hangs:1":
            hanging.release()
            over.wait(60)
        return dependencies.Verdict(True, "well")

    async def scenario() -> None:
        looks = Dependencies(replace(context, checks=checks))
        many = [{**NEED, "name": f"n{n}", "target": "hangs:1"} for n in range(12)]
        theirs = {"prod": account("prod", "acme", "others")}
        first = asyncio.create_task(looks.look(plan(*many), theirs))
        for _ in range(OF_A_NAMESPACE):
            assert await asyncio.to_thread(hanging.acquire, timeout=60)
        # Given up, they still hold their threads: no more of theirs are begun.
        assert {d.state for d in await first} == {"Unknown"}
        monkeypatch.setattr(module, "PATIENCE", 60)
        (other,) = await looks.look(plan(NEED, namespace="others"), theirs)
        assert other.state == "Holds"
        assert not hanging.acquire(blocking=False)
        over.set()

    monkeypatch.setattr(dependencies, "check", check)
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    asyncio.run(scenario())
    checks.close()


@pytest.mark.parametrize(
    ("error", "state", "said"),
    [
        (RecursionError("secret"), "Unknown", "(RecursionError), which is a defect"),
        (KeyError("secret"), "Unknown", "(KeyError), which is a defect"),
        (OSError("secret"), "Unknown", "(OSError), which is a defect"),
        (ValueError("the target is no host"), "Failed", "correct spec.dependencies"),
    ],
)
def test_whatever_a_check_meets_is_said_and_does_not_stop_a_run(
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    state: str,
    said: str,
) -> None:
    def check(*_: Any) -> dependencies.Verdict:
        raise error

    monkeypatch.setattr(dependencies, "check", check)
    (one,) = look(context, NEED)
    assert (one.state, said in (one.message or "")) == (state, True)
    assert "secret" not in (one.message or "")


@pytest.mark.parametrize("target", ["10.96.0.1:443", "127.0.0.1:443"])
def test_the_operators_api_server_is_not_connected_to(
    context: Context, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", target.partition(":")[0])
    (one,) = look(context, {**NEED, "target": target})
    assert one.state == "Failed"
    assert "which checks may not connect to" in (one.message or "")


@pytest.mark.parametrize(("secret", "where"), [(None, ""), ("hush", "the Secret that the")])
def test_a_secret_external_id_is_known_to_be_one(
    context: Context, secret: str | None, where: str
) -> None:
    context.book._entries["prod"] = Entry(secret)
    reached = context.account(account(), "acme")
    assert reached.external_id == (secret or "leeward/hub/acme")
    assert reached.external_id_from.startswith(where)
    assert bool(reached.external_id_from) is bool(where)
    assert "hush" not in f"{reached} {context.book.entry('prod')}"
