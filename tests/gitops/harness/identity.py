"""An identity provider on loopback: Argo CD learns from it who presses a button."""

from __future__ import annotations

import base64
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

CLIENT: Final = "argo-cd"
_LIFETIME: Final = 3600
_KEY: Final = "1"


class IdentityProvider:
    """Signs ID tokens, and publishes the key that they are verified by.

    Of OpenID Connect Discovery 1.0 and RFC 7517 it serves what verifying takes; nobody signs in.
    """

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()

    def token(self, user: str, *groups: str) -> str:
        """An ID token that says that its bearer is `user`, in `groups`."""
        now = int(time.time())
        claims = {
            **{"iss": self.issuer, "aud": CLIENT, "sub": user, "jti": f"{user}-{now}"},
            **{"iat": now, "exp": now + _LIFETIME, "email": user, "groups": groups},
        }
        header = {"alg": "RS256", "typ": "JWT", "kid": _KEY}
        signed = b".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
        signature = self._key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return b".".join((signed, _base64(signature))).decode()

    def _documents(self) -> dict[str, Any]:
        public = self._key.public_key().public_numbers()
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": _KEY}
        key |= {name: _number(value) for name, value in (("n", public.n), ("e", public.e))}
        return {
            "/.well-known/openid-configuration": {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            },
            "/keys": {"keys": [key]},
        }

    def _handler(provider) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the handler has a self
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = provider._documents().get(self.path)
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(found).encode())

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
                """Nothing is logged."""

        return Handler


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _number(value: int) -> str:
    return _base64(value.to_bytes((value.bit_length() + 7) // 8, "big")).decode()
