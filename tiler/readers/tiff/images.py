"""The images in a TIFF, such as a macro image and the scan; one of them is the slide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tiler.errors import ConfigError, Fix, OpenError
from tiler.geometry import Size
from tiler.readers.tiff.ome import OmeError, OmeImage, is_ome, ome_images
from tiler.readers.tiff.pixels import number_of, pixel_format
from tiler.readers.tiff.tile_table import is_reduced, is_tiled, page_size, stored_size
from tiler.readers.tiff_directories import Tags

DESCRIPTION = 270
"""The tag ImageDescription of TIFF 6.0."""

_SAMPLES = 277  # tag of TIFF 6.0
_GENERIC = "generic-tiff"
_LARGEST_FIRST = ("aperio", "philips")
"""OpenSlide's TIFF formats in which the slide is the first image."""


@dataclass(frozen=True)
class TiffImage:
    """An image of a TIFF, with the levels below it.

    Attributes
    ----------
    number
        Its place among the images, from 0.
    page
        The page of its level 0.
    size
        The size of its level 0.
    stored
        The size of its level 0 with the padding of its last native tiles.
    ome
        Its facts in OME-XML.
    tiled
        Whether level 0 is stored in native tiles.
    """

    number: int
    page: int
    size: Size
    stored: Size
    ome: OmeImage | None = None
    tiled: bool = False

    def __str__(self) -> str:
        return f"image {self.number} of {_text(self.size)}"


def images_in(pages: Sequence[Tags]) -> list[TiffImage]:
    """Return the images that a TIFF's OME-XML lists, or else the pages that are not reduced."""
    description = pages[0].get(DESCRIPTION)
    found = []
    if isinstance(description, str) and is_ome(description):
        try:
            listed = ome_images(description)
        except OmeError:
            listed = []
        for number, image in enumerate(listed):
            page = image.page
            if page is not None and page < len(pages) and page_size(pages[page]) == image.size:
                stored = stored_size(pages[page])
                found.append(TiffImage(number, page, image.size, stored, image))
    if found:
        return found
    starts = [page for page, tags in enumerate(pages) if page == 0 or not is_reduced(tags)]
    return [_image(number, page, pages[page]) for number, page in enumerate(starts)]


def _image(number: int, page: int, tags: Tags) -> TiffImage:
    return TiffImage(number, page, page_size(tags), stored_size(tags), tiled=is_tiled(tags))


def hidden_channels(image: TiffImage, tags: Tags) -> str | None:
    """Explain why the channels of an image cannot be shown; None if its page contains all.

    ``tags`` are those of its page.
    """
    if image.ome is None or image.ome.channels <= number_of(tags, _SAMPLES):
        return None
    return (
        f"its OME-XML lists {image.ome.channels} channels in several pages or files, of which page"
        f" {image.page} alone would be shown, {pixel_format(tags)}; write three of them as the"
        " samples of one RGB image first"
    )


def first_image(pages: Sequence[Tags], slide: str) -> TiffImage:
    """Return the first page of a file whose other pages are not separate images.

    Raises
    ------
    OpenError
        If a later page is larger: then the first page is not the slide.
    """
    images = [_image(number, number, tags) for number, tags in enumerate(pages)]
    largest = max(_not_within_first(images), key=_area)
    if largest.number:
        raise OpenError(
            slide,
            f"its first page has {_text(images[0].size)} pixels, but page {largest.page} has"
            f" {_text(largest.size)}, so the first one is not the slide; write that page into a"
            " file of its own",
        )
    return images[0]


def notes_for_openslide(
    pages: Sequence[Tags], vendor: str, series: int | None, slide: str
) -> dict[str, str]:
    """Return the notes about the first image of a file, which OpenSlide reads.

    Parameters
    ----------
    pages
        The pages of the TIFF; empty for other formats.
    vendor
        OpenSlide's name of the format.
    series
        The number of the image to read; None for the largest.
    slide
        The slide's name, for errors.

    Raises
    ------
    OpenError
        If another image is larger, or ``series`` names another one.
    """
    if pages and vendor in (_GENERIC, *_LARGEST_FIRST):
        images = images_in(pages) if vendor == _GENERIC else [first_image(pages, slide)]
        image = choose_image(images, series, slide)
        if image.page:
            raise _not_first(slide, image, images[0])
        if vendor == _GENERIC:
            _check_widest(pages, slide)
        return note_on(image, images)
    if series:
        raise OpenError(slide, f"series={series}: OpenSlide reads one image of a file, 0")
    return {}


