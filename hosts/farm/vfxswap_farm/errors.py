"""What somebody is told when a job cannot be handed to a farm."""

from __future__ import annotations


class FarmError(Exception):
    """A problem in one line: what was got, and what to do.

    Args:
        message: what is wrong.
        hint: what to do about it.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message
