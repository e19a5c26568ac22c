"""The control API under ``/_leeward/``: clock, record, faults, state. It is not AWS."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from pydantic import ValidationError

from leeward_sandbox.aws.backend import Controllable
from leeward_sandbox.aws.faults import Rule
from leeward_sandbox.aws.gateway import Gateway
from leeward_sandbox.aws.wire import HttpRequest, HttpResponse

PREFIX = "/_leeward/"


class _RefusedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class _Ask:
    method: str
    rest: tuple[str, ...]
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)


class ControlApi:
    """Answers control requests; see `leeward_sandbox.aws.control.Control` for the client."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._routes: dict[str, Callable[[_Ask], dict[str, Any]]] = {
            "health": lambda ask: {"ready": True},
            "clock": self._clock,
            "calls": self._calls,
            "violations": self._violations,
            "faults": self._faults,
        }

    def answer(self, request: HttpRequest) -> HttpResponse:
        """The JSON answer; what is refused says why in ``error``."""
        try:
            ask = _ask(request)
            result = self._routes.get(ask.rest[0], self._backend)(ask)
            return _response(200, result)
        except _RefusedError as refused:
            return _response(refused.status, {"error": str(refused)})

    def _clock(self, ask: _Ask) -> dict[str, Any]:
        clock = self._gateway.world.clock
        if ask.method == "POST":
            unknown = ask.body.keys() - {"advance", "scale"}
            if unknown or not ask.body:
                raise _RefusedError(400, 'the clock takes {"advance": seconds} and {"scale": x}')
            try:
                if "scale" in ask.body:
                    clock.scale = float(ask.body["scale"])
                clock.advance(float(ask.body.get("advance", 0)))
            except (TypeError, ValueError) as error:
                raise _RefusedError(400, str(error)) from error
        return {"now": clock.now().isoformat(), "scale": clock.scale}

    def _calls(self, ask: _Ask) -> dict[str, Any]:
        wanted: dict[str, object] = {
            name: ask.query[name]
            for name in ("service", "operation", "account", "region")
            if name in ask.query
        }
        if "mutating" in ask.query:
            wanted["mutating"] = ask.query["mutating"] == "true"
        calls, following = self._gateway.recorder.calls(_since(ask), **wanted)
        return {"calls": calls, "next": following}

    def _violations(self, ask: _Ask) -> dict[str, Any]:
        return {"violations": self._gateway.recorder.violations(_since(ask))}

    def _faults(self, ask: _Ask) -> dict[str, Any]:
        faults = self._gateway.faults
        match (ask.method, ask.rest[1:]):
            case ("GET", ()):
                return {"faults": faults.listed()}
            case ("POST", ()):
                try:
                    return {"id": faults.add(Rule.model_validate(ask.body))}
                except ValidationError as error:
                    raise _RefusedError(400, f"not a fault rule: {error}") from error
            case ("DELETE", (identifier,)):
                return self._of_rule(identifier, self._removed)
            case ("POST", (identifier, "release")):
                return self._of_rule(identifier, lambda one: {"released": faults.release(one)})
        raise _RefusedError(405, f"faults do not know {ask.method} {'/'.join(ask.rest)}")

    def _removed(self, identifier: str) -> dict[str, Any]:
        self._gateway.faults.remove(identifier)
        return {"removed": identifier}

    def _of_rule(self, identifier: str, do: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
        try:
            return do(identifier)
        except KeyError as error:
            raise _RefusedError(404, f"there is no fault rule {identifier}") from error

    def _backend(self, ask: _Ask) -> dict[str, Any]:
        service = ask.rest[0]
        for backend in self._gateway.backends:
            if backend.service == service and isinstance(backend, Controllable):
                if ask.method != "POST":
                    raise _RefusedError(405, f"{service} is changed by POST")
                try:
                    with self._gateway.world.lock:
                        return backend.control(ask.body)
                except (KeyError, ValueError) as error:
                    raise _RefusedError(400, f"{service}: {error}") from error
        raise _RefusedError(404, f"there is no control for {service}")


def _ask(request: HttpRequest) -> _Ask:
    rest = tuple(unquote(part) for part in request.path.removeprefix(PREFIX).strip("/").split("/"))
    query = {name: values[-1] for name, values in parse_qs(request.query).items()}
    try:
        body = json.loads(request.body) if request.body else {}
    except ValueError as error:
        raise _RefusedError(400, f"the body is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise _RefusedError(400, "the body is a JSON object")
    return _Ask(request.method, rest, query, body)


def _since(ask: _Ask) -> int:
    try:
        return int(ask.query.get("since", "0"))
    except ValueError as error:
        raise _RefusedError(400, f"since is a number, not {ask.query['since']!r}") from error


def _response(status: int, result: dict[str, Any]) -> HttpResponse:
    body = json.dumps(result, default=str).encode()
    return HttpResponse(status, (("Content-Type", "application/json"),), body)
