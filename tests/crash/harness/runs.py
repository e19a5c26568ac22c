"""The reference runs, and the people in them: whoever looks at a run next does what is due.

Between them they go through every adapter and phase: launch settings and launch templates, launch,
start, a DNS switch, the gates, a pause, an approval; a drill with its network and its clean-up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from harness.bench import NAMESPACE, PRIMARY, RECOVERY, Application, Bench, Object
from leeward_adapters.drs_templates import DrillVersion
from leeward_adapters.drs_templates import Network as DrillNetwork

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
        recovery = {"values": [self.application.target(RECOVERY)]}
        return {
            "name": "www",
            "type": "Route53",
            "route53": {
                "accountRef": {"name": self.application.account},
                "hostedZoneId": zone["Id"].rpartition("/")[2],
                "records": [
                    {"name": self.application.record, "type": "CNAME", "recovery": recovery}
                ],
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


KINDS: Final[Mapping[str, type[Run]]] = {"failover": Failover, "drill": Drill}


def condition(body: Object, kind: str) -> str:
    """Status of a condition, or an empty string."""
    conditions = body.get("status", {}).get("conditions", [])
    return next((str(c["status"]) for c in conditions if c["type"] == kind), "")
