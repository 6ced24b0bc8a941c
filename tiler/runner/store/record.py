"""The record of a slide: the sources and settings of its folder, and every file in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tiler.files import digest
from tiler.geometry import Box
from tiler.protocols import Mask
from tiler.runner.store.fingerprint import Fingerprint
from tiler.runner.work.job import DroppedTile, SlideRow
from tiler.written import WrittenFiles, joined

OUTPUT_VERSION = 4
"""Increment it when identical settings produce different output: older results are redone."""


@dataclass(frozen=True)
class Counts:
    """The counts of grid cells: each cell is in one of them.

    Attributes
    ----------
    planned
        Cells of the grid.
    written
        Tiles kept.
    filtered
        Cells that the threshold, a filter, a label rule or the sampler drops.
    failed
        Tiles that could not be read and were dropped.
    """

    planned: int
    written: int
    filtered: int
    failed: int

    def __post_init__(self) -> None:
        parts = self.written, self.filtered, self.failed
        if self.planned != sum(parts) or min(parts) < 0:
            raise AssertionError(f"tiles do not add up: {self}")


@dataclass(frozen=True)
class MaskFacts:
    """The mask that a slide was tiled with.

    Attributes
    ----------
    key
        Its key in the cache.
    sha256
        The SHA-256 of its pixels.
    width, height
        Its size in mask pixels.
    grid
        The key of its coverage of the grid in the cache.
    bounds
        The area that it covers: x, y, width and height in level-0 pixels; None in older records.
    mpp
        Microns per mask pixel across and down; None if the slide's mpp is unknown.
    """

    key: str
    sha256: str
    width: int
    height: int
    grid: str
    bounds: Sequence[int] | None = None
    mpp: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 1:
            raise ValueError(f"a mask of {self.width}x{self.height} pixels")


@dataclass(frozen=True)
class Record:
    """Sources, settings and files of a slide's folder. Contains no time: reruns are identical.

    Attributes
    ----------
    slide_id
        The slide's name in outputs.
    row
        The slide's row, without its seconds.
    source
        The slide's fingerprint.
    inputs
        SHA-256 of other files that shaped the output, such as a mask, by name.
    settings
        The configuration that shapes the output; below ``exporter`` that of each in ``exporters``.
    code
        Digests of the code of the user's own components: see ``SlideJob``.
    mask
        The mask that it was tiled with.
    counts
        The accounting of its tiles.
    dropped
        Tiles that were left out.
    exporters
        The files of each exporter: together everything in the folder but the record itself.
    path
        The slide's file as the user wrote it.
    transforms
        The facts of each transform by name, for each exporter that writes transformed pixels.
    """

    slide_id: str
    row: SlideRow
    source: Fingerprint
    inputs: Mapping[str, str]
    settings: Mapping[str, Any]
    code: Mapping[str, str]
    mask: MaskFacts
    counts: Counts
    dropped: Sequence[DroppedTile]
    exporters: Mapping[str, WrittenFiles]
    output_version: int = OUTPUT_VERSION
    path: str = ""
    transforms: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def files(self) -> WrittenFiles:
        """The files of each exporter in turn; exporters and files are ordered by their names."""
        exporters = (self.exporters[name] for name in sorted(self.exporters))
        return joined(files.take(files.by_name) for files in exporters)


def mask_facts(mask: Mask, key: str, grid_key: str, bounds: Box, mpp: float | None) -> MaskFacts:
    """Return the facts of a mask, (h, w), that a record contains.

    Parameters
    ----------
    mask, key, grid_key
        The mask, and the cache keys of mask and grid.
    bounds
        The bounded area of the slide, in level-0 pixels.
    mpp
        Microns per level-0 pixel.
    """
    height, width = mask.shape
    per_pixel = None if mpp is None else [mpp * bounds.width / width, mpp * bounds.height / height]
    sha256 = digest(np.packbits(mask).tobytes())
    return MaskFacts(key, sha256, width, height, grid_key, list(bounds), per_pixel)
