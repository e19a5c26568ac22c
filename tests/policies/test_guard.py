"""The guard, with the operator's own token and client, against policies that somebody changes."""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes.aio import client, config

from leeward import policies
from leeward.api.common import OPERATOR_USER
from leeward.api.execution import DRExecution
from leeward.api.task import DRTask
from leeward.engine.guard import Guard, Proof
from leeward.engine.kube import Kube

pytestmark = pytest.mark.cluster

World = Any  # conftest.World
ALICE = "approver-a@example.com"
Prove = Callable[..., Proof]


@pytest.fixture(scope="module")
def token(world: World) -> str:
    return str(world.cluster.token("leeward-system", "leeward"))


@pytest.fixture
def prove(world: World, token: str) -> Prove:
    """Prove the guard for a gate of a run as the API server has it now."""

    async def once(run: str, gate: str | None, setting: Any, operator: str) -> Proof:
        configuration = client.Configuration()
        await config.load_kube_config(config_file=token, client_configuration=configuration)
        kube = Kube(configuration)
        try:
            path = f"/apis/leeward.dev/v1alpha1/namespaces/orders/drexecutions/{run}"
            execution = DRExecution.model_validate(await kube.get(path))
            return await Guard(kube, setting, operator).prove(execution, gate)
        finally:
            await kube.close()

    def run_once(
        run: str,
        gate: str | None = "wave-2",
        setting: str = "Required",
        operator: str = OPERATOR_USER,
    ) -> Proof:
        return asyncio.run(once(run, gate, setting, operator))

    return run_once


def restore(world: World) -> None:
    """Put the policies back as shipped."""
    for shipped in policies.load():
        kind, name = shipped["kind"], shipped["metadata"]["name"]
        live = get(world, kind, name)
        if live is not None and live["spec"] != shipped["spec"]:
            world.cluster.kubectl("delete", kind, name)
    world.cluster.apply(*policies.load())


@pytest.fixture
def intact(world: World) -> Iterator[None]:
    """Policies as shipped and in force, before the test and after it."""
    world.settle()
    yield
    restore(world)
    world.settle()


@pytest.fixture(scope="module")
def weakened(world: World) -> Iterator[None]:
    """Tests that only look at the objects, one after the other, and need none of them in force."""
    yield
    restore(world)
    world.settle()


def get(world: World, kind: str, name: str) -> dict[str, Any] | None:
    found = world.cluster.kubectl("get", kind, name, "--ignore-not-found", "-o", "json").stdout
    return json.loads(found) if found else None


def eventually_taken(world: World, run: str) -> None:
    """Forge an approval as soon as the API server has noticed that it may."""
    deadline = time.monotonic() + 60
    while not world.admin.patch("drexecutions", run, forged()).ok:
        assert time.monotonic() < deadline, "the policies stayed in force"
        time.sleep(0.05)


def forged() -> dict[str, Any]:
    return {"metadata": {"annotations": {"leeward.dev/approve-wave-2": ALICE}}}


VALIDATING = [o for o in policies.load() if o["kind"].startswith("Validating")]


def test_intact_policies_are_proved_and_the_proof_is_repeatable(world: World, prove: Prove) -> None:
    run = world.waiting()
    first = prove(run)
    assert first.ok, first
    assert first.reason == "Proved"
    assert first.snapshot.startswith("sha256:")
    assert len(first.snapshot) <= 128
    assert prove(run) == first
    assert prove(world.waiting(), None) == first


@pytest.fixture
def prove_task(world: World, token: str) -> Callable[[str], Proof]:
    """Prove the guard for a task as the API server has it now."""

    async def once(task: str) -> Proof:
        configuration = client.Configuration()
        await config.load_kube_config(config_file=token, client_configuration=configuration)
        kube = Kube(configuration)
        try:
            path = f"/apis/leeward.dev/v1alpha1/namespaces/orders/drtasks/{task}"
            return await Guard(kube).prove(DRTask.model_validate(await kube.get(path)))
        finally:
            await kube.close()

    return lambda task: asyncio.run(once(task))


def test_the_proof_for_a_task_tries_a_command_of_a_task(
    world: World, prove: Prove, prove_task: Callable[[str], Proof]
) -> None:
    run = world.waiting()
    task = world.task(run)
    proof = prove_task(task)
    assert proof == prove(run)
    assert world.admin.get("drtasks", task)["metadata"].get("annotations", {}) == {}


