"""The sandbox's control plane is a real one: identities, admission, controllers, outages."""

import json
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from leeward_sandbox.cluster import Cluster, ClusterError, ExistingCluster, go_build
from leeward_sandbox.cluster.certificates import KeyPair
from leeward_sandbox.cluster.client import Client
from leeward_sandbox.cluster.kubeconfig import USERS

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]
_DEADLINE_SECONDS = 60.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    started = Cluster.start(tmp_path_factory.mktemp("cluster") / "state")
    try:
        yield started
    finally:
        started.remove()


def _eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.1)


def _config_map(name: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "orders", **metadata},
    }


def _get(cluster: Cluster, *what: str) -> Any:
    done = cluster.kubectl("get", *what, "-o", "json", check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def _may_edit_config_maps(user: str) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"{user}-edits", "namespace": "orders"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USERS[user].name}
        ],
    }


def _policy(kind: str, name: str, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """A policy on ConfigMaps that carry the label `guard: NAME`, and its binding."""
    version = "admissionregistration.k8s.io/v1"
    matches = {
        "resourceRules": [
            {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["CREATE"],
                "resources": ["configmaps"],
            }
        ],
        "objectSelector": {"matchLabels": {"guard": name}},
    }
    policy = {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"failurePolicy": "Fail", "matchConstraints": matches, **spec},
    }
    bound: dict[str, Any] = {"policyName": name}
    if kind.startswith("Validating"):
        bound["validationActions"] = ["Deny"]
    binding = {
        "apiVersion": version,
        "kind": f"{kind}Binding",
        "metadata": {"name": name},
        "spec": bound,
    }
    return [policy, binding]


def test_the_three_processes_run_and_serve_the_pinned_version(cluster: Cluster) -> None:
    assert set(cluster.pids) == {"etcd", "kube-apiserver", "kube-controller-manager"}
    answer = json.loads(cluster.kubectl("version", "-o", "json").stdout)
    pinned = go_build.module_version("k8s.io/kubernetes").split(".")[:2]
    assert answer["serverVersion"]["gitVersion"].split(".")[:2] == pinned
    assert cluster.server.startswith("https://127.0.0.1:")


@pytest.mark.parametrize("user", USERS.values(), ids=USERS)
def test_each_user_is_known_by_name_and_group(cluster: Cluster, user: Any) -> None:
    done = cluster.kubectl("auth", "whoami", "-o", "json", user=user.short_name)
    who = json.loads(done.stdout)["status"]["userInfo"]

    assert who["username"] == user.name
    assert set(who["groups"]) == {*user.groups, "system:authenticated"}


def test_an_unknown_user_is_refused_with_the_names_there_are(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match="no user 'root'; there are admin, approver-a"):
        cluster.kubeconfig("root")


def test_a_user_without_a_binding_may_do_nothing(cluster: Cluster) -> None:
    done = cluster.kubectl("get", "configmaps", user="approver-b", check=False)

    assert done.returncode != 0
    assert 'User "approver-b@example.com" cannot list resource "configmaps"' in done.stderr


def test_a_service_account_acts_by_its_token(cluster: Cluster) -> None:
    kubeconfig = cluster.token("orders", "default")

    done = cluster.kubectl("auth", "whoami", "-o", "json", f"--kubeconfig={kubeconfig}")

    who = json.loads(done.stdout)["status"]["userInfo"]
    assert who["username"] == "system:serviceaccount:orders:default"


def test_a_token_of_an_unknown_service_account_is_refused_by_name(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match='"nobody" not found'):
        cluster.token("orders", "nobody")


def test_secrets_on_disk_are_their_owners_alone(cluster: Cluster) -> None:
    cluster.token("orders", "default")
    files = [file for file in cluster.state_dir.rglob("*") if file.is_file()]
    secret = [file for file in files if "kubeconfig" in file.parts or file.suffix == ".key"]

    assert len(secret) > len(USERS)
    assert [file for file in secret if file.stat().st_mode & 0o077] == []


