"""What happens inside a job, step by step, on the virtual clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from leeward_sandbox.aws.drs import mirror
from leeward_sandbox.aws.drs.mirror import LaunchError, Placement
from leeward_sandbox.aws.drs.replication import LIVE, Snapshot, progress, snapshots
from leeward_sandbox.aws.drs.state import (
    Drs,
    Job,
    LastLaunch,
    Participant,
    RecoveryInstance,
    Region,
    SourceServer,
)
from leeward_sandbox.aws.drs.timing import (
    JOB_END_AFTER_LAST_SERVER,
    JOB_START,
    LaunchTimes,
    generator,
    hex_id,
    iso,
    jitter_factor,
    launch_times,
)

SSM_DISCOVERY_SECONDS = 45.0
ACTION_SECONDS = 30.0
LAUNCH_FAILURE_AFTER = 8.0


def new_job(
    drs: Drs,
    region: Region,
    now: datetime,
    *,
    kind: str,
    initiated_by: str,
    participants: list[Participant],
    tags: dict[str, str],
) -> Job:
    """Register a job that starts now; its servers' steps are scheduled by the caller."""
    serial = next(drs.serial)
    job = Job(
        id=hex_id("drsjob-", drs.world.seed, region.account, region.name, serial),
        account=region.account,
        region=region.name,
        type=kind,
        initiated_by=initiated_by,
        created=now,
        tags=tags,
        participants={p.instance_id or p.server_id: p for p in participants},
    )
    region.jobs[job.id] = job

    def start(at: datetime) -> None:
        job.status = "STARTED"
        job.note(at, "JOB_START")

    drs.schedule_in(now, JOB_START, start)
    return job


def finish(drs: Drs, job: Job, part: Participant, status: str, at: datetime) -> None:
    """End a server's part; the job ends shortly after its last server."""
    part.launch_status = status
    part.finished = at
    if any(p.finished is None for p in job.participants.values()):
        return

    def end(ended: datetime) -> None:
        job.status = "COMPLETED"
        job.ended = ended
        job.note(ended, "JOB_END")

    drs.schedule_in(at, JOB_END_AFTER_LAST_SERVER, end)


