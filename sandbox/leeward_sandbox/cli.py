"""The command line `leeward-sandbox`."""

import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from leeward_sandbox.cluster import ClusterError, binaries
from leeward_sandbox.cluster.kubeconfig import USERS
from leeward_sandbox.demo import run as run_demo
from leeward_sandbox.stack import Stack, examples, remove, state_directory

DEMO_SCALE = 200.0
"""Virtual seconds per second: a DRS job of nine minutes takes under three seconds."""
_UNSET = ("AWS_PROFILE", "AWS_SESSION_TOKEN")
"""Would be used beside the sandbox's access key."""


def _progress(message: str, /) -> None:
    click.echo(message, err=True)


def _name(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--name", default="default", show_default=True, help="Name of the sandbox."
    )(command)


class _Group(click.Group):
    """Shows a ClusterError as a message, not as a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ClusterError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A cluster, an AWS and the operator on loopback, to try everything on."""


@main.command()
@_name
@click.option(
    "--estate",
    default="small",
    show_default=True,
    help="`small`, `reference`, `broken`, or a YAML file of your own.",
)
@click.option(
    "--scale",
    default=60.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Virtual seconds per second of AWS's clock.",
)
@click.option("--no-operator", is_flag=True, help="Do not start the operator.")
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Use the existing cluster of this file's current context.",
)
def up(name: str, estate: str, scale: float, no_operator: bool, kubeconfig: Path | None) -> None:
    """Start a sandbox; prints what `env` prints."""
    # A start that is ended by SIGTERM must not leave half a sandbox, no more than by Ctrl-C.
    signal.signal(signal.SIGTERM, _terminated)
    stack = Stack.up(
        name,
        estate=estate,
        scale=scale,
        operator=not no_operator,
        kubeconfig=kubeconfig,
        progress=_progress,
    )
    _print_environment(stack)
    _print_advice(stack, name)


@main.command()
@_name
def down(name: str) -> None:
    """End a sandbox and remove every trace of it."""
    directory = state_directory(name)
    if remove(directory):
        _progress(f"sandbox {name} is gone")
    elif directory.exists():
        raise click.ClickException(f"{directory} was not made by a sandbox and is left alone")
    else:
        _progress(f"there is no sandbox {name}")


@main.command()
@_name
def status(name: str) -> None:
    """Show a sandbox's processes and addresses. Exit code 1: a part is missing."""
    stack = Stack.attach(name)
    running = stack.pids
    for part in stack.expected:
        state = f"process {running[part]}" if part in running else "not running"
        click.echo(f"{part:<25}{state}")
    aws_ready = stack.aws_is_ready()
    click.echo(f"{'API server':<25}{stack.cluster.server}")
    click.echo(f"{'AWS':<25}{stack.aws_endpoint}{'' if aws_ready else ' (no answer)'}")
    click.echo(f"{'estate':<25}{stack.settings.estate}, clock x{stack.settings.scale:g}")
    click.echo(f"{'state':<25}{stack.state_dir}")
    if not aws_ready or any(part not in running for part in stack.expected):
        sys.exit(1)


@main.command()
@_name
def env(name: str) -> None:
    """Print the shell's exports: eval "$(leeward-sandbox env)"."""
    _print_environment(Stack.attach(name))


@main.command()
@click.option("--keep", is_flag=True, help="Leave the sandbox running afterwards.")
def demo(keep: bool) -> None:
    """One failover of 44 servers in four accounts, live. It is approved on the way."""
    signal.signal(signal.SIGTERM, _terminated)
    name, directory = "demo", state_directory("demo")
    remove(directory)
    stack = Stack.up(name, estate="small", scale=DEMO_SCALE, progress=_progress)
    try:
        verdict = run_demo(stack, examples())
    finally:
        if keep:
            _print_advice(stack, name)
        else:
            stack.down()
    sys.exit(verdict)


@main.command("binaries")
@click.option(
    "--with",
    "extra",
    multiple=True,
    type=click.Choice(["kubeconform", "kstatus", "prometheus", "promtool"]),
    help="Also this tool; may be given again.",
)
def binaries_command(extra: tuple[str, ...]) -> None:
    """Find or build the cluster's programs and print their paths."""
    found = binaries.control_plane(_progress)
    found |= {name: binaries.tool(name, _progress) for name in ("helm", *extra)}
    found["kubectl"] = binaries.kubectl()
    for name, path in found.items():
        click.echo(f"{name:<25}{path}")


@main.command()
@_name
@click.argument("part", required=False)
@click.option("--lines", "-n", default=40, show_default=True, help="How many lines.")
def logs(name: str, part: str | None, lines: int) -> None:
    """Show the last lines of a part's log. Without PART: where the logs are."""
    files = Stack.attach(name).logs
    if part is None:
        for key, file in files.items():
            click.echo(f"{key:<25}{file}")
        return
    if part not in files:
        raise click.ClickException(f"there is no {part}; there are {', '.join(files)}")
    text = files[part].read_text(errors="replace") if files[part].exists() else ""
    for line in text.splitlines()[-lines:]:
        click.echo(line)


def _print_environment(stack: Stack) -> None:
    click.echo(f"unset {' '.join(_UNSET)}")
    for key, value in stack.environment().items():
        click.echo(f"export {key}={shlex.quote(value)}")


def _print_advice(stack: Stack, name: str) -> None:
    option = "" if name == "default" else f" --name {name}"
    _progress("")
    _progress(f'to use it:          eval "$(leeward-sandbox env{option})"')
    _progress("to act as another:  kubectl --kubeconfig FILE …, with FILE one of")
    for user in USERS.values():
        _progress(f"  {user.name:<30}{stack.cluster.kubeconfig(user.short_name)}")
    _progress(f"to end it:          leeward-sandbox down{option}")


def _terminated(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
