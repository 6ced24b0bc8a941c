"""Tiles in tar shards, as the package webdataset reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiler.errors import ConfigError
from tiler.exporters.tables.csv_json import COLUMNS
from tiler.exporters.tiles.encoders import cached_encoder, check_passthrough, make_encoder
from tiler.exporters.tiles.run_shards import RUN_SHARDS, index_name, run_shards
from tiler.exporters.tiles.shards import Sample, index_parts, written_shards
from tiler.files import write_chunks
from tiler.protocols import Exported, FinishedSlide, Pixels, WSIReader
from tiler.regions import Regions, batches
from tiler.storage.destinations import inside
from tiler.storage.safe_text import visible_json
from tiler.written import WrittenFile

_KEY = "exporter.webdataset"
_EXTENSIONS = ("png", "jpg", "jpeg", "webp", "jxl")


@dataclass(frozen=True)
class WebdatasetExporter:
    """Writes ``<slide>-000000.tar``, ``<slide>-000001.tar``, … and ``<slide>.shards.json``.

    Each tile is two files in a tar: ``{key}.{extension}``, and ``{key}.json`` with the tile's row
    of the tables. The key is ``{slide}_x{x}_y{y}``, with ``%2E`` for a dot and ``%25`` for ``%`` in
    the slide's name: webdataset ends a key at the first dot.

    Parameters
    ----------
    extension
        ``png``, ``jpeg`` (or ``jpg``), ``webp`` or ``jxl``.
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
        Store the slide's native JPEG tiles without decoding; any other tile is an error. Damage
        inside them is not detected.
    tiles_per_shard
        Maximum number of tiles in a shard; None for no limit.
    bytes_per_shard
        Maximum size of a shard; None for no limit. A larger tile gets a shard of its own.

    Raises
    ------
    ConfigError
        If a value is invalid.
    """

    extension: str = "png"
    quality: int | None = None
    subsampling: str = "420"
    compression: int | str = 1
    lossless: bool | None = None
    passthrough: bool = False
    tiles_per_shard: int | None = 10_000
    bytes_per_shard: int | None = 2**30

    def __post_init__(self) -> None:
        object.__setattr__(self, "subsampling", str(self.subsampling))  # YAML reads 420 as a number
        if self.extension not in _EXTENSIONS:
            raise ConfigError(
                f"{_KEY}.extension={self.extension!r} is invalid; use one of"
                f" {', '.join(_EXTENSIONS)}"
            )
        if self.passthrough:
            check_passthrough(_KEY, self.extension)
        for name in ("tiles_per_shard", "bytes_per_shard"):
            limit = getattr(self, name)
            if limit is not None and limit < 1:
                raise ConfigError(
                    f"{_KEY}.{name}={limit} is too small; use at least 1, or null for no limit"
                )
        make_encoder(*self._encoding)

    @property
    def per_tile(self) -> bool:
        """True: each tile is encoded by itself."""
        return True

    def encoded(self, pixels: Pixels) -> bytes:
        """Return the image of a tile."""
        return cached_encoder(*self._encoding)(pixels)

    def pack(
        self, source: WSIReader, regions: Regions, tiles: Iterable[bytes], folder: Path
    ) -> Exported:
        """Write the shards, and their index. A slide without tiles has an index alone."""
        samples = _samples(source.name, regions, tiles)
        shards = list(
            written_shards(
                samples, folder, source.name, self._suffix, self.tiles_per_shard,
                self.bytes_per_shard,
            )
        )  # fmt: skip
        name = index_name(source.name)
        index = index_parts(source.name, self._suffix, shards)
        written = WrittenFile(name, *write_chunks(inside(folder, name), index))
        return Exported((*(shard.file for shard in shards), written))

    @property
    def run_names(self) -> tuple[str, ...]:
        """Return the name of the list of all shards."""
        return (RUN_SHARDS,)

    def run_links(self, slide: FinishedSlide) -> Mapping[str, str]:
        """Return no links."""
        return {}

    def run_files(self, slides: Sequence[FinishedSlide]) -> Mapping[str, Iterable[bytes]]:
        """Return the list of the shards of all slides."""
        return {RUN_SHARDS: run_shards(slides)}

    @property
    def _suffix(self) -> str:
        return "jpg" if self.extension == "jpeg" else self.extension

    @property
    def _encoding(self) -> tuple[Any, ...]:
        """The arguments of ``make_encoder``."""
        return (
            self.extension,
            self.quality,
            self.subsampling,
            self.compression,
            self.lossless,
            _KEY,
        )


def key_of(slide: str) -> str:
    """Return the beginning of the keys of a slide's tiles.

    It contains no dot, and that of another slide is another: ``a.b`` and ``a_b`` differ.
    """
    return slide.replace("%", "%25").replace(".", "%2E")


def _samples(slide: str, regions: Regions, tiles: Iterable[bytes]) -> Iterator[Sample]:
    """Yield key, image and columns of each tile."""
    images, name = iter(tiles), key_of(slide)
    for some in batches(regions):
        for (x, y), text in zip(some.locations.tolist(), json_rows(slide, some), strict=True):
            yield Sample(f"{name}_x{x}_y{y}", next(images), text.encode(errors="backslashreplace"))


def json_rows(slide: str, some: Regions) -> Iterator[str]:
    """Yield the columns of each region as a JSON object; a number that is missing is null.

    Column by column, it takes an eighth of the time of objects one by one.
    """
    same = {"slide": slide, "width": some.shape.width, "height": some.shape.height}
    same["resolution"] = some.resolution.token
    columns, names = some.varying, (*COLUMNS, *some.columns)
    fields = (
        f"{_json(name)}:{_json(same[name])}".replace("%", "%%")
        if name in same
        else f"{_json(name)}:".replace("%", "%%") + "%s"
        for name in names
    )
    row = f"{{{','.join(fields)}}}"
    values = [_texts(columns[name].tolist()) for name in names if name not in same]
    return (row % texts for texts in zip(*values, strict=True))


def _json(value: object) -> str:
    return visible_json(json.dumps(value, ensure_ascii=False))


def _texts(values: list[object]) -> list[str]:
    """Return each value as JSON; a line end inside of one would be escaped."""
    plain = [None if value != value else value for value in values]
    text = json.dumps(plain, ensure_ascii=False, separators=("\n", ":"))
    return visible_json(text)[1:-1].split("\n")
