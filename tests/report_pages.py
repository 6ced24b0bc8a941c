"""Read what a report's pages load, as a browser would."""

from __future__ import annotations

import base64
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np


def loaded(path: Path) -> Any:
    """Return the value that a data file gives to ``tiler.data``."""
    found = re.fullmatch(r'tiler\.data\(("[^"]*"), (.*)\);\n', path.read_text("ascii"), re.DOTALL)
    assert found, path
    return json.loads(found[2])


def unpacked(value: dict[str, Any]) -> np.ndarray:
    """Return a packed array."""
    if value["type"] == "text":
        return np.array(value["values"], object)[unpacked(value["codes"])]
    kind = f"<{value['type']}"
    return np.frombuffer(zlib.decompress(base64.b64decode(value["z"])), kind)


def files_in(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder by their paths."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