class Launch:
    """The launch of one server in a job: schedules its steps and carries out each in its time."""

    def __init__(self, drs: Drs, region: Region, job: Job, server: SourceServer) -> None:
        self.drs, self.region, self.job, self.server = drs, region, job, server
        self.part = job.participants[server.id]
        self.drill = job.initiated_by == "START_DRILL"
        self.ec2 = drs.ec2(region.account, region.name)
        self.times = self._times()
        self.point: Snapshot | None = None
        self.place: Placement | None = None
        self.instance: RecoveryInstance | None = None
        self.fault = self._fault()

    def _times(self) -> LaunchTimes:
        factor = self.server.launch_factor * jitter_factor(
            self.drs.world.seed, self.server.id, self.drs.settings.jitter
        )
        earlier = self.server.recovery_instance is not None
        return launch_times(
            factor,
            cleanup=earlier and self.drs.settings.remove_earlier_instance,
            fast=self.server.launch["recoveryMode"] == "FAST",
        )

    def _fault(self) -> str | None:
        plan = self.server.faults
        if plan is None or (plan.times is not None and self.server.faults_hit >= plan.times):
            return None
        return plan.fail_at

    def begin(self) -> None:
        """Mark the server as launching and schedule its first step."""
        self.server.last_launch = LastLaunch(self.job.id, self.job.created, self.drill, "PENDING")
        self.server.last_result = "PENDING"
        if self.times.cleanup:
            self._at(self.times.cleanup[0], self._cleanup_start)
            self._at(self.times.cleanup[1], self._cleanup_end)
        self._at(self.times.snapshot_start, lambda at: self._note(at, "SNAPSHOT_START"))
        self._at(self.times.snapshot_end, self._snapshot)

    def _at(self, seconds: float, effect: Callable[[datetime], None]) -> None:
        self.drs.schedule_in(self.job.created, seconds, effect)

    def _note(self, at: datetime, event: str, **data: Any) -> None:
        self.job.note(at, event, self.server.id, **data)

    def _cleanup_start(self, at: datetime) -> None:
        self._note(at, "CLEANUP_START", targetInstanceID=self.server.recovery_instance)

    def _cleanup_end(self, at: datetime) -> None:
        earlier = self.region.instances.get(self.server.recovery_instance or "")
        if earlier is not None and earlier.id == self._launch_into():
            # The instance that is launched into again must survive.
            forget_instance(self.region, earlier)
        else:
            remove_instance(self.drs, self.region, self.server.recovery_instance, at)
        self._note(at, "CLEANUP_END")

    def _launch_into(self) -> str | None:
        into = self.server.launch.get("launchIntoInstanceProperties", {})
        instance_id: str | None = into.get("launchIntoEC2InstanceID")
        return instance_id or self.drs.into_source(self.server)

    def _snapshot(self, at: datetime) -> None:
        if self.fault == "SNAPSHOT":
            self._fail(at, "SNAPSHOT_FAIL", "USING_PREVIOUS_SNAPSHOT_FAILED")
            return
        if not self._choose_point(at):
            self._note(at, "SNAPSHOT_FAIL")
            self._note(at, "USING_PREVIOUS_SNAPSHOT_FAILED")
            self._failed(at)
            return
        if self.times.conversion is None:
            self._at(self.times.launch_start, self._launch_start)
            return
        self._at(self.times.conversion[0], self._conversion_start)
        self._at(self.times.conversion[1], self._conversion_end)

    def _choose_point(self, at: datetime) -> bool:
        """Take the pinned point, a new snapshot or the newest old one; False if there is none."""
        known = snapshots(self.drs, self.server, at)
        if self.part.snapshot_id:
            self.point = next((s for s in known if s.id == self.part.snapshot_id), None)
            if self.point:
                self._note(at, "USING_PREVIOUS_SNAPSHOT")
            return self.point is not None
        seen = progress(self.drs, self.server, at)
        if seen.state in LIVE and seen.pit:
            newest = seen.pit[1]
            self.point = Snapshot(hex_id("pit-", self.drs.world.seed, self.job.id), newest)
            self._note(at, "SNAPSHOT_END")
            return True
        if not known:
            return False
        self.point = known[-1]
        self._note(at, "SNAPSHOT_FAIL")
        self._note(at, "USING_PREVIOUS_SNAPSHOT")
        return True

    def _conversion_start(self, at: datetime) -> None:
        conversion = hex_id("i-", self.drs.world.seed, "conversion", self.job.id, self.server.id)
        self._note(at, "CONVERSION_START", conversionServerID=conversion)

    def _conversion_end(self, at: datetime) -> None:
        if self.fault == "CONVERSION":
            self._fail(at, "CONVERSION_FAIL")
            return
        taken = iso(self.point.at) if self.point else None
        self._note(at, "CONVERSION_END", conversionProperties={"dataTimestamp": taken})
        self._at(self.times.launch_start, self._launch_start)

    def _launch_start(self, at: datetime) -> None:
        self._set_status("IN_PROGRESS")
        self._note(at, "LAUNCH_START")
        if self.fault == "LAUNCH":
            later = at + timedelta(seconds=LAUNCH_FAILURE_AFTER)
            self.drs.schedule(later, lambda end: self._fail(end, "LAUNCH_FAILED"))
            return
        try:
            self.place = self.ec2.placement(self.server.launch["ec2LaunchTemplateID"])
            if self.server.launch["copyPrivateIp"]:
                self.place = replace(self.place, private_ip=self.server.private_ip)
        except LaunchError as refusal:
            self._refuse(at, str(refusal))
            return
        self._at(self.times.appears, self._appear)

    def _appear(self, at: datetime) -> None:
        assert self.place is not None
        tags = self._instance_tags()
        instance_id = self._launch_into()
        try:
            if instance_id:
                self.ec2.take_over(instance_id, tags)
            else:
                instance_id = self.ec2.launch(self.place, tags, at)
        except LaunchError as refusal:
            self._refuse(at, str(refusal))
            return
        self.instance = RecoveryInstance(
            id=instance_id,
            account=self.region.account,
            region=self.region.name,
            server_id=self.server.id,
            job_id=self.job.id,
            drill=self.drill,
            tags=self.place.tags | tags,
            created=at,
            point_in_time=self.point.at if self.point else None,
        )
        self.region.instances[instance_id] = self.instance
        self.server.recovery_instance = instance_id
        self.part.instance_id = instance_id
        self._at(self.times.launch_end, self._launch_end)

    def _instance_tags(self) -> dict[str, str]:
        own = self.server.tags if self.server.launch["copyTags"] else {}
        managed = {
            mirror.MANAGED_TAG: "drs.amazonaws.com",
            mirror.SOURCE_SERVER_TAG: self.server.id,
            "Name": self.server.tags.get("Name", self.server.hostname),
        }
        return {**own, **managed}

    def _launch_end(self, at: datetime) -> None:
        assert self.instance is not None
        stopped = self.server.launch["launchDisposition"] == "STOPPED"
        self.ec2.set_state(self.instance.id, "stopped" if stopped else "running")
        self.instance.launched = at
        self._note(at, "LAUNCH_END", targetInstanceID=self.instance.id)
        self._set_status("LAUNCHED")
        self.server.last_result = "SUCCEEDED"
        self._failback_done()
        if self.server.launch["postLaunchEnabled"] and not stopped:
            self._run_actions(at)
        for listener in self.drs.launched:
            instance = self.instance
            listener(instance.account, instance.region, instance.id, instance.tags, at)
        finish(self.drs, self.job, self.part, "LAUNCHED", at)

    def _failback_done(self) -> None:
        """Tell the instance that a reversed server protects that it was failed back."""
        if self.server.direction != "FAILBACK":
            return
        protected = self.drs.region(self.server.origin_account, self.server.origin_region)
        instance = protected.instances.get(self.server.instance_id)
        if instance is not None:
            instance.failback_job = self.job.id
            instance.failback_drill = self.drill

    def _run_actions(self, at: datetime) -> None:
        self.part.actions_started = at
        active = [a for a in self.server.actions.values() if a["active"]]
        self.part.actions = sorted(active, key=lambda a: a["order"])

    def _set_status(self, status: str) -> None:
        self.part.launch_status = status
        if self.server.last_launch and self.server.last_launch.job_id == self.job.id:
            self.server.last_launch.status = status

    def _fail(self, at: datetime, *events: str) -> None:
        """Fail as the server's fault plan says."""
        assert self.server.faults is not None
        self.server.faults_hit += 1
        self._note(at, events[0], rawError=self.server.faults.raw_error)
        for event in events[1:]:
            self._note(at, event)
        self._failed(at)

    def _refuse(self, at: datetime, raw_error: str) -> None:
        self._note(at, "LAUNCH_FAILED", rawError=raw_error)
        self._failed(at)

    def _failed(self, at: datetime) -> None:
        self._set_status("FAILED")
        self.server.last_result = "FAILED"
        finish(self.drs, self.job, self.part, "FAILED", at)


