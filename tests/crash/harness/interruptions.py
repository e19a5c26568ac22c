"""What happens to a run at a boundary, and the play that lets the run go on to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from harness.bench import PATIENCE
from harness.boundaries import Boundary, call_of
from harness.runs import Run

AFTERWARDS = 3.0
"""Seconds that an interruption has to take place after the run is over."""

Strike = Callable[[], bool]
"""Does what is due at this moment; whether the interruption has taken place."""


def play(run: Run, interruption: AbstractContextManager[Strike] | None = None) -> bool:
    """Let a prepared run begin and go to its end; whether the interruption took place.

    Raises AssertionError when the run fails or does not end.
    """
    with interruption or nullcontext(_nothing) as strike:
        run.begin()
        end = time.monotonic() + PATIENCE
        while run.goes_on():
            strike()
            if time.monotonic() > end:
                run.bench.until(f"{run.name} is over", lambda: not run.goes_on(), patience=0)
            time.sleep(0.03)
        # Its plan is looked at once more when it is released.
        end = time.monotonic() + (AFTERWARDS if interruption else 0)
        while not strike() and time.monotonic() < end:
            time.sleep(0.03)
        return strike()


def _nothing() -> bool:
    return False


@contextmanager
def kill_at(run: Run, boundary: Boundary) -> Iterator[Strike]:
    """SIGKILL at the boundary, and a new operator at once."""
    armed = _at_aws if boundary.system == "AWS" else _at_kubernetes
    with armed(run, boundary) as (reached, let_go):
        done = False

        def strike() -> bool:
            nonlocal done
            if not done and reached():
                run.bench.kill_operator()
                let_go()
                run.bench.start_operator()
                done = True
            return done

        yield strike


Armed = Iterator[tuple[Callable[[], bool], Callable[[], None]]]


@contextmanager
def _at_kubernetes(run: Run, boundary: Boundary) -> Armed:
    proxy = run.bench.proxy
    with proxy.stop_at(
        lambda write: call_of(write, run) == boundary.call, boundary.nth, boundary.side
    ) as stop:
        yield lambda: stop.reached, proxy.drop


@contextmanager
def _at_aws(run: Run, boundary: Boundary) -> Armed:
    """The call is held; what is held before its effect comes to nothing when it is let go."""
    control = run.bench.control
    service, operation = boundary.call.split()
    where = {"service": service, "operation": operation, "nth": boundary.nth}
    hold = control.add_fault(**where, action="hold", when=boundary.side)
    rules = [hold]
    if boundary.side == "before":
        rules.append(control.add_fault(**where, action="drop", when="before"))

    def reached() -> bool:
        return any(rule["id"] == hold and rule["holding"] for rule in control.faults())

    def let_go() -> None:
        while rules:
            control.remove_fault(rules.pop(0))

    try:
        yield reached, let_go
    finally:
        let_go()


@contextmanager
def fault(run: Run, **rule: Any) -> Iterator[Strike]:
    """A fault rule of the sandbox's AWS for the length of the run; whether it hit anything."""
    control = run.bench.control
    identifier = control.add_fault(**rule)

    def hit() -> bool:
        return any(one["id"] == identifier and one["hits"] for one in control.faults())

    try:
        yield hit
    finally:
        control.remove_fault(identifier)
