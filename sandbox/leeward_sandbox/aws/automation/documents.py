"""What running a document does: its steps, how long each takes, and which fails."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from moto.ssm.exceptions import InvalidDocument
from pydantic import Field, ValidationError

from leeward_sandbox.aws.backend import AwsError, World
from leeward_sandbox.aws.drs.settings import Setting

SCRIPT: Final = "Sandbox"
"""Input of a step in which a document says how the sandbox runs it."""
WAITING: Final = frozenset({"aws:approve", "aws:pause"})
"""Actions that wait for a signal."""


class AutomationStep(Setting):
    """A step of a document.

    Attributes:
        name: the step's name.
        action: what the real step would do; nothing is done here.
        seconds: how long it takes, in virtual time; `aws:approve` and `aws:pause` take until
            they are signalled.
        failure: the message with which it fails; None: it succeeds.
        when: it fails only when these parameters have these values.
    """

    name: str = Field(min_length=1)
    action: str = Field(default="aws:executeScript", pattern=r"^aws:[a-zA-Z]{3,40}$")
    seconds: float = Field(default=1.0, ge=0)
    failure: str | None = None
    when: dict[str, str] = Field(default_factory=dict)


class AutomationDocument(Setting):
    """A document of type Automation.

    Attributes:
        name: its name, the same in both Regions.
        parameters: its parameters with their defaults; one of null must be given.
        steps: what running it does.
    """

    name: str = Field(pattern=r"^[a-zA-Z0-9_\-.]{3,128}$")
    parameters: dict[str, str | None] = Field(default_factory=dict)
    steps: list[AutomationStep] = Field(
        default_factory=lambda: [AutomationStep(name="run")], min_length=1
    )


@dataclass(frozen=True, slots=True)
class Runnable:
    """One version of a document, ready to be run."""

    name: str
    version: str
    parameters: dict[str, str | None]
    """Defaults by name; None: must be given."""
    steps: tuple[AutomationStep, ...]


def content(document: AutomationDocument) -> str:
    """The document as CreateDocument takes it (schema version 0.3, JSON)."""
    parameters = {
        name: {"type": "String"} | ({} if default is None else {"default": default})
        for name, default in document.parameters.items()
    }
    steps = [
        {
            "name": step.name,
            "action": step.action,
            "inputs": {SCRIPT: step.model_dump(exclude={"name", "action"}, exclude_defaults=True)},
        }
        for step in document.steps
    ]
    return json.dumps({"schemaVersion": "0.3", "parameters": parameters, "mainSteps": steps})


def runnable(world: World, account: str, region: str, name: str, version: str | None) -> Runnable:
    """The document of that name or ARN, in the version asked for or its default one.

    Raises:
        AwsError: AutomationDefinition(Version)NotFoundException.
    """
    plain = name.rpartition("/")[2]
    where = f"account {account}, Region {region}"
    documents = world.moto("ssm", account, region)._documents.get(plain)
    if documents is None or documents.get_default_version().document_type != "Automation":
        raise AwsError(
            "AutomationDefinitionNotFoundException",
            f"Automation document {name} does not exist ({where})",
        )
    wanted = None if version == "$DEFAULT" else version
    try:
        found = documents.find(wanted)
    except InvalidDocument as error:
        raise AwsError(
            "AutomationDefinitionVersionNotFoundException",
            f"Automation document {name} has no version {version} ({where})",
        ) from error
    stored: dict[str, Any] = found.content_json
    parameters = {n: p.get("default") for n, p in (stored.get("parameters") or {}).items()}
    return Runnable(plain, str(found.document_version), parameters, _steps(stored))


def _steps(stored: dict[str, Any]) -> tuple[AutomationStep, ...]:
    try:
        return tuple(
            AutomationStep(
                name=step["name"],
                action=step["action"],
                **(step.get("inputs") or {}).get(SCRIPT, {}),
            )
            for step in stored.get("mainSteps") or ()
        )
    except (KeyError, TypeError, ValidationError) as error:
        raise AwsError(
            "AutomationDefinitionNotFoundException",
            f"The sandbox cannot run the document's mainSteps: {error}",
        ) from error
