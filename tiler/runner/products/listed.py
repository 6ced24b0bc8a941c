"""``products.json``: the list of the links and files that a run made of its slides' files."""

from __future__ import annotations

import json
import posixpath
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import tiler
from tiler.checks.hints import made_of
from tiler.files import write_chunks
from tiler.runner.guard import NAMES
from tiler.runner.store.fingerprint import full_hash
from tiler.storage.destinations import check_writable, inside
from tiler.storage.safe_text import visible_json
from tiler.storage.stored import StoredError, read_sealed, sealed
from tiler.written import encoded

LIST = "products.json"

REPORT = "report"
"""The folder of a report; its files have a list of their own."""

_MAX_BYTES = 1 << 30

SLIDES = "slides"
"""The folder of the slides' folders."""


class Written(NamedTuple):
    """Size and SHA-256 of a file that was written."""

    size: int
    sha256: str


@dataclass(frozen=True)
class ListedFile:
    """A file that tiler wrote.

    Attributes
    ----------
    exporter
        The exporter that it belongs to.
    versions
        Size and SHA-256 of its content; two of them while it is being replaced.
    key
        The slides and settings that it was made from.
    """

    exporter: str
    versions: tuple[Written, ...]
    key: str = ""


@dataclass(frozen=True)
class Listed:
    """The links and files in a run's folder that tiler made, by their paths below it.

    Attributes
    ----------
    links
        The exporter of each link.
    files
        The files.
    """

    links: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, ListedFile] = field(default_factory=dict)

    @property
    def exporters(self) -> frozenset[str]:
        """The exporters with a link or a file."""
        return frozenset(self.links.values()) | {file.exporter for file in self.files.values()}

    def and_also(self, other: Listed) -> Listed:
        """Return what either lists: a file with the content that any of them names."""
        files = dict(self.files)
        for path, file in other.files.items():
            before = files[path].versions if path in files else ()
            versions = tuple(dict.fromkeys((*before, *file.versions)))
            files[path] = ListedFile(file.exporter, versions, file.key)
        return Listed({**self.links, **other.links}, files)


@dataclass(frozen=True)
class _Stored:
    links: Mapping[str, str]
    files: Mapping[str, Mapping[str, Any]]


def read_listed(out: Path, name: str = LIST) -> Listed:
    """Return the list of a folder; an empty one if it is missing or cannot be trusted."""
    return _trusted(out, name) or Listed()


def is_sound(out: Path, name: str = LIST) -> bool:
    """Return whether there is a list in a folder that can be trusted."""
    return _trusted(out, name) is not None


def _trusted(out: Path, name: str) -> Listed | None:
    try:
        stored = made_of(_Stored, read_sealed(out / name, _MAX_BYTES))
        files = {path: _file(content) for path, content in stored.files.items()}
    except (FileNotFoundError, StoredError, ValueError, TypeError, KeyError):
        return None
    sound = all(is_product(path) for path in (*stored.links, *files))
    return Listed(stored.links, files) if sound else None


def _file(content: Mapping[str, Any]) -> ListedFile:
    """Return a file of a list; ``made_of`` takes ten times as long for each."""
    exporter, key = content["exporter"], content["key"]
    versions = tuple(Written(size, sha256) for size, sha256 in content["versions"])
    texts = exporter, key, *(one.sha256 for one in versions)
    if not all(type(text) is str for text in texts):
        raise ValueError("a file needs texts for its exporter, key and SHA-256")
    if not all(type(one.size) is int for one in versions):
        raise ValueError("a version needs a size")
    return ListedFile(exporter, versions, key)


def write_listed(out: Path, listed: Listed, name: str = LIST) -> None:
    """Write the list of a folder, flushed to the disk; remove it if nothing is listed."""
    path = inside(out, name)
    check_writable(path)
    if not listed.links and not listed.files:
        path.unlink(missing_ok=True)
        return
    chunks = (text.encode(errors="surrogateescape") for text in _texts(listed))
    write_chunks(path, sealed(chunks), durable=True)


def _texts(listed: Listed) -> Iterator[str]:
    """Yield the text of a list, one entry in each line; ``sealed`` ends it."""
    yield f'{{"tiler": {json.dumps(tiler.__version__)}, "links": {{'
    yield from _members(listed.links.items())
    yield '\n}, "files": {'
    yield from _members((path, vars(file)) for path, file in listed.files.items())
    yield "\n}"


def _members(items: Iterable[tuple[str, object]]) -> Iterator[str]:
    before = "\n"
    for name, value in sorted(items, key=lambda item: encoded(item[0])):
        text = f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}"
        yield before + visible_json(text)
        before = ",\n"


def is_product(path: str) -> bool:
    """Return whether a path, with ``/``, may be a product's: plain names, none of them a run's."""
    names = path.split("/")
    bad = {"", ".", ".."} & {*names} or "\\" in path or "\0" in path
    return not bad and not is_reserved(names[0])


def is_reserved(name: str) -> bool:
    """Return whether a name in a run's folder is used by every run."""
    return name.startswith(".") or name in (SLIDES, REPORT, *NAMES)


def target_of(out: Path, path: str) -> str:
    """Return where a relative link below a run's folder leads to, as a path below it.

    Only its text counts: the file may be missing. Empty if there is no link, or it leads elsewhere.
    """
    try:
        text = (out / path).readlink().as_posix()
    except (OSError, ValueError):
        return ""
    place = "/" if text.startswith("/") else posixpath.normpath(f"{posixpath.dirname(path)}/{text}")
    return "" if place.startswith(("/", "..")) else place


def own_link(out: Path, path: str) -> bool:
    """Return whether there is a link at a path that leads to a file in the run's ``slides``."""
    first, *below = target_of(out, path).split("/")
    return first == SLIDES and len(below) > 1


def own_file(out: Path, path: str, listed: Listed, *, by_hash: bool = True) -> bool:
    """Return whether a regular file at a path has size, and SHA-256, that a list names."""
    return path in listed.files and is_one_of(out / path, listed.files[path].versions, by_hash)


def is_one_of(path: Path, versions: Collection[Written], by_hash: bool = True) -> bool:
    """Return whether a path is a regular file with one of some sizes, and its SHA-256."""
    try:
        facts = path.lstat()
        if not stat.S_ISREG(facts.st_mode):
            return False
        known = [one.sha256 for one in versions if one.size == facts.st_size]
        return bool(known) and (not by_hash or full_hash(path) in known)
    except OSError:
        return False
