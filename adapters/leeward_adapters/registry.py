"""Which adapters there are. Nothing is imported before it is asked for.

Third parties add adapters by entry points of the group `leeward.adapters`:

    [project.entry-points."leeward.adapters"]
    vmware = "acme_leeward.vmware:Vmware"
"""

from __future__ import annotations

import threading
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from leeward_adapters.attribution import attributed
from leeward_adapters.base import Adapter

GROUP: Final = "leeward.adapters"

BUILT_IN: Final = {
    "automation": "leeward_adapters.automation:Automation",
    "autoscaling": "leeward_adapters.autoscaling:Autoscaling",
    "drs": "leeward_adapters.drs:Drs",
    "ec2": "leeward_adapters.ec2:Ec2",
    "route53": "leeward_adapters.route53:Route53",
}

_lock = threading.Lock()
_made: dict[str, Adapter] = {}


class AdapterError(Exception):
    """An adapter is unknown, or one that is installed cannot be used; the message says which."""


def kinds() -> frozenset[str]:
    """Kinds of all adapters, built in and installed.

    Raises:
        AdapterError: two packages claim one kind.
    """
    return frozenset(BUILT_IN) | frozenset(_installed())


def adapter(kind: str) -> Adapter:
    """The one instance of the adapter of that kind.

    Raises:
        AdapterError: nobody has it, or it cannot be imported, or it is not what it says.
    """
    with _lock:
        if kind not in _made:
            _made[kind] = _make(kind)
        return _made[kind]


def _installed() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        if entry.name in BUILT_IN or entry.name in found:
            other = "Leeward itself" if entry.name in BUILT_IN else found[entry.name].value
            raise AdapterError(
                f"adapter '{entry.name}' of {_source(entry)} ({entry.value}) has the name of one "
                f"of {other}: remove one of the packages"
            )
        found[entry.name] = entry
    return found


def _make(kind: str) -> Adapter:
    if kind in BUILT_IN:
        module, _, name = BUILT_IN[kind].partition(":")
        return attributed(getattr(import_module(module), name))()
    entry = _installed().get(kind)
    if entry is None:
        raise AdapterError(f"there is no adapter '{kind}'; known: {', '.join(sorted(kinds()))}")
    try:
        made = attributed(entry.load())()
    except Exception as error:
        # Whatever a foreign package raises: the operator must say whose fault it is.
        raise AdapterError(
            f"adapter '{kind}' of {_source(entry)} ({entry.value}) cannot be loaded: {error!r}"
        ) from error
    if getattr(made, "kind", None) != kind:
        raise AdapterError(
            f"adapter '{kind}' of {_source(entry)} ({entry.value}) says that it is "
            f"'{getattr(made, 'kind', None)}'"
        )
    return made


def _source(entry: EntryPoint) -> str:
    return f"package {entry.dist.name}" if entry.dist is not None else "an unknown package"
