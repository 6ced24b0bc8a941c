"""Read the data files of a report as its pages read them."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def unpacked(array: dict[str, Any]) -> np.ndarray:
    """Return a packed array; texts as objects."""
    if array["type"] == "text":
        return np.array(array["values"], object)[unpacked(array["codes"])]
    return np.frombuffer(zlib.decompress(base64.b64decode(array["z"])), f"<{array['type']}")


def read_script(data: bytes) -> tuple[str, Any]:
    """Return the name and the data of a script file."""
    text = data.decode("ascii")
    assert text.startswith("tiler.data(")
    assert text.endswith(");\n")
    assert not set("<>&") & set(text)
    name, value = json.loads(f"[{text[11:-3]}]", parse_constant=pytest.fail)
    return name, value


def loaded(path: Path) -> Any:
    """Return the value that a data file gives to ``tiler.data``."""
    return read_script(path.read_bytes())[1]


def kept_boxes(path: Path) -> set[tuple[int, ...]]:
    """Return the level-0 boxes of a slide's kept tiles from ``data/jobs/<job>/<slide>.js``."""
    _, data = read_script(path.read_bytes())
    x0, width0, y0, height0 = (unpacked(data[name]) for name in ("x0", "width0", "y0", "height0"))
    bits = np.unpackbits(unpacked(data["kept"]), bitorder="little")
    rows, columns = np.divmod(np.flatnonzero(bits), len(x0))
    boxes = np.stack([x0[columns], y0[rows], width0[columns], height0[rows]], axis=1)
    assert len(boxes) == data["count"]
    return set(map(tuple, boxes.tolist()))


def files_in(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder by their paths."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
