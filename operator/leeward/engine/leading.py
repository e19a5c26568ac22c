"""What of a later wave may be instantiated ahead of its turn, by what the adapters declare."""

from __future__ import annotations

from leeward.api.execution import DRExecution
from leeward_adapters import registry
from leeward_adapters.base import Phase


def leading(execution: DRExecution) -> set[str]:
    """Technologies whose Instantiate may run ahead of its wave in this run.

    It must be inert. Where it fixes the recovery point, what people still write on the side that
    is left would be lost: that is accepted in an outage and in a drill alone.
    """
    lossless = execution.spec.mode == "Planned" and execution.spec.operation != "Test"
    found = set()
    for kind in registry.kinds():
        traits = registry.adapter(kind).phases.get(Phase.INSTANTIATE)
        if traits and traits.inert and not (lossless and traits.fixes_recovery_point):
            found.add(kind)
    return found
