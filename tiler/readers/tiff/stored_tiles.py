"""The stored bytes of a TIFF's native tiles, and their pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from tiler.protocols import Pixels
from tiler.readers.tiff.codecs import DECODE_ERRORS
from tiler.readers.tiff.file import TileFile
from tiler.readers.tiff.jpeg import jpeg_stream
from tiler.readers.tiff.layout import NativeLevel, beyond_the_end


class DamagedTileError(Exception):
    """A native tile is unreadable; the text states the reason."""


class StoredTiles:
    """The native tiles of a slide.

    Parameters
    ----------
    file
        The slide's file.
    levels, decoders
        The levels, and a decoder for each.
    max_tile_bytes
        Tiles that take more bytes in the file are refused.
    """

    def __init__(
        self,
        file: TileFile,
        levels: Sequence[NativeLevel],
        decoders: Sequence[Callable[[bytes], Pixels]],
        max_tile_bytes: int,
    ) -> None:
        self._file = file
        self._levels = levels
        self._decoders = decoders
        self._max_tile_bytes = max_tile_bytes

    def pixels(self, key: tuple[int, int]) -> Pixels:
        """Decode the native tile of a level and number.

        Raises
        ------
        DamagedTileError
            If the tile cannot be read or decoded.
        """
        level, tile = key
        try:
            return self._decoders[level](self._stored(level, tile))
        except (*DECODE_ERRORS, OSError) as error:
            name = self._levels[level].name(tile)
            raise DamagedTileError(f"{name}: {error}") from error

    def jpeg_file(self, tile: int) -> bytes:
        """Return a JPEG tile of level 0 as a complete file, without decoding it."""
        return self._as_file(self._stored(0, tile))

    def undecodable(self, level: int) -> str:
        """Return the first error if none of three tiles of a level can be decoded; else empty."""
        native = self._levels[level]
        stored = np.flatnonzero(native.byte_counts.astype(bool) & ~native.damaged)
        errors = []
        for tile in stored[[0, len(stored) // 2, -1]] if len(stored) else ():
            try:
                self.pixels((level, int(tile)))
                return ""
            except (DamagedTileError, ImportError) as error:  # a build may lack a codec
                errors.append(str(error))
        return errors[0] if errors else ""

    @cached_property
    def _as_file(self) -> Callable[[bytes], bytes]:
        coding = self._levels[0].coding
        return jpeg_stream(coding.tile, coding.tables, ycbcr=coding.is_ycbcr)

    def _stored(self, level: int, tile: int) -> bytes:
        """Return the stored bytes of a native tile."""
        native = self._levels[level]
        if wrong := native.wrong_entry(tile):
            raise ValueError(wrong)
        offset, count = int(native.offsets[tile]), int(native.byte_counts[tile])
        if not 0 <= offset <= offset + count <= self._file.size:
            raise DamagedTileError(beyond_the_end(native, tile, self._file.size))
        if count > self._max_tile_bytes:
            raise ValueError(f"its {count:,} bytes are more than reader.max_tile_bytes")
        data = self._file.read(offset, count)
        if len(data) < count:
            raise ValueError(f"{len(data):,} bytes instead of {count:,}: the file has shrunk")
        return data