@pytest.mark.usefixtures("intact")
def test_a_policy_of_tasks_that_is_away_is_noticed_and_a_new_one_is_younger(
    world: World, prove: Prove, prove_task: Callable[[str], Proof]
) -> None:
    run = world.waiting()
    task, before = world.task(run), prove(run).since
    name = "leeward-task-commands.leeward.dev"
    created = [
        o["metadata"]["creationTimestamp"]
        for shipped in VALIDATING
        if (o := get(world, shipped["kind"], shipped["metadata"]["name"])) is not None
    ]
    assert before == max(created)
    world.cluster.kubectl("delete", BINDING, name)
    away = prove_task(task)
    assert (away.ok, away.reason, away.since) == (False, "PolicyMissing", "")
    world.cluster.apply(*policies.load())
    world.settle()
    made = get(world, BINDING, name)
    assert made is not None
    assert prove_task(task).since == made["metadata"]["creationTimestamp"]


def test_the_proof_leaves_nothing_on_the_object_and_stands_beside_answers(
    world: World, prove: Prove
) -> None:
    run = world.waiting()
    assert world.alice.annotate(run, approve_wave_2=ALICE).ok
    before = world.admin.get("drexecutions", run)
    assert prove(run).ok
    assert world.admin.get("drexecutions", run) == before


def test_the_guard_switched_off_says_so_and_asks_nothing(world: World, prove: Prove) -> None:
    proof = prove(world.waiting(), setting="Off")
    assert (proof.ok, proof.reason, proof.snapshot) == (True, "GuardOff", "Off")


@pytest.mark.usefixtures("weakened")
def test_each_deleted_policy_or_binding_is_noticed(world: World, prove: Prove) -> None:
    run = world.waiting()
    for shipped in VALIDATING:
        kind, name = shipped["kind"], shipped["metadata"]["name"]
        world.cluster.kubectl("delete", kind, name)
        proof = prove(run)
        assert (proof.ok, proof.reason) == (False, "PolicyMissing")
        assert f"{kind} {name} is missing; repair it with" in proof.message
        world.cluster.apply(shipped)


POLICY = "validatingadmissionpolicy"
BINDING = "validatingadmissionpolicybinding"
COMMANDS = "leeward-commands.leeward.dev"
SELECTOR = {"matchLabels": {"kubernetes.io/metadata.name": "elsewhere"}}
CONDITION = [{"name": "never", "expression": "false"}]
WEAKENED: list[tuple[str, str, str, Any, str]] = [
    ("rule", POLICY, "/spec/validations/3/expression", "true", "validations[3].expression is"),
    ("rule-gone", POLICY, "/spec/validations/3", None, "spec.validations has"),
    ("variable", POLICY, "/spec/variables/0/expression", "'x'", "variables[0].expression is"),
    ("failure-policy", POLICY, "/spec/failurePolicy", "Ignore", "spec.failurePolicy is changed"),
    ("conditions", POLICY, "/spec/matchConditions", CONDITION, "spec.matchConditions is added"),
    (
        "namespaces",
        POLICY,
        "/spec/matchConstraints/namespaceSelector",
        SELECTOR,
        "namespaceSelector.matchLabels is added",
    ),
    (
        "excluded",
        POLICY,
        "/spec/matchConstraints/excludeResourceRules",
        [
            {
                "apiGroups": ["leeward.dev"],
                "apiVersions": ["*"],
                "operations": ["*"],
                "resources": ["*"],
            }
        ],
        "spec.matchConstraints.excludeResourceRules is added",
    ),
    ("actions", BINDING, "/spec/validationActions", ["Audit"], "validationActions has 1 entries"),
    ("warns", BINDING, "/spec/validationActions", ["Warn", "Audit"], "validationActions[0] is"),
    (
        "bound-elsewhere",
        BINDING,
        "/spec/matchResources",
        {"namespaceSelector": SELECTOR},
        "spec.matchResources is added",
    ),
    ("other-policy", BINDING, "/spec/policyName", "other", "spec.policyName is changed"),
]


