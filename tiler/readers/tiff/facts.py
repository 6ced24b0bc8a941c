"""Facts of a tiled TIFF: from OpenSlide if it reads all levels, else from the tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import openslide

from tiler.errors import DepthError, OpenError
from tiler.geometry import Box, Size
from tiler.readers.base import Facts
from tiler.readers.level_fit import StoredLevel
from tiler.readers.mpp import agreed_mpp
from tiler.readers.openslide.facts import facts_of
from tiler.readers.openslide.levels import levels_of
from tiler.readers.pyramid import Pyramid, pyramid
from tiler.readers.scale import Scale, resolve, scale_of
from tiler.readers.tiff.file import TileFile
from tiler.readers.tiff.images import (
    DESCRIPTION,
    TiffImage,
    choose_image,
    first_image,
    hidden_channels,
    images_in,
    note_on,
)
from tiler.readers.tiff.layout import (
    PLAIN_VENDORS,
    TAGS,
    NativeLevel,
    UnfitError,
    are_levels,
    level_pages,
    native_level,
)
from tiler.readers.tiff.ome import Found
from tiler.readers.tiff.tile_table import is_reduced, is_tiled
from tiler.readers.tiff_directories import Tags, is_tiff, read_directories, read_subifds

_GENERIC = "generic-tiff"
_SUBIFDS = 330
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296  # tags of TIFF 6.0
_NAMES = {
    DESCRIPTION: "ImageDescription",
    271: "Make",
    272: "Model",
    _X_RESOLUTION: "XResolution",
    _Y_RESOLUTION: "YResolution",
    _RESOLUTION_UNIT: "ResolutionUnit",
    305: "Software",
    306: "DateTime",
}
"""Tags that are passed on as properties."""

_WANTED = frozenset({*TAGS, *_NAMES, _SUBIFDS})
_MICRONS = {2: 25400.0, 3: 10000.0}  # microns in a ResolutionUnit: inch, centimetre


@dataclass(frozen=True)
class Request:
    """A slide and its settings from the configuration.

    Attributes
    ----------
    path, slide
        The file, and the slide's name for errors.
    mpp, magnification
        Overrides of the file's values.
    series
        The number of the image to read; None for the largest.
    """

    path: Path
    slide: str
    mpp: float | None
    magnification: float | None
    series: int | None


def survey(request: Request) -> tuple[Facts, tuple[NativeLevel, ...], int]:
    """Return the facts, the levels and the page of level 0 of a file for ``TiffReader``.

    The file's tags describe what OpenSlide does not read: levels in SubIFDs, images other than the
    first, and compressions that OpenSlide lacks.

    Raises
    ------
    UnfitError
        If the reader does not support the file; the error states the reason.
    DepthError
        If the image has channels that cannot be shown together.
    OpenError
        If the file has no image of that number, or neither this reader nor OpenSlide reads it.
    """
    path, slide = request.path, request.slide
    with closing(TileFile(path)) as file:
        if not is_tiff(file):
            raise UnfitError(slide, f"{path.name} is not a TIFF")
        vendor = openslide.OpenSlide.detect_format(path)
        if vendor not in (*PLAIN_VENDORS, None):
            raise UnfitError(slide, f"{path.name} is a TIFF of another kind ({vendor})")
        try:
            pages = read_directories(file, _WANTED).pages
            generic = vendor in (_GENERIC, None)
            images = images_in(pages) if generic else [first_image(pages, slide)]
            image = choose_image(images, request.series, slide)
            below = read_subifds(file, pages[image.page], _WANTED) if generic else ()
        except (OSError, ValueError) as error:
            what = f"{path.name}: its TIFF directories are damaged: {error}"
            raise UnfitError(slide, what) from error
    if problem := hidden_channels(image, pages[image.page]):
        raise DepthError(slide, f"{path.name}: {problem}")
    notes = note_on(image, images)
    others = [tags for tags in below if is_tiled(tags)] or _reduced_after(pages, image.page)
    if vendor is None and not is_tiled(pages[image.page]):
        raise UnfitError(slide, f"{path.name} is a TIFF of another kind ({vendor})")
    if image.page:
        try:
            return *_by_tags(request, [pages[image.page], *others], image, notes), image.page
        except UnfitError as error:  # OpenSlide does not read this image either
            raise OpenError(slide, f"{path.name}: {image}: {error.what}") from error
    if vendor is None or any(is_tiled(tags) for tags in below):
        return *_by_tags(request, [pages[0], *others], image, notes), image.page
    natives = _levels_among(pages, vendor, slide)
    if generic and natives[0].size.width > image.size.width:  # OpenSlide treats it as level 0
        return *_by_tags(request, [pages[0], *others], image, notes), image.page
    if vendor == "aperio" and len(natives) > 1 and any(level.sparse.any() for level in natives):
        # OpenSlide fills them, and tiles above them, from the next finer level.
        raise UnfitError(slide, "a pyramid with missing tiles")
    description = pages[0].get(DESCRIPTION)
    try:
        with openslide.OpenSlide(path) as peer:
            levels = levels_of(peer, path)
            facts = facts_of(
                peer, levels, slide, request.mpp, request.magnification, notes, description
            )
            sizes = tuple(Size(*size) for size in peer.level_dimensions)
    except (openslide.OpenSlideError, ValueError) as error:
        # OpenSlide lacks the compression, or the levels are not in the order of their sizes.
        known = isinstance(error, openslide.OpenSlideUnsupportedFormatError)
        if not known and "Unsupported TIFF compression" not in str(error):
            raise UnfitError(slide, f"{path.name}: {error}") from error
        others = others if generic else level_pages(pages, vendor)[1:]
        return *_by_tags(request, [pages[0], *others], image, notes), image.page
    _check_alike(natives, sizes, vendor, slide)
    if len(set(levels.downsamples)) < len(levels.indices):
        raise UnfitError(slide, f"several of its levels have the same downsample: {sizes}")
    return facts, _chosen(natives, levels), image.page


def _reduced_after(pages: Sequence[Tags], page: int) -> list[Tags]:
    """Return the levels that follow a page, up to the next image."""
    found = []
    for tags in pages[page + 1 :]:
        if not is_reduced(tags):
            break
        if is_tiled(tags):
            found.append(tags)
    return found


def _levels_among(pages: Sequence[Tags], vendor: str, slide: str) -> list[NativeLevel]:
    """Return the levels that OpenSlide reads, in its order; ``UnfitError`` if there is none."""
    found = [native_level(tags, slide) for tags in level_pages(pages, vendor)]
    if not found:  # OpenSlide accepts such a file until it reads a tile
        raise UnfitError(slide, "no page lists its tiles")
    return found


def _check_alike(
    levels: Sequence[NativeLevel], sizes: Sequence[Size], vendor: str, slide: str
) -> None:
    """Refuse a file unless each page is one level that OpenSlide reads."""
    if not are_levels([level.size for level in levels], sizes, vendor):
        raise UnfitError(slide, f"its pages are not the levels that OpenSlide reads, {sizes}")


def _chosen(natives: Sequence[NativeLevel], levels: Pyramid) -> tuple[NativeLevel, ...]:
    """Return the levels of the slide, each with its size without padding."""
    return tuple(
        replace(natives[index], size=size)
        for index, size in zip(levels.indices, levels.sizes, strict=True)
    )


def _by_tags(
    request: Request, directories: Sequence[Tags], image: TiffImage, notes: Mapping[str, str]
) -> tuple[Facts, tuple[NativeLevel, ...]]:
    """Return the facts and the levels of an image from its directories; the first is level 0."""
    first = directories[0]
    if not is_tiled(first):
        raise UnfitError(request.slide, f"{image} is not tiled")
    natives = [native_level(tags, request.slide) for tags in directories]
    sizes = [tuple(level.size) for level in natives]
    if max(width for width, _ in sizes) > image.stored.width:
        raise UnfitError(request.slide, f"its first level is not the largest: {sizes}")
    levels = pyramid([StoredLevel(level.size, level.tile) for level in natives])
    scale = _scale(first, image)
    mpp, mpp_note = resolve("mpp", request.mpp, scale.mpp, scale.mpp_key)
    power, power_note = resolve(
        "magnification", request.magnification, scale.power, scale.power_key
    )
    facts = Facts(
        level_dimensions=levels.sizes,
        level_downsamples=levels.downsamples,
        bounds=Box(0, 0, *levels.sizes[0]),
        mpp=mpp,
        magnification=power,
        provenance={"mpp": mpp_note, "magnification": power_note, **levels.notes, **notes},
        properties={
            f"tiff.{_NAMES[code]}": str(value) for code, value in first.items() if code in _NAMES
        },
    )
    return facts, _chosen(natives, levels)


def _scale(tags: Tags, image: TiffImage) -> Scale:
    stated, found = _mpp_of_tags(tags)
    power: Found = (None, "a TIFF without OME-XML names no objective")
    scale = Scale("tiff.XResolution", found, "OME NominalMagnification", power)
    return scale_of(tags.get(DESCRIPTION), image.size, scale, tags_say=stated, image=image.ome)


def _mpp_of_tags(tags: Tags) -> tuple[bool, Found]:
    """Return whether the tags state a scale, and the mpp from them."""
    unit = tags.get(_RESOLUTION_UNIT, 2)
    if unit not in _MICRONS:
        return False, (None, "the TIFF's resolution has no unit")
    per_unit = []
    for tag in (_X_RESOLUTION, _Y_RESOLUTION):
        match tags.get(tag):
            case (int(above), int(below)) if above and below:
                per_unit.append(above / below)
            case _:
                return False, (None, "the TIFF has no XResolution and YResolution")
    return True, agreed_mpp(*(_MICRONS[unit] / value for value in per_unit))
