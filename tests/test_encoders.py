"""Lossless encoders lose nothing, and unsupported input is refused."""

from __future__ import annotations

import hashlib
import io
import pickle
import shutil
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import cv2
import imagecodecs
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from tiler.errors import ConfigError, SlideError
from tiler.exporters import ImagesExporter
from tiler.exporters.tiles.encoders import COMPRESSIONS, EXTENSIONS, make_encoder
from tiler.exporters.tiles.png import png_bytes
from tiler.geometry import Size
from tiler.readers import OpenSlideReader
from tiler.resolution import Level
from tiler.runner.components import encode as run_encode

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 23), st.just(3))
PIXELS = hnp.arrays(np.uint8, SHAPES, elements=st.integers(0, 255))
NOISE = np.random.default_rng(7).integers(0, 256, (37, 53, 3), np.uint8)
WRAPS = np.tile(np.array([[[0, 255, 1]], [[255, 0, 254]]], np.uint8), (9, 5, 1))
EDGES = [np.array([[[1, 2, 254]]], np.uint8), NOISE[:1], NOISE[:, :1], NOISE, WRAPS]


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def decoded(data: bytes) -> list[np.ndarray]:
    """Return the pixels as Pillow and OpenCV (libpng, libtiff, libwebp) or libjxl decode them."""
    if data[:2] == b"\xff\x0a":  # JPEG XL, which neither reads
        return [imagecodecs.jpegxl_decode(data)]
    with opened(data) as image:
        assert image.mode == "RGB"
        by_pillow = np.asarray(image)
    by_opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    return [by_pillow, by_opencv]


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return (type, content) of every chunk; check lengths and checksums to the last byte."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = [], 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        body, checksum = data[at + 4 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        assert struct.pack(">I", zlib.crc32(body)) == checksum
        chunks.append((body[:4], body[4:]))
        at += 12 + length
    assert at == len(data)
    return chunks


@pytest.fixture(scope="module")
def tissue(shared_slides: Path) -> np.ndarray:
    with OpenSlideReader(shared_slides / "CMU-1-Small-Region.svs") as reader:
        return reader.read_region((700, 1200), Size(512, 480), Level(0))


@given(PIXELS, st.sampled_from(COMPRESSIONS))
def test_png_is_lossless_in_every_decoder(pixels: np.ndarray, compression: int | str) -> None:
    for seen in decoded(make_encoder("png", compression=compression)(pixels)):
        np.testing.assert_array_equal(seen, pixels)


@given(PIXELS)
def test_tiff_is_lossless_in_every_decoder(pixels: np.ndarray) -> None:
    for seen in decoded(make_encoder("tiff")(pixels)):
        np.testing.assert_array_equal(seen, pixels)


LOSSLESS: list[dict[str, object]] = [
    *({"extension": "png", "compression": compression} for compression in COMPRESSIONS),
    {"extension": "tif"},
    {"extension": "webp", "lossless": True},
    {"extension": "jxl"},
]


@given(PIXELS, st.sampled_from(LOSSLESS[-2:]))
def test_lossless_webp_and_jxl_are_lossless_in_every_decoder(pixels, options) -> None:
    for seen in decoded(make_encoder(**options)(pixels)):
        np.testing.assert_array_equal(seen, pixels)


@pytest.mark.parametrize("options", LOSSLESS, ids=str)
@pytest.mark.parametrize("pixels", EDGES, ids=lambda pixels: "x".join(map(str, pixels.shape)))
def test_thin_noisy_and_wrapping_pictures_are_lossless(pixels, options) -> None:
    for seen in decoded(make_encoder(**options)(pixels)):
        np.testing.assert_array_equal(seen, pixels)


@pytest.mark.parametrize("options", LOSSLESS, ids=str)
def test_tissue_is_lossless(tissue, options) -> None:
    for seen in decoded(make_encoder(**options)(tissue)):
        np.testing.assert_array_equal(seen, tissue)


def test_lossless_webp_and_jxl_are_smaller_than_png(tissue: np.ndarray) -> None:
    png = len(make_encoder("png")(tissue))
    assert len(make_encoder("webp", lossless=True)(tissue)) < 0.97 * png
    assert len(make_encoder("jxl")(tissue)) < 0.9 * png


