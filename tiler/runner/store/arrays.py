"""Arrays that cost work, kept under a key that says all that they depend on.

An entry is one file, written whole under its key and checked when it is read: one that is
damaged, cut short or of another format is as good as none. Jobs that run at once may fill the
same folder: whoever comes later replaces an entry by an equal one.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from tiler.errors import DestinationError
from tiler.files import digest, write_whole
from tiler.storage.destinations import inside, make_folder
from tiler.storage.stored import parse_json, read_regular

_MAX_HELD = 64 << 20
"""Maximum bytes of arrays that a process keeps for the next jobs of a sweep."""

_MAX_ENTRY = 1 << 30
"""Bytes of an entry's arrays in memory; larger ones are not kept."""

_MAX_INDEX = 1 << 16  # bytes of the line that says what an entry contains

_MAX_DIMENSIONS = 4

_DTYPE = re.compile(r"\|b1|\|u1|[<>|][if]8|\|S[1-9]\d{0,3}")
"""Types of arrays: booleans, bytes, 64-bit numbers and text of at most 9999 bytes."""

_KEY = re.compile(r"[0-9a-f]{64}")

_MAGIC = b"tiler-cache-3\n"
SUFFIX = ".arrays"
"""Ends the name of an entry's file."""

Arrays = Mapping[str, npt.NDArray[Any]]

_held: OrderedDict[tuple[Path, str], Arrays] = OrderedDict()


def key_of(facts: Mapping[str, Any]) -> str:
    """Return a key for plain facts: the SHA-256 of their JSON."""
    return digest(json.dumps(facts, sort_keys=True, default=str).encode(errors="surrogateescape"))


def is_key(name: str) -> bool:
    """Return whether ``key_of`` may have made a name."""
    return _KEY.fullmatch(name) is not None


def load(folder: Path, key: str) -> Arrays | None:
    """Return the arrays under a key; None if there are none.

    Raises
    ------
    ValueError
        If the entry cannot be trusted; the error states the problem.
    """
    path = inside(folder, f"{key}{SUFFIX}")
    try:
        data = read_regular(path, _MAX_ENTRY)
    except FileNotFoundError:
        return None
    if not data.startswith(_MAGIC):
        raise ValueError("has an unknown format")
    checked = len(_MAGIC) + 32
    if hashlib.sha256(memoryview(data)[checked:]).digest() != data[len(_MAGIC) : checked]:
        raise ValueError("is damaged")
    with suppress(OSError):  # another user's cache may be read-only
        path.touch()  # used: the last to be removed when room is made
    try:
        return _unpacked(memoryview(data)[checked:])
    except MemoryError:
        raise ValueError("does not fit into memory") from None


def load_or_recall(folder: Path, key: str) -> Arrays | None:
    """Return the arrays under a key as ``load`` does; they are read-only.

    Arrays that were loaded once stay in memory, as far as there is room. The key must contain
    everything that they depend on.
    """
    found = _held.pop((folder, key), None)
    if found is not None:
        with suppress(OSError):
            os.utime(inside(folder, f"{key}{SUFFIX}"))  # used, as in load
    else:
        found = load(folder, key)
    if found is not None:
        for array in found.values():
            array.flags.writeable = False
        _held[folder, key] = found  # the first is the one not used for longest
        while sum(map(_size, _held.values())) > _MAX_HELD:
            _held.popitem(last=False)
    return found


def _size(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays.values())


def store(folder: Path, key: str, arrays: Arrays) -> None:
    """Keep arrays under a key; a folder that cannot be written costs the entry alone."""
    _held.pop((folder, key), None)
    if _size(arrays) > _MAX_ENTRY:
        return
    content = _packed(arrays)
    with suppress(DestinationError):  # if the output has no room either, its own writes tell
        path = inside(make_folder(folder), f"{key}{SUFFIX}")
        write_whole(path, _MAGIC + hashlib.sha256(content).digest() + content)


def _packed(arrays: Arrays) -> bytes:
    """Return a line with the kinds and shapes of the arrays, then the deflated arrays."""
    from isal.isal_zlib import compress

    bits = {name: _as_bytes(array) for name, array in arrays.items()}
    index = [(name, array.dtype.str, array.shape) for name, array in arrays.items()]
    body = compress(b"".join(bits.values()), 1)
    return json.dumps(index).encode() + b"\n" + bytes(body)


def _unpacked(content: memoryview) -> Arrays:
    """Undo ``_packed``: sizes are those of the line, which are bounded, before memory is taken.

    Raises
    ------
    ValueError
        If anything does not fit.
    """
    from isal import isal_zlib

    failure = cast("type[Exception]", isal_zlib.error)  # its stub has the wrong type
    line, _, _ = bytes(content[:_MAX_INDEX]).partition(b"\n")
    items = parse_json(line)
    if not isinstance(items, list):
        raise ValueError("does not say what is in it")
    index = [_Entry.of(item) for item in items]
    if sum(entry.memory for entry in index) > _MAX_ENTRY:
        raise ValueError(f"has arrays of more than {_MAX_ENTRY:,} bytes")
    total = sum(entry.length for entry in index)
    inflating = isal_zlib.decompressobj()
    try:
        data = inflating.decompress(content[len(line) + 1 :], total + 1)
    except failure as error:
        raise ValueError(f"cannot be unpacked ({error})") from error
    if len(data) != total or not inflating.eof:
        raise ValueError("has arrays of another size than it says")
    arrays: dict[str, npt.NDArray[Any]] = {}
    rest = np.frombuffer(data, np.uint8)
    for entry in index:
        part, rest = rest[: entry.length], rest[entry.length :]
        if entry.dtype.kind == "b":
            bits = np.unpackbits(part, count=math.prod(entry.shape))
            arrays[entry.name] = bits.view(bool).reshape(entry.shape)
        else:
            arrays[entry.name] = part.view(entry.dtype).reshape(entry.shape)
    return arrays


@dataclass(frozen=True)
class _Entry:
    """An array as the line before the arrays says it."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, item: object) -> _Entry:
        """Read an item of the line.

        Raises
        ------
        ValueError
            If the item does not describe an array.
        """
        match item:
            case [str(name), str(kind), list(shape)]:
                if not _DTYPE.fullmatch(kind):
                    raise ValueError(f"has an array of type {kind[:20]!r}")
                whole = all(type(side) is int and 0 <= side < 1 << 40 for side in shape)
                if not whole or len(shape) > _MAX_DIMENSIONS:
                    raise ValueError("has an array of impossible shape")
                return cls(name, np.dtype(kind), tuple(shape))
        raise ValueError("does not say what is in it")

    @property
    def memory(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def length(self) -> int:
        """Bytes of the array as it is kept: eight booleans to one."""
        return -(-self.memory // 8) if self.dtype.kind == "b" else self.memory


def _as_bytes(array: npt.NDArray[Any]) -> bytes:
    return (np.packbits(array) if array.dtype.kind == "b" else array).tobytes()
