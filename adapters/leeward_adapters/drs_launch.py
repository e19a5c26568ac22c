"""Instantiate: launching recovery instances of source servers by DRS, and proving it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from leeward_adapters import (
    drs_drills,
    drs_instances,
    drs_jobs,
    drs_servers,
    drs_settings,
    drs_sides,
    drs_sources,
    drs_stale,
    drs_templates,
    ec2,
)
from leeward_adapters.base import Observed, Scope, Seen, State, Step, Target
from leeward_adapters.drs_drills import Network
from leeward_adapters.drs_instances import RecoveryInstance
from leeward_adapters.drs_jobs import CALL_TAG, Part
from leeward_adapters.drs_templates import PREPARE
from leeward_adapters.ec2 import place
from leeward_adapters.views import loosely

LAUNCH: Final = "launch"
_PROOFS: Final = 10.0
"""How many times as old as the rest the list of instances may be by which launches are proved,
while other launches of the step go on."""
_CLOSE: Final = 0.4
_FAR: Final = 2.0
"""Paces, see `Observed.pace`."""
IRREVERSIBLE: Final = (
    "what DRS launched stays. A Failover's recovery instances may hold the only good copy, and "
    "serve nobody while they are stopped; when they are surely not needed, end them by "
    "TerminateRecoveryInstances in the DRS console (their launch disposition is STOPPED since this "
    "run). A Test's are ended by its clean-up"
)


@dataclass(slots=True)
class _View:
    """What DRS says of the targets, gathered once for a pass."""

    ours: Mapping[str, Part] = field(default_factory=dict)
    """The part that counts for the present attempt, by server."""
    busy: Mapping[str, Part] = field(default_factory=dict)
    """Running jobs, for servers that are not in `ours`."""
    instances: Mapping[str, Sequence[RecoveryInstance]] = field(default_factory=dict)
    servers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    capacity: drs_jobs.Capacity | None = None


def observe(scope: Scope, step: Step) -> Observed:
    """What became of each server.

    Costs one listing of jobs while everything is on its way; servers that no job of this task
    holds are looked up too.
    """
    return _look(scope, step)[0]


def launch(scope: Scope, step: Step, call: str, batch: Sequence[Target]) -> str:
    """One StartRecovery for the batch; answers the job's id.

    DRS takes no client token here: the call is never repeated by botocore, and the job carries
    the id of the batch as a tag, by which observe() finds it again.
    """
    drs_templates.ensure(scope, step, call, batch)
    return start_recovery(scope, step, call, batch)


def at_hand(scope: Scope) -> None:
    """Have the clients made that a launch needs: that takes as long as some calls."""
    scope.client("ec2")
    scope.client("drs", once=True)


def start_recovery(scope: Scope, step: Step, call: str, batch: Sequence[Target]) -> str:
    """The call itself. It ends the recovery instances that the servers have."""
    answer = scope.client("drs", once=True).start_recovery(
        sourceServers=[{"sourceServerID": target.id} for target in batch],
        isDrill=step.drill,
        tags={**step.tags, CALL_TAG: call},
    )
    drs_jobs.note_asked(scope, answer["job"])
    return str(answer["job"]["jobID"])


def verify(scope: Scope, step: Step) -> Observed:
    """The proof: a recovery instance of the right job, stopped or running, in the right network.

    What was launched with settings has them too; an instance that was adopted is taken as it is.
    """
    observed, ours = _look(scope, step)
    done = [s for s, seen in observed.targets.items() if seen.state is State.DONE]
    if not done:
        return observed
    as_of = _proof_as_of(scope, step, observed)
    found = drs_instances.shared(scope, [t.id for t in step.targets], as_of)
    chosen = {s: _proof(step, found[s], ours.get(s)) for s in done}
    network = Network.of(step) if step.drill else None
    settings = {} if network else {t.id: t.settings for t in step.targets if t.id in ours}
    ids = [i.id for s, i in chosen.items() if i is not None and (network or settings.get(s))]
    machines = ec2.described(scope, ids, as_of, checks=False) if ids else {}
    proved = {s: _proved(scope, observed.targets[s], chosen[s], network, machines) for s in done}
    proved = {s: _as_set(scope, p, settings.get(s, {}), machines) for s, p in proved.items()}
    if step.drill:
        # No drill launches over what was recovered for real, so that came after it.
        real = {s: drs_instances.production(found[s]) for s in done if chosen[s] is None}
        proved |= {s: _replaced(scope, s, i) for s, i in real.items() if i is not None}
        proved = {s: drs_templates.rehearsed(step, s, p) for s, p in proved.items()}
    return replace(observed, targets={**observed.targets, **proved})


def _proof_as_of(scope: Scope, step: Step, observed: Observed) -> float | None:
    """How new the list of instances must be: nothing waits for the proof of one while others of
    the step are still on their way."""
    if all(seen.state is not State.RUNNING for seen in observed.targets.values()):
        return step.since
    return loosely(scope.now(), step.since, _PROOFS)


def _never(scope: Scope, step: Step, target: Target) -> Seen | None:
    """Why the step cannot be done for the target at all."""
    if not drs_instances.SERVER_ID.fullmatch(target.id):
        refusal = drs_servers.refusal(scope, target.id, None)
        assert refusal is not None
        return Seen(State.REFUSED, reason=refusal.reason, message=refusal.message)
    if step.drill and Network.of(step) is None:
        return Seen(
            State.REFUSED,
            reason="NoDrillNetwork",
            message=f"the plan names no drill network for account {scope.account_id}: a Test "
            "launches into an isolated subnet only (spec.drill.networks)",
        )
    return None


def _look(scope: Scope, step: Step) -> tuple[Observed, Mapping[str, Part]]:
    """What became of each server, and the job of this task that says so."""
    seen = {t.id: no for t in step.targets if (no := _never(scope, step, t)) is not None}
    targets = [t for t in step.targets if t.id not in seen]
    view = _view(scope, step, [t.id for t in targets])
    explained = drs_jobs.failures(scope, (p for p in view.ours.values() if p.failed))
    drilled = _drilled(scope, step, view)
    for target in targets:
        part = view.ours.get(target.id)
        if part is not None:
            seen[target.id] = _of_job(step, part, explained, drilled)
        else:
            seen[target.id] = _without_job(scope, step, target, view)
    adopted = [t.id for t in targets if seen[t.id].reason == "Adopted"]
    if step.operation == "Failover" and adopted:
        live = {s: i for s in adopted if (i := drs_instances.production(view.instances[s]))}
        seen |= drs_stale.outdated(scope, step, live, view.servers)
    room = view.capacity
    return Observed(
        seen, room.servers if room else None, room.reason if room else "", _pace(view)
    ), view.ours


def _view(scope: Scope, step: Step, servers: Sequence[str]) -> _View:
    asked = all(s in step.calls and step.calls[s].action == LAUNCH for s in servers)
    back = drs_jobs.CLOCK_SKEW if asked else drs_jobs.LONGEST_JOB
    parts = drs_jobs.shared_since(scope, step.started - back, step.since)
    mine = drs_jobs.newest(part for part in parts if part.of(step.token))
    view = _View()
    view.ours = {
        s: p for s, p in mine.items() if drs_jobs.counts(p, step.calls.get(s)) and s in servers
    }
    # What an earlier attempt launched may have lost its instance since.
    unsure = {
        s
        for s, p in view.ours.items()
        if p.status == "LAUNCHED" and not drs_jobs.answers(p, step.calls.get(s))
    }
    rest = [s for s in servers if s not in view.ours or s in unsure]
    if not rest:
        return view
    view.instances = drs_instances.shared(scope, rest, step.since)
    lost = {s for s in unsure if not any(i.live for i in view.instances[s])}
    view.ours = {s: p for s, p in view.ours.items() if s not in lost}
    rest = [s for s in rest if s not in view.ours]
    if rest:
        view.servers = drs_sources.shared(scope, rest, step.since)
        begin = step.started - drs_jobs.LONGEST_JOB
        recent = drs_jobs.shared_since(scope, begin, step.since) if asked else parts
        view.busy = drs_jobs.newest(part for part in recent if part.active)
        view.capacity = drs_jobs.capacity(scope, recent)
    return view


def _pace(view: _View) -> float:
    """DRS shows a launch as pending until minutes before its end; the servers of a job end near
    each other."""
    running = [p for p in view.ours.values() if p.status in {"PENDING", "IN_PROGRESS"}]
    if not running:
        return 1.0
    if any(p.status == "LAUNCHED" for p in view.ours.values()):
        return _CLOSE
    return _FAR if all(p.status == "PENDING" for p in running) else 1.0


def _drilled(scope: Scope, step: Step, view: _View) -> frozenset[str]:
    """Servers of a Test whose launch is over and whose template still names the drill network."""
    over = {s for s, p in view.ours.items() if p.failed or p.status == "LAUNCHED"}
    if not (step.drill and over):
        return frozenset()
    return frozenset(drs_drills.drills(scope, over, Network.of(step)).current)


def _of_job(
    step: Step,
    part: Part,
    explained: Mapping[str, tuple[str, str]],
    drilled: frozenset[str],
) -> Seen:
    if part.server in drilled:
        return drs_templates.restore_needed(part.server)
    if part.failed:
        if part.server not in step.calls:
            message = f"{drs_jobs.describe(part, step)}; waiting for its end to try again"
            return Seen(State.RUNNING, message=message, reference=part.job)
        reason, message = explained[part.server]
        return Seen(State.FAILED, reason=reason, message=message, reference=part.job)
    if part.status == "LAUNCHED":
        return Seen(State.DONE, message=f"launched by job {part.job}", reference=part.job)
    return Seen(State.RUNNING, message=drs_jobs.describe(part, step), reference=part.job)


def _without_job(scope: Scope, step: Step, target: Target, view: _View) -> Seen:
    busy = view.busy.get(target.id)
    if busy is not None:
        return Seen(State.RUNNING, message=drs_jobs.describe(busy, step), reference=busy.job)
    existing = drs_instances.production(view.instances.get(target.id, ()))
    if existing is not None:
        return _existing(scope, step, target, existing, view.servers.get(target.id))
    refusal = drs_servers.refusal(scope, target.id, view.servers.get(target.id))
    if refusal is not None:
        return Seen(State.REFUSED, reason=refusal.reason, message=refusal.message)
    call = step.calls.get(target.id)
    # A batch without reference was not seen through; preparing sets values, so it is repeated.
    prepared = call is not None and (
        call.action == LAUNCH or (call.action == PREPARE and bool(call.reference))
    )
    if prepared:
        return Seen(State.NEEDED, action=LAUNCH, message="no job of this task holds it yet")
    return _prepare_needed(scope, step, target)


def _prepare_needed(scope: Scope, step: Step, target: Target) -> Seen:
    if not step.drill or target.id in step.pre_states:
        return Seen(State.NEEDED, action=PREPARE, message="launch settings are to be set")
    config = scope.client("drs").get_launch_configuration(sourceServerID=target.id)
    if into := drs_settings.launches_into(config):
        return Seen(
            State.REFUSED,
            reason="LaunchesIntoInstance",
            message=f"{target.id} in {place(scope)} is set to launch into the existing instance "
            f"{into}, and a Test would overwrite it: take that setting off, or leave it out",
        )
    return Seen(
        State.NEEDED,
        action=PREPARE,
        message="launch settings are to be set",
        pre_state=drs_templates.pre_state(config),
    )


def _existing(
    scope: Scope,
    step: Step,
    target: Target,
    existing: RecoveryInstance,
    server: Mapping[str, Any] | None,
) -> Seen:
    if step.drill and drs_sides.superseded(existing, server, target.attributes):
        return drs_stale.refused(scope, target.id, existing)
    if drs_stale.replaceable(scope, step, target, server, existing):
        return drs_stale.release_needed(scope, target.id, existing)
    if step.drill:
        return Seen(
            State.REFUSED,
            reason="LiveRecoveryInstance",
            message=f"{target.id} has the live recovery instance {existing.id} in "
            f"{place(scope)}, which is not a drill's, and a launch would remove it: a Test is "
            "possible after failing back",
            reference=existing.id,
        )
    holds = "holds the data until the failback" if existing.failed_back else "was there already"
    return Seen(
        State.DONE,
        reason="Adopted",
        message=f"recovery instance {existing.id} ({existing.state}) {holds}; DRS would remove it "
        "if it launched again",
        reference=existing.id,
    )


def _proof(
    step: Step, instances: Sequence[RecoveryInstance], part: Part | None
) -> RecoveryInstance | None:
    """The instance that must be there; without a job of ours it was adopted."""
    if part is None:
        return drs_instances.production(instances)
    return next((i for i in instances if i.job == part.job and i.drill == step.drill), None)


def _replaced(scope: Scope, server: str, instance: RecoveryInstance) -> Seen:
    return Seen(
        State.FAILED,
        reason="Replaced",
        message=f"the drill instance of {server} in {place(scope)} was replaced by {instance.id}, "
        "which a recovery launched meanwhile: rehearse again once the estate is back",
        reference=instance.id,
    )


def _proved(
    scope: Scope,
    seen: Seen,
    instance: RecoveryInstance | None,
    network: Network | None,
    machines: Mapping[str, ec2.Instance],
) -> Seen:
    if instance is None:
        message = f"{seen.message}; DRS in {place(scope)} does not list its recovery instance yet"
        return Seen(State.RUNNING, message=message, reference=seen.reference)
    if (not_there := unsettled(scope, instance)) is not None:
        return not_there
    if network is not None:
        return _in_network(scope, instance, network, machines.get(instance.id))
    message = f"recovery instance {instance.id} is {instance.state.lower()}"
    return Seen(State.DONE, reason=seen.reason, message=message, reference=instance.id)


def unsettled(scope: Scope, instance: RecoveryInstance) -> Seen | None:
    """What is said of an instance that is neither stopped nor running; None: it is."""
    if not instance.live:
        return Seen(
            State.FAILED,
            reason="InstanceTerminated",
            message=f"recovery instance {instance.id} in {place(scope)} is {instance.state}: "
            "somebody ended it; retry launches the server again",
            reference=instance.id,
        )
    if instance.state in {"STOPPED", "RUNNING"}:
        return None
    message = f"recovery instance {instance.id} is {instance.state}"
    return Seen(State.RUNNING, message=message, reference=instance.id)


def _as_set(
    scope: Scope,
    seen: Seen,
    settings: Mapping[str, Any],
    machines: Mapping[str, ec2.Instance],
) -> Seen:
    """What was launched must be in the subnet, of the type and at the address that were set."""
    machine = machines.get(seen.reference)
    if seen.state is not State.DONE or not settings or machine is None:
        return seen
    wrong = drs_settings.proof(settings, machine)
    if not wrong:
        return seen
    return Seen(
        State.FAILED,
        reason="WrongSettings",
        message=f"recovery instance {machine.id} in {place(scope)} was launched otherwise than the "
        f"plan's launch settings say: {', '.join(wrong)}. Look who else changes the launch "
        "template; mark-done takes the instance as it is, relaunch replaces it",
        reference=machine.id,
    )


def _in_network(
    scope: Scope, instance: RecoveryInstance, network: Network, machine: ec2.Instance | None
) -> Seen:
    """A drill's instance must be in the drill's subnet, whatever the template said."""
    if machine is None or not machine.subnet:
        message = f"EC2 in {place(scope)} does not show the subnet of {instance.id} yet"
        return Seen(State.RUNNING, message=message, reference=instance.id)
    if machine.subnet != network.subnet:
        return Seen(
            State.FAILED,
            reason="WrongNetwork",
            message=f"drill instance {instance.id} in {place(scope)} is in {machine.subnet}, not "
            f"in the drill's {network.subnet}. It is not started, and the clean-up ends it; look "
            "who else changes the launch templates",
            reference=instance.id,
        )
    message = f"drill instance {instance.id} is {instance.state.lower()} in {network.subnet}"
    return Seen(State.DONE, message=message, reference=instance.id)
