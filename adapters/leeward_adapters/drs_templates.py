"""Launch settings of DRS source servers, and the launch template versions of drills.

DRS has one EC2 launch template per server and launches from its `$Default` version, drill or not.
A Test therefore makes a version that names the drill network, makes it the default, and puts the
default back when the launch is over. The version's description says everything that is needed
to put it back, so that whoever comes next can (a later pass, a Failover in mid-drill, Cleanup),
whatever became of the run that made it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from leeward_adapters import drs_drills, drs_settings, drs_sources, launch_templates
from leeward_adapters.base import Scope, Seen, State, Step, Target
from leeward_adapters.drs_drills import DrillVersion, Network

PREPARE: Final = "prepare"
RESTORE: Final = "restore"
_REMEMBERED: Final = 120.0
"""Seconds for which a setting that this task made is not made again, so that a batch that AWS
refused is soon through when it is asked for again, whole or in halves."""


def pre_state(config: Mapping[str, Any]) -> str:
    """What a Test changes of a server's launch configuration, and what it should tell of it, as
    JSON."""
    acts = {"postLaunch": True} if config.get("postLaunchEnabled") else {}
    return json.dumps(
        {
            "copyPrivateIp": config.get("copyPrivateIp", False),
            "launchDisposition": config.get("launchDisposition", "STARTED"),
            "was": _letters(config),
            **acts,
        },
        sort_keys=True,
    )


def rehearsed(step: Step, server: str, seen: Seen) -> Seen:
    """What a Test says of a server that it launched, and of what DRS did not do for it."""
    before = json.loads(step.pre_states.get(server) or "{}")
    if seen.state is not State.DONE or not before.get("postLaunch"):
        return seen
    skipped = "DRS's post-launch actions are on and did not run, since it was launched stopped"
    return replace(seen, message=f"{seen.message}; {skipped}")


def _letters(config: Mapping[str, Any]) -> str:
    """`DrillVersion.was` of a launch configuration."""
    byol = config.get("licensing", {}).get("osByol", False)
    return "".join(
        (
            config.get("targetInstanceTypeRightSizingMethod", "NONE")[0],
            "y" if byol else "n",
            "y" if config.get("copyTags", True) else "n",
            config.get("recoveryMode", "OPTIMAL")[0],
        )
    )


def restore_needed(server: str) -> Seen:
    """The launch template of a server must be put back."""
    return Seen(
        State.NEEDED,
        action=RESTORE,
        message=f"the launch template of {server} still names the drill network",
    )


def prepare(scope: Scope, step: Step, call: str, batch: Sequence[Target]) -> str:
    """Let the servers launch stopped, and into the network of this operation.

    Every value is set, not switched, so it may be repeated. The answer says that all was done.
    A template that a drill left behind is put back by `ensure`, right before the launch.
    """
    if step.drill:
        network = Network.of(step)
        assert network is not None  # observe() refuses a Test without one
        _prepare_drills(scope, step, call, batch, network)
    else:
        own = [t for t in batch if t.settings]
        scope.each(lambda t: _launch_stopped(scope, step, t.id), [t for t in batch if t not in own])
        if own:
            _leave_drill(scope, step, own)
            drs_settings.apply(scope, step, call, own)
    return f"{len(batch)} prepared"


def _launch_stopped(scope: Scope, step: Step, server: str) -> None:
    """Not again for a server whose batch was refused because of another one."""

    def update() -> bool:
        drs = scope.client("drs")
        drs.update_launch_configuration(sourceServerID=server, launchDisposition="STOPPED")
        return True

    scope.cached(("drs-launches-stopped", step.token, server), _REMEMBERED, update)


def ensure(scope: Scope, step: Step, call: str, batch: Sequence[Target]) -> None:
    """Right before a launch: whatever else changed the templates meanwhile is put right.

    A drill that puts back what it changed also lets servers launch started again, after they were
    prepared for a launch that is none. Its version stays in the template's history, and tells.
    """
    if not step.drill:
        _leave_drill(scope, step, batch)
        drs_settings.apply(scope, step, call, batch)
        return
    network = Network.of(step)
    found = drs_drills.drills(scope, [t.id for t in batch], network).current
    if network is not None:
        wrong = [t for t in batch if t.id not in found or found[t.id].network != network]
        _prepare_drills(scope, step, call, wrong, network)


def restore(scope: Scope, step: Step, batch: Sequence[Target]) -> str:
    """Put launch configurations and default versions back to what they were before the drill."""
    drs, ec2 = scope.client("drs"), scope.client("ec2")

    def one(drill: DrillVersion) -> None:
        # The version is last: while it is the default, this can be done again. DRS may have made
        # one of its own of it just now.
        drs.update_launch_configuration(
            sourceServerID=drill.server,
            launchDisposition=drill.disposition,
            **drill.configuration,
        )
        launch_templates.set_default(ec2, drill.template, drill.source)

    drills = drs_drills.drills(scope, [t.id for t in batch], Network.of(step))
    scope.each(one, list(drills.current.values()))
    return f"{len(batch)} restored"


def _leave_drill(scope: Scope, step: Step, batch: Sequence[Target]) -> None:
    """Put back what a drill left, but for launchDisposition: a real launch has its own.

    That is set for every server that a drill was ever made of.
    """
    drs, ec2 = scope.client("drs"), scope.client("ec2")
    drills = drs_drills.drills(scope, [t.id for t in batch], as_of=step.since)

    def one(target: Target) -> None:
        drill = drills.current.get(target.id)
        before = drill.configuration if drill is not None else {}
        drs.update_launch_configuration(
            sourceServerID=target.id, launchDisposition="STOPPED", **before
        )
        if drill is not None:
            launch_templates.set_default(ec2, drill.template, drill.source)

    scope.each(one, [t for t in batch if t.id in drills.ever])


def _prepare_drills(
    scope: Scope, step: Step, call: str, batch: Sequence[Target], network: Network
) -> None:
    known = drs_sources.shared(scope, [t.id for t in batch], step.since)
    scope.each(
        lambda t: _prepare_drill(scope, step, call, t, network, known.get(t.id)),
        batch,
    )


def _prepare_drill(
    scope: Scope,
    step: Step,
    call: str,
    target: Target,
    network: Network,
    server: Mapping[str, Any] | None,
) -> None:
    drs, ec2 = scope.client("drs"), scope.client("ec2")
    if server is not None:
        drs_sources.mark(scope, server, network.subnet)
    settings = drs_settings.for_drill(target.settings)
    # An address that is copied lies outside the drill's subnet, or belongs to production.
    config = drs.update_launch_configuration(
        sourceServerID=target.id,
        launchDisposition="STOPPED",
        copyPrivateIp=False,
        **drs_settings.configuration(settings),
    )
    template = config["ec2LaunchTemplateID"]
    versions = ec2.describe_launch_template_versions(
        LaunchTemplateId=template, Versions=["$Default", "$Latest"]
    )["LaunchTemplateVersions"]
    default = next(v for v in versions if v["DefaultVersion"])
    left = drs_drills.left_in(scope, versions, server, network)
    wanted = _wanted(step, target.id, network, default, left, settings)
    known = next((v for v in versions if wanted.same_as(DrillVersion.parse(v))), None)
    number = str(known["VersionNumber"]) if known else _make(ec2, call, template, wanted, settings)
    if not default["DefaultVersion"] or str(default["VersionNumber"]) != number:
        launch_templates.set_default(ec2, template, number)


def _wanted(
    step: Step,
    server: str,
    network: Network,
    default: Mapping[str, Any],
    left: DrillVersion | None,
    settings: Mapping[str, Any],
) -> DrillVersion:
    """The version that the drill needs, remembering what was before the first drill."""
    before = json.loads(step.pre_states.get(server) or "{}")
    kept = (left.was if left else "") or (before.get("was", "NnyO") if settings else "")
    return DrillVersion(
        server,
        left.source if left else str(default["VersionNumber"]),
        left.disposition if left else before.get("launchDisposition", "STARTED"),
        left.copy_ip if left else before.get("copyPrivateIp", False),
        network,
        was=kept,
        settings=drs_settings.digest(settings) if kept else "",
    )


def _make(
    ec2: Any, call: str, template: str, wanted: DrillVersion, settings: Mapping[str, Any]
) -> str:
    source = ec2.describe_launch_template_versions(
        LaunchTemplateId=template, Versions=[wanted.source]
    )["LaunchTemplateVersions"][0]

    def change(data: dict[str, Any]) -> None:
        drs_settings.revise(data, settings)
        data["NetworkInterfaces"] = [_interface(data, wanted.network)]

    return launch_templates.new_version(ec2, call, source, wanted.description, change)


_OF_PRODUCTION: Final = launch_templates.ADDRESSES | {
    "NetworkInterfaceId",
    "AssociateCarrierIpAddress",
}
"""Of the first network interface: what ties it to production. Further interfaces are left out of a
drill whole."""


def _interface(data: Mapping[str, Any], network: Network) -> dict[str, Any]:
    first = launch_templates.first_interface(data)
    kept = {key: value for key, value in first.items() if key not in _OF_PRODUCTION}
    return kept | {
        "DeviceIndex": 0,
        "AssociatePublicIpAddress": False,
        "SubnetId": network.subnet,
        "Groups": list(network.groups),
    }