@pytest.mark.parametrize(
    ("kind", "path", "value", "said"), [w[1:] for w in WEAKENED], ids=[w[0] for w in WEAKENED]
)
@pytest.mark.usefixtures("weakened")
def test_a_weakened_policy_or_binding_is_noticed(
    world: World, prove: Prove, kind: str, path: str, value: Any, said: str
) -> None:
    run = world.waiting()
    change = {"op": "remove", "path": path}
    if value is not None:
        change = {"op": "add" if path.endswith("s") else "replace", "path": path, "value": value}
    world.cluster.kubectl("patch", kind, COMMANDS, "--type=json", "-p", json.dumps([change]))
    proof = prove(run)
    restore(world)
    assert (proof.ok, proof.reason) == (False, "PolicyDiffers")
    assert said in proof.message
    assert "repair it with `leeward policies --write DIR`" in proof.message


def test_policies_that_name_another_operator_are_repaired_in_this_ones_name(
    world: World, prove: Prove
) -> None:
    proof = prove(world.waiting(), operator="system:serviceaccount:platform-dr:mover")
    assert (proof.ok, proof.reason) == (False, "PolicyDiffers")
    repair = "leeward policies --write DIR --operator-namespace platform-dr --service-account mover"
    assert repair in proof.message


@pytest.mark.usefixtures("intact")
def test_a_binding_that_was_away_while_an_approval_was_forged_is_another_snapshot(
    world: World, prove: Prove
) -> None:
    run = world.waiting()
    asked = prove(run)
    world.cluster.kubectl("delete", BINDING, COMMANDS)
    eventually_taken(world, run)
    world.cluster.apply(*policies.load())
    world.settle()
    now = prove(run)
    assert asked.ok
    assert now.ok
    assert now.snapshot != asked.snapshot


@pytest.mark.usefixtures("intact")
def test_a_policy_edited_and_edited_back_is_another_snapshot(world: World, prove: Prove) -> None:
    run = world.waiting()
    asked = prove(run)
    for value in ("Ignore", "Fail"):
        change = [{"op": "replace", "path": "/spec/failurePolicy", "value": value}]
        world.cluster.kubectl("patch", POLICY, COMMANDS, "--type=json", "-p", json.dumps(change))
    now = prove(run)
    assert asked.ok
    assert now.ok
    assert now.snapshot != asked.snapshot


@pytest.mark.usefixtures("intact")
def test_a_guard_that_has_read_the_policies_before_notices_each_edit(
    world: World, token: str
) -> None:
    run = world.waiting()
    execution = DRExecution.model_validate(world.admin.get("drexecutions", run))

    def edit(value: str) -> None:
        change = [{"op": "replace", "path": "/spec/failurePolicy", "value": value}]
        world.cluster.kubectl("patch", POLICY, COMMANDS, "--type=json", "-p", json.dumps(change))

    async def proofs() -> list[Proof]:
        configuration = client.Configuration()
        await config.load_kube_config(config_file=token, client_configuration=configuration)
        kube = Kube(configuration)
        guard = Guard(kube)
        try:
            found = [await guard.prove(execution, "wave-2"), await guard.prove(execution, "wave-2")]
            for value in ("Ignore", "Fail"):
                await asyncio.to_thread(edit, value)
                found.append(await guard.prove(execution, "wave-2"))
            return found
        finally:
            await kube.close()

    first, second, edited, back = asyncio.run(proofs())
    assert [p.reason for p in (first, second, edited, back)] == [
        "Proved", "Proved", "PolicyDiffers", "Proved",
    ]  # fmt: skip
    assert first.snapshot == second.snapshot != back.snapshot


class Outdated(Kube):
    """Reads of one path are answered with what was there before."""

    def __init__(self, configuration: Any, path: str, answer: dict[str, Any]) -> None:
        super().__init__(configuration)
        self._outdated = (path, answer)

    async def get(self, path: str, *, whole: bool = True) -> dict[str, Any]:
        before, outdated = self._outdated
        return outdated if path == before else await super().get(path, whole=whole)


