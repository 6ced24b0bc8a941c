"""What a tiled TIFF says of itself: by OpenSlide where it opens the file, else by its tags."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openslide

from tiler.geometry import Box, Size
from tiler.readers.base import Facts, resolve
from tiler.readers.openslide_reader import _facts
from tiler.readers.tiff_layout import NativeLevel, UnfitError, is_reduced, is_tiled, native_level
from tiler.resolution import agreed_mpp

_VENDORS = ("aperio", "generic-tiff", "philips")
"""OpenSlide's formats whose levels are each one page of tiles side by side."""

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_DESCRIPTION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 270, 282, 283, 296
_MICRONS = {2: 25400.0, 3: 10000.0}  # of a ResolutionUnit: inch, centimetre
_OME_MICRONS = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}


def survey(
    path: Path, slide: str, mpp: float | None, magnification: float | None
) -> tuple[Facts, tuple[NativeLevel, ...]]:
    """What ``TiffReader`` needs to know of a file, level by level.

    OME-TIFFs with a pyramid in SubIFDs, of which OpenSlide sees the first level alone, and files
    in a compression that OpenSlide lacks are described by their own tags.

    Raises
    ------
    UnfitError
        When the file is not one to vouch for, with the reason.
    """
    with path.open("rb") as file:
        if file.read(4) not in _MAGIC:
            raise UnfitError(slide, f"{path.name} is not a TIFF")
    vendor = openslide.OpenSlide.detect_format(path)
    if vendor not in _VENDORS:
        raise UnfitError(slide, f"{path.name}: the format is {vendor or 'not known'}")
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            first = tiff.pages.first
            smaller = [*first.pages] if tiff.is_ome and first.subifds else []
            pages = [first, *smaller] if smaller else _levels_of(vendor, tiff, slide)
            levels = tuple(native_level(page, slide) for page in pages)
            own = _own_facts(first, levels, mpp, magnification, tiff.ome_metadata)
    except tifffile.TiffFileError as error:
        raise UnfitError(slide, f"{path.name}: {error}") from error
    if smaller:
        _check_pyramid(levels, slide)
        return own, levels
    try:
        with openslide.OpenSlide(path) as peer:
            facts = _facts(peer, mpp, magnification)
    except openslide.OpenSlideError as error:
        if "Unsupported TIFF compression" not in str(error):
            raise UnfitError(slide, f"{path.name}: {error}") from error
        return own, levels
    return facts, _matched(levels, facts, vendor, slide)
