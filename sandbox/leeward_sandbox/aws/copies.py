"""What moto does not tell of copies in other Regions, and of domain controllers.

* DynamoDB: tables of one name in several Regions of an account, with a stream, are replicas of one
  global table (version 2019.11.21); moto does not know `Replicas`.
* Aurora: moto does not say whether members of a global database are synchronised.
* Directory Service: moto has no domain controllers. A directory gets as many as were wished for.
"""

from __future__ import annotations

from typing import Any, ClassVar

from moto.backends import get_backend

from leeward_sandbox.aws.backend import AwsError, Call, World


class TableReplicas:
    """Adds `Replicas` to DescribeTable."""

    service: ClassVar[str] = "dynamodb"
    operations: ClassVar[frozenset[str] | None] = frozenset({"DescribeTable"})
    answers: ClassVar[frozenset[str]] = frozenset({"DescribeTable"})

    def before(self, call: Call) -> dict[str, Any] | None:
        """Nothing: moto answers."""
        return None

    def after(self, call: Call, result: dict[str, Any]) -> dict[str, Any]:
        """See which other Regions have a table of that name."""
        name = result["Table"]["TableName"]
        replicas = [
            {"RegionName": region, "ReplicaStatus": "ACTIVE"}
            for region, backend in get_backend("dynamodb")[call.account].items()
            if name in backend.tables and backend.tables[name].stream_specification
        ]
        if len(replicas) > 1:
            result["Table"]["Replicas"] = replicas
        return result


class GlobalClusterMembers:
    """Adds `SynchronizationStatus` to DescribeGlobalClusters: every reader is connected."""

    service: ClassVar[str] = "rds"
    operations: ClassVar[frozenset[str] | None] = frozenset({"DescribeGlobalClusters"})
    answers: ClassVar[frozenset[str]] = frozenset({"DescribeGlobalClusters"})

    def before(self, call: Call) -> dict[str, Any] | None:
        """Nothing: moto answers."""
        return None

    def after(self, call: Call, result: dict[str, Any]) -> dict[str, Any]:
        """Tell how the members are synchronised."""
        for cluster in result["GlobalClusters"]:
            for member in cluster.get("GlobalClusterMembers", []):
                member["SynchronizationStatus"] = "connected"
        return result


class DomainControllers:
    """Answers DescribeDomainControllers.

    Args:
        world: where moto's directories are.
    """

    service: ClassVar[str] = "ds"
    operations: ClassVar[frozenset[str] | None] = frozenset({"DescribeDomainControllers"})

    def __init__(self, world: World) -> None:
        self._world = world
        self._lost: dict[str, int] = {}

    def handle(self, call: Call) -> dict[str, Any]:
        """DescribeDomainControllers: those of the directory, each in a subnet of its own."""
        directories = self._world.moto("ds", call.account, call.region).directories
        identifier = call.params["DirectoryId"]
        if identifier not in directories:
            raise AwsError("EntityDoesNotExistException", f"Directory {identifier} does not exist.")
        directory = directories[identifier]
        subnets = directory.vpc_settings["SubnetIds"]
        lost = self._lost.get(identifier, 0)
        return {
            "DomainControllers": [
                {
                    "DirectoryId": identifier,
                    "DomainControllerId": f"dc-{identifier[2:]}{place}",
                    "SubnetId": subnet,
                    "Status": "Failed" if place < lost else "Active",
                }
                for place, subnet in enumerate(subnets)
            ]
        }

    def control(self, body: dict[str, Any]) -> dict[str, Any]:
        """`directory` loses `lost` of its domain controllers."""
        self._lost[body["directory"]] = int(body["lost"])
        return {}
