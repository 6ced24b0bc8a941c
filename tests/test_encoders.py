"""Encoders lose nothing where they promise it, and refuse what they cannot do."""

from __future__ import annotations

import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from tiler.errors import ConfigError
from tiler.exporters.encoders import COMPRESSIONS, EXTENSIONS, make_encoder
from tiler.geometry import Size
from tiler.readers import OpenSlideReader
from tiler.resolution import Level

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 23), st.just(3))
PIXELS = hnp.arrays(np.uint8, SHAPES, elements=st.integers(0, 255))


def decoded(data: bytes) -> list[np.ndarray]:
    """The pixels as Pillow and as OpenCV (libpng) see them."""
    with Image.open(io.BytesIO(data)) as image:
        by_pillow = np.asarray(image.convert("RGB"))
    by_opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    return [by_pillow, by_opencv]


@pytest.fixture(scope="module")
def tissue() -> np.ndarray:
    slides = Path(__file__).resolve().parents[2] / "shared/slides"
    if not slides.is_dir():
        pytest.skip("the real slides beside the project are not here")
    with OpenSlideReader(slides / "CMU-1-Small-Region.svs") as reader:
        return reader.read_region((700, 1200), Size(512, 480), Level(0))


@given(PIXELS, st.sampled_from(COMPRESSIONS))
def test_png_is_lossless_in_every_decoder(pixels: np.ndarray, compression: int | str) -> None:
    for seen in decoded(make_encoder("png", compression=compression)(pixels)):
        np.testing.assert_array_equal(seen, pixels)


@given(PIXELS, st.sampled_from(["tif", "tiff"]))
def test_tiff_is_lossless_in_every_decoder(pixels: np.ndarray, extension: str) -> None:
    for seen in decoded(make_encoder(extension)(pixels)):
        np.testing.assert_array_equal(seen, pixels)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_views_that_are_not_contiguous_are_encoded_alike(
    tissue: np.ndarray, extension: str
) -> None:
    view = tissue[::2, 10:200:3]
    assert not view.flags.c_contiguous
    encode = make_encoder(extension)
    assert encode(view) == encode(np.ascontiguousarray(view))


@pytest.mark.parametrize("extension", ["jpg", "jpeg", "webp"])
def test_lossy_files_are_near_and_quality_costs(tissue: np.ndarray, extension: str) -> None:
    sizes, errors = [], []
    for quality in (40, 75, 95):
        data = make_encoder(extension, quality=quality)(tissue)
        with Image.open(io.BytesIO(data)) as image:
            error = np.asarray(image.convert("RGB")).astype(float) - tissue
        sizes.append(len(data))
        errors.append(float(np.abs(error).mean()))
    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 6


def test_chroma_of_jpeg_follows_the_setting(tissue: np.ndarray) -> None:
    sizes = [len(make_encoder("jpg", subsampling=s)(tissue)) for s in ("420", "422", "444")]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 3


def test_png_files_of_tissue_are_not_much_larger_than_pillows(tissue: np.ndarray) -> None:
    file = io.BytesIO()
    Image.fromarray(tissue).save(file, "PNG")
    assert len(make_encoder("png")(tissue)) <= 1.3 * file.tell()
    assert len(make_encoder("png", compression="pillow")(tissue)) <= file.tell()


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_encoders_pickle_and_agree_between_threads(tissue: np.ndarray, extension: str) -> None:
    encode = pickle.loads(pickle.dumps(make_encoder(extension)))
    tiles = [tissue[y : y + 64, x : x + 48] for y in range(0, 256, 64) for x in range(0, 288, 48)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(encode, tiles)) == [make_encoder(extension)(tile) for tile in tiles]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"extension": "gif"}, "extension='gif'"),
        ({"quality": 0}, "quality=0"),
        ({"quality": 101}, "quality=101"),
        ({"quality": True}, "quality=True"),
        ({"subsampling": "411"}, "subsampling='411'"),
        ({"compression": 4}, "compression=4"),
        ({"compression": "best"}, "compression='best'"),
    ],
)
def test_values_that_cannot_be_are_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=r"exporter\.images") as caught:
        make_encoder(**options)
    assert words in str(caught.value)