def test_a_quality_makes_jxl_lossy(tissue: np.ndarray) -> None:
    by_quality = make_encoder("jxl", quality=90)(tissue)
    assert by_quality == make_encoder("jxl", lossless=False)(tissue)
    assert len(by_quality) < 0.4 * len(make_encoder("jxl")(tissue))
    assert make_encoder("jxl", lossless=True)(tissue) == make_encoder("jxl")(tissue)
    assert make_encoder("webp", quality=90)(tissue) == make_encoder("webp")(tissue)
    assert make_encoder("jpg", quality=90)(tissue) == make_encoder("jpg")(tissue)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"extension": "jpg", "lossless": True}, "lossless=true with extension=jpg"),
        ({"extension": "jpeg", "lossless": True}, "lossless=true with extension=jpeg"),
        ({"extension": "png", "lossless": False}, "lossless=false with extension=png"),
        ({"extension": "tif", "lossless": False}, "lossless=false with extension=tif"),
        ({"extension": "jxl", "lossless": True, "quality": 80}, "lossless=true with quality=80"),
        ({"extension": "webp", "lossless": True, "quality": 80}, "lossless=true with quality=80"),
        ({"extension": "webp", "lossless": 1}, "lossless=1 is invalid"),
    ],
)
def test_contradictions_about_loss_are_named(options, words) -> None:
    with pytest.raises(ConfigError) as caught:
        make_encoder(**options, setting="exporter.webdataset")
    assert f"exporter.webdataset.{words}" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@given(PIXELS, st.sampled_from(COMPRESSIONS))
