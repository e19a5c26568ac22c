"""How long an approval takes to reach AWS.

Many small plans of one server and one gate each; one run at a time waits, is approved with kubectl,
and goes on to its end before the next is asked for. The time counts from the API server's answer to
the annotation until the first call that changes something reaches AWS, on the machine's clock.
"""

from __future__ import annotations

from datetime import datetime

from applications import application, estate, execution, plan, surroundings
from table import Figure, percentile, progress
from testbed import Object, Site, site, until

GATES = 24
SCALE = 120.0
APPROVER = "approver-a@example.com"


def figures() -> list[Figure]:
    """Seconds from annotation to effect over all gates."""
    names = [application(n) for n in range(1, GATES + 1)]
    with site(estate(GATES), scale=SCALE, operator={}) as place:
        place.apply(*surroundings(), *(plan(name, name, "Instantiate") for name in names))
        took = [_one(place, name) for name in names]
    p50, p95 = percentile(took, 0.5), percentile(took, 0.95)
    note = f"p50 {p50:.3f} s, {min(took):.3f} to {max(took):.3f} s over {len(took)} gates"
    return [Figure("approval → first AWS call, p95", f"{p95:.3f} s", "≤ 0.25 s", note)]


def _one(place: Site, name: str) -> float:
    """Seconds for one gate."""
    place.await_ready(name)
    place.apply(execution(name, name))
    until(f"{name} waits", lambda: _asked(place.get("drx", name)))
    since = place.control.last_seq()
    note = f"leeward.dev/approve-wave-all={APPROVER}: go"
    place.kubectl("annotate", "drx", name, note, user="approver-a")
    place.await_end(name)
    (written,) = (w.at for w in place.writes() if w.name == name and w.user == APPROVER)
    first = next(c for c in place.control.calls(since=since, mutating=True))
    took = (datetime.fromisoformat(first["at"]) - written).total_seconds()
    progress(f"approval of {name}: {took:.3f} s")
    return took


def _asked(execution: Object) -> bool:
    gates = execution.get("status", {}).get("gates", [])
    return any(g["state"] == "Waiting" and g["guard"] for g in gates)
