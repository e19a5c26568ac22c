"""Whether who asked for a run had the rights that it takes: policies said so, if there were any.

The operator cannot ask again what the API server asked when the execution was created. It can only
prove that the policies are in force, and that they are older than the execution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from leeward.api.conditions import set_condition
from leeward.api.execution import DRExecution
from leeward.engine.context import Context
from leeward.engine.guard import Proof
from leeward.engine.objects import Held
from leeward.planning.outlook.run_checks import settling
from leeward.planning.runs import rights
from leeward.planning.times import parse_time, render_time

NOT_PROVED: Final = "GuardNotProved"
_WEAK: Final = frozenset({"PolicyMissing", "PolicyDiffers", "ProbePassed"})
"""What shows that anybody may have asked; everything else shows nothing, and is tried again."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a run does not begin."""

    message: str
    final: bool
    """Whether no later proof can be one of what was asked for before it."""


class RequestProof:
    """Proves the guard for what runs ask for."""

    def __init__(self, context: Context) -> None:
        self._c = context

    async def of(self, run: Held[DRExecution]) -> tuple[Held[DRExecution], Doubt | None]:
        """The run with what the proof came to, and why it must not begin; None: it may.

        Only what took a right to ask for is proved, and once: a run that waits for the end of the
        one that it continues is through with it.
        """
        spec = run.model.spec
        claimed = rights.taken(spec) if spec.dry_run == "None" else []
        if not claimed or settling(run.model):
            return run, None
        proof = await self._c.guard.prove(run.model)
        condition = proof.condition(run.model, render_time(self._c.now()))
        conditions = set_condition(run.model.status.conditions, condition)
        run = run.ahead(run.model.status.model_copy(update={"conditions": conditions}))
        return run, _doubt(run.model, " and ".join(claimed), proof)


def _doubt(execution: DRExecution, claimed: str, proof: Proof) -> Doubt | None:
    again = "nothing was touched; afterwards create an execution of another name"
    if not proof.ok and proof.reason in _WEAK:
        return Doubt(f"nobody checked who may ask for {claimed}: {proof.message}; {again}", True)
    if not proof.ok:
        return Doubt(f"who may ask for {claimed} is not proved: {proof.message}", False)
    created = execution.metadata.creation_timestamp
    if proof.since and created and parse_time(proof.since) >= parse_time(created):
        return Doubt(
            f"nobody checked who may ask for {claimed}: the execution is of {created}, and not all "
            f"admission policies are older (the youngest is of {proof.since}); nothing was "
            "touched; create an execution of another name",
            True,
        )
    return None
