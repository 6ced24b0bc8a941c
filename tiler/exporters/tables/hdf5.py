"""Coordinates as HDF5 in the layouts of other tools, with the extra ``tiler[hdf5]``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from isal import isal_zlib

from tiler.errors import ConfigError
from tiler.exporters.tables.footprints import footprint
from tiler.exporters.tables.hdf5_file import (
    link_images,
    name_for_clam,
    write_coords,
    write_hdf5,
    write_images,
)
from tiler.exporters.tables.hdf5_layouts import LAYOUTS, ONE_STRIDE, Layout, LayoutName
from tiler.exporters.tables.tool_trees import layout_file, layout_links, layout_tables
from tiler.exporters.tables.tool_values import another_area, check_square, for_tool
from tiler.protocols import Exported, FinishedSlide, Mask, Pixels, WSIReader
from tiler.regions import Regions, RegionSpec, packed
from tiler.spec import TileSpec
from tiler.storage.destinations import inside, make_folder
from tiler.storage.safe_text import plain_text
from tiler.written import WrittenFile

if TYPE_CHECKING:
    import h5py

_LEVEL = 1
"""The level of deflate: a higher one takes more time and saves less than 1 % on tissue."""


@dataclass(frozen=True)
class Hdf5Exporter:
    """Writes ``<slide>.<layout>.h5`` for each layout.

    With ``images``, the dataset ``images`` contains the pixels of all tiles: uint8 (N, height,
    width, 3), a chunk per tile, deflated. They are stored once, in the file of the first layout;
    in the others ``images`` is a link to them. CLAM's files have them as ``imgs``, too.

    Parameters
    ----------
    layout
        ``trident``, ``clam``, ``mussel`` or ``atlaspatch``; or several of them.
    images
        Whether the pixels of tiles are written, too.
    spec
        The tiles; tiler sets it.

    Raises
    ------
    ConfigError
        If a layout is unknown or cannot express the tiles, or h5py is missing.
    """

    layout: LayoutName | Sequence[LayoutName] = "trident"
    images: bool = False
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
        """Return whether it writes the pixels of tiles."""
        return self.images

    def encoded(self, pixels: Pixels) -> bytes:
        """Return the chunk of a tile."""
        chunk: bytes = isal_zlib.compress(pixels.tobytes(), _LEVEL)
        return chunk

    def notes(self, source: WSIReader) -> list[str]:
        """Return remarks on attributes that are left out, and on areas that differ from tiles."""
        found = footprint(self._tiles(), source)
        wanted = found.size.width * found.downsample
        layouts = self._layouts(source)
        # Layouts with the same remark share it: there may be a thousand slides in a log.
        remarks: dict[str, list[str]] = {}
        for name, layout in layouts.items():
            if layout.left_out:
                what = f"without {' and '.join(layout.left_out)}, which the slide does not state"
                remarks.setdefault(what, []).append(name)
            if what := another_area(layout.read.side0, wanted):
                remarks.setdefault(f"the tool reads {what}", []).append(name)
        return [f"exporter.hdf5.layout={','.join(some)}: {what}" for what, some in remarks.items()]

    def export(
        self, source: WSIReader, regions: Sequence[RegionSpec], mask: Mask, folder: Path
    ) -> Exported:
        """Write a file for each layout; no file for a slide without tiles if the tool has none."""
        return self._written(source, packed(regions), folder)

    def pack(
        self, source: WSIReader, regions: Regions, tiles: Iterable[bytes], folder: Path
    ) -> Exported:
        """Write the same files, with the pixels in the first."""
        return self._written(source, [regions], folder, tiles)

    def _written(
        self,
        source: WSIReader,
        parts: Sequence[Regions],
        folder: Path,
        tiles: Iterable[bytes] | None = None,
    ) -> Exported:
        files: list[WrittenFile] = []
        make_folder(folder)

        def fill(file: h5py.File, name: str, layout: Layout) -> None:
            write_coords(file, layout, parts)
            if tiles is None:
                return
            if files:
                link_images(file, files[0].name)
            else:
                write_images(file, parts[0], tiles)
            if name == "clam":
                name_for_clam(file)

        for name, layout in self._layouts(source).items():
            if any(map(len, parts)) or layout.if_empty:
                file = layout_file(source.name, name)
                filled = partial(fill, name=name, layout=layout)
                files.append(WrittenFile(file, *write_hdf5(inside(folder, file), filled)))
        return Exported(tuple(files))

    @property
    def run_names(self) -> tuple[str, ...]:
        """Return the folder of each layout's tool."""
        return tuple(f"{name}/" for name in self.names)

    def run_links(self, slide: FinishedSlide) -> Mapping[str, str]:
        """Return links to the slide's files at the places where the tools look for them."""
        return layout_links(slide, self.names, self._tiles())

    def run_files(self, slides: Sequence[FinishedSlide]) -> Mapping[str, Iterable[bytes]]:
        """Return the table of slides that CLAM reads."""
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
