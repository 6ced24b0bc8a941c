"""The file with the histograms of a slide's cells: those of a run are their sum."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.grid import Cells
from tiler.report.arrays import packed
from tiler.report.charts.histograms import Binned, binned
from tiler.storage.stored import StoredError, parse_json

RATIO, SCORE = "ratio", "score_"
_MAX_BINS = 1 << 20  # more than there are


def bins_file(cells: Cells) -> bytes:
    """Return the histograms of coverage and of each score, as JSON.

    Parameters
    ----------
    cells
        The grid. Cells without score are not counted in its histogram.
    """
    columns = {RATIO: cells.ratios} | {
        name: values for name, values in cells.values.items() if name.startswith(SCORE)
    }
    found = {name: binned(values) for name, values in columns.items()}
    content = {
        name: {"codes": packed(data.codes), "counts": packed(data.counts)}
        for name, data in found.items()
    }
    return json.dumps(content).encode()


def read_bins(data: bytes) -> dict[str, Binned]:
    """Return the histograms of a file, by column.

    Raises
    ------
    StoredError
        If the file is damaged.
    """
    content = parse_json(data)
    if not isinstance(content, Mapping):
        raise StoredError("is damaged: not a JSON object")
    try:
        return {name: _binned(one["codes"], one["counts"]) for name, one in content.items()}
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise StoredError(f"is damaged: {error}") from error


def _binned(codes: Any, counts: Any) -> Binned:
    found, numbers = _unpacked(codes), _unpacked(counts)
    if len(found) != len(numbers) or (numbers < 0).any() or (np.diff(found) <= 0).any():
        raise ValueError("these are no bins")
    return Binned(found.astype(np.int32), numbers)


def _unpacked(data: Any) -> npt.NDArray[np.int64]:
    inflate = zlib.decompressobj()
    plain = inflate.decompress(b64decode(data["z"], validate=True), 8 * _MAX_BINS)
    if not inflate.eof:
        raise ValueError("too many bins")
    kinds = {"i4": "<i4", "f8": "<f8", "u1": "u1"}
    return np.frombuffer(plain, kinds[data["type"]]).astype(np.int64)