def _check_widest(pages: Sequence[Tags], slide: str) -> None:
    """Refuse a file in which OpenSlide, which sorts by width, takes a padded level for level 0."""
    first = page_size(pages[0])
    for tags in pages[1:]:
        size = page_size(tags)
        if is_reduced(tags) and is_tiled(tags) and size.width > first.width:
            raise OpenError(
                slide,
                f"OpenSlide takes a level of {_text(size)} pixels for level 0, because that is"
                f" wider than the slide of {_text(first)}",
                fix=Fix("use reader=tiff", "use TiffReader(path)"),
            )


def _fits_into(size: Size, other: Size) -> bool:
    return size.width <= other.width and size.height <= other.height


def _not_first(slide: str, wanted: TiffImage, first: TiffImage) -> OpenError:
    return OpenError(
        slide,
        f"OpenSlide reads {first} pixels, the first of the file, but the slide is {wanted}",
        fix=Fix(
            "use reader=tiff, or reader.series=0 for the first",
            "use TiffReader(path), or open_slide(path, series=0) for the first",
        ),
    )


def _area(image: TiffImage) -> int:
    return image.size.width * image.size.height


def _not_within_first(images: Sequence[TiffImage]) -> list[TiffImage]:
    first, *others = images
    return [first, *(image for image in others if not _fits_into(image.size, first.stored))]


def _largest(images: Sequence[TiffImage], slide: str) -> TiffImage:
    """Return the largest image; the tiled one if others are larger along one side.

    A thumbnail may have more pixels than a narrow slide.
    """
    largest = max(images, key=_area)
    rivals = [i for i in images if i.ome is None and not _fits_into(i.size, largest.stored)]
    if not rivals:
        return largest
    tiled = [image for image in (largest, *rivals) if image.tiled]
    if len(tiled) == 1:
        return tiled[0]
    raise OpenError(
        slide,
        f"which image is the slide is unclear: the file has {listed([largest, *rivals])}, each"
        " larger along one side",
        fix=Fix("set reader.series to the number of the slide", "use open_slide(path, series=…)"),
    )


def choose_image(images: Sequence[TiffImage], series: int | None, slide: str) -> TiffImage:
    """Return the image that is the slide: the one with the given number, else the largest.

    The padded levels of a slide smaller than a native tile are larger than the slide. So an image
    that fits into the native tiles of the first one does not count as larger.

    Raises
    ------
    OpenError
        If no image has that number, or several may be the slide; the error lists the images.
    """
    if series is None:
        return _largest(_not_within_first(images), slide)
    for image in images:
        if image.number == series:
            return image
    what = f"series={series} does not exist; the file has {listed(images)}"
    fix = Fix("choose one of them for reader.series", "choose one: open_slide(path, series=…)")
    raise OpenError(slide, what, fix=fix)


def listed(images: Sequence[TiffImage]) -> str:
    """Describe the images, the first few of many."""
    some = ", ".join(map(str, images[:5]))
    return some if len(images) <= 5 else f"{some} and {len(images) - 5} more"


def note_on(image: TiffImage, images: Sequence[TiffImage]) -> dict[str, str]:
    """Return the note about the choice for a slide's provenance, if there was one."""
    others = [other for other in images if other is not image]
    return {"image": f"{image}; not read: {listed(others)}"} if others else {}


def check_series(series: object) -> None:
    """Refuse an invalid number of an image."""
    if series is not None and (
        not isinstance(series, int) or isinstance(series, bool) or series < 0
    ):
        raise ConfigError(f"reader.series={series!r} is invalid; use a whole number >= 0, or null")


def _text(size: Size) -> str:
    return f"{size.width}x{size.height}"
