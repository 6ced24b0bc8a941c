"""The tiles of one or several runs, read from the slides."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.dataset.handles import Handles, renew_after_fork
from tiler.dataset.index import Index, check_columns
from tiler.dataset.runs import Slide
from tiler.dataset.slides import FilesByName, Opening, OpenSlide, load_readers, open_slide
from tiler.dataset.tables import PLACE, UNASKED, Table
from tiler.dataset.where.tokens import unknown_column
from tiler.errors import ReadError
from tiler.exporters.reading import tile_pixels
from tiler.protocols import Pixels
from tiler.regions import RegionSpec
from tiler.resolution import Resolution


class Item(dict[str, Any]):
    """A tile's image and columns by name."""

    def __missing__(self, name: str) -> Any:
        """Refuse a column that the slide lacks: ``collate_fn`` of torch asks for those of others.

        Raises
        ------
        KeyError
            Always.
        """
        fix = "choose columns with columns=[…]: a share or score that a slide lacks is then NaN"
        raise KeyError(f"{name!r} is no column of this item; {fix}")

    def __copy__(self) -> dict[str, Any]:
        """Return a plain dict: torch makes batches from a copy, and JAX knows no other mapping."""
        return dict(self)


IMAGE = "image"
ERROR = "error"
BAD_TILE = ("raise", "skip", "mark")

_TABLE_BYTES = 128 << 20
"""Memory for tables of slides; those unused longest are read again."""


@dataclass(frozen=True)
class ItemSettings:
    """Settings for the content of an item.

    Attributes
    ----------
    columns
        Columns beside ``PLACE``; None for all that the slide's table has.
    transform
        The user's function of an image; None for none.
    on_bad_tile
        One of ``BAD_TILE``.
    """

    columns: tuple[str, ...] | None = None
    transform: Callable[[Pixels], Any] | None = None
    on_bad_tile: str = "raise"


@dataclass(eq=False)
class RunTiles:
    """The tiles of runs. Pickles contain no open slide; a forked process opens slides again.

    Attributes
    ----------
    index
        The tiles in their order.
    opening, wanted
        The settings for opening slides, and for the content of items.
    max_open
        The largest number of open slides.
    """

    index: Index
    opening: Opening
    wanted: ItemSettings
    max_open: int

    def __post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._tables: OrderedDict[int, Table] = OrderedDict()
        self._tables_bytes = 0
        load_readers()
        root = self.opening.slide_root
        self._found = None if root is None else FilesByName(root, self.index.slides)
        self.after_fork()
        self._handles = Handles(_close, self.max_open)
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Make a new lock: a thread of the parent process may hold the inherited one."""
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings, without open slides."""
        names = ("index", "opening", "wanted", "max_open")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the settings of a pickled object."""
        self.__dict__.update(state)
        self._begin()

    def close(self) -> None:
        """Close all slides; they are opened again when they are needed."""
        self._handles.close()

    def table(self, number: int) -> Table:
        """Return the table of a slide."""
        slide = self.index.slides[number]
        if slide.table is not None:
            return slide.table
        with self._lock:
            if number in self._tables:
                self._tables.move_to_end(number)
                return self._tables[number]
        table = slide.read_table()
        with self._lock:
            if number not in self._tables:  # another thread may have read it, too
                self._tables[number] = table
                self._tables_bytes += table.nbytes
            while self._tables_bytes > _TABLE_BYTES and len(self._tables) > 1:
                self._tables_bytes -= self._tables.popitem(last=False)[1].nbytes
        return table

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column of all tiles, in the order of the index; no slide is opened.

        Raises
        ------
        ConfigError
            If no table has such a column.
        """
        check_columns(self.index, [name])
        if not len(self.index):
            return np.empty(0)
        slides, rows = self.index.places(np.arange(len(self.index)))
        order = np.argsort(slides, kind="stable")
        numbers, starts = np.unique(slides[order], return_index=True)
        found = [
            _column(self.index.slides[number], self.table(number), name, own)
            for number, own in zip(numbers.tolist(), np.split(rows[order], starts[1:]), strict=True)
        ]
        return np.concatenate(found)[np.argsort(order)]

    def _open(self, number: int) -> OpenSlide:
        slide = self.index.slides[number]
        return open_slide(slide, self.table(number), self.opening, self._found)

    def items(self, number: int, rows: npt.NDArray[np.int64]) -> Iterator[Item | None]:
        """Yield the items of some tiles of a slide, in the order of ``rows``.

        Values that tiles share are computed once. None stands for a tile that cannot be read and is
        skipped.
        """
        with self._handles.lease(number, self._open) as opened:
            table, slide = self.table(number), self.index.slides[number]
            regions = table.regions(rows, opened.resolution, opened.downsample)
            values = self._values(slide, table, rows)
            for region, *of_tile in zip(regions, *values.values(), strict=True):
                yield self._item(opened, region, dict(zip(values, of_tile, strict=True)))

    def _item(self, opened: OpenSlide, region: RegionSpec, values: dict[str, Any]) -> Item | None:
        problem = ""
        keys = {image_key(context): context for context in (None, *opened.contexts)}
        try:
            images = {
                key: tile_pixels(opened.source, region, context, opened.transforms)
                for key, context in keys.items()
            }
        except ReadError as error:
            if self.wanted.on_bad_tile == "raise":
                raise
            if self.wanted.on_bad_tile == "skip":
                return None
            problem = str(error)
            width, height = region.shape
            images = {key: np.zeros((height, width, 3), np.uint8) for key in keys}
        made = self.wanted.transform or _same
        item = Item((key, made(_owned(pixels))) for key, pixels in images.items())
        for name, value in values.items():
            item.setdefault(name, value)  # a user's column may have the name of an image
        if self.wanted.on_bad_tile == "mark":
            item[ERROR] = problem
        return item

    def _values(
        self, slide: Slide, table: Table, rows: npt.NDArray[np.int64]
    ) -> dict[str, list[Any]]:
        """Return the values of each tile that items contain beside images, by name."""
        if self.wanted.columns is None:
            names: Sequence[str] = [name for name in table.columns if name not in UNASKED]
        else:
            names = self.wanted.columns
        return {
            name: _column(slide, table, name, rows).tolist()
            for name in dict.fromkeys(("slide_id", *PLACE, *names))
        }


def _column(slide: Slide, table: Table, name: str, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Return a column of some tiles of a slide's table, or the id of the slide for each of them.

    Raises
    ------
    ConfigError
        If there is no such column.
    """
    if name in ("slide", "slide_id"):
        return np.full(len(rows), slide.slide_id, object)
    try:
        values: npt.NDArray[Any] = table.column(name)[rows]
    except KeyError:
        raise unknown_column(f"slide={slide.slide_id}: columns", name, table.columns) from None
    return values


def image_key(context: Resolution | None) -> str:
    """Return the key of a tile's image, or of its context: ``context_mpp_2.0``."""
    return IMAGE if context is None else f"context_{context.token}"


def _close(opened: OpenSlide) -> None:
    opened.source.close()


def _same(pixels: Pixels) -> Pixels:
    return pixels


def _owned(pixels: Pixels) -> Pixels:
    """Return pixels that the user may change: in one piece, and shared with no cache."""
    return np.require(pixels, requirements=["C", "W", "O"])
