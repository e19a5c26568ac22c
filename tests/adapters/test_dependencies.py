"""What a plan depends on: what holds, what does not and what is said, and what is never asked."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import boto3
import pytest

from leeward_adapters import dependencies
from leeward_adapters.dependencies import (
    Dependency,
    Verdict,
    active_directory,
    route53_health_check,
)
from leeward_adapters.dependencies.addresses import Addresses, AddressRefusedError, networks
from leeward_sandbox.aws.estates import tiny
from leeward_sandbox.aws.estates.model import Aurora

P, R = "us-east-1", "us-east-2"
LOOPBACK = Addresses(allowed=networks(["127.0.0.0/8"]))


def look(scope: Any, kind: str, target: str, **parameters: str) -> Verdict:
    return dependencies.check(scope, Dependency(kind, target, parameters, P, addresses=LOOPBACK))


def admin(sandbox: Any, service: str, region: str = R) -> Any:
    make: Any = boto3.client
    return make(
        service,
        region_name=region,
        endpoint_url=sandbox.endpoint,
        aws_access_key_id=f"SANDBOX{sandbox.account}",
        aws_secret_access_key="sandbox",
    )


# --- AWS -------------------------------------------------------------------------------------


@pytest.mark.aws
def test_a_global_table_holds_with_a_replica_on_both_sides(sandbox: Any) -> None:
    def table(name: str, region: str) -> None:
        admin(sandbox, "dynamodb", region).create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )

    scope = sandbox.aws.scope(sandbox.reached(), R)
    gone = look(scope, "DynamoDbGlobalTable", "carts")
    assert (gone.holds, "add that Region as a replica" in gone.message) == (False, True)
    table("carts", R)
    alone = look(scope, "DynamoDbGlobalTable", "carts")
    assert not alone.holds
    assert f"no replica in {P}" in alone.message
    table("carts", P)
    arn = f"arn:aws:dynamodb:{R}:{sandbox.account}:table/carts"
    assert look(scope, "DynamoDbGlobalTable", arn).holds


@pytest.mark.aws
@pytest.mark.parametrize(("instances", "holds"), [(1, True), (0, False)])
def test_a_global_database_needs_an_instance_where_it_is_to_be_failed_over_to(
    make_sandbox: Any, new_account: Any, instances: int, holds: bool
) -> None:
    estate = tiny(1, account=new_account())
    estate.accounts[0].aurora = [Aurora(name="ledger", instances=instances)]
    sandbox = make_sandbox(estate=estate)
    scope = sandbox.aws.scope(sandbox.reached(), R)
    verdict = look(scope, "AuroraGlobal", "ledger")
    assert verdict.holds is holds
    assert "ledger-secondary" in verdict.message
    assert not look(scope, "AuroraGlobal", "nosuch").holds


@pytest.mark.aws
def test_a_directory_holds_with_enough_domain_controllers_in_the_recovery_region(
    sandbox: Any,
) -> None:
    ec2 = sandbox.client("ec2")
    subnets = ec2.describe_subnets(Filters=[{"Name": "tag:Purpose", "Values": ["Recovery"]}])
    by_zone = {s["AvailabilityZone"]: s for s in subnets["Subnets"]}
    a, b = by_zone[f"{R}a"], by_zone[f"{R}b"]
    scope = sandbox.aws.scope(sandbox.reached(), R)
    assert "add the Region" in look(scope, "ActiveDirectory", "corp.example.com").message
    made = admin(sandbox, "ds").create_microsoft_ad(
        Name="corp.example.com",
        Password="Sandbox-1",
        VpcSettings={"VpcId": a["VpcId"], "SubnetIds": [a["SubnetId"], b["SubnetId"]]},
    )["DirectoryId"]
    for target in (made, "corp.example.com"):
        assert look(scope, "ActiveDirectory", target).holds
    sandbox.control.backend("ds", {"directory": made, "lost": 1})
    lost = look(scope, "ActiveDirectory", made)
    assert not lost.holds
    assert "1 of 2 domain controllers" in lost.message
    assert look(scope, "ActiveDirectory", made, minimum="1").holds


@pytest.mark.aws
def test_a_health_check_says_what_its_checkers_report(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    route53 = admin(sandbox, "route53")
    config = {"Type": "HTTPS", "FullyQualifiedDomainName": "shop.example.com", "Port": 443}

    def made(**more: Any) -> str:
        reference = f"{len(ids)}"
        answer = route53.create_health_check(
            CallerReference=reference, HealthCheckConfig={**config, **more}
        )
        ids.append(answer["HealthCheck"]["Id"])
        return ids[-1]

    ids: list[str] = []
    good, inverted = made(), made(Inverted=True)
    both = route53.create_health_check(
        CallerReference="both",
        HealthCheckConfig={
            "Type": "CALCULATED", "ChildHealthChecks": [good, inverted], "HealthThreshold": 2,
        },
    )["HealthCheck"]["Id"]  # fmt: skip
    scope = sandbox.aws.scope(sandbox.reached(), R)
    assert look(scope, "Route53HealthCheck", good).holds
    assert not look(scope, "Route53HealthCheck", inverted).holds
    calculated = look(scope, "Route53HealthCheck", both)
    assert not calculated.holds
    assert "1 of 2 children healthy" in calculated.message
    route53.update_health_check(HealthCheckId=good, Disabled=True)
    assert "disabled" in look(scope, "Route53HealthCheck", good).message
    with monkeypatch.context() as patched:
        patched.setattr(route53_health_check, "_TOGETHER", -1.0)
        with pytest.raises(TimeoutError):
            look(scope, "Route53HealthCheck", both)
    gone = look(scope, "Route53HealthCheck", "00000000-0000-0000-0000-000000000000")
    assert "is not there" in gone.message


@pytest.mark.aws
def test_a_bucket_holds_while_an_enabled_rule_replicates_into_it(sandbox: Any) -> None:
    scope = sandbox.aws.scope(sandbox.reached(), R)
    replica, source = f"r-{sandbox.account}", f"p-{sandbox.account}"
    assert not look(scope, "S3Replication", replica).holds
    for name, region in ((replica, R), (source, P)):
        s3 = admin(sandbox, "s3", region)
        where = {} if region == P else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=name, **where)
    assert "not versioned" in look(scope, "S3Replication", replica).message
    for name, region in ((replica, R), (source, P)):
        admin(sandbox, "s3", region).put_bucket_versioning(
            Bucket=name, VersioningConfiguration={"Status": "Enabled"}
        )
    assert look(scope, "S3Replication", replica).holds
    assert "not replicated into" in look(scope, "S3Replication", replica, source=source).message
    admin(sandbox, "s3", P).put_bucket_replication(
        Bucket=source,
        ReplicationConfiguration={
            "Role": f"arn:aws:iam::{sandbox.account}:role/replication",
            "Rules": [
                {
                    "ID": "all", "Priority": 1, "Status": "Enabled", "Filter": {"Prefix": ""},
                    "DeleteMarkerReplication": {"Status": "Disabled"},
                    "Destination": {"Bucket": f"arn:aws:s3:::{replica}"},
                }
            ],
        },
    )  # fmt: skip
    assert look(scope, "S3Replication", replica, source=source).holds


@pytest.mark.aws
def test_checks_call_only_what_they_declare(sandbox: Any) -> None:
    scope = sandbox.aws.scope(sandbox.reached(), R)
    names = {"GetBucketReplication": "GetReplicationConfiguration"}
    for kind in ("ActiveDirectory", "AuroraGlobal", "DynamoDbGlobalTable", "S3Replication"):
        last = sandbox.control.last_seq()
        look(scope, kind, "nosuch")
        calls = [c for c in sandbox.control.calls(since=last) if c["service"] != "sts"]
        assert calls
        asked = {f"{c['service']}:{names.get(c['operation'], c['operation'])}" for c in calls}
        assert asked <= dependencies.permissions(kind)


# --- endpoints -------------------------------------------------------------------------------


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/") or 200))
        self.send_header("Location", "http://169.254.169.254/")
        self.end_headers()
        self.wfile.write(b"a secret")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def _closed() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize(
    ("path", "parameters", "holds"),
    [("", {}, True), ("503", {}, False), ("503", {"status": "503"}, True), ("302", {}, False)],
)
def test_an_endpoint_holds_with_the_status_that_is_wanted(
    port: int, path: str, parameters: dict[str, str], holds: bool
) -> None:
    verdict = look(None, "Http", f"http://127.0.0.1:{port}/{path}", **parameters)
    assert verdict.holds is holds
    assert "secret" not in verdict.message


def test_a_port_holds_while_it_accepts(port: int) -> None:
    assert look(None, "Tcp", f"127.0.0.1:{port}").holds
    dead = look(None, "Tcp", f"127.0.0.1:{_closed()}")
    assert not dead.holds
    assert "cannot be reached from the operator" in dead.message


def test_domain_controllers_of_ones_own_are_asked_at_their_port(port: int) -> None:
    own = {"controllers": "127.0.0.1, 127.0.0.2", "port": str(port), "minimum": "1"}
    one = look(None, "ActiveDirectory", "corp.example.com", **own)
    assert one.holds
    assert "1 of 2" in one.message
    assert not look(None, "ActiveDirectory", "corp.example.com", **own | {"minimum": "2"}).holds


@pytest.fixture
def silent() -> Iterator[int]:
    """A port whose connections are never made: its queue is full."""
    with ExitStack() as opened:
        server = opened.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            client = opened.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield int(server.getsockname()[1])


class _Many(Addresses):
    """Of a name with as many addresses as its owner likes."""

    def resolve(self, host: str, port: int) -> list[str]:
        return ["127.0.0.1"] * 50


def test_a_name_with_many_addresses_that_are_silent_takes_no_longer(silent: int) -> None:
    began = time.monotonic()
    target = Dependency("Tcp", f"many.example.com:{silent}", {"timeout": "1"}, addresses=_Many())
    verdict = dependencies.check(None, target)  # type: ignore[arg-type]
    assert not verdict.holds
    assert "cannot be reached" in verdict.message
    assert time.monotonic() - began < 25  # each by itself: 50


def test_domain_controllers_that_are_silent_share_a_time(
    silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(active_directory, "_TOGETHER", 1.0)
    hosts = ",".join(["127.0.0.1"] * 20)
    began = time.monotonic()
    verdict = look(None, "ActiveDirectory", "corp", controllers=hosts, port=str(silent))
    assert "0 of 20 domain controllers" in verdict.message
    assert time.monotonic() - began < 30  # each by itself: 60


@pytest.fixture
def dripping() -> Iterator[tuple[int, threading.Event]]:
    """A port that answers byte by byte and never ends; the event: nobody listens any more."""
    stop, left = threading.Event(), threading.Event()

    def serve() -> None:
        client, _ = server.accept()
        with client:
            first = client.recv(1)
            # The head of a record of TLS, or of an answer by HTTP.
            client.sendall(b"\x16\x03\x03\x3f\xff" if first == b"\x16" else b"HTTP/1.1 200 ")
            try:
                while not stop.wait(0.1):
                    client.sendall(b"x")
            except OSError:
                left.set()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], left
        stop.set()
        thread.join()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_answer_that_never_ends_is_given_up(
    dripping: tuple[int, threading.Event], scheme: str
) -> None:
    port, left = dripping
    verdict = look(None, "Http", f"{scheme}://127.0.0.1:{port}/", timeout="1")
    assert not verdict.holds
    assert "no whole answer within 1 s" in verdict.message
    assert left.wait(30)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "169.254.169.254", "169.254.170.23", "0.0.0.0", "224.0.0.1", "::1", "::",
        "fe80::1", "fd00:ec2::254", "::ffff:169.254.169.254", "::ffff:127.0.0.1",
        "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::169.254.169.254", "::7f00:1",
        "::ffff:0:169.254.169.254", "64:ff9b:1::a9fe:a9fe", "2001:0:a9fe:a9fe::1", "fec0::1",
    ],
)  # fmt: skip
def test_addresses_beside_the_operator_are_refused(address: str) -> None:
    assert not Addresses().permits(ipaddress.ip_address(address))


def test_a_setting_denies_the_clusters_networks_and_another_allows_one() -> None:
    rule = Addresses(allowed=networks(["10.96.0.53/32"]), denied=networks(["10.96.0.0/12"]))
    allowed = {a: rule.permits(ipaddress.ip_address(a)) for a in ("10.96.0.1", "10.96.0.53")}
    assert allowed == {"10.96.0.1": False, "10.96.0.53": True}
    assert Addresses().permits(ipaddress.ip_address("10.1.2.3"))


@pytest.mark.parametrize("host", ["10.96.0.1", "::ffff:10.96.0.1"])
def test_the_control_plane_is_refused_whatever_is_allowed(host: str) -> None:
    rule = Addresses(allowed=networks(["10.0.0.0/8"]), never=("10.96.0.1", "nosuch.invalid"))
    with pytest.raises(AddressRefusedError, match="the cluster's control plane"):
        rule.resolve(host, 443)
    assert rule.resolve("10.96.0.2", 443) == ["10.96.0.2"]


@pytest.mark.parametrize("kind", ["Http", "Tcp"])
def test_a_refused_address_is_not_connected_to(port: int, kind: str) -> None:
    target = f"http://127.0.0.1:{port}/" if kind == "Http" else f"localhost:{port}"
    verdict = dependencies.check(None, Dependency(kind, target))  # type: ignore[arg-type]
    assert not verdict.holds
    assert "LEEWARD_CHECK_ALLOWED_NETWORKS" in verdict.message


@pytest.mark.parametrize(
    ("kind", "target", "parameters"),
    [
        ("Tcp", "dc.example.com", {}),
        ("Tcp", "dc.example.com:70000", {}),
        ("Http", "ftp://example.com/", {}),
        ("Http", "http://user:password@example.com/", {}),
        ("Tcp", "10.0.0.1:389", {"timeout": "600"}),
        ("Http", "http://10.0.0.1/", {"status": "good"}),
        ("ActiveDirectory", "corp.example.com", {"controllers": ",".join(["10.0.0.1"] * 21)}),
    ],
)
def test_what_cannot_be_meant_is_an_error(
    kind: str, target: str, parameters: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match=r"target|parameter"):
        look(None, kind, target, **parameters)
