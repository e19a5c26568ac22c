"""SSM Parameter Store: plain texts below a path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from leeward_adapters.attribution import asking
from leeward_adapters.base import Scope

PERMISSIONS: Final = frozenset({"ssm:GetParametersByPath"})
"""IAM actions of `below`."""


@asking("settings")
def below(scope: Scope, path: str) -> Mapping[str, str]:
    """Values of the parameters of type String right below `path`, by full name.

    Others (SecureString, StringList) are left out: settings are no secrets, and no lists.
    """
    pages = scope.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=path)
    return {
        parameter["Name"]: parameter["Value"]
        for page in pages
        for parameter in page.get("Parameters", [])
        if parameter["Type"] == "String"
    }
