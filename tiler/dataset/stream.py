"""An iterable dataset of tiles: slide by slide and block by block, for embedding and training."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from tiler.dataset import torch_info
from tiler.dataset.arguments import check_whole, run_tiles
from tiler.dataset.batches import batches
from tiler.dataset.index import Source
from tiler.dataset.late import Late, until_error
from tiler.dataset.order import (
    Ints,
    in_order_of_blocks,
    segments,
    share,
    share_in_batches,
    shuffled,
)
from tiler.dataset.tiles import Item
from tiler.errors import ConfigError
from tiler.process.startup import default_threads
from tiler.process.threads import in_order
from tiler.protocols import Pixels

_PIECE_TILES, _PIECE_PIXELS = 8, 1 << 20
"""A thread reads up to 8 tiles at a time, or 1 million pixels: 256 px take an eighth less time."""


class TileStream:
    """The tiles of one or several runs in an order that is fast to read.

    Without ``shuffle``, slides are in the order of their run, and blocks of neighbours follow each
    other within a slide. With it, slides and the blocks within a slide are in random order, and
    tiles are picked at random from a buffer.

    Each process reads its own part: the sequence is divided between ranks, and the part of a rank
    between the workers of its ``DataLoader``. Together they read each tile once. Import torch
    before the stream is made: ``DataLoader`` then knows that it is iterated.

    Parameters
    ----------
    run
        The same as for ``TileDataset``, like all arguments that are not described here.
    batch
        None for items; a number for dicts of arrays of so many tiles. Only the last batch of a rank
        is shorter, whatever the number of ``DataLoader`` workers.
    shuffle
        The size of the buffer in tiles, which are in memory; 0 for the fixed order.
    seed, epoch
        They determine the order. Each further iteration in a process is the next epoch.
    rank, world
        The part of the tiles that this process reads; None for rank and world size of
        ``torch.distributed`` if it is initialized when the stream is made, else for all tiles.
    workers
        How many threads of a process read ahead; None for two in a ``DataLoader`` worker, and for
        one per core, but at least two, elsewhere.

    Raises
    ------
    ConfigError
        If an argument is invalid, or a table is missing or damaged.
    """

    def __init__(
        self,
        run: Source,
        *,
        batch: int | None = None,
        shuffle: int = 0,
        seed: int = 0,
        epoch: int = 0,
        rank: int | None = None,
        world: int | None = None,
        workers: int | None = None,
        slides: Sequence[str] | None = None,
        where: str | None = None,
        columns: Sequence[str] | None = None,
        slide_root: str | Path | None = None,
        transform: Callable[[Pixels], Any] | None = None,
        context: bool | Sequence[float] = False,
        raw: bool = False,
        verify: str = "full",
        on_bad_tile: str = "raise",
        max_open: int = 4,
    ) -> None:
        for name, value in (("batch", batch), ("workers", workers)):
            if value is not None:
                check_whole(name, value, 1)
        for name, value in (("shuffle", shuffle), ("seed", seed), ("epoch", epoch)):
            check_whole(name, value, 0)
        self._rank, self._world = _place(rank, world)
        self._batch, self._shuffle, self._seed = batch, shuffle, seed
        self._epoch, self._workers = epoch, workers
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
            cache_bytes=None,
        )
        torch_info.register_iterable(type(self))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the settings of a pickled stream."""
        self.__dict__.update(state)
        torch_info.register_iterable(type(self))

    def __len__(self) -> int:
        """Return the number of items or batches of this rank, if no tile is skipped."""
        start, stop = share(len(self._tiles.index), self._rank, self._world)
        return -(-(stop - start) // (self._batch or 1))

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration.

        Workers that ``DataLoader`` starts afterwards have it; persistent ones count their own.
        """
        check_whole("epoch", epoch, 0)
        self._epoch = epoch

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Return an iterator over the items or batches of this process."""
        epoch, self._epoch = self._epoch, self._epoch + 1
        worker, workers = torch_info.worker()
        start, stop = share(len(self._tiles.index), self._rank, self._world)
        start, stop = share_in_batches(start, stop, self._batch or 1, worker, workers)
        threads = self._workers or (2 if workers > 1 else max(2, default_threads()))
        pieces = until_error(self._pieces(epoch, start, stop))
        read = in_order(self._read, pieces, threads, waiting_each=2)
        items: Iterable[Item] = _delivered(read)
        if self._shuffle:
            random = self._random(epoch, 1, self._rank, worker)
            items = shuffled(items, self._shuffle, random)
        if self._batch is None:
            return iter(items)
        return batches(items, min(self._batch, max(1, stop - start)))

    def close(self) -> None:
        """Close all slides; they are opened again when they are needed."""
        self._tiles.close()

    def _pieces(self, epoch: int, start: int, stop: int) -> Iterator[tuple[int, Ints]]:
        """Yield the tiles in a range of the sequence: a slide, and rows that are read at once."""
        index = self._tiles.index
        slides = np.arange(len(index.slides))
        if self._shuffle:
            slides = self._random(epoch, 0).permutation(len(slides))
        for slide, first, last in segments(index.counts(), slides, start, stop):
            rows, table = index.rows_of(slide), self._tiles.table(slide)
            random = self._random(epoch, 2, slide) if self._shuffle else None
            order = rows[in_order_of_blocks(table.regions(rows), random)[first:last]]
            width, height = table.shape
            size = min(_PIECE_TILES, max(1, _PIECE_PIXELS // (width * height)))
            for at in range(0, len(order), size):
                yield slide, order[at : at + size]

    def _read(self, piece: tuple[int, Ints] | Late) -> list[Item | Late | None]:
        if isinstance(piece, Late):
            return [piece]
        return list(until_error(self._tiles.items(*piece)))

    def _random(self, *numbers: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, *numbers])


def _delivered(read: Generator[list[Item | Late | None], None, None]) -> Iterator[Item]:
    """Yield the items of all pieces; raise an error once those before it were delivered."""
    with closing(read):  # here: a thread of its own that drops the last reference cannot join
        for some in read:
            for item in some:
                if isinstance(item, Late):
                    raise item.error
                if item is not None:
                    yield item


def _place(rank: int | None, world: int | None) -> tuple[int, int]:
    """Return rank and world size.

    Raises
    ------
    ConfigError
        If only one of them is given, or the rank is not below the world size.
    """
    if rank is None and world is None:
        return torch_info.rank()
    if rank is None or world is None:
        raise ConfigError(f"rank={rank} and world={world}: give both or none of them")
    check_whole("rank", rank, 0)
    check_whole("world", world, rank + 1)
    return rank, world
