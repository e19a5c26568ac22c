"""What the end of a run says of where a wave serves."""

from __future__ import annotations

import pytest

from leeward.api.execution import WaveProgress
from leeward.engine.finish import _where


@pytest.mark.parametrize(
    ("state", "complete", "fenced", "place"),
    [
        ("Complete", 2, True, "Recovery"),
        ("Complete", 0, False, "Mixed"),
        ("Failed", 1, True, "Mixed"),
        ("Abandoned", 1, False, "Mixed"),
        ("Abandoned", 0, False, None),
        ("Abandoned", 0, True, "Mixed"),
        ("NotStarted", 0, False, None),
    ],
)
def test_a_wave_serves_from_where_the_run_left_it(
    state: str, complete: int, fenced: bool, place: str | None
) -> None:
    wave = WaveProgress.model_validate(
        {
            "name": "web",
            "ordinal": 1,
            "state": state,
            "resources": {"total": 2, "complete": complete},
        }
    )
    assert _where(wave, "Recovery", fenced=fenced) == place
