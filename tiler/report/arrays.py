"""Data of the report's pages: packed arrays, and JSON that is safe in a script file."""

from __future__ import annotations

import json
import math
import zlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_LEVEL = 6  # of deflate
_INT32 = np.iinfo(np.int32)

_IN_SCRIPTS = str.maketrans({mark: f"\\u{ord(mark):04x}" for mark in "<>&"})
"""Characters that could end a script or begin markup, as escapes of JSON."""

Packed = dict[str, Any]
"""``{"type": "f8" | "i4" | "u1", "z": base64 of compressed little-endian bytes}``, or of texts
``{"type": "text", "values": distinct texts, "codes": a packed array of their numbers}``."""


def packed(values: npt.NDArray[Any]) -> Packed:
    """Pack an array, in C order.

    Floats stay the same to the last bit, NaN included. Whole numbers that need more than 32 bits
    become floats.
    """
    kind = values.dtype.kind
    if kind not in "biuf":
        return _packed_texts(values)
    if kind == "b" or values.dtype == np.uint8:
        return _deflated("u1", values)
    if kind in "iu" and (
        not values.size or (values.min() >= _INT32.min and values.max() <= _INT32.max)
    ):
        return _deflated("i4", values)
    return _deflated("f8", values)


def _packed_texts(values: npt.NDArray[Any]) -> Packed:
    texts = [str(value) for value in values.ravel().tolist()]
    distinct = sorted(set(texts))
    numbers = {text: number for number, text in enumerate(distinct)}
    codes = np.array([numbers[text] for text in texts], np.int64)
    return {"type": "text", "values": distinct, "codes": _deflated("i4", codes)}


def _deflated(kind: str, values: npt.NDArray[Any]) -> Packed:
    data = np.ascontiguousarray(values, f"<{kind}").tobytes()
    return {"type": kind, "z": b64encode(zlib.compress(data, _LEVEL)).decode()}


def plain(value: Any) -> Any:
    """Return a value for JSON: NumPy's numbers as Python's, and None for NaN and infinity."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float) else str(value)


def script(name: str, data: Any) -> bytes:
    r"""Return a script file that gives a page some data under a name.

    It is ASCII. Characters that could end the script, begin markup or end a line are escaped, as
    ``\u003c``, in names and in values. A byte of a slide's name that is not UTF-8 is a lone
    surrogate, as in the JSON of tiler's tables.
    """
    return f"tiler.data({_json(name)}, {_json(data)});\n".encode("ascii")


def _json(value: Any) -> str:
    text = json.dumps(plain(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.translate(_IN_SCRIPTS)
