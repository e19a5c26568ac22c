"""The lists of DRS, followed to their end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

PAGE: Final = 1000
"""The DRS API names no maximum for a page, and says by its token where it gave less."""


def items(drs: Any, operation: str, *, size: int = PAGE, **request: Any) -> Iterator[Any]:
    """Every item of a list (`operation`), of which pages of `size` are asked for as it is read."""
    pages = drs.get_paginator(operation).paginate(**request, PaginationConfig={"PageSize": size})
    return (item for page in pages for item in page.get("items", []))
