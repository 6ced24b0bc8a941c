"""The demo slide, which tiler draws, so that no download is needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tiler.errors import ConfigError
from tiler.geometry import Box, Size
from tiler.protocols import Pixels, SlideEntry
from tiler.slides.painter import paint
from tiler.storage.destinations import destination_error, expanded, make_folder
from tiler.storage.named import opened_by_name

SIZE = Size(4864, 3584)
MPP = 0.25
_TILE = 256
_BLOCK = 1024  # pixels painted at once; small blocks skip empty glass
_STEP = 4  # downsample between neighbouring levels
_PAINTER = "tiler demo slide, painter 1"  # increment to redraw when the picture changes
_PAINTERS = b"Aperio format, tiler demo slide, painter "  # of any version
_MAX_BYTES = 64 << 20  # of a demo slide


def demo_slide(folder: str = "outputs/demo-slide") -> list[SlideEntry]:
    """Return the demo slide ``<folder>/demo.svs``; draw it if it is missing.

    Parameters
    ----------
    folder
        The slide's folder; created if it is missing.

    Raises
    ------
    ConfigError
        If the name belongs to another file.
    """
    path = make_folder(Path(expanded(folder))) / "demo.svs"
    if not _is_current(path):
        from filelock import FileLock

        with FileLock(path.with_name(".demo.lock")):  # several jobs may draw it at once
            if not _is_current(path):
                _refuse_to_replace(path)
                write_demo_slide(path)
    return [SlideEntry(path, given=str(Path(folder) / path.name))]


def write_demo_slide(path: Path, size: Size = SIZE, mpp: float = MPP) -> Path:
    """Write a synthetic slide as a tiled pyramid that OpenSlide takes for an Aperio one.

    One row of tiles of level 0 is in memory at a time. Each other level stays in memory until it
    is written.

    Parameters
    ----------
    path
        The file; it appears whole or not at all.
    size
        Width and height of level 0 in pixels.
    mpp
        The scale in the file, in microns per pixel; it determines the magnification.

    Raises
    ------
    ConfigError
        If a side is shorter than one tile.
    DestinationError
        If the file cannot be written; no partial file stays.
    """
    if min(size) < _TILE:
        raise ConfigError(f"size={tuple(size)} is too small; use at least {_TILE} pixels per side")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        _write_pyramid(partial, size, mpp)
        partial.replace(path)
    except OSError as error:
        raise destination_error(error, path) from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def _write_pyramid(path: Path, size: Size, mpp: float) -> None:
    """Write the levels in order; reduce each one while it is written to get the next."""
    import tifffile

    shapes = [size]
    while min(shapes[-1]) // _STEP >= _TILE // 2:
        shapes.append(Size(shapes[-1].width // _STEP, shapes[-1].height // _STEP))
    strips = _painted(size)
    with tifffile.TiffWriter(path, bigtiff=size.width * size.height > 1 << 31) as tiff:
        for shape in shapes:
            below = np.empty((shape.height // _STEP, shape.width // _STEP, 3), np.uint8)
            tiff.write(
                _tiles(_keeping_reduced(strips, below)),
                shape=(shape.height, shape.width, 3),
                dtype=np.uint8,
                tile=(_TILE, _TILE),
                photometric="rgb",
                subsampling=(2, 2),
                compression="jpeg",
                compressionargs={"level": 85},
                description=_description(size, shape, mpp),
                subfiletype=0 if shape == size else 1,
                metadata=None,
                software=False,
            )
            strips = _strips(below)


def _painted(size: Size) -> Iterator[Pixels]:
    """Yield level 0 in strips of one row of tiles."""
    for top in range(0, size.height, _TILE):
        height = min(_TILE, size.height - top)
        lefts = range(0, size.width, _BLOCK)
        blocks = [Box(left, top, min(_BLOCK, size.width - left), height) for left in lefts]
        yield np.concatenate([paint(block, size) for block in blocks], axis=1)


def _strips(picture: Pixels) -> Iterator[Pixels]:
    """Yield a picture in strips of one row of tiles."""
    for top in range(0, len(picture), _TILE):
        yield picture[top : top + _TILE]


def _keeping_reduced(strips: Iterator[Pixels], below: Pixels) -> Iterator[Pixels]:
    """Yield the strips, and write their averages over 4 x 4 into ``below``, the next level."""
    top = 0
    for strip in strips:
        height, width = strip.shape[0] // _STEP, strip.shape[1] // _STEP
        whole = strip[: height * _STEP, : width * _STEP]
        # Sums over slices take a fifth of the time of mean() over the axes of blocks.
        lines = np.add.reduce([whole[n::_STEP] for n in range(_STEP)], dtype=np.uint16)
        sums = np.add.reduce([lines[:, n::_STEP] for n in range(_STEP)])
        below[top : top + height] = np.rint(sums / _STEP**2)
        top += height
        yield strip


def _tiles(strips: Iterator[Pixels]) -> Iterator[Pixels]:
    """Yield whole tiles of each strip; pad the last ones by repeating their edge."""
    for strip in strips:
        height, width, _ = strip.shape
        rest = ((0, _TILE - height), (0, -width % _TILE), (0, 0))
        padded = np.pad(strip, rest, mode="edge")
        for left in range(0, width, _TILE):
            yield np.ascontiguousarray(padded[:, left : left + _TILE])


def _description(size: Size, shape: Size, mpp: float) -> str:
    """Return the text from which OpenSlide recognises an Aperio slide and its scale."""
    return (
        f"Aperio format, {_PAINTER}\r\n{size.width}x{size.height} -> {shape.width}x{shape.height}"
        f" ({_TILE}x{_TILE}) JPEG Q=85|AppMag = {10 / mpp:g}|MPP = {mpp:g}"
    )


def _refuse_to_replace(path: Path) -> None:
    """Refuse to overwrite a file that is not a demo slide."""
    if os.path.lexists(path) and _PAINTERS not in _content(path):
        raise ConfigError(f"{path} is not a demo slide; move it, or set another slides.folder")


def _is_current(path: Path) -> bool:
    """Return whether the file exists and this version of the painter drew it."""
    return f"{_PAINTER}\r\n".encode() in _content(path)


def _content(path: Path) -> bytes:
    """Return a file's content, empty if it cannot be a demo slide."""
    try:
        with opened_by_name(path, _MAX_BYTES) as file:
            return file.read()
    except OSError:
        return b""
