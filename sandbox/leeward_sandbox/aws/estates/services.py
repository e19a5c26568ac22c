"""What an account runs beside servers: databases, names, containers, groups and functions."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from moto.route53.models import HostedZoneIdentifier
from moto.utilities.id_generator import moto_id_manager

from leeward_sandbox.aws.automation import AutomationDocument, content
from leeward_sandbox.aws.backend import World
from leeward_sandbox.aws.drs.timing import hex_id
from leeward_sandbox.aws.estates.identifiers import drawn_from
from leeward_sandbox.aws.estates.model import (
    Account,
    Aurora,
    AutoScalingGroup,
    EcsService,
    Estate,
    LambdaFunction,
    Record,
    Zone,
)
from leeward_sandbox.aws.estates.network import SeededNetwork, SeededVpc
from leeward_sandbox.aws.moto_images import DEFAULT_IMAGE


@dataclass(frozen=True, slots=True)
class SeededResource:
    """A resource as Resource Explorer's index shows it, with a view of its live tags."""

    name: str
    arn: str
    account: str
    region: str
    type: str
    tags: Callable[[], dict[str, str]]


class ServiceSeeder:
    """Makes an account's services in moto.

    Args:
        estate: where tags, seed and Regions come from.
        account: whose services.
        world: moto and the clock.
        network: the account's VPCs, if it has any.
    """

    def __init__(
        self, estate: Estate, account: Account, world: World, network: SeededNetwork | None
    ) -> None:
        self._estate, self._account, self._world = estate, account, world
        self._network = network

    def all(self) -> Iterator[SeededResource]:
        """Make everything that the account lists, and tell of each."""
        for database in self._account.aurora:
            yield from self._aurora(database)
        for zone in self._account.zones:
            yield self._zone(zone)
        for service in self._account.ecs_services:
            yield from self._ecs_service(service)
        for group in self._account.auto_scaling_groups:
            yield from self._auto_scaling_group(group)
        for function in self._account.lambda_functions:
            yield from self._lambda_function(function)
        for document in self._account.automation_documents:
            self._automation_document(document)

    def _moto(self, service: str, region: str) -> Any:
        return self._world.moto(service, self._account.id, region)

    def _drawn(self, *parts: str) -> Any:
        return drawn_from(self._estate.seed, self._account.id, *parts)

    def _tags(self, name: str, own: dict[str, str | None]) -> dict[str, str]:
        return self._estate.tags_of(self._account, name, own)

    def _vpcs(self) -> list[tuple[SeededVpc, str]]:
        assert self._network is not None  # the model asks for a network
        return [(self._network.primary, "primary"), (self._network.recovery, "recovery")]

    def _aurora(self, database: Aurora) -> Iterator[SeededResource]:
        regions = self._estate.regions
        writer = self._moto("rds", regions.primary)
        with self._drawn("aurora", database.name):
            whole = writer.create_global_cluster(
                database.name, None, database.engine, None, True, False
            )
        for region, side in ((regions.primary, "primary"), (regions.recovery, "secondary")):
            yield from self._aurora_cluster(database, region, f"{database.name}-{side}")
        # Both Regions of a global database list it.
        self._moto("rds", regions.recovery).global_clusters[whole.global_cluster_identifier] = whole

    def _aurora_cluster(self, database: Aurora, region: str, name: str) -> Iterator[SeededResource]:
        rds = self._moto("rds", region)
        tags = _upper_pairs(self._tags(name, database.tags))
        with self._drawn("aurora", name):
            cluster = rds.create_db_cluster(
                {
                    "db_cluster_identifier": name,
                    "engine": database.engine,
                    "global_cluster_identifier": database.name,
                    "master_username": "leeward",
                    "storage_encrypted": True,
                    "tags": tags,
                }
            )
            instances = [
                rds.create_db_instance(
                    {
                        "db_instance_identifier": f"{name}-{number}",
                        "db_instance_class": "db.r6g.large",
                        "engine": database.engine,
                        "db_cluster_identifier": name,
                        "tags": list(tags),
                    }
                )
                for number in range(1, database.instances + 1)
            ]
        cluster.status = "available"
        yield self._seeded(name, cluster.db_cluster_arn, region, "rds:cluster", _live(cluster))
        for one in instances:
            identifier = one.db_instance_identifier
            yield self._seeded(identifier, one.db_instance_arn, region, "rds:db", _live(one))

    def _zone(self, zone: Zone) -> SeededResource:
        route53 = self._moto("route53", self._estate.regions.primary)
        name = f"{zone.name.rstrip('.')}."
        zone_id = "Z" + hex_id("", self._estate.seed, self._account.id, "zone", name).upper()
        # Moto's own identifiers do not begin with Z, as Route 53's do.
        identifier = HostedZoneIdentifier(self._account.id, name, None)
        moto_id_manager.set_custom_id(identifier, zone_id)
        try:
            with self._drawn("zone", zone.name):
                route53.create_hosted_zone(name, False)
        finally:
            moto_id_manager.unset_custom_id(identifier)
        changes = [
            {"Action": "CREATE", "ResourceRecordSet": _record_set(record)}
            for record in zone.records
        ]
        if changes:
            route53.change_resource_record_sets(zone_id, changes)
        tags = self._tags(zone.name, zone.tags)
        route53.change_tags_for_resource("hostedzone", zone_id, _upper_pairs(tags), [])
        return self._seeded(
            zone.name,
            f"arn:aws:route53:::hostedzone/{zone_id}",
            "global",
            "route53:hostedzone",
            lambda: dict(route53.list_tags_for_resource(zone_id)),
        )

    def _ecs_service(self, service: EcsService) -> Iterator[SeededResource]:
        for vpc, side in self._vpcs():
            ecs = self._moto("ecs", vpc.region)
            tags = [
                {"key": k, "value": v} for k, v in self._tags(service.name, service.tags).items()
            ]
            with self._drawn("ecs", vpc.region, service.cluster, service.name):
                if service.cluster not in ecs.clusters:
                    ecs.create_cluster(service.cluster, tags=list(tags))
                ecs.register_task_definition(
                    service.name,
                    [{"name": service.name, "image": f"{service.name}:1", "memory": 512}],
                    network_mode="awsvpc",
                    requires_compatibilities=["FARGATE"],
                    cpu="256",
                    memory="512",
                )
                made = ecs.create_service(
                    service.cluster,
                    service.name,
                    getattr(service.desired, side),
                    task_definition_str=service.name,
                    tags=list(tags),
                    launch_type="FARGATE",
                    network_configuration=_awsvpc(vpc),
                )
            _running(made)
            yield self._seeded(service.name, made.arn, vpc.region, "ecs:service", _live(made))

    def _auto_scaling_group(self, group: AutoScalingGroup) -> Iterator[SeededResource]:
        for vpc, side in self._vpcs():
            ec2, scaling = self._moto("ec2", vpc.region), self._moto("autoscaling", vpc.region)
            desired = getattr(group.desired, side)
            with self._drawn("autoscaling", vpc.region, group.name):
                template = ec2.create_launch_template(
                    group.name,
                    "",
                    {
                        "ImageId": DEFAULT_IMAGE,
                        "InstanceType": group.instance_type,
                        "SecurityGroupIds": [vpc.security_group],
                    },
                    {},
                )
                made = scaling.create_auto_scaling_group(
                    **_GROUP_DEFAULTS,
                    name=group.name,
                    desired_capacity=desired,
                    max_size=group.maximum,
                    min_size=desired,
                    launch_template={"LaunchTemplateId": template.id, "Version": "$Default"},
                    vpc_zone_identifier=",".join(vpc.application_subnets()),
                    tags=self._group_tags(group),
                )
            kind = "autoscaling:autoScalingGroup"
            yield self._seeded(group.name, made.arn, vpc.region, kind, _live(made))

    def _group_tags(self, group: AutoScalingGroup) -> list[dict[str, Any]]:
        return [
            {
                "Key": key,
                "Value": value,
                "PropagateAtLaunch": False,
                "ResourceId": group.name,
                "ResourceType": "auto-scaling-group",
            }
            for key, value in self._tags(group.name, group.tags).items()
        ]

    def _lambda_function(self, function: LambdaFunction) -> Iterator[SeededResource]:
        tags = self._tags(function.name, function.tags)
        with self._drawn("role", function.name):
            role = self._moto("iam", self._estate.regions.primary).create_role(
                role_name=function.name,
                assume_role_policy_document=json.dumps(_LAMBDA_TRUST),
                path="/",
                permissions_boundary=None,
                description=f"Execution role of {function.name}",
                tags=[],
                max_session_duration="3600",
            )
        for region in (self._estate.regions.primary, self._estate.regions.recovery):
            backend = self._moto("lambda", region)
            with self._drawn("lambda", region, function.name):
                made = backend.create_function(
                    {
                        "FunctionName": function.name,
                        "Runtime": "python3.13",
                        "Role": role.arn,
                        "Handler": "index.handler",
                        "Code": {"ZipFile": _EMPTY_FUNCTION},
                        "Publish": True,
                        "Tags": dict(tags),
                    }
                )
            arn = made.function_arn.removesuffix(f":{made.version}")
            yield self._seeded(
                function.name, arn, region, "lambda:function", _lambda_tags(backend, arn)
            )

    def _automation_document(self, document: AutomationDocument) -> None:
        """Make it in both Regions; Resource Explorer does not index documents."""
        for region in (self._estate.regions.primary, self._estate.regions.recovery):
            self._moto("ssm", region).create_document(
                content=content(document),
                requires=[],
                attachments=[],
                name=document.name,
                version_name="",
                document_type="Automation",
                document_format="JSON",
                target_type="",
                tags=[],
            )

    def _seeded(
        self, name: str, arn: str, region: str, kind: str, tags: Callable[[], dict[str, str]]
    ) -> SeededResource:
        return SeededResource(name, arn, self._account.id, region, kind, tags)


