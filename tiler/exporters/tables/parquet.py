"""Tables of tiles as Parquet, with the extra ``tiler[parquet]``."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tiler.errors import ConfigError
from tiler.exporters.names import file_names
from tiler.exporters.tables.csv_json import COLUMNS, FILE, column_names
from tiler.files import write_whole
from tiler.protocols import NamesTiles
from tiler.regions import Regions, RegionSpec, batches, packed
from tiler.storage.destinations import inside, make_folder
from tiler.storage.safe_text import plain_text
from tiler.written import WrittenFile

if TYPE_CHECKING:
    import pyarrow

META = "tiler"
"""The key of tiler's JSON object in the metadata of a schema."""

_TEXTS = ("slide", "resolution")
_FLOATS = ("ratio",)


def require_pyarrow(setting: str) -> None:
    """Refuse a setting that needs pyarrow where it is not installed.

    Raises
    ------
    ConfigError
        If pyarrow is missing.
    """
    if find_spec("pyarrow") is None:
        raise ConfigError(f"{setting} needs pyarrow; run: pip install 'tiler[parquet]'")


def write_parquet(
    folder: Path,
    name: str,
    slide: str,
    regions: Iterable[RegionSpec],
    tiles: NamesTiles | None = None,
    facts: Mapping[str, Any] | None = None,
) -> WrittenFile:
    """Write a table of regions: the columns of the CSV table, without text for numbers.

    Parameters
    ----------
    folder, name
        The place of the file.
    slide, regions
        The slide's name, and the rows.
    tiles
        The exporter that names the tiles' files, for the column ``file``.
    facts
        Plain values for the metadata of the schema.
    """
    from pyarrow import parquet

    table = regions_table(slide, regions, tiles)
    if facts is not None:
        table = table.replace_schema_metadata(metadata(facts))
    data = io.BytesIO()
    parquet.write_table(table, data, compression="zstd")
    path = inside(make_folder(folder), name)
    return WrittenFile(name, *write_whole(path, data.getvalue()))


def metadata(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return plain values as the metadata of a schema: one JSON object."""
    text = json.dumps(facts, ensure_ascii=False, default=str)
    return {META: plain_text(text)}


def base_schema() -> pyarrow.Schema:
    """Return the columns that every table of tiles has."""
    import pyarrow

    kinds = {name: pyarrow.string() for name in _TEXTS}
    kinds |= {name: pyarrow.float64() for name in _FLOATS}
    return pyarrow.schema([(name, kinds.get(name, pyarrow.int64())) for name in COLUMNS])


def regions_table(
    slide: str, regions: Iterable[RegionSpec], tiles: NamesTiles | None = None
) -> pyarrow.Table:
    """Return regions as an Arrow table; a score that was not measured is null.

    The type of a column depends on its kind of values alone: whole numbers are int64, other numbers
    double, and everything else is text.
    """
    import pyarrow

    parts = packed(regions)
    names = [*column_names(parts), *(() if tiles is None else (FILE,))]
    tables = [_part_table(slide, part, tiles) for part in parts]
    if not tables:
        table = base_schema().empty_table()
        return table if tiles is None else table.append_column(FILE, pyarrow.array([], "string"))
    whole = pyarrow.concat_tables(tables, promote_options="default")
    return whole.select([*COLUMNS, *names])


def _part_table(slide: str, part: Regions, tiles: NamesTiles | None) -> pyarrow.Table:
    import pyarrow

    same: Mapping[str, Any] = {
        "slide": plain_text(slide),
        "width": part.shape.width,
        "height": part.shape.height,
        "resolution": part.resolution.token,
    }
    columns = {name: _array(values) for name, values in part.varying.items()}
    columns |= {name: pyarrow.repeat(value, len(part)) for name, value in same.items()}
    more = list(part.columns)
    if tiles is not None:
        files = (file_names(tiles, slide, some) for some in batches(part))
        names = [plain_text(name) for some in files for name in some]
        columns[FILE] = pyarrow.array(names, pyarrow.string())
        more.append(FILE)
    return pyarrow.table({name: columns[name] for name in (*COLUMNS, *more)})


def _array(values: npt.NDArray[Any]) -> pyarrow.Array:
    """Return a column as an Arrow array of one of four types; NaN is null."""
    import pyarrow

    kind = values.dtype.kind
    if kind in "iu":
        return pyarrow.array(values, pyarrow.int64())
    if kind == "f":
        return pyarrow.array(values.astype(np.float64), pyarrow.float64(), from_pandas=True)
    if kind == "b":
        return pyarrow.array(values, pyarrow.bool_())
    texts = [None if value is None else plain_text(str(value)) for value in values.tolist()]
    return pyarrow.array(texts, pyarrow.string())
