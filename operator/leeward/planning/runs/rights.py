"""What of a request the policies let nobody create without a right of his own."""

from __future__ import annotations

from leeward.api.execution import DRExecutionSpec


def taken(spec: DRExecutionSpec) -> list[str]:
    """What of the run took a right to ask for it, in the words of the policy about requests.

    Mode Unplanned is not among it: whoever wrote it, no gate passes by it, and in an outage a run
    begins at once.
    """
    drill = spec.operation == "Test"
    found = []
    if spec.approval_mode == "Automatic" and not drill:
        found.append("approvalMode Automatic")
    if not drill or spec.then:
        chosen = spec.resources
        found += ["spec.waves"] if spec.waves else []
        found += ["spec.resources"] if chosen and (chosen.include or chosen.exclude) else []
    return found + (["continueFrom"] if spec.continue_from else [])
