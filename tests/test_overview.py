"""The picture of a slide: frames at the tiles, complete labels, and a correct scale bar."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from command import read_csv, tiler
from conftest import ArrayReader
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from tracked import COMMON, picture

from tiler import Level, TileExtractor, TileSpec, open_slide
from tiler.exporters.pictures.drawing import (
    BELOW,
    DROPPED,
    HATCHES,
    KEPT,
    MASK,
    UNREADABLE,
    Line,
    crosses,
    frames,
    is_dark,
    outline,
    union,
)
from tiler.exporters.pictures.legend import Entry, scale_bar, with_legend
from tiler.exporters.pictures.overview import _by_pattern, draw_overview
from tiler.geometry import Size
from tiler.masks import OtsuMask
from tiler.stages import as_regions

ROOT = Path(__file__).parent.parent
KINDS = {
    "kept": KEPT,
    "below": BELOW,
    "unreadable": UNREADABLE,
    "dropped": DROPPED,
    "mask": MASK,
}
SIDES = st.tuples(st.integers(1, 30), st.integers(1, 40)).map(lambda s: Size(*s))
BOXES = st.lists(st.tuples(*[st.integers(-10, 45)] * 2, *[st.integers(0, 25)] * 2), max_size=6).map(
    lambda boxes: np.array(boxes, np.int64).reshape(-1, 4)
)


def bounded(value: int, length: int) -> int:
    return min(max(value, 0), length - 1)


@given(SIDES, BOXES)
def test_frames_are_the_edges_of_boxes_moved_into_the_picture(size: Size, boxes) -> None:
    edges, area = (np.zeros((size.height, size.width), bool) for _ in range(2))
    for x, y, width, height in boxes.tolist():
        x0, x1 = bounded(x, size.width), bounded(x + width, size.width)
        y0, y1 = bounded(y, size.height), bounded(y + height, size.height)
        edges[y0, x0 : x1 + 1] = edges[y1, x0 : x1 + 1] = True
        edges[y0 : y1 + 1, x0] = edges[y0 : y1 + 1, x1] = True
        area[y0 : y1 + 1, x0 : x1 + 1] = True
    assert np.array_equal(frames(boxes, size), edges)
    assert np.array_equal(union(boxes, size), area)


@given(SIDES, BOXES, st.sampled_from([1, 3]), st.booleans())
def test_lines_transpose(size: Size, boxes, width: int, dashed: bool) -> None:
    line, turned = Line((0, 0, 0), (0, 0, 0), width, dashed), boxes[:, [1, 0, 3, 2]]
    for draw in (frames, union):
        one = line.drawn(draw(boxes, size))
        assert np.array_equal(line.drawn(draw(turned, Size(*size[::-1]))), one.T)
    assert np.array_equal(outline(union(boxes, size)).T, outline(union(boxes, size).T))


def test_dashes_leave_half_of_a_line() -> None:
    where = frames(np.array([[10, 10, 200, 100]]), Size(300, 200))
    dashes = BELOW.drawn(where)
    assert not (dashes & ~where).any()
    assert 0.45 < dashes.sum() / where.sum() < 0.55
    assert KEPT.drawn(where).sum() > 2.5 * where.sum()


def counted(pixels: np.ndarray, line: Line) -> tuple[int, int]:
    """Count the pixels with a line's colours, for bright and for dark places."""
    return tuple(int((pixels == colour).all(axis=2).sum()) for colour in (line.bright, line.dark))


def drawn(grey: int, mpp: float | None = 0.5) -> np.ndarray:
    """A slide of one grey with kept tiles and cells of every other decision."""
    slide = ArrayReader(np.full((200, 300, 3), grey, np.uint8), mpp=mpp)
    extractor = TileExtractor(TileSpec((60, 50), resolution=Level(0)), mask_threshold=0)
    regions = extractor.extract(slide)
    left_out = {
        "below_threshold": regions[2:4],
        "unreadable": regions[7:8],
        "filter:blur": regions[8:10],
        "not_sampled": regions[11:12],
    }
    return draw_overview(slide, regions[:2], left_out, np.eye(4, 6, dtype=bool), 400)


