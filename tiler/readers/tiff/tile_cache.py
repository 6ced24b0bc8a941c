"""A bounded cache of decoded native tiles, each decoded once for all threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from tiler.protocols import Pixels

Key = tuple[int, int]
"""A level's index, and the number of a tile in that level."""


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

    def get(self, key: Key, make: Callable[[Key], Pixels]) -> Pixels:
        """Return the tile of a key, read-only, from the cache or newly decoded.

        If several threads need the same tile, one decodes it and the others wait. If it fails,
        each thread tries again and gets its own error.
        """
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
                self._hold(key, tile)
            return tile
        finally:
            with self._guard:
                del self._underway[key]
            turn.release()

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
