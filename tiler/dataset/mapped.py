"""A map-style dataset of tiles, as ``torch.utils.data.DataLoader`` takes it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from tiler.dataset.arguments import run_tiles
from tiler.dataset.index import Source
from tiler.dataset.tiles import Item
from tiler.errors import ReadError
from tiler.protocols import Pixels
from tiler.runner.work.plan import in_blocks

CACHE_BYTES = 8 << 20
"""Memory for decoded native tiles of each open slide: in random order few of them are used again,
and many slides are open."""


class TileDataset:
    """The tiles of one or several runs; pixels are read from the slides.

    An item is a dict: ``image`` (uint8 RGB, (h, w, 3)), ``slide_id``, ``x``, ``y``, ``x0``, ``y0``,
    ``ratio``, and the further columns of the table.

    Parameters
    ----------
    run
        The folder of a run or of a job of a sweep; a CSV or Parquet table of tiles beside
        ``slides.csv`` of its run; or several of them.
    slides
        Ids of the slides whose tiles are used; None for all.
    where
        An expression on columns, such as ``"label_tumor > 0.5 and ratio > 0.8"``.
    columns
        The further columns of an item; None for all that the slide's table has.
    slide_root
        The folder below which slides are searched that are not at their path.
    transform
        A function of an image, such as those of torchvision; it is called for context images, too.
    context
        True for images at the resolutions of the run's ``context``, or a list of resolutions. Their
        keys are like ``context_mpp_2.0``.
    raw
        Whether the transforms of the run are left out.
    verify
        How a slide is compared with the one that the run read, when a process opens it first:
        ``full`` (fingerprint), ``size``, or ``none``.
    on_bad_tile
        A tile that cannot be read is an error (``raise``), is left out of its batch (``skip``), or
        is black and has the reason in ``error`` (``mark``).
    max_open
        The number of slides that a process keeps open.

    Raises
    ------
    ConfigError
        If an argument is invalid, or a table is missing or damaged.
    """

    def __init__(
        self,
        run: Source,
        *,
        slides: Sequence[str] | None = None,
        where: str | None = None,
        columns: Sequence[str] | None = None,
        slide_root: str | Path | None = None,
        transform: Callable[[Pixels], Any] | None = None,
        context: bool | Sequence[float] = False,
        raw: bool = False,
        verify: str = "full",
        on_bad_tile: str = "raise",
        max_open: int = 16,
    ) -> None:
        self._tiles = run_tiles(
            run,
            slides=slides,
            where=where,
            columns=columns,
            slide_root=slide_root,
            transform=transform,
            context=context,
            raw=raw,
            verify=verify,
            on_bad_tile=on_bad_tile,
            max_open=max_open,
            cache_bytes=CACHE_BYTES,
        )

    def __len__(self) -> int:
        return len(self._tiles.index)

    def __getitem__(self, index: SupportsIndex) -> Item:
        """Return the item of a tile.

        Raises
        ------
        ReadError
            If the tile cannot be read, unless ``on_bad_tile`` is ``mark``: one index has one item.
        """
        (item,) = self._items([index])
        if item is None:
            slides, rows = self._tiles.index.places(np.array([self._checked(index)]))
            name = self._tiles.index.slides[int(slides[0])].slide_id
            what = f"tile {int(rows[0])} of its table cannot be read; use __getitems__ to skip it"
            raise ReadError(name, what)
        return item

    def __getitems__(self, indices: Sequence[SupportsIndex]) -> list[Item]:
        """Return the items of a batch in the given order; neighbours are read together.

        Tiles that cannot be read are left out if ``on_bad_tile`` is ``skip``.
        """
        return [item for item in self._items(indices) if item is not None]

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column of all tiles in the order of the dataset, for samplers and statistics.

        Tables are read, and no slide is opened. A share or score that a slide lacks is NaN.

        Raises
        ------
        ConfigError
            If no table has such a column.
        """
        return self._tiles.column(name)

    def close(self) -> None:
        """Close all slides; they are opened again when they are needed."""
        self._tiles.close()

    def _items(self, indices: Sequence[SupportsIndex]) -> list[Item | None]:
        wanted = np.array([self._checked(index) for index in indices], np.int64)
        slides, rows = self._tiles.index.places(wanted)
        found: list[Item | None] = [None] * len(wanted)
        for slide in dict.fromkeys(slides.tolist()):
            where = np.flatnonzero(slides == slide)
            places = self._tiles.table(slide).regions(rows[where])
            order = where[in_blocks(places).columns["at"]]
            items = self._tiles.items(slide, rows[order])
            for place, item in zip(order.tolist(), items, strict=True):
                found[place] = item
        return found

    def _checked(self, index: SupportsIndex) -> int:
        number, size = operator.index(index), len(self)
        if not -size <= number < size:
            raise IndexError(f"index {number} is out of range: the dataset has {size} tiles")
        return number % size
