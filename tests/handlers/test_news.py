"""What of a watch concerns others than the object itself."""

from __future__ import annotations

from typing import Any

from leeward.handlers.wakeups import News, asked_of_accounts, wanted


def event(kind: str | None, generation: int = 1, uid: str = "u-1", **status: Any) -> Any:
    metadata = {"uid": uid, "generation": generation, "resourceVersion": "1"}
    return {"type": kind, "object": {"metadata": metadata, "status": status}}


def test_what_the_operator_writes_of_an_account_is_no_news_to_its_plans() -> None:
    news = News(wanted)
    assert news.has(event(None))
    assert not news.has(event("MODIFIED", message="both roles were assumed"))
    assert news.has(event("MODIFIED", generation=2))
    assert news.has(event("ADDED", generation=2, uid="u-2"))


def test_other_technologies_of_a_plan_are_news_to_its_accounts() -> None:
    news = News(asked_of_accounts)
    found = [{"name": "prod", "technologies": ["drs"]}]
    assert news.has(event(None))
    assert news.has(event("MODIFIED", accounts=found))
    assert not news.has(event("MODIFIED", accounts=found, location="Primary"))


def test_what_goes_is_news_and_so_is_what_comes_again() -> None:
    news = News(wanted)
    news.has(event(None))
    assert news.has(event("DELETED"))
    assert news.has(event("ADDED"))
