"""Write requirements-image.lock: what of requirements.lock the operator itself needs to run.

The versions and hashes are requirements.lock's own, so that the image runs what was tested. Run by
`make generate` in the environment of `make setup`, whose metadata say who needs whom.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[2]
LOCK: Final = ROOT / "requirements.lock"
TARGET: Final = ROOT / "requirements-image.lock"
EXTRA: Final = "tracing"
"""What is off as a rule but needs packages: nothing can be installed in a running container."""
_HEAD: Final = (
    "# Made by deploy/image/lock.py from requirements.lock: what the operator needs to run.\n"
)
_PIN: Final = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==")


def pins(text: str) -> dict[str, str]:
    """By canonical name: the entry of a requirements file with its hashes, whole lines."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines(keepends=True):
        if match := _PIN.match(line):
            name = str(canonicalize_name(match["name"]))
            found[name] = line
        elif name and line.startswith(" "):
            found[name] += line
    return found


def closure(package: str, known: Mapping[str, str], extra: str = "") -> set[str]:
    """Names of all that the package needs with one of its extras, as far as the lock knows it.

    Markers about the platform and Python are not looked at: the image's may differ from ours.
    """
    seen: set[str] = set()
    waiting = [(package, extra)]
    while waiting:
        for needed in _needs(*waiting.pop()):
            if needed in known and needed not in seen:
                seen.add(needed)
                waiting.append((needed, ""))
    return seen


def _needs(package: str, extra: str) -> Iterator[str]:
    try:
        declared = requires(package) or []
    except PackageNotFoundError:
        # Of another platform or Python: it is in the lock, and needs nothing that is not.
        return
    for text in declared:
        requirement = Requirement(text)
        marker = str(requirement.marker or "")
        if "extra" not in marker or (extra and f'extra == "{extra}"' in marker):
            yield str(canonicalize_name(requirement.name))


def render() -> str:
    """The file's text."""
    known = pins(LOCK.read_text("utf-8"))
    return _HEAD + "".join(known[name] for name in sorted(closure("leeward", known, EXTRA)))


if __name__ == "__main__":
    TARGET.write_text(render(), "utf-8")
    sys.stdout.write(f"{len(pins(render()))} packages written to {TARGET.name}\n")
