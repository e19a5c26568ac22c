"""helm install, upgrade and uninstall on a real API server.

There is no kubelet: what hooks would run is run as their account, and pods are tried as the
controllers would create them.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from leeward import policies
from leeward.api.kinds import KINDS
from leeward_sandbox.chart import NAMESPACE, RELEASE
from leeward_sandbox.cluster import Cluster

pytestmark = pytest.mark.timeout(900)
CHART = Path(__file__).parents[2] / "charts" / "leeward"
Object = dict[str, Any]
Release = Any  # conftest.Installation
OPERATOR = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
_SECONDS = 60.0


def eventually(look: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + _SECONDS
    while not (answer := look()):
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.1)
    return answer


def execution(name: str, plan: str = "orders") -> Object:
    return {
        "apiVersion": "leeward.dev/v1alpha1",
        "kind": "DRExecution",
        "metadata": {"name": name, "namespace": "orders"},
        "spec": {"planRef": {"name": plan}, "operation": "Test"},
    }


def condition(kind: str, status: str) -> Object:
    return {
        "type": kind, "status": status, "reason": "Running", "message": "wave data",
        "lastTransitionTime": "2026-03-01T02:00:00Z", "observedGeneration": 1,
    }  # fmt: skip


def under_way(
    release: Release, name: str, succeeded: str = "Unknown", operator: str = OPERATOR
) -> None:
    """An execution that runs, or has ended, as the operator's status says."""
    cluster = release.cluster
    body = json.dumps(execution(name))
    create = ("create", "-f", "-")
    eventually(
        lambda: cluster.kubectl(*create, input=body, check=False).returncode == 0,
        "the execution was created",
    )
    told(release, name, succeeded, operator)


def told(release: Release, name: str, succeeded: str, operator: str = OPERATOR) -> None:
    """Have the operator's status say so of an execution."""
    cluster = release.cluster
    written = release.get("drx", name, "-n=orders")
    conditions = [condition("Succeeded", succeeded)]
    written["status"] = {"state": "Running", "epoch": 1, "conditions": conditions}
    path = f"/apis/leeward.dev/v1alpha1/namespaces/orders/drexecutions/{name}/status"
    replace = ("replace", "--raw", path, "-f", "-", f"--as={operator}")
    cluster.kubectl(*replace, input=json.dumps(written))


def forged(release: Release, name: str) -> str:
    """What the API server says to an approval in another's name."""
    annotation = "leeward.dev/approve-wave-data=somebody@example.com"
    done = release.cluster.kubectl(
        "annotate", "drx", name, "-n=orders", "--dry-run=server", annotation, check=False
    )
    return str(done.stderr)


def test_an_installation_puts_roles_policies_and_crds_in_force(release: Release) -> None:
    done = release.install()
    assert "Let" in done.stdout or "has no AWS role yet" in done.stdout
    assert f"kubectl rollout status deployment/{RELEASE}" in done.stdout

    for kind in KINDS.values():
        crd = release.get("crd", f"{kind.PLURAL}.leeward.dev")
        assert crd is not None
        established = {c["type"]: c["status"] for c in crd["status"]["conditions"]}
        assert established["Established"] == "True"
    for policy in policies.load():
        live = release.get(policy["kind"], policy["metadata"]["name"])
        assert live is not None
        assert live["spec"] == policy["spec"]

    under_way(release, "guarded")
    eventually(
        lambda: "must be your own user name" in forged(release, "guarded"),
        "the policies were in force",
    )
    can = ("auth", "can-i", "-q", f"--as={OPERATOR}")
    kubectl = release.cluster.kubectl
    assert kubectl(*can, "update", "drexecutions", "--subresource=status").returncode == 0
    assert kubectl(*can, "update", "leases/leeward", f"-n={NAMESPACE}").returncode == 0
    assert kubectl(*can, "get", "secrets", "-n=orders", check=False).returncode != 0
    _may_be_edited_by_tenants(release)


def _may_be_edited_by_tenants(release: Release) -> None:
    edit = release.get("clusterrole", "edit")
    assert any("leeward.dev" in rule.get("apiGroups", []) for rule in edit["rules"])


