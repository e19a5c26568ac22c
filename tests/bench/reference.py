"""The estate `reference` and multiples of it, recovered by the operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import calls as aws_calls
import yaml
from recovery import Recovery, bound, losses, recovery
from table import Figure, progress
from testbed import Object, Site, Usage, Write
from transitions import watching

from leeward_sandbox.stack import OPERATOR_USER, examples

WAVES: Mapping[str, tuple[int, ...]] = {"production": (1, 2, 3), "non-production": (4, 5)}
"""The waves of each plan of the estate; the plans run beside each other."""


@dataclass(frozen=True, slots=True)
class Run:
    """One failover of the estate by the operator."""

    began: dict[str, datetime]
    """By plan: when the API server took the execution; AWS's clock."""
    ended: dict[str, datetime]
    """By plan: the completion time of the execution; AWS's clock."""
    calls: list[Mapping[str, Any]]
    done: Recovery
    writes: list[Write]
    transitions: int
    before: Usage
    after: Usage

    def makespan(self, plan: str) -> float:
        """Seconds of AWS's clock."""
        return (self.ended[plan] - self.began[plan]).total_seconds()


def manifests() -> list[Object]:
    """The example's objects; its gates pass by themselves, so that no human time is measured."""
    bodies = [
        body
        for name in ("targetaccounts", "recoveryplans", "failovers")
        for body in yaml.safe_load_all((examples("reference") / f"{name}.yaml").read_text())
    ]
    for body in bodies:
        if body["kind"] == "RecoveryPlan":
            body["spec"]["approval"] = {"automatic": "Allowed"}
        if body["kind"] == "DRExecution":
            body["spec"]["approvalMode"] = "Automatic"
    return bodies


def run(site: Site, bodies: Sequence[Object]) -> Run:
    """Recover everything; RuntimeError if a run does not succeed."""
    executions = [body for body in bodies if body["kind"] == "DRExecution"]
    plan_of = {body["metadata"]["name"]: body["spec"]["planRef"]["name"] for body in executions}
    site.apply(*(body for body in bodies if body["kind"] != "DRExecution"))
    for plan in plan_of.values():
        site.await_ready(plan)
    progress(f"plans ready, operator {site.usage().rss:.0f} MiB; failover of the estate begins")
    since, before = site.control.last_seq(), site.usage()
    with watching(site) as watch:
        site.apply(*executions)
        ended = {plan_of[name]: _end(site, name) for name in plan_of}
        after = site.usage()
    writes = site.writes()
    began = {
        plan_of[w.name]: site.virtual(w.at)
        for w in writes
        if w.resource == "drexecutions" and w.verb == "create"
    }
    made = site.control.calls(since=since)
    first = min(w.at for w in writes if w.resource == "drexecutions")
    mine = [w for w in writes if w.user == OPERATOR_USER and w.at >= first]
    done = recovery(site, made)
    return Run(began, ended, made, done, mine, watch.transitions(), before, after)


def _end(site: Site, name: str) -> datetime:
    status = site.await_end(name)
    if status["state"] != "Succeeded":
        raise RuntimeError(f"{name} is {status['state']}: {status.get('message')}")
    return site.virtual(datetime.fromisoformat(status["completionTime"]))


def figures(site: Site, run: Run) -> list[Figure]:
    """What the run says of the operator."""
    quotas = site.estate.drs.quotas
    found = []
    for plan, waves in WAVES.items():
        done = run.done.of(waves)
        least, took = bound(done, quotas), run.makespan(plan)
        lost = losses(done, run.began[plan], run.ended[plan])
        rest = ", ".join(f"{seconds:.0f} s {what}" for what, seconds in lost.items())
        note = f"{took:.0f} s of at least {least:.0f} s; lost: {rest}"
        found.append(
            Figure(f"makespan ÷ lower bound, {plan}", f"{took / least:.3f}", "≤ 1.03", note)
        )
    return [*found, *_counts(site, run), *_usage(run)]


def _counts(site: Site, run: Run) -> list[Figure]:
    least = aws_calls.fewest(run.calls, run.done, site.poll)
    waiting = aws_calls.polls(run.calls, run.done, site.poll)
    note = f"{len(run.calls)} of at least {least} ({waiting} polls): {aws_calls.split(run.calls)}"
    kinds = Counter(f"{w.verb} {w.resource}" for w in run.writes)
    parts = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
    per = len(run.writes) / run.transitions
    written = f"{len(run.writes)} writes to {run.transitions} transitions: {parts}"
    return [
        Figure("AWS calls ÷ minimum", f"{len(run.calls) / least:.2f}", "≤ 1.2", note),
        Figure("Kubernetes writes per task transition", f"{per:.2f}", "≤ 1.2", written),
    ]


def _usage(run: Run) -> list[Figure]:
    wall = max(w.at for w in run.writes) - min(w.at for w in run.writes)
    cpu = run.after.cpu - run.before.cpu
    servers = len(run.done.launches)
    return [
        Figure(
            "operator CPU", f"{cpu:.1f} s", "",
            f"{100 * cpu / wall.total_seconds():.0f} % of a core, "
            f"{1000 * cpu / servers:.1f} ms per server",
        ),
        Figure("operator peak RSS", f"{run.after.peak:.0f} MiB", "", f"{servers} servers"),
    ]  # fmt: skip