@example(NOISE, 1)
def test_a_png_contains_only_its_pixels(pixels, compression) -> None:
    chunks = png_chunks(make_encoder("png", compression=compression)(pixels))
    kinds = [kind for kind, _ in chunks]
    assert kinds == [b"IHDR", *[b"IDAT"] * (len(kinds) - 2), b"IEND"]
    height, width, _ = pixels.shape
    assert chunks[0][1] == struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)
    inflater = zlib.decompressobj()  # refuses a bad Adler-32, which decoders may let pass
    raw = inflater.decompress(b"".join(data for kind, data in chunks if kind == b"IDAT"))
    assert inflater.eof
    assert inflater.unused_data == b""
    assert len(raw) == height * (1 + 3 * width)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_pngcheck_finds_no_fault(tissue, tmp_path, compression) -> None:
    pngcheck = shutil.which("pngcheck")
    if pngcheck is None:
        pytest.skip("pngcheck is not installed")
    file = tmp_path / "tile.png"
    file.write_bytes(make_encoder("png", compression=compression)(tissue))
    done = subprocess.run([pngcheck, "-v", file], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_other_formats_contain_only_their_pixels() -> None:
    with opened(make_encoder("jpg")(NOISE)) as image:
        assert [marker for marker, _ in image.applist] == ["APP0"]
        assert image.info["jfif_unit"] == 0, "a shape of pixels, no resolution"
    # A JPEG XL codestream without container has no room for metadata.
    assert make_encoder("jxl")(NOISE)[:2] == b"\xff\x0a"
    exact = make_encoder("webp", lossless=True)(NOISE)
    assert (exact[12:16], struct.unpack_from("<I", exact, 16)[0]) == (b"VP8L", len(exact) - 20)
    webp = make_encoder("webp")(NOISE)
    assert webp[12:16] == b"VP8 ", "a plain file, which has no room for metadata"
    assert struct.unpack_from("<I", webp, 16) == (len(webp) - 20,)
    with opened(make_encoder("tif")(NOISE)) as image:
        layout = {256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317}
        no_unit = {282: 1, 283: 1, 296: 1}
        assert set(image.tag_v2) == layout | set(no_unit)
        assert {tag: image.tag_v2[tag] for tag in no_unit} == no_unit


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_views_that_are_not_contiguous_are_encoded_alike(extension: str) -> None:
    encode = make_encoder(extension)
    for view in (NOISE[::2, 3:50:3], NOISE[::-1, ::-1], NOISE[..., ::-1], np.swapaxes(NOISE, 0, 1)):
        assert not view.flags.c_contiguous
        before = view.copy()
        assert encode(view) == encode(before)
        np.testing.assert_array_equal(view, before)
    still = NOISE[5:20].copy()
    still.flags.writeable = False
    assert encode(still) == encode(NOISE[5:20])


@pytest.mark.parametrize("extension", ["jpg", "webp", "jxl"])
def test_lossy_files_are_similar_and_higher_quality_is_larger(
    tissue: np.ndarray, extension: str
) -> None:
    sizes, errors = [], []
    for quality in (10, 40, 75, 95, 100):
        data = make_encoder(extension, quality=quality)(tissue)
        error = decoded(data)[0].astype(float) - tissue
        sizes.append(len(data))
        errors.append(float(np.abs(error).mean()))
    assert all(small < large for small, large in pairwise(sizes))
    assert all(far > near for far, near in pairwise(errors))
    assert 0 < errors[-1] < errors[-2] < 6


@pytest.mark.parametrize("extension", ["jpg", "webp", "jxl"])
def test_lossy_files_keep_the_order_of_colours(extension: str) -> None:
    plain = np.full((19, 35, 3), (200, 30, 90), np.uint8)
    for seen in decoded(make_encoder(extension, quality=90)(plain)):
        np.testing.assert_allclose(seen.astype(int), plain, atol=3)


@pytest.mark.parametrize(
    ("subsampling", "number", "sampling"),
    [("444", 0, (1, 1)), ("422", 1, (2, 1)), ("420", 2, (2, 2))],
)
@pytest.mark.parametrize(("quality", "apart"), [(50, 1.5), (90, 1.5), (97, 0.01)])
def test_jpeg_is_that_of_pillow(tissue, quality, apart, subsampling, number, sampling) -> None:
    data = make_encoder("jpg", quality=quality, subsampling=subsampling)(tissue)
    reference = io.BytesIO()
    Image.fromarray(tissue).save(reference, "JPEG", quality=quality, subsampling=number)
    with opened(data) as ours, opened(reference.getvalue()) as theirs:
        assert ours.layer[0][1:3] == theirs.layer[0][1:3] == sampling
        assert ours.quantization == theirs.quantization
        mine, others = np.asarray(ours).astype(int), np.asarray(theirs).astype(int)
    assert np.abs(mine - others).mean() < apart  # below 96, another DCT
    assert np.abs(mine - tissue).mean() < 1.04 * np.abs(others - tissue).mean()
    assert len(data) == pytest.approx(len(reference.getvalue()), rel=0.02)


def test_png_files_of_tissue_are_not_much_larger_than_pillows(tissue: np.ndarray) -> None:
    file = io.BytesIO()
    Image.fromarray(tissue).save(file, "PNG")
    sizes = {c: len(make_encoder("png", compression=c)(tissue)) for c in COMPRESSIONS}
    assert sizes[1] <= 1.3 * file.tell()
    assert sizes["pillow"] <= file.tell()
    assert min(sizes.values()) == sizes["pillow"]
    assert max(sizes.values()) == sizes[0]
    assert len(set(sizes.values())) == len(sizes), "every level is another"
    assert make_encoder("png")(tissue) == make_encoder("png", compression=1)(tissue)


@pytest.mark.parametrize("pair", [("jpg", "jpeg"), ("tif", "tiff")])
def test_spellings_of_an_extension_are_one_format(pair) -> None:
    one, other = (make_encoder(extension)(NOISE) for extension in pair)
    assert one == other


@pytest.mark.parametrize(
    "options",
    [
        *({"extension": name} for name in EXTENSIONS),
        LOSSLESS[-2],
        {"extension": "jxl", "quality": 80},
    ],
    ids=str,
)
def test_encoders_pickle_and_agree_between_threads(options) -> None:
    encode = pickle.loads(pickle.dumps(make_encoder(**options)))
    picture = np.tile(NOISE, (7, 6, 1))
    tiles = [picture[y : y + 64, x : x + 48] for y in range(0, 192, 64) for x in range(0, 240, 48)]
    alone = [make_encoder(**options)(tile) for tile in tiles]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(encode, tiles * 4)) == alone * 4


