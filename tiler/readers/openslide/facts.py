"""Facts of a slide from OpenSlide: levels, bounds, background and scale."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from functools import lru_cache

import openslide

from tiler.geometry import Box, Size
from tiler.readers.base import Facts
from tiler.readers.pyramid import Pyramid
from tiler.readers.scale import Scale, mpp_pair, resolve, scale_of

log = logging.getLogger("tiler")

_MPP_TIMES_POWER = 10.0  # a 40x scan has about 0.25 µm per pixel, a 20x scan about 0.5


def facts_of(
    slide: openslide.OpenSlide,
    levels: Pyramid,
    name: str,
    mpp: float | None,
    magnification: float | None,
    notes: Mapping[str, str] | None = None,
    description: object = None,
) -> Facts:
    """Return the facts of an open slide, with the overrides applied.

    Parameters
    ----------
    slide
        The open slide.
    levels
        The result of ``levels_of``.
    name
        Its name in outputs.
    mpp, magnification
        Overrides of the file's values.
    notes
        Text to add to ``Facts.provenance``.
    description
        A TIFF's ImageDescription; OpenSlide omits one that is not UTF-8.

    Raises
    ------
    ValueError
        If the bounds or the background are not numbers.
    """
    properties = _properties(slide)
    scale = _scale(properties, description, Size(*slide.dimensions))
    known_mpp, mpp_note = resolve("mpp", mpp, scale.mpp, scale.mpp_key)
    known_power, power_note = resolve("magnification", magnification, scale.power, scale.power_key)
    if known_mpp and known_power and not 0.5 < known_mpp * known_power / _MPP_TIMES_POWER < 2:
        mpp_note += f"; inconsistent with the objective power {known_power:g}"
        _warn_once(f"slide={name} mpp={known_mpp:g}: {mpp_note}")
    return Facts(
        level_dimensions=levels.sizes,
        level_downsamples=levels.downsamples,
        bounds=_bounds(properties, Size(*slide.dimensions)),
        mpp=known_mpp,
        magnification=known_power,
        provenance={
            "mpp": mpp_note,
            "magnification": power_note,
            **levels.notes,
            **(notes or {}),
        },
        properties=properties,
        background=_background(properties),
    )


@lru_cache(4096)
def _warn_once(problem: str) -> None:
    """Log a problem of a slide when a process opens it first: a dataset opens slides often."""
    log.warning("%s; set the correct value with reader.mpp or reader.magnification", problem)


def _scale(properties: Mapping[str, str], description: object, size: Size) -> Scale:
    """Return the scale from OpenSlide's properties, or else from a TIFF's description.

    For a generic TIFF, OpenSlide derives mpp from the resolution tags and reads no other scale.
    """
    vendor = properties.get(openslide.PROPERTY_NAME_VENDOR, "unknown")
    mpp_x, mpp_y = (
        properties.get(key)
        for key in (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y)
    )
    missing = f"the {vendor} file has no openslide.mpp-x and mpp-y{_said(properties)}"
    found = mpp_pair(mpp_x, mpp_y, missing)
    generic = vendor == "generic-tiff"
    scale = Scale(
        "tiff.XResolution" if generic else openslide.PROPERTY_NAME_MPP_X,
        found,
        openslide.PROPERTY_NAME_OBJECTIVE_POWER,
        _power(properties, vendor),
    )
    stated = mpp_x is not None and mpp_y is not None
    if stated and not generic:
        return scale
    return scale_of(description, size, scale, tags_say=stated)


def _properties(slide: openslide.OpenSlide) -> dict[str, str]:
    """Return all readable properties; OpenSlide lists names that it cannot read."""
    found = {}
    for key in slide.properties:
        try:
            found[key] = slide.properties[key]
        except KeyError:
            continue
    return found


def _said(properties: Mapping[str, str]) -> str:
    """Return the other scales that a file without mpp states, for the error."""
    keys = (
        openslide.PROPERTY_NAME_OBJECTIVE_POWER,
        "tiff.XResolution",
        "tiff.ResolutionUnit",
    )
    said = [f"{key}={properties[key]}" for key in keys if key in properties]
    return f"; it states {', '.join(said)}" if said else " nor any other scale"


def _power(properties: Mapping[str, str], vendor: str) -> tuple[float | None, str]:
    text = properties.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER)
    if text is None:
        return None, f"the {vendor} file has no openslide.objective-power"
    try:
        power = float(text)
    except ValueError:
        power = math.nan
    return (
        (power, text)
        if 0 < power < math.inf
        else (None, f"objective-power {text!r} is not a positive number")
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
