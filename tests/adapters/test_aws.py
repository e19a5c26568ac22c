"""Roles, sessions and clients."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

import rights
from leeward_adapters import aws as access
from leeward_adapters.attribution import asking
from leeward_adapters.aws import Aws
from leeward_adapters.base import ErrorClass
from leeward_adapters.errors import classify

pytestmark = pytest.mark.aws


def test_the_scope_acts_as_the_role_it_names(sandbox: Any) -> None:
    reader = sandbox.aws.scope(sandbox.reached(), "us-east-2")

    caller = sandbox.aws.whoami(reader)

    assert caller.account_id == reader.account_id == sandbox.account
    assert caller.arn.endswith(":assumed-role/LeewardRead/leeward")
    assert sandbox.aws.whoami(sandbox.scope()).arn.endswith("/LeewardRecovery/leeward")
    assert (reader.region, reader.partition) == ("us-east-2", "aws")
    assert reader.role_arn.endswith("role/LeewardRead")


def test_without_a_role_the_operators_own_credentials_are_used(sandbox: Any) -> None:
    own = sandbox.reached("999999999999", read_role_arn="", external_id="")

    caller = sandbox.aws.whoami(sandbox.aws.scope(own, "us-east-2"))

    assert caller.account_id == "999999999999"


def test_the_session_is_short_tagged_and_asked_for_in_the_base_region(sandbox: Any) -> None:
    sandbox.scope().client("drs").describe_jobs(filters={})

    (call,) = sandbox.calls("AssumeRole")

    assert call["region"] == "us-east-2"
    assert call["params"]["DurationSeconds"] == 3600
    assert call["params"]["ExternalId"] == f"leeward/sandbox/{sandbox.namespace}"
    assert call["params"]["Tags"] == [
        {"Key": "leeward:hub", "Value": "sandbox"},
        {"Key": "leeward:namespace", "Value": sandbox.namespace},
    ]


def _not_there(sandbox: Any) -> Any:
    return sandbox.reached(read_role_arn=f"arn:aws:iam::{sandbox.account}:role/LeewardReed")


def _not_trusting(sandbox: Any) -> Any:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{sandbox.account}:root"},
        "Action": "sts:AssumeRole",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sandbox.client("iam").update_assume_role_policy(RoleName="LeewardRead", PolicyDocument=policy)
    return sandbox.reached()


def _other_id(sandbox: Any) -> Any:
    return sandbox.reached(external_id="leeward/sandbox/other")


@pytest.mark.parametrize("wrong", [_not_there, _not_trusting, _other_id])
def test_a_role_that_is_refused_says_all_that_may_be_wrong_since_aws_does_not(
    sandbox: Any, wrong: Any
) -> None:
    account = wrong(sandbox)

    with pytest.raises(ClientError) as refused:
        sandbox.aws.whoami(sandbox.aws.scope(account, "us-east-2"))

    said = str(refused.value)
    assert classify(refused.value).kind is ErrorClass.DENIED
    assert account.read_role_arn in said
    assert f"{sandbox.account} (tiny)" in said
    assert "us-east-2" in said
    assert "does not exist (mind the ARN's path)" in said
    assert "must allow sts:AssumeRole and sts:TagSession" in said
    assert f"demand exactly the external id '{account.external_id}'" in said


def test_a_request_that_sts_calls_wrong_is_not_said_to_be_untrusted(sandbox: Any) -> None:
    sandbox.control.add_fault(
        service="sts", operation="AssumeRole", action="error", code="ValidationError"
    )

    with pytest.raises(ClientError, match="Correct what AWS names") as refused:
        sandbox.scope().client("drs").describe_jobs(filters={})

    assert "trust policy" not in str(refused.value)


def test_a_secret_external_id_is_not_said(sandbox: Any) -> None:
    wrong = sandbox.reached(external_id="hush-hush", external_id_from="Secret leeward/orders")

    with pytest.raises(ClientError) as refused:
        sandbox.aws.whoami(sandbox.aws.scope(wrong, "us-east-2"))

    assert "demand exactly the external id of Secret leeward/orders" in str(refused.value)
    assert "hush-hush" not in f"{refused.value} {refused.value.response} {wrong}"
    assert sandbox.calls("AssumeRole")[0]["params"]["ExternalId"] == "hush-hush"


def test_a_session_that_aws_calls_expired_is_replaced(sandbox: Any) -> None:
    """botocore would send the same credentials for most of an hour, until its own clock agrees."""
    sandbox.scope().client("drs").describe_jobs(filters={})
    sandbox.scope().client("ec2").describe_instances()
    assert sandbox.control.backend("sts", {"expire": "*"})["expired"] >= 1

    with pytest.raises(ClientError) as expired:
        sandbox.scope().client("drs").describe_jobs(filters={})

    assert classify(expired.value).kind is ErrorClass.TRANSIENT
    sandbox.scope().client("drs").describe_jobs(filters={})
    sandbox.scope().client("ec2").describe_instances()
    assert len(sandbox.calls("AssumeRole")) == 2


def test_an_sts_that_does_not_answer_is_not_taken_for_a_wrong_trust_policy(sandbox: Any) -> None:
    sandbox.control.add_fault(
        service="sts", operation="AssumeRole", action="error", code="ServiceUnavailable"
    )

    with pytest.raises(ClientError) as away:
        sandbox.scope().client("drs").describe_jobs(filters={})

    said = str(away.value)
    assert f"role/LeewardRecovery of account {sandbox.account} (tiny)" in said
    assert "through STS in us-east-2 for now; it is tried again" in said
    assert "trust policy" not in said


def test_an_empty_external_id_is_not_sent(sandbox: Any) -> None:
    nobody = sandbox.reached(external_id="")

    with pytest.raises(ClientError, match="demand no external id"):
        sandbox.aws.whoami(sandbox.aws.scope(nobody, "us-east-2"))

    assert "ExternalId" not in sandbox.calls("AssumeRole")[0]["params"]


def test_a_refused_call_says_in_which_account_and_region(sandbox: Any) -> None:
    sandbox.control.add_fault(
        service="drs", action="error", code="AccessDeniedException", message="no", status=403
    )

    with pytest.raises(ClientError) as refused:
        sandbox.scope().client("drs").describe_jobs(filters={})

    assert f"no [account {sandbox.account} (tiny), us-east-2, arn:aws:iam::" in str(refused.value)
    assert classify(refused.value).kind is ErrorClass.DENIED


def test_once_is_once(sandbox: Any) -> None:
    sandbox.control.add_fault(service="drs", action="error", status=500)
    scope = sandbox.scope()

    for once, attempts in ((True, 1), (False, 3)):
        last = sandbox.control.last_seq()
        with pytest.raises(ClientError):
            scope.client("drs", once=once).describe_jobs(filters={})
        drs = [c for c in sandbox.control.calls(since=last) if c["service"] == "drs"]
        assert len(drs) == attempts


def test_threads_share_clients_and_one_session_per_role(sandbox: Any) -> None:
    services = ("drs", "ec2", "route53", "service-quotas")
    ready = threading.Barrier(16)

    def make(n: int) -> Any:
        ready.wait(timeout=30)
        client = sandbox.scope().client(services[n % 4])
        if n % 4 == 0:
            with asking(rights.TESTS):
                client.describe_jobs(filters={})
        return client

    with ThreadPoolExecutor(16) as pool:
        clients = list(pool.map(make, range(16)))

    assert len({id(client) for client in clients}) == 4
    assert len(sandbox.calls("AssumeRole")) == 1


def test_only_the_clients_used_last_are_kept(sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "CLIENTS", 2)
    scope = sandbox.scope()
    drs, ec2 = scope.client("drs"), scope.client("ec2")
    assert scope.client("drs") is drs

    scope.client("sns")

    assert scope.client("drs") is drs
    assert scope.client("ec2") is not ec2
    assert len(sandbox.calls("AssumeRole")) == 0


def test_the_session_of_a_run_is_dropped_with_its_last_client(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "CLIENTS", 2)
    for run in range(5):
        account = sandbox.reached(session_name=f"leeward-orders-{run}")
        scope = sandbox.aws.scope(account, "us-east-2", recovery=True)
        scope.client("drs").describe_jobs(filters={})

    assert len(sandbox.aws._sessions) == 2
    before = len(sandbox.calls("AssumeRole"))
    scope.client("drs").describe_jobs(filters={})
    assert len(sandbox.calls("AssumeRole")) == before, "a session in use is kept"


def test_another_role_sees_shared_answers_of_its_own(sandbox: Any) -> None:
    """A tenant is not told what only another one's role may see."""
    reader, other = sandbox.aws.scope(sandbox.reached(), "us-east-2"), sandbox.scope()
    said = iter(["to one", "to the other"])

    assert reader.views.ask("jobs", 0.0, lambda: next(said)) == "to one"
    assert other.views.ask("jobs", 0.0, lambda: next(said)) == "to the other"
    assert reader.views.ask("jobs", 0.0, lambda: next(said)) == "to one"


