"""Scores of grid cells: their maps against a plain computation, and how strips are read."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiler import MPP, Level, TileExtractor, TileSpec
from tiler.errors import ComponentError, ConfigError, ReadError, ResolutionError
from tiler.geometry import Size
from tiler.grid import Axes
from tiler.scores import Black, Blur, Entropy, Grey, Pen, Saturation, Stain, White, measure
from tiler.scores.limits import Limits, passes
from tiler.scores.measure import measured

ALL = {
    "white": White, "black": Black, "grey": Grey, "blur": Blur, "pen": Pen, "entropy": Entropy,
    "saturation": Saturation, "stain": Stain,
}  # fmt: skip
ALONE = {name: kind(mpp=None) for name, kind in ALL.items()}


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Return a lopsided picture with smooth and rough places, and all kinds of colours."""
    rng = np.random.default_rng(seed)
    rough = rng.integers(0, 256, (height, width, 3))
    smooth = cv2.resize(rng.integers(0, 256, (7, 5, 3)).astype(np.uint8), (width, height)).astype(
        int
    )
    share = np.linspace(0, 1, width)[None, :, None]
    return np.clip(smooth * (1 - share) + rough * share, 0, 255).astype(np.uint8)


def everywhere(axes: Axes) -> np.ndarray:
    return np.ones((len(axes.y), len(axes.x)), bool)


def axes_of(reader, spec: TileSpec) -> Axes:
    extractor = TileExtractor(spec)
    return extractor.axes(reader, np.ones((1, 1), bool))


@dataclass(frozen=True, kw_only=True)
class Mean(Limits):
    """A score of a user's own: the mean of the red channel, of whole cells."""

    def score(self, pixels):
        return float(pixels[..., 0].mean())


@dataclass(frozen=True, kw_only=True)
class Fine(Limits):
    """Maps of a user's own: large and tiny numbers of float64, whose sums are not exact."""

    def maps(self, pixels):
        red = pixels[..., 0].astype(np.float64)
        yield np.exp(red / 7) + red / 3e9


def one_by_one(score, picture, x_edges, y_edges):
    """The scores of cells, from maps of the whole picture, weighted pixel by pixel."""
    planes = [np.asarray(plane, np.float64) for plane in score.maps(picture)]
    height, width = picture.shape[:2]

    def weights(begin, end, length):
        places = np.arange(length)
        return np.clip(np.minimum(places + 1, end) - np.maximum(places, begin), 0, None)

    means = np.array(
        [
            [
                [
                    weights(*y, height)
                    @ plane
                    @ weights(*x, width)
                    / ((y[1] - y[0]) * (x[1] - x[0]))
                    for x in x_edges
                ]
                for y in y_edges
            ]
            for plane in planes
        ]
    )
    if not hasattr(score, "value"):
        return means[0]
    return score.value(means.reshape(len(means), -1)).reshape(means.shape[1:])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("scale", [1.0, 2.5, 3.7])
def test_scores_are_means_over_exact_footprints(fake_reader, name, scale):
    picture = noise(331, 217)
    reader = fake_reader(picture, mpp=1.0)
    axes = axes_of(reader, TileSpec((40, 33), (27, 33), MPP(1.0)))
    score = ALL[name](mpp=scale)
    found = measured({name: score}, reader, axes, everywhere(axes), MPP(1.0))
    small = reader.read_region((0, 0), (math.ceil(331 / scale), math.ceil(217 / scale)), MPP(scale))
    if scale != 1:  # the last pixels are partly outside
        small[:, -1], small[-1] = small[:, -2], small[-2]
    edges = [np.stack([at, at + side], axis=1) / scale for at, side in ((axes.x, 40), (axes.y, 33))]
    np.testing.assert_allclose(found[name], one_by_one(score, small, *edges), rtol=1e-9, atol=1e-9)


