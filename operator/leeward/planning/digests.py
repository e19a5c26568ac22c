"""Digests of values, to say that something is what it was."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def digest(value: Any) -> str:
    """`sha256:<hex>` over the canonical JSON of `value`: sorted keys, no spaces, UTF-8.

    Raises:
        TypeError: the value holds what JSON cannot say.
        ValueError: it holds NaN or an infinity.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
