"""The scale of a TIFF, from its OME-XML, its description, or its tags."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from tiler.errors import ConfigError
from tiler.geometry import Size, is_number
from tiler.readers.limits import scale_problem
from tiler.readers.mpp import MPP_ANISOTROPY, agreed_mpp
from tiler.readers.tiff.ome import Found, OmeError, OmeImage, is_ome, ome_images

_EXPONENT = r"(?:e[-+]?\d{1,3})?"
_NUMBER = (  # "0,25" is a decimal comma; "1,5" may be two numbers, and is refused
    rf"((?>0?,\d{{1,15}}|\d{{0,9}}\.\d{{1,15}}{_EXPONENT}|\d{{1,15}}{_EXPONENT}(?!,\d)))(?!\.?\d)"
)
_PER_PIXEL = r"(?:[µ\u03bcu]m|microns?|micromet(?:er|re)s?)[ _-]?(?:per|/)[ _-]?(?:pixel|px)"
_IS = r"[\s\"']{0,3}[:=][\s\"']{0,3}"

# "MPP = 0.25", "mpp_x: 0.25", "YMicronsPerPixel=0.25"; and "0.25 µm/px", "0.25 mpp"
_MPP = re.compile(rf"(?<![a-z])([xy]?)[ _-]?(?:mpp|{_PER_PIXEL})[ _-]?([xy]?){_IS}{_NUMBER}", re.I)
_UNIT_LAST = re.compile(rf"(?<![\w.,-]){_NUMBER}\s?(?:{_PER_PIXEL}|mpp(?!\w|{_IS}))", re.I)
# "AppMag = 40", "QuickMag: 20x", "Objective Power = 20"
_POWER = re.compile(
    r"(?<![a-z])(?:(?:app|quick|scan|nominal|objective)?[ _-]?mag(?:nification)?"
    rf"|objective[ _-]?power){_IS}{_NUMBER}",
    re.I,
)
_ANY_WORD = re.compile(
    rf"(?:[\d.,]{{1,16}}\s?)?(?<![a-z])"
    rf"(?:mpp|{_PER_PIXEL}|nm ?/ ?p|pixel ?size|physical ?size).{{0,24}}",
    re.I,
)


@dataclass(frozen=True)
class Scale:
    """The scale of one image of a TIFF, as the file states it.

    Attributes
    ----------
    mpp_key, power_key
        The metadata keys of the numbers.
    mpp, power
        Microns per pixel and objective power: each number and its text, or None and the reason.
    """

    mpp_key: str
    mpp: Found
    power_key: str
    power: Found


def scale_of(
    description: object, size: Size, tags: Scale, *, tags_say: bool, image: OmeImage | None = None
) -> Scale:
    """Return the scale of an image of a TIFF.

    OME-XML has precedence over the description, and that over the tags. If two of them differ, the
    text of the first one states the other.

    Parameters
    ----------
    description
        The ImageDescription of the image's page.
    size
        The image's size.
    tags
        The scale without the description.
    tags_say
        Whether the file states ``tags.mpp``, usable or not.
    image
        The image's facts in OME-XML; None to find them by ``size``.
    """
    text = description if isinstance(description, str) else ""
    first = _in_ome(text, size, image) if image or is_ome(text) else _in_words(text)
    if first.mpp is None:
        mpp_key, (number, text) = tags.mpp_key, tags.mpp
        mpp = number, f"{text}; {first.note}" if first.note else text
    else:
        mpp_key, mpp = first.key, first.mpp
        if tags_say and _differ(mpp, tags.mpp):
            mpp = mpp[0], f"{mpp[1]}; {tags.mpp_key} says {tags.mpp[1]}"
    if first.power is None:
        return Scale(mpp_key, mpp, tags.power_key, tags.power)
    return Scale(mpp_key, mpp, first.power_key, first.power)


def resolve(
    quantity: str, override: float | None, found: tuple[float | None, str], key: str
) -> tuple[float | None, str]:
    """Return a number and its origin: the override if there is one, else the file's value.

    Parameters
    ----------
    quantity
        ``mpp`` or ``magnification``.
    override
        The value from the configuration, or None.
    found
        The file's number and its text, or None and the reason.
    key
        The metadata key of the number.

    Raises
    ------
    ConfigError
        If the override is not a positive number, or out of range.
    """
    if override is not None:
        if not is_number(override) or not 0 < override < math.inf:
            raise ConfigError(f"reader.{quantity}={override!r} is invalid; use a positive number")
        if problem := scale_problem(quantity, override):
            raise ConfigError(problem)
        return float(override), f"override (reader.{quantity}={override:g}; file: {found[1]})"
    value, note = found
    return value, note if value is None else f"{key} ({note})"


def mpp_pair(mpp_x: str | None, mpp_y: str | None, missing: str) -> tuple[float | None, str]:
    """Return one mpp from two metadata texts, or None and the reason."""
    if mpp_x is None or mpp_y is None:
        return None, missing
    try:
        return agreed_mpp(float(mpp_x), float(mpp_y))
    except ValueError:
        return None, f"mpp-x {mpp_x!r} and mpp-y {mpp_y!r} are not numbers"


@dataclass(frozen=True)
class _Statement:
    """The numbers of one source; None for missing ones."""

    key: str
    mpp: Found | None
    power_key: str
    power: Found | None
    note: str = ""


def _in_ome(description: str, size: Size, image: OmeImage | None) -> _Statement:
    keys = "OME PhysicalSizeX", "OME NominalMagnification"
    if image is None:
        try:
            images = ome_images(description)
        except OmeError as error:
            return _Statement(keys[0], None, keys[1], None, str(error))
        image = next((image for image in images if image.size == size), None)
    if image is None:
        note = f"the OME-XML has no image of {size.width}x{size.height} pixels"
        return _Statement(keys[0], None, keys[1], (None, note), note)
    note = "" if image.mpp else "the OME-XML gives no PhysicalSizeX and PhysicalSizeY in a length"
    return _Statement(keys[0], image.mpp, keys[1], image.power, note)


def _in_words(description: str) -> _Statement:
    key = "ImageDescription"
    sizes: dict[str, set[float]] = {"": set(), "x": set(), "y": set()}
    for before, after, number in _MPP.findall(description):
        sizes[(before or after).lower()].add(_float(number))
    sizes[""].update(_float(number) for number in _UNIT_LAST.findall(description))
    powers = {_float(number) for number in _POWER.findall(description)} - {0.0}
    power = next(((power, f"{power:g}") for power in powers if len(powers) == 1), None)
    across, down = (sizes[axis] or sizes[""] for axis in "xy")
    if len(across) == len(down) == 1:
        return _Statement(key, agreed_mpp(*across, *down), key, power)
    found = _ANY_WORD.search(description)
    return _Statement(
        key, None, key, power, f"ImageDescription says {found.group()!r}" if found else ""
    )


def _float(number: str) -> float:
    return float(number.replace(",", "."))


def _differ(one: Found, other: Found) -> bool:
    if one[0] is None or other[0] is None:
        return True
    return abs(one[0] - other[0]) > MPP_ANISOTROPY * min(one[0], other[0])