@settings(max_examples=3 * settings().max_examples // 8)
@given(data=st.data())
def test_a_score_depends_on_its_own_pixels_alone(fake_reader, data):
    """To the last bit, whichever cells are wanted, and however strips are cut."""
    scale = data.draw(st.sampled_from([None, 2.0, 2.004, 3.7, 90.0]))
    size = Size(data.draw(st.integers(5, 90)), data.draw(st.integers(5, 90)))
    stride = Size(data.draw(st.integers(11, 120)), data.draw(st.integers(11, 120)))
    edge = data.draw(st.sampled_from(["drop", "pad", "shift"]))
    reader = fake_reader(PICTURE[:167, :241], mpp=1.0, background=(243, 240, 238))
    spec = TileSpec(size, stride, MPP(1.0), edge=edge)
    axes = axes_of(reader, spec)
    shape = len(axes.y), len(axes.x)
    names = data.draw(st.sets(st.sampled_from([*ALL, "mean"]), max_size=2)) | {"stain", "fine"}
    scores = {name: {**ALL, "mean": Mean, "fine": Fine}[name](mpp=scale) for name in names}
    seed = data.draw(st.integers(0, 999))
    wanted = np.random.default_rng(seed).random(shape) < data.draw(st.sampled_from([0.05, 0.5, 1]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "_STRIP_PIXELS", data.draw(st.integers(1, 300)))
        alone = measured(scores, reader, axes, np.ones(shape, bool), MPP(1.0), threads=1)
        patch.setattr(measure, "_GROUP_PIXELS", data.draw(st.integers(1, 300)))
        patch.setattr(measure, "_MAP_PIXELS", data.draw(st.integers(3, 300)))
        threads = data.draw(st.integers(1, 3))
        some = measured(scores, reader, axes, wanted, MPP(1.0), threads=threads)
    for name in scores:
        assert np.array_equal(some[name], np.where(wanted, alone[name], np.nan), equal_nan=True)


PICTURE = noise(457, 311, seed=5)


def test_only_strips_of_wanted_cells_are_read_once(fake_reader):
    reader = fake_reader(PICTURE, mpp=1.0)
    axes = axes_of(reader, TileSpec(64, 16, MPP(1.0)))
    wanted = np.zeros((len(axes.y), len(axes.x)), bool)
    wanted[3:5, 2] = wanted[3, 4] = wanted[9, 20] = True
    scores = {"blur": Blur(mpp=None), "white": White(mpp=None), "entropy": Entropy(mpp=1.0)}
    measured(scores, reader, axes, wanted, MPP(1.0))
    area, margins = 96 * 64 + 64 * 16 + 64 * 64, 0
    shapes = [shape for _, shape, *_ in reader.reads if shape != (1, 1)]
    margins = sum(2 * (width + height + 2) for width, height in shapes)
    assert area <= sum(width * height for width, height in shapes) <= area + margins
    assert len(shapes) <= 6


@pytest.mark.parametrize("scale", [None, 2.0])
def test_cells_that_cannot_be_read_leave_others_as_they_are(fake_reader, scale):
    """Unreadable are those whose pixels, or their neighbours, touch what is broken."""
    broken = (300, 200)
    spec = TileSpec((40, 33), (27, 33), MPP(1.0))
    scores = {"blur": Blur(mpp=scale), "mean": Mean(mpp=scale), "white": White(mpp=scale)}
    whole = fake_reader(PICTURE, mpp=1.0)
    axes = axes_of(whole, spec)
    expected = measured(scores, whole, axes, everywhere(axes), MPP(1.0))
    causes = {}
    reader = fake_reader(PICTURE, mpp=1.0, broken=[broken])
    found = measured(scores, reader, axes, everywhere(axes), MPP(1.0), 2, unreadable=causes)
    with pytest.raises(ReadError):
        measured(scores, reader, axes, everywhere(axes), MPP(1.0))

    near = [
        (at[:, None] - 4 <= place) & (place < at[:, None] + side + 4)
        for at, side, place in zip((axes.x, axes.y), spec.size, broken, strict=True)
    ]
    inside = [
        (at <= place) & (place < at + side)
        for at, side, place in zip((axes.x, axes.y), spec.size, broken, strict=True)
    ]
    bad = np.zeros(found["blur"].shape, bool)
    bad[tuple(np.transpose([*causes]))] = True
    assert (bad >= np.outer(inside[1], inside[0])).all()
    assert (bad <= np.outer(near[1], near[0])).all()
    assert all("broken" in cause for cause in causes.values())
    for name in scores:
        assert np.array_equal(found[name], np.where(bad, np.nan, expected[name]), equal_nan=True)


def test_cells_that_are_not_wanted_are_not_measured(fake_reader):
    reader = fake_reader(PICTURE, mpp=1.0)
    axes = axes_of(reader, TileSpec(64, 64, MPP(1.0)))
    found = measured(ALONE, reader, axes, np.zeros((len(axes.y), len(axes.x)), bool), MPP(1.0))
    assert not reader.reads
    assert all(np.isnan(values).all() for values in found.values())
    assert measured({}, reader, axes, everywhere(axes), MPP(1.0)) == {}


@pytest.mark.parametrize("edge", ["drop", "pad", "shift"])
@pytest.mark.parametrize("name", [*ALL, "mean"])
def test_at_the_target_resolution_a_cell_has_the_pixels_of_its_tile(fake_reader, name, edge):
    """The Laplacian of the outermost pixels is that of the slide around them, or of the tile."""
    reader = fake_reader(PICTURE, PICTURE[::2, ::2], mpp=0.5)
    spec = TileSpec((100, 70), resolution=Level(1), edge=edge)
    axes = axes_of(reader, spec)
    score = {**ALONE, "mean": Mean(mpp=None)}[name]
    shape = len(axes.y), len(axes.x)
    found = measured({name: score}, reader, axes, np.ones(shape, bool), Level(1))[name]
    width, height = reader.level_dimensions[1]
    for row, y in enumerate(axes.y.tolist()):
        for column, x in enumerate(axes.x.tolist()):
            tile = reader.read_region((x, y), (100, 70), Level(1), bounded=False)
            if name == "mean":
                expected = score.score(tile)
            else:
                around = tile
                if name == "blur":  # up to the margin: of what lies inside the slide
                    left, top = max(0, x - 1), max(0, y - 1)
                    right, bottom = min(width, x + 101), min(height, y + 71)
                    around = reader.read_region(
                        (left, top), (right - left, bottom - top), Level(1), bounded=False
                    )
                    planes = []
                    for plane in score.maps(around):
                        whole = np.zeros((70, 100))  # beyond the slide nothing is sharp
                        part = plane[y - top :, x - left :][:70, :100]
                        whole[: part.shape[0], : part.shape[1]] = part
                        planes.append(whole)
                else:
                    planes = list(score.maps(around))
                means = np.array([[plane.mean(dtype=np.float64)] for plane in planes])
                expected = score.value(means)[0] if hasattr(score, "value") else means[0, 0]
            assert found[row, column] == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_padding_is_background_and_its_border_is_no_edge(fake_reader):
    flat = np.full((100, 100, 3), (150, 60, 120), np.uint8)
    reader = fake_reader(flat, mpp=1.0)
    axes = axes_of(reader, TileSpec(80, resolution=MPP(1.0), edge="pad"))
    found = measured(ALONE, reader, axes, np.ones((2, 2), bool), MPP(1.0))
    assert found["blur"].tolist() == [[0, 0], [0, 0]]
    assert found["white"].tolist() == [[0, 0.75], [0.75, 0.9375]]


def test_a_cell_larger_than_the_slide_is_measured(fake_reader):
    reader = fake_reader(PICTURE[:9, :7], mpp=1.0)
    axes = axes_of(reader, TileSpec(512, resolution=MPP(1.0), edge="pad"))
    scores = {**{name: kind(mpp=64.0) for name, kind in ALL.items()}, "mean": Mean(mpp=64.0)}
    found = measured(scores, reader, axes, np.ones((1, 1), bool), MPP(1.0))
    assert all(np.isfinite(values).all() for values in found.values())
    assert found["white"][0, 0] > 0.99


def test_limits_are_inclusive_and_unmeasured_cells_do_not_pass():
    values = np.array([[0.0, 1.0, 1.5], [2.0, 3.0, np.nan]])
    assert passes(Blur(min=1, max=2), values).tolist() == [[0, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"min": "x"}, "filter.blur.min='x' is not a number; use a number, or null"),
        ({"max": math.nan}, "filter.blur.max=nan is not a number"),
        ({"min": 3, "max": 2}, "filter.blur.min=3 is above filter.blur.max=2"),
        ({"mpp": 0}, "filter.blur.mpp=0 is invalid; use a positive number, or null"),
    ],
)
def test_invalid_limits_are_named(settings, text):
    with pytest.raises(ConfigError, match=text.replace(".", r"\.")):
        Blur(**settings)
    with pytest.raises(ConfigError, match=r"filter\.white\.level=256 is out of range"):
        White(level=256)


