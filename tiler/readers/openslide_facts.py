"""What OpenSlide knows of a slide: its levels, bounds, background and scale."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

import openslide

from tiler.geometry import Box, Size
from tiler.readers.base import Facts, mpp_pair, resolve

log = logging.getLogger("tiler")

_MPP_TIMES_POWER = 10.0  # a 40x scan has about 0.25 µm per pixel, a 20x scan about 0.5


def facts_of(
    slide: openslide.OpenSlide, name: str, mpp: float | None, magnification: float | None
) -> Facts:
    """What an open slide says of itself, with what the configuration says instead.

    Raises
    ------
    ValueError
        When its bounds or its background are no numbers.
    """
    properties = _properties(slide)
    vendor = properties.get(openslide.PROPERTY_NAME_VENDOR, "unknown")
    found_mpp = mpp_pair(
        properties.get(openslide.PROPERTY_NAME_MPP_X),
        properties.get(openslide.PROPERTY_NAME_MPP_Y),
        f"the {vendor} file has no openslide.mpp-x and mpp-y{_said(properties)}",
    )
    # OpenSlide derives a generic TIFF's mpp from its resolution tags.
    key = "tiff.XResolution" if vendor == "generic-tiff" else openslide.PROPERTY_NAME_MPP_X
    known_mpp, mpp_note = resolve("mpp", mpp, found_mpp, key)
    known_power, power_note = resolve(
        "magnification",
        magnification,
        _power(properties, vendor),
        openslide.PROPERTY_NAME_OBJECTIVE_POWER,
    )
    if known_mpp and known_power and not 0.5 < known_mpp * known_power / _MPP_TIMES_POWER < 2:
        mpp_note += f"; at odds with the objective power {known_power:g}"
        log.warning(
            "slide=%s mpp=%g: %s; set the right one by reader.mpp or reader.magnification",
            name,
            known_mpp,
            mpp_note,
        )
    return Facts(
        level_dimensions=tuple(Size(*d) for d in slide.level_dimensions),
        level_downsamples=tuple(float(d) for d in slide.level_downsamples),
        bounds=_bounds(properties, Size(*slide.dimensions)),
        mpp=known_mpp,
        magnification=known_power,
        provenance={"mpp": mpp_note, "magnification": power_note},
        properties=properties,
        background=_background(properties),
    )


def _properties(slide: openslide.OpenSlide) -> dict[str, str]:
    """All properties that can be had: OpenSlide lists some names that it cannot look up."""
    found = {}
    for key in slide.properties:
        try:
            found[key] = slide.properties[key]
        except KeyError:
            continue
    return found


def _said(properties: Mapping[str, str]) -> str:
    """What a file without mpp says of its scale, for the error that it causes."""
    keys = (
        openslide.PROPERTY_NAME_OBJECTIVE_POWER,
        "tiff.XResolution",
        "tiff.ResolutionUnit",
    )
    said = [f"{key}={properties[key]}" for key in keys if key in properties]
    return f"; it says {', '.join(said)}" if said else " nor any other scale"


def _power(properties: Mapping[str, str], vendor: str) -> tuple[float | None, str]:
    text = properties.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER)
    if text is None:
        return None, f"the {vendor} file has no openslide.objective-power"
    try:
        power = float(text)
    except ValueError:
        power = math.nan
    return (
        (power, text) if 0 < power < math.inf else (None, f"objective-power {text!r} is unusable")
    )


def _bounds(properties: Mapping[str, str], dimensions: Size) -> Box:
    names = ("x", "y", "width", "height")
    texts = [properties.get(f"openslide.bounds-{name}") for name in names]
    if any(text is None for text in texts):
        return Box(0, 0, *dimensions)
    x, y, width, height = (int(text) for text in texts if text is not None)
    left, top = max(0, x), max(0, y)
    right, bottom = min(dimensions.width, x + width), min(dimensions.height, y + height)
    return Box(left, top, max(0, right - left), max(0, bottom - top))


def _background(properties: Mapping[str, str]) -> tuple[int, int, int]:
    text = properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, "FFFFFF").lstrip("#")
    red, green, blue = bytes.fromhex(text)
    return red, green, blue
