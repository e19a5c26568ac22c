"""What the commands share: options that may stand anywhere, the connection, errors, exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from leeward.cli.failures import Failure
from leeward.cli.outcome import Exit
from leeward.planning import durations

if TYPE_CHECKING:
    from leeward.cli.connect import Api

_F = TypeVar("_F", bound=Callable[..., Any])
_INTERRUPTED = 130
_SENTENCE = 1000
"""Longer than the first sentence of any command."""


@dataclass(slots=True)
class Globals:
    """The global options, wherever on the line they stood."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: str | None = None
    no_color: bool = False


class Subcommands(click.Group):
    """A group whose help has the whole first sentence of each command; click cuts it off."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, each sentence folded into as many lines as it takes."""
        rows = [(name, self.commands[name].get_short_help_str(_SENTENCE))
                for name in self.list_commands(ctx)]  # fmt: skip
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class Commands(Subcommands):
    """A program, whose usage errors end with exit code 1: 2 says that a run failed."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run the command line and end the process."""
        extra["standalone_mode"] = False
        try:
            code = super().main(*args, **extra)
        except click.ClickException as error:
            error.show()
            code = Exit.ERROR
        except Failure as failure:
            click.echo(f"Error: {failure}", err=True)
            code = Exit.ERROR
        except (click.Abort, KeyboardInterrupt):
            code = _INTERRUPTED
        sys.exit(code if isinstance(code, int) else Exit.SUCCEEDED)


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value and param.name is not None:
        setattr(ctx.ensure_object(Globals), param.name, value)


def global_options(command: _F) -> _F:
    """The options that every command takes before and behind its own name."""
    for option in (
        click.option("--no-color", is_flag=True, expose_value=False, callback=_keep,
                     help="No colours. The variable NO_COLOR does the same."),
        click.option("--kubeconfig", metavar="FILE", expose_value=False, callback=_keep,
                     help="Kubeconfig to use."),
        click.option("--context", metavar="NAME", expose_value=False, callback=_keep,
                     help="Context of the kubeconfig."),
        click.option("-n", "--namespace", metavar="NAME", expose_value=False, callback=_keep,
                     help="Namespace. Default: the context's."),
    ):  # fmt: skip
        command = option(command)
    return command


@contextmanager
def connected() -> Iterator[Api]:
    """The connection that the global options name.

    Raises:
        Failure: there is no usable configuration.

    """
    # Costs most of a second, so that only commands that need it pay.
    from leeward.cli.connect import Connection, connect

    given = click.get_current_context().ensure_object(Globals)
    api = connect(Connection(given.namespace, given.context, given.kubeconfig))
    try:
        yield api
    finally:
        api.close()


def colored() -> bool:
    """Whether standard output shows colours."""
    import os

    given = click.get_current_context().ensure_object(Globals)
    return sys.stdout.isatty() and not given.no_color and not os.environ.get("NO_COLOR")


class DurationOf(click.ParamType[timedelta]):
    """A Go duration above zero, such as `90s` or `1h30m`."""

    name = "duration"

    def convert(
        self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """The duration; a usage error where `value` is none."""
        if isinstance(value, timedelta):
            return value
        try:
            parsed = durations.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not parsed:
            self.fail("a time-out is longer than 0s", param, ctx)
        return parsed
