"""The reference runs, and the people in them: whoever looks at a run next does what is due.

Between them they go through every adapter and phase: launch settings and launch templates, launch,
start, a DNS switch, the gates, a pause, an approval; a drill with its network and its clean-up; and
the way back, with fencing and replication the other way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from harness.bench import NAMESPACE, PRIMARY, RECOVERY, Application, Bench, Object
from leeward_adapters.drs_drills import DrillVersion
from leeward_adapters.drs_drills import Network as DrillNetwork

APPROVER: Final = "approver-a"
ON_DUTY: Final = "on-duty"
USER_NAMES: Final = {APPROVER: "approver-a@example.com", ON_DUTY: "operator-on-duty@example.com"}
GATE: Final = "wave-data"


class Run(ABC):
    """One run of an application of its own."""

    operation: ClassVar[str]
    commands: ClassVar[Mapping[str, str]]
    """What people say at the gate, in order, and who says it."""
    gate_before: ClassVar[str]

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.application: Application = bench.next_application()
        self.name = f"{self.application.name}-{self.operation.lower()}"
        self.servers = self._servers()
        self.region = RECOVERY
        """Where the run launches."""
        self.launched = self.servers
        """Source servers that it launches, there."""
        self.since = 0
        """Number of the last call to AWS before the run."""

    # --- what is there before it

    def prepare(self) -> None:
        """Have the plan found ready; what comes after this belongs to the run."""
        self.arrange()
        self.bench.create(self._plan())
        self.bench.until(f"plan {self.application.name} is ready", self._is_ready)
        self.since = self.bench.control.last_seq()

    @abstractmethod
    def arrange(self) -> None:
        """Change what is in AWS before the run."""

    def _is_ready(self) -> bool:
        plan = self.bench.get("recoveryplans", self.application.name) or {}
        return condition(plan, "Ready") == "True"

    def _plan(self) -> Object:
        return {
            "apiVersion": "leeward.dev/v1alpha1",
            "kind": "RecoveryPlan",
            "metadata": {"name": self.application.name, "namespace": NAMESPACE},
            "spec": {
                "customer": "CustomerA",
                "environment": "Production",
                "applications": [self.application.name],
                "regions": {"primary": PRIMARY, "recovery": RECOVERY},
                "accounts": [{"name": self.application.account}],
                "waves": [
                    {
                        "name": "data",
                        "gates": [{"before": self.gate_before}],
                        "tasks": [self._dns()],
                    }
                ],
                "drill": {"networks": [self.drill_network()]},
            },
        }

    def _dns(self) -> Object:
        zones = self.bench.client("route53", self.application.account_id).list_hosted_zones()
        (zone,) = zones["HostedZones"]
        sides = {
            "primary": {"values": [self.application.target(PRIMARY)]},
            "recovery": {"values": [self.application.target(RECOVERY)]},
        }
        return {
            "name": "www",
            "type": "Route53",
            "route53": {
                "accountRef": {"name": self.application.account},
                "hostedZoneId": zone["Id"].rpartition("/")[2],
                "records": [{"name": self.application.record, "type": "CNAME", **sides}],
            },
        }

    def drill_network(self) -> Object:
        """The account's network for drills, in the plan's words."""
        ec2 = self.bench.client("ec2", self.application.account_id)
        wanted = [{"Name": "tag:Purpose", "Values": ["Drill"]}]
        subnet = ec2.describe_subnets(Filters=wanted)["Subnets"][0]
        groups = ec2.describe_security_groups(
            Filters=[{"Name": "vpc-id", "Values": [subnet["VpcId"]]}, *wanted]
        )["SecurityGroups"]
        return {
            "accountId": self.application.account_id,
            "subnetId": subnet["SubnetId"],
            "securityGroupIds": [group["GroupId"] for group in groups],
        }

    def _servers(self) -> list[str]:
        drs = self.bench.client("drs", self.application.account_id)
        pages = drs.get_paginator("describe_source_servers").paginate(filters={})
        return sorted(
            item["sourceServerID"]
            for page in pages
            for item in page["items"]
            if item["tags"].get("Application") == self.application.name
        )

    # --- what people do

    def begin(self) -> None:
        """Create the execution."""
        self.bench.create(
            {
                "apiVersion": "leeward.dev/v1alpha1",
                "kind": "DRExecution",
                "metadata": {"name": self.name, "namespace": NAMESPACE},
                "spec": {
                    "planRef": {"name": self.application.name},
                    "operation": self.operation,
                },
            }
        )

    def goes_on(self) -> bool:
        """Do what a person would do now; False once the run is over and its plan released."""
        body = self.bench.get("drexecutions", self.name)
        if body is None:
            return True  # the API server is away
        if condition(body, "Succeeded") == "False":
            raise AssertionError(f"{self.name} failed: {body['status']['message']}")
        if condition(body, "WaitingForDecision") == "True":
            raise AssertionError(f"{self.name} does not go on: {body['status']['message']}")
        if condition(body, "Succeeded") == "True":
            return not self._is_closed(body)
        self._answer(body)
        return True

    def _is_closed(self, body: Object) -> bool:
        plan = self.bench.get("recoveryplans", self.application.name)
        released = plan is not None and "activeExecution" not in plan["status"]
        return released and not body["metadata"].get("finalizers")

    def _answer(self, body: Object) -> None:
        """Give the next command, once the gate waits and the one before was taken."""
        status = body.get("status", {})
        waits = any(g["state"] == "Waiting" and g["guard"] for g in status.get("gates", []))
        if not waits or status.get("accepting"):
            return
        taken = {c["key"] for c in status.get("commands", [])}
        for command, user in self.commands.items():
            key = f"leeward.dev/{command}"
            if key in taken:
                continue
            if key not in body["metadata"].get("annotations", {}):
                said = f"{key}={USER_NAMES[user]}: {command}"
                self.bench.kubectl("annotate", "drx", self.name, said, user=user)
            return

    def clear(self) -> None:
        """Take the run's objects away, if it is over: what an operator looks at grows with them."""
        ours = f"drx/{self.name}", f"rp/{self.application.name}"
        self.bench.cluster.kubectl(
            "-n", NAMESPACE, "delete", *ours, "--wait=false", "--ignore-not-found", check=False
        )

    # --- what it must come to

    @abstractmethod
    def expected(self) -> Mapping[str, Any]:
        """What AWS must show in the end, in the words of `proof.shown`."""

    def besides(self) -> Mapping[str, Any]:
        """What AWS shows of the other side, in the words of `expected`."""
        return {}

    @abstractmethod
    def tasks(self) -> Mapping[str, str]:
        """By phase and technology: states in which tasks must end, among those there are."""


