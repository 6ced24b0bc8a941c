"""JPEG 2000: valid images decode to OpenJPEG's pixels, and damaged ones are an error."""

from __future__ import annotations

import io
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from command import read_csv, tiler
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_tiff_reader import APERIO, picture, write

from tiler import Level
from tiler.errors import ReadError
from tiler.geometry import Size
from tiler.readers import open_slide
from tiler.readers.jpeg2000 import openjpeg
from tiler.readers.jpeg2000.codestream import codestream
from tiler.readers.openslide.reader import OpenSlideReader

REAL = "TCGA-CR-7395-01A-01-TS1.svs"


def encoded(pixels: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG2000", **options)
    return buffer.getvalue()


def drawn(kind: str, width: int, height: int, step: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    match kind:
        case "noise":
            return picture(width, height, step)
        case "flat":
            return np.full((height, width, 3), 3 * step, np.uint8)
        case "steps":
            return np.stack([x // step, y // step, 0 * x + 128], axis=-1).astype(np.uint8)
        case "pattern":  # which some coders turn into hundreds of zeros in a row
            return np.repeat(((x % 4 < 2) * 8 * step + y % 2)[..., None], 3, axis=2).astype(
                np.uint8
            )
        case _:
            masked = picture(width, height, step)
            masked[height // 3 :, : width // 2] = 255
            return masked


CODINGS = {
    "lossless": {},
    "lossy": {"irreversible": True, "quality_mode": "rates", "quality_layers": [20]},
    "by quality": {"irreversible": True, "quality_mode": "dB", "quality_layers": [38]},
    "layers": {"irreversible": True, "quality_layers": [60, 30, 10]},
    "no wavelets": {"num_resolutions": 1},
    "precincts": {"precinct_size": (64, 64), "codeblock_size": (32, 32), "progression": "RPCL"},
    "small blocks": {"codeblock_size": (4, 4)},
    "tiles": {"tile_size": (64, 32)},
    "lengths": {"plt": True, "mct": 0},
}


@given(
    kind=st.sampled_from(["noise", "flat", "steps", "pattern", "masked"]),
    width=st.integers(1, 150),
    height=st.integers(1, 130),
    step=st.integers(1, 30),
    coding=st.sampled_from(list(CODINGS)),
    container=st.booleans(),
)
def test_sound_images_are_openjpegs_pixels(kind, width, height, step, coding, container):
    pixels = drawn(kind, width, height, step)
    data = encoded(pixels, no_jp2=not container, **CODINGS[coding])
    out = np.empty((height, width, 3), np.uint8)
    openjpeg.decode(data, out)
    assert np.array_equal(out, imagecodecs.jpeg2k_decode(data))
    if coding not in ("lossy", "by quality", "layers"):
        assert np.array_equal(out, pixels)
    openjpeg.check(data, Size(width, height))
    assert codestream(data).size == (width, height)


@pytest.fixture(scope="module")
def real_tiles(shared_slides) -> list[bytes]:
    """The native tiles of a real slide, level by level, coded by Kakadu."""
    with tifffile.TiffFile(shared_slides / REAL) as tiff:
        return [
            tiff.filehandle.read_array(np.uint8, count, offset=offset).tobytes()
            for page in tiff.pages
            if page.is_tiled
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
        ]


@pytest.mark.slow
def test_all_tiles_of_a_real_slide_are_sound(real_tiles):
    for data in real_tiles[::3]:
        out = np.empty((256, 256, 3), np.uint8)
        openjpeg.decode(data, out)
        assert np.array_equal(out, imagecodecs.jpeg2k_decode(data))


RANDOM = np.random.default_rng(12)
DAMAGE = {
    "zeros": (bytes, 1.0),
    "ones": (lambda count: b"\xff" * count, 1.0),
    "noise": (RANDOM.bytes, 1.0),
    "a constant": (lambda count: b"\x5a" * count, 0.9),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_of_4096_bytes_is_an_error(real_tiles, name):
    fill, share = DAMAGE[name]
    large = [data for data in real_tiles if len(data) > 9000]
    found = 0
    for data in large[::5]:
        at = int(RANDOM.integers(codestream(data).parts[0][1], len(data) - 4098))
        hurt = data[:at] + fill(4096) + data[at + 4096 :]
        try:
            openjpeg.check(hurt, Size(256, 256))
        except ValueError:
            found += 1
    assert found >= share * len(large[::5]) > 20


def test_about_half_of_all_single_bits_that_flip_are_an_error(real_tiles):
    large = [data for data in real_tiles if len(data) > 9000]
    found = 0
    for data in large[::4]:
        at = int(RANDOM.integers(codestream(data).parts[0][1], len(data) - 2))
        hurt = data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]
        try:
            openjpeg.check(hurt, Size(256, 256))
        except ValueError:
            found += 1
    assert found >= 0.3 * len(large[::4])


CUTS = {
    "in half": lambda data: data[: len(data) // 2],
    "in the header": lambda data: data[:60],
    "before its end": lambda data: data[:-9],
    "in the middle": lambda data: data[:3000] + data[3100:],
    "longer": lambda data: data[:3000] + bytes(10) + data[3000:],
    "to nothing": lambda data: b"",
    "to its start": lambda data: data[:4],
    "something else": lambda data: b"\x89PNG" + data,
}


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("container", [False, True])
def test_cut_data_is_an_error(name, container):
    data = CUTS[name](encoded(picture(150, 110), no_jp2=not container))
    with pytest.raises(ValueError, match=r"JPEG 2000|code block"):
        openjpeg.check(data, Size(150, 110))
    with pytest.raises((ValueError, RuntimeError)):
        openjpeg.decode(data, np.empty((110, 150, 3), np.uint8))


@given(st.binary(max_size=300))
def test_any_bytes_after_a_start_are_an_error_with_a_reason(rest):
    with pytest.raises(ValueError, match="JPEG 2000"):
        openjpeg.check(b"\xff\x4f\xff\x51" + rest, Size(9, 7))


@pytest.mark.slow
def test_headers_with_any_byte_changed_never_break_it():
    data = encoded(picture(70, 50), no_jp2=True, precinct_size=(64, 64))
    for at in range(2, codestream(data).parts[0][1]):
        for new in (0, 1, 0x80, 0xFF):
            try:
                openjpeg.check(data[:at] + bytes([new]) + data[at + 1 :], Size(70, 50))
            except ValueError as error:
                assert str(error)  # noqa: PT017 - the other outcome is none


def test_another_size_or_depth_is_refused_before_decoding():
    data = encoded(picture(150, 110), no_jp2=True)
    with pytest.raises(ValueError, match="a JPEG 2000 image of 150x110, not 150x109"):
        openjpeg.check(data, Size(150, 109))
    deep = imagecodecs.jpeg2k_encode(picture(150, 110).astype(np.uint16) * 9, reversible=True)
    with pytest.raises(ValueError, match="components of 16 bits, not 8"):
        openjpeg.check(deep, Size(150, 110))


def test_threads_get_errors_of_their_own_tiles_only(caplog):
    sound = encoded(picture(150, 110), no_jp2=True)
    start, stop = codestream(sound).parts[0][1:]
    at = (start + stop) // 2
    hurt = sound[:at] + RANDOM.bytes(2000) + sound[at + 2000 :]

    def outcome(number: int) -> bool:
        logging.getLogger("imagecodecs").warning("of somebody else")
        try:
            openjpeg.check(hurt if number % 3 == 0 else sound, Size(150, 110))
        except ValueError:
            return False
        return True

    with caplog.at_level(logging.ERROR), ThreadPoolExecutor(4) as threads:
        assert list(threads.map(outcome, range(40))) == [number % 3 != 0 for number in range(40)]
    assert not [message for message in caplog.messages if "JPEG2K" in message]


# In slides


def slide_with(path: Path, change) -> Path:
    """An Aperio slide of JPEG 2000, one native tile of which is changed."""
    numbers = iter(range(99))

    def data(tile: np.ndarray) -> bytes:
        stream = encoded(tile, no_jp2=True)
        return change(stream) if next(numbers) == 4 else stream

    return write(
        path, picture(500, 380), tile=(128, 128), data=data, compression=33005, description=APERIO
    )


@pytest.mark.parametrize("opener", [open_slide, OpenSlideReader])
def test_a_damaged_tile_fails_alone_in_both_readers(tmp_path, opener):
    path = slide_with(tmp_path / "a.svs", lambda data: data[:9000] + bytes(4096) + data[13096:])
    good = slide_with(tmp_path / "b.svs", lambda data: data)
    with opener(path) as hurt, opener(good) as sound:
        for _ in range(2):
            with pytest.raises(ReadError, match=r"native tile 4 \(column 0, row 1\) at byte"):
                hurt.read_region((100, 120), (60, 50), Level(0))
        for box in (((0, 0), (500, 128)), ((128, 0), (372, 380))):
            assert np.array_equal(
                hurt.read_region(*box, Level(0)), sound.read_region(*box, Level(0))
            )


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["auto", "openslide"])
def test_a_run_over_a_damaged_real_slide_fails(tmp_path, shared_slides, reader):
    (tmp_path / "in").mkdir()
    with tifffile.TiffFile(shared_slides / REAL) as tiff:
        offset = tiff.pages.first.dataoffsets[40]
    data = bytearray((shared_slides / REAL).read_bytes())
    data[offset + 6000 : offset + 6000 + 4096] = bytes(4096)
    (tmp_path / "in/bad.svs").write_bytes(data)
    words = ["slides=files", "slides.paths=in", "resolution=level", "resolution.value=0"]
    words += ["mask=none", "tile.size=256", "tile.stride=512", "exporter=[csv,images]", "out=out"]
    result = tiler(*words, f"reader={reader}", cwd=tmp_path)
    assert result.returncode == 3, result.stderr
    (row,) = read_csv(tmp_path / "out/slides.csv")
    assert "native tile 40 (column 4, row 2)" in row["reason"]
    assert "1 of 63 tiles unreadable" in row["reason"]