@pytest.mark.parametrize(
    ("options", "loaded"),
    [
        ({"extension": "png"}, ["isal"]),
        ({"extension": "png", "compression": "pillow"}, ["PIL"]),
        ({"extension": "jpg"}, ["simplejpeg"]),
        ({"extension": "webp"}, ["PIL"]),
        ({"extension": "webp", "lossless": True}, ["imagecodecs"]),
        ({"extension": "jxl"}, ["imagecodecs"]),
        ({"extension": "tif"}, ["imagecodecs", "tifffile"]),  # tifffile imports it
    ],
    ids=str,
)
def test_another_process_loads_only_its_codec_and_writes_the_same(options, loaded) -> None:
    encode = make_encoder(**options)
    code = f"""
import sys, hashlib, pickle
import numpy as np
def codecs():
    return set(sys.modules) & {{"PIL", "imagecodecs", "isal", "simplejpeg", "tifffile"}}
encode = pickle.loads({pickle.dumps(encode)!r})
assert codecs() == set(), codecs()
data = encode(np.random.default_rng(7).integers(0, 256, (37, 53, 3), np.uint8))
print(hashlib.sha256(data).hexdigest(), *codecs())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    digest, *codecs = done.stdout.split()
    assert digest == hashlib.sha256(encode(NOISE)).hexdigest()
    assert sorted(codecs) == loaded


@pytest.mark.parametrize(
    ("options", "words", "way_out"),
    [
        ({"extension": "gif"}, "extension='gif'", "'webp'"),
        ({"extension": "PNG"}, "extension='PNG'", "'png'"),
        ({"extension": ".png"}, "extension='.png'", "'png'"),
        ({"lossless": "yes"}, "lossless='yes'", "True"),
        ({"quality": 0}, "quality=0", "1 to 100"),
        ({"quality": 101}, "quality=101", "1 to 100"),
        ({"quality": True}, "quality=True", "1 to 100"),
        ({"quality": 89.5}, "quality=89.5", "1 to 100"),
        ({"quality": "high"}, "quality='high'", "1 to 100"),
        ({"subsampling": "411"}, "subsampling='411'", "'422'"),
        ({"subsampling": 420}, "subsampling=420", "'420'"),
        ({"compression": 4}, "compression=4", "0, 1, 2, 3, 'pillow'"),
        ({"compression": -1}, "compression=-1", "0, 1, 2, 3, 'pillow'"),
        ({"compression": True}, "compression=True", "0, 1, 2, 3, 'pillow'"),
        ({"compression": 1.0}, "compression=1.0", "0, 1, 2, 3, 'pillow'"),
        ({"compression": "best"}, "compression='best'", "'pillow'"),
    ],
)
def test_impossible_values_are_named(options, words, way_out) -> None:
    with pytest.raises(ConfigError) as caught:
        make_encoder(**options)
    assert f"exporter.images.{words} is invalid; " in str(caught.value)
    assert way_out in str(caught.value)


@pytest.mark.parametrize(
    ("options", "longest"),
    [
        ({"extension": "webp"}, 16382),
        ({"extension": "webp", "lossless": True}, 16382),
        ({"extension": "jpg"}, 65500),
    ],
    ids=str,
)
def test_a_side_that_a_format_cannot_express_is_refused(options, longest) -> None:
    encode = make_encoder(**options)
    assert decoded(encode(np.zeros((1, longest, 3), np.uint8)))[0].shape == (1, longest, 3)
    for shape in ((1, longest + 1, 3), (longest + 1, 1, 3)):
        with pytest.raises(ConfigError, match=f"at most {longest} pixels along a side; use png"):
            encode(np.zeros(shape, np.uint8))
    exporter = ImagesExporter(**options)
    with pytest.raises(SlideError, match=f"E_SLIDE slide=a: .* at most {longest} pixels"):
        run_encode(exporter, SimpleNamespace(name="a"), np.zeros(shape, np.uint8))


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_values_are_checked_even_where_the_format_ignores_them(extension) -> None:
    for wrong in ({"quality": 0}, {"subsampling": "411"}, {"compression": 9}):
        with pytest.raises(ConfigError):
            make_encoder(extension, **wrong)


@pytest.mark.slow
@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_png_bytes_do_not_depend_on_the_thread(level: int) -> None:
    # ISA-L hashes the third byte of a stream by the address of its own state: where bytes 2 to 5
    # come again, one stream in some thousands is another in another thread.
    images = np.zeros((8000, 2, 60, 3), np.uint8)
    first = images[:, 0].reshape(8000, 180)
    first[:, :22] = np.random.default_rng(7).integers(0, 256, (8000, 22))
    first[:, 100:104] = first[:, 1:5]
    with ThreadPoolExecutor(3) as pool:
        streams = list(pool.map(lambda _: [png_bytes(i, level) for i in images], range(3)))
    assert streams[0] == streams[1] == streams[2]
