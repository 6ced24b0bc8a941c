"""Tiles saved as images by the class ``TileExtractor``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tiler.checks.pixels import transformed
from tiler.errors import ConfigError
from tiler.exporters.names import context_names, tile_names
from tiler.exporters.reading import read_tile
from tiler.exporters.tiles.encoders import encoder_for
from tiler.files import write_whole
from tiler.process.threads import in_order
from tiler.protocols import FittedTransform, WSIReader
from tiler.regions import RegionSpec, batches
from tiler.resolution import Resolution
from tiler.storage.destinations import inside, make_folder


def save_tiles(
    source: WSIReader,
    regions: Sequence[RegionSpec],
    folder: Path,
    max_workers: int,
    extension: str,
    context: Sequence[Resolution] = (),
    transforms: Sequence[FittedTransform] = (),
) -> list[Path]:
    """Write the images of each region, its tile and its context, and return their paths in order.

    All are transformed first.

    Raises
    ------
    RuntimeError
        If the folder cannot be created, or tiles cannot be read or written. The error states the
        number of tiles and the first cause; the other tiles stay.
    """
    if not isinstance(max_workers, int) or isinstance(max_workers, bool) or max_workers < 1:
        raise ConfigError(f"max_workers={max_workers!r} is invalid; use a whole number, 1 or more")
    encode = encoder_for(extension)
    make_folder(folder)

    def images() -> Iterator[tuple[RegionSpec, str, Resolution | None]]:
        for some in batches(regions):
            tiles = tile_names(source.name, some, extension)
            others = [context_names(tiles, extension, resolution) for resolution in context]
            for region, *names in zip(some, tiles, *others, strict=True):
                for name, resolution in zip(names, (None, *context), strict=True):
                    yield region, name, resolution

    def one(image: tuple[RegionSpec, str, Resolution | None]) -> Path | Exception:
        region, name, resolution = image
        path = inside(folder, name)
        try:
            pixels = read_tile(source, region, resolution)
            write_whole(path, encode(transformed(source, pixels, transforms)))
        except Exception as error:  # after any error, the other tiles are still needed
            return error
        return path

    done = list(in_order(one, images(), max_workers))
    errors = [item for item in done if isinstance(item, Exception)]
    if errors:
        raise RuntimeError(
            f"{len(errors)} of {len(done)} tiles of slide {source.name} failed; the first:"
            f" {errors[0]}"
        ) from errors[0]
    return [item for item in done if isinstance(item, Path)]
