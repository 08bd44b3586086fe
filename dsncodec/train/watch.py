"""Who watches a run between the lines of its log: the command's bar."""

from __future__ import annotations

from typing import Protocol


class Watch(Protocol):
    """It is told of each step, and draws when it likes."""

    def part(self, share: float, what: str) -> None:
        """So much is done, 0..1."""

    def clear(self) -> None:
        """Something else is to be printed."""
