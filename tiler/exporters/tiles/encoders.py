"""Tile images encoded in memory: libraries that write files may fail silently."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np

from tiler.errors import ConfigError
from tiler.exporters.tiles.png import png_bytes
from tiler.protocols import Pixels

EXTENSIONS = ("png", "jpg", "jpeg", "webp", "jxl", "tif", "tiff")
SUBSAMPLINGS = ("420", "422", "444")
COMPRESSIONS = (0, 1, 2, 3, "pillow")

_LONGEST = {"jpg": 65500, "jpeg": 65500, "webp": 16382}
"""The longest side of an image that the libraries encode, where tiler reads longer ones."""

QUALITY = 90
"""The quality of lossy files where none is given."""

Encoder = Callable[[Pixels], bytes]
"""A function from uint8 RGB (h, w, 3) to a file's bytes; it pickles and is thread-safe."""


def make_encoder(
    extension: str = "png",
    quality: int | None = None,
    subsampling: str = "420",
    compression: int | str = 1,
    lossless: bool | None = None,
    setting: str = "exporter.images",
) -> Encoder:
    """Choose an encoder of pixels, without profile, time or resolution in the file.

    The same pixels give the same bytes on the same kind of processor with the same libraries.
    ISA-L guarantees the pixels, but not the bytes.

    Parameters
    ----------
    extension
        ``png`` and ``tiff`` (deflated) are lossless, ``jpeg`` is not, ``webp`` and ``jxl``
        (JPEG XL) can be both. ``jpg`` and ``tif`` are other spellings.
    quality
        1 to 100, for lossy files; 100 is lossy too. None is 90, and for jxl lossless.
    subsampling
        Chroma of jpeg: ``420``, ``422`` or ``444``.
    compression
        For png: 0 (fastest, files half as large again) to 3, or ``pillow`` for the smallest files.
    lossless
        Whether decoding returns the same pixels, for webp and jxl. None is lossy for webp, and for
        jxl lossless unless there is a quality.
    setting
        The place of these values in a configuration, for errors.

    Returns
    -------
    Callable
        From uint8 RGB (h, w, 3), contiguous or not, to the bytes of a file.

    Raises
    ------
    ConfigError
        If a value is invalid, or two contradict each other; the error names them.
    """
    _check(f"{setting}.extension", extension, EXTENSIONS)
    _check(f"{setting}.subsampling", subsampling, SUBSAMPLINGS)
    _check(f"{setting}.compression", compression, COMPRESSIONS)
    _check(f"{setting}.lossless", lossless, (True, False, None))
    if quality is not None and not (type(quality) is int and 1 <= quality <= 100):
        raise ConfigError(
            f"{setting}.quality={quality!r} is invalid; use a whole number from 1 to 100"
        )
    loses = _is_lossy(extension, quality, lossless, setting)
    longest = _LONGEST.get(extension)
    encode = _encoder(extension, quality, subsampling, compression, loses)
    return partial(_within, encode=encode, longest=longest, setting=setting) if longest else encode


def _within(pixels: Pixels, encode: Encoder, longest: int, setting: str) -> bytes:
    """Encode an image of a format that limits the sides of images."""
    height, width = pixels.shape[:2]
    if max(height, width) > longest:
        raise ConfigError(
            f"{setting}.extension: a tile of {width}x{height} is too large for this format, which"
            f" has at most {longest} pixels along a side; use png, or smaller tiles"
        )
    return encode(pixels)


def _encoder(
    extension: str, quality: int | None, subsampling: str, compression: int | str, loses: bool
) -> Encoder:
    if extension == "png":
        if compression == "pillow":
            return partial(by_pillow, kind="PNG", optimize=True)
        return partial(png_bytes, level=int(compression))
    if extension in ("jpg", "jpeg"):
        return partial(_jpeg, quality=quality or QUALITY, subsampling=subsampling)
    if extension == "webp":
        if not loses:
            return _lossless_webp
        return partial(by_pillow, kind="WEBP", quality=quality or QUALITY)
    if extension == "jxl":
        return partial(_jxl, quality=(quality or QUALITY) if loses else None)
    return _tiff


