"""Slides from files, folders and globs."""

from __future__ import annotations

import glob
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from tiler.errors import ConfigError
from tiler.protocols import SlideEntry
from tiler.slides.search import broken_link, listings, matches
from tiler.storage.companions import companions, has_file_type, is_dicom_slide, may_be_dicom
from tiler.storage.destinations import expanded

log = logging.getLogger("tiler")

SLIDE_SUFFIXES = frozenset(
    {".avs", ".bif", ".czi", ".dcm", ".mrxs", ".ndpi", ".scn", ".svs", ".svslide", ".tif"}
    | {".tiff", ".vms", ".vmu"}  # the formats of OpenSlide 4.0.1 end here
    | {".btf", ".ptif", ".ptiff", ".qptiff", ".tf2", ".tf8"}  # other suffixes of TIFFs
)
"""The file types that count as slides in a folder. Files of other types must be named."""

_OF_SEVERAL = (".mrxs", ".vms", ".vmu")
"""File types of slides with companion files that do not look like slides."""

_MACS = "._"
"""Prefix of the files that macOS writes beside files on other file systems."""

_KINDS_NAMED = 6
"""Maximum number of file types in a log line."""

_NAMED = 10
"""Maximum number of slides in an error."""


class _Hit(NamedTuple):
    """A slide, an unreadable place (``problem``), or a file that is skipped (``passed_over``).

    Of several names of one file, the name with the fewest ``detours`` is used: no link (0), a link
    to a file, a link to a folder.
    """

    path: Path
    real: str
    problem: str = ""
    passed_over: bool = False
    detours: int = 0


def find_slides(paths: str | Sequence[str], strict: bool = False) -> list[SlideEntry]:
    """Find the slides that files, folders and globs name, each once, in a stable order.

    Parameters
    ----------
    paths
        One or several of: a file of any type; a folder; a glob, which may contain ``**``. Folders,
        also those that a glob matches, are searched with their subfolders and links for files
        with a slide's suffix, and for DICOM slides without suffix. Hidden folders, and folders
        with a slide's tiles, are skipped. ``~`` stands for a home folder.
    strict
        Refuse files and folders that are missing or unreadable. Otherwise each becomes a failed
        slide, and the other slides are tiled.

    Raises
    ------
    ConfigError
        If a path matches no slide, or ``strict`` refuses one.
    """
    patterns = [paths] if isinstance(paths, str) else list(paths)
    if not patterns:
        raise ConfigError("slides.paths=[] is empty; use a file, a folder, a glob, or several")
    found: dict[str, SlideEntry] = {}
    passed_over: dict[str, Path] = {}
    for pattern in patterns:
        if not pattern:
            raise ConfigError("slides.paths is empty; use a file, a folder or a glob")
        hits = sorted(_hits(pattern), key=lambda hit: (hit.detours, hit.path))
        new = {hit.real: hit for hit in reversed(hits) if not hit.passed_over}
        passed_over |= {hit.real: hit.path for hit in hits if hit.passed_over}
        if not new:
            raise ConfigError(f"slides.paths={pattern}: no slide found; {_looked_for(pattern)}")
        for hit in sorted(new.values(), key=lambda hit: hit.path):
            found.setdefault(hit.real, _entry(hit, pattern))
    entries = list(found.values())
    if strict:
        refuse_missing("slides.paths", entries)
    _tell_of_others(passed_over, found)
    return entries


def refuse_missing(key: str, entries: Iterable[SlideEntry]) -> None:
    """Refuse slides that are missing or unreadable.

    Raises
    ------
    ConfigError
        If there are any; the error names them.
    """
    problems = [problem for entry in entries if (problem := entry.problem or _missing(entry))]
    if problems:
        more = f"; and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
        raise ConfigError(f"{key}, with slides.strict=true: {'; '.join(problems[:_NAMED])}{more}")


def _missing(entry: SlideEntry) -> str:
    try:
        entry.path.stat()
    except OSError as error:
        return f"{entry.given}: {error.strerror}"
    return "" if os.access(entry.path, os.R_OK) else f"{entry.given}: permission denied"


def _hits(pattern: str) -> Iterator[_Hit]:
    if "\0" in pattern:
        raise ConfigError(f"slides.paths={pattern!r} contains NUL; remove it")
    path = Path(expanded(pattern))
    if _is_folder(path):
        yield from _searched(path)
    elif not glob.has_magic(pattern) or _is_there(path):
        yield _Hit(path, os.path.realpath(path))
    else:
        head, _, rest = pattern.partition("/")
        home = expanded(head)
        parts = PurePath(rest if home != head else pattern).parts
        for found in matches(Path(home) if home != head else Path(), parts):
            if found.error is None and _is_folder(found.path):
                yield from _searched(found.path)
            else:
                yield _Hit(found.path, os.path.realpath(found.path), _reason(found.error))


def _searched(top: Path) -> Iterator[_Hit]:
    """Yield the slides, skipped files and unreadable folders in a folder and below it."""
    for listing in listings(top):
        real = os.path.realpath(listing.folder)
        if listing.error is not None:
            yield _Hit(listing.folder, real, _reason(listing.error))
        for file in listing.files:
            path, link = listing.folder / file.name, file.is_symlink()
            itself = os.path.realpath(path) if link else f"{real}{os.sep}{file.name}"
            detours = 2 if listing.linked else int(link)
            if path.suffix.lower() in SLIDE_SUFFIXES:
                if not file.name.startswith(_MACS):
                    yield _Hit(path, itself, detours=detours)
            elif file.name.startswith("."):
                continue
            elif broken := broken_link(file):
                yield _Hit(path, itself, _reason(broken))
            else:
                other = not (may_be_dicom(file.name) and is_dicom_slide(path))
                yield _Hit(path, itself, passed_over=other, detours=detours)


def _reason(error: OSError | None) -> str:
    return "" if error is None else error.strerror or repr(error)


def _entry(hit: _Hit, pattern: str) -> SlideEntry:
    given, (head, _, _) = str(hit.path), pattern.partition("/")
    home = expanded(head)
    if home != head:
        given = head + given.removeprefix(home.rstrip("/"))
    problem = f"{given} cannot be read: {hit.problem}" if hit.problem else ""
    return SlideEntry(hit.path, given=given, problem=problem)


def _tell_of_others(passed_over: Mapping[str, Path], found: Mapping[str, SlideEntry]) -> None:
    """Log the number of files of each type that belong to no slide."""
    taken = set(found)
    for entry in found.values():
        if entry.path.suffix.lower() in _OF_SEVERAL:
            taken.update(os.path.realpath(path) for path in companions(entry.path))
    types = Counter(
        path.suffix.lower() if has_file_type(path.name) else "without a type"
        for real, path in passed_over.items()
        if real not in taken
    )
    if types:
        count, kinds = types.total(), types.most_common()
        named = [f"{number} {kind}" for kind, number in kinds[:_KINDS_NAMED]]
        if others := sum(number for _, number in kinds[_KINDS_NAMED:]):
            named.append(f"{others} of other types")
        log.info("%d file%s skipped: %s", count, "s" if count > 1 else "", ", ".join(named))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # the slide's row states the reason
        return False


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except OSError:
        return False
    return True


def _looked_for(pattern: str) -> str:
    if _is_folder(Path(expanded(pattern))):
        return (
            f"a folder is searched for {' '.join(sorted(SLIDE_SUFFIXES))}, and for DICOM files"
            " without a suffix; name other files by a glob, such as *.png with reader=image"
        )
    return "the glob matches no file"
