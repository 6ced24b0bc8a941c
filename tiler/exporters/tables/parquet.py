"""Tables of tiles as Parquet, with the extra ``tiler[parquet]``."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiler.errors import ConfigError
from tiler.exporters.tables.csv_json import COLUMNS, column_names
from tiler.files import write_whole
from tiler.regions import Regions, RegionSpec, packed
from tiler.storage.destinations import inside, make_folder
from tiler.written import WrittenFile

if TYPE_CHECKING:
    import pyarrow


def require_pyarrow(setting: str) -> None:
    """Refuse a setting that needs pyarrow where it is not installed.

    Raises
    ------
    ConfigError
        If it is missing.
    """
    if find_spec("pyarrow") is None:
        raise ConfigError(f"{setting} needs pyarrow; run: pip install 'tiler[parquet]'")


def write_parquet(
    folder: Path, name: str, slide: str, regions: Iterable[RegionSpec]
) -> WrittenFile:
    """Write a table of regions: the columns of the CSV table, without text for numbers."""
    from pyarrow import parquet

    data = io.BytesIO()
    parquet.write_table(regions_table(slide, regions), data, compression="zstd")
    path = inside(make_folder(folder), name)
    return WrittenFile(name, *write_whole(path, data.getvalue()))


def regions_table(slide: str, regions: Iterable[RegionSpec]) -> pyarrow.Table:
    """Return regions as an Arrow table; a score that was not measured is null."""
    import pyarrow

    parts = packed(regions)
    names = column_names(parts)
    tables = [_part_table(slide, part) for part in parts]
    if not tables:
        return pyarrow.table({name: pyarrow.array([], pyarrow.null()) for name in COLUMNS})
    whole = pyarrow.concat_tables(tables, promote_options="default")
    return whole.select([*COLUMNS, *names])


def _part_table(slide: str, part: Regions) -> pyarrow.Table:
    import pyarrow

    text = slide.encode(errors="surrogateescape").decode(errors="backslashreplace")
    same: Mapping[str, Any] = {
        "slide": text,
        "width": part.shape.width,
        "height": part.shape.height,
        "resolution": part.resolution.token,
    }
    boxes0 = part.boxes0()
    made = {
        "x": part.locations[:, 0],
        "y": part.locations[:, 1],
        "ratio": part.ratios,
        **{name: boxes0[:, at] for at, name in enumerate(COLUMNS[7:])},
        **part.columns,
    }
    columns = {name: pyarrow.array(values, from_pandas=True) for name, values in made.items()}
    columns |= {name: pyarrow.repeat(value, len(part)) for name, value in same.items()}
    return pyarrow.table({name: columns[name] for name in (*COLUMNS, *part.columns)})