def _is_lossy(extension: str, quality: int | None, lossless: bool | None, setting: str) -> bool:
    """Return whether files lose pixels.

    Raises
    ------
    ConfigError
        If a format cannot do what ``lossless`` says, or ``quality`` contradicts it.
    """
    always, never = extension in ("jpg", "jpeg"), extension in ("png", "tif", "tiff")
    if lossless and always:
        raise ConfigError(
            f"{setting}.lossless=true with extension={extension}: JPEG loses pixels; use png, tif,"
            " webp or jxl"
        )
    if lossless is False and never:
        raise ConfigError(
            f"{setting}.lossless=false with extension={extension}: these files are always lossless;"
            " use jpg, webp or jxl, or remove lossless"
        )
    if lossless and quality is not None and not never:
        raise ConfigError(
            f"{setting}.lossless=true with quality={quality}: lossless files have no quality;"
            " remove one of them"
        )
    if lossless is None:
        return always or extension == "webp" or (extension == "jxl" and quality is not None)
    return not lossless


cached_encoder = lru_cache(64, typed=True)(make_encoder)
"""``make_encoder`` for exporters, which choose theirs for each tile."""


def check_passthrough(key: str, extension: str) -> None:
    """Refuse to store native JPEG tiles under another extension.

    Raises
    ------
    ConfigError
        The error names ``key``, the exporter's.
    """
    if extension not in ("jpg", "jpeg"):
        raise ConfigError(
            f"{key}.passthrough=true with extension={extension}: the slide's own tiles are JPEG;"
            f" set {key}.extension=jpg"
        )


def _check(key: str, value: object, choices: tuple[object, ...]) -> None:
    # Types matter: True == 1 == 1.0, but the record of a run contains the given value.
    if not any(value == choice and type(value) is type(choice) for choice in choices):
        listed = ", ".join(map(repr, choices))
        raise ConfigError(f"{key}={value!r} is invalid; use one of {listed}")


def _jpeg(pixels: Pixels, quality: int, subsampling: str) -> bytes:
    import simplejpeg

    # Below quality 96, libjpeg-turbo takes its fast DCT here for any value of fastdct: simplejpeg
    # never selects the accurate one. On tissue that adds 0.4 % to the error at quality 90 and
    # 4:2:0, but up to a quarter at 95 and 4:4:4.
    data: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels), quality=quality, colorsubsampling=subsampling, fastdct=False
    )
    return data


def by_pillow(pixels: Pixels, kind: str, **options: object) -> bytes:
    """Encode pixels by Pillow, into the format with its name."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, kind, **options)
    return file.getvalue()


def _lossless_webp(pixels: Pixels) -> bytes:
    import imagecodecs

    # On tissue, 6 % smaller than png in 2.3 ms for 256 px; method 1 takes 7.7 ms for 10 %, and
    # method 4, the default, 120 ms for 12 %.
    return bytes(
        imagecodecs.webp_encode(
            np.ascontiguousarray(pixels), 100, lossless=True, method=0, numthreads=1
        )
    )


def _jxl(pixels: Pixels, quality: int | None) -> bytes:
    import imagecodecs

    # On tissue, lossless files are 16 % smaller than png in 15 ms for 256 px; effort 7
    # takes 190 ms for 18 %. Lossy files with it take 7 times as long and are 17 % smaller.
    return bytes(
        imagecodecs.jpegxl_encode(
            np.ascontiguousarray(pixels),
            quality,
            lossless=quality is None,
            effort=3,
            numthreads=1,
        )
    )


def _tiff(pixels: Pixels) -> bytes:
    import tifffile

    file = io.BytesIO()
    tifffile.imwrite(
        file,
        np.ascontiguousarray(pixels),
        photometric="rgb",
        planarconfig="contig",
        compression="zlib",
        compressionargs={"level": 1},  # on tissue as small as 6, and faster
        predictor=True,  # horizontal differences make files a seventh smaller
        metadata=None,
        software=False,
        maxworkers=1,  # tiles already run in parallel
    )
    return file.getvalue()
