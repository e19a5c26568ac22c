"""The connection to the API server: the user's kubeconfig, plain objects, explicit verbs.

Built on the official client for configuration, credentials and transport. Only what the server
did not begin and wants to be asked again (Retry-After) is asked again, as kubectl does; else a
command says what happened, and the live view goes on asking by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import urllib3
import yaml
from kubernetes.client import ApiClient, Configuration
from kubernetes.config.config_exception import ConfigException
from kubernetes.config.incluster_config import load_incluster_config
from kubernetes.config.kube_config import KubeConfigLoader, KubeConfigMerger

from leeward.cli.failures import Failure, Refused, Unreachable

Object = dict[str, Any]

MERGE_PATCH: Final = "application/merge-patch+json"
FIELD_MANAGER: Final = "kubectl-leeward"
_OBJECT: Final = re.compile(r"/namespaces/([^/]+)/[^/]+/[^/]+$")
_CONNECT_SECONDS: Final = 5.0
_READ_SECONDS: Final = 30.0
_PATIENCE_SECONDS: Final = 15.0
WATCH_SECONDS: Final = 30
"""How long the server keeps one watch open; then the objects are listed again."""
_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"


@dataclass(frozen=True, slots=True)
class Connection:
    """Where to connect: what the global options say, and the kubeconfig where they are silent."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: str | None = None


