"""CloudFormation templates of roles: their parts, and how they are written. Pure: no calls.

Optional statements are policies of their own with a condition, and optional conditions become
`AWS::NoValue`, which CloudFormation leaves out. Source: CloudFormation's template reference.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

from leeward_adapters.iam_policy import Document, Statement

ROLE_ARN: Final = r"^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}$"
NO_VALUE: Final = {"Ref": "AWS::NoValue"}
_HEADER: Final = (
    "# Made by `leeward iam templates --write` from what the adapters declare; not edited.\n"
)


def text_parameter(description: str, **more: Any) -> Document:
    """A parameter of type String."""
    return {"Type": "String", "Description": description, **more}


def list_parameter(description: str, **more: Any) -> Document:
    """A parameter that takes several texts with commas between."""
    return {"Type": "CommaDelimitedList", "Description": description, **more}


ORGANIZATION: Final = text_parameter(
    "Organization of the accounts, o-…; empty: no condition on it",
    Default="",
    AllowedPattern=r"^(o-[a-z0-9]{10,32})?$",
)


def given(parameter: str) -> Document:
    """A condition: the text is not empty."""
    return {"Fn::Not": [{"Fn::Equals": [{"Ref": parameter}, ""]}]}


def list_given(parameter: str) -> Document:
    """A condition: the list is not empty."""
    return {"Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", {"Ref": parameter}]}, ""]}]}


def allow(actions: list[str], resource: Any, condition: Document | None = None) -> Statement:
    """A statement of a policy."""
    statement: Statement = {"Effect": "Allow", "Action": actions, "Resource": resource}
    return statement | ({"Condition": condition} if condition else {})


def document(statements: list[Statement]) -> Document:
    """A policy."""
    return {"Version": "2012-10-17", "Statement": statements}


class _Dumper(yaml.SafeDumper):
    """Writes shared parts out, and texts of several lines as blocks."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _block)


def text(template: Document) -> str:
    """The template as YAML, with a word on where it comes from."""
    return _HEADER + yaml.dump(
        template, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True
    )