_GROUP_DEFAULTS: dict[str, Any] = {
    "availability_zones": [],
    "launch_config_name": None,
    "default_cooldown": None,
    "health_check_period": None,
    "health_check_type": None,
    "load_balancers": [],
    "target_group_arns": [],
    "placement_group": None,
    "termination_policies": [],
}


_LAMBDA_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def _function_archive() -> str:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        # A fixed date: the code's digest must not depend on the day.
        entry = zipfile.ZipInfo("index.py", date_time=(2026, 1, 1, 0, 0, 0))
        file.writestr(entry, "def handler(event, context):\n    return event\n")
    return base64.b64encode(archive.getvalue()).decode()


_EMPTY_FUNCTION = _function_archive()


def _upper_pairs(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _live(resource: Any) -> Callable[[], dict[str, str]]:
    """The tags of an object of moto that keeps them in a list of pairs."""

    def tags() -> dict[str, str]:
        return {
            pair.get("Key", pair.get("key", "")): pair.get("Value", pair.get("value", ""))
            for pair in resource.tags or []
        }

    return tags


def _lambda_tags(backend: Any, arn: str) -> Callable[[], dict[str, str]]:
    return lambda: dict(backend.list_tags(arn))


def _record_set(record: Record) -> dict[str, Any]:
    made: dict[str, Any] = {
        "Name": record.name,
        "Type": record.type,
        "TTL": record.ttl,
        "ResourceRecords": [{"Value": value} for value in record.values],
    }
    if record.set_identifier is not None:
        made["SetIdentifier"] = record.set_identifier
    if record.weight is not None:
        made["Weight"] = record.weight
    return made


def _awsvpc(vpc: SeededVpc) -> dict[str, Any]:
    return {
        "awsvpcConfiguration": {
            "subnets": vpc.application_subnets(),
            "securityGroups": [vpc.security_group],
            "assignPublicIp": "DISABLED",
        }
    }


def _running(service: Any) -> None:
    """Let the service run its tasks: moto starts a new one with none."""
    service.running_count = service.desired_count
    service.pending_count = 0
    for deployment in service.deployments:
        deployment["runningCount"] = service.desired_count
        deployment["pendingCount"] = 0
        deployment["rolloutState"] = "COMPLETED"
