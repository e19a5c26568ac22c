"""Making a preview fit into a status: what can best be done without goes first, and is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from leeward.api.plan import Approvers
from leeward.api.preview import Preview, PreviewStage, PreviewWork
from leeward.planning.wording import clip

LIMIT: Final = 20_000
"""Bytes of a preview in a status."""
_SHOWN: Final = 5


def fitted(whole: Preview, limit: int = LIMIT) -> Preview:
    """The preview in at most `limit` bytes of JSON, with what was taken out named in `left_out`.

    What a larger estate makes long goes first, the timeline and the refusals last.
    """
    for words, shorten in _SHORTER:
        if _size(whole) <= limit:
            break
        shorter = shorten(whole)
        if shorter != whole:
            whole = shorter.model_copy(update={"left_out": [*whole.left_out, words]})
    return whole


def _size(whole: Preview) -> int:
    text = json.dumps(whole.to_api(), separators=(",", ":"), ensure_ascii=False)
    return len(text.encode())


def _few_changes(whole: Preview) -> Preview:
    if whole.launch is None:
        return whole
    few = [clip(change, 256) for change in whole.launch.changes[: 2 * _SHOWN]]
    return whole.model_copy(update={"launch": whole.launch.model_copy(update={"changes": few})})


def _without_accounts(whole: Preview) -> Preview:
    return _with_stages(whole, lambda stage: {"work": _by_technology(stage.work)})


def _by_technology(work: Sequence[PreviewWork]) -> list[PreviewWork]:
    sums: dict[tuple[str, str], list[PreviewWork]] = {}
    for row in work:
        sums.setdefault((row.technology, row.region), []).append(row)
    return [
        PreviewWork(
            technology=technology,
            region=region,
            tasks=sum(row.tasks for row in rows),
            resources=sum(row.resources for row in rows),
            jobs=sum(row.jobs for row in rows),
        )
        for (technology, region), rows in sums.items()
    ]


def _without_arns(whole: Preview) -> Preview:
    access = [a.model_copy(update={"role_arns": []}) for a in whole.access]
    return whole.model_copy(update={"access": access})


def _few_findings(whole: Preview) -> Preview:
    findings = [clip(f, 256) for f in whole.findings[: 2 * _SHOWN]]
    return whole.model_copy(update={"findings": findings})


def _few_approvers(whole: Preview) -> Preview:
    few = [
        gate.model_copy(
            update={
                "approvers": Approvers(
                    users=gate.approvers.users[:_SHOWN], groups=gate.approvers.groups[:_SHOWN]
                )
            }
        )
        for gate in whole.gates
    ]
    return whole.model_copy(update={"gates": few})


def _without_access(whole: Preview) -> Preview:
    return whole.model_copy(update={"access": []})


def _without_work(whole: Preview) -> Preview:
    return _with_stages(whole, lambda _: {"work": [], "dominated_by": ""})


def _without_waves(whole: Preview) -> Preview:
    if whole.objectives is None:
        return whole
    objectives = whole.objectives.model_copy(update={"waves": []})
    return whole.model_copy(update={"objectives": objectives})


def _without_approvers(whole: Preview) -> Preview:
    none = [gate.model_copy(update={"approvers": Approvers()}) for gate in whole.gates]
    return whole.model_copy(update={"gates": none})


def _few_refusals(whole: Preview) -> Preview:
    refusals = [clip(r, 256) for r in whole.refusals[: 4 * _SHOWN]]
    return whole.model_copy(update={"refusals": refusals})


def _first_stages(whole: Preview) -> Preview:
    update = {"stages": whole.stages[: 8 * _SHOWN], "gates": whole.gates[: 4 * _SHOWN]}
    return whole.model_copy(update=update)


def _with_stages(whole: Preview, change: Callable[[PreviewStage], Mapping[str, object]]) -> Preview:
    stages = [stage.model_copy(update=change(stage)) for stage in whole.stages]
    return whole.model_copy(update={"stages": stages})


_SHORTER: Final[tuple[tuple[str, Callable[[Preview], Preview]], ...]] = (
    ("changes of launch settings beyond the first 10, and their ends", _few_changes),
    ("accounts of the stages", _without_accounts),
    ("ARNs of the roles", _without_arns),
    ("findings beyond the first 10, and their ends", _few_findings),
    ("approvers beyond the first 5 users and groups", _few_approvers),
    ("IAM actions", _without_access),
    ("technologies of the stages", _without_work),
    ("objectives by wave", _without_waves),
    ("all approvers", _without_approvers),
    ("refusals beyond the first 20, and their ends", _few_refusals),
    ("stages beyond the first 40, gates beyond the first 20", _first_stages),
)
