"""Slides from files, folders and globs."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tiler.errors import ConfigError
from tiler.protocols import SlideEntry
from tiler.stored import StoredError, opened

SLIDE_SUFFIXES = frozenset(
    {".svs", ".tif", ".tiff", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".svslide", ".bif"}
    | {".dcm", ".czi"}
)
"""What counts as a slide in a folder: the formats of OpenSlide 4. Other files, ask by name."""

_MACS = "._"
"""How names begin of what macOS writes beside files on disks of other systems."""

_RECORD, _BEGINS = "record.json", b'{"slide_id": '
"""What tiler leaves in a folder with a slide's tiles, and how it begins."""


def find_slides(paths: str | Sequence[str]) -> list[SlideEntry]:
    """All slides that files, folders and globs stand for, each once, in a stable order.

    Parameters
    ----------
    paths
        One or many of: a file, taken as it is; a folder, searched for files with a slide's
        suffix, with its subfolders but hidden ones and those that tiler wrote a slide's tiles to,
        and without macOS's files beside files; a glob, ``**`` included.

    Raises
    ------
    ConfigError
        When one of them finds nothing. A file that is missing is not refused here: it becomes a
        failed slide, so that the others are done.
    """
    patterns = [paths] if isinstance(paths, str) else list(paths)
    if not patterns:
        raise ConfigError("slides.paths=[]: give a file, a folder, a glob, or a list of them")
    found: dict[str, Path] = {}
    for pattern in patterns:
        if not pattern:
            raise ConfigError("slides.paths is empty: give a file, a folder or a glob")
        hits = sorted(_expand(pattern))
        if not hits:
            raise ConfigError(f"slides.paths={pattern}: no slide found; {_looked_for(pattern)}")
        for path in hits:
            found.setdefault(os.path.abspath(path), path)
    return [SlideEntry(path) for path in found.values()]


def _expand(pattern: str) -> Iterator[Path]:
    path = expanded(pattern)
    if path.is_dir():
        for folder, below, names in os.walk(path):
            below[:] = (name for name in below if not name.startswith("."))
            if _RECORD in names and _is_output(Path(folder)):  # TIFF tiles have a slide's suffix
                below.clear()
                continue
            for name in names:
                if Path(name).suffix.lower() in SLIDE_SUFFIXES and not name.startswith(_MACS):
                    yield Path(folder, name)
    elif glob.has_magic(str(path)) and not path.exists():
        yield from (Path(hit) for hit in glob.glob(str(path), recursive=True))
    else:
        yield path


def expanded(text: str) -> Path:
    """A path whose ``~`` stands for a user's home; of a user who is not there it stays."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def _is_output(folder: Path) -> bool:
    """Whether tiler wrote a slide's tiles to a folder."""
    try:
        with opened(folder / _RECORD, sys.maxsize) as (record, _):
            begins = record.read(len(_BEGINS))
    except (OSError, StoredError):
        return False
    return begins == _BEGINS and folder.resolve().parent.name == "slides"


def _looked_for(pattern: str) -> str:
    if expanded(pattern).is_dir():
        return f"a folder is searched for {' '.join(sorted(SLIDE_SUFFIXES))}"
    return "the glob matches no file"
