"""Which files are one DICOM slide: each level of the pyramid is a file of its own."""

from __future__ import annotations

from pathlib import Path

_SERIES = "dicom.SeriesInstanceUID"


def series_of(path: Path) -> str | None:
    """The series that a DICOM file belongs to; None for other files and ones that do not open."""
    if path.suffix.lower() != ".dcm" or not path.is_file():
        return None
    import openslide

    try:
        with openslide.OpenSlide(path) as slide:
            return slide.properties.get(_SERIES)
    except openslide.OpenSlideError:
        return None
