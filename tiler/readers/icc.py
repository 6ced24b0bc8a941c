"""The ICC profile in a TIFF."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from tiler.errors import OpenError
from tiler.readers.tiff.file import TileFile
from tiler.readers.tiff_directories import read_directories

_PROFILE = 34675
"""The tag ICC Profile, of ICC.1."""


def tiff_profile(path: Path, slide: str, page: int) -> bytes | None:
    """Return the ICC profile of a page of a TIFF; None if it has none.

    It is read on demand: some are larger than half a megabyte, and few runs use them.

    Raises
    ------
    OpenError
        If the tag does not contain bytes inside the file.
    """
    try:
        with closing(TileFile(path)) as file:
            profile = read_directories(file, (_PROFILE,)).pages[page].get(_PROFILE)
    except (OSError, ValueError) as error:
        raise OpenError(slide, f"the ICC profile of page {page} is damaged: {error}") from error
    if profile is None or profile == b"":
        return None
    if not isinstance(profile, bytes):
        what = f"the ICC profile of page {page} is damaged: tag {_PROFILE} contains no bytes"
        raise OpenError(slide, what)
    return profile
