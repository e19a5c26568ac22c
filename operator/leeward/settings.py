"""The operator's settings.

Each has a default that is right for production, but for the operator's Region, which nobody can
guess. `leeward.configuration` says where they come from.
"""

from __future__ import annotations

from datetime import timedelta
from importlib.util import find_spec
from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
)

from leeward.planning.plans.region_pairs import Pairs, parse

Seconds = Annotated[float, Field(gt=0, le=86400)]


def _networks(text: str) -> str:
    for network in filter(None, (part.strip() for part in text.split(","))):
        ip_network(network)
    return text


def _split(value: object) -> object:
    """The parts of a comma-separated text; anything else as it is."""
    return (
        tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value
    )


def _not_awss(namespace: str) -> str:
    if namespace.startswith("AWS/"):
        raise ValueError("namespaces that begin with AWS/ are AWS's own")
    return namespace


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # a package above it is missing
        return False


CloudWatchNamespace = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_.\-/#]*$", max_length=255),
    AfterValidator(_not_awss),
]
TagValue = Annotated[str, StringConstraints(pattern=r"^[\w.:/=+@-]{1,63}$")]
TagValues = Annotated[tuple[TagValue, ...], BeforeValidator(_split), Field(max_length=20)]


class Settings(BaseModel):
    """Settings of one operator process; durations are in seconds of the operator's own clock."""

    model_config = ConfigDict(use_attribute_docstrings=True, frozen=True, validate_default=True)

    config_dir: str = ""
    """Directory where a ConfigMap with settings is mounted. Empty: none."""
    config_parameters: str = ""
    """Path of SSM parameters with settings, in the operator's Region. Empty: none."""
    hub: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$")] = (
        "leeward"
    )
    """Identity of this hub; stays the same when the hub is rebuilt. It is part of every AWS tag,
    client token and external id."""
    schedules: Literal["On", "Off"] = "On"
    """Off: no DRSchedule starts drills in this hub, because it stands by with the same objects for
    another hub, in which they do."""
    base_region: str = ""
    """Region whose STS gives role sessions: the one in which the operator runs, never the one
    that may be failing."""
    region_pairs: str = ""
    """Pairs of Regions between which plans may move, as `us-east-1:us-east-2,eu-west-1:eu-west-2`
    (primary, recovery). Empty: any two."""
    namespace: str = "leeward-system"
    """Namespace of the operator, where its Lease is."""
    service_account: str = "leeward"
    """ServiceAccount of the operator in that namespace: the admission policies name it."""
    pod_name: str = "leeward"
    """Name of this pod."""
    pod_uid: str = ""
    """Uid of this pod: a restarted container of the same pod takes its Lease up at once. Empty:
    a random identity for each process."""
    guard: Literal["Required", "Off"] = "Required"
    """Required: approvals count only while the admission policies are proved to be in force."""
    lease_duration: Annotated[float, Field(ge=3, le=300)] = 15.0
    """How long a leader that says nothing is believed to lead."""
    poll_interval: Seconds = 15.0
    """How often AWS is asked while it works on something."""
    settle: Seconds = 120.0
    """How long AWS may take to show what it was asked for; longer than the time-outs of one call
    (5 s to connect, 60 s to read) and AWS's read-after-write delay together."""
    retry_backoff: Seconds = 5.0
    """Pause after a passing AWS error, doubled each time."""
    retry_attempts: Annotated[int, Field(ge=1, le=20)] = 5
    """How often one batch is sent when AWS refuses it with a passing error."""
    resync_interval: Seconds = 20.0
    """How often all objects are listed, to catch what a watch missed."""
    extra_priorities: TagValues = ()
    """Values of the tag `dr:priority` beside critical, high, medium and low; less urgent than
    those. Comma-separated."""
    extra_strategies: TagValues = ()
    """Values of the tag `dr:recovery-strategy` beside drs, eks-dns, sql-ag and managed-service.
    Comma-separated."""
    aws_threads: Annotated[int, Field(ge=1, le=128)] = 32
    """Threads that call AWS."""
    check_allowed_networks: Annotated[str, AfterValidator(_networks)] = ""
    """Networks, as CIDRs with commas, that checks of plans may connect to although they are
    refused otherwise: loopback, link-local, reserved."""
    check_denied_networks: Annotated[str, AfterValidator(_networks)] = ""
    """Networks, as CIDRs with commas, that checks of plans may not connect to: those of the
    cluster's pods and services."""
    cloudwatch_namespace: CloudWatchNamespace = ""
    """CloudWatch namespace that metrics of executions are put into, in the operator's Region.
    Empty: none are."""
    tracing: Literal["Off", "Otlp"] = "Off"
    """Otlp: traces of executions go to the collector that the variables `OTEL_EXPORTER_OTLP_*`
    name. Needs the extra `leeward[tracing]`, which the image has."""
    health_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port of /healthz, /readyz and /metrics; 0: none."""
    health_address: str = "0.0.0.0"
    """Address of /healthz, /readyz and /metrics."""
    log_format: Literal["json", "text"] = "json"
    """How log lines look: JSON objects for machines, or text for people."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Which log lines are written."""

    @field_validator("base_region")
    @classmethod
    def _region_is_given(cls, value: str) -> str:
        if not value:
            raise ValueError("set LEEWARD_BASE_REGION (or AWS_REGION) to the operator's Region")
        return value

    @field_validator("tracing")
    @classmethod
    def _tracing_is_installed(cls, value: str) -> str:
        if value != "Off" and not _installed("opentelemetry.exporter.otlp.proto.http"):
            raise ValueError(
                "OpenTelemetry is not installed: pip install 'leeward[tracing]', or set it to Off"
            )
        return value

    @field_validator("region_pairs")
    @classmethod
    def _pairs_are_pairs(cls, value: str) -> str:
        parse(value)
        return value

    @property
    def allowed_pairs(self) -> Pairs:
        """`region_pairs`, read."""
        return parse(self.region_pairs)

    @property
    def operator_user(self) -> str:
        """The operator's own user name at the API server."""
        return f"system:serviceaccount:{self.namespace}:{self.service_account}"

    def seconds(self, name: str) -> timedelta:
        """The duration setting `name` as a timedelta."""
        return timedelta(seconds=getattr(self, name))