def test_kubectl_leaves_nothing_in_the_home_directory(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    cluster.kubectl("get", "namespaces")

    assert list(tmp_path.iterdir()) == []


def test_an_api_user_does_not_reach_etcd(cluster: Cluster) -> None:
    record = json.loads((cluster.state_dir / "cluster.json").read_text())
    pki = cluster.state_dir / "pki"
    etcd_ca = str(pki / "etcd" / "ca.crt")
    port = record["ports"]["etcd_client"]

    assert Client(port, etcd_ca, _pair(pki / "etcd", "apiserver")).ok("/readyz")
    assert not Client(port, etcd_ca, _pair(pki, "admin")).ok("/readyz")


def _pair(directory: Path, name: str) -> KeyPair:
    return KeyPair(directory / f"{name}.crt", directory / f"{name}.key")


def test_the_certificates_stand_strict_verification(cluster: Cluster) -> None:
    context = ssl.create_default_context(cafile=str(cluster.ca_file))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    address = urlsplit(cluster.server)
    with (
        socket.create_connection((address.hostname, address.port)) as plain,
        context.wrap_socket(plain, server_hostname=address.hostname) as connection,
    ):
        assert connection.version() == "TLSv1.3"


def test_a_validating_admission_policy_refuses(cluster: Cluster) -> None:
    rule = {
        "expression": "object.metadata.?annotations[?'author'].orValue('') "
        "== request.userInfo.username",
        "messageExpression": "'author must be ' + request.userInfo.username",
        "reason": "Forbidden",
    }
    cluster.apply(*_policy("ValidatingAdmissionPolicy", "author", {"validations": [rule]}))
    cluster.apply(_may_edit_config_maps("approver-a"))

    def write(author: str) -> str:
        guarded = _config_map("guarded", labels={"guard": "author"}, annotations={"author": author})
        done = cluster.kubectl(
            *("create", "--dry-run=server", "-f", "-"),
            user="approver-a",
            input=json.dumps(guarded),
            check=False,
        )
        return done.stdout + done.stderr

    refusal = "author must be approver-a@example.com"
    _eventually(lambda: refusal in write("approver-b@example.com"), "the policy refuses")
    assert "configmap/guarded created" in write("approver-a@example.com")


def test_a_mutating_admission_policy_stamps_the_caller(cluster: Cluster) -> None:
    stamp = "Object{metadata: Object.metadata{annotations: {'author': request.userInfo.username}}}"
    mutation = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": stamp}}
    spec = {"mutations": [mutation], "reinvocationPolicy": "Never"}
    cluster.apply(*_policy("MutatingAdmissionPolicy", "stamp", spec))
    cluster.apply(_may_edit_config_maps("approver-a"))

    def author() -> str | None:
        done = cluster.kubectl(
            *("create", "--dry-run=server", "-o", "json", "-f", "-"),
            user="approver-a",
            input=json.dumps(_config_map("stamped", labels={"guard": "stamp"})),
        )
        value: str | None = json.loads(done.stdout)["metadata"].get("annotations", {}).get("author")
        return value

    _eventually(lambda: author() == "approver-a@example.com", "the policy stamps")


def test_the_dependents_of_a_deleted_object_are_collected(cluster: Cluster) -> None:
    cluster.apply(_config_map("owner"))
    uid = _get(cluster, "configmap", "owner")["metadata"]["uid"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    cluster.apply(_config_map("dependent", ownerReferences=[reference]))

    cluster.kubectl("delete", "configmap", "owner")

    _eventually(lambda: _get(cluster, "configmap", "dependent") is None, "it is collected")


def test_blocking_an_owners_deletion_needs_the_right_to_its_finalizers(cluster: Cluster) -> None:
    cluster.apply(_config_map("blocked"), _may_edit_config_maps("intruder"))
    reference = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "name": "view",
        "uid": _get(cluster, "clusterrole", "view")["metadata"]["uid"],
        "blockOwnerDeletion": True,
    }

    done = cluster.kubectl(
        *("create", "-f", "-"),
        user="intruder",
        input=json.dumps(_config_map("blocker", ownerReferences=[reference])),
        check=False,
    )

    assert "cannot set blockOwnerDeletion" in done.stderr


def test_a_labelled_role_is_aggregated_into_the_default_ones(cluster: Cluster) -> None:
    rule = {"apiGroups": ["leeward.dev"], "resources": ["recoveryplans"], "verbs": ["get"]}
    cluster.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {
                "name": "plan-viewer",
                "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"},
            },
            "rules": [rule],
        }
    )

    _eventually(lambda: rule in _get(cluster, "clusterrole", "view")["rules"], "it is aggregated")


