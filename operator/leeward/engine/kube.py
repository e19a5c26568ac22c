"""The Kubernetes API as the engine uses it: plain objects, explicit verbs, compare-and-set.

Built on the official client's asynchronous half for configuration, tokens (read afresh for each
request) and transport. Nothing is retried here: a pass that fails is run again as a whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
from kubernetes.aio import client, config

from leeward.api.common import API_VERSION
from leeward.engine.clock import elapsed
from leeward_adapters.observers import isolated

Object = dict[str, Any]
JSON = "application/json"
MERGE = "application/merge-patch+json"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class ApiError(Exception):
    """The API server refused a request."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class ApiUnavailable(Exception):  # noqa: N818 - a state of the world, not a mistake
    """The API server did not answer."""


def path_of(plural: str, namespace: str | None = None, name: str | None = None) -> str:
    """Path of one of our kinds, of one object when `name` is given."""
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"/apis/{API_VERSION}{scope}/{plural}" + (f"/{name}" if name else "")


Told = Callable[[str, int, float], None]
"""Is told of each request: HTTP method, status (0: no answer), seconds."""


class Kube:
    """A connection to one API server; `told` is told of each request."""

    def __init__(
        self, configuration: Any, *, timeout: float = 10.0, told: Told = lambda *_: None
    ) -> None:
        self.configuration = configuration
        self._client = client.ApiClient(configuration)
        self._timeout = timeout
        self._told = isolated(told)

    @classmethod
    async def connect(cls, told: Told = lambda *_: None) -> Kube:
        """From KUBECONFIG when it is set, else from the pod's service account.

        Raises `kubernetes.aio.config.ConfigException` when there is neither.
        """
        configuration = client.Configuration()
        configuration.retries = None
        if os.environ.get("KUBECONFIG") or not os.environ.get("KUBERNETES_SERVICE_HOST"):
            await config.load_kube_config(client_configuration=configuration)
        else:
            config.load_incluster_config(client_configuration=configuration)
        return cls(configuration, told=told)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = JSON,
        accept: str = JSON,
        query: dict[str, str] | None = None,
    ) -> Object:
        """One request. Raises `ApiError` for an answer ≥ 400, `ApiUnavailable` for none."""
        headers = {"Accept": accept, "Content-Type": content_type}
        serialized = await self._client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        began, status = elapsed(), 0
        try:
            response = await self._client.call_api(*serialized, _request_timeout=self._timeout)
            text = await response.read()
            status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiUnavailable(f"{method} {path}: {type(error).__name__}: {error}") from error
        finally:
            self._told(method, status, elapsed() - began)
        return _answer(response.status, text, f"{method} {path}")

    async def get(self, path: str, *, whole: bool = True) -> Object:
        """The object at `path`, read from the quorum; else than `whole`: its metadata alone."""
        return await self.call("GET", path, accept=JSON if whole else _METADATA)

    async def list(
        self, path: str, *, selector: str | None = None, whole: bool = True
    ) -> list[Object]:
        """All objects under `path` that a label selector matches; else than `whole`: metadata."""
        return [body async for body in self.each(path, selector=selector, whole=whole)]

    async def each(
        self, path: str, *, selector: str | None = None, whole: bool = True, at_once: int = 500
    ) -> AsyncIterator[Object]:
        """The same one after the other, `at_once` of them in memory at a time."""
        accept = JSON if whole else _METADATA_LIST
        query = {"limit": str(at_once)} | ({"labelSelector": selector} if selector else {})
        while True:
            page = await self.call("GET", path, accept=accept, query=query)
            for body in page["items"] or ():  # null, where none of a list of metadata matches
                yield body
            token = page["metadata"].get("continue")
            if not token:
                return
            query = query | {"continue": token}

    async def create(self, path: str, body: Object) -> Object:
        """Create an object; unknown fields are refused."""
        return await self.call("POST", path, body, query={"fieldValidation": "Strict"})

    async def replace(self, path: str, body: Object, *, whole: bool = True) -> Object:
        """Replace an object; with metadata.resourceVersion it is a compare-and-set.

        The answer is the object, or else than `whole` its metadata.
        """
        accept = JSON if whole else _METADATA
        query = {"fieldValidation": "Strict"}
        return await self.call("PUT", path, body, accept=accept, query=query)

    async def patch(
        self,
        path: str,
        body: Object,
        *,
        resource_version: str | None = None,
        dry_run: bool = False,
        content_type: str = MERGE,
        whole: bool = True,
    ) -> Object:
        """Merge-patch an object; with `resource_version` a compare-and-set (409 when it moved)."""
        if resource_version is not None:
            metadata = body.get("metadata", {}) | {"resourceVersion": resource_version}
            body = body | {"metadata": metadata}
        query = {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
        accept = JSON if whole else _METADATA
        return await self.call(
            "PATCH", path, body, content_type=content_type, accept=accept, query=query
        )

    async def delete(self, path: str, *, uid: str | None = None) -> None:
        """Delete an object, if it still has that uid; one that is gone is no error."""
        body = {"preconditions": {"uid": uid}} if uid else None
        try:
            await self.call("DELETE", path, body)
        except ApiError as error:
            if error.status != 404:
                raise


def _answer(status: int, text: bytes, what: str) -> Object:
    try:
        body = json.loads(text) if text else {}
    except ValueError:
        body = {"message": text.decode(errors="replace")[:500]}
    if status >= 400:
        reason = str(body.get("reason", ""))
        raise ApiError(status, reason, f"{what}: {body.get('message', '')}")
    return dict(body)
