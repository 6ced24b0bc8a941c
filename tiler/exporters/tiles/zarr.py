"""All tiles of a slide as one Zarr array, with their columns beside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tiler.errors import ConfigError
from tiler.exporters.tiles.zarr_store import (
    ArrayFacts,
    array_names,
    as_json,
    chunk_name,
    column_array,
    group_document,
    shard,
    tiles_array,
    zstd,
)
from tiler.files import write_chunks
from tiler.geometry import Size
from tiler.protocols import Exported, Pixels, WSIReader
from tiler.regions import Regions
from tiler.storage.destinations import inside, make_folder
from tiler.written import WrittenFile

IMAGES = "images"
"""The array of the pixels."""

_DOCUMENT = "zarr.json"

_SHARD_BYTES = 256 * 2**20
_MOST = 65536
_DEFAULT_MOST = 4096  # tiles: a reader loads the index of a shard, here 64 KiB, before a tile


@dataclass(frozen=True)
class ZarrExporter:
    """Writes ``<slide>.zarr``, a Zarr v3 group.

    The array ``images`` is uint8 (N, height, width, 3). Each tile is a chunk, compressed without
    loss by Zstandard. A file contains many chunks: a shard. The columns of the tiles' table are
    arrays of N values beside it, and what all tiles have in common is in the group's attributes.

    Parameters
    ----------
    tiles_per_shard
        The number of tiles in a file, 1 to 65536; None for the largest power of two whose pixels
        take at most 256 MiB, and at most 4096.

    Raises
    ------
    ConfigError
        If the number is out of range.
    """

    tiles_per_shard: int | None = None

    def __post_init__(self) -> None:
        if self.tiles_per_shard is not None and not 1 <= self.tiles_per_shard <= _MOST:
            raise ConfigError(
                f"exporter.zarr.tiles_per_shard={self.tiles_per_shard} is out of range;"
                f" use 1 to {_MOST}, or null"
            )

    @property
    def per_tile(self) -> bool:
        """True: each tile is encoded by itself."""
        return True

    def encoded(self, pixels: Pixels) -> bytes:
        """Return the chunk of a tile."""
        return zstd(pixels.tobytes())

    def pack(
        self, source: WSIReader, regions: Regions, tiles: Iterable[bytes], folder: Path
    ) -> Exported:
        """Write the group: shards and columns, then the metadata."""
        root = make_folder(inside(folder, f"{source.name}.zarr"))
        files: list[WrittenFile] = []

        def write(name: str, *parts: Iterable[bytes]) -> None:
            path = root / name
            make_folder(path.parent)
            for part in parts:
                files.append(WrittenFile(f"{root.name}/{name}", *write_chunks(path, part)))

        images = tiles_array(len(regions), *regions.shape[::-1], self._per_shard(regions))
        arrays: dict[str, ArrayFacts] = {IMAGES: images}
        chunks, slots = iter(tiles), images.chunk[0]
        for number, start in enumerate(range(0, len(regions), slots)):
            count = min(slots, len(regions) - start)
            write(f"{IMAGES}/{chunk_name(number, 4)}", shard(chunks, count, slots))
        columns = regions.varying
        names = array_names([IMAGES, *columns])
        for column, values in columns.items():
            name = names[column]
            arrays[name], chunk = column_array(column, values)
            if len(values):
                write(f"{name}/{chunk_name(0, 1)}", [chunk])
        for name, facts in arrays.items():
            write(f"{name}/{_DOCUMENT}", [as_json(facts.document)])
        attributes = _attributes(source, regions, {column: names[column] for column in columns})
        write(_DOCUMENT, [as_json(group_document(attributes))])
        return Exported(files)

    def _per_shard(self, regions: Regions) -> int:
        """Return the number of tiles in a shard, at most that of the slide."""
        most = self.tiles_per_shard or _tiles_per_shard(regions.shape)
        return max(1, min(most, len(regions)))


def _tiles_per_shard(shape: Size) -> int:
    """Return the default number of tiles in a shard: a power of two."""
    fitting: int = _SHARD_BYTES // (shape.width * shape.height * 3)
    return min(_DEFAULT_MOST, 1 << max(1, fitting).bit_length() - 1)


def _attributes(source: WSIReader, regions: Regions, columns: dict[str, str]) -> dict[str, object]:
    """Return the facts that all tiles share, as far as the slide states them."""
    known = {
        "effective_mpp": None if source.mpp is None else regions.resolution.mpp(source),
        "mpp": source.mpp,
        "magnification": source.magnification,
    }
    return {
        "slide": source.name,
        "width": regions.shape.width,
        "height": regions.shape.height,
        "resolution": regions.resolution.token,
        "downsample": regions.downsample,
        **{name: value for name, value in known.items() if value is not None},
        "columns": columns,
    }
