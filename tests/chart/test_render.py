"""What the chart renders: valid whatever the values, and one with what the package ships."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from leeward import policies
from leeward.api import crd
from leeward.settings import Settings

Object = dict[str, Any]
Helm = Any  # conftest.Helm
ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "leeward"
DIGEST = "sha256:" + "0" * 64

MATRIX: dict[str, Object] = {
    "default": {},
    "everything": {
        "image": {"registry": "registry.example.com/dr", "digest": DIGEST},
        "imagePullSecrets": [{"name": "pull"}],
        "serviceAccount": {"annotations": {"team": "platform"}},
        "aws": {
            "region": "us-east-2",
            "irsa": {"roleArn": "arn:aws:iam::999999999999:role/LeewardOperator"},
        },
        "configuration": {"hub": "prod", "poll-interval": 20, "lease-duration": 15.5},
        "configurationParameters": "/leeward/prod",
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "proxy.example.com:3128"}],
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ca"}],
        "podAnnotations": {"a": "b"},
        "podLabels": {"team": "platform"},
        "deploymentAnnotations": {"a": "b"},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "dr", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "platform",
        "podDisruptionBudget": {"maxUnavailable": "50%"},
        "networkPolicy": {"from": [{"namespaceSelector": {"matchLabels": {"team": "metrics"}}}]},
        "metrics": {
            "port": 9090,
            "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
            "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
            "dashboards": {"enabled": True, "annotations": {"folder": "DR"}},
        },
        "tracing": {
            "enabled": True,
            "endpoint": "https://collector.example.com/tenant",
            "headersSecret": {"name": "collector"},
            "resourceAttributes": {"deployment.environment.name": "prod"},
        },
        "rbac": {"argocd": {"enabled": True}},
        "extraObjects": [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "{{ .Release.Name }}-extra"},
            },
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: text\n",
        ],
    },
    "nothing": {
        "replicaCount": 1,
        "fullnameOverride": "dr",
        "networkPolicy": {"enabled": False},
        "metrics": {"enabled": False},
        "crds": {"enabled": False},
        "policies": {"enabled": False},
        "rbac": {"create": False},
        "roles": {"create": False, "aggregate": False},
        "preflight": {"enabled": False},
        "topologySpreadConstraints": [],
    },
    "pod identity behind egress rules": {
        "nameOverride": "recovery",
        "aws": {"podIdentity": {"enabled": True}},
        "networkPolicy": {"egress": [{"ports": [{"port": 443}]}]},
    },
    "the longest name": {"fullnameOverride": "n" * 63, "rbac": {"create": False}},
    "roles of somebody else's": {
        "serviceAccount": {"create": False, "name": "given"},
        "rbac": {"create": False},
        "crds": {"enabled": False},
    },
}


def named(objects: list[Object]) -> dict[tuple[str, str], Object]:
    return {(found["kind"], found["metadata"]["name"]): found for found in objects}


def test_it_passes_the_strict_lint(helm: Helm) -> None:
    helm("lint", "--strict", CHART)


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
@pytest.mark.parametrize("kubernetes", ["v1.30.0", "v1.37.2"])
def test_whatever_the_values_the_objects_are_valid(
    helm: Helm, conform: Any, values: Object, kubernetes: str
) -> None:
    objects = helm.template(values=values, kubernetes=kubernetes)
    assert conform(objects) == ""
    assert len(named(objects)) == len(objects), "two objects of one name"
    # The validator does not know it: pods carry the name of their Job as a label.
    assert [name for kind, name in named(objects) if kind == "Job" and len(name) > 63] == []


def test_the_validator_notices_a_field_that_does_not_exist(helm: Helm, conform: Any) -> None:
    objects = helm.template()
    deployment = next(found for found in objects if found["kind"] == "Deployment")
    deployment["spec"]["template"]["spec"]["serviceAcountName"] = "misspelt"
    assert "serviceAcountName" in conform(objects)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replicas": 2}, "replicas"),
        ({"replicaCount": "two"}, "replicaCount"),
        ({"image": {"digest": "sha256:short"}}, "digest"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"aws": {"region": "Ohio"}}, "region"),
        ({"aws": {"irsa": {"roleArn": "LeewardOperator"}}}, "roleArn"),
        (
            {
                "aws": {
                    "podIdentity": {"enabled": True},
                    "irsa": {"roleArn": "arn:aws:iam::999999999999:role/x"},
                }
            },
            "roleArn",
        ),
        ({"configuration": {"poll-intervall": 5}}, "poll-intervall"),
        ({"configuration": {"poll-interval": "often"}}, "poll-interval"),
        ({"configuration": {"pod-name": "x"}}, "pod-name"),
        ({"configuration": {"guard": "Sometimes"}}, "guard"),
        ({"terminationGracePeriodSeconds": 5}, "terminationGracePeriodSeconds"),
        ({"metrics": {"port": 80}}, "port"),
        ({"tracing": {"enabled": True}}, "endpoint"),
        ({"tracing": {"endpoint": "collector:4317"}}, "endpoint"),
        ({"tracing": {"endpoint": "http://user:word@collector:4318"}}, "endpoint"),
        ({"tracing": {"headers": "authorization=x"}}, "headers"),
        ({"configuration": {"tracing": "Otlp"}}, "tracing"),
        ({"podDisruptionBudget": {"maxUnavailable": 0}}, "maxUnavailable"),
        ({"roles": {"breakGlass": {"bind": True}}}, "breakGlass"),
        ({"serviceAccount": {"annotations": {"a": 1}}}, "annotations"),
    ],
)
def test_wrong_values_are_refused_by_name(helm: Helm, values: Object, said: str) -> None:
    assert said in helm.refused(values)


def test_a_collector_of_traces_is_named_by_opentelemetry_s_own_variables(helm: Helm) -> None:
    tracing = {
        "enabled": True,
        "endpoint": "http://collector.observability:4318",
        "headersSecret": {"name": "collector", "key": "token"},
        "resourceAttributes": {"deployment.environment.name": "prod, east", "team": "dr"},
    }
    objects = helm.template(values={"tracing": tracing})
    deployment = next(found for found in objects if found["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    found = {e["name"]: e for e in container["env"] if e["name"].startswith(("OTEL", "LEEWARD_T"))}
    secret = found.pop("OTEL_EXPORTER_OTLP_HEADERS")
    assert secret["valueFrom"] == {"secretKeyRef": {"name": "collector", "key": "token"}}
    assert {name: entry["value"] for name, entry in found.items()} == {
        "LEEWARD_TRACING": "Otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.observability:4318",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=prod%2C%20east,team=dr",
    }


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [
        ("http://collector.observability:4318", 4318),
        ("https://collector.example.com/tenant", 443),
        ("http://collector", 80),
        ("http://[2001:db8::7]:4318", 4318),
    ],
)
def test_egress_that_is_limited_reaches_the_collector(helm: Helm, endpoint: str, port: int) -> None:
    peers = [{"namespaceSelector": {"matchLabels": {"name": "observability"}}}]
    objects = helm.template(
        values={
            "tracing": {"enabled": True, "endpoint": endpoint, "to": peers},
            "networkPolicy": {"egress": [{"ports": [{"port": 53}]}]},
        }
    )
    policy = next(found for found in objects if found["kind"] == "NetworkPolicy")
    assert policy["spec"]["egress"][-1] == {"ports": [{"port": port}], "to": peers}
    free = next(f for f in helm.template() if f["kind"] == "NetworkPolicy")
    assert "egress" not in free["spec"]


def test_chart_and_image_have_the_version_of_the_package() -> None:
    described = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert described["version"] == described["appVersion"] == version("leeward")


def test_every_value_is_described(helm: Helm) -> None:
    del helm
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    readme = (CHART / "README.md").read_text()
    known = set(_paths(schema)) - {"global", "enabled"}
    assert known == set(_defaults(values, schema))
    assert [path for path in known if f"| `{path}` |" not in readme] == []


def _paths(schema: Object, above: str = "") -> list[str]:
    """The leaves of the schema; settings and free maps are leaves."""
    found = []
    for name, part in schema["properties"].items():
        path = f"{above}{name}"
        closed = part.get("additionalProperties") is False and name != "configuration"
        found += _paths(part, f"{path}.") if closed else [path]
    return found


def _defaults(values: Object, schema: Object, above: str = "") -> list[str]:
    found = []
    for name, value in values.items():
        part = schema["properties"][name]
        closed = part.get("additionalProperties") is False and name != "configuration"
        found += _defaults(value, part, f"{above}{name}.") if closed else [f"{above}{name}"]
    return found


def test_what_is_generated_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "charts" / "generate.py", "--check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}{done.stderr}: run make generate"


def test_definitions_and_policies_are_those_of_the_package(helm: Helm) -> None:
    found = named(helm.template())
    for text in crd.render().values():
        definition = yaml.safe_load(text)
        name = definition["metadata"]["name"]
        shipped = found["CustomResourceDefinition", name]
        assert shipped["spec"] == definition["spec"]
        assert shipped["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    for policy in policies.load():
        shipped = found[policy["kind"], policy["metadata"]["name"]]
        assert shipped["spec"] == policy["spec"]
        assert shipped["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_nothing_is_kept_that_is_not_to_be_kept(helm: Helm) -> None:
    objects = helm.template(values={"crds": {"keep": False}, "policies": {"keep": False}})
    kept = [o for o in objects if "keep" in str(o["metadata"].get("annotations", ""))]
    assert kept == []


def test_policies_settings_and_bindings_name_the_same_operator(helm: Helm) -> None:
    options = ("--namespace", "platform-dr")
    found = named(helm.template(*options, values={"serviceAccount": {"name": "mover"}}))
    user = "system:serviceaccount:platform-dr:mover"
    for policy in policies.load(user):
        assert found[policy["kind"], policy["metadata"]["name"]]["spec"] == policy["spec"]
    assert "system:serviceaccount:leeward-system" not in yaml.safe_dump_all(found.values())
    pod = found["Deployment", "leeward"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "mover"
    env = {v["name"]: v.get("valueFrom", {}).get("fieldRef") for v in pod["containers"][0]["env"]}
    assert env["LEEWARD_SERVICE_ACCOUNT"] == {"fieldPath": "spec.serviceAccountName"}
    assert env["LEEWARD_NAMESPACE"] == {"fieldPath": "metadata.namespace"}
    settings = Settings(base_region="us-east-2", namespace="platform-dr", service_account="mover")
    assert settings.operator_user == user
    subjects = [s for o in found.values() for s in o.get("subjects", [])]
    mine = [s for s in subjects if s["name"] == "mover"]
    assert len(mine) == 3
    assert {s["namespace"] for s in subjects} == {"platform-dr"}


def test_before_1_36_nothing_mutates(helm: Helm) -> None:
    assert [o for o in helm.template(kubernetes="v1.35.3") if o["kind"].startswith("Mut")] == []
    assert [o for o in helm.template(kubernetes="v1.36.0") if o["kind"].startswith("Mut")] != []


def test_clusters_that_are_too_old_are_refused(helm: Helm) -> None:
    done = helm("template", "leeward", CHART, "--kube-version", "v1.29.9", check=False)
    assert done.returncode != 0
    assert "incompatible with Kubernetes v1.29.9" in done.stderr


def test_settings_become_files_that_the_operator_reads(helm: Helm, tmp_path: Path) -> None:
    from leeward.configuration import load

    given = {"hub": "prod", "poll-interval": 20, "settle": 120.5, "extra-priorities": "a,b"}
    found = named(helm.template(values={"configuration": given}))
    for key, text in found["ConfigMap", "leeward"]["data"].items():
        (tmp_path / key).write_text(text)
    settings = load({"AWS_REGION": "us-east-2", "LEEWARD_CONFIG_DIR": str(tmp_path)})
    assert (settings.hub, settings.poll_interval, settings.settle) == ("prod", 20, 120.5)
    assert settings.extra_priorities == ("a", "b")


def test_other_settings_restart_the_pods(helm: Helm) -> None:
    def annotations(**values: Any) -> Object:
        deployment = named(helm.template(values=values))["Deployment", "leeward"]
        found: Object = deployment["spec"]["template"]["metadata"]["annotations"]
        return found

    assert annotations() == annotations(replicaCount=3)
    assert annotations() != annotations(configuration={"poll-interval": 20})


def test_no_role_carries_the_right_to_approve_into_the_clusters_own(helm: Helm) -> None:
    aggregated = [o for o in helm.template() if "aggregate-to-" in str(o["metadata"]["labels"])]
    assert {o["metadata"]["name"] for o in aggregated} == {
        "leeward-admin", "leeward-edit", "leeward-view",
    }  # fmt: skip
    resources = {r for o in aggregated for rule in o["rules"] for r in rule["resources"]}
    assert resources == {
        "recoveryplans", "drexecutions", "drtasks", "drschedules", "recoveryinventories",
        "targetaccounts",
    }  # fmt: skip


def test_the_argo_cd_server_operates_and_does_not_approve(helm: Helm) -> None:
    found = named(helm.template(values={"rbac": {"argocd": {"enabled": True}}}))
    rules = found["ClusterRole", "leeward-argocd-server"]["rules"]
    verbs = {verb for rule in rules for verb in rule["verbs"]}
    assert verbs == {"get", "list", "watch", "create", "patch", "operate"}
    # For the action that starts a drill.
    assert [r["resources"] for r in rules if "create" in r["verbs"]] == [["drexecutions"]]
    (subject,) = found["ClusterRoleBinding", "leeward-argocd-server"]["subjects"]
    assert (subject["namespace"], subject["name"]) == ("argocd", "argocd-server")


def test_alerts_link_to_the_runbooks_where_they_are_kept(helm: Helm) -> None:
    rules = {"enabled": True, "runbookUrl": "https://wiki.example.com/dr/runbooks"}
    found = named(helm.template(values={"metrics": {"prometheusRule": rules}}))
    groups = found["PrometheusRule", "leeward"]["spec"]["groups"]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    assert len(alerts) > 10
    for rule in alerts:
        link = f"{rules['runbookUrl']}#{rule['alert'].lower()}"
        assert rule["annotations"]["runbook_url"] == link


def test_the_kustomize_base_is_what_the_chart_renders(helm: Helm) -> None:
    from leeward_sandbox.cluster import binaries

    built = subprocess.run(
        [binaries.kubectl(), "kustomize", ROOT / "config" / "default"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    made = named([o for o in yaml.safe_load_all(built.stdout) if o])
    expected = named(helm.template("--no-hooks"))
    del made["Namespace", "leeward-system"]
    assert set(made) == set(expected)
    for key, found in made.items():
        assert found.get("spec") == _without_helm(expected[key]).get("spec"), key
        assert found.get("rules") == expected[key].get("rules"), key
    # Whoever lists what Helm manages must not find it.
    assert "helm" not in built.stdout.lower()


def _without_helm(part: Any) -> Any:
    """The part of an object, without the labels by which Helm knows its own."""
    if isinstance(part, list):
        return [_without_helm(one) for one in part]
    if not isinstance(part, dict):
        return part
    own = ("helm.sh/chart", "app.kubernetes.io/managed-by")
    return {key: _without_helm(value) for key, value in part.items() if key not in own}


def _examples() -> list[Object]:
    files = [*(ROOT / "examples").glob("argocd/**/*.yaml"), *ROOT.glob("examples/flux/**/*.yaml")]
    return [o for file in files for o in yaml.safe_load_all(file.read_text())]


def test_the_chart_takes_the_values_of_the_gitops_examples(helm: Helm) -> None:
    argocd = [
        o["spec"]["source"].get("helm", {}) for o in _examples() if o["kind"] == "Application"
    ]
    given = [found["valuesObject"] for found in argocd if "valuesObject" in found]
    given += [o["spec"]["values"] for o in _examples() if o["kind"] == "HelmRelease"]
    assert len(given) == 2
    for values in given:
        pod = named(helm.template(values=values))["Deployment", "leeward"]["spec"]["template"]
        env = {v["name"]: v.get("value") for v in pod["spec"]["containers"][0]["env"]}
        assert env["AWS_REGION"] == "us-east-2"


def test_the_argo_cd_project_allows_all_kinds_of_the_cluster_that_the_chart_has(helm: Helm) -> None:
    project = _project("leeward")
    allowed = {(k["group"], k["kind"]) for k in project["spec"]["clusterResourceWhitelist"]}
    objects = helm.template(values=MATRIX["everything"])
    cluster = {
        (o["apiVersion"].rpartition("/")[0], o["kind"])
        for o in objects
        if "namespace" not in o["metadata"] and o["kind"] != "ConfigMap"
    }
    assert cluster <= allowed


def _project(name: str) -> Object:
    return named(_examples())["AppProject", name]


PLAN_WRITERS = {"RecoveryPlan", "DRExecution", "DRSchedule", "ConfigMap"}


def test_a_tenant_reaches_nothing_but_its_plans_through_argo_cd() -> None:
    applications = [o["spec"] for o in _examples() if o["kind"] == "Application"]
    tenants = [a for a in applications if a["destination"]["namespace"] == "orders"]
    assert [tenant["project"] for tenant in tenants] == ["leeward-orders"]
    spec = _project("leeward-orders")["spec"]
    # Whoever merges to the platform's repository installs operators and accounts.
    assert spec["sourceRepos"] == [tenant["source"]["repoURL"] for tenant in tenants]
    assert not {*spec["sourceRepos"]} & {*_project("leeward")["spec"]["sourceRepos"]}
    assert [d["namespace"] for d in spec["destinations"]] == ["orders"]
    assert spec["clusterResourceWhitelist"] == []
    # DRTasks are nobody's to create, but shown only if the project admits them.
    admitted = {k["kind"] for k in spec["namespaceResourceWhitelist"]}
    assert admitted == PLAN_WRITERS | {"DRTask"}
    platform = {d["namespace"] for d in _project("leeward")["spec"]["destinations"]}
    assert platform == {"leeward-system", "argocd"}


def test_what_people_press_in_argo_cd_is_an_action_that_leeward_has() -> None:
    from leeward import argocd

    given = argocd.config_map()["data"]
    for role in _project("leeward-orders")["spec"]["roles"]:
        for policy in role["policies"]:
            _p, subject, resource, verb, scope, effect = policy.split(", ")
            assert subject == f"proj:leeward-orders:{role['name']}"
            assert (resource, scope, effect) == ("applications", "leeward-orders/*", "allow")
            if verb != "get":
                _action, _group, kind, action = verb.split("/")
                defined = given[f"resource.customizations.actions.leeward.dev_{kind}"]
                assert action == "*" or f"- name: {action}\n" in defined


def test_a_tenant_reaches_nothing_but_its_plans_through_flux() -> None:
    found = named(_examples())
    spec = found["Kustomization", "leeward-orders"]["spec"]
    platform = found["Kustomization", "leeward"]["spec"]["sourceRef"]["name"]
    own = spec["sourceRef"]["name"]
    urls = [found["GitRepository", name]["spec"]["url"] for name in (own, platform)]
    assert urls[0] != urls[1]
    assert spec["targetNamespace"] == "orders"
    account = found["ServiceAccount", spec["serviceAccountName"]]["metadata"]
    assert account["namespace"] == "flux-system", "it is looked for beside the Kustomization"
    bound = [o for o in found.values() if account["name"] in str(o.get("subjects"))]
    assert [(o["kind"], o["metadata"]["namespace"]) for o in bound] == [("RoleBinding", "orders")]
    role = found["Role", bound[0]["roleRef"]["name"]]
    assert role["metadata"]["namespace"] == "orders"
    assert {r for rule in role["rules"] for r in rule["resources"]} == {
        "recoveryplans", "drexecutions", "drschedules", "configmaps",
    }  # fmt: skip
    assert {v for rule in role["rules"] for v in rule["verbs"]} == {
        "get", "list", "watch", "create", "update", "patch", "delete",
    }  # fmt: skip


def test_executions_in_git_run_once_end_and_are_not_pruned() -> None:
    runs = [o for o in _examples() if o["kind"] == "DRExecution"]
    assert len(runs) == 2
    for run in runs:
        assert run["spec"]["startBefore"]
        assert "generateName" not in run["metadata"]
        assert "rune" in str(run["metadata"]["annotations"])