def test_the_pods_are_accepted_where_the_restricted_standard_is_enforced(
    cluster: Cluster, release: Release, helm: Any
) -> None:
    release.install()
    objects = helm.template()
    pods = [o["spec"]["template"] for o in objects if o["kind"] in ("Deployment", "Job")]
    assert len(pods) == 4
    # The account of the hooks is there before them.
    cluster.apply(*(o for o in objects if o["kind"] == "ServiceAccount"))
    for template in pods:
        assert _admitted(cluster, template) == ""
    loose = copy.deepcopy(pods[0])
    loose["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    assert 'violates PodSecurity "restricted' in _admitted(cluster, loose)


def _admitted(cluster: Cluster, template: Object) -> str:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        **copy.deepcopy(template),
    }
    pod["metadata"] |= {"name": "tried", "namespace": NAMESPACE}
    create = ("create", "--dry-run=server", "-f", "-")
    return cluster.kubectl(*create, input=json.dumps(pod), check=False).stderr


def test_an_upgrade_leaves_live_runs_alone_and_brings_new_crds(
    release: Release, previous: Path
) -> None:
    release.install(str(previous))
    crd = release.get("crd", "drexecutions.leeward.dev")
    columns = len(crd["spec"]["versions"][0]["additionalPrinterColumns"])
    under_way(release, "live")
    before = release.get("drx", "live", "-n=orders")
    guard = _generations(release)

    release.upgrade()

    assert release.get("drx", "live", "-n=orders") == before
    # Approvals that a gate has counted would be void, had a policy been replaced or edited.
    assert _generations(release) == guard
    crd = release.get("crd", "drexecutions.leeward.dev")
    assert len(crd["spec"]["versions"][0]["additionalPrinterColumns"]) == columns + 1
    deployment = release.get("deployment", RELEASE, f"-n={NAMESPACE}")
    described = yaml.safe_load((CHART / "Chart.yaml").read_text())
    labels = deployment["metadata"]["labels"]
    assert labels["helm.sh/chart"] == f"leeward-{described['version']}"


def _generations(release: Release) -> list[tuple[str, int]]:
    found = []
    for policy in policies.load():
        live = release.get(policy["kind"], policy["metadata"]["name"])["metadata"]
        found.append((live["uid"], live.get("generation", 0)))
    return found


def test_what_is_uninstalled_leaves_definitions_records_and_policies(release: Release) -> None:
    release.install()
    under_way(release, "ended", succeeded="True")
    before = release.get("drx", "ended", "-n=orders")

    release.uninstall()

    assert release.get("drx", "ended", "-n=orders") == before
    assert "must be your own user name" in forged(release, "ended")
    assert release.get("deployment", RELEASE, f"-n={NAMESPACE}") is None
    assert release.get("clusterrole", "leeward-operator") is None

    release.install()
    assert release.get("drx", "ended", "-n=orders") == before


def test_an_operator_elsewhere_is_the_one_that_the_policies_know(release: Release) -> None:
    release.install(CHART, "--set=serviceAccount.name=mover", namespace="platform-dr")
    under_way(release, "elsewhere", operator="system:serviceaccount:platform-dr:mover")
    eventually(
        lambda: "is written by the operator alone" in _status_by_admin(release, "elsewhere"),
        "the policies were in force",
    )


def _status_by_admin(release: Release, name: str) -> str:
    patch = ("--subresource=status", "--type=merge", "--dry-run=server", "-p")
    status = '{"status": {"message": "by hand"}}'
    done = release.cluster.kubectl("patch", "drx", name, "-n=orders", *patch, status, check=False)
    return str(done.stderr)


def test_a_second_release_is_refused(release: Release) -> None:
    release.install()
    done = release.helm(
        *("install", "second", CHART),
        *("--namespace", "orders", "--set=preflight.enabled=false"),
        check=False,
    )
    assert done.returncode != 0
    assert "invalid ownership metadata" in done.stderr


