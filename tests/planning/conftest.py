"""Small estates for table tests, written as people write manifests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from leeward.api.account import TargetAccount
from leeward.api.execution import DRExecution
from leeward.api.inventory import RecoveryInventory
from leeward.api.plan import RecoveryPlan
from leeward.planning.estate.machines import Found

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
ACCOUNT_ID = "111111111111"
TAGS = {
    "Customer": "acme",
    "Environment": "Production",
    "dr:enabled": "true",
    "dr:priority": "critical",
    "dr:wave": "1",
    "dr:recovery-strategy": "drs",
}
RECORD = {"name": "shop.example.com", "type": "A", "recovery": {"values": ["192.0.2.1"]}}

Fields = dict[str, Any]


def _without_none(fields: Fields) -> Fields:
    return {key: value for key, value in fields.items() if value is not None}


class Build:
    """Objects with sensible values; keyword arguments replace fields of their spec."""

    now = NOW
    tags = TAGS
    account_id = ACCOUNT_ID

    def account(
        self, name: str = "prod", account_id: str = ACCOUNT_ID, **fields: Any
    ) -> TargetAccount:
        allow = {"namespaces": ["acme"], **fields.pop("allow", {})}
        status = fields.pop("status", {})
        role = f"arn:aws:iam::{account_id}:role/leeward"
        spec = {"accountId": account_id, "readRoleArn": role, "recoveryRoleArn": role, **fields}
        body = {"metadata": {"name": name}, "spec": {**spec, "allow": allow}, "status": status}
        return TargetAccount.model_validate(body)

    def accounts(self, **fields: Any) -> dict[str, TargetAccount]:
        return {"prod": self.account(**fields)}

    def plan(self, *, status: Fields | None = None, **fields: Any) -> RecoveryPlan:
        spec = {
            "customer": "acme",
            "environment": "production",
            "regions": {"primary": "us-east-1", "recovery": "us-east-2"},
            "accounts": [{"name": "prod"}],
            "waves": [{"name": "data"}, {"name": "app"}, {"name": "web"}],
            "fence": {"servers": "Leave"},  # tests of fencing say so
            "drill": {
                "networks": [
                    {
                        "accountId": ACCOUNT_ID,
                        "subnetId": "subnet-0123456789abcdef0",
                        "securityGroupIds": ["sg-0123456789abcdef0"],
                    }
                ]
            },
            **fields,
        }
        metadata = {"name": "shop", "namespace": "acme", "generation": 3}
        return RecoveryPlan.model_validate(
            {"metadata": metadata, "spec": _without_none(spec), "status": status or {}}
        )

    def ready(self, **status: Any) -> Fields:
        """Status of a plan that was assessed and could start."""
        condition = {
            "type": "Ready",
            "status": "True",
            "reason": "Ready",
            "lastTransitionTime": "2026-03-01T01:00:00Z",
        }
        return {"observedGeneration": 3, "conditions": [condition], **status}

    def execution(self, *, requested_by: str = "ann@example.com", **fields: Any) -> DRExecution:
        name = fields.pop("name", "shop-1")
        metadata = {
            "name": name,
            "namespace": "acme",
            "uid": f"uid-{name}",
            "annotations": {"leeward.dev/requested-by": requested_by},
        }
        spec = {"planRef": {"name": "shop"}, "operation": "Failover", **fields}
        return DRExecution.model_validate({"metadata": metadata, "spec": spec})

    def server(self, number: int = 1, **fields: Any) -> Fields:
        """A selected DRS source server of an inventory."""
        identity = f"s-{number:017d}"
        account_id = fields.pop("accountId", ACCOUNT_ID)
        attributes = {
            "replicationState": "CONTINUOUS",
            "lag": "P0D",
            "originInstanceId": f"i-{number:017x}",
            **fields.pop("attributes", {}),
        }
        return {
            "id": identity,
            "arn": f"arn:aws:drs:us-east-2:{account_id}:source-server/{identity}",
            "technology": "drs",
            "region": "us-east-2",
            "name": f"srv-{number}",
            "tags": {**TAGS, **fields.pop("tags", {})},
            "attributes": _without_none(attributes),
            "verdict": "Selected",
            "wave": "data",
            **fields,
        }

    def inventory(
        self, *resources: Fields, account: str = "prod", part: int = 0, **status: Any
    ) -> RecoveryInventory:
        account_id = status.pop("accountId", ACCOUNT_ID)
        spec = {
            "planRef": {"name": "shop"}, "account": account, "accountId": account_id, "part": part
        }  # fmt: skip
        known = {
            "discoveredAt": "2026-03-01T01:58:00Z",
            "count": len(resources),
            "resources": list(resources),
            **status,
        }
        return RecoveryInventory.model_validate({"spec": spec, "status": _without_none(known)})

    def found(self, technology: str, identity: str, **fields: Any) -> Found:
        """A resource as discovery gives it, tagged for wave 1 unless `tags` says otherwise."""
        region = fields.pop("region", "us-east-2" if technology == "drs" else "us-east-1")
        kinds = {"drs": "source-server/", "ec2": "instance/", "route53": "hostedzone/"}
        place = "::" if technology == "route53" else f"{region}:{ACCOUNT_ID}"
        arn = f"arn:aws:{technology}:{place}:{kinds.get(technology, '')}{identity}"
        return Found(
            id=identity,
            arn=fields.pop("arn", arn),
            technology=technology,
            account=fields.pop("account", "prod"),
            account_id=ACCOUNT_ID,
            region=region,
            tags=fields.pop("tags", TAGS),
            **fields,
        )

    def dns_task(self, name: str = "switch", **fields: Any) -> Fields:
        route53 = {
            "accountRef": {"name": fields.pop("account", "prod")},
            "hostedZoneId": fields.pop("zone", "Z123"),
            "records": fields.pop("records", [RECORD]),
        }
        return {"name": name, "type": "Route53", "route53": route53, **fields}


@pytest.fixture
def build() -> Build:
    return Build()
