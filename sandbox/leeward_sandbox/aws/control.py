"""Client of the sandbox's control API, for tests, the CLI and the demo."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

_TIMEOUT_SECONDS = 30.0
_POLL_SECONDS = 0.02
# A proxy of the environment is not for a server on loopback.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ControlError(Exception):
    """The control API refused a request; the text says why."""


class Control:
    """Moves the sandbox AWS's clock, reads its record, injects faults.

    Args:
        endpoint: the sandbox AWS's endpoint, such as ``http://127.0.0.1:4599``.
    """

    def __init__(self, endpoint: str) -> None:
        self._base = f"{endpoint.rstrip('/')}/_leeward/"

    def ready(self) -> bool:
        """Whether the sandbox answers."""
        try:
            return bool(self._request("GET", "health")["ready"])
        except (urllib.error.URLError, ConnectionError):
            return False

    def now(self) -> datetime:
        """The virtual time, aware."""
        return datetime.fromisoformat(self._request("GET", "clock")["now"])

    def advance(self, seconds: float) -> datetime:
        """Move the virtual clock forward and return the virtual time."""
        answer = self._request("POST", "clock", {"advance": seconds})
        return datetime.fromisoformat(answer["now"])

    def scale(self, factor: float) -> None:
        """Set the virtual seconds per real second; 0 stops the clock."""
        self._request("POST", "clock", {"scale": factor})

    def calls(
        self,
        since: int = 0,
        service: str | None = None,
        operation: str | None = None,
        mutating: bool | None = None,
    ) -> list[dict[str, Any]]:
        """The recorded calls after number `since`, in order of their answers."""
        query: dict[str, str] = {"since": str(since)}
        if service is not None:
            query["service"] = service
        if operation is not None:
            query["operation"] = operation
        if mutating is not None:
            query["mutating"] = "true" if mutating else "false"
        calls: list[dict[str, Any]] = self._request("GET", f"calls?{urlencode(query)}")["calls"]
        return calls

    def last_seq(self) -> int:
        """The number of the newest recorded call, to give to `calls` as `since`."""
        return int(self._request("GET", "calls?since=9999999999")["next"])

    def violations(self, since: int = 0) -> list[dict[str, Any]]:
        """The recorded calls that broke their service's model, each with its ``problem``."""
        found: list[dict[str, Any]] = self._request("GET", f"violations?since={since}")[
            "violations"
        ]
        return found

    def add_fault(self, **rule: Any) -> str:
        """Put a fault rule in force (`leeward_sandbox.aws.faults.Rule`) and return its id."""
        return str(self._request("POST", "faults", rule)["id"])

    def remove_fault(self, identifier: str) -> None:
        """Take a rule out of force; what it holds proceeds."""
        self._request("DELETE", f"faults/{quote(identifier)}")

    def release(self, identifier: str) -> int:
        """Let the calls that a rule holds proceed and return how many there were."""
        return int(self._request("POST", f"faults/{quote(identifier)}/release")["released"])

    def faults(self) -> list[dict[str, Any]]:
        """The rules in force with their ``id``, ``seen``, ``hits`` and ``holding``."""
        listed: list[dict[str, Any]] = self._request("GET", "faults")["faults"]
        return listed

    def wait_held(self, identifier: str, timeout: float = 30.0) -> int:
        """Wait until the rule holds a call and return how many it holds.

        Raises:
            TimeoutError: none came within `timeout` real seconds.
            ControlError: there is no such rule.
        """
        deadline = time.monotonic() + timeout
        while True:
            rule = next((one for one in self.faults() if one["id"] == identifier), None)
            if rule is None:
                raise ControlError(f"there is no fault rule {identifier}")
            if rule["holding"]:
                return int(rule["holding"])
            if time.monotonic() >= deadline:
                raise TimeoutError(
                    f"{identifier} held no call within {timeout} s (matching calls seen:"
                    f" {rule['seen']})"
                )
            time.sleep(_POLL_SECONDS)

    def backend(self, service: str, body: dict[str, Any]) -> dict[str, Any]:
        """Change the state of one of the sandbox's own services, such as ``drs``."""
        return self._request("POST", quote(service), body)

    def _request(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._base + path,
            data=data,
            method=method,
            headers={"Content-Type": "application/json"},
        )
        try:
            with _OPENER.open(request, timeout=_TIMEOUT_SECONDS) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            with error:
                detail = json.loads(error.read() or b"{}").get("error", error.reason)
            raise ControlError(f"{method} {self._base}{path}: {detail}") from None
