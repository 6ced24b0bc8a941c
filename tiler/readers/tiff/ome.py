"""OME-XML in a TIFF's description: the images in a file, and the scale of each."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from tiler.geometry import Size
from tiler.readers.mpp import agreed_mpp

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET

Found = tuple[float | None, str]
"""A number and its text, or None and the reason."""

_PREFIX = r"(?:[\w.-]+:)?"
_START = re.compile(rf"<{_PREFIX}OME[\s>]")
_END = re.compile(rf"</{_PREFIX}OME\s*>")

# Microns per unit of UnitsLength in the OME schema; the two units below are not lengths.
_MICRONS = {
    "Ym": "1e30", "Zm": "1e27", "Em": "1e24", "Pm": "1e21", "Tm": "1e18", "Gm": "1e15",
    "Mm": "1e12", "km": "1e9", "hm": "1e8", "dam": "1e7", "m": "1e6", "dm": "1e5", "cm": "1e4",
    "mm": "1e3", "µm": "1", "nm": "1e-3", "pm": "1e-6", "fm": "1e-9", "am": "1e-12",
    "zm": "1e-15", "ym": "1e-18", "Å": "1e-4", "thou": "25.4", "li": "2116.666666666667",
    "in": "25400", "ft": "304800", "yd": "914400", "mi": "1609344000", "ua": "149597870700e6",
    "ly": "9460730472580800e6", "pc": "30856775814913673e6", "pt": "352.7777777777778",
}  # fmt: skip
_SPELLINGS = {"\N{GREEK SMALL LETTER MU}m": "µm", "um": "µm", "\N{ANGSTROM SIGN}": "Å"}
_NO_LENGTHS = ("pixel", "reference frame")


@dataclass(frozen=True)
class OmeImage:
    """An image that OME-XML describes.

    Attributes
    ----------
    size
        The size of its level 0.
    page
        The TIFF page of its first plane, if its planes are in this file.
    mpp
        Microns per pixel, or the reason why they are unusable; None if the XML states no length.
    power
        The objective's nominal magnification, or the reason why it is missing.
    channels
        Samples per pixel, over all planes.
    """

    size: Size
    page: int | None
    mpp: Found | None
    power: Found
    channels: int = 1


class OmeError(ValueError):
    """OME-XML is unreadable; the text states the reason."""


def is_ome(description: object) -> bool:
    """Return whether a TIFF's description contains OME-XML, complete or truncated."""
    return isinstance(description, str) and bool(_START.search(_without_comments(description)))


def ome_images(description: str) -> list[OmeImage]:
    """Return the images that a description's OME-XML lists, in its order.

    Text outside the ``OME`` element is ignored, such as a declaration or comments.

    Raises
    ------
    OmeError
        If the XML is not well-formed, or has a document type. OME-XML needs no document type,
        whose entities may expand without limit.
    """
    import xml.etree.ElementTree as ET

    text = _without_comments(description)
    start = _START.search(text)
    if start is None:
        raise OmeError("there is no OME-XML")
    ends = [end.end() for end in _END.finditer(text, start.start())]
    if not ends:
        raise OmeError("the OME-XML is broken: its OME element does not end")
    text = text[start.start() : ends[-1]]
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise OmeError("the OME-XML has a document type, which is not read")
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise OmeError(f"the OME-XML is broken: {error}") from error
    return list(_images(root))


def _without_comments(text: str) -> str:
    parts, at = [], 0
    while (start := text.find("<!--", at)) >= 0 and (end := text.find("-->", start + 4)) >= 0:
        parts.append(text[at:start])
        at = end + 3
    return "".join(parts) + text[at:]


def _images(root: ET.Element) -> Iterator[OmeImage]:
    next_page = 0
    for image in root.iterfind("{*}Image"):
        pixels = image.find("{*}Pixels")
        if pixels is None:
            continue
        numbers = {key: _number(pixels.get(f"Size{key}")) for key in "XYZCT"}
        page = _first_page(root, pixels, next_page)
        next_page += numbers["Z"] * numbers["T"] * _planes(pixels, numbers["C"])
        yield OmeImage(
            Size(numbers["X"], numbers["Y"]),
            page,
            _mpp(pixels),
            _power(root, image),
            numbers["C"],
        )


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() and len(text) < 10 else 1


def _planes(pixels: ET.Element, channels: int) -> int:
    """Return the planes of one section: one per channel, which may have several samples."""
    return len(pixels.findall("{*}Channel")) or channels


def _first_page(root: ET.Element, pixels: ET.Element, following: int) -> int | None:
    """Return the page of an image's first plane; None if it is in another file."""
    for data in pixels.iterfind("{*}TiffData"):
        if any(_number(data.get(f"First{axis}", "0")) for axis in "ZCT"):
            continue
        uuid = data.find("{*}UUID")
        own = root.get("UUID")
        if uuid is not None and own is not None and (uuid.text or "").strip() != own.strip():
            return None
        return _number(data.get("IFD", str(following)))
    return following


def _mpp(pixels: ET.Element) -> Found | None:
    sizes = []
    for axis in "XY":
        key = f"PhysicalSize{axis}"
        text, unit = pixels.get(key), pixels.get(f"{key}Unit", "µm")
        if text is None or unit in _NO_LENGTHS:
            return None
        try:
            sizes.append(float(Decimal(text) * Decimal(_MICRONS[_SPELLINGS.get(unit, unit)])))
        except (KeyError, ArithmeticError):
            return None, f"the OME-XML's {key} {text[:20]!r} {unit[:20]} is no length"
    return agreed_mpp(*sizes)


def _power(root: ET.Element, image: ET.Element) -> Found:
    settings = image.find("{*}ObjectiveSettings")
    for objective in root.iterfind(".//{*}Objective"):
        if settings is not None and objective.get("ID") == settings.get("ID"):
            text = objective.get("NominalMagnification", "")
            try:
                power = float(text)
            except ValueError:
                continue
            if 0 < power < math.inf:
                return power, text
    return None, "the OME-XML names no objective for the image"
