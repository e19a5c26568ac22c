"""One AWS for every account and Region: from an HTTP request to its answer.

A request is identified, its caller resolved, its members parsed and checked against botocore's
model; then fault rules, our own backends or moto answer it, and it is recorded. Effects happen one
at a time (`World.lock`); what waits for a fault rule does not hold others up.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from moto.core.model import ServiceModel

from leeward_sandbox.aws import parsing, protocol, validation
from leeward_sandbox.aws.asker import asker
from leeward_sandbox.aws.backend import AwsError, Backend, Call, Overlay, Settling, World
from leeward_sandbox.aws.denials import Denials
from leeward_sandbox.aws.faults import AnswerDropped, AnswerReplaced, Faults
from leeward_sandbox.aws.identity import Caller, Identities, Scope, scope_of
from leeward_sandbox.aws.moto_host import MotoHost
from leeward_sandbox.aws.record import Entry, Recorder, is_mutating, printable
from leeward_sandbox.aws.routing import Operation, identify, service_model
from leeward_sandbox.aws.used import Uses
from leeward_sandbox.aws.wire import HttpRequest, HttpResponse

_log = logging.getLogger(__name__)


class Gateway:
    """Answers requests to AWS.

    Args:
        world: what the backends share.
        identities: the known callers.
        backends: our own services and operations.
        overlays: what stands around moto's operations.
    """

    def __init__(
        self,
        world: World,
        identities: Identities,
        backends: Iterable[Backend] = (),
        overlays: Iterable[Overlay] = (),
    ) -> None:
        self.world = world
        self.backends = list(backends)
        self.overlays = list(overlays)
        self.faults = Faults(world.clock)
        self.recorder = Recorder()
        self._uses = Uses.from_environment()
        self._identities = identities
        self._moto = MotoHost()
        self._denials = Denials(world)

    def answer(self, request: HttpRequest) -> HttpResponse | None:
        """The answer to `request`; None means that the connection is to be closed without one."""
        entry = Entry(
            at=datetime.now(UTC).isoformat(),
            virtual_at=self.world.clock.now().isoformat(),
        )
        entry.part, entry.run = asker(request)
        request_id = str(uuid.uuid4())
        scope = scope_of(request)
        response: HttpResponse | None
        try:
            response = self._authenticated(request, request_id, scope, entry)
        except AnswerDropped:
            response = None
        except AnswerReplaced as replaced:
            response = replaced.response
        if response is not None:
            entry.status = response.status
        self.recorder.add(entry)
        self._uses.add(entry)
        return response

    def _authenticated(
        self, request: HttpRequest, request_id: str, scope: Scope | None, entry: Entry
    ) -> HttpResponse:
        model: ServiceModel | None = None
        wire = "rest-json"
        try:
            if scope is None:
                raise AwsError(
                    "MissingAuthenticationToken",
                    f"{request.method} {request.path} is not signed (no SigV4 credential scope)",
                    status=403,
                )
            entry.region = scope.region
            entry.service, model = service_model(scope.signing_name)
            wire = str(model.protocol)
            operation = identify(request, scope.signing_name)
            entry.service, entry.operation = operation.service, operation.name
            model, wire = operation.model.service_model, operation.protocol
            caller = self._identities.resolve(scope, request, wire)
            return self._checked(request, request_id, operation, scope, caller, entry)
        except AwsError as error:
            entry.error = error.code
            if model is None:
                model = service_model("sts")[1]
            return protocol.error_response(error, model, wire, request_id)

    def _checked(
        self,
        request: HttpRequest,
        request_id: str,
        operation: Operation,
        scope: Scope,
        caller: Caller,
        entry: Entry,
    ) -> HttpResponse:
        entry.account, entry.principal = caller.account, caller.principal
        entry.mutating = is_mutating(operation.service, operation.name, {})
        try:
            params = parsing.parse(operation, request)
        except AwsError as error:
            entry.problem = error.message
            raise
        entry.mutating = is_mutating(operation.service, operation.name, params)
        entry.params = printable(operation, params)
        found = validation.problems(operation, params)
        if found:
            entry.problem = "; ".join(map(str, found))
            raise validation.refusal(operation, found)
        call = Call(
            service=operation.service,
            operation=operation.name,
            account=caller.account,
            region=scope.region,
            params=params,
            principal=caller.principal,
            now=self.world.clock.now(),
        )
        return self._with_faults(request, request_id, operation, call, entry)

    def _with_faults(
        self,
        request: HttpRequest,
        request_id: str,
        operation: Operation,
        call: Call,
        entry: Entry,
    ) -> HttpResponse:
        hitting = self.faults.hitting(call)
        entry.fault = hitting[0] if hitting else None
        self.faults.apply(hitting, "before", call)
        entry.executed = True
        refused: AwsError | None = None
        response: HttpResponse | None = None
        try:
            response = self._performed(request, request_id, operation, call)
        except AwsError as error:
            refused = error
        self.faults.apply(hitting, "after", call)
        if refused is not None:
            raise refused
        assert response is not None
        if response.status >= 400:
            entry.error = _error_code(operation, response)
        return response

    def _performed(
        self, request: HttpRequest, request_id: str, operation: Operation, call: Call
    ) -> HttpResponse:
        with self.world.lock:
            # The call may have been held: its time is that of its effect.
            call = replace(call, now=self.world.clock.now())
            self._denials.check(call)
            for one in self.backends:
                if isinstance(one, Settling):
                    one.settle(call.now)
            backend = next((one for one in self.backends if _concerns(one, call)), None)
            try:
                if backend is not None:
                    return protocol.serialise(operation, backend.handle(call), request_id)
                return self._through_moto(request, request_id, operation, call)
            except AwsError:
                raise
            except Exception as error:  # a defect behind the gateway is AWS's 500
                _log.exception(
                    "%s %s failed in account %s, Region %s",
                    call.service,
                    call.operation,
                    call.account,
                    call.region,
                )
                raise AwsError(
                    "InternalFailure",
                    f"The sandbox failed in {call.service} {call.operation} (account"
                    f" {call.account}, Region {call.region}): {type(error).__name__}: {error}."
                    " Its log has the traceback.",
                    status=500,
                ) from error

    def _through_moto(
        self, request: HttpRequest, request_id: str, operation: Operation, call: Call
    ) -> HttpResponse:
        overlays = [one for one in self.overlays if _concerns(one, call)]
        for overlay in overlays:
            instead = overlay.before(call)
            if instead is not None:
                return protocol.serialise(operation, instead, request_id)
        response = self._moto.send(request, call)
        overlays = [one for one in overlays if call.operation in one.answers]
        if not overlays or response.status >= 300:
            return response
        result = protocol.members_of(operation, response)
        for overlay in overlays:
            result = overlay.after(call, result)
        return protocol.serialise(operation, result, request_id)


def _concerns(one: Backend | Overlay, call: Call) -> bool:
    if one.service != call.service:
        return False
    return one.operations is None or call.operation in one.operations


def _error_code(operation: Operation, response: HttpResponse) -> str:
    details: dict[str, Any] = protocol.error_of(operation, response)
    return str(details.get("Code") or response.status)
