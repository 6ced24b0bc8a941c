"""Files that tiler may remove, replace or move: those that a record lists, with their sizes."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tiler.errors import OccupiedError
from tiler.files import sync_folder
from tiler.runner.store.record_file import NAME, load_record, read_record
from tiler.storage.destinations import destination_error, make_folder
from tiler.storage.stored import StoredError
from tiler.written import NO_FILES, WrittenFiles

_AT_ONCE = 1000  # files


class Foreign(NamedTuple):
    """Something that tiler may not remove: a description, and the fix."""

    what: str
    fix: str = "move it away, or use another out"


_MOVE_FOLDER = "move the folder away, or use another out"


def first_foreign(folder: Path) -> Foreign | None:
    """Find the first thing under a slide's name that its record does not list.

    Return None if there is nothing, or an empty folder.
    """
    try:
        return _first_foreign(folder)
    except OSError as error:
        place = error.filename or folder
        fix = "make it readable, or use another out"
        return Foreign(f"{place} cannot be examined ({error.strerror})", fix)


def _first_foreign(folder: Path) -> Foreign | None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        return Foreign(f"{folder} is {'a symbolic link' if folder.is_symlink() else 'a file'}")
    try:
        record = load_record(folder)
    except FileNotFoundError:
        first = min(folder.iterdir(), default=None) if folder.is_dir() else None
        what = f"{first} is in a folder without {NAME}"
        return Foreign(what, _MOVE_FOLDER) if first else None
    except StoredError as error:
        return Foreign(f"{folder / NAME} {error}", _MOVE_FOLDER)
    if record.slide_id != folder.name:
        return Foreign(f"{folder / NAME} is the record of {record.slide_id}", _MOVE_FOLDER)
    found = _foreign(folder, "", record.files, folders_of(record.files))
    return next((Foreign(what) for what in found), None)


def _foreign(
    folder: Path, below: str, listed: WrittenFiles, folders: frozenset[str]
) -> Iterator[str]:
    """Describe files and folders that are not listed, below ``below`` in the slide's folder."""
    place = folder / below
    try:
        with os.scandir(place) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        yield f"{place} cannot be read ({error.strerror})"
        return
    files = list[os.DirEntry[str]]()
    for entry in entries:
        name = f"{below}{entry.name}"
        if not entry.is_dir(follow_symlinks=False):
            files.append(entry)
        elif name in folders:
            yield from _foreign(folder, f"{name}/", listed, folders)
        else:
            yield f"{folder / name} is a folder that {NAME} does not list"
    for start in range(0, len(files), _AT_ONCE):
        some = files[start : start + _AT_ONCE]
        sizes = listed.sizes_of([f"{below}{entry.name}" for entry in some])
        for entry, size in zip(some, sizes, strict=True):
            if below or entry.name != NAME:
                yield from _unlike(entry, size)


def _unlike(entry: os.DirEntry[str], size: int) -> Iterator[str]:
    """Describe how an entry differs from the listed file of this size; -1 for none."""
    facts = entry.stat(follow_symlinks=False)
    if size < 0:
        yield f"{entry.path} is not listed in {NAME}"
    elif not stat.S_ISREG(facts.st_mode):
        yield f"{entry.path} is not a regular file"
    elif facts.st_size != size:
        yield f"{entry.path} has {facts.st_size} bytes, was written with {size}"


def folders_of(files: WrittenFiles) -> frozenset[str]:
    """Return the folders of some files, relative to the slide's folder."""
    found: set[str] = set()
    for name, _, _ in files:
        above = name.rpartition("/")[0]
        if above and above not in found:
            parents = PurePosixPath(name).parents
            found |= {parent.as_posix() for parent in parents if parent.name}
    return frozenset(found)


def refuse_foreign(folder: Path, need: str) -> None:
    """Refuse to replace a slide's folder unless all of it is tiler's own.

    Parameters
    ----------
    folder
        The slide's folder.
    need
        The reason why it would be replaced, as a clause for the error.

    Raises
    ------
    OccupiedError
        If it is not; the error names the first other thing.
    """
    if foreign := first_foreign(folder):
        raise OccupiedError(folder.name, f"{foreign.what}, but {need}; {foreign.fix}")


def publish(new: Path, final: Path, aside: Path) -> None:
    """Put a finished folder in its place by one rename, and remove the one that it replaces.

    Parameters
    ----------
    new
        The folder, with its record and all listed files.
    final
        Its place.
    aside
        The place of the old folder meanwhile: ``put_back`` finds it after a crash between renames.

    Raises
    ------
    OccupiedError
        If something in its place is not tiler's own.
    DestinationError
        If it cannot be put there.
    """
    replaces = os.path.lexists(final)
    if replaces:
        refuse_foreign(final, "its new files are ready")
    try:
        if replaces:
            final.rename(aside)
        try:
            new.rename(final)
        except OSError:
            if replaces:
                with suppress(OSError):
                    aside.rename(final)
            raise
    except OSError as error:
        raise destination_error(error, final) from error
    sync_folder(final.parent)
    if replaces:
        remove_listed(aside)


def remove_listed(folder: Path) -> bool:
    """Remove a slide's folder as far as its record lists it; return whether nothing is left.

    The record is removed last, so that another call can continue after an interruption.
    """
    record = read_record(folder)
    files = record.files if record else NO_FILES
    for name, size in files.named_sizes():
        path = f"{folder}/{name}"  # a Path would take as long as all the rest
        with suppress(OSError):
            facts = os.lstat(path)
            if stat.S_ISREG(facts.st_mode) and facts.st_size == size:
                Path(path).unlink()
    places = sorted(folders_of(files), key=lambda name: -name.count("/"))
    for name in places:
        with suppress(OSError):
            (folder / name).rmdir()
    with suppress(OSError):
        if record and [path.name for path in folder.iterdir()] == [NAME]:
            (folder / NAME).unlink()
        folder.rmdir()
    return not os.path.lexists(folder)


def put_back(aside: Path, final: Path) -> bool:
    """Undo or complete a replacement that crashed between the two renames of ``publish``.

    Returns
    -------
    bool
        False where something is left aside that is not tiler's own.
    """
    if not os.path.lexists(aside):
        return True
    if not os.path.lexists(final):
        make_folder(final.parent)
        try:
            aside.rename(final)
        except OSError as error:
            raise destination_error(error, final) from error
        return True
    return remove_listed(aside)


def link_files(files: WrittenFiles, source: Path, target: Path) -> None:
    """Link files of one folder into another one, or copy them where links are not possible.

    Missing files are ignored.

    Raises
    ------
    DestinationError
        If a file cannot be copied either.
    """
    for name in folders_of(files):
        make_folder(target / name)
    for file in files:
        old, new = f"{source}/{file.name}", f"{target}/{file.name}"
        try:
            os.link(old, new, follow_symlinks=False)
        except FileNotFoundError:
            continue
        except OSError:
            try:
                shutil.copy2(old, new, follow_symlinks=False)
            except OSError as error:
                raise destination_error(error, Path(new)) from error
