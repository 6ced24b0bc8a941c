"""Requested links and files below a run's folder, and copies in the place of links."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tiler.errors import SlideError

_PIECE = 1 << 20


@dataclass(frozen=True)
class Link:
    """A requested link.

    Attributes
    ----------
    exporter, slide_id
        Its exporter and slide.
    target
        The path below the run's folder that it leads to.
    key
        The key of a copy in its place: see ``ListedFile``.
    """

    exporter: str
    slide_id: str
    target: str
    key: str


@dataclass(frozen=True)
class File:
    """A requested file.

    Attributes
    ----------
    exporter, key
        Its exporter, and its key: see ``ListedFile``.
    slide_id
        The slide whose file it is a copy of; empty for a file about all slides.
    content
        Its content piece by piece, which can be read once.
    """

    exporter: str
    key: str
    content: Iterable[bytes]
    slide_id: str = ""


def copies(out: Path, links: Mapping[str, Link]) -> Iterator[tuple[str, File]]:
    """Yield the files that stand for links below a run's folder: of a folder, all files in it."""
    for path, link in links.items():
        source = out / link.target
        if not source.is_dir():
            yield path, _copy(link, source)
            continue
        for place, _, names in sorted(os.walk(source)):
            for name in sorted(names):
                file = Path(place, name)
                below = file.relative_to(source).as_posix()
                yield f"{path}/{below}", _copy(link, file)


def _copy(link: Link, source: Path) -> File:
    def content() -> Iterator[bytes]:
        try:
            with source.open("rb") as file:
                while piece := file.read(_PIECE):
                    yield piece
        except OSError as error:
            what = f"{source} cannot be copied ({error.strerror}); run again"
            raise SlideError(link.slide_id, what) from error

    return File(link.exporter, link.key, content(), link.slide_id)
