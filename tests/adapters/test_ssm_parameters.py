"""Settings from Parameter Store, read with the operator's own credentials."""

from __future__ import annotations

from typing import Any

import pytest

from leeward_adapters.aws import Account
from leeward_adapters.ssm_parameters import below

pytestmark = pytest.mark.aws

HUB = "999999999999"


def test_parameters_right_below_a_path_are_read_page_by_page(sandbox: Any) -> None:
    path = f"/leeward/{sandbox.account}"
    ssm = sandbox.client("ssm", account=HUB)
    wanted = {f"{path}/setting-{number:02}": str(number) for number in range(12)}
    for name, value in wanted.items():
        ssm.put_parameter(Name=name, Value=value, Type="String")
    ssm.put_parameter(Name=f"{path}/deeper/one", Value="not ours", Type="String")
    ssm.put_parameter(Name=f"{path}/secret", Value="not read", Type="SecureString")
    own = sandbox.aws.scope(Account("own"), "us-east-2")

    assert below(own, path) == wanted
    assert len(sandbox.calls("GetParametersByPath")) == 2
    assert below(own, f"{path}/nothing") == {}
