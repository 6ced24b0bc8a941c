"""Tiles as Parquet: a table per slide, and one of the whole run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tiler
from tiler.errors import ReadError
from tiler.exporters.tables.parquet import base_schema, metadata, require_pyarrow, write_parquet
from tiler.protocols import Exported, FinishedSlide, Mask, NamesTiles, WSIReader
from tiler.regions import RegionSpec, packed

if TYPE_CHECKING:
    import pyarrow
    from pyarrow import parquet

RUN_TABLE = "tiles.parquet"
"""The table of all slides, in the run's folder."""

_GROUP_ROWS = 1 << 17
"""Rows of whole slides in a row group. A group per slide would keep 17 KB in memory for each."""


@dataclass(frozen=True)
class ParquetExporter:
    """Writes ``<slide>.parquet``, and ``tiles.parquet`` of all slides of a run.

    The columns are those of the CSV table. Their types do not depend on the tiles: whole numbers
    are int64, other numbers double, everything else is text, and a score that was not measured is
    null. The metadata of the schema contains a JSON object with the key ``tiler``.

    Parameters
    ----------
    file
        Whether the table has a column ``file`` with the path of each tile's image, relative to the
        slide's folder; None for a column if images are exported.
    tiles
        The exporter that names the images; tiler sets it for such a column.
    settings
        The settings of the slide, for the metadata; tiler sets them.

    Raises
    ------
    ConfigError
        If pyarrow is missing.
    """

    file: bool | None = None
    tiles: NamesTiles | None = None
    settings: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        require_pyarrow("exporter=parquet")

    @property
    def per_tile(self) -> bool:
        """False: a table is written in one piece."""
        return False

    def with_settings(self, settings: Mapping[str, Any]) -> ParquetExporter:
        """Return the exporter for a slide with these settings."""
        return replace(self, settings=settings)

    def export(
        self, source: WSIReader, regions: Sequence[RegionSpec], mask: Mask, folder: Path
    ) -> Exported:
        """Write the table of ``regions``."""
        facts = {
            "tiler": tiler.__version__,
            "slide": source.name,
            **_resolution(source, regions),
            "mpp": source.mpp,
            "magnification": source.magnification,
            "settings": self.settings or {},
        }
        name = f"{source.name}.parquet"
        written = write_parquet(folder, name, source.name, regions, self.tiles, facts)
        return Exported((written,))

    @property
    def run_names(self) -> tuple[str, ...]:
        """Return the name of the run's table."""
        return (RUN_TABLE,)

    def run_links(self, slide: FinishedSlide) -> Mapping[str, str]:
        """Return no links."""
        return {}

    def run_files(self, slides: Sequence[FinishedSlide]) -> Mapping[str, Iterable[bytes]]:
        """Return the table of all slides, in their order."""
        return {RUN_TABLE: _run_table(slides)}


def _resolution(source: WSIReader, regions: Sequence[RegionSpec]) -> dict[str, Any]:
    """Return the requested and the effective resolution of regions, where they are known."""
    first = next(iter(packed(regions)), None)
    if first is None:
        return {"requested": None, "downsample": None, "effective_mpp": None}
    mpp = None if source.mpp is None else first.resolution.mpp(source)
    return {
        "requested": first.resolution.token,
        "downsample": first.downsample,
        "effective_mpp": mpp,
    }


class _Sink:
    """A file in memory whose bytes are taken piece by piece."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self.closed = False

    def write(self, data: Any) -> int:
        self._chunks.append(bytes(data))
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """Do nothing: bytes are taken between two row groups."""

    def close(self) -> None:
        self.closed = True

    def taken(self) -> bytes:
        """Return the bytes that were written since the last call."""
        data = b"".join(self._chunks)
        self._chunks.clear()
        return data


def _run_table(slides: Sequence[FinishedSlide]) -> Iterator[bytes]:
    """Yield a Parquet file with the tables of slides, one after the other.

    A column that a slide lacks is null. Each table is opened twice: columns are known first.
    """
    import pyarrow
    from pyarrow import parquet

    schema = base_schema()
    for slide in slides:
        with _opened(slide) as table:
            own = table.schema_arrow.remove_metadata()
            if not own.equals(schema):
                schema = pyarrow.unify_schemas([schema, own], promote_options="permissive")
    sink = _Sink()
    schema = schema.with_metadata(metadata(_facts(slides)))
    with parquet.ParquetWriter(
        pyarrow.PythonFile(sink, mode="w"), schema, compression="zstd"
    ) as writer:
        for group in _groups(slides, schema):
            writer.write_table(group)
            yield sink.taken()
    yield sink.taken()


def _groups(slides: Iterable[FinishedSlide], schema: pyarrow.Schema) -> Iterator[pyarrow.Table]:
    """Yield the tables of slides, those of small ones joined."""
    import pyarrow

    waiting: list[pyarrow.Table] = []
    for slide in slides:
        with _opened(slide) as table:
            for number in range(table.num_row_groups):
                rows = table.read_row_group(number, use_threads=False)
                waiting.append(_completed(rows, schema))
        if sum(table.num_rows for table in waiting) >= _GROUP_ROWS:
            yield pyarrow.concat_tables(waiting)
            waiting = []
    if any(table.num_rows for table in waiting):
        yield pyarrow.concat_tables(waiting)


@contextmanager
def _opened(slide: FinishedSlide) -> Iterator[parquet.ParquetFile]:
    """Open a slide's table.

    Raises
    ------
    ReadError
        If the table is damaged.
    """
    import pyarrow
    from pyarrow import parquet

    name = f"{slide.slide_id}.parquet"
    try:
        with (slide.folder / name).open("rb") as file:  # its name need not be UTF-8
            yield parquet.ParquetFile(file)
    except (pyarrow.ArrowException, OSError) as error:
        why = " ".join(str(error).split())
        raise ReadError(
            slide.slide_id,
            f"{name} cannot be read for {RUN_TABLE} ({why}); run again with verify=hash",
        ) from error


def _completed(rows: pyarrow.Table, schema: pyarrow.Schema) -> pyarrow.Table:
    """Return a table with all columns of a schema; those that it lacks are null."""
    import pyarrow

    columns = [
        rows.column(field.name).cast(field.type)
        if field.name in rows.column_names
        else pyarrow.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pyarrow.table(columns, schema=schema)


def _facts(slides: Sequence[FinishedSlide]) -> dict[str, Any]:
    """Return the metadata of a run's table: shared settings, and the keys of those that differ."""
    flat: dict[int, dict[str, Any]] = {}
    for slide in slides:  # most slides share one object
        flat.setdefault(id(slide.settings), dict(_flat(slide.settings)))
    every = list(flat.values())
    keys = dict.fromkeys(key for one in every for key in one)
    missing = object()
    differ = [
        key
        for key in keys
        if any(one.get(key, missing) != every[0].get(key, missing) for one in every)
    ]
    return {
        "tiler": tiler.__version__,
        "slides": len(slides),
        "requested": sorted({slide.requested for slide in slides}),
        "settings": {key: value for key, value in every[0].items() if key not in differ}
        if every
        else {},
        "settings_that_differ": differ,
    }


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield settings by dotted keys."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
