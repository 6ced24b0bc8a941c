"""Arrays that cost work, kept under a key that says all that they depend on.

An entry is one file, written whole under its key and checked when it is read: one that is
damaged, cut short or of another format is as good as none. Jobs that run at once may fill the
same folder: whoever comes later replaces an entry by an equal one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.errors import DestinationError
from tiler.files import digest, inside, make_folder, write_whole

MAX_BYTES = 4 << 30
"""A cache is cut down to this size, by what was not used for longest."""

_MAX_HELD = 64 << 20
"""Bytes of arrays that a process holds, so that the next job of a sweep need not read them."""

_MAGIC = b"tiler-cache-2\n"
_SUFFIX = ".arrays"

Arrays = Mapping[str, npt.NDArray[Any]]

_held: OrderedDict[tuple[Path, str], Arrays] = OrderedDict()


def key_of(facts: Mapping[str, Any]) -> str:
    """A key for plain facts: the SHA-256 of their JSON."""
    return digest(json.dumps(facts, sort_keys=True, default=str).encode(errors="surrogateescape"))


def load(folder: Path, key: str) -> Arrays | None:
    """The arrays under a key; None if there are none.

    Raises
    ------
    ValueError
        When there is an entry that cannot be trusted, saying what is wrong with it.
    """
    path = inside(folder, f"{key}{_SUFFIX}")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"cannot be read ({error})") from error
    if not data.startswith(_MAGIC):
        raise ValueError("is of another version, or none of ours")
    checked = len(_MAGIC) + 32
    if hashlib.sha256(data[checked:]).digest() != data[len(_MAGIC) : checked]:
        raise ValueError("is damaged")
    with suppress(OSError):  # another user's cache may be read-only
        path.touch()  # used: the last to go when room is made
    return _unpacked(data[checked:])


def load_or_recall(folder: Path, key: str) -> Arrays | None:
    """As ``load``, of a key that says all that its arrays depend on: they are not to be written to.

    What was loaded once is held in memory, as far as there is room.
    """
    found = _held.pop((folder, key), None)
    if found is not None:
        with suppress(OSError):
            os.utime(inside(folder, f"{key}{_SUFFIX}"))  # used, as in load
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
    content = _packed(arrays)
    with suppress(DestinationError):  # if the output has no room either, its own writes tell
        path = inside(make_folder(folder), f"{key}{_SUFFIX}")
        write_whole(path, _MAGIC + hashlib.sha256(content).digest() + content)


def prune(folder: Path, max_bytes: int = MAX_BYTES) -> None:
    """Remove entries, those used longest ago first, until the folder is small enough."""
    if not folder.is_dir():
        return
    entries = []
    for path in folder.glob(f"*{_SUFFIX}"):
        try:
            facts = path.stat()
        except OSError:  # another run made room at the same time
            continue
        entries.append((facts.st_mtime_ns, facts.st_size, path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= max_bytes:
            return
        with suppress(OSError):  # gone by itself, or another user's
            path.unlink()
            total -= size


def _packed(arrays: Arrays) -> bytes:
    """A line that says what follows, then the arrays one after the other, deflated."""
    from isal.isal_zlib import compress

    bits = {name: _as_bytes(array) for name, array in arrays.items()}
    index = [(name, array.dtype.str, array.shape) for name, array in arrays.items()]
    body = compress(b"".join(bits.values()), 1)
    return json.dumps(index).encode() + b"\n" + bytes(body)


def _unpacked(content: bytes) -> Arrays:
    from isal.isal_zlib import decompress

    head, body = content.split(b"\n", 1)
    data = np.frombuffer(decompress(body), np.uint8)
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, kind, shape in json.loads(head):
        dtype, count = np.dtype(kind), int(np.prod(shape))
        length = -(-count // 8) if dtype.kind == "b" else count * dtype.itemsize
        part, data = data[:length], data[length:]
        if dtype.kind == "b":
            arrays[name] = np.unpackbits(part, count=count).view(bool).reshape(shape)
        else:
            arrays[name] = part.view(dtype).reshape(shape)
    return arrays


def _as_bytes(array: npt.NDArray[Any]) -> bytes:
    return (np.packbits(array) if array.dtype.kind == "b" else array).tobytes()
