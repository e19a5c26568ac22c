"""The CloudFormation templates of roles that an installation starts from, as files."""

from __future__ import annotations

from leeward_adapters.iam_account_template import target_account_roles
from leeward_adapters.iam_operator_template import operator_role
from leeward_adapters.iam_template_parts import text


def render() -> dict[str, str]:
    """The templates as YAML, by name of the file."""
    return {
        "operator-role.yaml": text(operator_role()),
        "target-account-roles.yaml": text(target_account_roles()),
    }
