"""A network as a mask: its coverage is that of the network on the whole slide at once, by numpy."""

from __future__ import annotations

import json
import logging
import pickle
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from command import read_csv, tiler
from conftest import ArrayReader
from hypothesis import given
from hypothesis import strategies as st
from networks import by_numpy, convolved, per_pixel, saved
from onnx import TensorProto
from PIL import Image

from tiler import Level, TileExtractor, TileSpec, open_slide
from tiler.errors import ConfigError, LimitError, MaskError, ResolutionError
from tiler.geometry import Box, Point, Size
from tiler.masks import CombineMask, HsvMask, OnnxMask
from tiler.masks.onnx import mask as onnx_mask
from tiler.masks.onnx.stitching import blended, placed
from tiler.masks.onnx.view import view_at

PLAIN = np.array([[0.4, -0.3, 0.5]])


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth picture of random colours: uint8 (height, width, 3)."""
    small = np.random.default_rng(seed).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    fine = np.random.default_rng(seed + 1).integers(-9, 10, (height, width, 3))
    return np.clip(np.asarray(image, int) + fine, 0, 255).astype(np.uint8)


def scores_of(slide, mpp: float, kernel: np.ndarray) -> np.ndarray:
    """A convolution of the whole slide at once: float64 (channels, h, w)."""
    return by_numpy(slide.thumbnail(view_at(slide, mpp).size), kernel)


def undecided(values: np.ndarray) -> float:
    """Return a limit near the middle of values that is far from all of them."""
    middle = np.sort(values, axis=None)[int(0.4 * values.size) : int(0.6 * values.size)]
    widest = np.diff(middle).argmax()
    return float(middle[widest : widest + 2].mean())


def check_coverage(slide, mask: OnnxMask, values: np.ndarray, limit: float) -> np.ndarray:
    """Compare coverages of all cells with those of values by numpy; return the mask."""
    assert np.abs(values - limit).min() > 1e-6, "the reference is undecided"
    expected = values >= limit
    assert 0.05 < expected.mean() < 0.95
    spec = TileSpec((37, 23), resolution=Level(0), edge="pad")
    got = TileExtractor(spec, mask_provider=mask, mask_threshold=0).extract(slide)
    wanted = TileExtractor(spec, mask=expected, mask_threshold=0).extract(slide)
    assert len(wanted) > 20
    ratios = [(one.ratio, other.ratio) for one, other in zip(got, wanted, strict=True)]
    assert np.abs(np.diff(ratios)).max() <= 1e-6
    return mask.generate(slide)


@pytest.mark.parametrize("tile", [32, 64, 500])
@pytest.mark.parametrize(
    ("mpp", "bounds"),
    [(0.5, None), (1.0, None), (1.37, (31, 18, 301, 203)), (0.5, (7, 3, 200, 190))],
)
def test_coverage_equals_numpy(tmp_path: Path, tile: int, mpp: float, bounds) -> None:
    pixels = noise(240, 350)
    half = pixels.reshape(120, 2, 175, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    slide = ArrayReader(pixels, half, mpp=0.5, bounds=bounds)
    mask = OnnxMask(per_pixel(tmp_path / "n.onnx", PLAIN), mpp, tile, threshold=0.31)
    values = scores_of(slide, mpp, PLAIN[..., None, None])[0]
    check_coverage(slide, mask, values, 0.31)


@pytest.mark.slow
def test_a_large_receptive_field_leaves_no_seam(tmp_path: Path) -> None:
    """Its radius of 15 pixels is within three eighths of the overlap of 48."""
    kernel = np.random.default_rng(1).random((1, 3, 31, 31)) / (3 * 31 * 31)
    slide = ArrayReader(noise(220, 270), mpp=1.0)
    path = convolved(tmp_path / "n.onnx", kernel)
    values = scores_of(slide, 1.0, kernel)[0]
    limit = undecided(values)
    got = check_coverage(slide, OnnxMask(path, 1.0, 96, 0.5, threshold=limit), values, limit)
    alone = values >= limit
    assert np.array_equal(got, alone)
    seams = OnnxMask(path, 1.0, 96, 0.0, threshold=limit).generate(slide)
    assert (seams != alone).mean() > 0.01, "without overlap the borders differ"
    thin = OnnxMask(path, 1.0, 96, 0.2, threshold=limit).generate(slide)
    assert (thin != alone).sum() < 0.3 * (seams != alone).sum()


def test_a_coarser_map_counts_with_its_own_pixels(tmp_path: Path) -> None:
    kernel = np.random.default_rng(2).random((1, 3, 4, 4)) / 24
    slide = ArrayReader(noise(240, 352), mpp=1.0)
    path = convolved(tmp_path / "n.onnx", kernel, stride=4)
    image = slide.levels[0].reshape(60, 4, 88, 4, 3) / 255
    values = np.einsum("yixjc,cij->yx", image, kernel[0])
    limit = undecided(values)
    mask = OnnxMask(path, 1.0, 64, threshold=limit)
    assert check_coverage(slide, mask, values, limit).shape == (60, 88)
    odd = ArrayReader(slide.levels[0][:-1, :-3], mpp=1.0)
    assert np.array_equal(mask.generate(odd)[:59, :87], (values >= limit)[:59, :87])


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_channels_in_both_layouts_with_mean_and_std(tmp_path: Path, layout: str) -> None:
    weights = np.random.default_rng(3).normal(size=(4, 3))
    path, last = tmp_path / "n.onnx", layout == "nhwc"
    node = ("MatMul", ["x", "w"], ["y"], {})
    if last:
        saved(path, [node], {"w": weights.T.astype(np.float32)}, (1, 48, 48, 3))
    else:
        per_pixel(path, weights, shape=("n", 3, 48, 48))
    slide = ArrayReader(noise(130, 170, 4), mpp=0.5)
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.1]
    values = np.einsum("oc,hwc->ohw", weights, (slide.levels[0] / 255 - mean) / std)
    for output in range(4):
        how = {"mean": mean, "std": std, "layout": layout, "output": output}
        limit = undecided(values[output])
        mask = OnnxMask(str(path), 0.5, 48, threshold=limit, **how)
        check_coverage(slide, mask, values[output], limit)
        largest = OnnxMask(str(path), 0.5, 48, threshold=None, **how).generate(slide)
        assert np.array_equal(largest, values.argmax(axis=0) == output)
        assert largest.any()


def test_equal_channels_are_decided_as_by_argmax(tmp_path: Path) -> None:
    path = per_pixel(tmp_path / "n.onnx", np.array([[0, 0, 0], [1, 0, 0], [1, 0, 0], [1, 1, 1]]))
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, 10:] = (200, 0, 0)
    pixels[:, 30:] = (200, 90, 0)
    slide = ArrayReader(pixels, mpp=1.0)
    values = np.einsum("oc,hwc->ohw", [[0, 0, 0], [1, 0, 0], [1, 0, 0], [1, 1, 1]], pixels / 255)
    for output in range(4):
        mask = OnnxMask(path, 1.0, 16, 0.5, output=output, threshold=None)
        assert np.array_equal(mask.generate(slide), values.argmax(axis=0) == output)


def test_a_map_of_class_numbers(tmp_path: Path) -> None:
    """The network ends with argmax, and returns 1xHxW."""
    weights = np.random.default_rng(5).normal(size=(3, 3)).astype(np.float32)[..., None, None]
    nodes = [
        ("Conv", ["x", "w"], ["z"], {}),
        ("ArgMax", ["z"], ["y"], {"axis": 1, "keepdims": 0}),
    ]
    path = saved(tmp_path / "n.onnx", nodes, {"w": weights}, out=TensorProto.INT64)
    slide = ArrayReader(noise(70, 90), mpp=1.0)
    classes = scores_of(slide, 1.0, weights.astype(float)).argmax(axis=0)
    for output in range(3):
        mask = OnnxMask(path, 1.0, 32, output=output, threshold=None)
        assert np.array_equal(mask.generate(slide), classes == output)
    assert not OnnxMask(path, 1.0, 32, output=9, threshold=None).generate(slide).any()
    atleast = OnnxMask(path, 1.0, 32, threshold=1).generate(slide)
    assert np.array_equal(atleast, classes >= 1)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.UINT8])
def test_other_numbers_in_and_out(tmp_path: Path, kind: int) -> None:
    nodes = [("Cast", ["x"], ["z"], {"to": TensorProto.FLOAT}),
             ("ReduceMean", ["z"], ["m"], {"axes": [1], "keepdims": 1}),
             ("Cast", ["m"], ["y"], {"to": kind})]  # fmt: skip
    path = saved(tmp_path / "n.onnx", nodes, kind=kind, out=kind)
    slide = ArrayReader(noise(70, 90), mpp=1.0)
    limit = 128 if kind == TensorProto.UINT8 else 0.5
    got = OnnxMask(path, 1.0, 32, threshold=limit).generate(slide)
    mean = slide.levels[0].mean(axis=2) / (1 if limit == 128 else 255)
    sure = np.abs(mean - limit) > limit / 100
    assert sure.mean() > 0.5
    assert np.array_equal(got[sure], (mean >= limit)[sure])


@given(
    st.tuples(*[st.integers(1, 90)] * 2).map(lambda s: Size(*s)),
    st.integers(1, 24),
    st.floats(0, 0.9),
    st.integers(0, 2**32 - 1),
)
def test_maps_that_agree_are_not_changed_by_blending(size, side, share, seed) -> None:
    overlap = min(int(share * side), side - 1)
    shape = max(size.height, side), max(size.width, side)
    whole = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    bands = list(
        blended(size, side, overlap, lambda at: whole[at.y : at.y + side, at.x : at.x + side])
    )
    assert max(map(len, bands)) <= side
    assert np.array_equal(np.concatenate(bands), whole[: size.height, : size.width])
    for tiles, length in ((placed(length, side, overlap), length) for length in size):
        ends = [tile.start + side for tile in tiles]
        assert ends[-1] == max(length, side)
        assert all(b.start <= end - overlap for end, b in zip(ends, tiles[1:], strict=False))


@given(st.integers(8, 40), st.floats(0.2, 0.6), st.integers(0, 2**32 - 1))
def test_maps_that_disagree_change_gradually(side: int, share: float, seed: int) -> None:
    """Each tile returns its own number: no step is larger than the rise of the weights allows."""
    overlap = int(share * side)
    numbers = np.random.default_rng(seed).random(10_000)
    size = Size(3 * side + 5, 2 * side + 3)

    def values(at: Point) -> np.ndarray:
        return np.full((side, side), numbers[(at.x * 91 + at.y) % 10_000], np.float32)

    whole = np.concatenate(list(blended(size, side, overlap, values)))
    turned = np.concatenate(
        list(blended(Size(*size[::-1]), side, overlap, lambda at: values(Point(*at[::-1])).T))
    )
    assert np.abs(whole - turned.T).max() < 1e-6
    most = 2 / max(1, overlap / 4) + 1e-6
    assert np.abs(np.diff(whole, axis=0)).max() <= most
    assert np.abs(np.diff(whole, axis=1)).max() <= most


@given(st.data())
def test_a_view_is_the_thumbnail_read_in_boxes(data) -> None:
    width, height = data.draw(st.integers(9, 90)), data.draw(st.integers(9, 90))
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    half = pixels[: height // 2 * 2 : 2, : width // 2 * 2 : 2]
    left, top = data.draw(st.integers(0, width - 5)), data.draw(st.integers(0, height - 5))
    bounds = left, top, width - left, height - top
    slide = ArrayReader(pixels, half, downsamples=(1, 2), mpp=0.5, bounds=bounds)
    view = view_at(slide, data.draw(st.floats(0.495, 4)))
    whole = slide.thumbnail(view.size).astype(int)
    x, y = (data.draw(st.integers(0, side - 1)) for side in view.size)
    w, h = (data.draw(st.integers(1, of - v)) for of, v in zip(view.size, (x, y), strict=True))
    got = view.read(Box(x, y, w, h)).astype(int)
    assert got.shape == (h, w, 3)
    assert np.abs(got - whole[y : y + h, x : x + w]).max() <= 1  # halves may round either way


def test_memory_holds_tiles_and_not_the_slide(tmp_path: Path) -> None:
    slide = ArrayReader(np.zeros((600, 900, 3), np.uint8), mpp=0.5)
    OnnxMask(per_pixel(tmp_path / "n.onnx", PLAIN), 0.5, 64).generate(slide)
    assert len(slide.reads) > 100
    assert max(w * h for _, (w, h), *_ in slide.reads) == 64 * 64


def test_a_large_mask_is_averaged_before_the_threshold(tmp_path: Path, monkeypatch) -> None:
    slide = ArrayReader(noise(192, 256), mpp=1.0)
    mask = OnnxMask(per_pixel(tmp_path / "n.onnx", PLAIN), 1.0, 64, threshold=0.31)
    monkeypatch.setattr(onnx_mask, "MAX_PIXELS", 192 * 256 // 16)
    values = scores_of(slide, 1.0, PLAIN[..., None, None])[0].reshape(48, 4, 64, 4)
    assert np.array_equal(mask.generate(slide), values.mean(axis=(1, 3)) >= 0.31)
    monkeypatch.setattr(onnx_mask, "MAX_PIXELS", 5)
    with pytest.raises(LimitError, match=r"256x192 pixels, too many for tiles of 64; choose"):
        mask.generate(slide)


def test_a_slide_smaller_than_a_tile(tmp_path: Path) -> None:
    slide = ArrayReader(noise(20, 33), mpp=1.0)
    mask = OnnxMask(per_pixel(tmp_path / "n.onnx", PLAIN), 1.0, 64, threshold=0.31)
    values = scores_of(slide, 1.0, PLAIN[..., None, None])[0]
    assert np.array_equal(mask.generate(slide), values >= 0.31)


def test_logits_below_a_threshold_for_probabilities_are_noted(tmp_path: Path, caplog) -> None:
    slide = ArrayReader(noise(20, 33), mpp=1.0)
    path = per_pixel(tmp_path / "n.onnx", 20 * PLAIN)
    with caplog.at_level(logging.WARNING, "tiler"):
        OnnxMask(path, 1.0, 64, threshold=0).generate(slide)
        likely = per_pixel(tmp_path / "p.onnx", np.full((1, 3), 0.3))
        assert 0 < OnnxMask(likely, 1.0, 64).generate(slide).mean() < 1
        assert not caplog.records
        OnnxMask(path, 1.0, 64).generate(slide)
    (record,) = caplog.records
    assert "so they are not probabilities; mask.threshold=0.5" in record.getMessage()


def failing(folder: Path, name: str) -> tuple[str, dict]:
    """Write a network that cannot be used, and settings for it."""
    path = folder / f"{name}.onnx"
    same = [("Identity", ["x"], ["y"], {})]
    pool = ("GlobalAveragePool", ["x"], ["z"], {})
    mean = ("ReduceMean", ["x"], ["z"], {"axes": [1]})
    reshape = [("Reshape", ["x", "s"], ["y"], {})]
    made = {
        "missing": lambda: "nothing.onnx",
        "folder": lambda: str(folder),
        "empty": lambda: (path.write_bytes(b"") and "") or str(path),
        "damaged": lambda: _cut(per_pixel(path, PLAIN)),
        "provider": lambda: per_pixel(path, PLAIN),
        "rank": lambda: saved(path, same, shape=(3, "h", "w")),
        "channels": lambda: saved(path, same, shape=(1, 1, "h", "w")),
        "layout": lambda: saved(path, same, shape=(1, "h", "w", 3)),
        "batch": lambda: per_pixel(path, PLAIN, shape=(4, 3, "h", "w")),
        "size": lambda: per_pixel(path, PLAIN, shape=(1, 3, 96, 96)),
        "oblong": lambda: per_pixel(path, PLAIN, shape=(1, 3, 64, 96)),
        "integers": lambda: saved(path, same, kind=TensorProto.INT64, out=TensorProto.INT64),
        "bytes": lambda: saved(path, same, kind=TensorProto.UINT8, out=TensorProto.UINT8),
        "inputs": lambda: saved(path, [("Add", ["x", "x2"], ["y"], {})], inputs=2),
        "several": lambda: per_pixel(path, np.ones((3, 3))),
        "beyond": lambda: per_pixel(path, np.ones((3, 3))),
        "one": lambda: per_pixel(path, PLAIN),
        "vector": lambda: saved(path, [pool, ("Flatten", ["z"], ["y"], {})]),
        "divisor": lambda: convolved(path, np.ones((1, 3, 4, 4)), stride=3),
        "nan": lambda: saved(path, [mean, ("Log", ["z"], ["y"], {})]),
        "steps": lambda: saved(path, reshape, {"s": np.array([1, 3, 48, 48])}),
    }  # fmt: skip
    settings = {
        "provider": {"providers": ["CUDAExecutionProvider"]},
        "bytes": {"mean": [0.5, 0.5, 0.5]},
        "beyond": {"output": 3},
        "one": {"threshold": None},
    }
    return made[name](), settings.get(name, {})


def _cut(path: str) -> str:
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[: len(data) // 2])
    return path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "the network's file nothing.onnx does not exist; check mask.path=nothing.onnx"),
        ("folder", "is a folder; check mask.path"),
        ("empty", "is empty (0 bytes); check mask.path"),
        ("damaged", "cannot open the network"),
        ("damaged", "; export it again as ONNX"),
        ("provider", "mask.providers: this onnxruntime has no CUDAExecutionProvider; use some of"
                     " CPUExecutionProvider"),
        ("rank", "takes 3x?x? (tensor(float)), not 4 axes; export it with an input of 1x3xHxW"),
        ("channels", "so 1 channels in mask.layout=nchw; export a network for 3 channels (RGB)"),
        ("layout", "takes 1x?x?x3 (tensor(float)), but mask.layout=nchw; set mask.layout=nhwc"),
        ("batch", "takes 4x3x?x? (tensor(float)); export it with a batch of 1 or a free batch"),
        ("size", "takes 1x3x96x96 (tensor(float)), not tiles of 64; set mask.tile=96"),
        ("oblong", "takes 1x3x64x96 (tensor(float)); export it for square tiles or free sides"),
        ("integers", "(tensor(int64)); export it with an input of float, float16 or uint8"),
        ("bytes", "(tensor(uint8)), which are pixels; remove mask.mean and mask.std"),
        ("inputs", "has 2 inputs (x, x2); export it with one"),
        ("several", "returns 3 channels; set mask.output to that of the tissue, 0 to 2"),
        ("beyond", "returns no channel mask.output=3; set mask.output to a channel from 0 to 2"),
        ("one", "has one channel, so none is the largest; set mask.threshold, such as 0.5"),
        ("vector", "returns 1x3 for a tile of 64x64 pixels; its first output must be numbers,"),
        ("divisor", "returns 1x1x21x21 for a tile of 64x64 pixels; 21x21 must divide the tile"),
        ("nan", "returns NaN or infinity for the tile at (0, 0) in pixels of mask.mpp=1"),
        ("steps", "fails on a tile of 64x64 pixels"),
    ],
)  # fmt: skip
def test_a_network_that_cannot_be_used_is_one_line(tmp_path: Path, name: str, message: str) -> None:
    path, settings = failing(tmp_path, name)
    slide = ArrayReader(np.zeros((80, 100, 3), np.uint8), mpp=1.0)
    with pytest.raises(MaskError) as caught:
        OnnxMask(path, 1.0, 64, **settings).generate(slide)
    text = str(caught.value)
    assert message in text
    assert text.startswith("E_MASK slide=fake: ")
    assert "\n" not in text
    assert len(text) < 500


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("sides", [("h", "w"), (64, 64)])
def test_the_wrong_layout_names_the_right_one(tmp_path: Path, layout: str, sides) -> None:
    shape = (1, *sides, 3) if layout == "nchw" else (1, 3, *sides)
    path = saved(tmp_path / "n.onnx", [("Identity", ["x"], ["y"], {})], shape=shape)
    slide = ArrayReader(np.zeros((80, 100, 3), np.uint8), mpp=1.0)
    other = {"nchw": "nhwc", "nhwc": "nchw"}[layout]
    with pytest.raises(MaskError, match=f"but mask.layout={layout}; set mask.layout={other}"):
        OnnxMask(path, 1.0, 64, layout=layout).generate(slide)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": ""}, "mask.path='' is invalid"),
        ({"mpp": 0}, "mask.mpp=0 is invalid"),
        ({"tile": 0}, "mask.tile=0 is invalid"),
        ({"tile": 64.5}, "mask.tile=64.5 is invalid"),
        ({"overlap": 64}, "mask.overlap=64 is invalid; use a share of the tile from 0 to 0.9"),
        ({"overlap": "x"}, "mask.overlap='x' is invalid"),
        ({"mean": 0.5}, "mask.mean=0.5 is invalid; use three numbers, for R, G and B"),
        ({"mean": [1, 2]}, "mask.mean=[1, 2] is invalid"),
        ({"std": [1, 1, 0]}, "mask.std=[1, 1, 0] is invalid; use three positive numbers"),
        ({"layout": "chw"}, "mask.layout='chw' is invalid; use nchw or nhwc"),
        ({"output": -1}, "mask.output=-1 is invalid"),
        ({"threshold": "argmax"}, "mask.threshold='argmax' is invalid; use a number, or null"),
        ({"threshold": float("nan")}, "mask.threshold=nan is invalid"),
        ({"providers": "CPU"}, "mask.providers='CPU' is invalid; use a list"),
        ({"providers": []}, "mask.providers=[] is invalid"),
    ],
)
def test_an_invalid_setting_is_named(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        OnnxMask(**{"path": "a.onnx", "mpp": 1.0, **settings})
    assert message in str(caught.value)


def test_the_missing_extra_is_one_line(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(onnx_mask, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        OnnxMask("a.onnx", 1.0)
    assert str(caught.value) == ("mask=onnx needs the extra tiler[onnx]: pip install 'tiler[onnx]'")


def test_a_slide_without_mpp_or_too_coarse_is_e_mpp(tmp_path: Path) -> None:
    mask = OnnxMask(per_pixel(tmp_path / "n.onnx", PLAIN), 0.5, 64, threshold=0.31)
    pixels = noise(40, 50)
    with pytest.raises(ResolutionError, match=r"mask.mpp=0.5 needs the slide's mpp, which is not"):
        mask.generate(ArrayReader(pixels))
    with pytest.raises(ResolutionError, match=r"mask.mpp=0.5 is finer than the scan.*mpp=1"):
        mask.generate(ArrayReader(pixels, mpp=1.0))
    assert mask.generate(ArrayReader(pixels, mpp=1.0, allow_upsampling=True)).shape == (80, 100)
    assert mask.generate(ArrayReader(pixels, mpp=0.505)).shape == (40, 50)  # within 2 %


def test_a_mask_pickles_and_opens_its_network_in_each_process(tmp_path: Path) -> None:
    mask = OnnxMask(per_pixel(tmp_path / "n.onnx", PLAIN), 1.0, 64)
    slide = ArrayReader(noise(40, 50), mpp=1.0)
    again = pickle.loads(pickle.dumps(mask))
    assert again == mask
    assert np.array_equal(again.generate(slide), mask.generate(slide))
    assert not mask.generate(slide).all()
    per_pixel(tmp_path / "n.onnx", PLAIN, np.array([1.0]))  # a changed file is opened again
    assert mask.generate(slide).all()


def test_a_process_opens_a_network_once_for_all_slides(tmp_path: Path, monkeypatch) -> None:
    opened, session = [], onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda *a, **k: opened.append(a[0]) or session(*a, **k)
    )
    masks = [
        OnnxMask(per_pixel(tmp_path / f"{name}.onnx", PLAIN), 1.0, 64, threshold=0.31)
        for name in ("a", "b")
    ]
    slides = [ArrayReader(noise(40, 50, seed), mpp=1.0, name=f"s{seed}") for seed in range(3)]
    for slide in slides:
        for mask in masks:
            mask.generate(slide)
    assert opened == [mask.path for mask in masks]


def test_a_network_is_one_of_several_masks(tmp_path: Path) -> None:
    slide = ArrayReader(noise(120, 150), mpp=0.5)
    network = OnnxMask(per_pixel(tmp_path / "n.onnx", PLAIN), 1.0, 32, threshold=0.31)
    hue = HsvMask(mpp=3.0, saturation=(90, 255), min_tissue_mm2=None, min_hole_mm2=None)
    both = CombineMask(all={"network": network}, none={"hue": hue})
    assert both.inputs("s") == (tmp_path / "n.onnx",)
    spec = TileSpec((13, 11), resolution=Level(0))
    ratios = {}
    for name, mask in (("both", both), ("network", network)):
        found = TileExtractor(spec, mask_provider=mask, mask_threshold=0).extract(slide)
        ratios[name] = np.array([region.ratio for region in found])
    assert (ratios["both"] <= ratios["network"] + 1e-9).all()
    assert 0 < ratios["both"].sum() < ratios["network"].sum()


SLIDES = ["slides=files", "slides.paths=[a.png,b.png]", "reader=image", "reader.mpp=0.5",
          "resolution=mpp", "resolution.value=0.5", "tile.size=32", "mask=onnx", "mask.mpp=1.0",
          "mask.path=net.onnx", "mask.tile=48", "mask.threshold=0.31",
          "exporter=[csv,mask]"]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("a", "b")):
        Image.fromarray(noise(160, 220, seed)).save(tmp_path / f"{name}.png")
    per_pixel(tmp_path / "net.onnx", PLAIN)
    return tmp_path


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted((folder / "slides").rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
def test_engines_write_the_same_bytes(folder: Path) -> None:
    engines = ([], ["engine=processes", "engine.workers=2"])
    trees = []
    for number, engine in enumerate(engines):
        out = folder / f"out{number}"
        done = tiler(*SLIDES, *engine, f"out={out}", cwd=folder)
        assert done.returncode == 0, done.stderr
        trees.append(tree(out))
    assert len(trees[0]) == 6
    assert trees[0] == trees[1]
    for row in read_csv(folder / "out0/slides.csv"):
        assert 0 < int(row["kept"]) < int(row["candidates"])


@pytest.mark.slow
@pytest.mark.parametrize("beside", [False, True])
def test_another_network_under_the_same_name_redoes_its_slides(folder: Path, beside: bool) -> None:
    """The network's sha256 is in the record and in the key of the cache, its weights' file too."""
    how = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    how = how if beside else {}
    per_pixel(folder / "net.onnx", PLAIN, **how)
    assert tiler(*SLIDES, "out=out", cwd=folder).returncode == 0
    first = json.loads((folder / "out/slides/a/record.json").read_bytes())
    names = {"net.onnx", "weights.bin"} if beside else {"net.onnx"}
    assert set(first["inputs"]) == names
    assert all(len(digest) == 64 for digest in first["inputs"].values())
    before = tree(folder / "out")
    assert tiler(*SLIDES, "out=out", cwd=folder).returncode == 0
    assert tree(folder / "out") == before

    if beside:
        (folder / "weights.bin").unlink()
    per_pixel(folder / "net.onnx", 0.8 * PLAIN, **how)
    done = tiler(*SLIDES, "out=out", cwd=folder)
    assert done.returncode == 0, done.stderr
    second = json.loads((folder / "out/slides/a/record.json").read_bytes())
    assert first["inputs"] != second["inputs"]
    assert first["mask"]["key"] != second["mask"]["key"]
    assert first["mask"]["sha256"] != second["mask"]["sha256"]


@pytest.mark.slow
def test_the_command_reports_bad_networks_in_the_slides_rows(folder: Path) -> None:
    done = tiler(*SLIDES, "mask.path=gone.onnx", "out=out", cwd=folder)
    assert done.returncode == 3
    rows = read_csv(folder / "out/slides.csv")
    assert [row["status"] for row in rows] == ["failed", "failed"]
    for row in rows:
        what = "the network's file gone.onnx does not exist; check mask.path=gone.onnx"
        assert row["reason"] == f"E_MASK slide={row['slide_id']}: {what}"
    assert "Traceback" not in done.stderr
    unset = [word for word in SLIDES if "mask.mpp" not in word and "mask.path" not in word]
    asked = tiler(*unset, "out=none", cwd=folder)
    assert asked.returncode == 2
    assert "mask.path is not set: give mask.path=…" in asked.stderr
    assert "mask.mpp is not set: give mask.mpp=…" in asked.stderr


@pytest.mark.slow
def test_a_real_slide_has_the_coverage_that_numpy_finds(
    tmp_path: Path, shared_slides: Path
) -> None:
    colours, bias = np.array([[-1.0, 2.0, -1.0]]) / -2, 0.0
    path = per_pixel(tmp_path / "n.onnx", colours)
    with open_slide(shared_slides / "CMU-1-Small-Region.svs") as slide:
        values = scores_of(slide, 3.0, colours[..., None, None])[0] + bias
        limit = undecided(values)
        check_coverage(slide, OnnxMask(path, 3.0, 128, threshold=limit), values, limit)


def test_onnxruntime_is_imported_only_for_a_mask() -> None:
    import subprocess

    code = "import sys, tiler.masks as m; m.OnnxMask('a', 1.0); print('onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False", done.stderr
