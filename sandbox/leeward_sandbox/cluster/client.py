"""Plain HTTPS GETs to the API server and etcd: whether they are ready, and what they hold."""

import http.client
import json
import ssl
from typing import Any

from leeward_sandbox.cluster.certificates import KeyPair
from leeward_sandbox.cluster.ports import LOOPBACK

_TIMEOUT_SECONDS = 30.0


class Client:
    """Asks one loopback port with a client certificate."""

    def __init__(self, port: int, ca_file: str, pair: KeyPair) -> None:
        self._port = port
        self._context = ssl.create_default_context(cafile=ca_file)
        self._context.load_cert_chain(pair.certificate, pair.key)

    def ok(self, path: str) -> bool:
        """Whether GET `path` answers 200."""
        return self._get(path) is not None

    def get(self, path: str) -> Any:
        """The object at `path`, or None where it is not, or not yet, to be had."""
        body = self._get(path)
        return None if body is None else json.loads(body)

    def _get(self, path: str) -> bytes | None:
        connection = http.client.HTTPSConnection(
            LOOPBACK, self._port, timeout=_TIMEOUT_SECONDS, context=self._context
        )
        try:
            connection.request("GET", path, headers={"Accept": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return body if answer.status == http.client.OK else None