def test_requests_that_change_something_are_noted_with_their_ids(sandbox: Any) -> None:
    drs, server = sandbox.scope().client("drs"), sandbox.servers()[0]
    with sandbox.aws.recording() as record:
        drs.describe_jobs(filters={})
        assert (record.sent, record.requests) == (False, [])
        answer = drs.update_launch_configuration(sourceServerID=server, copyPrivateIp=False)
        start = [{"sourceServerID": server}]
        sandbox.scope().each(lambda s: drs.start_recovery(sourceServers=s), [start])
    drs.update_launch_configuration(sourceServerID=server, copyPrivateIp=True)

    assert record.sent
    assert record.requests[0] == answer["ResponseMetadata"]["RequestId"]
    assert len(record.requests) == 2


def test_another_external_id_is_another_session(sandbox: Any) -> None:
    right, wrong = sandbox.reached(), sandbox.reached(external_id="leeward/sandbox/other")
    clients = [sandbox.aws.scope(a, "us-east-2").client("drs") for a in (right, wrong)]

    clients[0].describe_jobs(filters={})
    with pytest.raises(ClientError):
        clients[1].describe_jobs(filters={})


def test_answers_are_kept_per_account_and_region_and_errors_are_not(sandbox: Any) -> None:
    here, there = sandbox.scope(), sandbox.scope("us-east-1")
    made: list[str] = []

    def make(value: str) -> Any:
        def call() -> str:
            made.append(value)
            return value

        return call

    def fail() -> str:
        raise LookupError

    with pytest.raises(LookupError):
        here.cached("key", 60, fail)
    assert here.cached("key", 60, make("a")) == "a"
    assert here.cached("key", 60, make("b")) == "a"
    assert there.cached("key", 60, make("c")) == "c"
    assert here.cached("gone", 0, make("d")) == "d"
    assert here.cached("gone", 0, make("e")) == "e"
    assert made == ["a", "c", "d", "e"]


def test_another_role_or_tenant_has_kept_answers_of_its_own(sandbox: Any) -> None:
    tenant = sandbox.reached(session_tags={"leeward:namespace": "other"})
    scopes = [
        sandbox.scope(),
        sandbox.aws.scope(sandbox.reached(), "us-east-2"),
        sandbox.aws.scope(tenant, "us-east-2", recovery=True),
    ]
    said = iter("abc")
    for _ in range(2):
        answers = [scope.cached("key", 60, lambda: next(said)) for scope in scopes]
        assert answers == ["a", "b", "c"]


def test_an_unknown_endpoint_is_a_passing_error(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = Aws("us-east-2", endpoint_url="http://127.0.0.1:9")

    with pytest.raises(Exception, match=r"127\.0\.0\.1:9") as lost:
        nowhere.whoami(nowhere.scope(sandbox.reached(), "us-east-2"))

    assert classify(lost.value).kind is ErrorClass.TRANSIENT