class Failover(Run):
    """A failover of servers whose launch templates an abandoned drill left pointing elsewhere."""

    operation = "Failover"
    gate_before = "Activate"
    commands: ClassVar[Mapping[str, str]] = {
        "pause": ON_DUTY,
        "resume": ON_DUTY,
        f"approve-{GATE}": APPROVER,
    }

    def arrange(self) -> None:
        network = self.drill_network()
        into = DrillNetwork(network["subnetId"], tuple(network["securityGroupIds"]))
        drs = self.bench.client("drs", self.application.account_id)
        ec2 = self.bench.client("ec2", self.application.account_id)
        for server in self.servers:
            config = drs.get_launch_configuration(sourceServerID=server)
            template = config["ec2LaunchTemplateID"]
            left = DrillVersion(server, "1", config["launchDisposition"], False, into)
            made = ec2.create_launch_template_version(
                LaunchTemplateId=template,
                SourceVersion="1",
                VersionDescription=left.description,
                LaunchTemplateData={
                    "NetworkInterfaces": [
                        {"DeviceIndex": 0, "SubnetId": into.subnet, "Groups": list(into.groups)}
                    ]
                },
            )
            number = str(made["LaunchTemplateVersion"]["VersionNumber"])
            ec2.modify_launch_template(LaunchTemplateId=template, DefaultVersion=number)

    def expected(self) -> Mapping[str, Any]:
        server = {
            "jobs": ["LAUNCH"],
            "instances": ["running"],
            "drills": [False],
            "disposition": "STOPPED",
            "default version": 1,
            "versions": 2,
        }
        name = [self.application.target(RECOVERY)]
        return {**dict.fromkeys(self.servers, server), "name": name}

    def tasks(self) -> Mapping[str, str]:
        return {
            "Instantiate drs": "Complete", "Activate drs": "Complete",
            "Activate route53": "Complete",
        }  # fmt: skip


class Drill(Run):
    """A drill: a network of its own, and nothing of it left when it is over."""

    operation = "Test"
    gate_before = "Cleanup"
    commands: ClassVar[Mapping[str, str]] = {f"approve-{GATE}": APPROVER}

    def arrange(self) -> None:
        """Nothing: the estate is as it should be."""

    def expected(self) -> Mapping[str, Any]:
        server = {
            "jobs": ["LAUNCH", "TERMINATE"],
            "instances": ["terminated"],
            "drills": [],
            "disposition": "STARTED",
            "default version": 1,
            "versions": 2,
        }
        name = [self.application.target(PRIMARY)]
        return {**dict.fromkeys(self.servers, server), "name": name}

    def tasks(self) -> Mapping[str, str]:
        return {
            "Instantiate drs": "Complete", "Activate drs": "Complete",
            "Activate route53": "Skipped", "Cleanup drs": "Complete",
        }  # fmt: skip


