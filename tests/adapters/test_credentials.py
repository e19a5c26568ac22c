"""The operator's own credentials, from each source that a cluster has."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    MetadataRetrievalError,
    ReadTimeoutError,
)

from leeward_adapters import aws as module
from leeward_adapters.aws import Aws
from leeward_adapters.bad_answers import BadAnswerError
from leeward_adapters.base import ErrorClass
from leeward_adapters.credentials import explained, source
from leeward_adapters.errors import CredentialsDelayedError, classify, leaves_doubt

pytestmark = pytest.mark.aws

HUB = "999999999999"


class Issuer:
    """A loopback server in the place of EKS's agent and of STS's web identity."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.lasts = timedelta(hours=6)
        self.status = 200
        self.code = "InvalidIdentityToken"
        self.page = ""
        """What answers in their place; empty: nothing does."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append({"token": self.headers.get("Authorization", "")})
                keys = {**issuer.keys(), "Token": "session"}
                self._say("application/json", json.dumps(keys))

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                issuer.asked.append({key: values[0] for key, values in form.items()})
                keys = {**issuer.keys(), "SessionToken": "session"}
                inner = "".join(f"<{k}>{v}</{k}>" for k, v in keys.items())
                answer = (
                    "<AssumeRoleWithWebIdentityResult><Credentials>" + inner + "</Credentials>"
                    "</AssumeRoleWithWebIdentityResult>"
                )
                if issuer.status != 200:
                    answer = f"<Error><Code>{issuer.code}</Code><Message>no</Message></Error>"
                kind = (
                    "AssumeRoleWithWebIdentityResponse" if issuer.status == 200 else "ErrorResponse"
                )
                self._say("text/xml", f"<{kind}>{answer}</{kind}>")

            def _say(self, kind: str, text: str) -> None:
                text = issuer.page or text
                self.send_response(issuer.status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: Any) -> None:
                return

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"

    def keys(self) -> dict[str, str]:
        """Keys of the hub, as the sandbox knows them."""
        until = (datetime.now(UTC) + self.lasts).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"AccessKeyId": f"SANDBOX{HUB}", "SecretAccessKey": "s", "Expiration": until}


@pytest.fixture
def issuer(sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    """The server; the environment holds no keys any more."""
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(variable, "/nonexistent")
    made = Issuer()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def assumed(sandbox: Any, aws: Aws) -> str:
    """ARN as which the read role answers, through clients with these base credentials."""
    return aws.whoami(aws.scope(sandbox.reached(), "us-east-2")).arn


def fresh(sandbox: Any) -> Aws:
    return Aws("us-east-2", endpoint_url=sandbox.endpoint)


def use_irsa(issuer: Issuer, monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setenv("AWS_ROLE_ARN", f"arn:aws:iam::{HUB}:role/leeward")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(file))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", issuer.endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-2")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


def use_pod_identity(issuer: Issuer, monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{issuer.endpoint}/v1/credentials")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(file))


def test_irsa_gives_the_base_from_which_roles_are_assumed(
    sandbox: Any, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("of-the-service-account")
    use_irsa(issuer, monkeypatch, token)

    assert ":assumed-role/LeewardRead/" in assumed(sandbox, fresh(sandbox))

    (asked,) = issuer.asked
    assert asked["Action"] == "AssumeRoleWithWebIdentity"
    assert asked["WebIdentityToken"] == "of-the-service-account"
    assert asked["RoleArn"] == f"arn:aws:iam::{HUB}:role/leeward"


def test_pod_identity_is_asked_with_the_token_of_the_moment(
    sandbox: Any, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    use_pod_identity(issuer, monkeypatch, token)
    issuer.lasts = timedelta(minutes=5)  # less than botocore wants to have left
    aws = fresh(sandbox)
    assert ":assumed-role/LeewardRead/" in assumed(sandbox, aws)
    token.write_text("second")  # the kubelet rotates it

    aws.assume(sandbox.reached())

    assert {issuer.asked[0]["token"], issuer.asked[-1]["token"]} == {"first", "second"}


def test_a_chained_session_lasts_an_hour_and_is_renewed_before_it_ends(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": HUB}, "Action": "sts:*"}],
    }
    name = f"leeward-{sandbox.account}"
    role = sandbox.client("iam", account=HUB).create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps(trust), MaxSessionDuration=43200
    )["Role"]["Arn"]
    sts = sandbox.client("sts", account=HUB)
    keys = sts.assume_role(RoleArn=role, RoleSessionName="pod")["Credentials"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretAccessKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", keys["SessionToken"])
    assert ":assumed-role/LeewardRead/" in assumed(sandbox, fresh(sandbox))

    # What botocore takes for nearly over is renewed while it still holds.
    monkeypatch.setattr(module, "SESSION_SECONDS", 900)
    aws, last = fresh(sandbox), sandbox.control.last_seq()
    for _ in range(3):
        assumed(sandbox, aws)
    renewed = sandbox.control.calls(since=last, operation="AssumeRole")
    assert len(renewed) > 1
    assert all(call["error"] is None for call in renewed)

    monkeypatch.setattr(module, "SESSION_SECONDS", 7200)
    with pytest.raises(Exception, match="1 hour session limit for roles assumed by role chaining"):
        fresh(sandbox).assume(sandbox.reached())


def _refused(sandbox: Any) -> str:
    with pytest.raises(CredentialRetrievalError) as refused:
        assumed(sandbox, fresh(sandbox))
    assert classify(refused.value).kind is ErrorClass.DENIED
    return str(refused.value)


def test_a_token_file_that_is_missing_is_named(
    sandbox: Any, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_irsa(issuer, monkeypatch, tmp_path / "gone")

    said = _refused(sandbox)

    assert f"IRSA (AWS_WEB_IDENTITY_TOKEN_FILE={tmp_path}/gone)" in said
    assert "No such file" in said


def test_a_web_identity_that_is_refused_says_what_to_mend(
    sandbox: Any, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("token")
    use_irsa(issuer, monkeypatch, token)
    issuer.status = 400

    said = _refused(sandbox)

    assert "InvalidIdentityToken: no" in said
    assert f"trust policy of arn:aws:iam::{HUB}:role/leeward must name the cluster's OIDC" in said


def test_an_agent_that_refuses_is_named(
    sandbox: Any, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("x")
    use_pod_identity(issuer, monkeypatch, token)
    issuer.status = 403

    assert f"EKS Pod Identity (AWS_CONTAINER_CREDENTIALS_FULL_URI={issuer.endpoint}" in (
        _refused(sandbox)
    )


def _delayed(sandbox: Any) -> str:
    with pytest.raises(CredentialRetrievalError) as refused:
        assumed(sandbox, fresh(sandbox))
    fault = classify(refused.value)
    assert (fault.kind, fault.code) == (ErrorClass.TRANSIENT, "CredentialsDelayed")
    assert not leaves_doubt(refused.value)
    return fault.message


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "Throttling"),
        (400, "ThrottlingException"),
        (400, "IDPCommunicationError"),
        (503, "ServiceUnavailable"),
        (500, "InternalFailure"),
    ],
)
def test_an_sts_that_is_busy_denies_nothing(
    sandbox: Any,
    issuer: Issuer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    status: int,
    code: str,
) -> None:
    token = tmp_path / "token"
    token.write_text("token")
    use_irsa(issuer, monkeypatch, token)
    issuer.status, issuer.code = status, code

    said = _delayed(sandbox)

    assert code in said
    assert f"IRSA (AWS_WEB_IDENTITY_TOKEN_FILE={token})" in said
    assert "trust policy" not in said


def test_an_agent_that_is_not_well_denies_nothing(
    sandbox: Any, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("x")
    use_pod_identity(issuer, monkeypatch, token)
    issuer.status = 500

    assert "500" in _delayed(sandbox)


ENDPOINT = "https://sts.us-east-2.amazonaws.com"


@pytest.mark.parametrize(
    "error",
    [
        ReadTimeoutError(endpoint_url=ENDPOINT),
        ConnectTimeoutError(endpoint_url=ENDPOINT),
        EndpointConnectionError(endpoint_url=ENDPOINT),
        ConnectionClosedError(endpoint_url=ENDPOINT),
        MetadataRetrievalError(error_msg="Received error when attempting to retrieve container"),
    ],
)
def test_a_source_without_an_answer_denies_nothing_and_leaves_no_doubt(error: Exception) -> None:
    with pytest.raises(CredentialsDelayedError) as refused, explained():
        raise error

    assert classify(refused.value).kind is ErrorClass.TRANSIENT


@pytest.mark.parametrize("page", ["<html>s3cr3t", "<html><body>s3cr3t</body></html>"])
@pytest.mark.parametrize("role", ["", "LeewardRead"])
def test_a_page_in_sts_s_place_passes_and_is_not_repeated(
    sandbox: Any,
    issuer: Issuer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    page: str,
    role: str,
) -> None:
    token = tmp_path / "token"
    token.write_text("token")
    use_irsa(issuer, monkeypatch, token)
    issuer.page = page
    arn = role and f"arn:aws:iam::{sandbox.account}:role/{role}"
    scope = fresh(sandbox).scope(sandbox.reached(read_role_arn=arn), "us-east-2")

    with pytest.raises(BadAnswerError) as found:
        scope.client("drs").describe_jobs(filters={})

    fault = classify(found.value)
    assert (fault.kind, fault.code) == (ErrorClass.TRANSIENT, "BadAnswer")
    assert f"IRSA (AWS_WEB_IDENTITY_TOKEN_FILE={token})" in fault.message
    assert "s3cr3t" not in fault.message


def test_no_source_at_all_says_which_there_could_be(sandbox: Any, issuer: Issuer) -> None:
    said = _refused(sandbox)

    assert "neither keys of the environment, nor IRSA, nor EKS Pod Identity is set up" in said


def test_keys_are_never_part_of_a_message() -> None:
    assert source({"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE"}) == (
        "keys of the environment (AWS_ACCESS_KEY_ID)"
    )
