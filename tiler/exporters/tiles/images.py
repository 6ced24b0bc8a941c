"""Tile images: one file per tile."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from zlib import crc32

from tiler.errors import ConfigError
from tiler.exporters.names import Naming, check_naming, context_names, gigapath_names, tile_names
from tiler.exporters.tiles.encoders import cached_encoder, check_passthrough, make_encoder
from tiler.exporters.tiles.gigapath import DATASET, TREE, dataset_csv, folder_links
from tiler.protocols import FinishedSlide, Pixels
from tiler.regions import Regions, RegionSpec, packed
from tiler.resolution import Resolution

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
        Whether webp and jxl keep every pixel. None: webp is lossy, and jxl is lossless without a
        quality.
    subsampling
        Chroma of jpeg: ``420``, ``422`` or ``444``.
    compression
        For png: 0 (fastest) to 3, or ``pillow`` for the smallest files.
    passthrough
        Write the slide's native JPEG tiles without decoding; any other tile is an error. This is
        the only lossless export as JPEG. Damage inside them is not detected.
    naming
        Names of the files: ``tiler``, or ``gigapath`` for those that Prov-GigaPath reads.
    shard
        Number of subfolders for the files; 0 for none.
    link
        Create hard links to tiles that another job with the same cache wrote, instead of a second
        file. An edit of one name changes both.
    threads
        Number of tiles in progress at once in one process, for all formats; None for one per core,
        or the number that the engine allows each worker.
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
        if self.passthrough:
            check_passthrough("exporter.images", self.extension)
        if not 0 <= self.shard <= 65536:
            raise ConfigError(f"exporter.images.shard={self.shard} is invalid; use 0 to 65536")
        check_naming(self.naming, self.extension, self.shard, self.context)
        make_encoder(*self._encoding)

    @property
    def per_tile(self) -> bool:
        """True: it encodes tiles."""
        return True

    def in_context(self, resolution: Resolution) -> ImagesExporter:
        """Return the exporter of context tiles of one resolution; they are always encoded."""
        return replace(self, passthrough=False, context=resolution)

    def encoded(self, pixels: Pixels) -> bytes:
        """Return the file of a tile with these pixels."""
        return cached_encoder(*self._encoding)(pixels)

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

    @property
    def _encoding(self) -> tuple[Any, ...]:
        """The arguments of ``make_encoder``."""
        return self.extension, self.quality, self.subsampling, self.compression, self.lossless
