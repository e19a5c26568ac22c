"""What the index knows of one resource."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

CFN_TYPES = {
    "autoscaling:autoScalingGroup": "AWS::AutoScaling::AutoScalingGroup",
    "ec2:instance": "AWS::EC2::Instance",
    "ec2:security-group": "AWS::EC2::SecurityGroup",
    "ec2:subnet": "AWS::EC2::Subnet",
    "ec2:vpc": "AWS::EC2::VPC",
    "ecs:cluster": "AWS::ECS::Cluster",
    "ecs:service": "AWS::ECS::Service",
    "elasticloadbalancing:loadbalancer/app": "AWS::ElasticLoadBalancingV2::LoadBalancer",
    "lambda:function": "AWS::Lambda::Function",
    "rds:cluster": "AWS::RDS::DBCluster",
    "rds:db": "AWS::RDS::DBInstance",
    "route53:hostedzone": "AWS::Route53::HostedZone",
    "s3:bucket": "AWS::S3::Bucket",
}
"""CloudFormation's names of the types that the sandbox indexes, by Resource Explorer's."""


@dataclass(slots=True)
class Document:
    """A resource in the index.

    `tags` is called at every query, so a document may follow the live tags of its resource.
    `visible_from` and `visible_until` bound the time in which queries find it.
    """

    arn: str
    account: str
    region: str
    type: str
    tags: Callable[[], dict[str, str]]
    reported: datetime
    visible_from: datetime
    visible_until: datetime | None = None

    @property
    def service(self) -> str:
        """The service part of the type."""
        return self.type.partition(":")[0]

    def visible(self, now: datetime) -> bool:
        """Whether queries find the document at `now`."""
        until = self.visible_until
        return self.visible_from <= now and (until is None or now < until)
