"""The admission policies that make commands unforgeable and the record the operator's alone.

The YAML files beside this module are what an installation applies (`leeward policies --write DIR`)
and what the guard compares the live policies with. They spell out every default of the API server,
so that a live policy that is in force equals its file field by field.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import yaml

from leeward.api.common import OPERATOR_USER


def render(operator: str = OPERATOR_USER) -> dict[str, str]:
    """The policy files: text by file name, for writing them elsewhere.

    `operator` is the operator's user name at the API server, which the policies know it by.
    """
    files = [file for file in resources.files(__name__).iterdir() if file.name.endswith(".yaml")]
    return {
        file.name: file.read_text("utf-8").replace(OPERATOR_USER, operator)
        for file in sorted(files, key=lambda f: f.name)
    }


def load(operator: str = OPERATOR_USER) -> list[dict[str, Any]]:
    """The policies and bindings as objects of the Kubernetes API, in the order of the files."""
    texts = render(operator).values()
    return [found for text in texts for found in yaml.safe_load_all(text) if found]
