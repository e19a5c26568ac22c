"""AWS Elastic Disaster Recovery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from leeward_adapters import (
    drs_failback,
    drs_instances,
    drs_jobs,
    drs_launch,
    drs_outdated,
    drs_placement,
    drs_relaunch,
    drs_retire,
    drs_reverse,
    drs_servers,
    drs_settings,
    drs_templates,
    drs_way_back,
    ec2,
    ec2_capacity,
    quotas,
)
from leeward_adapters.base import (
    ActionTraits,
    Earlier,
    Finding,
    IrreversibleError,
    Observed,
    Phase,
    PhaseTraits,
    Scope,
    Step,
    Target,
)
from leeward_adapters.drs_instances import TERMINATE
from leeward_adapters.drs_jobs import BATCH
from leeward_adapters.drs_launch import LAUNCH
from leeward_adapters.drs_relaunch import RELAUNCH, SNAPSHOT
from leeward_adapters.drs_stale import RELEASE
from leeward_adapters.drs_templates import PREPARE, RESTORE
from leeward_adapters.ec2 import START


class Drs:
    """Servers that AWS Elastic Disaster Recovery replicates into the recovery Region.

    A target's id is the source server's (`s-…`) in the recovery Region, whatever the operation. The
    scope's Region is the one that serves when the operation is through: the recovery Region, but
    the primary in a Failback and in the Cleanup after it.
    `Instantiate` launches recovery instances that stay stopped; `Activate` starts them and waits
    for EC2's status checks; `Replicate` has what serves now protected by the other Region;
    `Cleanup` ends what a Test launched, or retires what a failback left behind.

    * In a Failback the same is done with the reversed source servers, in the primary Region.
    * A recovery instance that is not a drill's is never launched over: a Failover adopts it, a
      Test is refused. Only where a person asks for that server is it replaced, after its volumes
      are in snapshots.
    * A Test launches into the drill network of `settings["drillNetwork"]` by a launch template
      version of its own, and puts the template back when the launch is over. A Failover puts it
      back before it launches.
    * Success is read per server: a job is COMPLETED also when servers in it failed.
    """

    kind: ClassVar[str] = "drs"
    phases: ClassVar[Mapping[Phase, PhaseTraits]] = {
        # Launched stopped: nothing runs, nobody is served. But what is launched is the newest
        # point in time of now.
        Phase.INSTANTIATE: PhaseTraits(
            inert=True,
            fixes_recovery_point=True,
            irreversible=True,
            instead=drs_launch.IRREVERSIBLE,
            relaunch=True,
        ),
        Phase.ACTIVATE: PhaseTraits(inert=False),
        Phase.REPLICATE: PhaseTraits(
            inert=False, irreversible=True, instead=drs_reverse.IRREVERSIBLE
        ),
        Phase.CLEANUP: PhaseTraits(
            inert=False, irreversible=True, instead=drs_instances.IRREVERSIBLE
        ),
    }
    # In the order in which they are to be done: a template is put back before anything new.
    actions: ClassVar[Mapping[str, ActionTraits]] = {
        RESTORE: ActionTraits(repeatable=True, batch=BATCH, restores=True),
        RELEASE: ActionTraits(repeatable=True, batch=BATCH),
        # How a server is launched the next time; `ensure` looks again right before that.
        PREPARE: ActionTraits(repeatable=True, batch=BATCH, ahead=True),
        LAUNCH: ActionTraits(repeatable=False, batch=BATCH, slow=True),
        # One server, so that AWS's answer is about the whole batch.
        SNAPSHOT: ActionTraits(repeatable=False, batch=1),
        RELAUNCH: ActionTraits(repeatable=False, batch=BATCH, slow=True),
        START: ActionTraits(repeatable=True, batch=BATCH, slow=True),
        TERMINATE: ActionTraits(repeatable=True, batch=BATCH),
        drs_reverse.REVERSE: ActionTraits(repeatable=False, batch=drs_reverse.BATCH),
        drs_retire.KEEP: ActionTraits(repeatable=False, batch=drs_reverse.BATCH),
        drs_retire.STOP_REPLICATION: ActionTraits(repeatable=True, batch=BATCH),
        drs_retire.RETIRE: ActionTraits(repeatable=True, batch=BATCH),
        drs_retire.FORGET: ActionTraits(repeatable=True, batch=BATCH),
        drs_retire.DISCONNECT: ActionTraits(repeatable=True, batch=BATCH),
        drs_retire.DELETE: ActionTraits(repeatable=True, batch=BATCH),
    }
    permissions: ClassVar[Mapping[str, frozenset[str]]] = {
        "Read": frozenset(
            {
                "drs:DescribeJobs",
                "drs:DescribeLaunchConfigurationTemplates",
                "drs:DescribeRecoveryInstances",
                "drs:DescribeRecoverySnapshots",
                "drs:DescribeSourceServers",
                "drs:GetLaunchConfiguration",
                "ec2:DescribeIamInstanceProfileAssociations",
                "ec2:DescribeInstances",
                "ec2:DescribeLaunchTemplateVersions",
                *ec2_capacity.PERMISSIONS,
                *quotas.PERMISSIONS,
            }
        ),
        # DRS launches with the caller's own rights, so most of these are for DRS's calls.
        "Instantiate": frozenset(
            {
                "drs:CreateRecoveryInstanceForDrs",
                "drs:DeleteRecoveryInstance",
                "drs:DescribeJobLogItems",
                "drs:DisconnectRecoveryInstance",
                "drs:ListTagsForResource",
                "drs:StartRecovery",
                "drs:TagResource",
                "drs:TerminateRecoveryInstances",
                "drs:UpdateLaunchConfiguration",
                "ec2:AssociateIamInstanceProfile",
                "ec2:AttachVolume",
                "ec2:AuthorizeSecurityGroupEgress",
                "ec2:AuthorizeSecurityGroupIngress",
                "ec2:CreateFleet",
                "ec2:CreateLaunchTemplate",
                "ec2:CreateLaunchTemplateVersion",
                "ec2:CreateNetworkInterface",
                "ec2:CreateNetworkInterfacePermission",
                "ec2:CreateSecurityGroup",
                "ec2:CreateSnapshot",
                "ec2:CreateSnapshots",
                "ec2:CreateTags",
                "ec2:CreateVolume",
                "ec2:DeleteLaunchTemplateVersions",
                "ec2:DeleteSnapshot",
                "ec2:DeleteVolume",
                "ec2:DescribeAccountAttributes",
                "ec2:DescribeAvailabilityZones",
                "ec2:DescribeImages",
                "ec2:DescribeInstanceAttribute",
                "ec2:DescribeInstanceTypes",
                "ec2:DescribeLaunchTemplates",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSnapshots",
                "ec2:DescribeVolumes",
                "ec2:DetachVolume",
                "ec2:ModifyInstanceAttribute",
                "ec2:ModifyLaunchTemplate",
                "ec2:RevokeSecurityGroupEgress",
                "ec2:RunInstances",
                "ec2:StartInstances",
                "ec2:StopInstances",
                "ec2:TerminateInstances",
                "iam:PassRole",
                "kms:CreateGrant",
                "kms:Decrypt",
                "kms:DescribeKey",
                "kms:GenerateDataKeyWithoutPlaintext",
                "kms:ReEncryptFrom",
                "kms:ReEncryptTo",
            }
        ),
        "Activate": frozenset(
            {"ec2:DescribeInstanceStatus", "ec2:StartInstances", "ec2:StopInstances"}
        ),
        "Replicate": frozenset(
            {
                "drs:DescribeReplicationConfigurationTemplates",
                "drs:ReverseReplication",
                "ec2:CreateTags",
            }
        ),
        "Cleanup": frozenset(
            {
                "drs:DeleteRecoveryInstance",
                "drs:DeleteSourceServer",
                "drs:DisconnectSourceServer",
                "drs:StopFailback",
                "drs:StopReplication",
                "drs:TagResource",
                "drs:TerminateRecoveryInstances",
                "drs:UpdateLaunchConfiguration",
                "ec2:CreateSnapshots",
                "ec2:CreateTags",
                "ec2:DeleteVolume",
                "ec2:DescribeSnapshots",
                "ec2:DescribeVolumes",
                "ec2:ModifyLaunchTemplate",
                "ec2:TerminateInstances",
            }
        ),
    }

    def readiness(self, scope: Scope, targets: Sequence[Target]) -> Sequence[Finding]:
        """Replication, jobs, recovery instances, launch settings, room in the recovery Region, and
        the way back of what was recovered.
        """
        found = drs_servers.readiness(scope, targets)
        if any(f.reason == "DrsUninitialized" for f in found):
            return found
        blocked = {f.target for f in found if f.severity == "Blocking"}
        known = [t for t in targets if t.id not in blocked]
        return [
            *found,
            *drs_settings.readiness(scope, known),
            *drs_way_back.readiness(scope, targets),
        ]

    def settings(self, scope: Scope, targets: Sequence[Target]) -> Mapping[str, str]:
        """How each server would be launched: type, subnet and security groups."""
        return drs_placement.launch_settings(
            scope, [t for t in targets if drs_servers.SERVER_ID.fullmatch(t.id)]
        )

    def limits(self, scope: Scope) -> Mapping[str, int]:
        """Quotas of DRS's jobs and of EC2's vCPUs."""
        known = (quotas.DRS_JOBS, quotas.DRS_SERVERS_IN_JOBS, ec2_capacity.STANDARD_VCPUS)
        found = (quotas.read(scope, one) for one in known)
        return {q.known.code: int(q.value) for q in found if q.source != "Documented"}

    def observe(self, scope: Scope, step: Step) -> Observed:
        """What DRS and EC2 show of each server."""
        look = self._look(step)
        if drs_failback.applies(step):
            return drs_failback.observe(scope, step, look)
        observed = look(scope, step)
        launching = step.phase is Phase.INSTANTIATE
        return drs_outdated.launch(scope, step, observed) if launching else observed

    def _look(self, step: Step) -> drs_failback.Look:
        match step.phase:
            case Phase.INSTANTIATE:
                return drs_relaunch.observe if step.relaunch else drs_launch.observe
            case Phase.ACTIVATE:
                return drs_outdated.activation
            case Phase.REPLICATE:
                return drs_reverse.observe
            case Phase.CLEANUP:
                retiring = step.operation == "Cleanup"
                return drs_retire.observe if retiring else drs_instances.observe_cleanup
        raise ValueError(f"the drs adapter has no phase {step.phase}")

    def act(self, scope: Scope, step: Step, action: str, call: str, batch: Sequence[Target]) -> str:
        """Do one action; the answer is the DRS job's id where there is one."""
        if action in drs_retire.ACTIONS:
            return drs_retire.act(scope, step, action, call, batch)
        if action == RELEASE:
            return drs_failback.release(scope, step, batch)
        if drs_failback.applies(step):
            step, batch = drs_failback.translated(scope, step, batch)
        match action:
            case drs_templates.PREPARE:
                prepared = drs_templates.prepare(scope, step, call, batch)
                drs_launch.at_hand(scope)
                return prepared
            case drs_templates.RESTORE:
                return drs_templates.restore(scope, step, batch)
            case drs_launch.LAUNCH:
                return drs_launch.launch(scope, step, call, batch)
            case drs_relaunch.SNAPSHOT:
                return drs_relaunch.snapshot(scope, step, call, batch)
            case drs_relaunch.RELAUNCH:
                return drs_relaunch.relaunch(scope, step, call, batch)
            case ec2.START:
                return drs_instances.start(scope, step, batch)
            case drs_reverse.REVERSE:
                return drs_reverse.reverse(scope, step, batch)
            case drs_instances.TERMINATE:
                return drs_instances.terminate(scope, step, batch)
        raise ValueError(f"the drs adapter has no action {action}")

    def verify(self, scope: Scope, step: Step) -> Observed:
        """Launched: the recovery instance exists, in the right state and network.

        Started and ended: what observe() looks at is the proof already.
        """
        if step.phase is Phase.INSTANTIATE:
            prove = drs_relaunch.verify if step.relaunch else drs_launch.verify
            if drs_failback.applies(step):
                return drs_failback.observe(scope, step, prove)
            return prove(scope, step)
        return self.observe(scope, step)

    def undo(self, scope: Scope, step: Step, call: str, batch: Sequence[Target]) -> str:
        """Stop what Activate started.

        Raises:
            IrreversibleError: instances that were launched, or that Cleanup ended.
        """
        if step.phase is Phase.ACTIVATE:
            ec2.stop(scope, ec2.were_stopped(step.pre_states, batch))
            return ""
        raise IrreversibleError(f"{ec2.place(scope)}: {self.phases[step.phase].instead}")

    def earlier(
        self, scope: Scope, hub: str, namespace: str, execution: str, uid: str
    ) -> Sequence[Earlier]:
        """Launch jobs that carry the tags of such a run (a TERMINATE job takes no tags)."""
        return drs_jobs.earlier(scope.client("drs"), hub, namespace, execution, uid)