class Failback(Run):
    """The way back of servers that were recovered and are replicated to where they came from."""

    operation = "Failback"
    gate_before = "Activate"
    commands: ClassVar[Mapping[str, str]] = {f"approve-{GATE}": APPROVER}

    def arrange(self) -> None:
        """What a Failover and a Reprotect come to."""
        bench, account = self.bench, self.application.account_id
        drs, home = bench.client("drs", account), bench.client("drs", account, PRIMARY)
        drs.start_recovery(sourceServers=[{"sourceServerID": s} for s in self.servers])
        self.away = bench.until("the servers are recovered", self._recovered)
        bench.client("ec2", account, PRIMARY).stop_instances(InstanceIds=self._protected())
        for instance in self.away:
            drs.reverse_replication(recoveryInstanceID=instance)
        self.launched = bench.until("they replicate back", lambda: self._copied(home))
        self.region = PRIMARY
        route53 = bench.client("route53", account)
        (zone,) = route53.list_hosted_zones()["HostedZones"]
        record = {
            "Name": self.application.record, "Type": "CNAME", "TTL": 60,
            "ResourceRecords": [{"Value": self.application.target(RECOVERY)}],
        }  # fmt: skip
        change = {"Action": "UPSERT", "ResourceRecordSet": record}
        route53.change_resource_record_sets(
            HostedZoneId=zone["Id"], ChangeBatch={"Changes": [change]}
        )

    def _recovered(self) -> list[str]:
        """The recovery instances, once all run and can be replicated."""
        account = self.application.account_id
        ec2 = self.bench.client("ec2", account)
        found = self.bench.client("drs", account).describe_recovery_instances(
            filters={"sourceServerIDs": self.servers}
        )["items"]
        ids = sorted(i["ec2InstanceID"] for i in found)
        if len(ids) < len(self.servers):
            return []
        status = ec2.describe_instance_status(InstanceIds=ids, IncludeAllInstances=True)
        ready = [s for s in status["InstanceStatuses"] if s["InstanceStatus"]["Status"] == "ok"]
        return ids if len(ready) == len(ids) else []

    def _protected(self) -> list[str]:
        """Instances that the servers in the recovery Region protect."""
        servers = self.bench.client("drs", self.application.account_id).describe_source_servers(
            filters={"sourceServerIDs": self.servers}
        )["items"]
        return sorted(
            s["sourceProperties"]["identificationHints"]["awsInstanceID"] for s in servers
        )

    def _copied(self, home: Any) -> list[str]:
        """The reversed source servers, once they hold everything."""
        pages = home.get_paginator("describe_source_servers").paginate(filters={})
        mine = [
            s for page in pages for s in page["items"]
            if s["sourceProperties"]["identificationHints"]["awsInstanceID"] in self.away
        ]  # fmt: skip
        states = {s["dataReplicationInfo"]["dataReplicationState"] for s in mine}
        whole = len(mine) == len(self.away) and states == {"CONTINUOUS"}
        return sorted(s["sourceServerID"] for s in mine) if whole else []

    def _is_ready(self) -> bool:
        """Discovery has seen the way back, too: accounts are looked at for all plans at once."""
        found = self.bench.get("recoveryinventories") or {"items": []}
        known = [
            r.get("attributes", {}).get("reversedState")
            for i in found["items"] if i["spec"]["planRef"]["name"] == self.application.name
            for r in i.get("status", {}).get("resources", []) if r["id"] in self.servers
        ]  # fmt: skip
        return super()._is_ready() and known == ["CONTINUOUS"] * len(self.servers)

    def expected(self) -> Mapping[str, Any]:
        server = {
            "jobs": ["LAUNCH"],
            "instances": ["running"],
            "drills": [False],
            "disposition": "STOPPED",
            "default version": 1,
            "versions": 1,
        }
        left = {"left": ["stopped"] * len(self.away), "protects what came home": True}
        name = [self.application.target(PRIMARY)]
        return {**dict.fromkeys(self.launched, server), "name": name, **left}

    def besides(self) -> Mapping[str, Any]:
        account = self.application.account_id
        ec2 = self.bench.client("ec2", account)
        left = ec2.describe_instances(InstanceIds=self.away)["Reservations"]
        home = self.bench.client("drs", account, PRIMARY).describe_recovery_instances(
            filters={"sourceServerIDs": self.launched}
        )["items"]
        return {
            "left": [i["State"]["Name"] for r in left for i in r["Instances"]],
            "protects what came home": self._protected()
            == sorted(i["ec2InstanceID"] for i in home),
        }

    def tasks(self) -> Mapping[str, str]:
        return {
            "Fence ec2": "Complete", "Instantiate drs": "Complete", "Activate drs": "Complete",
            "Activate route53": "Complete", "Replicate drs": "Complete",
        }  # fmt: skip


KINDS: Final[Mapping[str, type[Run]]] = {
    "failover": Failover, "drill": Drill, "failback": Failback
}  # fmt: skip


def condition(body: Object, kind: str) -> str:
    """Status of a condition, or an empty string."""
    conditions = body.get("status", {}).get("conditions", [])
    return next((str(c["status"]) for c in conditions if c["type"] == kind), "")
