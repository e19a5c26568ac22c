"""HTTP messages as plain values, and their WSGI form for moto."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import unquote_to_bytes

from moto.core.request import (
    PRESERVED_HEADER_NAMES_ENVIRON_KEY,
    Request,
    environ_key_for_header,
    should_preserve_original_header_name,
)

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class HttpRequest:
    """One HTTP request: `target` is the request line's path and query, still encoded."""

    method: str
    target: str
    headers: Headers
    body: bytes = b""

    @property
    def path(self) -> str:
        """The encoded path."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The encoded query string, without its question mark."""
        return self.target.partition("?")[2]

    def header(self, name: str) -> str | None:
        """The first header of that name, in any case of letters."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def with_header(self, name: str, value: str) -> HttpRequest:
        """A copy whose only header of that name has `value`."""
        kept = tuple(pair for pair in self.headers if pair[0].lower() != name.lower())
        return HttpRequest(self.method, self.target, (*kept, (name, value)), self.body)

    @cached_property
    def normalised(self) -> Request:
        """The request in the form that moto's routers and parsers read."""
        return Request(self.environ())

    def environ(self) -> dict[str, Any]:
        """A fresh WSGI environment (PEP 3333)."""
        host = self.header("host") or "127.0.0.1"
        name, _, port = host.partition(":")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(self.path).decode("latin-1"),
            "QUERY_STRING": self.query,
            "REQUEST_URI": self.target,
            "RAW_URI": self.target,
            "SERVER_NAME": name,
            "SERVER_PORT": port or "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(self.body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        preserved: dict[str, str] = {}
        for key, value in self.headers:
            environ_key = environ_key_for_header(key)
            if should_preserve_original_header_name(key):
                preserved[environ_key] = key
            elif "_" in key:
                continue  # X_Foo would pass for X-Foo
            previous = environ.get(environ_key)
            environ[environ_key] = value if previous is None else f"{previous},{value}"
        environ[PRESERVED_HEADER_NAMES_ENVIRON_KEY] = preserved
        environ["CONTENT_LENGTH"] = str(len(self.body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)  # the server has read the chunks already
        return environ


@dataclass(frozen=True)
class HttpResponse:
    """One HTTP response; the server adds Content-Length (except to HEAD), Date and Server."""

    status: int
    headers: Headers = ()
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str | None:
        """The first header of that name, in any case of letters."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)
