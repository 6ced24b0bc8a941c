"""Tiles saved as images by the class ``TileExtractor``."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from tiler.checks.pixels import transformed
from tiler.errors import ConfigError
from tiler.exporters.names import context_names, tile_names
from tiler.exporters.reading import read_tile
from tiler.exporters.tiles.encoders import EXTENSIONS, Encoder, by_pillow, make_encoder
from tiler.files import write_whole
from tiler.process.threads import in_order
from tiler.protocols import FittedTransform, WSIReader
from tiler.regions import RegionSpec, batches
from tiler.resolution import Resolution
from tiler.storage.destinations import inside, make_folder

_OWN = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "TIFF": "tif"}
"""Pillow's names of the formats that tiler encodes itself."""


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


def encoder_for(extension: str) -> Encoder:
    """Choose an encoder by a file's extension, in any case: tiler's, or else Pillow's.

    Pillow's encoders use their default settings; formats such as GIF lose colours.

    Raises
    ------
    ConfigError
        If neither tiler nor Pillow writes RGB images with this extension.
    """
    name = extension.lower() if isinstance(extension, str) else ""
    if name in EXTENSIONS:
        return make_encoder(name)
    from PIL import Image

    kind = Image.registered_extensions().get(f".{name}", "")
    if kind in _OWN:
        return make_encoder(_OWN[kind])
    encode = partial(by_pillow, kind=kind)
    if not _takes_rgb(encode):
        raise ConfigError(
            f"extension={extension!r}: neither tiler nor Pillow writes RGB images so; use png, jpg,"
            " webp, tif, or another of PIL.Image.registered_extensions(), without its dot"
        )
    return encode


def _takes_rgb(encode: Encoder) -> bool:
    """Return whether an RGB image can be saved at its size; only a trial shows it."""
    from PIL import Image, UnidentifiedImageError

    try:
        data = encode(np.zeros((203, 301, 3), np.uint8))  # larger than any icon
        with Image.open(io.BytesIO(data)) as image:
            return image.size == (301, 203)
    except UnidentifiedImageError:  # some formats, such as PDF, can only be written
        return True
    except (KeyError, OSError, ValueError):
        return False
