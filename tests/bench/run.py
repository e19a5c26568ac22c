"""`make bench`: what the operator costs and how near it comes to what AWS itself takes.

Figures are ratios within one run, so that machines can be compared; nothing is asserted. The
environment variable BENCH chooses the parts: one or more of `inprocess`, `reference`, `trs-design`,
`approval`, `large`, `idle`, with commas between, or `all`; without it, the first four. BENCH_SCALE
sets how much faster AWS's clock runs than the wall's in `reference` and `trs-design`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

import approval
import idle
import inprocess
import large
import reference
import trs_design
from table import Figure, progress, show
from testbed import site

SCALE = 10.0
"""Slow enough that a reaction of 0.1 s counts as 1 s beside AWS's minutes."""
DEFAULT = ("inprocess", "reference", "trs-design", "approval")


def _reference() -> list[Figure]:
    with site("reference", scale=_scale(), operator={}) as place:
        return [_clock(), *reference.figures(place, reference.run(place, reference.manifests()))]


def _trs_design() -> list[Figure]:
    with site("reference", scale=_scale()) as place:
        return [_clock(), *trs_design.figures(place)]


def _scale() -> float:
    return float(os.environ.get("BENCH_SCALE") or SCALE)


def _clock() -> Figure:
    return Figure("AWS's clock beside the wall's", f"{_scale():g}")


PARTS: dict[str, Callable[[], list[Figure]]] = {
    "inprocess": inprocess.figures,
    "reference": _reference,
    "trs-design": _trs_design,
    "approval": approval.figures,
    "large": large.figures,
    "idle": idle.figures,
}


def main() -> int:
    """Run the parts that were asked for."""
    # What was started is ended also when this process is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    asked = os.environ.get("BENCH") or ",".join(DEFAULT)
    wanted = list(PARTS) if asked == "all" else asked.split(",")
    if unknown := set(wanted) - PARTS.keys():
        sys.stderr.write(f"BENCH knows {', '.join(PARTS)} and all, not {', '.join(unknown)}\n")
        return 2
    for name in wanted:
        progress(f"{name}: load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        show(name, PARTS[name]())
    return 0


if __name__ == "__main__":
    sys.exit(main())
