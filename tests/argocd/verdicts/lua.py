"""Argo CD's customizations in a real Lua 5.1, with the libraries that Argo CD gives them.

Argo CD interprets them by gopher-lua, which is Lua 5.1 and `goto`; what runs here runs there. It
opens `base`, `table`, `package` and an `os` of `time` and `date` (argo-cd v3.5.7, util/lua/lua.go);
scripts that are built in get the others for health, but those of `argocd-cm` never do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lupa.lua51 as lua

_AS_ARGO_CD_OPENS_IT = """
os = {time = os.time, date = os.date}
package.loaded.os = os
for _, name in ipairs({"string", "math", "io", "debug", "coroutine"}) do
  package.loaded[name] = nil
  _G[name] = nil
end
dofile, loadfile = nil, nil
getmetatable("").__index = nil
"""


class ScriptError(Exception):
    """A script ended with an error."""


def run(script: str, obj: dict[str, Any], parameters: dict[str, str] | None = None) -> Any:
    """What `script` returns for the object `obj`, as Argo CD would read it.

    An empty table is an empty list, since Lua cannot tell them apart.

    Raises:
        ScriptError: the script failed.

    """
    machine = lua.LuaRuntime(
        unpack_returned_tuples=True, register_eval=False, register_builtins=False
    )
    machine.execute(_AS_ARGO_CD_OPENS_IT)
    names = machine.globals()
    names["python"] = None
    names["obj"] = _to_lua(machine, obj)
    names["actionParams"] = _to_lua(machine, parameters or {})
    try:
        return _to_python(machine.execute(script))
    except lua.LuaError as error:
        raise ScriptError(str(error)) from error


def health(directory: Path, obj: dict[str, Any]) -> dict[str, str]:
    """`status` and `message` of an object, by the `health.lua` of its kind's directory."""
    found: dict[str, str] = run((directory / "health.lua").read_text("utf-8"), obj)
    return found


def discover(directory: Path, obj: dict[str, Any]) -> list[dict[str, Any]]:
    """The actions that `actions/discovery.lua` offers for an object, by name."""
    offered = run((directory / "actions" / "discovery.lua").read_text("utf-8"), obj) or {}
    return [{"name": name, **offered[name]} for name in sorted(offered)]


def act(directory: Path, action: str, obj: dict[str, Any]) -> list[dict[str, Any]]:
    """What an action does: `operation` and `resource` of each object that it touches."""
    script = (directory / "actions" / action / "action.lua").read_text("utf-8")
    returned = run(script, obj)
    if not isinstance(returned, list):
        returned = [{"operation": "patch", "resource": returned}]
    for one in returned:
        if one["operation"] == "patch":
            one["resource"] = _mended(one["resource"], obj)
    return returned


def _mended(new: Any, old: Any) -> Any:
    """`new` with empty lists as maps again, where `old` had a map; as Argo CD does."""
    if isinstance(new, list) and not new and isinstance(old, dict):
        return {}
    if isinstance(new, dict) and isinstance(old, dict):
        return {key: _mended(value, old.get(key)) for key, value in new.items()}
    if isinstance(new, list) and isinstance(old, list):
        return [_mended(*pair) for pair in zip(new, [*old, *[None] * len(new)], strict=False)]
    return new


def _to_lua(machine: Any, value: Any) -> Any:
    if isinstance(value, dict):
        table = machine.table()
        for key, inner in value.items():
            table[key] = _to_lua(machine, inner)
        return table
    if isinstance(value, list):
        return machine.table(*(_to_lua(machine, inner) for inner in value))
    return value


def _to_python(value: Any) -> Any:
    if lua.lua_type(value) == "table":
        keys = list(value.keys())
        if all(isinstance(key, int | float) for key in keys):
            return [_to_python(value[place]) for place in range(1, len(keys) + 1)]
        return {key: _to_python(value[key]) for key in keys}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
