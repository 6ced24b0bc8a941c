"""An exporter that packs tiles, and transforms, in a module that workers can import."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tiler.files import write_chunks
from tiler.protocols import Exported, Pixels, WSIReader
from tiler.regions import Regions
from tiler.written import WrittenFile


@dataclass(frozen=True)
class StackExporter:
    """Writes ``<slide>.<suffix>``: a line per tile with x, y and length, each with its bytes."""

    level: int = 1
    suffix: str = "stack"

    @property
    def per_tile(self) -> bool:
        return True

    def encoded(self, pixels: Pixels) -> bytes:
        return zlib.compress(np.ascontiguousarray(pixels), self.level)

    def pack(
        self, source: WSIReader, regions: Regions, tiles: Iterable[bytes], folder: Path
    ) -> Exported:
        def chunks() -> Iterator[bytes]:
            for (x, y), row, data in zip(
                regions.locations.tolist(), regions.columns["row"].tolist(), tiles, strict=True
            ):
                yield f"{x} {y} {row} {len(data)}\n".encode() + data

        name = f"{source.name}.{self.suffix}"
        return Exported((WrittenFile(name, *write_chunks(folder / name, chunks())),))


def unpacked(path: Path, side: int) -> dict[tuple[int, int], np.ndarray]:
    """Return the pixels of each tile of a stack, by location, in the order of the file."""
    data, found = path.read_bytes(), {}
    while data:
        line, _, data = data.partition(b"\n")
        x, y, _, length = map(int, line.split())
        pixels = np.frombuffer(zlib.decompress(data[:length]), np.uint8).reshape(side, side, 3)
        found[x, y], data = pixels, data[length:]
    return found


@dataclass(frozen=True)
class Added:
    """A transform that adds a number to all values, modulo 256."""

    number: int

    def __call__(self, pixels: Pixels) -> Pixels:
        return pixels + np.uint8(self.number)