def test_a_deleted_namespace_goes_with_what_is_in_it(cluster: Cluster) -> None:
    cluster.kubectl("create", "namespace", "short-lived")
    cluster.kubectl("create", "configmap", "content", "-n=short-lived")

    cluster.kubectl("delete", "namespace", "short-lived", f"--timeout={_DEADLINE_SECONDS:.0f}s")

    assert _get(cluster, "namespace", "short-lived") is None


def test_a_definition_and_its_objects_are_applied_at_once_and_audited(
    cluster: Cluster, tmp_path: Path
) -> None:
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "rehearsals.leeward.dev"},
        "spec": {
            "group": "leeward.dev",
            "scope": "Namespaced",
            "names": {"kind": "Rehearsal", "plural": "rehearsals"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object"}},
                }
            ],
        },
    }
    metadata = {"name": "first", "namespace": "orders"}
    rehearsal = {"apiVersion": "leeward.dev/v1", "kind": "Rehearsal", "metadata": metadata}
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all([rehearsal, definition]))

    cluster.apply(tmp_path)

    assert _get(cluster, "rehearsals", "first", "-n=orders")["kind"] == "Rehearsal"
    events = [json.loads(line) for line in cluster.audit_log.read_text().splitlines()]
    assert {event["objectRef"]["apiGroup"] for event in events} == {"leeward.dev"}
    written = [event for event in events if event["verb"] in ("create", "patch")]
    assert written[0]["user"]["username"] == "admin"
    assert written[0]["objectRef"]["name"] == "first"


def test_a_refused_manifest_is_an_error_with_the_servers_words(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match=r'(?i)namespaces "nowhere" not found'):
        cluster.apply(_config_map("lost") | {"metadata": {"name": "lost", "namespace": "nowhere"}})


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_data_outlives_an_outage_of_the_api_server(cluster: Cluster, kill: bool) -> None:
    name = f"before-{'kill' if kill else 'stop'}"
    cluster.apply(_config_map(name))
    uid = _get(cluster, "configmap", name)["metadata"]["uid"]

    cluster.stop_api_server(kill=kill)
    assert set(cluster.pids) == {"etcd", "kube-controller-manager"}
    assert cluster.kubectl("get", "--raw=/readyz", check=False).returncode != 0
    cluster.start_api_server()

    assert _get(cluster, "configmap", name)["metadata"]["uid"] == uid


def test_data_outlives_a_restart_of_etcd(cluster: Cluster) -> None:
    cluster.apply(_config_map("before-etcd"))
    before = cluster.pids["etcd"]

    cluster.restart_etcd(kill=True)

    assert cluster.pids["etcd"] != before
    _eventually(lambda: _get(cluster, "configmap", "before-etcd") is not None, "it is back")


def test_a_running_cluster_is_not_started_again(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match=r"runs in .* already"):
        Cluster.start(cluster.state_dir)
    assert len(cluster.pids) == 3


def test_attaching_where_nothing_is_says_so(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="there is no cluster in"):
        Cluster.attach(tmp_path)


def test_an_existing_cluster_is_used_by_impersonation_and_left_running(
    cluster: Cluster, tmp_path: Path
) -> None:
    adopted = ExistingCluster.adopt(tmp_path / "adopted", cluster.kubeconfig("admin"))

    assert adopted.server == cluster.server
    done = adopted.kubectl("auth", "whoami", "-o", "json", user="approver-b")
    who = json.loads(done.stdout)["status"]["userInfo"]
    assert who["username"] == "approver-b@example.com"
    assert "dr-approvers" in who["groups"]
    assert ExistingCluster.attach(adopted.state_dir).pids == {}
    adopted.remove()
    assert not adopted.state_dir.exists()
    assert len(cluster.pids) == 3


def test_two_live_side_by_side_and_removal_leaves_no_process_and_no_directory(
    cluster: Cluster, tmp_path: Path
) -> None:
    second = Cluster.start(tmp_path / "second")
    try:
        assert second.server != cluster.server
        assert not set(second.pids.values()) & set(cluster.pids.values())
        second.apply(_config_map("only-in-the-second"))
        assert _get(cluster, "configmap", "only-in-the-second") is None
        # The data stays over a stop, and another instance can start it again.
        second.stop()
        assert second.pids == {}
        second = Cluster.start(second.state_dir)
        assert _get(second, "configmap", "only-in-the-second") is not None
        pids = second.pids.values()
    finally:
        second.remove()

    assert not second.state_dir.exists()
    assert [pid for pid in pids if _runs(pid)] == []
    assert len(cluster.pids) == 3


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
