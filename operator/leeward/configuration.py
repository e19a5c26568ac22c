"""Where the operator's settings come from: environment, ConfigMap, SSM parameters, defaults.

In that order, setting by setting. A ConfigMap is read from the directory where it is mounted, one
file for each key; parameters from below a path. Keys are the settings' names, in lower case with
`_` or `-`. Everything is checked before the operator starts, and every error is said at once, with
where the value came from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from leeward.settings import Settings

PREFIX: Final = "LEEWARD_"
ALIASES: Final = {"base_region": "AWS_REGION"}
"""Settings that another variable gives, too."""
ENVIRONMENT_ONLY: Final = frozenset({"config_dir", "config_parameters", "pod_name", "pod_uid"})
"""They say where the rest is, or differ from pod to pod."""

Values = dict[str, tuple[str, str]]
"""By name of the setting: the text, and where it came from."""
Parameters = Callable[[str, str], Mapping[str, str]]
"""Region and path: the values of all SSM parameters below, by full name."""


class ConfigurationError(Exception):
    """The settings are not valid; one line for each error."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


def load(environment: Mapping[str, str], parameters: Parameters | None = None) -> Settings:
    """The settings, whole and checked.

    Args:
        environment: the process's variables.
        parameters: reads SSM parameters; the default asks AWS with the operator's credentials.

    Raises:
        ConfigurationError: all that is wrong, at once.
    """
    errors: list[str] = []
    own = _environment(environment)
    values = _directory(own.get("config_dir", ("", ""))[0], errors) | own
    path = own.get("config_parameters", ("", ""))[0]
    if path:
        values = _parameters(path, values, parameters or _from_ssm, errors) | values
    known: dict[str, Any] = {}
    for name, (text, source) in sorted(values.items()):
        if name not in Settings.model_fields:
            errors.append(f"{source}: there is no setting {name}")
        elif name in ENVIRONMENT_ONLY and name not in own:
            errors.append(f"{source}: {name} can only be set in the environment")
        else:
            known[name] = text
    try:
        settings = Settings.model_validate(known)
    except ValidationError as error:
        errors += [_line(one, values) for one in error.errors()]
    if errors:
        raise ConfigurationError(errors)
    return settings


def _environment(environment: Mapping[str, str]) -> Values:
    """Ours alone: other variables may begin with LEEWARD_, such as the sandbox's."""
    found: Values = {}
    for name in Settings.model_fields:
        for variable in (PREFIX + name.upper(), ALIASES.get(name, "")):
            if variable in environment and name not in found:
                found[name] = (environment[variable], f"variable {variable}")
    return found


def _directory(directory: str, errors: list[str]) -> Values:
    if not directory:
        return {}
    try:
        files = [f for f in Path(directory).iterdir() if f.is_file() and not f.name.startswith(".")]
        texts = [(f, f.read_text("utf-8").strip()) for f in files]
    except (OSError, UnicodeDecodeError) as error:
        errors.append(f"variable {PREFIX}CONFIG_DIR: {directory} cannot be read: {error}")
        return {}
    return {_name(file.name): (text, f"file {file}") for file, text in texts}


def _parameters(path: str, known: Values, read: Parameters, errors: list[str]) -> Values:
    region = known.get("base_region", ("", ""))[0]
    if not region:
        errors.append(
            f"variable {PREFIX}CONFIG_PARAMETERS: the Region of the parameters is not known before "
            f"{PREFIX}BASE_REGION (or AWS_REGION) is set"
        )
        return {}
    try:
        found = read(region, path)
    except OSError as error:
        errors.append(f"variable {PREFIX}CONFIG_PARAMETERS: {path} in {region}: {error}")
        return {}
    if not found:
        errors.append(
            f"variable {PREFIX}CONFIG_PARAMETERS: {region} has no parameters below {path}"
        )
    return {
        _name(name.rpartition("/")[2]): (text, f"SSM parameter {name} in {region}")
        for name, text in found.items()
    }


def _from_ssm(region: str, path: str) -> Mapping[str, str]:
    """SSM parameters of type String right below the path. Raises OSError with AWS's reason."""
    from botocore.exceptions import BotoCoreError, ClientError

    from leeward_adapters.aws import Account, Aws
    from leeward_adapters.ssm_parameters import below

    try:
        return below(Aws(region).scope(Account("own"), region), path)
    except (ClientError, BotoCoreError) as error:
        raise OSError(str(error)) from error


def _name(key: str) -> str:
    return key.lower().replace("-", "_").removeprefix(PREFIX.lower())


def _line(error: Any, values: Values) -> str:
    name = str(error["loc"][0]) if error["loc"] else "settings"
    text, source = values.get(name, ("", "not set"))
    message = str(error["msg"]).removeprefix("Value error, ")
    given = f", not {text!r}" if text else ""
    return f"{name} ({source}): {message}{given}"
