"""The other files of slides that are several."""

from __future__ import annotations

from collections.abc import Iterable
from glob import escape
from pathlib import Path

_SERIES_TAG = b"\x20\x00\x0e\x00UI"
"""SeriesInstanceUID (0020,000E) with its value representation: DICOM PS3.5, explicit VR."""

_HEAD = 1 << 16

_HAMAMATSU = (".jpg", ".opt", ".ngr")


def companions(path: Path) -> list[Path]:
    """The files that a slide has beside the one that names it, in a stable order.

    MIRAX keeps its pixels in a folder of its name, Hamamatsu's VMS and VMU in images whose names
    begin with it, DICOM in a file for each level. All other formats are one file. Hidden files are
    the file manager's.
    """
    match path.suffix.lower():
        case ".mrxs":
            found: Iterable[Path] = path.with_suffix("").glob("*")
        case ".vms" | ".vmu":
            images = path.parent.glob(f"{escape(path.stem)}*")
            found = (image for image in images if image.suffix.lower() in _HAMAMATSU)
        case ".dcm":
            series = _series(path)
            found = (other for other in path.parent.glob("*.dcm") if _series(other) == series)
        case _:
            return []
    return sorted(
        other
        for other in found
        if other != path and other.is_file() and not other.name.startswith(".")
    )


def _series(path: Path) -> bytes:
    """A DICOM file's series, from its first bytes: opening each file would take milliseconds."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return b""
    start = head.find(_SERIES_TAG) + len(_SERIES_TAG)
    length = int.from_bytes(head[start : start + 2], "little")
    return head[start + 2 : start + 2 + length] if start >= len(_SERIES_TAG) else b""