@pytest.mark.usefixtures("intact")
def test_policies_that_are_there_and_do_not_bite_are_noticed(world: World, token: str) -> None:
    # As where the API server has not taken them up yet, or runs without the admission plugin.
    run = world.waiting()
    before = get(world, BINDING, COMMANDS)
    assert before is not None
    path = f"/apis/admissionregistration.k8s.io/v1/{BINDING}s/{COMMANDS}"
    world.cluster.kubectl("delete", BINDING, COMMANDS)
    eventually_taken(world, run)

    async def prove() -> Proof:
        configuration = client.Configuration()
        await config.load_kube_config(config_file=token, client_configuration=configuration)
        kube = Outdated(configuration, path, before)
        try:
            execution = DRExecution.model_validate(world.admin.get("drexecutions", run))
            return await Guard(kube).prove(execution, "wave-2")
        finally:
            await kube.close()

    proof = asyncio.run(prove())
    assert (proof.ok, proof.reason) == (False, "ProbePassed")
    assert "would take leeward.dev/approve-wave-2 in another's name" in proof.message


@pytest.fixture
def without_a_right(world: World) -> Iterator[Callable[[str, str], None]]:
    """Take a verb from the operator's role; it is given back when the test is over."""
    role = get(world, "clusterrole", "leeward-operator")
    assert role is not None
    whole = {key: role[key] for key in ("apiVersion", "kind", "rules")}
    whole["metadata"] = {"name": "leeward-operator"}

    def await_right(verb: str, resource: str, allowed: bool) -> None:
        deadline = time.monotonic() + 60
        words = ("auth", "can-i", verb, resource, "-n", "orders", f"--as={world.operator.user}")
        expected = "yes" if allowed else "no"
        while world.cluster.kubectl(*words, check=False).stdout.strip() != expected:
            assert time.monotonic() < deadline, f"{verb} {resource} is not {expected}"

    taken: list[tuple[str, str]] = []

    def take(verb: str, resource: str) -> None:
        rules = copy.deepcopy(whole["rules"])
        for rule in rules:
            if resource.split(".")[0] in rule["resources"]:
                rule["verbs"] = [v for v in rule["verbs"] if v != verb]
        world.cluster.apply(whole | {"rules": [rule for rule in rules if rule["verbs"]]})
        taken.append((verb, resource))
        await_right(verb, resource, False)

    yield take
    world.cluster.apply(whole)
    for verb, resource in taken:
        await_right(verb, resource, True)


def test_a_probe_that_is_refused_for_another_reason_proves_nothing(
    world: World, prove: Prove, without_a_right: Callable[[str, str], None]
) -> None:
    run = world.waiting()
    without_a_right("patch", "drexecutions.leeward.dev")
    proof = prove(run)
    assert (proof.ok, proof.reason) == (False, "ProbeInconclusive")
    assert 'cannot patch resource "drexecutions"' in proof.message


def test_policies_that_the_operator_may_not_read_are_not_trusted(
    world: World, prove: Prove, without_a_right: Callable[[str, str], None]
) -> None:
    run = world.waiting()
    without_a_right("get", "validatingadmissionpolicies.admissionregistration.k8s.io")
    proof = prove(run)
    assert (proof.ok, proof.reason) == (False, "PolicyUnreadable")
    assert "grant the operator get on it" in proof.message


@pytest.mark.usefixtures("intact")
def test_a_missing_stamp_weakens_nothing_and_a_changed_one_is_noticed(
    world: World, prove: Prove
) -> None:
    run = world.waiting()
    name = "leeward-requested-by.leeward.dev"
    change = [{"op": "replace", "path": "/spec/reinvocationPolicy", "value": "IfNeeded"}]
    policy = "mutatingadmissionpolicy"
    world.cluster.kubectl("patch", policy, name, "--type=json", "-p", json.dumps(change))
    assert "spec.reinvocationPolicy is changed" in prove(run).message
    world.cluster.kubectl("delete", policy, name)
    assert prove(run).ok


@pytest.mark.usefixtures("intact")
def test_a_policy_that_is_being_deleted_is_not_trusted(world: World, prove: Prove) -> None:
    run = world.waiting()
    held = {"metadata": {"finalizers": ["example.com/hold"]}}
    world.cluster.kubectl("patch", POLICY, COMMANDS, "--type=merge", "-p", json.dumps(held))
    world.cluster.kubectl("delete", POLICY, COMMANDS, "--wait=false")
    proof = prove(run)
    free: dict[str, Any] = {"metadata": {"finalizers": []}}
    world.cluster.kubectl("patch", POLICY, COMMANDS, "--type=merge", "-p", json.dumps(free))
    assert (proof.ok, proof.reason) == (False, "PolicyMissing")
    assert "is being deleted" in proof.message
