"""Print a CycloneDX 1.6 bill of materials of the image's Python packages, from its lock file.

Needs nothing but Python and the two files, and asks nobody: the same files give the same text.
What the base image brings is not in it; scan the image for that.
Source: CycloneDX specification 1.6, JSON; purl specification, type pypi.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
import uuid
from hashlib import sha256
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)", re.MULTILINE)


def document(lock: str, project: dict[str, Any]) -> dict[str, Any]:
    """The bill of materials of the pinned packages, and of the project as what they are for."""
    name, version = str(project["name"]), str(project["version"])
    own = f"pkg:pypi/{name}@{version}"
    digest = sha256(lock.encode()).hexdigest()
    parts = [_component(m["name"], m["version"]) for m in _PIN.finditer(lock)]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{own}#{digest}')}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": name,
                "version": version,
                "purl": own,
                "licenses": [{"license": {"id": project["license"]}}],
            },
            "properties": [{"name": "leeward:lock:sha256", "value": digest}],
        },
        "components": parts,
        "dependencies": [{"ref": own, "dependsOn": [part["bom-ref"] for part in parts]}],
    }


def _component(name: str, version: str) -> dict[str, str]:
    purl = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def main() -> None:
    """Print it."""
    lock = (ROOT / "requirements-image.lock").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    json.dump(document(lock, project), sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