class Hooks:
    """The commands of the chart's hooks, run as their own ServiceAccount."""

    def __init__(self, release: Release, helm: Any, **values: Any) -> None:
        self._cluster: Cluster = release.cluster
        objects = helm.template(values=values)
        self._jobs = {o["metadata"]["name"]: o for o in objects if o["kind"] == "Job"}
        hooks = [o for o in objects if "helm.sh/hook" in o["metadata"].get("annotations", {})]
        rights = [o for o in hooks if o["kind"] not in ("Job", "ConfigMap")]
        self._cluster.apply(*rights)
        self._made = [(o["kind"], o["metadata"]["name"]) for o in rights]
        config = [o["data"]["roles.yaml"] for o in hooks if o["kind"] == "ConfigMap"]
        self._roles = config[0] if config else ""

    def run(self, step: str, folder: Path) -> tuple[int, str]:
        """Exit code and output of the hook before `step`."""
        container = self._jobs[f"{RELEASE}-preflight-{step}"]["spec"]["template"]["spec"]
        command = [*container["containers"][0]["command"], *container["containers"][0]["args"]]
        assert command[0] == "leeward"
        roles = folder / "roles.yaml"
        roles.write_text(self._roles)
        args = [part.replace("/etc/leeward-roles/roles.yaml", str(roles)) for part in command[1:]]
        token = self._cluster.token(NAMESPACE, f"{RELEASE}-preflight")
        done = subprocess.run(
            [sys.executable, "-m", "leeward.cli.main", *args],
            env={**os.environ, "KUBECONFIG": str(token)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def close(self) -> None:
        for kind, name in self._made:
            self._cluster.kubectl("delete", kind, name, f"-n={NAMESPACE}", "--ignore-not-found")


def test_helm_runs_the_hooks_from_the_installation_to_its_end(
    release: Release, hooks: Any, previous: Path
) -> None:
    def helm(verb: str, *options: str | Path, check: bool = True) -> Any:
        return release.helm(verb, RELEASE, *options, "--namespace", NAMESPACE, check=check)

    def revisions() -> list[Object]:
        found: list[Object] = json.loads(helm("history", "--output=json").stdout)
        return found

    helm("install", previous, "--set=aws.region=us-east-2")
    assert "0 unknown, 0 problems" in hooks.logs[f"{RELEASE}-preflight-install"]
    helm("upgrade", CHART, "--reset-then-reuse-values")
    assert "CRD drtasks.leeward.dev: stores v1alpha1" in hooks.logs.pop(
        f"{RELEASE}-preflight-upgrade"
    )
    columns = _columns(release)
    # The way back with live runs: the older chart beside the newer CRDs.
    under_way(release, "lives-on")
    helm("upgrade", previous, "--reset-then-reuse-values", "--set=crds.enabled=false")
    assert "go on with the new version: orders/lives-on" in hooks.logs.pop(
        f"{RELEASE}-preflight-upgrade"
    )
    assert _columns(release) == columns
    # helm rollback takes the CRDs along.
    helm("rollback", "1")
    assert f"{RELEASE}-preflight-upgrade" in hooks.logs
    assert _columns(release) == columns - 1

    refused = helm("uninstall", check=False)
    assert refused.returncode != 0
    assert (
        "orders/lives-on; nobody would finish them" in hooks.logs[f"{RELEASE}-preflight-uninstall"]
    )
    assert release.get("deployment", RELEASE, f"-n={NAMESPACE}") is not None
    last = revisions()[-1]
    assert last["status"] == "uninstalling"
    assert "no deployed releases" in helm("upgrade", CHART, check=False).stderr
    helm("rollback", str(last["revision"]))
    helm("upgrade", CHART, "--reset-then-reuse-values")
    told(release, "lives-on", succeeded="True")
    helm("uninstall")
    assert release.get("deployment", RELEASE, f"-n={NAMESPACE}") is None


def _columns(release: Release) -> int:
    crd = release.get("crd", "drexecutions.leeward.dev")
    return len(crd["spec"]["versions"][0]["additionalPrinterColumns"])


def test_the_hook_before_an_installation_finds_a_fit_cluster(
    release: Release, helm: Any, tmp_path: Path
) -> None:
    hooks = Hooks(release, helm)
    try:
        code, text = hooks.run("install", tmp_path)
        assert code == 0, text
        assert "CRD drexecutions.leeward.dev: not there yet" in text
        assert text.rstrip().endswith("0 unknown, 0 problems")
    finally:
        hooks.close()


def test_the_hook_refuses_objects_of_a_version_that_would_not_be_served(
    release: Release, helm: Any, tmp_path: Path
) -> None:
    release.install()
    stored = json.dumps({"status": {"storedVersions": ["v1beta1", "v1alpha1"]}})
    patch = ("patch", "crd", "drtasks.leeward.dev", "--subresource=status", "--type=merge")
    release.cluster.kubectl(*patch, "-p", stored)
    hooks = Hooks(release, helm)
    try:
        code, text = hooks.run("upgrade", tmp_path)
        assert code == 1
        assert "CRD drtasks.leeward.dev: objects may be stored as v1beta1" in text
    finally:
        hooks.close()


def test_the_hook_before_an_uninstallation_refuses_while_runs_are_live(
    release: Release, helm: Any, tmp_path: Path
) -> None:
    release.install()
    hooks = Hooks(release, helm)
    try:
        under_way(release, "over", succeeded="False")
        code, text = hooks.run("uninstall", tmp_path)
        assert (code, "no run is live" in text) == (0, True), text
        under_way(release, "still-live")
        code, text = hooks.run("uninstall", tmp_path)
        assert code == 1
        assert "runs are live: orders/still-live; nobody would finish them" in text
        code, text = hooks.run("upgrade", tmp_path)
        assert code == 0
        assert "runs are live and go on with the new version: orders/still-live" in text
    finally:
        hooks.close()


def test_the_hook_names_the_rights_that_somebody_else_did_not_grant(
    release: Release, helm: Any, tmp_path: Path
) -> None:
    kinds = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
    granted = [o for o in helm.template("--no-hooks") if o["kind"] in kinds]
    hooks = Hooks(release, helm, rbac={"create": False})
    try:
        code, text = hooks.run("install", tmp_path)
        assert code == 1
        assert f"{OPERATOR} lacks rights, which rbac.create=false leaves to you" in text
        assert "update leases.coordination.k8s.io leeward in leeward-system" in text
        release.cluster.apply(*granted)
        _, text = eventually(
            lambda: (found := hooks.run("install", tmp_path))[0] == 0 and found,
            "the rights were granted",
        )
        assert f"{OPERATOR} has all rights of the operator's roles" in text
    finally:
        hooks.close()
        chosen = ("-l", "app.kubernetes.io/part-of=leeward", f"-n={NAMESPACE}")
        release.cluster.kubectl("delete", ",".join(kinds), *chosen)


def test_the_hook_says_which_right_it_lacks_itself(
    release: Release, helm: Any, tmp_path: Path
) -> None:
    hooks = Hooks(release, helm)
    try:
        release.cluster.kubectl("delete", "clusterrolebinding", "leeward-preflight")
        _, text = eventually(
            lambda: (found := hooks.run("install", tmp_path))[0] == 1 and found,
            "the right was gone",
        )
        assert "CRD drtasks.leeward.dev: cannot be read" in text
        assert "you may not do this" in text
    finally:
        hooks.close()


def test_a_crd_that_is_being_deleted_is_waited_for() -> None:
    from leeward.cli.preflight import definition

    going = {"metadata": {"deletionTimestamp": "2026-03-01T02:00:00Z"}, "status": {}}
    assert definition(going).verdict == "problem"


def test_the_roles_of_the_operator_are_read_as_the_api_server_reads_them(helm: Any) -> None:
    from leeward.cli.preflight import granted

    found = granted(helm.template("--show-only", "templates/rbac.yaml"))
    assert set(found) == {"", NAMESPACE}
    assert ("leeward.dev", "drexecutions/status", "", "update") in found[""]
    assert ("coordination.k8s.io", "leases", "leeward", "update") in found[NAMESPACE]
