"""The files of a network: weights may be in other files beside the one that names them."""

from __future__ import annotations

import mmap
import re
from functools import lru_cache
from pathlib import Path

from tiler.storage.named import opened_by_name

_MAX_BYTES = 2 << 30
"""Maximum bytes of an ONNX file, which is a message of Protocol Buffers."""

_LOCATION = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])")
"""The entry of ``TensorProto.external_data`` that names a file: its value's length comes next."""


def other_files(path: Path) -> tuple[Path, ...]:
    """Return the files with weights that an ONNX file names, in the order of their names.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    facts = path.stat()
    names = _named(path, facts.st_size, facts.st_mtime_ns)
    return tuple(path.parent / name for name in names)


@lru_cache(maxsize=64)
def _named(path: Path, size: int, mtime_ns: int) -> tuple[str, ...]:
    if not size:
        return ()
    names = set()
    with (
        opened_by_name(path, _MAX_BYTES) as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        for found in _LOCATION.finditer(data):
            end = found.end() + found[1][0]
            names.add(data[found.end() : end])
    texts = (name.decode(errors="replace") for name in names if b"\0" not in name)
    return tuple(sorted(texts))
