"""Read the tiles of a slide from each format that an exporter writes."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tiler.compare.rows import (
    Precision,
    Row,
    Tile,
    checked_count,
    frame_of,
    rows_of_corners,
    table_row,
    whole,
)
from tiler.compare.runs import Facts
from tiler.exporters.tables.csv_json import COLUMNS
from tiler.exporters.tables.hdf5_layouts import LAYOUTS
from tiler.exporters.tables.parquet import require_pyarrow
from tiler.exporters.tiles.zarr_store import chunk_name
from tiler.storage.csv_text import csv_rows
from tiler.storage.stored import MAX_TABLE, StoredError, opened, parse_json, read_json, read_regular

DAMAGED = (
    OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, EOFError,
    RuntimeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""Errors of libraries that read damaged files."""


@dataclass(frozen=True)
class Format:
    """A file that lists the tiles of a slide.

    Attributes
    ----------
    name
        Its name in the slide's folder; ``{}`` stands for the slide id.
    rows
        Returns the tiles from the file's path, its bytes and the slide's record; None if the file
        does not list tiles.
    precision
        The precision of the ratios.
    """

    name: str
    rows: Callable[[Path, bytes, Facts], Iterable[Row] | None]
    precision: Precision = Precision.EXACT


def _csv_rows(path: Path, data: bytes, record: Facts) -> Iterator[Row]:
    rows = csv_rows(data)
    header = next(rows, [])
    if tuple(header[: len(COLUMNS)]) != COLUMNS:
        raise ValueError(f"its header is not {','.join(COLUMNS)}")
    decision = header.index("decision") if "decision" in header else None
    for number, cells in enumerate(rows, 1):
        if decision is None or cells[decision] == "kept":
            try:
                yield table_row(cells)
            except ValueError as error:
                raise ValueError(f"row {number}: {error}") from error


def _json_rows(path: Path, data: bytes, record: Facts) -> Iterator[Row]:
    items = _parsed(data)
    if not isinstance(items, list):
        raise ValueError("it contains no array")
    for number, item in enumerate(items, 1):
        try:
            yield table_row([item[name] for name in COLUMNS])
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"object {number}: {error}") from error


def _parsed(data: bytes) -> Any:
    try:
        return parse_json(data)
    except StoredError as error:
        raise ValueError(str(error).removeprefix("is damaged: ")) from error


def _parquet_rows(path: Path, data: bytes, record: Facts) -> Iterator[Row]:
    require_pyarrow(f"to read {path.name}, tiler-compare")
    from pyarrow import parquet

    file = parquet.ParquetFile(io.BytesIO(data))
    checked_count(file.metadata.num_rows)
    decision = ["decision"] if "decision" in file.schema_arrow.names else []
    for batch in file.iter_batches(columns=[*COLUMNS, *decision], use_threads=False):
        columns = [batch.column(name).to_pylist() for name in (*COLUMNS, *decision)]
        for cells in zip(*columns, strict=True):
            if not decision or cells[-1] == "kept":
                yield table_row(cells)


def _shard_rows(path: Path, data: bytes, record: Facts) -> Iterator[Row]:
    for shard in _parsed(data)["shards"]:
        with opened(path.parent / _plain(shard["file"]), 1 << 50) as (tar, _):
            for at, size in zip(shard["json_offsets"], shard["json_sizes"], strict=True):
                if not 0 <= size <= MAX_TABLE:
                    raise ValueError(f"a JSON of {size} bytes")
                tar.seek(at)
                item = _parsed(tar.read(size))
                yield table_row([item[name] for name in COLUMNS])


def _plain(name: object) -> str:
    if not isinstance(name, str) or "/" in name or "\\" in name or name in ("", ".", ".."):
        raise ValueError(f"{name!r} is not the name of a file")
    return name


def _zarr_rows(path: Path, data: bytes, record: Facts) -> Iterator[Row]:
    facts = _parsed(data)["attributes"]
    varying = [name for name in COLUMNS if name not in ("slide", "width", "height", "resolution")]
    arrays = {name: _zarr_column(path.parent / _plain(facts["columns"][name])) for name in varying}
    same = {"slide": "", **{name: facts[name] for name in ("width", "height", "resolution")}}
    for values in zip(*arrays.values(), strict=True):
        row = {**same, **dict(zip(varying, values, strict=True))}
        yield table_row([row[name] for name in COLUMNS])


