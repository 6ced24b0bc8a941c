"""Protocols for products of a run: links to files of slides, and files about all slides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from tiler.protocols.exporter import Exporter
from tiler.written import WrittenFile


@dataclass(frozen=True)
class FinishedSlide:
    """A slide whose folder contains the output of this run's settings, as its record describes it.

    Attributes
    ----------
    slide_id, folder
        The slide's id and its folder.
    files
        The exporter's files that lie directly in the folder.
    folders
        The folders in the slide's folder that contain other files of the exporter.
    others
        The files of other exporters that lie directly in the folder.
    kept
        The number of tiles.
    requested
        The token of the requested resolution, such as ``mpp_0.5``.
    downsample, effective_mpp
        Level-0 pixels per tile pixel; microns per tile pixel, None if the slide's mpp is unknown.
    mpp, magnification
        Those of level 0; None if they are unknown.
    settings
        The settings that all exporters share, without secrets.
    """

    slide_id: str
    folder: Path
    files: Sequence[WrittenFile]
    folders: tuple[str, ...]
    others: Sequence[WrittenFile]
    kept: int
    requested: str
    downsample: float | None
    effective_mpp: float | None
    mpp: float | None
    magnification: float | None
    settings: Mapping[str, Any]


@runtime_checkable
class CollectsRun(Protocol):
    """An exporter that offers the files of all slides in one place below the run's folder.

    The run calls it at its end, under its lock, with all slides that are finished with its
    settings, also those of earlier runs. Results must depend on the arguments alone. The run makes
    the links and files, and removes those that are out of date.
    """

    @property
    def run_names(self) -> tuple[str, ...]:
        """Return the names in the run's folder that it uses; a folder's name ends with ``/``."""

    def run_links(self, slide: FinishedSlide) -> Mapping[str, str]:
        """Return the links to a slide's files.

        Returns
        -------
        Mapping
            For the path of each link below the run's folder, with ``/``, the name of a file or a
            folder in the slide's folder.
        """

    def run_files(self, slides: Sequence[FinishedSlide]) -> Mapping[str, Iterable[bytes]]:
        """Return the files about all slides: for each path below the run's folder, its content.

        It is called once. The content is read only if the file is missing or out of date.
        """


@runtime_checkable
class ShowsSettings(Protocol):
    """An exporter whose files contain the slide's settings."""

    def with_settings(self, settings: Mapping[str, Any]) -> Exporter:
        """Return the exporter for a slide; ``settings`` as in ``FinishedSlide``."""
