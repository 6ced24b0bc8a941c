"""Which reader a file gets when nobody says."""

from __future__ import annotations

from pathlib import Path

import openslide

from tiler.protocols import WSIReader
from tiler.readers.image import ImageReader
from tiler.readers.openslide_reader import MAX_PIXELS, MAX_TILE_BYTES, OpenSlideReader
from tiler.readers.preflight import look

_PLAIN_IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


def open_slide(
    path: str | Path,
    *,
    name: str | None = None,
    mpp: float | None = None,
    magnification: float | None = None,
    allow_upsampling: bool = False,
    max_pixels: int = MAX_PIXELS,
    max_tile_bytes: int = MAX_TILE_BYTES,
) -> WSIReader:
    """Open a slide with OpenSlide, or a PNG or JPEG that is no slide as a plain image.

    OpenSlide is asked first because some slide files begin like images (MIRAX like a JPEG).
    Plain TIFFs are not guessed at: ``reader=image`` takes them.

    Parameters
    ----------
    path
        The file.
    name
        Its name in outputs; the file's stem if None.
    mpp, magnification
        Used instead of what the file says.
    allow_upsampling
        Whether a target finer than level 0 may be enlarged from it.
    max_pixels, max_tile_bytes
        Limits of ``OpenSlideReader``; a plain image has its own.

    Raises
    ------
    OpenError
        When no reader takes the file.
    """
    path = Path(path)
    look(path, name or path.stem)
    plain = (
        openslide.OpenSlide.detect_format(path) is None
        and path.suffix.lower() != ".mrxs"  # begins like a JPEG even when the slide is incomplete
        and _starts_like_an_image(path)
    )
    if plain:
        return ImageReader(
            path,
            name=name,
            mpp=mpp,
            magnification=magnification,
            allow_upsampling=allow_upsampling,
        )
    return OpenSlideReader(
        path,
        name=name,
        mpp=mpp,
        magnification=magnification,
        allow_upsampling=allow_upsampling,
        max_pixels=max_pixels,
        max_tile_bytes=max_tile_bytes,
    )


def _starts_like_an_image(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8).startswith(_PLAIN_IMAGES)
