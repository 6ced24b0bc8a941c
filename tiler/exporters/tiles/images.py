"""Tile images: read, encode in memory and write several tiles at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from zlib import crc32

from tiler.checks.pixels import checked_pixels
from tiler.errors import ConfigError, ReadError, SlideError
from tiler.exporters.names import Naming, check_naming, context_names, gigapath_names, tile_names
from tiler.exporters.tiles.encoders import make_encoder
from tiler.exporters.tiles.gigapath import DATASET, TREE, dataset_csv, folder_links
from tiler.files import write_plain
from tiler.process.startup import default_threads
from tiler.process.threads import in_order
from tiler.protocols import (
    Exported,
    FailedTile,
    FinishedSlide,
    Mask,
    NativeTiles,
    Pixels,
    WSIReader,
)
from tiler.regions import Regions, RegionSpec, batches, packed
from tiler.resolution import Resolution
from tiler.scales.context import concentric
from tiler.storage.destinations import make_folder
from tiler.written import WrittenFile

FOLDER = "tiles"


@dataclass(frozen=True)
class ImagesExporter:
    """Writes every tile as an image into ``tiles/``.

    Parameters
    ----------
    extension
        ``png``, ``jpeg`` (or ``jpg``), ``webp``, ``jxl`` or ``tiff``.
    quality
        1 to 100, for jpeg, webp and jxl; None is 90, and for jxl lossless.
    lossless
        Whether webp and jxl keep every pixel; None is lossy for webp, and for jxl lossless unless
        there is a quality.
    subsampling
        Chroma of jpeg: ``420``, ``422`` or ``444``.
    compression
        Of png: 0 (fastest) to 3, or ``pillow`` for the smallest files.
    passthrough
        Write the slide's native JPEG tiles without decoding, if tiles coincide with them. This is
        the only lossless export as JPEG. Damage inside them is not detected.
    naming
        Names of the files: ``tiler``, or ``gigapath`` for those that Prov-GigaPath reads.
    shard
        Number of subfolders for the files; 0 for none.
    link
        Create hard links to tiles that another job with the same cache wrote, instead of a second
        file. An edit of one name changes both.
    threads
        Number of tiles in progress at once in one process; None for one per core, or the number
        that the engine allows each worker.
    context
        The resolution of context tiles to write instead of the tiles; tiler sets it.
    """

    extension: str = "png"
    quality: int | None = None
    subsampling: str = "420"
    compression: int | str = 1
    lossless: bool | None = None
    passthrough: bool = False
    naming: Naming = "tiler"
    shard: int = 0
    link: bool = False
    threads: int | None = None
    context: Resolution | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "subsampling", str(self.subsampling))  # YAML reads 420 as a number
        if self.threads is not None and self.threads < 1:
            raise ConfigError(
                f"exporter.images.threads={self.threads} is too small; use at least 1"
            )
        if self.passthrough and self.extension not in ("jpg", "jpeg"):
            raise ConfigError(
                f"exporter.images.passthrough=true with extension={self.extension}: the slide's own"
                " tiles are JPEG: set exporter.images.extension=jpg"
            )
        if not 0 <= self.shard <= 65536:
            raise ConfigError(f"exporter.images.shard={self.shard} is invalid; use 0 to 65536")
        check_naming(self.naming, self.extension, self.shard, self.context)
        self._encoder()

    @property
    def per_tile(self) -> bool:
        """True: each region can be written separately."""
        return True

    def export(
        self, source: WSIReader, regions: Sequence[RegionSpec], mask: Mask, folder: Path
    ) -> Exported:
        """Write one image per region; regions that cannot be read are reported, not written."""
        done = list(self.export_each(source, regions, folder))
        return Exported(
            files=tuple(item for item in done if isinstance(item, WrittenFile)),
            failed=tuple(item for item in done if isinstance(item, FailedTile)),
        )

    def export_each(
        self, source: WSIReader, regions: Sequence[RegionSpec], folder: Path
    ) -> Iterator[WrittenFile | FailedTile]:
        """Write one image per region; yield each result as soon as it is ready."""
        make = self._maker(source)
        made: dict[str, str] = {}
        paths = chain.from_iterable(self.file_names(source.name, some) for some in batches(regions))

        def one(tile: tuple[RegionSpec, str]) -> WrittenFile | FailedTile:
            region, path = tile
            try:
                data = make(region)
            except ReadError as error:
                return FailedTile(region, error.what + self._of_context)
            below, _, name = path.rpartition("/")
            if below not in made:  # no empty subfolder is left
                made[below] = str(make_folder(folder / below))
            return WrittenFile(path, *write_plain(made[below], name, data))

        tiles = zip(regions, paths, strict=True)
        return in_order(one, tiles, self.threads or default_threads())

    def _maker(self, source: WSIReader) -> Callable[[RegionSpec], bytes]:
        """Return the function from a region to a file's bytes."""
        if not self.passthrough:
            encode = self._encoder()
            return lambda region: encode(read_tile(source, region, self.context))
        if not isinstance(source, NativeTiles):
            raise SlideError(
                source.name,
                "exporter.images.passthrough needs a tiled TIFF that reader=tiff can read;"
                f" {type(source).__name__} read this one: set exporter.images.passthrough=false",
            )
        return lambda region: source.native_jpeg(region.location, region.shape, region.resolution)

    def in_context(self, resolution: Resolution) -> ImagesExporter:
        """Return the exporter of context tiles of one resolution; they are always encoded."""
        return replace(self, passthrough=False, context=resolution)

    @property
    def _of_context(self) -> str:
        return f" (in its context tile, {self.context.token})" if self.context else ""

    def encoded(self, pixels: Pixels) -> bytes:
        """Return the file of a tile with these pixels; empty with passthrough and for context."""
        return b"" if self.passthrough or self.context else self._encoder()(pixels)

    @property
    def encoding(self) -> dict[str, object]:
        """All values, except the tile's pixels, that determine a file's bytes."""
        aside = {"naming", "shard", "link", "threads"}
        values = {**asdict(self), "context": repr(self.context)}
        return {name: value for name, value in values.items() if name not in aside}

    @property
    def name_settings(self) -> dict[str, object]:
        """All values, except slide, tile and context, that determine a file's name."""
        return {"extension": self.extension, "naming": self.naming, "shard": self.shard}

    def file_name(self, slide: str, region: RegionSpec) -> str:
        """Return the path of a tile's file, relative to the slide's folder."""
        (only,) = packed([region])
        return self.file_names(slide, only)[0]

    def file_names(self, slide: str, regions: Regions) -> list[str]:
        """Return ``file_name`` of each region; a hash of the tile's name selects the subfolder."""
        if self.naming == "gigapath":
            return [f"{FOLDER}/{name}" for name in gigapath_names(regions)]
        tiles = tile_names(slide, regions, self.extension)
        names = context_names(tiles, self.extension, self.context) if self.context else tiles
        if not self.shard:
            return [f"{FOLDER}/{name}" for name in names]
        width = len(f"{self.shard - 1:x}")
        numbers = (crc32(os.fsencode(tile)) % self.shard for tile in tiles)
        return [
            f"{FOLDER}/{number:0{width}x}/{name}"
            for number, name in zip(numbers, names, strict=True)
        ]

    @property
    def run_names(self) -> tuple[str, ...]:
        """Return the folder of Prov-GigaPath's tree, if the files have its names."""
        return (f"{TREE}/",) if self.naming == "gigapath" and self.context is None else ()

    def run_links(self, slide: FinishedSlide) -> Mapping[str, str]:
        """Return the link to the slide's tiles in that tree."""
        return folder_links(slide, FOLDER) if self.run_names else {}

    def run_files(self, slides: Sequence[FinishedSlide]) -> Mapping[str, Iterable[bytes]]:
        """Return the table of all tiles in that tree."""
        return {f"{TREE}/{DATASET}": dataset_csv(slides, FOLDER)} if self.run_names else {}

    def _encoder(self) -> Callable[[Pixels], bytes]:
        return make_encoder(
            self.extension, self.quality, self.subsampling, self.compression, self.lossless
        )


def read_tile(source: WSIReader, region: RegionSpec, context: Resolution | None) -> Pixels:
    """Return the pixels of a tile, or of the concentric one at the resolution of a context."""
    # Locations are absolute: do not add the bounds' offset again.
    location: tuple[float, float] = region.location
    if context is not None:
        location = concentric(region, context.downsample(source))
    shape, resolution = region.shape, context or region.resolution
    pixels = source.read_region(location, shape, resolution, bounded=False)
    return checked_pixels(source, "read_region", pixels, shape)
