"""Readers that fail on slides with certain names; allowed by TILER_TARGETS=faulty."""

from __future__ import annotations

import logging
import os
import signal
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tiler.geometry import Size
from tiler.protocols import Pixels, SlideEntry, WSIReader
from tiler.readers import ImageReader, OpenSlideReader
from tiler.slides import find_slides

if TYPE_CHECKING:
    from collections.abc import Hashable


class FaultyReader(OpenSlideReader):
    """A reader that dies, hangs or is slow while it reads."""

    def __init__(self, path: Path, **options: object) -> None:
        super().__init__(path, **options)
        if "buggy" in self.name:
            self.facts = replace(self.facts, level_downsamples=None)  # a bug in tiler's own code

    def _read_level(self, level: int, x: int, y: int, size: Size) -> Pixels:
        if "killed" in self.name:
            os.kill(os.getpid(), signal.SIGKILL)
        if "aborts" in self.name:
            os.abort()
        if "hangs" in self.name:
            time.sleep(3600)
        if "stopped" in self.name:
            os.kill(os.getpid(), signal.SIGSTOP)
        if "slow" in self.name:
            time.sleep(float(os.environ.get("DAWDLE_S", "0.2")))
        if "swapped" in self.name:
            os.utime(self.path)
        if "raises" in self.name:
            raise LookupError("nobody foresaw this")
        return super()._read_level(level, x, y, size)


def hang(path: Path, *, name: str | None = None) -> OpenSlideReader:
    """Write a file beside the slide, and then hang in opening it."""
    path.with_suffix(".began").touch()
    time.sleep(3600)
    raise AssertionError("not reached")


class SlowImageReader(ImageReader):
    """A reader that is slow on images with ``slow`` in their names."""

    def _read_level(self, level: int, x: int, y: int, size: Size) -> Pixels:
        if "slow" in self.name:
            time.sleep(0.1)
        return super()._read_level(level, x, y, size)


class DiesOnceReader(OpenSlideReader):
    """A reader that dies when a slide is first read."""

    def _read_level(self, level: int, x: int, y: int, size: Size) -> Pixels:
        mark = Path(os.environ["DIED_ALREADY"])
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._read_level(level, x, y, size)


class DiesInReportsReader(OpenSlideReader):
    """A reader that dies when a report reads a slide with ``dies`` in its name."""

    def _read_level(self, level: int, x: int, y: int, size: Size) -> Pixels:
        callers = (frame.filename for frame in traceback.extract_stack())
        if "dies" in self.name and any("/tiler/report/" in name for name in callers):
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._read_level(level, x, y, size)


class MeasuringReader(OpenSlideReader):
    """A reader that writes down memory and open files of its process when it opens a slide."""

    def __init__(self, path: Path, **options: object) -> None:
        super().__init__(path, **options)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        files = len(list(Path("/proc/self/fd").iterdir()))
        with Path(os.environ["MEASURED"]).open("a") as log:
            log.write(f"{pages * os.sysconf('SC_PAGE_SIZE')} {files}\n")


class TalkingMask:
    """A mask that logs its own lines, one of tiler's, and an error with its traceback."""

    def __init__(self, **options: object) -> None:
        pass

    def generate(self, source: WSIReader) -> np.ndarray:
        log = logging.getLogger("faulty")
        log.info("nobody wants to know")
        log.warning("found %d pens", 2)
        logging.getLogger("tiler").info("slide=%s is pale", source.name)
        try:
            raise LookupError("no stain")
        except LookupError:
            log.exception("no normalisation")
        if "killed" in source.name:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.ones((4, 6), bool)


def deadly_slides(paths: str, strict: bool = False) -> list[SlideEntry]:
    """Kills the process that looks for slides."""
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def preempted_slides(paths: str | list[str], strict: bool = False) -> list[SlideEntry]:
    """Sends a signal to the process that first looks for slides."""
    mark = Path(os.environ["PREEMPTED"])
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.Signals[os.environ["PREEMPTED_BY"]])
    return find_slides(paths, strict)


class TellsItsProcessReader(OpenSlideReader):
    """A reader that writes down the process that reads."""

    def _read_level(self, level: int, x: int, y: int, size: Size) -> Pixels:
        with Path(os.environ["PIDS"]).open("a") as file:
            file.write(f"{os.getpid()} {os.environ.get('OTHER', '')}\n")
        return super()._read_level(level, x, y, size)


class HintsForCheckersReader(OpenSlideReader):
    """A reader with type hints that only type checkers can resolve."""

    def __init__(self, path: Path, *, mpp: Hashable = None, name: str | None = None) -> None:
        super().__init__(path, name=name)
