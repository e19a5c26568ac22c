"""moto, in this process and without a server of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.backends import list_of_moto_modules
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from leeward_sandbox.aws import moto_memory
from leeward_sandbox.aws.backend import AwsError, Call
from leeward_sandbox.aws.wire import HttpRequest, HttpResponse

_ACCOUNT_HEADER = "x-moto-account-id"
# These describe one connection, which ends here (RFC 9110, 7.6.1), or are the server's to write.
_NOT_PASSED_ON = frozenset({"connection", "date", "server", "transfer-encoding"})


class MotoHost:
    """Calls moto's WSGI application for one account at a time."""

    def __init__(self) -> None:
        moto_memory.install()
        self._application = DomainDispatcherApplication(create_backend_app)
        self._known: dict[str, bool] = {}

    def send(self, request: HttpRequest, call: Call) -> HttpResponse:
        """What moto answers to `request` in the account of `call`.

        Moto finds service and Region in the credential scope, and the account in a header that
        is set here whatever the client sent.

        Raises:
            AwsError: moto does not have the service or the operation (501, which no SDK retries).
        """
        environ = request.with_header(_ACCOUNT_HEADER, call.account).environ()
        if not self._has(call.service, environ):
            raise _missing(call)
        status: list[str] = []
        headers: list[tuple[str, str]] = []

        def start_response(
            line: str, fields: list[tuple[str, str]], exc_info: object = None
        ) -> Callable[[bytes], object]:
            status[:] = [line]
            headers[:] = fields
            return lambda chunk: None

        try:
            chunks: Any = self._application(environ, start_response)
            body = b"".join(chunks)
        except NotImplementedError as error:
            raise _missing(call) from error
        chunks.close()
        code = int(status[0].split(" ", 1)[0])
        if code == 404 and request.method != "HEAD" and _says_nothing_of_aws(body):
            raise _missing(call)
        kept = tuple((k, v) for k, v in headers if k.lower() not in _NOT_PASSED_ON)
        return HttpResponse(code, kept, body)

    def _has(self, service: str, environ: dict[str, Any]) -> bool:
        if service not in self._known:
            host = self._application.infer_service_region_host(environ, environ["PATH_INFO"])
            self._known[service] = host is not None and (
                host in list_of_moto_modules()
                or any(
                    pattern.match(f"http://{host}")
                    for _, pattern in self._application.backend_url_patterns
                )
            )
        return self._known[service]


def _says_nothing_of_aws(body: bytes) -> bool:
    return not body.strip() or body.lstrip()[:9].lower() == b"<!doctype"


def _missing(call: Call) -> AwsError:
    return AwsError(
        "NotImplemented",
        f"The sandbox has no {call.service} {call.operation}: neither moto nor a backend of its"
        " own answers it. Nothing was changed.",
        status=501,
    )
