"""Settings from the environment, a ConfigMap and SSM parameters, all errors at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from leeward.configuration import ConfigurationError, load
from leeward.settings import Settings

REGION = {"AWS_REGION": "us-east-2"}


def never(region: str, path: str) -> Mapping[str, str]:
    raise AssertionError("SSM is asked though nobody said so")


def test_the_region_is_all_that_must_be_said() -> None:
    settings = load(REGION, never)

    assert settings == Settings(base_region="us-east-2")
    assert load({**REGION, "LEEWARD_BASE_REGION": "us-west-2"}, never).base_region == "us-west-2"


def test_the_environment_wins_over_the_config_map_and_that_over_parameters(tmp_path: Path) -> None:
    (tmp_path / "hub").write_text("of-the-map\n")
    (tmp_path / "poll-interval").write_text("20")
    (tmp_path / "..data").mkdir()
    asked = []

    def parameters(region: str, path: str) -> Mapping[str, str]:
        asked.append((region, path))
        return {f"{path}/hub": "x", f"{path}/poll_interval": "30", f"{path}/settle": "200"}

    environment = {
        **REGION,
        "LEEWARD_CONFIG_DIR": str(tmp_path),
        "LEEWARD_CONFIG_PARAMETERS": "/leeward/prod",
        "LEEWARD_HUB": "of-the-environment",
        "LEEWARD_SANDBOX_HOME": "/not/ours",
    }
    settings = load(environment, parameters)

    assert (settings.hub, settings.poll_interval, settings.settle) == (
        "of-the-environment",
        20,
        200,
    )
    assert asked == [("us-east-2", "/leeward/prod")]


def test_all_errors_are_said_at_once_with_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "pol-interval").write_text("20")
    (tmp_path / "aws_threads").write_text("many")
    (tmp_path / "pod_name").write_text("same-for-all")
    environment = {
        "LEEWARD_BASE_REGION": "us-east-2",
        "LEEWARD_CONFIG_DIR": str(tmp_path),
        "LEEWARD_CONFIG_PARAMETERS": "/leeward/prod",
        "LEEWARD_GUARD": "Maybe",
        "LEEWARD_REGION_PAIRS": "us-east-1",
    }
    with pytest.raises(ConfigurationError) as wrong:
        load(environment, lambda region, path: {f"{path}/hub": "NOT VALID"})

    said = "\n".join(wrong.value.errors)
    assert len(wrong.value.errors) == 6
    for part in (
        f"file {tmp_path}/pol-interval: there is no setting pol_interval",
        f"aws_threads (file {tmp_path}/aws_threads): Input should be a valid integer",
        "pod_name can only be set in the environment",
        "guard (variable LEEWARD_GUARD): Input should be 'Required' or 'Off', not 'Maybe'",
        "region_pairs (variable LEEWARD_REGION_PAIRS): 'us-east-1' is not a pair",
        "hub (SSM parameter /leeward/prod/hub in us-east-2): String should match",
    ):
        assert part in said


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "set LEEWARD_BASE_REGION (or AWS_REGION)"),
        ({**REGION, "LEEWARD_CONFIG_DIR": "/no/such"}, "/no/such cannot be read"),
        ({"LEEWARD_CONFIG_PARAMETERS": "/a"}, "the Region of the parameters is not known"),
        ({**REGION, "LEEWARD_CONFIG_PARAMETERS": "/a"}, "us-east-2 has no parameters below /a"),
    ],
)
def test_sources_that_give_nothing_are_errors(environment: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError) as wrong:
        load(environment, lambda region, path: {})

    assert said in str(wrong.value)


def test_a_parameter_store_that_refuses_is_an_error() -> None:
    def refuse(region: str, path: str) -> Mapping[str, str]:
        raise OSError("AccessDenied")

    with pytest.raises(ConfigurationError, match="/a in us-east-2: AccessDenied"):
        load({**REGION, "LEEWARD_CONFIG_PARAMETERS": "/a"}, refuse)
