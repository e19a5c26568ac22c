"""Which service and operation of botocore's models a request means."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import UnknownServiceError
from moto.core.model import OperationModel, ServiceModel
from moto.core.request import determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model
from werkzeug.exceptions import NotFound

from leeward_sandbox.aws.backend import AwsError
from leeward_sandbox.aws.wire import HttpRequest

# Signing names that are not the name of botocore's service, or that several services share;
# of several, the first whose operations contain the request is meant (botocore 1.44.5).
_SIGNED_AS: dict[str, tuple[str, ...]] = {
    "airflow": ("mwaa",),
    "aoss": ("opensearchserverless",),
    "apigateway": ("apigateway", "apigatewayv2"),
    "appconfig": ("appconfig", "appconfigdata"),
    "aps": ("amp",),
    "bedrock": ("bedrock", "bedrock-runtime", "bedrock-agent"),
    "dynamodb": ("dynamodb", "dynamodbstreams"),
    "elasticfilesystem": ("efs",),
    "elasticloadbalancing": ("elbv2", "elb"),
    "elasticmapreduce": ("emr",),
    "es": ("opensearch", "es"),
    "iotdata": ("iot-data",),
    "kinesisanalytics": ("kinesisanalyticsv2", "kinesisanalytics"),
    "mobiletargeting": ("pinpoint",),
    "monitoring": ("cloudwatch",),
    "rds": ("rds", "neptune", "docdb"),
    "s3": ("s3control", "s3"),
    "servicequotas": ("service-quotas",),
    "servicecatalog": ("servicecatalog", "servicecatalog-appregistry"),
    "ses": ("sesv2", "ses"),
    "sso": ("sso-admin",),
    "states": ("stepfunctions",),
    "tagging": ("resourcegroupstaggingapi",),
    "timestream": ("timestream-write", "timestream-query"),
}
# S3 Control shares S3's signing name; its paths all begin with its API version.
_S3_CONTROL_PATH = "/v20180820/"


@dataclass(frozen=True)
class Operation:
    """An operation of botocore's model, and how this request speaks to it.

    Attributes:
        service: botocore's service name.
        model: the operation's model.
        protocol: the request's wire protocol ("query", "ec2", "json", "rest-json", "rest-xml").
        uri_params: the path's labels, decoded.
    """

    service: str
    model: OperationModel
    protocol: str
    uri_params: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """botocore's operation name."""
        return str(self.model.name)


def service_model(signing_name: str) -> tuple[str, ServiceModel]:
    """The first service signed under that name, for errors that come before the operation.

    Raises:
        AwsError: botocore knows no such service.
    """
    name = _candidates(signing_name)[-1 if signing_name == "s3" else 0]
    try:
        return name, get_service_model(name)
    except UnknownServiceError as error:
        raise AwsError(
            "UnknownService",
            f"The credential scope names service {signing_name!r}, which botocore does not know",
            status=404,
        ) from error


def identify(request: HttpRequest, signing_name: str) -> Operation:
    """The operation that `request`, signed for `signing_name`, means.

    Raises:
        AwsError: botocore knows no such service, or the service no such operation.
    """
    service_model(signing_name)
    for service in _candidates(signing_name):
        operation = _match(request, service)
        if operation is not None:
            return operation
    raise AwsError(
        "UnknownOperationException",
        f"No operation of {signing_name} matches {request.method} {request.path}"
        f" (X-Amz-Target: {request.header('x-amz-target') or '-'})",
        status=404,
    )


def _candidates(signing_name: str) -> tuple[str, ...]:
    return _SIGNED_AS.get(signing_name, (signing_name,))


def _match(request: HttpRequest, service: str) -> Operation | None:
    if service == "s3control" and not request.path.startswith(_S3_CONTROL_PATH):
        return None
    model = get_service_model(service)
    normalised = request.normalised
    try:
        protocol = determine_request_protocol(model, normalised.content_type)
        operation, uri_params = get_service_router(service).match(normalised)
    except (NotFound, NotImplementedError):
        return None
    version = normalised.values.get("Version") if protocol in ("query", "ec2") else None
    if version is not None and version != model.api_version:
        return None
    return Operation(service, operation, protocol, uri_params)
