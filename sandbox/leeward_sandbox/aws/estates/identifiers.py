"""Identifiers that follow from the estate's seed, so that an example plan can name them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from moto.moto_api._internal import mock_random

from leeward_sandbox.aws.drs.timing import generator


@contextmanager
def drawn_from(seed: int, *parts: object) -> Iterator[None]:
    """Make moto draw the identifiers of the block from `seed` and `parts` alone.

    Moto draws every identifier from one generator; its state is put back afterwards, so what
    the sandbox makes later does not depend on the estate.
    """
    before = mock_random.getstate()
    mock_random.seed(generator(seed, *parts).getrandbits(64))
    try:
        yield
    finally:
        mock_random.setstate(before)
