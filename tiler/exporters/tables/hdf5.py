"""Coordinates as HDF5 in the layouts of other tools, with the extra ``tiler[hdf5]``."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tiler.errors import ConfigError
from tiler.exporters.tables.footprints import check_square, footprint, for_tool
from tiler.exporters.tables.hdf5_layouts import LAYOUTS, ONE_STRIDE, Layout, LayoutName
from tiler.exporters.tables.tool_trees import layout_file, layout_links, layout_tables
from tiler.files import write_whole
from tiler.protocols import Exported, FinishedSlide, Mask, WSIReader
from tiler.regions import Regions, RegionSpec, packed
from tiler.spec import TileSpec
from tiler.storage.destinations import inside, make_folder
from tiler.written import WrittenFile

if TYPE_CHECKING:
    import h5py

COLUMNS = "columns"
"""The group with the numbers and labels of tiles, a dataset for each; no tool reads it."""


@dataclass(frozen=True)
class Hdf5Exporter:
    """Writes ``<slide>.<layout>.h5`` for each layout.

    Parameters
    ----------
    layout
        ``trident``, ``clam``, ``mussel`` or ``atlaspatch``; or several of them.
    spec
        The tiles; tiler sets it.

    Raises
    ------
    ConfigError
        If a layout is unknown or cannot express the tiles, or h5py is missing.
    """

    layout: LayoutName | Sequence[LayoutName] = "trident"
    spec: TileSpec | None = None

    def __post_init__(self) -> None:
        names = (self.layout,) if isinstance(self.layout, str) else tuple(self.layout)
        options = ", ".join(LAYOUTS)
        if not names:
            raise ConfigError(f"exporter.hdf5.layout=[] is empty; choose among {options}")
        for name in names:
            if name not in LAYOUTS:
                raise ConfigError(f"exporter.hdf5.layout={name!r} is unknown; use {options}")
            if names.count(name) > 1:
                raise ConfigError(f"exporter.hdf5.layout names {name} twice; remove one")
            if self.spec is not None:
                where = f"exporter.hdf5.layout={name}"
                check_square(self.spec, where, stride=name in ONE_STRIDE)
        object.__setattr__(self, "layout", names)  # a tuple, so that the exporter is hashable
        if find_spec("h5py") is None:
            raise ConfigError("exporter=hdf5 needs h5py; run: pip install 'tiler[hdf5]'")

    @property
    def per_tile(self) -> bool:
        """False: a file lists all tiles."""
        return False

    def notes(self, source: WSIReader) -> list[str]:
        """Return remarks on attributes that are left out, and on areas that differ from tiles."""
        found = footprint(self._tiles(), source)
        wanted = found.size.width * found.downsample
        layouts = self._layouts(source)
        # Layouts with the same remark share it: there may be a thousand slides in a log.
        remarks: dict[str, list[str]] = {}
        for name, layout in layouts.items():
            if layout.left_out:
                what = f"without {' and '.join(layout.left_out)}, which the slide does not say"
                remarks.setdefault(what, []).append(name)
            if abs(layout.read.side0 - wanted) > 1e-6:
                what = f"the tool reads {layout.read.side0:.8g} level-0 pixels for {wanted:.8g}"
                remarks.setdefault(what, []).append(name)
        return [f"hdf5 layout {', '.join(names)}: {what}" for what, names in remarks.items()]

    def export(
        self, source: WSIReader, regions: Sequence[RegionSpec], mask: Mask, folder: Path
    ) -> Exported:
        """Write a file for each layout; no file for a slide without tiles if the tool has none."""
        parts = packed(regions)
        files = []
        for name, layout in self._layouts(source).items():
            if len(regions) or layout.if_empty:
                data = _file(layout, parts)
                file = layout_file(source.name, name)
                path = inside(make_folder(folder), file)
                files.append(WrittenFile(file, *write_whole(path, data)))
        return Exported(tuple(files))

    @property
    def run_names(self) -> tuple[str, ...]:
        """Return the folder of each layout's tool."""
        return tuple(f"{name}/" for name in self.names)

    def run_links(self, slide: FinishedSlide) -> Mapping[str, str]:
        """Return links to the slide's files at the places where the tools look for them."""
        return layout_links(slide, self.names, self._tiles())

    def run_files(self, slides: Sequence[FinishedSlide]) -> Mapping[str, Iterable[bytes]]:
        """Return the table of slides that CLAM wants."""
        return layout_tables(slides, self.names)

    def _layouts(self, source: WSIReader) -> dict[str, Layout]:
        found = footprint(self._tiles(), source)
        return {name: LAYOUTS[name](found, source, plain_text(source.name)) for name in self.names}

    @property
    def names(self) -> tuple[LayoutName, ...]:
        """The layouts, in order."""
        return (self.layout,) if isinstance(self.layout, str) else tuple(self.layout)

    def _tiles(self) -> TileSpec:
        return for_tool(self.spec, "hdf5")


def _file(layout: Layout, parts: Sequence[Regions]) -> memoryview:
    """Return the bytes of a file; they depend on the content alone, not on the time."""
    import h5py

    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        coords = file.create_dataset("coords", data=layout.coords(parts))
        place = file if layout.of_file else coords
        for name, value in layout.attributes.items():
            place.attrs[name] = value
        if layout.of_file:
            place.attrs["num_patches"] = len(coords)
        write_columns(file, parts)
    return data.getbuffer()


def write_columns(file: h5py.File, parts: Sequence[Regions]) -> None:
    """Write coverage and further columns of tiles into the group ``columns``."""
    for name, values in columns_of(parts).items():
        if values.dtype.kind in "OU":
            texts = np.array([plain_text(str(value)).encode() for value in values], np.bytes_)
            _write_texts(file, name, texts)
        else:
            file.create_dataset(f"{COLUMNS}/{name}", data=values)


def _write_texts(file: h5py.File, name: str, texts: npt.NDArray[np.bytes_]) -> None:
    import h5py

    kind = h5py.string_dtype("utf-8", max(1, texts.dtype.itemsize))
    file.create_dataset(f"{COLUMNS}/{name}", data=texts.astype(kind))


def columns_of(parts: Sequence[Regions]) -> Mapping[str, npt.NDArray[Any]]:
    """Return coverage and the columns that all regions have, by a name without ``/``."""
    if not parts:
        return {}
    columns = [{"ratio": part.ratios, **part.columns} for part in parts]
    shared = [name for name in columns[0] if all(name in one for one in columns)]
    return {
        name.replace("%", "%25").replace("/", "%2F"): np.concatenate([one[name] for one in columns])
        for name in shared
    }


def plain_text(text: str) -> str:
    """Return a text that is valid UTF-8: bytes of a name that are not become escapes."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")
