"""What a tiled TIFF says of itself: through OpenSlide if that sees all of it, else by its tags."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import openslide

from tiler.geometry import Box, Size
from tiler.readers.base import Facts, resolve
from tiler.readers.openslide_facts import facts_of
from tiler.readers.tiff_directories import Directories, Tags, is_tiff, read_directories
from tiler.readers.tiff_file import TileFile
from tiler.readers.tiff_layout import (
    TAGS,
    NativeLevel,
    UnfitError,
    are_levels,
    level_pages,
    native_level,
)
from tiler.resolution import agreed_mpp

_VENDORS = ("aperio", "generic-tiff", "philips")
"""OpenSlide's formats whose levels are each one page, its tiles side by side."""

_SUBIFDS, _DESCRIPTION = 330, 270
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296  # tags of TIFF 6.0
_NAMES = {
    _DESCRIPTION: "ImageDescription",
    271: "Make",
    272: "Model",
    _X_RESOLUTION: "XResolution",
    _Y_RESOLUTION: "YResolution",
    _RESOLUTION_UNIT: "ResolutionUnit",
    305: "Software",
    306: "DateTime",
}
"""Tags that are passed on as properties."""

_MICRONS = {2: 25400.0, 3: 10000.0}  # of a ResolutionUnit: inch, centimetre
_OME_MICRONS = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}

Found = tuple[float | None, str]
"""A number and its text, or None and why there is none."""


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
    with closing(TileFile(path)) as file:
        if not is_tiff(file):
            raise UnfitError(slide, f"{path.name} is not a TIFF")
        vendor = openslide.OpenSlide.detect_format(path)
        if vendor not in _VENDORS:
            raise UnfitError(slide, f"{path.name} is a TIFF of another kind ({vendor})")
        try:
            read = read_directories(file, {*TAGS, *_NAMES, _SUBIFDS})
        except (OSError, ValueError) as error:
            what = f"{path.name}: its TIFF directories are damaged: {error}"
            raise UnfitError(slide, what) from error
    if _ome_xml(read.pages[0]) is not None and read.subifds:
        levels = [native_level(tags, slide) for tags in (read.pages[0], *read.subifds)]
        _check_pyramid(levels, slide)
        return _own_facts(read, levels, mpp, magnification), tuple(levels)
    levels = _levels_among(read.pages, vendor, slide)
    try:
        with openslide.OpenSlide(path) as peer:
            facts = facts_of(peer, slide, mpp, magnification)
    except (openslide.OpenSlideError, ValueError) as error:
        if "Unsupported TIFF compression" not in str(error):
            raise UnfitError(slide, f"{path.name}: {error}") from error
        _check_pyramid(levels, slide)
        return _own_facts(read, levels, mpp, magnification), tuple(levels)
    return facts, _matched(levels, facts, vendor, slide)


def _ome_xml(tags: Tags) -> str | None:
    """The OME-XML of a file's first page, if that is what describes it."""
    text = tags.get(_DESCRIPTION)
    return text if isinstance(text, str) and text.endswith("OME>") else None


def _levels_among(pages: Sequence[Tags], vendor: str, slide: str) -> list[NativeLevel]:
    """The levels that OpenSlide sees, in its order."""
    return [native_level(tags, slide) for tags in level_pages(pages, vendor)]


def _matched(
    levels: Sequence[NativeLevel], facts: Facts, vendor: str, slide: str
) -> tuple[NativeLevel, ...]:
    """The levels with the sizes that OpenSlide gives them, one page for each."""
    sizes = facts.level_dimensions
    if not are_levels([level.size for level in levels], sizes, vendor):
        raise UnfitError(slide, f"its pages are not the levels that OpenSlide sees, {sizes}")
    if vendor == "aperio" and len(levels) > 1 and any(level.sparse.any() for level in levels):
        # OpenSlide paints them from the next finer level, and tiles above them as well.
        raise UnfitError(slide, "a pyramid with missing tiles")
    return tuple(replace(level, size=size) for level, size in zip(levels, sizes, strict=True))


