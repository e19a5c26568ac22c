"""What the gateway and the sandbox's own AWS backends agree on.

A backend answers whole services that moto lacks (`drs`, `resource-explorer-2`), or single
operations for which moto's answer comes too early. It sees parsed and validated requests and
returns plain members by botocore's names; wire formats are the gateway's business.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

from moto.backends import get_backend

from leeward_sandbox.aws import moto_images
from leeward_sandbox.aws.clock import Clock


@dataclass(frozen=True, slots=True)
class Call:
    """One request to AWS, parsed against botocore's model and found valid.

    Attributes:
        service: botocore's service name ("drs").
        operation: botocore's operation name ("StartRecovery").
        account: the 12-digit account that the caller acts in.
        region: the Region of the request's credential scope.
        params: the request's members by botocore's names; timestamps as aware datetimes,
            blobs as bytes.
        principal: the caller's ARN.
        now: the virtual time of this call, aware, UTC.
    """

    service: str
    operation: str
    account: str
    region: str
    params: dict[str, Any]
    principal: str
    now: datetime


class AwsError(Exception):
    """An error that the gateway answers in the wire form of the service's protocol.

    Args:
        code: AWS's error code ("ConflictException").
        message: the text the client sees.
        status: the HTTP status.
        **members: further members of the error shape (``resourceId``, ``reason``, ``code``, …).
    """

    def __init__(self, code: str, message: str, /, *, status: int = 400, **members: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.members = members


@runtime_checkable
class Backend(Protocol):
    """Answers a whole AWS service, or some of its operations.

    Attributes:
        service: botocore's service name.
        operations: the operations that are this backend's, the rest going to moto; None means
            that the whole service is ours and what is not implemented is an AwsError.
    """

    service: ClassVar[str]
    operations: ClassVar[frozenset[str] | None]

    def handle(self, call: Call) -> dict[str, Any]:
        """Do the call and return the response's members by botocore's names.

        The gateway holds `World.lock` meanwhile, so backends see one call at a time.

        Raises:
            AwsError: the call is refused, as AWS would.
        """


@runtime_checkable
class Overlay(Protocol):
    """Stands around moto for some operations of a service: moto's state, AWS's timing.

    Attributes:
        service: botocore's service name.
        operations: the operations for which `before` is called; None means all of the service.
        answers: those for which `after` is called too.
    """

    service: ClassVar[str]
    operations: ClassVar[frozenset[str] | None]
    answers: ClassVar[frozenset[str]]

    def before(self, call: Call) -> dict[str, Any] | None:
        """Bring moto's state up to the virtual time; a dict answers in moto's place.

        Raises:
            AwsError: the call is refused and moto does not see it.
        """

    def after(self, call: Call, result: dict[str, Any]) -> dict[str, Any]:
        """See moto's successful response, by botocore's names, and return what the client gets."""


@runtime_checkable
class Controllable(Protocol):
    """A backend whose state the control API may change (``POST /_leeward/<service>``)."""

    def control(self, body: dict[str, Any]) -> dict[str, Any]:
        """Apply `body` and return a JSON object; ValueError or KeyError says what is wrong."""


@runtime_checkable
class Settling(Protocol):
    """A backend in which things happen by themselves as the virtual clock goes on."""

    def settle(self, now: datetime) -> None:
        """Let happen what is due at `now`; the gateway calls it before every effect in AWS."""


class World:
    """What the backends share; constructed once per sandbox.

    Moto keeps its state per process, so two worlds in one process share it: they stay apart only
    by their accounts.

    Args:
        clock: the virtual clock.
        seed: seed for everything that is drawn at random (durations, identifiers), so that two
            sandboxes with one seed behave alike.

    Attributes:
        lock: held for every effect (backends, moto, seeding): moto's state is not made for
            concurrent use, and a backend may change moto's state in the middle of a call.
    """

    def __init__(self, clock: Clock, seed: int = 0) -> None:
        self.clock = clock
        self.seed = seed
        self.lock = threading.RLock()
        moto_images.install()

    def moto(self, service: str, account: str, region: str) -> Any:
        """Moto's backend object that holds the state of `service` there.

        Args:
            service: moto's name of the service ("ec2", "route53", "servicequotas", …).
            account: the 12-digit account.
            region: the Region; services without Regions (IAM, Route 53, S3, …) ignore it.
        """
        # moto types its services as one Literal; an unknown name raises KeyError here.
        by_region = get_backend(cast(Any, service))[account]
        for name in (region, "aws"):
            if name in by_region:
                return by_region[name]
        raise LookupError(f"moto has no {service} in Region {region}")
