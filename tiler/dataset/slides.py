"""Open slides of runs: found, compared with their fingerprints, and read as the run read them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from tiler.dataset.facts import SlideFacts, read_facts, resolution_of
from tiler.dataset.runs import Slide
from tiler.dataset.tables import Table
from tiler.errors import ChangedError, ConfigError, OpenError
from tiler.protocols import FittedTransform, WSIReader
from tiler.readers.preflight import look
from tiler.resolution import Resolution
from tiler.runner.store.fingerprint import Fingerprint, fingerprint
from tiler.scales.context import check_available, resolutions_like
from tiler.storage.destinations import expanded

VERIFY = ("full", "size", "none")

_READING = ("cv2", "simplejpeg", "imagecodecs", "tiler.readers.auto", "tiler.readers.image",
            "tiler.readers.openslide.reader", "tiler.readers.tiff.reader")  # fmt: skip


@dataclass(frozen=True)
class Opening:
    """Settings for opening slides.

    Attributes
    ----------
    slide_root
        The folder that missing slides are searched in.
    verify
        One of ``VERIFY``.
    raw
        Whether transforms of the run are left out.
    context
        True for the context of the run, or resolutions of the kind of the tiles' own.
    cache_bytes
        Memory for decoded native tiles of a slide; None for the reader's own setting.
    """

    slide_root: Path | None = None
    verify: str = "full"
    raw: bool = False
    context: bool | tuple[float, ...] = False
    cache_bytes: int | None = None


@dataclass(frozen=True)
class OpenSlide:
    """An open slide, with the settings that its tiles are read with."""

    source: WSIReader
    resolution: Resolution
    downsample: float
    transforms: tuple[FittedTransform, ...]
    contexts: tuple[Resolution, ...]


class FilesByName:
    """The files below a folder that have the name of a slide, found by one search."""

    def __init__(self, root: Path, slides: Sequence[Slide]) -> None:
        self.root = root
        self._names = {Path(slide.given).name for slide in slides}
        self._files: dict[str, list[Path]] | None = None

    def named(self, name: str) -> list[Path]:
        """Return the files of a name; the folder is searched once."""
        if self._files is None:
            files: dict[str, list[Path]] = {}
            for folder, folders, names in os.walk(self.root):
                folders.sort()
                for one in sorted(self._names.intersection(names)):
                    files.setdefault(one, []).append(Path(folder, one))
            self._files = files
        return self._files.get(name, [])


def load_readers() -> None:
    """Load the modules that slides are read with.

    A process that is forked while a thread loads a module would wait for that module for ever.
    """
    for name in _READING:
        import_module(name)


def open_slide(
    slide: Slide, table: Table, opening: Opening, found: FilesByName | None
) -> OpenSlide:
    """Open a slide as its run did.

    Raises
    ------
    SlideError
        If it is missing or is another file than the run read, or cannot be opened.
    """
    needs_record = opening.verify != "none" or not opening.raw
    facts = read_facts(slide, opening.cache_bytes, raw=opening.raw, needs_record=needs_record)
    path = _path(slide, facts, opening.verify, found)
    look(path, slide.slide_id)
    source = facts.open_reader(path, name=slide.slide_id)
    try:
        return _opened(source, slide, table, facts, opening)
    except BaseException:
        source.close()
        raise


def _opened(
    source: WSIReader, slide: Slide, table: Table, facts: SlideFacts, opening: Opening
) -> OpenSlide:
    resolution = resolution_of(slide, table, facts.resolution)
    downsample = resolution.downsample(source)
    recorded = slide.downsample if resolution == facts.resolution else math.nan
    _check_scale(slide, table, downsample, recorded)
    _check_inside(slide, table, source)
    contexts = _contexts(slide, resolution, opening.context)
    check_available(source, resolution, contexts)
    return OpenSlide(source, resolution, downsample, facts.fitted(source), contexts)


def _check_scale(slide: Slide, table: Table, downsample: float, recorded: float) -> None:
    """Refuse a slide whose tiles would be read at another scale than the run did."""
    if not math.isclose(recorded, downsample, rel_tol=1e-9) and not math.isnan(recorded):
        what = f"its tiles have the downsample {downsample:g} here, and {recorded:g} in slides.csv"
        raise ChangedError(slide.slide_id, f"{what}; run tiler again")
    for own, level0 in (("x", "x0"), ("y", "y0")):
        if (np.rint(table.columns[own] * downsample) != table.columns[level0]).any():
            what = f"{level0} of its table is not {own} times the downsample {downsample:g}"
            raise ChangedError(slide.slide_id, f"{what}; run tiler again")


def _check_inside(slide: Slide, table: Table, source: WSIReader) -> None:
    """Refuse tiles without a pixel of the slide: they would be white."""
    for name, extent, size in zip(("x0", "y0"), ("width0", "height0"), source.dimensions,
                                  strict=True):  # fmt: skip
        starts = table.columns[name]
        outside = (starts > size) | (starts + table.columns[extent] <= 0)
        if outside.any():
            what = f"{name}={starts[outside][0]} of its table is outside the slide ({size} pixels)"
            raise ChangedError(slide.slide_id, f"{what}; write the table again, or run tiler again")


def _contexts(
    slide: Slide, resolution: Resolution, context: bool | tuple[float, ...]
) -> tuple[Resolution, ...]:
    if context is False:
        return ()
    values = slide.run.setting("context") if context is True else context
    if not values:
        raise ConfigError(
            f"context=True: {slide.run.folder} was run without context; give the resolutions, such"
            " as context=[2.0]"
        )
    return resolutions_like(list(values), resolution, "context")


def _path(slide: Slide, facts: SlideFacts, verify: str, found: FilesByName | None) -> Path:
    """Return the file of a slide, after its check."""
    given = Path(slide.run.base) / expanded(slide.given)
    if _is_there(given):
        look(given, slide.slide_id)
        if problem := _difference(given, facts.source, verify):
            raise ChangedError(
                slide.slide_id,
                f"{given} is not the file that the run in {slide.run.folder} read: {problem};"
                " restore it, or run tiler again",
            )
        return given
    missing = f"{given}: there is no such file"
    if found is None:
        fix = "start from the folder where tiler ran, or set slide_root to a folder with the slides"
        raise OpenError(slide.slide_id, f"{missing}; {fix}")
    candidates = found.named(Path(slide.given).name)
    if facts.source is None and len(candidates) == 1:
        return candidates[0]
    strictly = "size" if verify == "size" else "full"
    problems: Mapping[Path, str] = {
        one: "no record to compare with"
        if facts.source is None
        else _problem(one, facts.source, strictly)
        for one in candidates
    }
    for one, problem in problems.items():
        if not problem:
            return one
    others = "; ".join(f"{one}: {problem}" for one, problem in problems.items())
    what = f"{missing}, and slide_root={found.root} has none that the run read"
    raise OpenError(slide.slide_id, f"{what} ({others or 'no file of this name'}); check it")


def _is_there(path: Path) -> bool:
    """Return whether a path exists, or cannot be looked at for another reason."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: NUL in a table
        return False
    except OSError:
        return True
    return True


def _problem(path: Path, source: Fingerprint, verify: str) -> str:
    """Return why a file is not the one of a fingerprint, also if it cannot be read."""
    try:
        return _difference(path, source, verify)
    except OSError as error:
        return error.strerror or str(error)


def _difference(path: Path, source: Fingerprint | None, verify: str) -> str:
    """Return how a file differs from a fingerprint; empty if it does not."""
    if verify == "none" or source is None:
        return ""
    size = path.stat().st_size
    if size != source.size:
        return f"it has {size:,} bytes, and had {source.size:,}"
    if verify == "full" and (now := fingerprint(path).content) != source.content:
        return f"its fingerprint is {now[:12]}…, and was {source.content[:12]}…"
    return ""
