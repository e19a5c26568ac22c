"""What the journal says of a call that AWS gave no answer to."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from leeward.api.task import Intent
from leeward.engine.journal import answer_of
from leeward.engine.pool import Pool
from leeward.engine.tasks import TaskRunner
from leeward.planning.tasks.step_sent import unanswered
from leeward_adapters.base import ActionTraits, ErrorClass
from leeward_adapters.errors import Fault
from leeward_adapters.guards import Guards, Record

ASKED = {
    "id": "c", "action": "prepare", "resources": ["a"], "epoch": 1, "time": "2026-03-01T02:00:00Z",
}  # fmt: skip
REFUSAL_CLASSES = {"Transient", "Quota", "Conflict", "Denied", "Final"}
"""Those that every version knows."""


def recorded(fault: Fault, *, repeatable: bool) -> Intent:
    """The batch with its answer, as the object has it."""
    intent = Intent.model_validate(ASKED).model_copy(update=answer_of(fault, repeatable))
    return Intent.model_validate(intent.to_api())


@pytest.mark.parametrize("kind", ErrorClass)
def test_what_may_be_sent_twice_is_refused_by_a_class_that_an_older_version_knows(
    kind: ErrorClass,
) -> None:
    """A live run may go on under it: it takes what it does not know for final."""
    answered = recorded(Fault(kind, "Code", "words"), repeatable=True)
    assert answered.outcome == "Refused"
    assert answered.error_class in REFUSAL_CLASSES
    assert unanswered(answered) == (kind is ErrorClass.IN_DOUBT)


def test_what_must_not_be_sent_twice_is_in_doubt_and_no_refusal() -> None:
    lost = recorded(Fault(ErrorClass.IN_DOUBT, "ReadTimeoutError", "words"), repeatable=False)
    assert (lost.outcome, lost.answer_lost, unanswered(lost)) == ("InDoubt", False, True)


def test_a_refusal_that_says_nothing_of_a_lost_answer_leaves_no_doubt() -> None:
    """So an older version wrote it, or an older CRD dropped the field."""
    answer: dict[str, Any] = {"outcome": "Refused", "errorClass": "Transient", "code": "Code"}
    assert not unanswered(Intent.model_validate(ASKED | answer))


class Sends:
    """An adapter of which some calls are sent, and then one gets no answer."""

    def __init__(self, aws: Guards, *, once: bool) -> None:
        self._aws, self._once = aws, once

    def act(self, *_: Any) -> str:
        assert self._aws.record is not None
        self._aws.record.sent, self._aws.record.once = True, self._once
        raise ReadTimeoutError(endpoint_url="https://drs.us-east-2.amazonaws.com")


@pytest.mark.parametrize(
    ("repeatable", "once", "outcome", "lost"),
    [
        pytest.param(False, True, "InDoubt", False, id="a launch"),
        pytest.param(False, False, "Refused", True, id="what goes before a launch"),
        pytest.param(True, False, "Refused", True, id="settings"),
        pytest.param(True, True, "Refused", True, id="what ends instances"),
    ],
)
def test_a_batch_is_in_doubt_once_what_must_not_be_sent_twice_was_sent(
    repeatable: bool, once: bool, outcome: str, lost: bool
) -> None:
    guards = Guards(time.monotonic, lambda _: None)

    def recording(record: Record) -> AbstractContextManager[Record]:
        return guards.recording(record)

    pool = Pool(1)
    context: Any = SimpleNamespace(pool=pool, aws=SimpleNamespace(recording=recording))
    turn: Any = SimpleNamespace(
        adapter=Sends(guards, once=once), scope=None, step=None,
        actions={"prepare": ActionTraits(repeatable=repeatable)},
        task=SimpleNamespace(model=SimpleNamespace(metadata=SimpleNamespace(name="t"))),
    )  # fmt: skip
    intent = Intent.model_validate(ASKED)

    answer = asyncio.run(TaskRunner(context)._answer(turn, intent, []))
    pool.close()

    answered = Intent.model_validate(intent.model_copy(update=answer).to_api())
    assert (answered.outcome, answered.answer_lost) == (outcome, lost)
