"""What the end of a run says of where a wave serves."""

from __future__ import annotations

import pytest

from leeward.api.execution import WaveProgress
from leeward.engine.finish import _where


@pytest.mark.parametrize(
    ("state", "complete", "place"),
    [
        ("Complete", 2, "Recovery"),
        ("Complete", 0, "Mixed"),
        ("Failed", 1, "Mixed"),
        ("Abandoned", 1, "Mixed"),
        ("Abandoned", 0, None),
        ("NotStarted", 0, None),
    ],
)
def test_a_wave_serves_from_where_the_run_left_it(
    state: str, complete: int, place: str | None
) -> None:
    wave = WaveProgress.model_validate(
        {
            "name": "web",
            "ordinal": 1,
            "state": state,
            "resources": {"total": 2, "complete": complete},
        }
    )
    assert _where(wave, "Recovery") == place