def _zarr_column(folder: Path) -> list[Any]:
    from imagecodecs import zstd_decode

    facts = read_json(folder / "zarr.json")
    count, kind = checked_count(facts["shape"][0]), np.dtype(str(facts["data_type"]))
    if kind.kind not in "iuf":
        raise ValueError(f"column {folder.name} has the type {kind}")
    if not count:
        return []
    data = read_regular(folder / chunk_name(0, 1), MAX_TABLE)
    content = zstd_decode(data, out=count * kind.itemsize)
    values: list[Any] = np.frombuffer(content, kind.newbyteorder("<"), count).tolist()
    return values


def _geojson_rows(path: Path, data: bytes, record: Facts) -> Iterable[Row] | None:
    tiles = [
        one for one in _parsed(data)["features"] if one["properties"].get("objectType") == "tile"
    ]
    if not tiles and record["counts"].get("written"):
        return None  # exporter.geojson.tiles=false
    return _outlined(tiles, record)


def _outlined(tiles: Sequence[Mapping[str, Any]], record: Facts) -> Iterator[Row]:
    """Yield tiles from their outlines, which count from the corner of the slide's bounds."""
    downsample, token = frame_of(record)
    left, top = (record["mask"].get("bounds") or [0, 0])[:2]
    for one in tiles:
        ring = np.array(one["geometry"]["coordinates"][0])
        corners = np.array([ring.min(axis=0), ring.max(axis=0)]) + np.array([left, top])
        (x, y), (right, bottom) = np.rint(corners / downsample).astype(int).tolist()
        (x0, y0), (x1, y1) = corners.astype(int).tolist()
        ratio = float(one["properties"]["measurements"]["ratio"])
        yield Tile(token, x, y, right - x, bottom - y), ratio, [x0, y0, x1 - x0, y1 - y0]


_SIZES = {
    "trident": "patch_size",
    "atlaspatch": "patch_size",
    "mussel": "patch_size_to_resize_to_for_desired_mpp",
}
"""The attribute of each layout with the size in target pixels."""


def _hdf5_rows(path: Path, data: bytes, record: Facts) -> Iterator[Row]:
    try:
        import h5py
    except ImportError as error:
        raise StoredError("needs h5py; run: pip install 'tiler[hdf5]'") from error
    layout = path.stem.rpartition(".")[2]
    with h5py.File(io.BytesIO(data), "r") as file:
        coords = file["coords"]
        checked_count(coords.shape[0])
        attributes = {**file.attrs, **coords.attrs}
        if layout in _SIZES:
            width = height = int(attributes[_SIZES[layout]])
        else:  # CLAM has the size in pixels of a level
            level = float(attributes["downsample"][0])
            width = height = round(float(attributes["patch_size"]) * level / frame_of(record)[0])
        corners = coords[:, :2].astype(np.int64)
        ratios = file["columns/ratio"][:]
    yield from rows_of_corners(corners, (width, height), ratios, record)


def _hs2p_rows(path: Path, data: bytes, record: Facts) -> Iterator[Row]:
    """Read the npz beside a JSON; there is none for a slide without tiles."""
    tiling = _parsed(data)["tiling"]
    side, count = whole(str(tiling["requested_tile_size_px"])), whole(str(tiling["n_tiles"]))
    if not count:
        return
    content = read_regular(path.with_name(path.name.removesuffix(_META) + _NPZ), MAX_TABLE)
    archive = zipfile.ZipFile(io.BytesIO(content))
    if sum(member.file_size for member in archive.infolist()) > MAX_TABLE:
        raise ValueError("its arrays are too large")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        corners = np.stack([arrays["x"], arrays["y"]], axis=1).astype(np.int64)
        ratios = arrays["tissue_fractions"].astype(np.float64)
    if len(corners) != count:
        raise ValueError(f"{len(corners)} tiles, not {count}")
    yield from rows_of_corners(corners, (side, side), ratios, record)


_META, _NPZ = ".meta.json", ".coordinates.npz"

FORMATS = (
    Format("{}.csv", _csv_rows),
    Format("{}.json", _json_rows),
    Format("{}.parquet", _parquet_rows),
    Format("{}_candidates.csv", _csv_rows),
    Format("{}_candidates.parquet", _parquet_rows),
    Format("{}.zarr/zarr.json", _zarr_rows),
    Format("{}.shards.json", _shard_rows),
    Format("{}.geojson", _geojson_rows),
    *(Format(f"{{}}.{layout}.h5", _hdf5_rows) for layout in LAYOUTS),
    Format(f"{{}}{_META}", _hs2p_rows, Precision.SINGLE),
)
"""All formats, the preferred ones first."""
