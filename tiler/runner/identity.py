"""Slide ids: names that are safe as files everywhere and never clash."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from tiler.errors import ConfigError
from tiler.files import digest
from tiler.protocols import SlideEntry
from tiler.storage.companions import has_file_type

_MAX_BYTES = 100  # leaves room for a tile's own words in a 255-byte file name
_UNSAFE = re.compile(
    r'[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069<>:"/\\|?*%${}`\'!;&,#\ud800-\udfff]'
)
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def assign_ids(entries: Sequence[SlideEntry]) -> list[str]:
    """Return an id per slide: the given one, its stem, or its stem and a hash of its path.

    A hash is added where a stem is not safe as a file name: control characters, separators, shell
    or spreadsheet syntax, reserved names, too long. All slides with equal stems get one, also if
    only case or Unicode form differs. So do paths that could not be examined: they never change
    the id of a slide.

    Raises
    ------
    ConfigError
        If two slides have the same given id, or an id is not safe as a file name.
    """
    stems = [_stem(entry) for entry in entries]
    wanted = [entry.slide_id or safe_name(stem) for entry, stem in zip(entries, stems, strict=True)]
    given = [entry.slide_id for entry in entries if entry.slide_id]
    for name in given:
        if safe_name(name) != name:
            raise ConfigError(
                f"slide_id {name!r} is not safe as a file name; try {safe_name(name)!r}"
            )
    known = zip(wanted, entries, strict=True)
    alike = Counter(_folded(name) for name, entry in known if not entry.problem)
    ids = []
    for entry, name, stem in zip(entries, wanted, stems, strict=True):
        clash = alike[_folded(name)] > 1 or bool(entry.problem)
        if entry.slide_id and clash:
            raise ConfigError(f"slide_id {name!r} stands for more than one slide")
        plain = entry.slide_id or (name == stem and not clash)
        ids.append(name if plain else f"{name}-{digest(_path_bytes(entry))[:8]}")
    twice = [name for name, count in Counter(map(_folded, ids)).items() if count > 1]
    if twice:
        raise ConfigError(f"slide ids clash: {', '.join(sorted(twice))}; give each a slide_id")
    return ids


def safe_name(stem: str) -> str:
    """Return a stem without characters that file systems or programs cannot handle."""
    name = _UNSAFE.sub("_", unicodedata.normalize("NFC", stem))
    name = re.sub(r"^[=+\-@.~ ]+|[. ]+$", "_", name)
    if _RESERVED.fullmatch(name):
        name = f"_{name}"
    while len(name.encode()) > _MAX_BYTES:
        name = name[:-1]
    return name or "_"


def _stem(entry: SlideEntry) -> str:
    """Return a file's name without its type; the last number of a UID is not a type."""
    path = entry.path
    return path.stem if path.stem and has_file_type(path.name) else path.name


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _path_bytes(entry: SlideEntry) -> bytes:
    return str(entry.path).encode(errors="surrogateescape")
