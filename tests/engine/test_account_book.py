"""What the operator knows of accounts between their passes."""

from __future__ import annotations

from typing import Any

from leeward.engine.account_book import AccountBook, Entry
from leeward.engine.supervisor import Key, Supervisor

ROLE = "arn:aws:iam::111111111111:role/leeward"


def body(uid: str = "u-1", namespace: str = "acme", **spec: Any) -> dict[str, Any]:
    role = {"accountId": "111111111111", "readRoleArn": ROLE, "recoveryRoleArn": ROLE}
    metadata = {"name": "prod", "uid": uid, "resourceVersion": f"{uid}-{namespace}"}
    return {
        "apiVersion": "leeward.dev/v1alpha1", "kind": "TargetAccount", "metadata": metadata,
        "spec": role | {"allow": {"namespaces": [namespace]}} | spec,
    }  # fmt: skip


def namespaces(book: AccountBook) -> list[str] | None:
    spec = book.entry("prod").spec
    return spec.allow.namespaces if spec else None


def test_what_a_watch_shows_counts_at_once_and_keeps_what_a_pass_learned() -> None:
    book = AccountBook("leeward-system")
    book._entries["prod"] = Entry("hush", {"team": "sre"})
    book.saw(body())
    assert (book.entry("prod").external_id, namespaces(book)) == ("hush", ["acme"])
    book.saw(body(namespace="other"))
    assert namespaces(book) == ["other"]


def test_metadata_alone_and_what_cannot_be_read_change_nothing() -> None:
    book = AccountBook("leeward-system")
    book.saw(body())
    book.saw({"metadata": body()["metadata"]})
    book.saw(body(namespace="other", accountId=7))
    assert namespaces(book) == ["acme"]


def test_an_account_that_is_gone_is_forgotten_and_not_its_successor() -> None:
    book = AccountBook("leeward-system")
    book.saw(body("u-2"))
    book.forget("prod", "u-1")
    assert namespaces(book) == ["acme"]
    book.forget("prod", "u-2")
    assert namespaces(book) is None


def test_a_supervisor_shows_what_it_sees_and_tells_what_is_gone() -> None:
    async def run(_key: Key) -> None:
        return None

    book = AccountBook("leeward-system")
    supervisor = Supervisor(
        None, "", run, lambda _: False, resync=1, saw=book.saw,  # type: ignore[arg-type]
        gone=lambda key: book.forget(key.name, key.uid),
    )  # fmt: skip
    supervisor.notify(body())
    assert namespaces(book) == ["acme"]
    supervisor.notify(body(), deleted=True)
    assert namespaces(book) is None
