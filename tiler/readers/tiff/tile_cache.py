"""A bounded cache of decoded native tiles, each decoded once for all threads.

A tile that lies wholly within a read is needed again only if reads overlap. Unless they do, it is
not kept: its memory is used again while it is in the processor's cache, which takes an eighth less
time for tiles of 512 pixels. Another epoch reads the same tiles again, too: so tiles are not kept
any longer when twice the size of the cache was kept in vain.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from tiler.protocols import Pixels

Key = tuple[int, int]
"""A level's index, and the number of a tile in that level."""


_PASSED = 512  # tiles that were not kept: the last 512 to 1024 are remembered


class TileCache:
    """The most recently used tiles, up to a number of bytes. Safe to share between threads.

    Parameters
    ----------
    limit
        Bytes of pixels to keep; 0 keeps none. The newest tile stays even if it alone is larger:
        the cache takes at most ``limit`` bytes or that one tile.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self.made = 0
        self._tiles: OrderedDict[Key, Pixels] = OrderedDict()
        self._underway: dict[Key, threading.Lock] = {}
        self._guard = threading.Lock()
        self._in_vain = 0  # bytes of tiles to keep until one of them is needed again
        self._passed: tuple[set[Key], set[Key]] = set(), set()

    def get(self, key: Key, make: Callable[[Key], Pixels], *, whole: bool = False) -> Pixels:
        """Return the tile of a key, read-only, from the cache or newly decoded.

        If several threads need the same tile, one decodes it and the others wait. If it fails,
        each thread tries again and gets its own error.

        Parameters
        ----------
        key, make
            The tile, and the function that decodes it.
        whole
            Whether the tile lies wholly within the read.
        """
        if whole and self._passes(key):
            return make(key)
        while True:
            with self._guard:
                tile = self._tiles.get(key)
                if tile is not None:
                    self._tiles.move_to_end(key)
                    return tile
                turn = self._underway.get(key)
                if turn is None:
                    turn = self._underway[key] = threading.Lock()
                    turn.acquire()
                    break
            with turn:
                pass  # the decoding thread has finished: check again
        try:
            tile = make(key)
            tile.flags.writeable = False
            with self._guard:
                self.made += 1
                if whole:
                    self._in_vain -= tile.nbytes
                self._hold(key, tile)
            return tile
        finally:
            with self._guard:
                del self._underway[key]
            turn.release()

    def _passes(self, key: Key) -> bool:
        """Return whether a tile need not be kept: no read needed such tiles again lately."""
        with self._guard:
            older, newer = self._passed
            if key in self._tiles or key in newer or key in older:
                self._in_vain = 2 * self.limit
                self._passed = set(), set()
            if self._in_vain > 0:
                return False
            newer.add(key)
            if len(newer) == _PASSED:
                self._passed = newer, set()
            self.made += 1
            return True

    def clear(self) -> None:
        """Remove all tiles."""
        with self._guard:
            self._tiles.clear()
            self.size = 0

    def _hold(self, key: Key, tile: Pixels) -> None:
        if not self.limit:
            return
        self._tiles[key] = tile
        self.size += tile.nbytes
        while self.size > self.limit and len(self._tiles) > 1:
            _, oldest = self._tiles.popitem(last=False)
            self.size -= oldest.nbytes
