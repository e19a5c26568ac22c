"""Responses and errors in the wire form of a service's protocol, and back.

The forms are those of https://smithy.io/2.0/aws/protocols/ for query, ec2, json, rest-json and
rest-xml; errors carry AWS's code where botocore's parsers look for it.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from xml.sax.saxutils import escape

from botocore.parsers import create_parser
from moto.core.model import ServiceModel
from moto.core.serialize import SerializationContext, get_serializer_class

from leeward_sandbox.aws.backend import AwsError
from leeward_sandbox.aws.routing import Operation
from leeward_sandbox.aws.wire import Headers, HttpResponse


def serialise(operation: Operation, result: dict[str, Any], request_id: str) -> HttpResponse:
    """The successful response of `operation`, with the status that the model gives it.

    Args:
        operation: what was called.
        result: the output's members by botocore's names; timestamps as aware datetimes.
        request_id: the id that the client is to see.
    """
    serializer = get_serializer_class(operation.service, operation.protocol)(
        operation.model, context=SerializationContext(request_id)
    )
    answer = serializer.serialize(result)
    body = answer["body"]
    headers = tuple((name, str(value)) for name, value in answer["headers"].items())
    return HttpResponse(
        int(answer["status_code"]),
        (*headers, ("x-amzn-RequestId", request_id)),
        body.encode() if isinstance(body, str) else body,
    )


def members_of(operation: Operation, response: HttpResponse) -> dict[str, Any]:
    """A successful response's members by botocore's names (what boto3 would return)."""
    parsed = _read(operation, response)
    parsed.pop("ResponseMetadata", None)
    return parsed


def error_of(operation: Operation, response: HttpResponse) -> dict[str, Any]:
    """The ``Code`` and ``Message`` that boto3 would read from an error response."""
    error: dict[str, Any] = _read(operation, response).get("Error", {})
    return error


def _read(operation: Operation, response: HttpResponse) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in response.headers}
    parser: Any = create_parser(operation.protocol)
    parsed: dict[str, Any] = parser.parse(
        {"headers": headers, "status_code": response.status, "body": response.body},
        operation.model.output_shape,
    )
    return parsed


def error_response(
    error: AwsError, service: ServiceModel, protocol: str, request_id: str
) -> HttpResponse:
    """`error` as the service would answer it.

    A member ``code`` that the service's error shape has (DRS) is filled with the error's code.
    """
    if protocol in ("json", "rest-json"):
        return _json_error(error, service, protocol, request_id)
    fault = "Sender" if error.status < 500 else "Receiver"
    details = "".join(f"<{k}>{escape(str(v))}</{k}>" for k, v in error.members.items())
    core = f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>{details}"
    if service.service_name == "s3":
        text = f"<Error>{core}<RequestId>{request_id}</RequestId></Error>"
    elif protocol == "ec2":
        text = (
            f"<Response><Errors><Error>{core}</Error></Errors>"
            f"<RequestID>{request_id}</RequestID></Response>"
        )
    else:
        namespace = service.metadata.get("xmlNamespace", "")
        uri = namespace.get("uri", "") if isinstance(namespace, dict) else namespace
        xmlns = f' xmlns="{escape(str(uri))}"' if uri else ""
        text = (
            f"<ErrorResponse{xmlns}><Error><Type>{fault}</Type>{core}</Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        )
    headers: Headers = (("Content-Type", "text/xml"), ("x-amzn-RequestId", request_id))
    return HttpResponse(error.status, headers, f'<?xml version="1.0"?>{text}'.encode())


def _json_error(
    error: AwsError, service: ServiceModel, protocol: str, request_id: str
) -> HttpResponse:
    shapes: list[Any] = [one for one in service.error_shapes if one.name == error.code]
    body: dict[str, Any] = {"message": error.message}
    if shapes and "code" in shapes[0].members:
        body["code"] = error.code
    body.update(error.members)
    headers = [("x-amzn-ErrorType", error.code), ("x-amzn-RequestId", request_id)]
    if protocol == "json":
        body["__type"] = error.code
        version = service.metadata.get("jsonVersion", "1.0")
        headers.append(("Content-Type", f"application/x-amz-json-{version}"))
    else:
        headers.append(("Content-Type", "application/json"))
    if "awsQueryCompatible" in service.metadata:
        fault = "Sender" if error.status < 500 else "Receiver"
        headers.append(("x-amzn-query-error", f"{error.code};{fault}"))
    return HttpResponse(error.status, tuple(headers), json.dumps(body, default=_plain).encode())


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"{type(value).__name__} cannot be a member of an AWS error")
