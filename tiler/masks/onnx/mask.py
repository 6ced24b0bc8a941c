"""Tissue, or any other class, found by a segmentation network."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np

from tiler.errors import ConfigError, Fix, LimitError, MaskError
from tiler.geometry import Box, Point, Size, is_number
from tiler.masks.checks import positive, whole
from tiler.masks.onnx.choice import Choice
from tiler.masks.onnx.files import other_files
from tiler.masks.onnx.network import Channels, opened
from tiler.masks.onnx.stitching import Values, blended, merged
from tiler.masks.onnx.view import filled, view_at
from tiler.masks.thumbnail import MAX_PIXELS
from tiler.protocols import Mask, WSIReader

log = logging.getLogger("tiler")

_LAYOUTS = ("nchw", "nhwc")
_MOST_OVERLAP = 0.9
_NO_MEAN, _NO_STD = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class OnnxMask:
    """A mask from a segmentation network in an ONNX file.

    The network gets square tiles of the slide's bounded area at ``mpp``. Its maps are blended where
    tiles overlap: see ``tiler.masks.onnx.stitching``. A map may be coarser than its tile by a whole
    number. The threshold is compared with the network's values as they are. For logits, end the
    network with a sigmoid or softmax, or set ``threshold=0``: 0.5 after a sigmoid.

    Parameters
    ----------
    path
        The ONNX file.
    mpp
        Microns per pixel of the network's input.
    tile
        Width and height of the network's input in pixels.
    overlap
        Share of a tile that its neighbour has too, 0 to 0.9. Three eighths of it count for nothing
        at a tile's border. They should cover the radius of the network's receptive field.
    mean, std
        One for red, green and blue each: the network gets ``(pixel / 255 - mean) / std``.
    layout
        ``nchw`` or ``nhwc``: the order of axes of input and output.
    output
        The channel, counted from 0; None for the only one.
    threshold
        The channel's minimum value; or None: the channel has the largest value of all (argmax). In
        a map of class numbers, None selects the class ``output``.
    providers
        Execution providers of onnxruntime, in order of preference.

    Raises
    ------
    ConfigError
        If a value is invalid, or the extra ``tiler[onnx]`` is not installed.
    """

    thresholds: ClassVar[bool] = True

    path: str
    mpp: float
    tile: int = 512
    overlap: float = 0.25
    mean: Sequence[float] = _NO_MEAN
    std: Sequence[float] = _NO_STD
    layout: str = "nchw"
    output: int | None = None
    threshold: float | None = 0.5
    providers: Sequence[str] = ("CPUExecutionProvider",)

    def __post_init__(self) -> None:
        if find_spec("onnxruntime") is None:
            raise ConfigError("mask=onnx needs the extra tiler[onnx]: pip install 'tiler[onnx]'")
        text = str(self.path) if isinstance(self.path, str | Path) else ""
        if text in ("", ".") or "\0" in text:
            raise ConfigError(f"mask.path={self.path!r} is invalid; use the path of an ONNX file")
        positive("mpp", self.mpp)
        whole("tile", self.tile, 1, 8192)
        if not is_number(self.overlap) or not 0 <= self.overlap <= _MOST_OVERLAP:
            raise ConfigError(
                f"mask.overlap={self.overlap!r} is invalid; use a share of the tile from 0 to"
                f" {_MOST_OVERLAP}"
            )
        if self.layout not in _LAYOUTS:
            raise ConfigError(f"mask.layout={self.layout!r} is invalid; use nchw or nhwc")
        if self.output is not None:
            whole("output", self.output, 0, 1 << 31)
        if self.threshold is not None and not is_finite(self.threshold):
            raise ConfigError(
                f"mask.threshold={self.threshold!r} is invalid; use a number, or null for the"
                " largest channel"
            )
        object.__setattr__(self, "path", text)
        object.__setattr__(self, "mean", _three("mean", self.mean, -math.inf))
        object.__setattr__(self, "std", _three("std", self.std, 0.0))
        object.__setattr__(self, "providers", _names(self.providers))

    def inputs(self, slide_name: str) -> tuple[Path, ...]:
        """Return the network's file, and the files with weights that it names."""
        path = Path(self.path)
        try:
            return (path, *other_files(path))
        except OSError:  # ``generate`` reports it
            return (path,)

    def generate(self, source: WSIReader) -> Mask:
        """Return the mask of a slide: bool (h, w), as fine as the network's output.

        If it had more than ``MAX_PIXELS`` pixels, squares of values are averaged first.

        Raises
        ------
        MaskError
            If the network cannot be used, or its output is not finite.
        ResolutionError
            If the slide's mpp is unknown, or the slide is coarser than ``mpp``.
        LimitError
            If the mask has too many pixels, even if all values of a tile are averaged.
        """
        view = view_at(source, self.mpp)
        network = opened(self.path, tuple(self.providers), source.name)
        scaled = (self.mean, self.std) != (_NO_MEAN, _NO_STD)
        network.check(self.tile, self.layout, scaled, source.name)
        choice = Choice(self.output, self.threshold)
        seen = _Range()

        @lru_cache(maxsize=1)  # the first tile tells the size of the maps
        def maps_at(at: Point) -> Channels:
            width, height = (min(self.tile, of - v) for of, v in zip(view.size, at, strict=True))
            pixels = filled(view.read(Box(*at, width, height)), Size(self.tile, self.tile))
            return network.run(pixels, self.mean, self.std, self.layout, source.name)

        first = maps_at(Point(0, 0))
        limit = choice.limit(first, self.path, source.name)
        values_per_tile, pixels_per_value = self._scale(view.size, first.shape[1], source.name)

        def values_at(at: Point) -> Values:
            corner = Point(at.x * pixels_per_value, at.y * pixels_per_value)
            values = choice.values(maps_at(corner))
            if not np.isfinite(values).all():
                raise MaskError(
                    source.name,
                    f"the network {self.path} returns NaN or infinity for the tile at {corner[:]}"
                    f" in pixels of mask.mpp={self.mpp:g}; check the network, mask.mean and"
                    " mask.std",
                )
            seen.add(values)
            return merged(values, values_per_tile)

        overlap = min(math.ceil(self.overlap * values_per_tile), values_per_tile - 1)
        size = _divided(view.size, pixels_per_value)
        bands = blended(size, values_per_tile, overlap, values_at)
        mask = np.concatenate([band >= limit for band in bands])
        if self.threshold is not None and 0 < self.threshold < 1 and not seen.within(0, 1):
            log.warning(
                "slide=%s: the network's values range from %.3g to %.3g, so they are not"
                " probabilities; mask.threshold=%g is compared with them as they are (for logits, 0"
                " is a probability of 0.5)",
                source.name, seen.low, seen.high, self.threshold,
            )  # fmt: skip
        return mask

    def _scale(self, size: Size, side: int, slide: str) -> tuple[int, int]:
        """Return the values of the mask along a tile, and the pixels of a tile along a value.

        Parameters
        ----------
        size
            Pixels of the area.
        side
            Values along a tile as the network returns them.
        slide
            The slide's name, for errors.
        """
        for count in (count for count in range(side, 0, -1) if side % count == 0):
            mask = _divided(size, self.tile // count)
            if mask.width * mask.height <= MAX_PIXELS:
                return count, self.tile // count
        raise LimitError(
            slide,
            f"mask.mpp={self.mpp:g} makes the slide {size.width}x{size.height} pixels, too many for"
            f" tiles of {self.tile}",
            fix=Fix("choose a larger mask.tile", "choose a larger OnnxMask(tile=…)"),
        )


@dataclass
class _Range:
    """The lowest and the highest of some values."""

    low: float = math.inf
    high: float = -math.inf

    def add(self, values: Values) -> None:
        self.low = min(self.low, float(values.min()))
        self.high = max(self.high, float(values.max()))

    def within(self, low: float, high: float) -> bool:
        return low <= self.low and self.high <= high


def _divided(size: Size, by: int) -> Size:
    """Return a size in units of ``by`` pixels, rounded up."""
    return Size(-(-size.width // by), -(-size.height // by))


def is_finite(value: object) -> bool:
    """Return whether a value is a finite number."""
    return is_number(value) and math.isfinite(float(str(value)))


def _three(field: str, value: object, above: float) -> tuple[float, ...]:
    """Return three finite numbers, one for each of red, green and blue."""
    numbers = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    if len(numbers) != 3 or not all(is_finite(one) and float(one) > above for one in numbers):
        kind = "numbers" if above < 0 else "positive numbers"
        raise ConfigError(f"mask.{field}={value!r} is invalid; use three {kind}, for R, G and B")
    return tuple(map(float, numbers))


def _names(value: object) -> tuple[str, ...]:
    """Return a list of names of execution providers."""
    names = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ConfigError(
            f"mask.providers={value!r} is invalid; use a list, such as [CPUExecutionProvider]"
        )
    return tuple(names)