@pytest.mark.parametrize("grey", [0, 40, 200, 255])
def test_lines_are_light_on_dark_and_dark_on_light(grey: int) -> None:
    pixels = drawn(grey)[:200, :300]
    for line in KINDS.values():
        bright, dark = counted(pixels, line)
        assert (dark > 50 and not bright) if grey < 90 else (bright > 50 and not dark)
    for line in KINDS.values():
        assert np.mean(line.bright) + 60 < np.mean(line.dark)


def test_a_half_dark_slide_has_lines_of_two_colours() -> None:
    pixels = np.full((240, 480, 3), 240, np.uint8)
    pixels[:, 240:] = 10
    slide = ArrayReader(pixels)
    regions = TileExtractor(TileSpec(60, resolution=Level(0))).extract(slide)
    seen = draw_overview(slide, regions, {}, np.ones((1, 1), bool), 480)[:240]
    (bright, _), (_, dark) = counted(seen[:, :238], KEPT), counted(seen[:, 242:], KEPT)
    assert bright == pytest.approx(dark, rel=0.05)
    assert counted(seen[:, :230], KEPT)[1] == counted(seen[:, 250:], KEPT)[0] == 0


def test_frames_are_at_the_tiles() -> None:
    slide = ArrayReader(np.full((500, 900, 3), 230, np.uint8), bounds=(100, 60, 600, 400))
    regions = TileExtractor(TileSpec((200, 100), resolution=Level(0))).extract(slide)
    seen = draw_overview(slide, regions[4:5], {}, np.zeros((1, 1), bool), 300)  # at a half
    where = (seen[:200, :300] == KEPT.bright).all(axis=2)
    (x, y), (x0, y0) = regions[4].location, slide.bounds[:2]
    across, down = where.any(axis=0).nonzero()[0], where.any(axis=1).nonzero()[0]
    assert (across[0] + 1, across[-1] - 1) == ((x - x0) // 2, (x - x0 + 200) // 2)
    assert (down[0] + 1, down[-1] - 1) == ((y - y0) // 2, (y - y0 + 100) // 2)


def test_tiles_smaller_than_their_frames_are_outlined_together() -> None:
    slide = ArrayReader(np.full((320, 480, 3), 230, np.uint8))
    regions = TileExtractor(TileSpec(4, resolution=Level(0))).extract(slide)
    seen = draw_overview(slide, regions, {}, np.ones((1, 1), bool), 480)
    assert counted(seen[20:300, 20:460], KEPT) == (0, 0)
    assert counted(seen[:320], KEPT)[0] > 2 * (320 + 480)


@pytest.mark.parametrize("grey", [20, 230])
@pytest.mark.parametrize("side", [12, 60])
def test_each_reason_has_a_pattern_of_its_own(grey: int, side: int) -> None:
    slide = ArrayReader(np.full((4 * side, 5 * side, 3), grey, np.uint8))
    regions = TileExtractor(TileSpec(side, resolution=Level(0)), mask_threshold=0).extract(slide)
    names = [*(f"filter:{n}" for n in range(7)), "label", "not_sampled"]
    left_out = {name: regions[n : n + 1] for n, name in enumerate(names)}
    seen = draw_overview(slide, regions[19:], left_out, np.ones((1, 1), bool), 5 * side)
    times = max(1, min(256, 5 * side) // (5 * side))
    lit = [(seen == colour).all(axis=2) for colour in (DROPPED.bright, DROPPED.dark)][grey < 90]
    inner = []
    for n in range(len(names)):
        y, x = n // 5 * side * times, n % 5 * side * times
        inner.append(lit[y + 2 : y + side * times - 2, x + 2 : x + side * times - 2])
    shares = [cell.mean() for cell in inner]
    assert all(0.02 < share < 0.6 for share in shares), "the slide is seen between the lines"
    spectra = [np.abs(np.fft.fft2(cell)).ravel()[1:] for cell in inner]
    for one in range(5):
        for other in range(one):
            alike = np.corrcoef(spectra[one], spectra[other])[0, 1]
            assert alike < 0.9, (one, other)
    kept = lit[3 * side + 3 : 4 * side - 3, 4 * side + 3 : 5 * side - 3]
    assert not kept.any(), "no pattern covers a kept tile"


def test_the_legend_lists_every_reason_with_its_count() -> None:
    regions = TileExtractor(TileSpec(10, resolution=Level(0)), mask_threshold=0).extract(
        ArrayReader(np.zeros((50, 50, 3), np.uint8))
    )
    others = {f"filter:f{n}": regions[: n + 1] for n in range(6)} | {"label": regions[:9]}
    texts = list(_by_pattern({**others, "not_sampled": []}))
    assert texts[0] == "dropped by f0: 1"
    assert texts[-1] == "dropped by others: f5 6, label 9"
    assert len(texts) == HATCHES
    assert list(_by_pattern({"not_sampled": regions[:3]})) == ["not sampled: 3"]


@pytest.mark.parametrize("side", [1, 2, 16, 100, 255])
def test_a_very_small_slide_is_enlarged_and_its_scale_stays_true(side: int) -> None:
    pixels = np.random.default_rng(0).integers(100, 255, (side, side, 3), np.uint8)
    slide = ArrayReader(pixels, mpp=0.5)
    seen = draw_overview(slide, [], {}, np.ones((1, 1), bool), 1600)
    times = 256 // side
    big = pixels.repeat(times, axis=0).repeat(times, axis=1)
    inside = seen[2 : side * times - 2, 2 : side * times - 2]
    assert np.array_equal(inside, big[2:-2, 2:-2])
    small = draw_overview(slide, [], {}, np.ones((1, 1), bool), max(16, side))
    assert small[: side * (max(16, side) // side)].shape[0] <= max(16, side)


# --- legend and scale


@given(st.integers(1, 4000), st.floats(1e-3, 1e4))
def test_a_scale_bar_has_a_round_length_and_is_drawn_to_scale(longest: int, mpp: float) -> None:
    length, name = scale_bar(longest, mpp)
    number, unit = name.split()
    assert unit in ("um", "mm")
    microns = float(number) * {"um": 1, "mm": 1000}[unit]
    assert f"{microns:e}"[0] in "125"
    assert length == round(microns / mpp)
    assert longest / 2.5 - 1 <= length <= longest + 1


@given(
    st.integers(1, 900),
    st.integers(1, 500),
    st.lists(st.integers(0, 10**7), min_size=1, max_size=4),
    st.sampled_from([None, 0.25, 37.0]),
    st.booleans(),
)
@example(354, 1, [100, 100_000, 100_000], None, False)  # a row would end at the edge
def test_no_label_is_cut_and_none_covers_the_picture(width, height, numbers, mpp, dark) -> None:
    slide = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    entries = [Entry(KEPT, f"kept: {n:,}") for n in numbers] + [Entry(MASK, "tissue", "line")]
    seen = with_legend(slide, entries, mpp, dark=dark)
    assert np.array_equal(seen[:height, :width], slide)
    strip = seen[height:]
    paper = strip[-1, -1]
    rim = [strip[:, :3], strip[:, -3:], strip[:3], strip[-3:]]
    assert all((part == paper).all() for part in rim), "ink at the edge would be cut"
    words = with_legend(slide[:, :1], entries, mpp, dark=dark)[height:]
    ink = [int((part != paper).any(axis=2).sum()) for part in (strip, words)]
    if mpp is None and min(width, height) > 1:
        assert ink[0] >= 0.9 * ink[1], "however it is laid out, all of it is there"


def test_the_scale_is_that_of_the_picture() -> None:
    with_scale, without = drawn(230, mpp=2.0), drawn(230, mpp=None)
    assert with_scale[:200, :300].tobytes() == without[:200, :300].tobytes()
    strip = (with_scale[200:] < 60).all(axis=2)
    longest = max(
        max((len(run) for run in "".join("x" if v else " " for v in row).split()), default=0)
        for row in strip
    )
    assert longest == 50, "0.1 mm at 2 um"


def test_a_picture_of_a_dark_slide_has_a_dark_legend() -> None:
    assert drawn(20)[-1, -1].max() < 60
    assert drawn(230)[-1, -1].min() == 255


# --- in a run

LAB = """
import json
import numpy as np
from tiler.errors import ReadError
from tiler.protocols import Exported
from tiler.readers import ImageReader
from tiler.written import WrittenFile
from tiler.files import write_whole


class Mask:
    def generate(self, source):
        mask = np.zeros((4, 6), bool)
        mask[:2] = True
        mask[2] = [True, False] * 3
        return mask[:, :, None].repeat(2, 2).reshape(4, 12)


class Reader(ImageReader):
    def read_region(self, location, shape, resolution, bounded=True):
        if tuple(location) == (16, 16):
            raise ReadError(self.name, "scratched")
        return super().read_region(location, shape, resolution, bounded)


class Tells:
    per_tile = False

    def export(self, source, regions, mask, folder):
        raise AssertionError("export_all is there")

    def export_all(self, source, regions, left_out, mask, folder):
        told = {why: [r.location for r in some] for why, some in left_out.items()}
        told["kept"] = [r.location for r in regions]
        data = json.dumps(told).encode()
        return Exported((WrittenFile("told.json", *write_whole(folder / "told.json", data)),))
"""


def test_an_exporter_that_shows_left_out_cells_gets_them(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code/lab.py").write_text(LAB)
    picture(tmp_path)
    env = {
        "TILER_TARGETS": "lab",
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "code"), str(ROOT)]),
    }
    words = [*COMMON, "reader=image", "reader._target_=lab.Reader", "mask._target_=lab.Mask",
             "tile.size=32", "tile.stride=16", "threshold=0.6", "exporter=[images,overview]",
             "+exporter.own._target_=lab.Tells", "on_bad_tile=drop",
             "max_bad_fraction=1", "out=out"]  # fmt: skip
    done = tiler(*words, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "out/slides/pic/told.json").read_text())
    (row,) = read_csv(tmp_path / "out/slides.csv")
    assert told["unreadable"] == [[16, 16]]
    assert len(told["kept"]) == int(row["kept"])
    assert 0 < len(told["below_threshold"]) <= int(row["below_threshold"])
    everything = [tuple(place) for places in told.values() for place in places]
    assert len(everything) == len(set(everything)) <= int(row["candidates"])
    assert (tmp_path / "out/slides/pic/pic_overview.jpg").is_file()


@pytest.mark.parametrize(
    ("name", "dark"),
    [("CMU-1-Small-Region.svs", False),
     pytest.param("TCGA-CR-7395-01A-01-TS1.svs", False, marks=pytest.mark.slow),
     ("test3-DAPI-2-(387).ndpi", True), ("small.svs", False)],
)  # fmt: skip
def test_real_slides(name: str, dark: bool, shared_slides: Path) -> None:
    with open_slide(shared_slides / name) as slide:
        extractor = TileExtractor(TileSpec(256, resolution=Level(0)), mask_provider=OtsuMask())
        regions = extractor.extract(slide)
        cells = extractor.walk(slide, extractor.make_mask(slide))
        some = (cells.ratios > 0) & (cells.ratios < 0.5)
        below = as_regions(cells, some, Level(0))
        left_out = {"below_threshold": below, "unreadable": ()}
        seen = draw_overview(slide, regions, left_out, extractor.mask_, 600)
        assert (is_dark(slide.thumbnail(Size(60, 70))).mean() > 0.5) == dark
    bright, light = counted(seen, KEPT)
    if regions:
        assert (light > 10 * bright) if dark else (bright > 10 * light)
        assert sum(counted(seen, BELOW)) > 100
    assert not sum(counted(seen, UNREADABLE))
    Image.fromarray(seen)  # RGB, complete


def test_crosses_are_the_diagonals() -> None:
    seen = crosses(np.array([[3, 4, 10, 10]]), Size(20, 25), 1)
    assert {(x, y) for y, x in np.argwhere(seen).tolist()} == {
        place for i in range(11) for place in ((3 + i, 4 + i), (3 + i, 14 - i))
    }