def _check_pyramid(levels: Sequence[NativeLevel], slide: str) -> None:
    """Refuse levels that are not smaller and smaller versions of the first."""
    width, height = levels[0].size
    for finer, level in pairwise(levels):
        across, down = level.size
        # Both sides are rounded, at each step: up to 2 pixels away from the same ratio.
        skewed = abs(width * down - height * across) > 2 * (width + height)
        if skewed or across >= finer.size.width or down >= finer.size.height:
            raise UnfitError(slide, f"its levels are no pyramid: {[tuple(v.size) for v in levels]}")


def _own_facts(
    read: Directories,
    levels: Sequence[NativeLevel],
    mpp: float | None,
    magnification: float | None,
) -> Facts:
    sizes = tuple(level.size for level in levels)
    width, height = sizes[0]
    key, found_mpp = "tiff.XResolution", _mpp_of_tags(read.pages[0])
    power_key = "OME NominalMagnification"
    found_power: Found = (None, "a TIFF without OME-XML names no objective")
    xml = _ome_xml(read.pages[0])
    if xml is not None:
        in_xml, found_power = _scale_in_ome(xml, sizes[0])
        if in_xml is not None:
            key, found_mpp = "OME PhysicalSizeX", in_xml
    known_mpp, mpp_note = resolve("mpp", mpp, found_mpp, key)
    known_power, power_note = resolve("magnification", magnification, found_power, power_key)
    return Facts(
        level_dimensions=sizes,
        level_downsamples=tuple((width / w + height / h) / 2 for w, h in sizes),
        bounds=Box(0, 0, width, height),
        mpp=known_mpp,
        magnification=known_power,
        provenance={"mpp": mpp_note, "magnification": power_note},
        properties={
            f"tiff.{_NAMES[code]}": str(value)
            for code, value in read.pages[0].items()
            if code in _NAMES
        },
    )


def _mpp_of_tags(tags: Tags) -> Found:
    unit = tags.get(_RESOLUTION_UNIT, 2)
    if unit not in _MICRONS:
        return None, "the TIFF's resolution has no unit"
    per_unit = []
    for tag in (_X_RESOLUTION, _Y_RESOLUTION):
        match tags.get(tag):
            case (int(above), int(below)) if above and below:
                per_unit.append(above / below)
            case _:
                return None, "the TIFF has no XResolution and YResolution"
    return agreed_mpp(*(_MICRONS[unit] / value for value in per_unit))


def _scale_in_ome(xml: str, size: Size) -> tuple[Found | None, Found]:
    """The mpp, None if there is no word of it, and the objective's power of the first image."""
    try:
        root = ET.fromstring(xml)
    except ET.ParseError as error:
        broken = f"the OME-XML is broken: {error}"
        return (None, broken), (None, broken)
    image = root.find("{*}Image")
    pixels = None if image is None else image.find("{*}Pixels")
    if image is None or pixels is None:
        return None, (None, "the OME-XML has no image")
    if (pixels.get("SizeX"), pixels.get("SizeY")) != (str(size.width), str(size.height)):
        other = "the first image in the OME-XML has another size"
        return (None, other), (None, other)
    return _mpp_in_ome(pixels), _power_in_ome(root, image)


def _mpp_in_ome(pixels: ET.Element) -> Found | None:
    if pixels.get("PhysicalSizeX") is None or pixels.get("PhysicalSizeY") is None:
        return None
    sizes = []
    for axis in "XY":
        text = pixels.get(f"PhysicalSize{axis}", "")
        unit = pixels.get(f"PhysicalSize{axis}Unit", "µm")
        try:
            sizes.append(float(text) * _OME_MICRONS[unit])
        except (KeyError, ValueError):
            return None, f"the OME-XML's PhysicalSize{axis} {text!r} {unit} is no length"
    return agreed_mpp(*sizes)


def _power_in_ome(root: ET.Element, image: ET.Element) -> Found:
    settings = image.find("{*}ObjectiveSettings")
    for objective in root.iterfind(".//{*}Objective"):
        if settings is not None and objective.get("ID") == settings.get("ID"):
            text = objective.get("NominalMagnification", "")
            try:
                power = float(text)
            except ValueError:
                continue
            if 0 < power < float("inf"):
                return power, text
    return None, "the OME-XML names no objective for the image"
