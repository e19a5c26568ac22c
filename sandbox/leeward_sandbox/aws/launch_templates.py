"""EC2's listing of the launch template versions of a whole account, page by page.

moto cuts the listing off at MaxResults and gives no token for the rest, so an account with more
templates than one page holds would look smaller than it is.
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeLaunchTemplateVersions.html
"""

from __future__ import annotations

from typing import Any, ClassVar

from leeward_sandbox.aws.backend import AwsError, Call, World

_PAGE = 200


class LaunchTemplateVersions:
    """Answers DescribeLaunchTemplateVersions without a template; the rest is moto's.

    Args:
        world: where moto's state is.
    """

    service: ClassVar[str] = "ec2"
    operations: ClassVar[frozenset[str] | None] = frozenset({"DescribeLaunchTemplateVersions"})
    answers: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, world: World) -> None:
        self._world = world

    def before(self, call: Call) -> dict[str, Any] | None:
        """Answer with one page of $Latest and $Default of every template.

        Raises:
            AwsError: the page is larger than EC2 allows, or the token is none of ours.
        """
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

    def after(self, call: Call, result: dict[str, Any]) -> dict[str, Any]:
        """Leave moto's answers about one template alone."""
        return result

    def _versions(self, call: Call, wanted: list[str]) -> list[dict[str, Any]]:
        ec2 = self._world.moto("ec2", call.account, call.region)
        return [
            _described(template, template.get_version(name))
            for template in ec2.launch_templates.values()
            for name in wanted
        ]


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
