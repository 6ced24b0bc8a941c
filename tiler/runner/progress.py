"""Progress: bars on a terminal, plain log lines elsewhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tiler.runner.job import SlideRow

log = logging.getLogger("tiler")


class Progress:
    """Counts slides and tiles; ``bars`` are two tqdm bars, or none in a log file."""

    def __init__(self, slides: int, bars: tuple[Any, Any] | None) -> None:
        self.slides = slides
        self.done = 0
        self._bars = bars

    def planned(self, tiles: int) -> None:
        """Say that so many more tiles are to be written."""
        if self._bars:
            self._bars[1].total += tiles
            self._bars[1].refresh()

    def tiles(self, count: int) -> None:
        """Say that so many tiles have been written."""
        if self._bars:
            self._bars[1].update(count)

    def slide(self, row: SlideRow) -> None:
        """Say that a slide has been dealt with."""
        self.done += 1
        if self._bars:
            self._bars[0].update()
        where = f"[{self.done}/{self.slides}] {row.slide_id}"
        if row.status == "failed":
            log.error("%s failed: %s", where, row.reason)
        else:
            why = f" ({row.reason})" if row.reason else ""
            tiles = f"{row.kept} of {row.candidates} tiles{why}"
            log.info("%s %s: %s in %.1f s", where, row.status, tiles, row.seconds)


@contextmanager
def progress(slides: int) -> Iterator[Progress]:
    """Progress over a number of slides, for the time of a run."""
    if not sys.stderr.isatty():
        yield Progress(slides, None)
        return
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    with (
        tqdm(total=slides, unit="slide", desc="slides") as slide_bar,
        tqdm(total=0, unit="tile", desc="tiles ") as tile_bar,
        logging_redirect_tqdm(),
    ):
        yield Progress(slides, (slide_bar, tile_bar))
