"""Git repositories that Argo CD follows, served as a Git host serves them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path


class Repository:
    """A repository with one branch, main; people commit in `tree`."""

    def __init__(self, folder: Path, name: str) -> None:
        """Make the repository `name` below `folder/served`, which a Git daemon serves."""
        self.tree = folder / "work" / name
        bare = folder / "served" / f"{name}.git"
        bare.mkdir(parents=True)
        self.tree.mkdir(parents=True)
        self._run("init", "--quiet", "--bare", "--initial-branch=main", str(bare))
        self._run("clone", "--quiet", str(bare), str(self.tree))
        self._run("checkout", "--quiet", "-B", "main")

    def commit(self, files: Mapping[str, str | None], message: str) -> str:
        """Write files (None: remove) and push them; the commit's id."""
        for name, text in files.items():
            path = self.tree / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        self._run("add", "--all")
        self._run("commit", "--quiet", "--message", message)
        self._run("push", "--quiet", "origin", "main")
        return self._run("rev-parse", "HEAD").strip()

    def _run(self, *arguments: str) -> str:
        identity = {
            f"GIT_{who}_{what}": value
            for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "Platform team"), ("EMAIL", "platform@example.com"))
        }
        return subprocess.run(
            ["git", *arguments],
            cwd=self.tree,
            env={**os.environ, **identity, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
