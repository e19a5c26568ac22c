"""What the estates have in common that serve a whole session of tests, each test with its part."""

from __future__ import annotations

from typing import Any, Final

TAGS: Final = {
    "Customer": "CustomerA", "Environment": "Production", "dr:enabled": "true",
    "dr:priority": "high", "dr:recovery-strategy": "drs",
}  # fmt: skip
"""Of every resource."""

DRS: Final[dict[str, Any]] = {
    # The jobs of all tests pile up, and each look at them would cost dozens of calls.
    "pages": {"jobs": 100, "sourceServers": 200, "recoveryInstances": 200},
    # Copies of minutes, not of hours.
    "syncMbitPerSecond": 20_000,
    "rescanMbitPerSecond": 20_000,
}


def network(second: int) -> dict[str, str]:
    """Networks of an account that no other with another number (below 56) overlaps."""
    return {
        "primaryCidr": f"10.{second}.0.0/16",
        "recoveryCidr": f"10.{100 + second}.0.0/16",
        "drillCidr": f"10.{200 + second}.0.0/16",
    }
