"""The demo slide, which tiler draws itself, so that no download is needed."""

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

SIZE = Size(4864, 3584)
MPP = 0.25
_TILE = 256
_BLOCK = 1024  # pixels painted at once: small, so that empty glass is skipped
_STEP = 4  # downsample from level to level
_PAINTER = "tiler demo slide, painter 1"  # raised when the picture changes: old files are redrawn
_PAINTERS = b"Aperio format, tiler demo slide, painter "  # of any version


def demo_slide(folder: str = "outputs/demo-slide") -> list[SlideEntry]:
    """The demo slide ``<folder>/demo.svs``, drawn if it is not there yet.

    Parameters
    ----------
    folder
        Where it is kept; created if need be.

    Raises
    ------
    ConfigError
        When another file has its name.
    """
    path = make_folder(Path(expanded(folder))) / "demo.svs"
    if not _is_current(path):
        from filelock import FileLock

        with FileLock(path.with_name(".demo.lock")):  # jobs that run at once may all need it
            if not _is_current(path):
                _refuse_to_replace(path)
                write_demo_slide(path)
    return [SlideEntry(path, given=str(Path(folder) / path.name))]


def write_demo_slide(path: Path, size: Size = SIZE, mpp: float = MPP) -> Path:
    """Write a synthetic slide as a tiled pyramid that OpenSlide takes for an Aperio one.

    Of level 0 one row of tiles is in memory at a time; each other level is kept whole until it is
    written.

    Parameters
    ----------
    path
        The file; it appears whole or not at all.
    size
        Width and height of level 0 in pixels.
    mpp
        The scale in the file, in microns per pixel; the magnification follows.

    Raises
    ------
    ConfigError
        When the size is smaller than one tile.
    DestinationError
        When the file cannot be written; no part of it stays.
    """
    if min(size) < _TILE:
        raise ConfigError(f"size={tuple(size)}: a demo slide has at least {_TILE} pixels a side")
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
    """Write the levels one after the other, each reduced from the one before as that passes."""
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
    """Level 0 in strips of one row of tiles."""
    for top in range(0, size.height, _TILE):
        height = min(_TILE, size.height - top)
        lefts = range(0, size.width, _BLOCK)
        blocks = [Box(left, top, min(_BLOCK, size.width - left), height) for left in lefts]
        yield np.concatenate([paint(block, size) for block in blocks], axis=1)


def _strips(picture: Pixels) -> Iterator[Pixels]:
    """A picture in strips of one row of tiles."""
    for top in range(0, len(picture), _TILE):
        yield picture[top : top + _TILE]


def _keeping_reduced(strips: Iterator[Pixels], below: Pixels) -> Iterator[Pixels]:
    """Pass strips on, and fill ``below``, the next level, with their averages over 4 x 4."""
    top = 0
    for strip in strips:
        height, width = strip.shape[0] // _STEP, strip.shape[1] // _STEP
        whole = strip[: height * _STEP, : width * _STEP]
        # Sums over slices: a fifth of the time of mean() over the axes of blocks.
        lines = np.add.reduce([whole[n::_STEP] for n in range(_STEP)], dtype=np.uint16)
        sums = np.add.reduce([lines[:, n::_STEP] for n in range(_STEP)])
        below[top : top + height] = np.rint(sums / _STEP**2)
        top += height
        yield strip


def _tiles(strips: Iterator[Pixels]) -> Iterator[Pixels]:
    """Whole tiles of each strip, the last ones filled up with their own edge."""
    for strip in strips:
        height, width, _ = strip.shape
        rest = ((0, _TILE - height), (0, -width % _TILE), (0, 0))
        padded = np.pad(strip, rest, mode="edge")
        for left in range(0, width, _TILE):
            yield np.ascontiguousarray(padded[:, left : left + _TILE])


def _description(size: Size, shape: Size, mpp: float) -> str:
    """Return the text by which OpenSlide recognises an Aperio slide and its scale."""
    return (
        f"Aperio format, {_PAINTER}\r\n{size.width}x{size.height} -> {shape.width}x{shape.height}"
        f" ({_TILE}x{_TILE}) JPEG Q=85|AppMag = {10 / mpp:g}|MPP = {mpp:g}"
    )


def _refuse_to_replace(path: Path) -> None:
    """Refuse to draw over a file that is no demo slide."""
    if os.path.lexists(path) and not (path.is_file() and _PAINTERS in path.read_bytes()):
        raise ConfigError(
            f"{path} is not a slide that tiler drew; move it away, or set another slides.folder"
        )


def _is_current(path: Path) -> bool:
    """Return whether the file is there and was drawn by this painter."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return f"{_PAINTER}\r\n".encode() in file.read()
