"""The order in which a stream reads tiles, and the share of each process: pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from tiler.dataset.late import Late, until_error
from tiler.regions import Regions
from tiler.runner.work.plan import blocks_of, in_blocks

Ints = npt.NDArray[np.int64]

_T = TypeVar("_T")


def share(total: int, number: int, of: int) -> tuple[int, int]:
    """Return the range of one of several equal shares; sizes differ by one at most."""
    return total * number // of, total * (number + 1) // of


def share_in_batches(start: int, stop: int, batch: int, number: int, of: int) -> tuple[int, int]:
    """Return the part of a range that one of several workers reads, in whole batches.

    Only the last batch of the range is short.
    """
    first, last = share(-(-(stop - start) // batch), number, of)
    return min(stop, start + first * batch), min(stop, start + last * batch)


def segments(counts: Ints, slides: Ints, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield slide, first and last tile of a range in the sequence of all tiles.

    Parameters
    ----------
    counts
        The number of tiles of each slide.
    slides
        The slides in the order of the sequence.
    start, stop
        The range.
    """
    ends = np.cumsum(counts[slides])
    position = int(np.searchsorted(ends, start, side="right"))
    while start < stop:
        slide, end = int(slides[position]), int(ends[position])
        before = end - int(counts[slide])
        if end > start:
            yield slide, start - before, min(stop, end) - before
        start, position = end, position + 1


def in_order_of_blocks(regions: Regions, random: np.random.Generator | None) -> Ints:
    """Return the order in which tiles of a slide are read.

    Tiles of a block follow each other, because they share native tiles. Blocks are in random order
    if there is a generator.
    """
    if random is None:
        order: Ints = in_blocks(regions).columns["at"]
        return order
    blocks = np.stack(blocks_of(regions), axis=1)
    found, numbers = np.unique(blocks, axis=0, return_inverse=True)
    ranks = random.permutation(len(found))
    return np.argsort(ranks[numbers.reshape(-1)], kind="stable")


def shuffled(items: Iterable[_T], size: int, random: np.random.Generator) -> Iterator[_T]:
    """Yield all items, each picked at random from a buffer of some that follow each other.

    If an error ends the items, the buffer is delivered first.
    """
    buffer: list[_T] = []
    late: Exception | None = None
    for item in until_error(items):
        if isinstance(item, Late):
            late = item.error
            break
        if len(buffer) < size:
            buffer.append(item)
            continue
        place = int(random.integers(size))
        picked, buffer[place] = buffer[place], item
        yield picked
    for place in random.permutation(len(buffer)).tolist():
        yield buffer[place]
    if late is not None:
        raise late
