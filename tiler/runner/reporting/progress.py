"""Progress of a run: bars on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tiler.runner.work.job import SlideRow

log = logging.getLogger("tiler")

LINE_EVERY_S = 30.0
"""Without a terminal, seconds between two lines about slides under way."""

_NAMED = 3
"""Number of slides under way that such a line names."""


@dataclass
class _UnderWay:
    """A slide under way: its tiles once they are planned, and the tiles written so far."""

    begun: float = field(default_factory=time.monotonic)
    planned: int | None = None
    written: int = 0

    def __str__(self) -> str:
        if self.planned is None:
            return "finding tissue"
        return f"{self.written:,} of {self.planned:,} tiles"


class Progress:
    """Counts slides and tiles.

    Parameters
    ----------
    slides
        Number of slides to process.
    bars
        tqdm bars of slides and of tiles; None where there is no terminal.
    """

    def __init__(self, slides: int, bars: tuple[Any, Any] | None) -> None:
        self.slides = slides
        self.done = 0
        self._bars = bars
        self._under_way: dict[str, _UnderWay] = {}

    def began(self, slide_id: str) -> None:
        """Count a slide as under way."""
        self._under_way[slide_id] = _UnderWay()

    def planned(self, slide_id: str, tiles: int) -> None:
        """Count the tiles to write for a slide."""
        self._under_way[slide_id].planned = tiles
        if self._bars:
            self._bars[1].total += tiles
            self._bars[1].refresh()

    def tiles(self, slide_id: str, count: int) -> None:
        """Count tiles written for a slide."""
        self._under_way[slide_id].written += count
        if self._bars:
            self._bars[1].update(count)

    def slide(self, row: SlideRow) -> None:
        """Count a slide as finished and log its row."""
        self._under_way.pop(row.slide_id, None)
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

    def log_slides_under_way(self, longer_than_s: float) -> None:
        """Log the progress of slides that are under way for at least some seconds."""
        before = time.monotonic() - longer_than_s
        slides = list(self._under_way.items())  # another thread adds and removes slides
        slow = [f"{name}: {state}" for name, state in slides if state.begun <= before]
        if slow:
            rest = f"; {len(slow) - _NAMED} more" if len(slow) > _NAMED else ""
            log.info("under way: %s%s", "; ".join(slow[:_NAMED]), rest)


@contextmanager
def progress(slides: int, every_s: float = LINE_EVERY_S) -> Iterator[Progress]:
    """Show the progress over a number of slides while the context is open.

    Parameters
    ----------
    slides
        Number of slides to process.
    every_s
        Without a terminal, seconds between two lines about slides under way.
    """
    if not sys.stderr.isatty():
        counts, ended = Progress(slides, None), threading.Event()
        thread = threading.Thread(target=_log_regularly, args=(counts, ended, every_s), daemon=True)
        with suppress(RuntimeError):  # at the limit of threads these lines are dispensable
            thread.start()
        try:
            yield counts
        finally:
            ended.set()
        return
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    with (
        tqdm(total=slides, unit="slide", desc="slides") as slide_bar,
        tqdm(total=0, unit="tile", desc="tiles ") as tile_bar,
        logging_redirect_tqdm(),
    ):
        yield Progress(slides, (slide_bar, tile_bar))


@contextmanager
def counted_slides(
    slides: int, what: str, every_s: float = LINE_EVERY_S
) -> Iterator[Callable[[], object]]:
    """Show how many slides are done, without their tiles; yield a function that counts one.

    Parameters
    ----------
    slides, what
        The number of slides, and the name of the work on them.
    every_s
        Without a terminal, seconds between two lines.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm
        from tqdm.contrib.logging import logging_redirect_tqdm

        with tqdm(total=slides, unit="slide", desc=what) as bar, logging_redirect_tqdm():
            yield bar.update
        return
    done, said = 0, time.monotonic()

    def count() -> None:
        nonlocal done, said
        done += 1
        if time.monotonic() - said >= every_s:
            said = time.monotonic()
            log.info("%s: %d of %d slides", what, done, slides)

    yield count


def _log_regularly(counts: Progress, ended: threading.Event, every_s: float) -> None:
    while not ended.wait(every_s):
        counts.log_slides_under_way(every_s)
