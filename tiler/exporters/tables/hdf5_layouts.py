"""The HDF5 layouts of CLAM, TRIDENT, Mussel and AtlasPatch: attributes and coordinates.

Each tool computes a tile's area by its own rule from a few attributes, which are the same for all
tiles. A fact that the slide does not state is left out, and ``left_out`` names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tiler.exporters.tables.footprints import (
    Footprint,
    Read,
    coarsest_read,
    numbered_alike,
    shared_level,
)
from tiler.exporters.tables.tool_values import path_as_given
from tiler.protocols import WSIReader
from tiler.regions import Regions
from tiler.resolution import level_at
from tiler.storage.safe_text import plain_text

LayoutName = Literal["trident", "clam", "mussel", "atlaspatch"]

MAGNIFICATIONS = ("level0_magnification", "target_magnification")
MPPS = ("mpp", "native_mpp")

_TRIDENT_TOLERANCE = 0.1
"""TRIDENT reads the first level whose downsample differs from the target's by at most this."""


@dataclass(frozen=True)
class Layout:
    """The content of a slide's file, except the tiles.

    Attributes
    ----------
    attributes
        The attributes by name.
    read
        The pixels that the tool reads for each tile.
    left_out
        Attributes that need facts that the slide does not state.
    of_file
        Whether the attributes belong to the file instead of the dataset ``coords``.
    reads
        Whether ``coords`` has width, height and level of ``read`` after x and y.
    if_empty
        Whether the tool writes a file for a slide without tiles.
    """

    attributes: Mapping[str, Any]
    read: Read
    left_out: Sequence[str] = ()
    of_file: bool = False
    reads: bool = False
    if_empty: bool = True

    def coords(self, parts: Sequence[Regions]) -> npt.NDArray[Any]:
        """Return the dataset ``coords``: level-0 corners of tiles, and with ``reads`` the reads."""
        corners = [np.empty((0, 2), np.int64), *(part.boxes0()[:, :2] for part in parts)]
        found = np.concatenate(corners)
        if not self.reads:
            return found
        whole = np.empty((len(found), 5), np.int32)
        whole[:, :2] = found
        whole[:, 2:] = self.read.side, self.read.side, self.read.level
        return whole


def _trident(found: Footprint, source: WSIReader, name: str) -> Layout:
    attributes = {
        "patch_size": found.size.width,
        "patch_size_level0": found.side0,
        "overlap": found.overlap.width,
        "name": name,
        "level0_width": source.dimensions.width,
        "level0_height": source.dimensions.height,
    }
    read = _trident_read(found, source)
    if found.magnifications is None:
        # Without magnifications TRIDENT reads ``patch_size`` pixels of the level ``patch_level``.
        level = level_at(found.downsample, source.level_downsamples)
        more = {"patch_level": level} if numbered_alike(source) else {}
        return Layout({**attributes, **more}, read, MAGNIFICATIONS)
    return Layout(attributes | dict(zip(MAGNIFICATIONS, found.magnifications, strict=True)), read)


def _trident_read(found: Footprint, source: WSIReader) -> Read:
    """Return the pixels that TRIDENT reads, of a level that it counts by its whole downsample."""
    downsamples, wanted = source.level_downsamples, found.downsample
    near = (n for n, own in enumerate(downsamples) if abs(own - wanted) <= _TRIDENT_TOLERANCE)
    finer = [n for n, own in enumerate(downsamples) if own <= wanted]
    level = next(near, finer[-1] if finer else 0)
    side = round(found.side0 / max(1, int(downsamples[level])))
    return Read(level, side, side * downsamples[level])


def _clam(found: Footprint, source: WSIReader, name: str) -> Layout:
    level = shared_level(found.downsample, source)
    if level is None:
        level, side = 0, found.side0
    else:
        side = found.size.width
    width, height = source.level_dimensions[level]
    downsample = source.dimensions.width / width, source.dimensions.height / height
    attributes = {
        "patch_size": side,
        "patch_level": level,
        "downsample": np.array(downsample, np.float64),
        "downsampled_level_dim": np.array((width, height), np.int64),
        "level_dim": np.array((width, height), np.int64),
        "name": name,
    }
    read = Read(level, side, side * source.level_downsamples[level])
    return Layout(attributes, read, if_empty=False)


def _mussel(found: Footprint, source: WSIReader, name: str) -> Layout:
    attributes = {
        "patch_size": found.side0,
        "patch_level": 0,
        "patch_size_to_resize_to_for_desired_mpp": found.size.width,
        "step_size": round(found.stride.width * found.downsample),
        "overlap": found.overlap.width,
        "level_dim": np.array(source.dimensions, np.int64),
        "name": name,
    }
    read = Read(0, found.side0, found.side0)
    if found.mpp is None or source.mpp is None:
        return Layout(attributes, read, MPPS, if_empty=False)
    mpps = zip(MPPS, (found.mpp, float(source.mpp)), strict=True)
    return Layout(attributes | dict(mpps), read, if_empty=False)


def _atlaspatch(found: Footprint, source: WSIReader, name: str) -> Layout:
    attributes: dict[str, Any] = {
        "patch_size": found.size.width,
        "patch_size_level0": found.side0,
        "overlap": found.overlap.width,
        "level0_width": source.dimensions.width,
        "level0_height": source.dimensions.height,
        "wsi_path": plain_text(path_as_given(source)),
    }
    left_out: Sequence[str] = MAGNIFICATIONS
    if found.magnifications is not None:
        attributes |= dict(zip(MAGNIFICATIONS, found.magnifications, strict=True))
        left_out = ()
    read = coarsest_read(found, source)
    return Layout(attributes, read, left_out, of_file=True, reads=True)


LAYOUTS: Mapping[LayoutName, Callable[[Footprint, WSIReader, str], Layout]] = {
    "trident": _trident,
    "clam": _clam,
    "mussel": _mussel,
    "atlaspatch": _atlaspatch,
}
"""Functions by name: they return the layout for a footprint, an open slide and its name."""

ONE_STRIDE: Sequence[LayoutName] = ("trident", "mussel", "atlaspatch")
"""Layouts with one overlap for both directions."""
