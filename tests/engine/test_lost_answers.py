"""What the journal says of a call that AWS gave no answer to."""

from __future__ import annotations

from typing import Any

import pytest

from leeward.api.task import Intent
from leeward.engine.journal import answer_of
from leeward.planning.tasks.step_sent import unanswered
from leeward_adapters.base import ErrorClass
from leeward_adapters.errors import Fault

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
