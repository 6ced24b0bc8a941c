"""Slides through OpenSlide, never through its fallback to Pillow."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import openslide
from PIL.Image import Image

from tiler.errors import ConfigError, LimitError, OpenError, ReadError
from tiler.geometry import Box, Size
from tiler.protocols import Pixels
from tiler.readers.base import Facts, LevelReader, mpp_pair, resolve
from tiler.readers.limits import MAX_PIXELS, MAX_TILE_BYTES
from tiler.readers.preflight import check_claims, check_depth, diagnosis, look
from tiler.readers.selftest import check_openslide

log = logging.getLogger("tiler")

_MPP_TIMES_POWER = 10.0  # a 40x scan has about 0.25 µm per pixel, a 20x scan about 0.5


class OpenSlideReader(LevelReader):
    """A slide in any format that OpenSlide knows.

    Parameters
    ----------
    path
        The slide's file.
    name
        Its name in outputs; the file's stem if None.
    mpp
        Microns per level-0 pixel, instead of what the file says.
    magnification
        Objective power of level 0, instead of what the file says.
    allow_upsampling
        Whether a target finer than level 0 may be enlarged from it.
    max_pixels
        Slides that claim more pixels on level 0 are refused.
    max_tile_bytes
        Slides whose own tiles would take more memory are refused: OpenSlide ends the whole
        process when it cannot allocate one.

    Raises
    ------
    OpenError
        When OpenSlide cannot open the file.
    LimitError
        When the slide or its own tiles are larger than allowed.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        mpp: float | None = None,
        magnification: float | None = None,
        allow_upsampling: bool = False,
        max_pixels: int = MAX_PIXELS,
        max_tile_bytes: int = MAX_TILE_BYTES,
    ) -> None:
        path = Path(path)
        look(path, name or path.stem)
        check_claims(path, name or path.stem)
        check_openslide()
        try:
            slide = openslide.OpenSlide(path)
        except openslide.OpenSlideError as error:
            raise OpenError(name or path.stem, diagnosis(path, str(error))) from error
        with ExitStack() as on_error:
            on_error.callback(slide.close)
            try:
                facts = facts_of(slide, mpp, magnification)
            except ConfigError:
                raise
            except ValueError as error:
                what = f"{path.name}: its metadata are malformed: {error}"
                raise OpenError(name or path.stem, what) from error
            check_limits(slide, name or path.stem, max_pixels, max_tile_bytes)
            if facts.properties.get(openslide.PROPERTY_NAME_VENDOR) == "generic-tiff":
                check_depth(path, name or path.stem)
            on_error.pop_all()
        super().__init__(path, name, facts, allow_upsampling)
        self._slide = slide
        self.reopened = 0
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the handle; closing twice is harmless."""
        self._slide.close()

    def _read_level(self, level: int, x: int, y: int, size: Size) -> Pixels:
        downsample = self.level_downsamples[level]
        # OpenSlide counts in level-0 pixels even for other levels.
        location = (round(x * downsample), round(y * downsample))
        try:
            image = self._read_twice(location, level, size)
        except openslide.OpenSlideError as error:
            raise ReadError(
                self.name,
                f"level {level} at ({x}, {y}) {size.width}x{size.height}: {error}",
                level,
                x,
                y,
            ) from error
        if image.getchannel("A").getextrema() == (255, 255):
            return np.asarray(image.convert("RGB"))
        return _over(np.asarray(image), self.facts.background)

    def _read_twice(self, location: tuple[int, int], level: int, size: Size) -> Image:
        """Read, once more by a handle of its own if that fails.

        The failure may be another thread's: one error closes a handle to everybody.
        """
        slide = self._slide
        try:
            return slide.read_region(location, level, (size.width, size.height))
        except openslide.OpenSlideError:
            self._replace(slide)
        with openslide.OpenSlide(self.path) as own:
            return own.read_region(location, level, (size.width, size.height))

    def _replace(self, broken: openslide.OpenSlide) -> None:
        """Open a new handle for what remains, unless another thread has done so."""
        with self._lock:
            if self._slide is broken:
                self._slide = openslide.OpenSlide(self.path)
                self.reopened += 1


def _over(rgba: Pixels, background: tuple[int, int, int]) -> Pixels:
    alpha = rgba[..., 3:].astype(np.float32) / 255
    mixed = rgba[..., :3] * alpha + np.array(background, np.float32) * (1 - alpha)
    return np.rint(mixed).astype(np.uint8)


def facts_of(slide: openslide.OpenSlide, mpp: float | None, magnification: float | None) -> Facts:
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
        log.warning("mpp %g is at odds with the objective power %g", known_mpp, known_power)
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


def check_limits(
    slide: openslide.OpenSlide, name: str, max_pixels: int, max_tile_bytes: int
) -> None:
    """Refuse sizes that nobody could hold, before anything of them is allocated."""
    width, height = slide.dimensions
    if width * height > max_pixels:
        raise LimitError(
            name,
            f"{width}x{height} pixels are more than reader.max_pixels={max_pixels}; raise it if"
            " the slide is real",
        )
    for level in range(slide.level_count):
        across = int(slide.properties.get(f"openslide.level[{level}].tile-width", 0))
        down = int(slide.properties.get(f"openslide.level[{level}].tile-height", 0))
        if 4 * across * down > max_tile_bytes:
            raise LimitError(
                name,
                f"a tile of level {level}, {across}x{down}, needs {4 * across * down:,} bytes,"
                f" more than reader.max_tile_bytes={max_tile_bytes}; raise it if memory allows",
            )


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
