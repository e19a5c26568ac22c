"""What a check of a dependency gets and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from leeward_adapters.dependencies.addresses import Addresses


@dataclass(frozen=True, slots=True)
class Dependency:
    """Something that must work, as the plan names it."""

    type: str
    target: str
    """An id, a name, an ARN, a URL or host:port, as the type wants it."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    primary_region: str = ""
    addresses: Addresses = field(default_factory=Addresses)
    """Which addresses may be connected to."""

    def number(self, name: str, default: int, most: int) -> int:
        """A parameter that is a whole number from 1 to `most`.

        Raises:
            ValueError: it is not.
        """
        text = self.parameters.get(name, str(default))
        if not text.isdecimal() or not 1 <= int(text) <= most:
            raise ValueError(f"parameter {name} is '{text}', and must be a number, 1 to {most}")
        return int(text)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check says."""

    holds: bool
    message: str
    """What was seen, where; of what does not hold, what to do now."""
