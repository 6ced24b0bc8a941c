"""References of stain normalization: the built-in one, a picture, or a JSON file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tiler.checks.pictures import check_damage, opened, upright
from tiler.errors import ConfigError, TransformError
from tiler.geometry import is_number
from tiler.protocols import Pixels, WSIReader
from tiler.storage.named import system_reason
from tiler.transforms.stains import FitError, check_bright

BUILTIN = "builtin"

_JSON = ".json"
_MAX_JSON = 1 << 20
_MAX_PIXELS = 100_000_000
_ENOUGH = 1_000_000
"""The approximate number of pixels of a picture that are measured."""

_LARGEST = 1000
"""The largest number in a JSON file. Optical densities and logarithms of light are below 6."""

_PICTURES = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
_MODES = ("L", "LA", "P", "PA", "RGB", "RGBA")

_Found = TypeVar("_Found")


def check_reference(name: str, reference: object) -> str:
    """Return a reference as text.

    Raises
    ------
    ConfigError
        If it is neither text nor a path.
    """
    text = str(reference) if isinstance(reference, str | Path) else ""
    if text in ("", ".") or "\0" in text:
        raise ConfigError(
            f"transform.{name}.reference={reference!r} is invalid; use {BUILTIN}, or the path of a"
            " picture or of a JSON file"
        )
    return text


def check_mpp(name: str, mpp: object) -> None:
    """Refuse an invalid resolution.

    Raises
    ------
    ConfigError
        If it is not a positive number and not None.
    """
    if mpp is not None and not (is_number(mpp) and 0 < float(str(mpp)) < math.inf):
        raise ConfigError(
            f"transform.{name}.mpp={mpp!r} is invalid; use a positive number, or null"
        )


def files_of(reference: str) -> tuple[Path, ...]:
    """Return the file of a reference."""
    return () if reference == BUILTIN else (Path(reference),)


def measured(
    name: str, measure: Callable[[Pixels], _Found], source: WSIReader, tissue: Pixels
) -> _Found:
    """Return what ``measure`` finds in a slide's tissue.

    Raises
    ------
    TransformError
        If the tissue is dark, or nothing can be fitted to it; the error begins with ``name``.
    """
    try:
        check_bright(tissue)
        return measure(tissue)
    except FitError as error:
        raise TransformError(source.name, f"{name} cannot be fitted: {error}") from error


def reference_of(
    name: str,
    reference: str,
    builtin: _Found,
    measure: Callable[[Pixels], _Found],
    read: Callable[[Mapping[str, Any]], _Found],
) -> _Found:
    """Return what a reference contains.

    Parameters
    ----------
    name
        The transform's, for errors.
    reference
        ``builtin``, or a path.
    builtin
        The result for ``builtin``.
    measure
        Returns it for a picture.
    read
        Returns it for the content of a JSON file.

    Raises
    ------
    ConfigError
        If the file is missing, or nothing can be fitted to it.
    """
    if reference == BUILTIN:
        return builtin
    path, key = Path(reference), f"transform.{name}.reference={reference}"
    try:
        facts = path.stat()
        state = facts.st_size, facts.st_mtime_ns, facts.st_ino
        make = read if path.suffix.lower() == _JSON else measure
        found: _Found = _cached(path, state, make)
        return found
    except FileNotFoundError:
        raise ConfigError(f"{key} does not exist; correct the path, or use {BUILTIN}") from None
    except FitError as error:
        raise ConfigError(f"{key} cannot be fitted: {error}; use a picture of tissue") from None
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        if why := system_reason(error):
            what = f"{key} cannot be read ({why}); check the file and its permissions"
            raise ConfigError(what) from None
        json_file = path.suffix.lower() == _JSON
        kind = "the JSON file of a reference" if json_file else "a picture that Pillow reads"
        text = " ".join(str(error).split())
        raise ConfigError(f"{key} is not {kind}: {text}; use another file") from None


@lru_cache(maxsize=32)
def _cached(path: Path, state: tuple[int, ...], make: Callable[[Any], Any]) -> Any:
    """Return what a file contains; ``state`` changes with it."""
    if not path.is_file():
        raise ValueError("it is not a regular file")
    if path.suffix.lower() != _JSON:
        pixels = _picture(path)
        check_bright(pixels)
        return make(pixels)
    if state[0] > _MAX_JSON:
        raise ValueError(f"it has {state[0]:,} bytes")
    content: object = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError("it contains no object")
    return make(content)


def _picture(path: Path) -> Pixels:
    """Return evenly spaced pixels of a picture, uint8 (h, w, 3)."""
    from PIL import Image, UnidentifiedImageError

    try:
        with opened(path, _PICTURES) as image:
            width, height = image.size
            if width * height > _MAX_PIXELS:
                raise ValueError(f"{width}x{height} pixels are more than {_MAX_PIXELS:_}")
            if image.mode not in _MODES:
                raise ValueError(f"it has pixels of kind {image.mode}, not 8-bit RGB")
            check_damage(path, image.format)
            rgba = upright(image).convert("RGBA")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(str(error)) from error
    except UnidentifiedImageError as error:
        raise ValueError(f"its format is none of {', '.join(_PICTURES)}") from error
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    pixels = np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
    step = max(1, math.isqrt(width * height // _ENOUGH))
    return np.ascontiguousarray(pixels[::step, ::step])


def numbers(value: object, count: int, what: str) -> tuple[float, ...]:
    """Return a list of a JSON file as finite numbers.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    if not isinstance(value, list) or len(value) != count:
        raise ValueError(f"{what} must be a list of {count} numbers")
    if not all(is_number(one) and abs(one) <= _LARGEST for one in value):  # NaN is no such number
        raise ValueError(f"{what} must be a list of {count} numbers from -{_LARGEST} to {_LARGEST}")
    return tuple(float(one) for one in value)
