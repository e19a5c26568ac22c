"""Calls for many resources: what becomes of those that begin when one of them goes wrong."""

from __future__ import annotations

import threading

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from leeward_adapters.crew import Crew

LOST = ReadTimeoutError(endpoint_url="https://drs.us-east-2.amazonaws.com")
REFUSED = ClientError(
    {"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, "UpdateLaunchConfiguration"
)


@pytest.mark.parametrize("first", [LOST, REFUSED])
def test_of_several_errors_the_one_that_leaves_doubt_is_told(first: Exception) -> None:
    both = threading.Barrier(2, timeout=30)

    def call(error: Exception) -> None:
        both.wait()
        raise error

    errors = [first, REFUSED if first is LOST else LOST]
    with pytest.raises(ReadTimeoutError):
        Crew(helpers=2, at_once=2).each("here", call, errors)


def test_without_doubt_the_first_error_is_told() -> None:
    both = threading.Barrier(2, timeout=30)

    def call(error: Exception) -> None:
        both.wait()
        raise error

    with pytest.raises(LookupError):
        Crew(helpers=2, at_once=2).each("here", call, [LookupError("gone"), REFUSED])
