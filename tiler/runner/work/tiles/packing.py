"""Let an exporter pack the tiles of a slide, from the spool files of its pieces."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from tiler.errors import DestinationError
from tiler.protocols import Mask, PacksTiles, WSIReader
from tiler.regions import Regions
from tiler.runner.components import pack
from tiler.runner.work.tiles.done import Written
from tiler.runner.work.tiles.places import find, order
from tiler.runner.work.tiles.spool import (
    TILE,
    Entries,
    Spool,
    locations_of,
    open_regular,
    read_spool,
    read_tile,
)
from tiler.storage.destinations import destination_error
from tiler.written import WrittenFiles

_OPEN = 128
"""Maximum number of open files: a row of the grid crosses many pieces."""


def pack_tiles(
    exporter: PacksTiles,
    source: WSIReader,
    regions: Regions,
    written: Sequence[Written],
    folder: Path,
    *,
    sample: bool = False,
) -> tuple[WrittenFiles, int]:
    """Pack the tiles of some regions; return the files, and the number of blank tiles.

    Parameters
    ----------
    exporter, source, regions, folder
        See ``PacksTiles.pack``.
    written
        The bytes of the tiles.
    sample
        Whether only tiles with bytes are packed, for predictions.

    Raises
    ------
    DestinationError
        If a tile's bytes are missing, or differ from those that were written.
    """
    spools = [path for one in written for path in one.spools]
    there, numbers, entries = _entries(regions, spools)
    if sample:
        regions = regions.take(there)
    elif not there.all():
        x, y = regions.locations[int(np.argmin(there))].tolist()
        what = f"the bytes of the tile at ({x}, {y}) are missing"
        raise DestinationError(f"{folder.parent}: {what}; run again")
    with closing(_tiles(spools, numbers, entries)) as tiles:
        done = pack(exporter, source, regions, tiles, folder)
    blank = {bytes.fromhex(one.blank) for one in written}
    blanks = sum(digest in blank for digest in entries["sha256"].tolist())
    return WrittenFiles.of(done.files), blanks


def _entries(
    regions: Regions, spools: Sequence[Path]
) -> tuple[Mask, npt.NDArray[np.intp], Entries]:
    """Return which regions have bytes; of these, the number of the spool file, and the entry."""
    whole: list[Spool] = []
    for path in spools:
        spool = read_spool(path)
        if spool is None:
            raise _damaged(path)
        whole.append(spool)
    entries = np.concatenate([np.empty(0, TILE), *(spool.entries for spool in whole)])
    numbers = np.repeat(np.arange(len(whole)), [len(spool.entries) for spool in whole])
    by_place = order(locations_of(entries))
    there, rows = find(regions.locations, locations_of(entries)[by_place])
    chosen = by_place[rows[there]]
    return there, numbers[chosen], entries[chosen]


def _tiles(
    spools: Sequence[Path], numbers: npt.NDArray[np.intp], entries: Entries
) -> Generator[bytes, None, None]:
    """Yield the bytes of some entries."""
    files: OrderedDict[int, BinaryIO] = OrderedDict()
    try:
        for number, entry in zip(numbers.tolist(), entries, strict=True):
            path = spools[number]
            try:
                if number not in files:
                    if len(files) == _OPEN:
                        files.popitem(last=False)[1].close()
                    files[number] = open_regular(path)
                files.move_to_end(number)
                data = read_tile(files[number], entry)
            except OSError as error:
                raise destination_error(error, path) from error
            if data is None:
                raise _damaged(path)
            yield data
    finally:
        for file in files.values():
            file.close()


def _damaged(path: Path) -> DestinationError:
    """Remove a spool file that is not as it was written, so that the next run does not use it."""
    with suppress(OSError):
        path.unlink()
    return DestinationError(f"{path} is not as it was written; check the disk, and run again")
