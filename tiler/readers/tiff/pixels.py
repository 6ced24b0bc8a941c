"""The pixel formats in a TIFF, and the reasons why some cannot be shown as 8-bit grey or RGB.

Sources: TIFF 6.0; Hamamatsu's NDPI as OpenSlide describes it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tiler.readers.tiff.tile_table import SUBFILE_TYPE, is_reduced, is_tiled, page_size
from tiler.readers.tiff_directories import Tags

_BITS, _PHOTOMETRIC, _ORIENTATION = 258, 262, 274
_SAMPLES, _PLANES, _EXTRA, _FORMAT, _NDPI_LENS = 277, 284, 338, 339, 65421

PIXEL_TAGS = frozenset(
    {SUBFILE_TYPE, _BITS, _PHOTOMETRIC, _ORIENTATION, _SAMPLES, _PLANES, _EXTRA, _FORMAT}
    | {_NDPI_LENS}
)
"""The tags that this module reads, in addition to those of the tiles."""

_PHOTOMETRICS = {
    0: "MinIsWhite",
    1: "MinIsBlack",
    2: "RGB",
    3: "palette",
    4: "transparency mask",
    5: "CMYK",
    6: "YCbCr",
    8: "CIE L*a*b*",
    9: "ICC L*a*b*",
    10: "ITU L*a*b*",
    32803: "colour filter array",
    34892: "linear raw",
}
_FORMATS = {1: "unsigned", 2: "signed", 3: "float", 4: "undefined", 5: "complex", 6: "complex"}
_EXTRAS = {0: "unspecified", 1: "associated alpha", 2: "alpha"}
_ALPHA = (1, 2)
_ONE_SAMPLE = (0, 1, 3)
_TURNS = {
    2: "mirror it left to right",
    3: "turn it by 180 degrees",
    4: "mirror it top to bottom",
    5: "transpose it",
    6: "turn it by 90 degrees clockwise",
    7: "transpose it along the other diagonal",
    8: "turn it by 90 degrees anticlockwise",
}
_LISTED = 8

DEPTH_FIX = "convert it to 8-bit grey, palette, RGB or RGBA"
"""The end of an error about a pixel format."""


def pixel_problem(tags: Tags) -> str | None:
    """Explain why no reader supports the pixels of a page; None if one may."""
    return orientation_problem(tags) or depth_problem(tags)


def orientation_problem(tags: Tags) -> str | None:
    """Explain why a page must be rotated, with the fix; None if it is upright."""
    if tags.get(_ORIENTATION, 1) == 1:
        return None
    number = number_of(tags, _ORIENTATION)
    return (
        f"its Orientation tag (274) is {number} ({_TURNS.get(number, 'unknown')}), but tiler"
        " reads only slides with orientation 1; rotate it first (vips autorot IN"
        " OUT[tile,pyramid]), or set the tag to 1 to tile the pixels as they are stored"
    )


def depth_problem(tags: Tags, depths: Collection[int] = (8,)) -> str | None:
    """Explain why the samples of a page would be wrong in 8-bit RGB; None if they are right.

    Parameters
    ----------
    tags
        The tags of the page.
    depths
        The supported bits of a grey or palette sample; other colours have 8.
    """
    bits, formats = set(_values(tags.get(_BITS, 1))), set(_values(tags.get(_FORMAT, 1)))
    photometric, samples = tags.get(_PHOTOMETRIC), number_of(tags, _SAMPLES)
    extras, apart = _values(tags.get(_EXTRA, ())), tags.get(_PLANES, 1) != 1
    shown = not formats - {1, 4} and bits <= set(depths if photometric in _ONE_SAMPLE else (8,))
    match photometric:
        case 0 | 1 | 3:  # MinIsWhite, MinIsBlack, palette
            shown &= samples == 1
        case 2:  # RGB
            alpha = len(extras) == 1 and extras[0] in _ALPHA
            shown &= samples == 3 or (samples == 4 and alpha)
        case 6:  # YCbCr
            shown &= samples == 3 and not apart
        case _:
            shown = False
    return None if shown else f"{pixel_format(tags)}; {DEPTH_FIX}"


def channel_problem(pages: Sequence[Tags], first: Tags) -> str | None:
    """Explain why the channels of a TIFF cannot be shown; None if its pages are not channels.

    Parameters
    ----------
    pages
        All pages.
    first
        The page that would be shown; it is grey if it is a channel.
    """
    if number_of(first, _SAMPLES) != 1:
        return None
    size = page_size(first)
    alike = [
        tags
        for tags in pages
        if page_size(tags) == size and not is_reduced(tags) and not _is_mask(tags)
    ]
    if len(alike) < 2:
        return None
    return (
        f"{len(alike)} pages of {size.width}x{size.height}, each with {pixel_format(first)}:"
        " channels or planes in separate pages, of which only the first would be shown; write three"
        " of them as the samples of one RGB image first"
    )


def is_image(tags: Tags) -> bool:
    """Return whether a page may be a level: a tiled page, or an NDPI page of one strip."""
    lens = tags.get(_NDPI_LENS, 0)
    return is_tiled(tags) or (isinstance(lens, int | float) and lens > 0)


def pixel_format(tags: Tags) -> str:
    """Describe the pixels of a page: samples, bits, photometric interpretation, and so on."""
    samples, photometric = number_of(tags, _SAMPLES), number_of(tags, _PHOTOMETRIC)
    colours = f"{photometric} ({_PHOTOMETRICS.get(photometric, 'unknown')})"
    facts = [
        f"{samples} sample{'' if samples == 1 else 's'} per pixel of {_listed(tags, _BITS)} bits",
        f"photometric interpretation {colours if _PHOTOMETRIC in tags else 'missing'}",
    ]
    if set(_values(tags.get(_FORMAT, 1))) != {1}:
        facts.append(f"sample format {_listed(tags, _FORMAT, _FORMATS)}")
    if _EXTRA in tags:
        facts.append(f"extra samples {_listed(tags, _EXTRA, _EXTRAS)}")
    if tags.get(_PLANES, 1) != 1:
        facts.append("in separate planes")
    return ", ".join(facts)


def _listed(tags: Tags, tag: int, names: Mapping[int, str] = {}) -> str:
    """Return the distinct values of a tag, or their names: a short list for any file."""
    values = [value for value in _values(tags.get(tag, 1)) if isinstance(value, int)]
    found = [str(names.get(value, value)) for value in dict.fromkeys(values)]
    return ", ".join(found[:_LISTED]) or "unknown"


def number_of(tags: Tags, tag: int) -> int:
    """Return a tag's value if it is one whole number; 1 if the tag is missing, else -1."""
    value = tags.get(tag, 1)
    return value if isinstance(value, int) else -1


def _values(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)


def _is_mask(tags: Tags) -> bool:
    kind = tags.get(SUBFILE_TYPE, 0)
    return isinstance(kind, int) and bool(kind & 4)
