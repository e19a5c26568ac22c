"""``python -m leeward_sandbox.aws``: the sandbox's AWS as one process on one loopback port."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from pathlib import Path

import click

from leeward_sandbox.aws.backend import World
from leeward_sandbox.aws.clock import Clock
from leeward_sandbox.aws.estates import load
from leeward_sandbox.aws.registry import gateway
from leeward_sandbox.aws.server import LOOPBACK, SandboxServer

EMPTY = "none"


@click.command()
@click.option("--estate", required=True, help="small, reference, broken, none, or a YAML file.")
@click.option("--port", default=0, show_default=True, help="0 takes a free port.")
@click.option("--address", default=LOOPBACK, show_default=True, help="Another one in pods only.")
@click.option(
    "--state-dir",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where aws.json is written when AWS answers.",
)
@click.option("--scale", default=60.0, show_default=True, help="Virtual seconds per real second.")
def main(estate: str, port: int, address: str, state_dir: Path, scale: float) -> None:
    """Serve an AWS with an estate in it until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        loaded = None if estate == EMPTY else load(estate)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"the estate {estate} cannot be used: {error}") from error
    world = World(Clock(scale), seed=loaded.seed if loaded else 0)
    with SandboxServer(gateway(world, loaded), port, address) as server:
        described = _describe(state_dir, server.endpoint)
        click.echo(f"AWS of estate {estate} is at {server.endpoint}")
        ended.wait()
    described.unlink(missing_ok=True)


def _describe(state_dir: Path, endpoint: str) -> Path:
    state_dir.mkdir(parents=True, exist_ok=True)
    path = state_dir / "aws.json"
    # Whoever waits for the file must not read half of it.
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"endpoint": endpoint, "pid": os.getpid()}))
    partial.replace(path)
    return path


if __name__ == "__main__":
    main()
