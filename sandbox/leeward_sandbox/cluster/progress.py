"""How long-running steps tell a person what they are doing."""

from typing import Protocol


class Progress(Protocol):
    """Takes one line for a person; the command line writes it to stderr."""

    def __call__(self, message: str, /) -> None:
        """Show `message`, without a line end."""


def quiet(_message: str, /) -> None:
    """Show nothing."""
