"""Generated files: printed, written to a directory, or compared with one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from leeward.cli.failures import Failure

DIRECTORY: Final = click.Path(file_okay=False, path_type=Path)
"""Type of the options that name a directory."""


def deliver(files: Mapping[str, str], write: Path | None, check: Path | None) -> None:
    """Print the files, write them to a directory, or compare a directory with them.

    Raises:
        Failure: with `check`, and the directory holds something else.

    """
    if write is not None and check is not None:
        raise click.UsageError("--write and --check exclude each other")
    if write is not None:
        write.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (write / name).write_text(text, encoding="utf-8")
        click.echo(f"{len(files)} files written to {write}")
    elif check is not None:
        if problems := _differences(files, check):
            raise Failure(f"{check} is not up to date: {'; '.join(problems)}; run with --write")
        click.echo(f"{len(files)} files in {check} are up to date")
    else:
        click.echo("---\n".join(files.values()), nl=False)


def _differences(files: Mapping[str, str], directory: Path) -> list[str]:
    found = {path.name: path for path in directory.glob("*.yaml")}
    problems = [f"{name} is missing" for name in files if name not in found]
    problems += [f"{name} is not ours" for name in sorted(found) if name not in files]
    return problems + [
        f"{name} differs"
        for name, text in files.items()
        if name in found and found[name].read_text(encoding="utf-8") != text
    ]
