"""`kubectl leeward approve`, `pause`, `retry` and all other commands that steer a run.

Each writes one annotation with the caller's own name in it. Whether it counts is decided by the
API server's admission policies and then by the operator; a refusal is printed as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from leeward.api.common import PREFIX
from leeward.cli import annotation, folding, outcome, tree
from leeward.cli.app import connected, global_options
from leeward.cli.failures import Failure
from leeward.cli.kinds import EXECUTION, TASK, Kind, KindOf
from leeward.cli.outcome import Exit

if TYPE_CHECKING:
    from leeward.cli.connect import Api, Object

_F = TypeVar("_F", bound=Callable[..., Any])
_ASKED = "Only this server of the task; may be given again. Default: all that it asks about."
_MESSAGE_HELP = "A comment for the record: why, or what was checked."
_MEANT: Final = {"mark-done": ("Failed", "PendingApproval"), "undo": ("Complete", "Failed")}
"""States of the tasks that a command means when a selector finds them; else the failed ones."""


@dataclass(frozen=True, slots=True)
class Order:
    """A command as it was typed."""

    verb: str
    kind: Kind
    comment: str = ""
    gate: str = ""
    suffix: str = ""
    resources: tuple[str, ...] = ()


class PassedOver(Exception):  # noqa: N818 - no error: a selector found what needs nothing
    """An object to which the command has nothing to say."""


def give(api: Api, order: Order, name: str | None, selector: str | None) -> Exit:
    """Carry the order out on the objects named, and say so for each; one refusal stops no other."""
    targets = _targets(api, order.kind, name, selector)
    user = api.user()
    given = failures = 0
    for target in targets:
        title = f"{order.kind.short} {target['metadata']['namespace']}/{target['metadata']['name']}"
        try:
            what = _give_one(api, order, target, user, chosen=selector is not None)
        except PassedOver as reason:
            click.echo(f"{title}: passed over, {reason}")
        except Failure as failure:
            failures += 1
            click.echo(f"{title}: {failure}", err=True)
        else:
            given += 1
            click.echo(f"{title}: {what} given as {user}; the operator takes it from here")
    if not given and not failures:
        click.echo(f"nothing to {order.verb}", err=True)
    return Exit.SUCCEEDED if given and not failures else Exit.ERROR


def _targets(api: Api, kind: Kind, name: str | None, selector: str | None) -> Sequence[Object]:
    if selector is None:
        return [api.get(kind.path(api.namespace, name))]
    found, _ = api.list(kind.path(api.namespace), {"labelSelector": selector})
    if not found:
        raise Failure(f"no {kind.singular} in namespace {api.namespace} matches {selector}")
    return found


def _give_one(api: Api, order: Order, target: Object, user: str, *, chosen: bool) -> str:
    if chosen:
        _pass_over(order, target)
    gate = order.gate
    if order.kind is not TASK and order.verb in {"approve", "reject", "accept-data-loss"}:
        gate = gate or _only_gate(order.verb, target, chosen=chosen)
    present = target["metadata"].get("annotations") or {}
    suffix = order.suffix
    if gate and not suffix:
        suffix = annotation.free_suffix(present, order.verb, gate, user)
    key = annotation.key(order.verb, gate, suffix)
    text = annotation.value(user, order.comment, order.resources)
    metadata = target["metadata"]
    api.annotate(order.kind.path(metadata["namespace"], metadata["name"]), {key: text})
    return f"{order.verb} {gate}" if gate else order.verb


def _pass_over(order: Order, target: Object) -> None:
    """Leave out what a selector found and the command does not mean."""
    if order.kind is TASK:
        _pass_over_task(order.verb, target)
    elif outcome.verdict(target) is not None:
        raise PassedOver(f"it has ended as {tree.state_word(target)}")
    elif order.verb == "unplanned" and tree.mode(target) == "Unplanned":
        raise PassedOver("it is Unplanned already")
    elif order.verb == "adopt" and not tree.found_previous_run(target):
        raise PassedOver("it has found nothing to adopt")
    elif order.verb == "break-glass" and (who := tree.broken_by(target)):
        raise PassedOver(f"its glass was broken by {who} already")


def _pass_over_task(verb: str, target: Object) -> None:
    if (target["metadata"].get("labels") or {}).get(f"{PREFIX}live") != "true":
        raise PassedOver("its run has ended")
    state, meant = folding.state_of(target), _MEANT.get(verb, ("Failed",))
    if state not in meant:
        raise PassedOver(f"it is {state}, not {' or '.join(meant)}")


def _only_gate(verb: str, target: Object, *, chosen: bool) -> str:
    gates, what = tree.open_gates(target), "waits"
    if verb == "accept-data-loss":
        gates, what = [g for g in gates if tree.asks_for_loss(g)], "asks whether data may be lost"
    names = [str(gate["name"]) for gate in gates]
    if len(names) == 1:
        return names[0]
    if names:
        raise Failure(f"several gates wait, name one of them: {', '.join(names)}")
    if chosen:
        raise PassedOver(f"no gate {what}")
    raise Failure(f"no gate {what} now")


def _common(command: _F) -> _F:
    for option in (
        click.option("-m", "--message", "comment", default="", help=_MESSAGE_HELP),
        click.option("-l", "--selector", help="All that match this label selector, not one NAME."),
    ):
        command = option(command)
    return global_options(command)


def _one_or_selected(names: Sequence[str], selector: str | None, extra: int) -> list[str | None]:
    """The positional arguments: NAME (None with a selector), then up to `extra` more."""
    given: list[str | None] = [None, *names] if selector is not None else list(names)
    if not given:
        raise click.UsageError("give a NAME, or a selector with -l")
    if len(given) > 1 + extra:
        raise click.UsageError(f"{given[1 + extra]!r} is one argument too many")
    return given + [None] * (1 + extra - len(given))


def _answer(verb: str, text: str) -> click.Command:
    @click.command(verb, help=text)
    @click.argument("kind", type=KindOf(EXECUTION), metavar="drx")
    @click.argument("names", nargs=-1, metavar="[NAME] [GATE]")
    @click.option("--suffix", default="", help="Suffix of the annotation. Default: a free one.")
    @_common
    @click.pass_context
    def answer(
        ctx: click.Context,
        kind: Kind,
        names: tuple[str, ...],
        suffix: str,
        selector: str | None,
        comment: str,
    ) -> None:
        name, gate = _one_or_selected(names, selector, 1)
        order = Order(verb, kind, comment, gate or "", suffix)
        with connected() as api:
            ctx.exit(give(api, order, name, selector))

    return answer


def _acceptance(text: str) -> click.Command:
    @click.command("accept-data-loss", help=text)
    @click.argument("kind", type=KindOf(EXECUTION, TASK), metavar="drx|drt")
    @click.argument("names", nargs=-1, metavar="[NAME] [GATE]")
    @click.option(
        "--suffix", default="", help="Suffix of a gate's annotation. Default: a free one."
    )
    @click.option("--resource", "resources", multiple=True, metavar="ID", help=_ASKED)
    @_common
    @click.pass_context
    def acceptance(
        ctx: click.Context,
        kind: Kind,
        names: tuple[str, ...],
        suffix: str,
        resources: tuple[str, ...],
        selector: str | None,
        comment: str,
    ) -> None:
        name, gate = (*_one_or_selected(names, selector, 1 if kind is EXECUTION else 0), None)[:2]
        if resources and (kind is EXECUTION or selector is not None):
            raise click.UsageError("--resource names resources of one task (drt), by its NAME")
        order = Order("accept-data-loss", kind, comment, gate or "", suffix, resources)
        with connected() as api:
            ctx.exit(give(api, order, name, selector))

    return acceptance


def _steering(verb: str, text: str) -> click.Command:
    @click.command(verb, help=text)
    @click.argument("kind", type=KindOf(EXECUTION), metavar="drx")
    @click.argument("names", nargs=-1, metavar="[NAME]")
    @_common
    @click.pass_context
    def steering(
        ctx: click.Context, kind: Kind, names: tuple[str, ...], selector: str | None, comment: str
    ) -> None:
        (name,) = _one_or_selected(names, selector, 0)
        with connected() as api:
            ctx.exit(give(api, Order(verb, kind, comment), name, selector))

    return steering


def _on_tasks(verb: str, text: str, which: str, *, named: bool = False) -> click.Command:
    @click.command(verb, help=text)
    @click.argument("kind", type=KindOf(TASK), metavar="drt")
    @click.argument("names", nargs=-1, metavar="[NAME]")
    @click.option(
        "--resource",
        "resources",
        multiple=True,
        metavar="ID",
        help=which,
    )
    @_common
    @click.pass_context
    def on_tasks(
        ctx: click.Context,
        kind: Kind,
        names: tuple[str, ...],
        resources: tuple[str, ...],
        selector: str | None,
        comment: str,
    ) -> None:
        (name,) = _one_or_selected(names, selector, 0)
        if named and not resources:
            raise click.UsageError(f"{verb} names what it replaces: give --resource ID")
        if resources and selector is not None:
            raise click.UsageError("--resource names resources of one task; give its NAME, not -l")
        with connected() as api:
            ctx.exit(give(api, Order(verb, kind, comment, resources=resources), name, selector))

    return on_tasks


_SOME = "Only this resource of the task; may be given again. Default: {}."
COMMANDS = (
    _answer(
        "approve",
        "Approve a gate of a run (drx). GATE may be left out where exactly one waits.",
    ),
    _answer(
        "reject",
        "Reject a gate of a run (drx). GATE may be left out where exactly one waits.",
    ),
    _acceptance(
        "Accept that data may be lost behind a gate of a run (drx) that asks so; approvals are "
        "given beside it, and GATE may be left out where exactly one asks. Or that a task (drt) "
        "goes on with servers that are older than what is known, where it asks so.",
    ),
    _steering("pause", "Pause a run: nothing new is asked of AWS until it is resumed."),
    _steering("resume", "Resume a paused run."),
    _steering("cancel", "Cancel a run: nothing new starts, what is under way is followed."),
    _steering(
        "unplanned",
        "Switch a run to Unplanned: from now on it does not wait for the Region that is lost.",
    ),
    _steering(
        "adopt",
        "Let a run take over what an execution of its name left in AWS, when it waits for that.",
    ),
    _steering(
        "break-glass",
        "Waive quorum, four eyes and lists of approvers for a run, but for what destroys or loses "
        "data. The record says who did.",
    ),
    _on_tasks(
        "retry",
        "Try failed resources of a task (drt) again: look first, repeat only what is missing.",
        _SOME.format("all that failed, else all that were undone"),
    ),
    _on_tasks(
        "skip",
        "Leave failed resources of a task (drt) out, and let the run go on.",
        _SOME.format("all that failed; of a task that has not begun: all"),
    ),
    _on_tasks(
        "mark-done",
        "Say that a person did by hand what a task (drt) did not achieve.",
        _SOME.format("all that are not complete"),
    ),
    _on_tasks(
        "undo",
        "Take back what a task (drt) did, as far as it can be taken back.",
        _SOME.format("all"),
    ),
    _on_tasks(
        "relaunch",
        "Replace what a task (drt) launched: the resources that are named, a snapshot first.",
        "This resource of the task; may be given again, and at least once.",
        named=True,
    ),
)