class Api:
    """A connection to one API server, as one user, with a namespace to fall back on.

    Raises:
        Refused: of every method; the server answered with 400 or more.
        Unreachable: of every method; it did not answer.

    """

    def __init__(
        self, configuration: Any, namespace: str, impersonate: Mapping[str, list[str]] | None = None
    ) -> None:
        self.namespace = namespace
        self.server: str = configuration.host
        self._client = ApiClient(configuration)
        self._impersonate = dict(impersonate or {})

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        """The object at `path`."""
        try:
            return _answer(self._send("GET", path, query=query))
        except Refused as refused:
            where = _OBJECT.search(path)
            if refused.status != 404 or where is None:
                raise
            said = f"{refused.message} in namespace {where[1]}; -n NAMESPACE looks in another"
            raise Refused(404, said) from refused

    def list(self, path: str, query: Mapping[str, str] | None = None) -> tuple[list[Object], str]:
        """All objects under `path`, and the resource version at which they were so."""
        items: list[Object] = []
        version = ""
        for page in self.pages(path, query):
            items += page["items"]
            version = page["metadata"].get("resourceVersion", "")
        return items, version

    def pages(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[Object]:
        """The lists of the objects under `path`, `limit` (of the query, else 500) in each."""
        paged = {"limit": "500", **(query or {})}
        while True:
            page = self.get(path, paged)
            yield page
            token = page["metadata"].get("continue")
            if not token:
                return
            paged["continue"] = token

    def create(self, path: str, body: Object, *, dry_run: bool = False) -> Object:
        """Create an object; unknown fields are refused. A dry run stores nothing."""
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict", **_dry(dry_run)}
        return _answer(self._send("POST", path, body, query=query))

    def patch(self, path: str, body: Object, *, dry_run: bool = False) -> Object:
        """Merge-patch the object at `path`. A dry run stores nothing."""
        query = {"fieldManager": FIELD_MANAGER, **_dry(dry_run)}
        return _answer(self._send("PATCH", path, body, query=query, content_type=MERGE_PATCH))

    def annotate(self, path: str, annotations: Mapping[str, str | None]) -> Object:
        """Set annotations of the object at `path`; None takes one off."""
        return self.patch(path, {"metadata": {"annotations": dict(annotations)}})

    def watch(self, path: str, version: str, query: Mapping[str, str] | None = None) -> Watch:
        """What happens to the objects under `path` after `version`."""
        watched = {
            **(query or {}),
            "watch": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        response = self._send("GET", path, query=watched, read_seconds=WATCH_SECONDS + 10)
        if response.status >= 400:
            _answer(response)
        return Watch(response, self.server)

    def user(self) -> str:
        """The caller's own user name as the API server knows it (SelfSubjectReview)."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        review = self.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", body)
        return str(review["status"]["userInfo"]["username"])

    def _send(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        read_seconds: float = _READ_SECONDS,
    ) -> Any:
        given = {"Accept": "application/json", "Content-Type": content_type}
        _, url, headers, _, _ = self._client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params=given,
            auth_settings=["BearerToken"],
        )
        sent = urllib3.HTTPHeaderDict(headers)
        for name, values in self._impersonate.items():
            for value in values:
                sent.add(name, value)
        timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=read_seconds)
        text = None if body is None else json.dumps(body)
        # Past the generated client, whose headers cannot repeat as Impersonate-Group must.
        pool = self._client.rest_client.pool_manager
        patience = time.monotonic() + _PATIENCE_SECONDS
        try:
            while True:
                response = pool.request(
                    method, url, body=text, headers=sent, timeout=timeout, preload_content=False
                )
                pause = _asked_to_wait(response)
                if pause is None or time.monotonic() + pause > patience:
                    return response
                response.drain_conn()
                time.sleep(pause)
        except urllib3.exceptions.HTTPError as error:
            raise _unreachable(self.server, error) from error


class Watch:
    """The events of one watch, until the server ends it or `stop` is called."""

    def __init__(self, response: Any, server: str) -> None:
        self._response = response
        self._server = server
        self._stopped = False

    def __iter__(self) -> Iterator[Object]:
        rest = b""
        try:
            for chunk in self._response.stream(amt=None):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (json.loads(line) for line in lines if line.strip())
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            if not self._stopped:
                raise _unreachable(self._server, error) from error
        finally:
            self._response.close()

    def stop(self) -> None:
        """End the watch from another thread."""
        self._stopped = True
        # Too late where the server ended the watch in the same moment.
        with contextlib.suppress(OSError, RuntimeError, ValueError):
            self._response.shutdown()


def connect(connection: Connection) -> Api:
    """Connect as kubectl does: --kubeconfig, KUBECONFIG, ~/.kube/config, else the pod's account.

    Raises:
        Failure: there is no usable configuration; the text says where it was looked for.

    """
    # The client reads proxy settings and the like from the environment in its constructor.
    configuration = Configuration()
    configuration.retries = False
    places = connection.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    existing = [p for p in places.split(os.pathsep) if os.path.exists(os.path.expanduser(p))]
    if not existing and connection.kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        return _in_cluster(configuration, connection)
    if not existing:
        raise Failure(f"there is no kubeconfig at {places}; name one with --kubeconfig")
    try:
        merged = KubeConfigMerger(os.pathsep.join(existing))
        loader = KubeConfigLoader(
            config_dict=merged.config,
            active_context=connection.context or _current_context(merged),
            config_persister=merged.save_changes,
        )
        loader.load_and_set(configuration)
    except (ConfigException, yaml.YAMLError, OSError, TypeError, ValueError) as error:
        raise Failure(f"the kubeconfig at {places} cannot be used: {error}") from error
    context = loader.current_context["context"]
    user = merged.config["users"].get_with_name(context["user"], safe=True)
    namespace = connection.namespace or context.get("namespace") or "default"
    return Api(
        configuration, namespace, _impersonation((user.value.get("user") if user else None) or {})
    )


def _current_context(merged: Any) -> str | None:
    """The first current-context of all files, as kubectl has it; the library takes the last."""
    found = (content.get("current-context") for content in merged.config_files.values())
    return next((str(name) for name in found if name), None)


def _in_cluster(configuration: Any, connection: Connection) -> Api:
    try:
        load_incluster_config(client_configuration=configuration)
        with open(_ACCOUNT, encoding="utf-8") as file:
            own = file.read().strip()
    except (ConfigException, OSError) as error:
        raise Failure(f"the pod's service account cannot be used: {error}") from error
    return Api(configuration, connection.namespace or own)


def _impersonation(user: Mapping[str, Any]) -> dict[str, list[str]]:
    """Headers for the kubeconfig's `as` and `as-groups`, which the client library leaves out."""
    if not user.get("as"):
        return {}
    groups = user.get("as-groups") or []
    return {"Impersonate-User": [str(user["as"])], "Impersonate-Group": [str(g) for g in groups]}


def _dry(run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if run else {}


def _asked_to_wait(response: Any) -> float | None:
    """Seconds after which the server wants to be asked again; None: it answered."""
    if response.status not in {429, 503}:
        return None
    seconds = response.headers.get("Retry-After", "")
    return float(seconds) if seconds.isdecimal() else None


def _answer(response: Any) -> Object:
    try:
        text = response.data
    except urllib3.exceptions.HTTPError as error:
        raise Unreachable(f"the API server's answer broke off: {error}") from error
    finally:
        response.close()
    try:
        body = json.loads(text) if text else {}
    except ValueError:
        body = {"message": text.decode(errors="replace")[:500]}
    if response.status >= 400:
        raise Refused(response.status, str(body.get("message") or response.reason))
    return dict(body)


def _unreachable(server: str, error: Exception) -> Unreachable:
    return Unreachable(f"the API server at {server} did not answer: {error}")