def action_runs(drs: Drs, job: Job, part: Participant, now: datetime) -> dict[str, Any] | None:
    """The `launchActionsStatus` of a server in a job, or None before actions run."""
    if part.actions_started is None:
        return None
    found = part.actions_started + timedelta(seconds=SSM_DISCOVERY_SECONDS)
    if now < found:
        return {"runs": []}
    runs = []
    for index, action in enumerate(part.actions):
        begin = found + timedelta(seconds=ACTION_SECONDS * index)
        if now < begin:
            break
        done = now >= begin + timedelta(seconds=ACTION_SECONDS)
        parts = (drs.world.seed, "run", job.id, part.server_id, action["actionId"])
        run = f"{generator(*parts).getrandbits(128):032x}"
        runs.append(
            {
                "action": action,
                "runId": f"{run[:8]}-{run[8:12]}-{run[12:16]}-{run[16:20]}-{run[20:]}",
                "status": "SUCCEEDED" if done else "IN_PROGRESS",
            }
        )
    return {"ssmAgentDiscoveryDatetime": iso(found), "runs": runs}


def terminate(drs: Drs, region: Region, job: Job) -> None:
    """Schedule the end of every instance of a TERMINATE job, 30 to 120 s from its creation."""
    for part in job.participants.values():
        seconds = generator(drs.world.seed, "terminate", job.id, part.server_id).uniform(30, 120)
        drs.schedule_in(job.created, seconds, partial(_terminated, drs, region, job, part))


def _terminated(drs: Drs, region: Region, job: Job, part: Participant, at: datetime) -> None:
    server = region.servers.get(part.server_id)
    remove_instance(drs, region, part.instance_id, at)
    if server and server.last_launch:
        server.last_launch.status = "TERMINATED"
    finish(drs, job, part, "TERMINATED", at)


def remove_instance(drs: Drs, region: Region, instance_id: str | None, at: datetime) -> None:
    """Terminate the EC2 instance and forget DRS's object about it."""
    instance = region.instances.pop(instance_id, None) if instance_id else None
    if instance is None:
        return
    drs.ec2(region.account, region.name).terminate(instance.id)
    forget_instance(region, instance)
    for listener in drs.terminated:
        listener(region.account, region.name, instance.id, instance.tags, at)


def forget_instance(region: Region, instance: RecoveryInstance) -> None:
    """Take DRS's object away without touching EC2."""
    region.instances.pop(instance.id, None)
    server = region.servers.get(instance.server_id)
    if server and server.recovery_instance == instance.id:
        server.recovery_instance = None
