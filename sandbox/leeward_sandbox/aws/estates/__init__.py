"""Estates: what the sandbox's AWS holds at the start, as YAML files and as models."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from leeward_sandbox.aws.estates.model import Account, Estate, Network, Server, ServerGroup
from leeward_sandbox.aws.estates.seed import Seeded, seed

BUNDLED = ("small", "reference", "broken")

__all__ = [
    "BUNDLED",
    "Account",
    "Estate",
    "Network",
    "Seeded",
    "Server",
    "ServerGroup",
    "load",
    "seed",
    "tiny",
]


def load(name_or_path: str | Path) -> Estate:
    """Read an estate: one of `BUNDLED` by name, or a YAML file.

    Raises:
        FileNotFoundError: there is neither an estate of that name nor such a file.
        ValueError: the file is no estate; the message says where.
    """
    if str(name_or_path) in BUNDLED:
        text = resources.files(__package__).joinpath(f"{name_or_path}.yaml").read_text("utf-8")
    else:
        path = Path(name_or_path)
        if not path.is_file():
            raise FileNotFoundError(
                f"no estate {name_or_path}: neither a file nor one of {', '.join(BUNDLED)}"
            )
        text = path.read_text("utf-8")
    return Estate.model_validate(yaml.safe_load(text))


def tiny(servers: int = 1, *, account: str = "111111111111", **changes: Any) -> Estate:
    """An estate of one account with `servers` alike servers app-01, app-02, …, for tests.

    Args:
        servers: how many.
        account: the account.
        **changes: fields of `Estate` to set; `accounts` replaces the account.
    """
    group = ServerGroup(prefix="app", count=servers, tags={"dr:wave": "1"})
    network = Network(
        primary_cidr="10.0.0.0/16", recovery_cidr="10.1.0.0/16", drill_cidr="10.2.0.0/16"
    )
    accounts = [Account(id=account, name="tiny", network=network, server_groups=[group])]
    tags = {
        "Customer": "CustomerA",
        "Environment": "Production",
        "dr:enabled": "true",
        "dr:priority": "critical",
        "dr:recovery-strategy": "drs",
    }
    fields: dict[str, Any] = {
        "name": "tiny",
        "namespace": "tiny",
        "tags": tags,
        "accounts": accounts,
    }
    return Estate(**(fields | changes))
