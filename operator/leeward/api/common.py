"""What all models of the API share: naming, limits, and the marks that the CRD generator reads.

Every string, list and map of the API has a maximum, because the API server estimates the cost
of validation rules from them and because one object must stay far below etcd's limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

GROUP = "leeward.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
PREFIX = f"{GROUP}/"  # of our annotations, labels and finalizers
FINALIZER = f"{GROUP}/run"
BASE_REGION = f"{GROUP}/base-region"  # annotation of the Lease: whose STS gives role sessions
OPERATOR_USER = "system:serviceaccount:leeward-system:leeward"
"""The operator's user name at the API server, where an installation does not name it otherwise."""


class Model(BaseModel):
    """Base of all models: camelCase on the wire, frozen, unknown fields ignored when read.

    Unknown fields are ignored because an object may have been stored by a newer version; what
    people write is checked by the API server against the generated schema.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    def to_api(self) -> dict[str, Any]:
        """The object as the API server stores it: camelCase, JSON types, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


Name = Annotated[
    str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
]
"""A DNS label (RFC 1123)."""
ShortName = Annotated[
    str, StringConstraints(min_length=1, max_length=24, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
]
"""A DNS label short enough to be part of a task's name."""
GateName = Annotated[
    str, StringConstraints(min_length=1, max_length=40, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
]
"""A DNS label of at most 40 characters, so that it fits into an annotation's key."""
AccountId = Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$", max_length=12)]
Region = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$", max_length=25)]
RoleArn = Annotated[
    str,
    StringConstraints(pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+$", max_length=512),
]
Duration = Annotated[
    str, StringConstraints(pattern=r"^([0-9]+(\.[0-9]+)?(h|m|s|ms))+$", max_length=32)
]
"""A Go duration such as `30m` or `1h30m`."""
CountOrPercent = Annotated[int | str, Field(json_schema_extra={"x-kubernetes-int-or-string": True})]
"""A whole number, or a percentage such as `95%`."""
Text = Annotated[str, StringConstraints(max_length=1024)]
Line = Annotated[str, StringConstraints(max_length=256)]
ResourceId = Annotated[str, StringConstraints(min_length=1, max_length=1011)]
"""An id as the technology's API wants it, or an ARN (1,011 is AWS's longest)."""
TagKey = Annotated[str, StringConstraints(min_length=1, max_length=128)]
TagValue = Annotated[str, StringConstraints(max_length=256)]
Time = Annotated[
    str, StringConstraints(max_length=40), Field(json_schema_extra={"format": "date-time"})
]
"""RFC 3339, UTC."""

RecoveryPhase = Literal["Fence", "Instantiate", "Activate", "Replicate", "Cleanup"]
"""A phase of recovery. Each operation has its own sequence of them."""
Operation = Literal["Failover", "Reprotect", "Failback", "Test", "Cleanup"]
Mode = Literal["Planned", "Unplanned"]
OnTrouble = Literal["Hold", "Fail", "SkipWave"]


def listmap(*keys: str) -> dict[str, Any]:
    """Mark a list as a map with these keys (server-side apply merges by them)."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def listset() -> dict[str, Any]:
    """Mark a list as a set: each value once, merged value by value."""
    return {"x-kubernetes-list-type": "set"}


def atomic() -> dict[str, Any]:
    """Mark a list or map as one value, so that managedFields does not list each entry."""
    return {"x-leeward-atomic": True}


def later(what: str) -> dict[str, Any]:
    """Mark a field that has a place in the API but no behaviour yet: writing it is refused.

    `what` completes the sentence "… is not supported by this version of Leeward: WHAT".
    """
    return {"x-leeward-later": what}


def later_values(**values: str) -> dict[str, Any]:
    """Mark enum values that have no behaviour yet; the keys are the values."""
    return {"x-leeward-later-values": values}


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """CEL rules (expression, message) for the schema of a field or, in a model's config, of it."""
    return {"x-kubernetes-validations": [{"rule": r, "message": m} for r, m in pairs]}


class Ref(Model):
    """A reference by name, in the same namespace where the kind has one."""

    name: Name
    """Name of the object referred to."""


class Condition(Model):
    """A condition, as metav1.Condition."""

    type: Annotated[str, StringConstraints(max_length=63)]
    """CamelCase name of the condition."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    """CamelCase word for why, for programs."""
    message: Annotated[str, StringConstraints(max_length=4096)] = ""
    """Why, for people."""
    last_transition_time: Time
    """When `status` last changed."""
    observed_generation: int | None = None
    """Generation of the spec that this speaks of."""


Conditions = Annotated[list[Condition], Field(max_length=16, json_schema_extra=listmap("type"))]


class ObjectMeta(Model):
    """The part of an object's metadata that Leeward reads."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: list[str] = []


class Resource(Model):
    """Base of the kinds: what every object has beside its spec and status."""

    INITIAL: ClassVar[Mapping[str, str | int]] = {"observedGeneration": -1}
    """What the API server shows as the status of an object that has none yet. Its generation was
    not observed, so that whoever waits by kstatus (Helm, Flux) does not take it for done."""

    api_version: str = API_VERSION
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()
