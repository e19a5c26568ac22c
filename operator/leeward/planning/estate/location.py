"""Where an estate serves, as far as runs and discovery say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from leeward.api.plan import RecoveryPlanSpec, Wave
from leeward.api.plan_record import Location, RecoveryPlanStatus, WaveStatus
from leeward.planning.estate.inventory import Located
from leeward.planning.estate.protection import recovered, servers, unfinished


def wave_statuses(
    spec: RecoveryPlanSpec,
    selected: Sequence[Located],
    numbers: Mapping[str, int],
    previous: RecoveryPlanStatus,
    *,
    discovered: bool,
) -> list[WaveStatus]:
    """Each wave of the plan with its number of resources and its location.

    `Recovery` is written by a run alone, and kept: only a run knows that users were moved. Else
    discovery decides, as soon as every account has answered: a wave is at home while none of its
    servers has a recovery instance that no drill launched, and `Mixed` when any has, or came home
    by a failback that is not through. Of a wave that has explicit tasks and no server discovery
    knows nothing, so what a run left half done stays `Mixed` until another one is through. So is
    what a run stopped and left without anything that serves instead.
    """
    before = {wave.name: wave.location for wave in previous.waves}
    stopped = {source.wave for source in previous.left_stopped}
    result = []
    for wave in spec.waves:
        mine = [found for found in selected if found.resource.wave == wave.name]
        half = before.get(wave.name) == "Mixed" and wave.tasks and not servers(mine)
        location: Location = "Unknown"
        if before.get(wave.name) == "Recovery":
            location = "Recovery"
        elif half or wave.name in stopped:
            location = "Mixed"
        elif discovered:
            away = any(recovered(s) or unfinished(s) for s in servers(mine))
            location = "Mixed" if away else "Primary"
        result.append(WaveStatus(name=wave.name, resources=numbers[wave.name], location=location))
    return result


def estate_location(waves: Sequence[Wave], statuses: Sequence[WaveStatus]) -> Location:
    """Where the estate serves as a whole. Waves without anything to do do not count."""
    busy = {wave.name for wave in waves if wave.tasks}
    places = {s.location for s in statuses if s.resources or s.name in busy}
    if not places or "Unknown" in places:
        return "Unknown"
    return places.pop() if len(places) == 1 else "Mixed"
