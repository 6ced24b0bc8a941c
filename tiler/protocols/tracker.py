"""The protocol that trackers implement."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

RunStatus = Literal["finished", "failed", "killed"]
"""How a run ended: all well, with something missing, or interrupted."""


class Tracker(Protocol):
    """Tells a tracking system of one run: a whole sweep, a job of one, or a run by itself.

    It may raise what it likes: that is said once and costs the run nothing.
    """

    def start(self, name: str, parameters: Mapping[str, str], parent: str | None) -> str:
        """Begin.

        Parameters
        ----------
        name
            For people; not unique.
        parameters
            The configuration, flattened to dotted keys.
        parent
            What ``start`` gave back for the sweep that the run is a job of; None for others.

        Returns
        -------
        str
            The run's id, handed to the jobs of a sweep as their parent.
        """

    def step(self, number: int, metrics: Mapping[str, float]) -> None:
        """Take the run's numbers so far, after ``number`` slides."""

    def end(
        self, status: RunStatus, metrics: Mapping[str, float], files: Mapping[str, Path]
    ) -> None:
        """Take the last numbers, and files worth keeping, by their names in the run's folder."""
