"""No tracking."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tiler.protocols import RunStatus


class NoTracker:
    """A tracker that records nothing."""

    def start(self, name: str, parameters: Mapping[str, str], parent: str | None) -> str:
        """Return no id: nothing is recorded."""
        return ""

    def step(self, number: int, metrics: Mapping[str, float]) -> None:
        """Do nothing."""

    def end(
        self, status: RunStatus, metrics: Mapping[str, float], files: Mapping[str, Path]
    ) -> None:
        """Do nothing."""
