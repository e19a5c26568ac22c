"""The connection: whose name it goes under, and which answers are asked for again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from leeward.cli.connect import Connection, connect
from leeward.cli.failures import Refused, Unreachable
from leeward.cli.preflight import live_runs

_BUSY = {"kind": "Status", "message": "storage is (re)initializing"}


class Server(ThreadingHTTPServer):
    """Gives the answers that it was told to give, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, dict[str, str], Any]] = []
        self.asked: list[tuple[str, str, dict[str, list[str]]]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: self.headers.get_all(name, []) for name in self.headers}
        self.server.asked.append((self.command, self.path, headers))
        status, extra, body = self.server.answers.pop(0)
        text = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**extra, "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - the names that http.server asks for

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as started:
        thread = threading.Thread(target=started.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield started
        started.shutdown()
        thread.join()


def _kubeconfig(tmp_path: Path, name: str, url: str, user: dict[str, Any]) -> Path:
    file = tmp_path / name
    context = {"cluster": name, "user": name, "namespace": f"{name}-space"}
    content = {
        "clusters": [{"name": name, "cluster": {"server": url}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }
    file.write_text(yaml.safe_dump(content))
    return file


def _url(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def test_an_answer_that_asks_for_another_try_gets_one(server: Server, tmp_path: Path) -> None:
    api = connect(Connection(kubeconfig=str(_kubeconfig(tmp_path, "one", _url(server), {}))))
    server.answers = [(429, {"Retry-After": "0"}, _BUSY), (200, {}, {"kind": "x"})]
    assert api.get("/apis") == {"kind": "x"}
    server.answers = [(503, {"Retry-After": "0"}, _BUSY), (200, {}, {"kind": "y"})]
    assert api.annotate("/apis/x", {"a": "b"}) == {"kind": "y"}
    assert [method for method, _, _ in server.asked] == ["GET", "GET", "PATCH", "PATCH"]
    api.close()


@pytest.mark.parametrize(
    ("status", "headers"), [(503, {}), (500, {"Retry-After": "0"}), (429, {"Retry-After": "3600"})]
)
def test_other_failures_are_said_at_once(
    server: Server, tmp_path: Path, status: int, headers: dict[str, str]
) -> None:
    api = connect(Connection(kubeconfig=str(_kubeconfig(tmp_path, "one", _url(server), {}))))
    server.answers = [(status, headers, _BUSY)]
    with pytest.raises(Refused, match=rf"answered {status}: storage is") as refusal:
        api.get("/apis")
    assert refusal.value.passing
    assert len(server.asked) == 1
    api.close()


@pytest.mark.parametrize(
    ("path", "where"),
    [("/apis/leeward.dev/v1alpha1/namespaces/shop/drexecutions/x", " in namespace shop; -n N"),
     ("/apis/leeward.dev/v1alpha1/targetaccounts/x", "not found$")],
)  # fmt: skip
def test_what_is_not_there_is_said_with_the_namespace_that_was_looked_in(
    server: Server, tmp_path: Path, path: str, where: str
) -> None:
    api = connect(Connection(kubeconfig=str(_kubeconfig(tmp_path, "one", _url(server), {}))))
    server.answers = [(404, {}, {"kind": "Status", "message": "x not found"})]
    with pytest.raises(Refused, match=where) as refusal:
        api.get(path)
    assert refusal.value.status == 404
    api.close()


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        url = f"http://127.0.0.1:{closed.server_address[1]}"
    api = connect(Connection(kubeconfig=str(_kubeconfig(tmp_path, "one", url, {}))))
    with pytest.raises(Unreachable, match=url):
        api.get("/apis")
    api.close()


def test_the_kubeconfigs_identity_is_used_as_kubectl_uses_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = _kubeconfig(tmp_path, "first", _url(server), {"token": "t-1"})
    other = {"token": "t-2", "as": "b@example.com", "as-groups": ["x", "y"]}
    second = _kubeconfig(tmp_path, "second", _url(server), other)
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'none'}:{token}:{second}")

    api = connect(Connection())
    server.answers = [(200, {}, {})]
    api.get("/apis")
    assert api.namespace == "first-space"
    headers = server.asked[-1][2]
    assert headers["authorization"] == ["Bearer t-1"]
    assert "Impersonate-User" not in headers
    api.close()

    api = connect(Connection(context="second", namespace="elsewhere"))
    server.answers = [(200, {}, {})]
    api.get("/apis")
    assert api.namespace == "elsewhere"
    headers = server.asked[-1][2]
    assert headers["authorization"] == ["Bearer t-2"]
    assert headers["Impersonate-User"] == ["b@example.com"]
    assert headers["Impersonate-Group"] == ["x", "y"]
    api.close()


def test_a_list_is_read_page_by_page(server: Server, tmp_path: Path) -> None:
    api = connect(Connection(kubeconfig=str(_kubeconfig(tmp_path, "one", _url(server), {}))))
    first = {"items": [{"n": 1}], "metadata": {"continue": "token", "resourceVersion": "7"}}
    server.answers = [(200, {}, first), (200, {}, {"items": [{"n": 2}], "metadata": {}})]
    items, _ = api.list("/apis", {"labelSelector": "a=b"})
    assert items == [{"n": 1}, {"n": 2}]
    assert "continue=token" in server.asked[1][1]
    assert "labelSelector=a%3Db" in server.asked[1][1]
    api.close()


def test_preflight_keeps_of_live_runs_only_their_names(server: Server, tmp_path: Path) -> None:
    api = connect(Connection(kubeconfig=str(_kubeconfig(tmp_path, "one", _url(server), {}))))
    runs = [{"metadata": {"namespace": "orders", "name": name}} for name in ("a", "b")]
    first = {"items": runs[:1], "metadata": {"continue": "token"}}
    server.answers = [(200, {}, first), (200, {}, {"items": runs[1:], "metadata": {}})]
    (found,) = live_runs(api, ending=True)
    assert (found.verdict, "orders/a, orders/b" in found.text) == ("problem", True)
    for asked in server.asked:
        assert "labelSelector=%21leeward.dev/ended" in asked[1]
        assert "limit=25" in asked[1]
    api.close()


@pytest.mark.parametrize(("ending", "verdict"), [(True, "problem"), (False, "unknown")])
def test_only_an_uninstallation_is_kept_back_by_runs_that_cannot_be_listed(
    server: Server, tmp_path: Path, ending: bool, verdict: str
) -> None:
    api = connect(Connection(kubeconfig=str(_kubeconfig(tmp_path, "one", _url(server), {}))))
    server.answers = [(403, {}, {"kind": "Status", "message": "forbidden"})]
    (found,) = live_runs(api, ending=ending)
    assert found.verdict == verdict
    assert "executions cannot be listed" in found.text
    api.close()
