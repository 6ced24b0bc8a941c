"""The protocol that trackers implement."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

RunStatus = Literal["finished", "failed", "killed"]
"""The end of a run: complete, incomplete or interrupted."""


class Tracker(Protocol):
    """Report one run to a tracking system: a whole sweep, a job of one, or a single run.

    Any exception is reported once and does not affect the run.
    """

    def start(self, name: str, parameters: Mapping[str, str], parent: str | None) -> str:
        """Start a run.

        Parameters
        ----------
        name
            A display name; it may not be unique.
        parameters
            The configuration, flattened to dotted keys.
        parent
            The result of ``start`` for the sweep that the run is a job of; None for others.

        Returns
        -------
        str
            The run's id, handed to the jobs of a sweep as their parent.
        """

    def step(self, number: int, metrics: Mapping[str, float]) -> None:
        """Record the run's numbers so far, after ``number`` slides."""

    def end(
        self, status: RunStatus, metrics: Mapping[str, float], files: Mapping[str, Path]
    ) -> None:
        """Record the last numbers, and the files to keep, by their names in the run's folder."""
