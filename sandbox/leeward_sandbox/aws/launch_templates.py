"""EC2's launch template versions where moto falls short: client tokens, and long listings.

moto takes no notice of a ClientToken, so a call that a client repeats, because its answer was lost,
would make a second version.
https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html

moto cuts the listing of a whole account off at MaxResults and gives no token for the rest, so one
with more templates than a page holds would look smaller than it is.
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeLaunchTemplateVersions.html
"""

from __future__ import annotations

from typing import Any, ClassVar

from leeward_sandbox.aws.backend import AwsError, Call, World

_PAGE = 200


class LaunchTemplateVersions:
    """Answers DescribeLaunchTemplateVersions without a template, and repeated creations.

    Args:
        world: where moto's state is.
    """

    service: ClassVar[str] = "ec2"
    operations: ClassVar[frozenset[str] | None] = frozenset(
        {"CreateLaunchTemplateVersion", "DescribeLaunchTemplateVersions"}
    )
    answers: ClassVar[frozenset[str]] = frozenset({"CreateLaunchTemplateVersion"})

    def __init__(self, world: World) -> None:
        self._world = world
        self._created: dict[tuple[str, str, str], tuple[dict[str, Any], dict[str, Any]]] = {}
        """By account, Region and client token: what was asked, and what was answered."""

    def before(self, call: Call) -> dict[str, Any] | None:
        """Answer a creation as before, or with a page of $Latest and $Default of every template.

        Raises:
            AwsError: the client token is another request's, the page is larger than EC2 allows,
                or its token is none of ours.
        """
        if call.operation == "CreateLaunchTemplateVersion":
            return self._repeated(call)
        return self._page(call)

    def after(self, call: Call, result: dict[str, Any]) -> dict[str, Any]:
        """Keep the answer to a creation, for when it is asked again."""
        if "ClientToken" in call.params:
            self._created[_request(call)] = (call.params, result)
        return result

    def _repeated(self, call: Call) -> dict[str, Any] | None:
        if "ClientToken" not in call.params or _request(call) not in self._created:
            return None
        asked, answered = self._created[_request(call)]
        if asked != call.params:
            raise AwsError(
                "IdempotentParameterMismatch",
                f"The client token {call.params['ClientToken']} was used with other parameters in"
                f" account {call.account}, Region {call.region}",
            )
        return answered

    def _page(self, call: Call) -> dict[str, Any] | None:
        wanted = call.params.get("Versions", [])
        if {"LaunchTemplateId", "LaunchTemplateName"} & call.params.keys() or not set(wanted) <= {
            "$Latest",
            "$Default",
        }:
            return None
        size = call.params.get("MaxResults", _PAGE)
        token = call.params.get("NextToken", "0")
        if not 1 <= size <= _PAGE or not token.isdecimal():
            raise AwsError(
                "InvalidParameterValue", f"MaxResults {size} is not 1 to {_PAGE}, or bad NextToken"
            )
        found = self._versions(call, wanted)
        start = int(token)
        page: dict[str, Any] = {"LaunchTemplateVersions": found[start : start + size]}
        more = start + size < len(found)
        return page | {"NextToken": str(start + size)} if more else page

    def _versions(self, call: Call, wanted: list[str]) -> list[dict[str, Any]]:
        ec2 = self._world.moto("ec2", call.account, call.region)
        return [
            _described(template, template.get_version(name))
            for template in ec2.launch_templates.values()
            for name in wanted
        ]


def _request(call: Call) -> tuple[str, str, str]:
    return call.account, call.region, call.params["ClientToken"]


def _described(template: Any, version: Any) -> dict[str, Any]:
    known = {
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "VersionNumber": version.number,
        "VersionDescription": version.description,
        "CreateTime": version.create_time,
        "DefaultVersion": template.is_default(version),
        "LaunchTemplateData": version.data,
    }
    return {key: value for key, value in known.items() if value is not None}
