"""The files of a Zarr v3 group: metadata, columns and shards, as the public specification has them.

zarr-python has no public call that takes chunks that are already compressed. Only the metadata, the
encoding of columns and the index of a shard are written here; compression is that of imagecodecs.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

LEVEL = 1
"""Effort of Zstandard. On tissue, 3 takes twice the time and makes files no smaller."""

_MISSING = np.iinfo(np.uint64).max
"""Offset and size of an inner chunk that a shard does not contain."""

_LONGEST = 100
"""Maximum length of an array's name."""

_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
_ZSTD = {"name": "zstd", "configuration": {"level": LEVEL, "checksum": False}}


def zstd(data: bytes) -> bytes:
    """Compress data without loss."""
    from imagecodecs import zstd_encode

    return bytes(zstd_encode(data, level=LEVEL))


@dataclass(frozen=True)
class ArrayFacts:
    """The metadata of an array.

    Parameters
    ----------
    shape, chunk
        The shape of the array, and of a chunk, which is a file. The first axis is the tile.
    data_type, fill_value
        The values of ``zarr.json``.
    codecs
        The codecs that turn an array into the bytes of a chunk.
    dimensions
        Names of the axes.
    attributes
        The attributes of the array.
    """

    shape: Sequence[int]
    chunk: Sequence[int]
    data_type: str
    fill_value: object
    codecs: Sequence[Mapping[str, Any]]
    dimensions: Sequence[str] = ("tile",)
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def document(self) -> dict[str, Any]:
        """The content of the array's ``zarr.json``."""
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.shape),
            "data_type": self.data_type,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(self.chunk)}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
            "fill_value": self.fill_value,
            "codecs": list(self.codecs),
            "attributes": dict(self.attributes),
            "dimension_names": list(self.dimensions),
        }


def chunk_name(number: int, axes: int) -> str:
    """Return the file of a chunk below its array, by its number on the first axis."""
    return ".".join(["c", str(number), *["0"] * (axes - 1)])


def group_document(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of the group's ``zarr.json``.

    It has no copy of the arrays' metadata: zarr-python would not find an array that users add.
    """
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}


def as_json(document: Mapping[str, Any]) -> bytes:
    """Return JSON in ASCII."""
    return json.dumps(document, indent=2, allow_nan=False).encode() + b"\n"


def tiles_array(count: int, height: int, width: int, per_shard: int) -> ArrayFacts:
    """Return the metadata of an array of RGB tiles: a chunk is a tile, a file is a shard."""
    sharding = {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": [1, height, width, 3],
            "codecs": [_BYTES, _ZSTD],
            "index_codecs": [_BYTES, {"name": "crc32c"}],
            "index_location": "end",
        },
    }
    return ArrayFacts(
        shape=(count, height, width, 3),
        chunk=(per_shard, height, width, 3),
        data_type="uint8",
        fill_value=0,
        codecs=[sharding],
        dimensions=("tile", "height", "width", "channel"),
    )


def shard(chunks: Iterator[bytes], count: int, slots: int) -> Iterator[bytes]:
    """Yield a shard in pieces: its inner chunks, then the index.

    Parameters
    ----------
    chunks
        The inner chunks; the first ``count`` of them are taken.
    count
        The number of inner chunks in this shard.
    slots
        The number that a shard may contain.
    """
    index, offset = np.full((slots, 2), _MISSING, "<u8"), 0
    for number in range(count):
        chunk = next(chunks)
        index[number] = offset, len(chunk)
        offset += len(chunk)
        yield chunk
    places = index.tobytes()
    yield places + crc32c(places).to_bytes(4, "little")


def _table() -> list[int]:
    """Return the CRC-32C of each byte: the Castagnoli polynomial, reflected."""
    table = [*range(256)]
    for _ in range(8):
        table = [value >> 1 ^ (0x82F63B78 if value & 1 else 0) for value in table]
    return table


_CRC32C = _table()


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of some data; a megabyte takes a tenth of a second."""
    value = 0xFFFFFFFF
    for byte in data:
        value = _CRC32C[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


def column_array(name: str, values: npt.NDArray[Any]) -> tuple[ArrayFacts, bytes]:
    """Return the metadata of a column, and its only chunk.

    Numbers keep their type; the fill value of floats is NaN. Other values become text, and None the
    empty text.
    """
    kind = values.dtype.kind
    if kind in "iufb":
        data_type = values.dtype.name
        fill: object = {"f": "NaN", "b": False}.get(kind, 0)
        codec: Mapping[str, Any] = _BYTES
        data = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
    else:
        data_type, fill = "string", ""
        codec = {"name": "vlen-utf8", "configuration": {}}
        data = _texts(["" if value is None else str(value) for value in values.tolist()])
    count = len(values)
    facts = ArrayFacts(
        (count,), (max(1, count),), data_type, fill, [codec, _ZSTD], attributes={"column": name}
    )
    return facts, zstd(data)


def _texts(texts: Sequence[str]) -> bytes:
    """Return the bytes of the codec vlen-utf8: the number of texts, then each with its length."""
    parts = [len(texts).to_bytes(4, "little")]
    for text in texts:
        data = text.encode(errors="backslashreplace")
        parts += (len(data).to_bytes(4, "little"), data)
    return b"".join(parts)


def array_names(columns: Sequence[str]) -> dict[str, str]:
    """Return the name of the array of each column.

    A class of an annotation may have any name. Characters other than letters, digits, ``.``, ``_``
    and ``-`` of ASCII are percent-encoded. A hash ends names that are long, or that differ from
    another in case alone.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for column in columns:
        text = quote(column, safe="", errors="backslashreplace").replace("~", "%7E")
        # Zarr reserves names that begin with two underscores, or that are dots alone.
        if len(text) > _LONGEST or text.lower() in taken or re.match(r"__|\.+$", text):
            digest = hashlib.sha256(column.encode(errors="backslashreplace")).hexdigest()[:8]
            text = f"{text[: _LONGEST - 9].lstrip('_.')}-{digest}"
        taken.add(text.lower())
        found[column] = text
    return found