def test_an_unavailable_resolution_names_the_filter(fake_reader):
    axes = axes_of(fake_reader(PICTURE, mpp=1.0), TileSpec(64, resolution=MPP(1.0)))
    wanted = everywhere(axes)
    with pytest.raises(ResolutionError) as caught:
        measured({"sharp": Blur()}, fake_reader(PICTURE), axes, wanted, Level(0))
    assert "filter.sharp.mpp=1 needs the slide's mpp" in caught.value.in_config()
    assert "set filter.sharp.mpp=null" in caught.value.in_config()
    assert "reader.mpp" in caught.value.in_config()
    with pytest.raises(ResolutionError, match=r"filter\.sharp\.mpp=0\.5 is finer than the scan"):
        measured({"sharp": Blur(mpp=0.5)}, fake_reader(PICTURE, mpp=1.0), axes, wanted, MPP(1.0))
    enlarging = fake_reader(PICTURE, mpp=1.0, allow_upsampling=True)
    assert np.isfinite(measured({"a": Blur(mpp=0.5)}, enlarging, axes, wanted, MPP(1.0))["a"]).all()


@pytest.mark.parametrize(
    ("method", "returned", "text"),
    [
        ("score", math.nan, "score returned nan for the cell in row 1, column 2 of the grid;"
         " return a finite number"),
        ("score", None, "score returned a NoneType"),
        ("maps", [np.zeros((2, 2))], r"maps returned an array of float64 and shape \(2, 2\)"),
        ("maps", [1.0], "maps returned a float"),
        ("maps", [], "maps returned 0 maps; yield one, or add value"),
    ],
)  # fmt: skip
def test_what_a_users_score_returns_is_checked(fake_reader, method, returned, text):
    @dataclass(frozen=True, kw_only=True)
    class Own(Limits):
        pass

    setattr(Own, method, lambda self, pixels: returned)
    reader = fake_reader(PICTURE, mpp=1.0)
    axes = axes_of(reader, TileSpec(64, resolution=MPP(1.0)))
    wanted = np.zeros((len(axes.y), len(axes.x)), bool)
    wanted[1, 2] = True
    with pytest.raises(ComponentError, match=r"filter\.mine: .*Own\." + text):
        measured({"mine": Own()}, reader, axes, wanted, MPP(1.0))
    with pytest.raises(ConfigError, match=r"filter\.mine: .*Limits has neither maps\(pixels\)"):
        measured({"mine": Limits()}, reader, axes, wanted, MPP(1.0))


@pytest.mark.parametrize("edge", ["shift", "pad"])
def test_a_part_of_a_pixel_at_the_slides_end_has_the_slides_colour(fake_reader, edge):
    """At 3 µm the slide is 33 1/3 pixels wide: background is not averaged into the last one."""
    flat = np.full((70, 100, 3), (150, 60, 120), np.uint8)
    reader = fake_reader(flat, mpp=1.0)
    axes = axes_of(reader, TileSpec(50, resolution=MPP(1.0), edge=edge))
    scores = {"blur": Blur(mpp=3.0), "saturation": Saturation(mpp=3.0), "white": White(mpp=3.0)}
    found = measured(scores, reader, axes, everywhere(axes), MPP(1.0))
    padding = [0, 0.6] if edge == "pad" else [0, 0]
    assert found["blur"].tolist() == [[0, 0], [0, 0]]
    assert found["white"].tolist() == [[share] * 2 for share in padding]
    expected = [[(1 - share) * 153 / 255] * 2 for share in padding]
    np.testing.assert_allclose(found["saturation"], expected, rtol=1e-9)
