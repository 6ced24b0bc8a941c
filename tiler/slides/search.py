"""Search folders and globs: follow links, detect loops, and report unreadable places."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tiler.storage.companions import has_file_type
from tiler.storage.stored import StoredError, opened

_RECORD, _BEGINS = "record.json", b'{"slide_id": '
"""The file that tiler writes into a folder with a slide's tiles, and its first bytes."""

_NOT_THERE = (FileNotFoundError, NotADirectoryError)


class FoundPath(NamedTuple):
    """A file or folder that was found, or an unreadable folder.

    Attributes
    ----------
    path
        The path, relative to the start of the search if that is relative.
    error
        The reason why it is unreadable; None if it is readable.
    """

    path: Path
    error: OSError | None = None


class Listing(NamedTuple):
    """A folder and its files, or the reason why it is unreadable.

    Attributes
    ----------
    folder
        The folder's path.
    linked
        Whether the path to it contains a link.
    files
        Its entries that are not folders, by name.
    error
        The reason why it is unreadable; None if it is readable.
    """

    folder: Path
    linked: bool
    files: Sequence[os.DirEntry[str]] = ()
    error: OSError | None = None


def listings(top: Path) -> Iterator[Listing]:
    """Yield a folder and all folders below it, each once: real ones first, then links.

    Hidden folders, and folders with a slide's tiles, are skipped.
    """
    seen: set[tuple[int, int]] = set()
    near, behind_links = deque([(top, False)]), deque[tuple[Path, bool]]()
    while near or behind_links:
        folder, linked = (near or behind_links).popleft()
        try:
            facts = folder.stat()
            if (facts.st_dev, facts.st_ino) in seen:
                continue
            seen.add((facts.st_dev, facts.st_ino))
            entries = _entries(folder)
        except OSError as error:
            yield Listing(folder, linked, error=error)
            continue
        if any(entry.name == _RECORD for entry in entries) and _is_output(folder):
            continue  # TIFF tiles have a slide's suffix
        files = []
        for entry in entries:
            if not _is_folder(entry):
                files.append(entry)
            elif not entry.name.startswith("."):
                link = entry.is_symlink()
                (behind_links if link else near).append((folder / entry.name, linked or link))
        yield Listing(folder, linked, files)


def matches(start: Path, parts: Sequence[str]) -> Iterator[FoundPath]:
    """Find the files and folders that a glob matches.

    Parameters
    ----------
    start
        The folder that the glob is relative to.
    parts
        The glob's path components; ``**`` matches any number of folders.
    """
    if not parts:
        yield FoundPath(start)
        return
    head, *rest = parts
    if head == "**":
        yield from _matches_below(start, rest)
    elif glob.has_magic(head):
        yield from _matches_in(start, head, rest)
    elif rest or _is_there(start / head):
        yield from matches(start / head, rest)


def _matches_in(folder: Path, pattern: str, rest: Sequence[str]) -> Iterator[FoundPath]:
    """Match the names in a folder, and the rest of the glob below them."""
    try:
        entries = _entries(folder)
    except _NOT_THERE:
        return
    except OSError as error:
        yield FoundPath(folder, error)
        return
    fits = re.compile(fnmatch.translate(os.path.normcase(pattern))).match
    for entry in entries:
        hidden = entry.name.startswith(".") and not pattern.startswith(".")
        if hidden or not fits(os.path.normcase(entry.name)):
            continue
        if not rest or _is_folder(entry):
            yield from matches(folder / entry.name, rest)
        elif broken := broken_link(entry):
            yield FoundPath(folder / entry.name, broken)


def _matches_below(top: Path, parts: Sequence[str]) -> Iterator[FoundPath]:
    """Match the rest of a glob in a folder and in all folders below it."""
    if not parts:
        yield FoundPath(top)
        return
    for listing in listings(top):
        if listing.error is None:
            yield from matches(listing.folder, parts)
        elif listing.folder != top or not isinstance(listing.error, _NOT_THERE):
            yield FoundPath(listing.folder, listing.error)


def broken_link(entry: os.DirEntry[str]) -> OSError | None:
    """Return why a link without file type, which may name a folder, is broken.

    Return None for all other entries.
    """
    if has_file_type(entry.name):
        return None
    try:
        entry.stat()
    except OSError as error:
        return error if entry.is_symlink() else None
    return None


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as listing:
        return sorted(listing, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False


def _is_there(path: Path) -> bool:
    """Return whether a path may exist; for an unreadable one, the reader reports the reason."""
    try:
        path.lstat()
    except _NOT_THERE:
        return False
    except OSError:
        return True
    return True


def _is_output(folder: Path) -> bool:
    """Return whether a folder contains a slide's tiles by tiler."""
    try:
        with opened(folder / _RECORD, sys.maxsize) as (record, _):
            begins = record.read(len(_BEGINS))
    except (OSError, StoredError):
        return False
    return begins == _BEGINS and folder.resolve().parent.name == "slides"
