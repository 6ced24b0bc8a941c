"""Read each tile of a piece of work once, transform it once, and encode it for each exporter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from tiler.errors import ReadError, SlideError
from tiler.exporters.reading import tile_pixels
from tiler.process.startup import default_threads
from tiler.process.threads import in_order
from tiler.protocols import (
    FailedTile,
    FittedTransform,
    Mask,
    NativeTiles,
    Pixels,
    TileExporter,
    WSIReader,
)
from tiler.regions import Regions, RegionSpec
from tiler.resolution import Resolution
from tiler.runner.components import encode
from tiler.runner.work.tiles.done import Written


class Sink(Protocol):
    """Stores the bytes of an exporter's tiles."""

    def write(self, index: int, data: bytes) -> Any:
        """Store the bytes of a tile, by its index in the piece; several threads call it."""

    def add(self, written: Any) -> None:
        """Take note of a result of ``write``; one thread calls it."""

    def done(self) -> Written:
        """Return what was written, once all tiles are stored."""


@dataclass(frozen=True)
class Output:
    """An exporter of tiles, and the store of its bytes.

    Attributes
    ----------
    name, exporter
        As in the job.
    wanted
        bool (N,): the tiles of the piece that the exporter needs.
    sink
        Stores the bytes.
    """

    name: str
    exporter: TileExporter
    wanted: Mask
    sink: Sink

    @property
    def context(self) -> Resolution | None:
        """The resolution of the context tiles that the exporter encodes; None for the tiles."""
        return context_of(self.exporter)


def context_of(exporter: TileExporter) -> Resolution | None:
    """Return the resolution of the context tiles that an exporter encodes; None for the tiles."""
    found: Resolution | None = getattr(exporter, "context", None)
    return found


def is_native(exporter: TileExporter) -> bool:
    """Return whether an exporter stores native tiles without decoding."""
    return bool(getattr(exporter, "passthrough", False))


def write_tiles(
    source: WSIReader,
    regions: Regions,
    outputs: Sequence[Output],
    transforms: Sequence[FittedTransform] = (),
) -> tuple[FailedTile, ...]:
    """Write the tiles of a piece of work, and return those that cannot be read.

    A tile is read once for each resolution that an exporter needs: the tiles' own first, so that
    neighbours share native tiles. Threads read, encode and store; no bytes wait in memory.
    """
    failed: list[FailedTile] = []
    given = [getattr(output.exporter, "threads", None) for output in outputs]
    threads = max(filter(None, given), default=0) or default_threads()
    places = replace(regions, columns={})  # neither pixels nor bytes depend on columns of tables
    for context in dict.fromkeys(output.context for output in outputs):
        some = [output for output in outputs if output.context == context]
        wanted = np.stack([output.wanted for output in some], axis=1)
        chosen = np.flatnonzero(wanted.any(axis=1))
        tiles = zip(chosen.tolist(), places.take(chosen), wanted[chosen].tolist(), strict=True)
        write = _writer(source, some, context, transforms)
        for written, bad in in_order(write, tiles, threads):
            for sink, result in written:
                sink.add(result)
            if bad is not None:
                failed.append(bad)
    return tuple(failed)


_Tile = tuple[int, RegionSpec, list[bool]]
"""A tile's index in the piece, its region, and whether each exporter needs it."""


def _writer(
    source: WSIReader,
    outputs: Sequence[Output],
    context: Resolution | None,
    transforms: Sequence[FittedTransform],
) -> Callable[[_Tile], tuple[list[tuple[Sink, Any]], FailedTile | None]]:
    """Return the function that writes a tile; it returns the sinks with their results."""
    natives = [_native_reader(source, out.name) if is_native(out.exporter) else None
               for out in outputs]  # fmt: skip
    of_context = f" (in its context tile, {context.token})" if context else ""

    def write(tile: _Tile) -> tuple[list[tuple[Sink, Any]], FailedTile | None]:
        index, region, needs = tile
        written: list[tuple[Sink, Any]] = []
        pixels: Pixels | None = None
        try:
            for place, output in enumerate(outputs):
                if not needs[place]:
                    continue
                if native := natives[place]:
                    data = native.native_jpeg(region.location, region.shape, region.resolution)
                else:
                    if pixels is None:
                        pixels = tile_pixels(source, region, context, transforms)
                    data = encode(output.exporter, source, pixels)
                written.append((output.sink, output.sink.write(index, data)))
        except ReadError as error:
            return written, FailedTile(region, error.what + of_context)
        return written, None

    return write


def _native_reader(source: WSIReader, exporter: str) -> NativeTiles:
    if not isinstance(source, NativeTiles):
        raise SlideError(
            source.name,
            f"exporter.{exporter}.passthrough=true needs a tiled TIFF that reader=tiff reads, but"
            f" {type(source).__name__} reads this slide; set exporter.{exporter}.passthrough=false",
        )
    return source
