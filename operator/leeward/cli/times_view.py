"""The times of a run for people: estimate, work, waiting for people, and what was promised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from leeward.cli.render import Pair, Tone, clean, elapsed
from leeward.planning.durations import parse

Object = Mapping[str, Any]

_TONES: Mapping[str, Tone] = {"Met": "good", "Missed": "bad"}


def short(span: str | None) -> str:
    """A span of the record to the second; `?` where there is none."""
    return elapsed(parse(span)) if span else "?"


def pairs(status: Object, now: datetime) -> Iterator[Pair]:
    """Lines for the header of a run with this status; none for one without times."""
    times = status.get("objectives")
    if not times or not status.get("startTime"):
        return
    yield Pair("Estimated", f"{short(times.get('estimated'))}, waiting for people not counted")
    until = datetime.fromisoformat(status.get("completionTime") or now.isoformat())
    total = max(until - datetime.fromisoformat(status["startTime"]), timedelta())
    waited = _waited(times, until)
    if took := times.get("actual"):
        spent = elapsed(parse(times["recoveredAfter"]) - parse(took))
        yield Pair("Actual", f"{short(took)} at work, {spent} waiting for people")
    else:
        running = not status.get("completionTime")
        far = " so far" if running else ""
        said = f"{elapsed(total - waited)} at work{far}, {elapsed(waited)} waiting for people"
        yield Pair("Actual", said, timed=running)
    yield from promises(times, "at the start")


def promises(times: Object, when: str) -> Iterator[Pair]:
    """Lines for the recovery objectives; `when` says of which moment the lag is."""
    if target := times.get("rtoTarget"):
        verdict, after = times.get("rto") or "", times.get("recoveredAfter")
        reached = f", recovered after {short(after)}" if after else ""
        judged = f": {verdict.lower()}" if verdict else ""
        yield Pair("RTO", f"{target}{reached}{judged}", _TONES.get(verdict, ""))
    if lag := times.get("lag"):
        bad = bool(lag.get("above") or lag.get("unknown"))
        said = _lag(lag, when, times.get("rpoTarget"))
        yield Pair("RPO", said, "waiting" if bad else "")


def _lag(lag: Object, when: str, target: str | None) -> str:
    said = f"lag {when} not known"
    if worst := lag.get("worst"):
        said = f"worst lag {when} {short(worst)} ({clean(lag.get('worstServer') or '')})"
    allowed = f", {target} allowed" if target else ""
    above, unknown = lag.get("above") or 0, lag.get("unknown") or 0
    return f"{said}{allowed}: {above:,} of {lag.get('servers', 0):,} above, {unknown:,} unknown"


def _waited(times: Object, until: datetime) -> timedelta:
    waited = parse(times.get("waited") or "0s")
    if waiting := times.get("waiting"):
        waited += max(until - datetime.fromisoformat(waiting["since"]), timedelta())
    return waited


def of_wave(times: Object | None, name: str) -> str:
    """The times of one wave, to be put behind its counts; empty where there are none."""
    known = next((w for w in (times or {}).get("waves") or [] if w["name"] == name), None)
    if known is None or not known.get("estimated"):
        return ""
    parts = [f"estimated {short(known['estimated'])}"]
    if took := known.get("actual"):
        parts = [f"took {short(took)} of {short(known['estimated'])} estimated"]
    if waited := parse(known.get("waited") or "0s"):
        parts.append(f"waited {elapsed(waited)}")
    if target := known.get("rtoTarget"):
        verdict = f" {known['rto'].lower()}" if known.get("rto") else ""
        parts.append(f"RTO {target}{verdict}")
    lag = known.get("lag") or {}
    if worst := lag.get("worst"):
        parts.append(f"lag {short(worst)}")
    return ", ".join(parts)
