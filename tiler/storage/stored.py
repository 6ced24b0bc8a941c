"""Safe reading of files that tiler wrote earlier: others may have changed them since.

Opening never follows a link and never blocks, and sizes are bounded. JSON is plain: finite numbers,
whole numbers of 64 bits, text that can be written again, and no deep nesting.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

MAX_JSON = 64 << 20
"""Maximum bytes of a file that describes a run or a sweep; 100,000 slides need half of it."""

MAX_TABLE = 1 << 30
"""Maximum bytes of a table: a slide's tiles, a run's slides, or a sweep."""

_MODE = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
)
_MAX_DEPTH = 32
_INT64 = range(-(1 << 63), 1 << 63)
_PIECE = 1 << 20

_SEAL = b', "sha256": "%s"}\n'
_SEAL_BYTES = len(_SEAL % bytes(64))


class StoredError(ValueError):
    """A stored file is unusable; the text states the reason, without the path."""


@contextmanager
def opened(path: Path, max_bytes: int) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file of bounded size; yield the file and its size in bytes.

    Raises
    ------
    FileNotFoundError
        If the path does not exist.
    StoredError
        If the path is a link, a folder, a device or a FIFO, is too large, or is unreadable.
    """
    try:
        if path.is_symlink():  # O_NOFOLLOW: its errno varies, Windows has none
            raise StoredError("is a symbolic link")
        handle = os.open(path, _MODE)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # ValueError: an impossible file name
        raise _unreadable(error) from error
    facts, why = os.fstat(handle), ""
    if not stat.S_ISREG(facts.st_mode):
        why = "is not a regular file"
    elif facts.st_size > max_bytes:
        why = f"is too large ({facts.st_size:,} bytes, at most {max_bytes:,})"
    if why:
        os.close(handle)
        raise StoredError(why)
    with os.fdopen(handle, "rb") as file:
        yield file, facts.st_size


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Read a regular file of bounded size; the errors are those of ``opened``."""
    with opened(path, max_bytes) as (file, size):
        return _read(file, size)


def read_json(path: Path, max_bytes: int = MAX_JSON) -> dict[str, Any]:
    """Read a JSON object from a regular file of bounded size.

    Raises
    ------
    FileNotFoundError, StoredError
        See ``opened``; also if the file contains no plain JSON object.
    """
    return _object(read_regular(path, max_bytes))


def parse_json(data: bytes) -> Any:
    """Parse plain JSON.

    Raises
    ------
    StoredError
        If the JSON is invalid, too deep, or has numbers or text that cannot be written again.
    """
    try:
        text = data.decode(errors="surrogateescape")
        content = json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
        if "\\u" in text:  # escapes can produce surrogates that represent no byte
            json.dumps(content, ensure_ascii=False).encode(errors="surrogateescape")
    except StoredError:
        raise
    except RecursionError:
        raise StoredError("is damaged: nested too deeply") from None
    except MemoryError:
        raise StoredError("does not fit into memory") from None
    except ValueError as error:
        raise StoredError(f"is damaged: invalid JSON ({error})") from error
    _check_depth(content)
    return content


def _object(data: bytes) -> dict[str, Any]:
    content = parse_json(data)
    if not isinstance(content, dict):
        raise StoredError("is damaged: not a JSON object")
    return content


def sealed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Return a JSON object whose last member is the SHA-256 of the text before it."""
    total = sha256()
    for chunk in chunks:
        total.update(chunk)
        yield chunk
    yield _SEAL % total.hexdigest().encode()


def read_sealed(path: Path, max_bytes: int) -> dict[str, Any]:
    """Read the output of ``sealed``; check the checksum before loading the content.

    Raises
    ------
    FileNotFoundError, StoredError
        See ``read_json``; also if the checksum is missing or wrong.
    """
    with opened(path, max_bytes) as (file, size):
        rest, total = size - _SEAL_BYTES, sha256()
        while rest > 0 and (piece := file.read(min(rest, _PIECE))):
            total.update(piece)
            rest -= len(piece)
        if rest or file.read(_SEAL_BYTES + 1) != _SEAL % total.hexdigest().encode():
            raise StoredError("is damaged: the checksum is missing or wrong")
        file.seek(0)
        return _object(_read(file, size))


def _read(file: BinaryIO, size: int) -> bytes:
    try:
        data = file.read(size + 1)
    except (OSError, MemoryError) as error:
        raise _unreadable(error) from error
    if len(data) != size:
        raise StoredError("changed while it was read")
    return data


def _unreadable(error: BaseException) -> StoredError:
    if isinstance(error, StoredError):
        return error
    return StoredError(f"cannot be read ({getattr(error, 'strerror', None) or error!r})")


def _whole(text: str) -> int:
    value = int(text) if len(text) <= len(str(_INT64.start)) else _INT64.stop
    if value not in _INT64:
        raise StoredError("is damaged: a whole number of more than 64 bits")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise StoredError("is damaged: a number that is not finite")
    return value


def _check_depth(content: Any) -> None:
    level: list[Any] = [content]
    for _ in range(_MAX_DEPTH):
        level = [
            below
            for node in level
            if isinstance(node, (dict, list))
            for below in (node.values() if isinstance(node, dict) else node)
            if isinstance(below, (dict, list))
        ]
        if not level:
            return
    raise StoredError("is damaged: nested too deeply")
