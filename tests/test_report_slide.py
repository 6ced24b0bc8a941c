"""The data and the pictures of a slide in the report."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from conftest import ArrayReader
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from judge import make_judge
from PIL import Image, ImageDraw
from report_data import read_script, unpacked

from tiler import MPP, Level, TileExtractor, TileSpec, open_slide
from tiler.errors import OpenError, ReadError
from tiler.exporters import CsvExporter, ImagesExporter
from tiler.exporters.pictures.drawing import KEPT
from tiler.exporters.tables.candidates import CandidatesExporter
from tiler.geometry import Box, Size
from tiler.grid import Cells
from tiler.labels import AnnotationLabels
from tiler.masks import FileMask, OtsuMask
from tiler.protocols import Pixels, Sampler, WSIReader
from tiler.report.arrays import packed, script
from tiler.report.slide.judged import Judged
from tiler.report.slide.outline import outline0
from tiler.report.slide.recorded import Recorded
from tiler.report.slide.samples import choose
from tiler.report.slide.task import SlideReport, SlideReportTask
from tiler.runner.engines import SerialEngine
from tiler.runner.run import run
from tiler.runner.store import arrays
from tiler.runner.store.record_file import load_record
from tiler.runner.work.job import DroppedTile, SlideJob
from tiler.runner.work.plan import plan_slide
from tiler.runner.work.worker_state import WorkerState
from tiler.samplers import All, Random, Spread, Top
from tiler.scores import Blur, White
from tiler.scores.limits import Limits
from tiler.selection import Rules, decide
from tiler.spec import Edge
from tiler.transforms import Macenko

SIDE = 64


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a slide with two pieces of tissue of different texture, 900 x 620 pixels."""
    path = tmp_path_factory.mktemp("report") / "a.tiff"
    noise = np.random.default_rng(3)
    pixels = np.full((620, 900, 3), 245, np.uint8)
    y, x = np.mgrid[:620, :900]
    left = (x - 260) ** 2 / 200**2 + (y - 250) ** 2 / 180**2 < 1
    right = (x - 690) ** 2 / 120**2 + (y - 420) ** 2 / 160**2 < 1
    pixels[left] = noise.integers(60, 200, (left.sum(), 3)) // [1, 2, 1]
    pixels[right] = [190, 90, 160]
    tifffile.imwrite(path, pixels, tile=(128, 128), photometric="rgb")
    return path


@pytest.fixture(autouse=True)
def no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # the machine does not crash here


FILTERS = {"blur": Blur(min=5, mpp=None), "white": White(max=0.3, mpp=None)}
RULES = ("context", "filters", "sampler", "labels", "mask_provider", "mask_threshold")


def job_of(path: Path, reader: Any = open_slide, **changed: Any) -> SlideJob:
    """Return a job; rules of its extractor and fields of its own can be changed."""
    own: dict[str, Any] = {
        "mask_provider": OtsuMask(), "mask_threshold": 0.4, "filters": FILTERS,
    }  # fmt: skip
    spec = changed.pop("spec", TileSpec(SIDE, resolution=Level(0)))
    rules = {key: changed.pop(key) for key in RULES if key in changed}
    extractor = TileExtractor(spec, **{**own, **rules})
    plain = {
        "filter": {
            name: {"_target_": type(one).__name__}
            for name, one in (extractor.filters or {}).items()
        }
    }
    fields = {"exporters": {"csv": CsvExporter()}, "settings": plain, "slide_id": "a", **changed}
    return SlideJob(path, open_reader=reader, extractor=extractor, **fields)


@dataclass
class Made:
    """A slide's part of a report, and its data as a page reads it."""

    report: SlideReport
    data: dict[str, Any]
    folder: Path

    def column(self, name: str) -> np.ndarray:
        return unpacked(self.data["columns"][name]).reshape(self.shape)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.data["y"]), len(self.data["x"])

    @property
    def decision(self) -> np.ndarray:
        codes = unpacked(self.data["decision"]).reshape(self.shape)
        return np.array(self.data["reasons"], object)[codes]


def made(job: SlideJob, folder: Path, n: int = 12, **given: Any) -> Made:
    report = SlideReportTask(job, folder, n, **given).run(WorkerState())
    name, data = read_script((folder / f"data/slides/{n:06d}.js").read_bytes())
    assert name == f"slide/{n}"
    assert {file.name for file in report.files} == {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    }
    return Made(report, data, folder)


def decided(one: Made, **changed: Any) -> np.ndarray:
    """Decide again about every cell, with the data of the page and rules that were moved."""
    rules, ratio = {**one.data["rules"], **changed}, one.column("ratio")
    found = np.full(one.shape, "kept", object)
    found[ratio < rules["threshold"]] = "below_threshold"
    for limits in rules["filters"]:
        bad = np.isnan(one.column(f"score_{limits['name']}"))
        found[(found == "kept") & bad] = "unreadable"
    for limits in rules["filters"]:
        scores = one.column(f"score_{limits['name']}")
        low = -np.inf if limits["min"] is None else limits["min"]
        high = np.inf if limits["max"] is None else limits["max"]
        reason = f"filter:{limits['name']}"
        found[(found == "kept") & ~((scores >= low) & (scores <= high))] = reason
    if rules["keep"] is not None:
        found[(found == "kept") & ~np.isin(one.column("label"), rules["keep"])] = "label"
    if rules["sampler"]:
        sample(one, rules["sampler"], found)
    return found


def sample(one: Made, sampler: dict[str, Any], found: np.ndarray) -> None:
    assert sampler["exact"]
    rank, left = one.column("sampler_rank"), found == "kept"
    by = sampler["by"] if sampler["name"] == "random" else None
    groups = np.zeros(one.shape) if by is None else one.column(by)
    for value in set(groups[left].tolist()):
        group = left & (groups == value)
        count = int(np.floor((sampler["fraction"] or 1) * group.sum() + 0.5))
        ranks = np.sort(rank[group])[: count if sampler["n"] is None else min(count, sampler["n"])]
        found[group & ~np.isin(rank, ranks)] = "not_sampled"


def test_the_page_decides_as_the_run_does_and_has_its_boxes(slide: Path, tmp_path: Path) -> None:
    job = job_of(slide, exporters={"csv": CsvExporter(), "candidates": CandidatesExporter()})
    assert run([job], tmp_path / "out", SerialEngine(), {}).exit_code == 0
    one = made(job, tmp_path / "report")
    assert (decided(one) == one.decision).all()
    assert len(np.unique(one.decision)) > 3
    (path,) = (tmp_path / "out/slides/a").glob("*candidates.csv")
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert len(rows) == one.decision.size
    for line in rows:
        row, column = int(line["row"]), int(line["column"])
        for name, at in (("x", column), ("x0", column), ("width0", column),
                         ("y", row), ("y0", row), ("height0", row)):  # fmt: skip
            assert one.data[name][at] == int(line[name])
        assert one.decision[row, column] == line["decision"]
        assert one.column("ratio")[row, column] == float(line["ratio"])
        if line["decision"] != "below_threshold":
            assert one.column("score_blur")[row, column] == float(line["score_blur"])


SAMPLERS: dict[str, Sampler | None] = {
    "none": None,
    "random": Random(n=9, seed=4),
    "random by": Random(n=3, by="tissue_id"),
    "fraction": Random(fraction=0.3),
    "top": Top(n=7, by="score_blur"),
}


@pytest.fixture(scope="module")
def reports(slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that makes the report of a run with one of the samplers, once."""

    @cache
    def report(name: str) -> Made:
        folder = tmp_path_factory.mktemp("made")
        return made(job_of(slide, sampler=SAMPLERS[name]), folder)

    return report


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache of masks and grids."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("name", SAMPLERS)
@settings(max_examples=6)
@given(data=st.data())
def test_sliders_decide_as_a_run_with_these_limits(
    slide: Path, reports: Any, masks: Path, name: str, data: st.DataObject
) -> None:
    one = reports(name)
    ratios = np.unique(one.column("ratio"))
    threshold = data.draw(st.sampled_from(ratios[ratios > 0].tolist()))
    low = data.draw(st.sampled_from(np.unique(one.column("score_blur")).tolist()[:-1]))
    high = data.draw(st.floats(0.01, 1))
    filters = {"blur": Blur(min=low, mpp=None), "white": White(max=high, mpp=None)}
    job = job_of(
        slide, mask_threshold=threshold, filters=filters, sampler=SAMPLERS[name], cache=masks
    )
    candidates = plan_slide(job, lambda: open_slide(slide, name="a"), all_cells=True).candidates
    assert candidates is not None
    moved = [{"name": "blur", "min": low, "max": None}, {"name": "white", "min": None, "max": high}]
    assert (decided(one, threshold=threshold, filters=moved) == candidates.decision.text()).all()


def test_at_threshold_zero_all_cells_are_measured(slide: Path, tmp_path: Path) -> None:
    one = made(job_of(slide, mask_threshold=0), tmp_path)
    assert one.data["rules"]["measured_from"] == 0
    assert not np.isnan(one.column("score_blur")).any()
    low = made(job_of(slide), tmp_path / "low")
    nothing = low.column("ratio") == 0
    assert nothing.any()
    assert (np.isnan(low.column("score_blur")) == nothing).all()
    assert 0 < low.data["rules"]["measured_from"] < 1e-300


class Elsewhere(Random):
    """A sampler of a user that inherits one of tiler's."""


@pytest.mark.parametrize(
    ("sampler", "name"),
    [(Spread(n=3), "spread"), (Elsewhere(n=3), f"{Elsewhere.__module__}.Elsewhere")],
)
def test_samplers_without_an_order_are_not_exact(
    slide: Path, tmp_path: Path, sampler: Sampler, name: str
) -> None:
    one = made(job_of(slide, sampler=sampler), tmp_path)
    expected = {"name": name, "n": 3, "fraction": None, "by": None, "exact": False}
    assert one.data["rules"]["sampler"] == expected
    assert "sampler_rank" not in one.data["columns"]
    assert (one.decision == "kept").sum() == 3


def test_a_sampler_that_keeps_all_is_none(slide: Path, tmp_path: Path) -> None:
    one = made(job_of(slide, sampler=All()), tmp_path)
    assert one.data["rules"]["sampler"] is None


@dataclass(frozen=True)
class Broken:
    """Opens a slide; reads that touch one of some level-0 pixels fail."""

    places: Sequence[tuple[int, int]] = ()
    thumbnail: bool = True

    def __call__(self, path: Path, *, name: str | None = None) -> WSIReader:
        reader = open_slide(path, name=name)
        read = reader.read_region

        def read_region(location: Any, shape: Any, resolution: Any, bounded: bool = True) -> Pixels:
            x, y = location
            for bad_x, bad_y in self.places:
                if x <= bad_x < x + shape[0] and y <= bad_y < y + shape[1]:
                    raise ReadError("a", f"broken at ({bad_x}, {bad_y})", 0, bad_x, bad_y)
            return read(location, shape, resolution, bounded)

        def thumbnail(size: Any) -> Pixels:
            raise ReadError("a", "no thumbnail", 0, 0, 0)

        reader.read_region = read_region
        if not self.thumbnail:
            reader.thumbnail = thumbnail
        return reader


def centre(one: Made, row: int, column: int) -> tuple[int, int]:
    return one.data["x0"][column] + SIDE // 2, one.data["y0"][row] + SIDE // 2


def test_a_damaged_cell_below_the_threshold_costs_its_score_alone(
    slide: Path, tmp_path: Path
) -> None:
    whole = made(job_of(slide), tmp_path / "whole")
    ratio = whole.column("ratio")
    row, column = np.argwhere((ratio > 0) & (ratio < 0.4))[3].tolist()
    one = made(job_of(slide, Broken([centre(whole, row, column)])), tmp_path / "broken")
    scores = one.column("score_blur")
    assert np.isnan(scores[row, column])
    expected = whole.column("score_blur").copy()
    expected[row, column] = np.nan
    assert np.array_equal(scores, expected, equal_nan=True)
    assert (one.decision == whole.decision).all()


def test_a_sample_that_cannot_be_read_is_named(slide: Path, tmp_path: Path) -> None:
    whole = made(job_of(slide), tmp_path / "whole")
    kinds = [sample["kind"] for sample in whole.data["samples"]]
    worst = whole.data["samples"][kinds.index("barely_dropped")]
    place = centre(whole, worst["row"], worst["column"])
    one = made(job_of(slide, Broken([place])), tmp_path / "broken")
    found = one.data["samples"][kinds.index("barely_dropped")]
    assert found["src"] == ""
    assert "broken at" in found["reason"]
    assert [sample["kind"] for sample in one.data["samples"]] == kinds
    assert all(sample["src"] for sample in one.data["samples"] if sample != found)


def test_without_a_picture_the_data_are_there(slide: Path, tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.new("L", (90, 62), 255).save(path)
    one = made(
        job_of(slide, Broken(thumbnail=False), mask_provider=FileMask(str(path))), tmp_path / "r"
    )
    assert one.data["view"] is None
    assert not (tmp_path / "r/pictures").exists()
    assert one.report.problems == ("no picture: no thumbnail",)
    assert (decided(one) == one.decision).all()


class Refuses(Limits):
    """A score that some cells of little tissue do not have."""

    def score(self, pixels: Pixels) -> float:
        value = float((pixels.mean(axis=2) < 240).mean())
        return value if value > 0.2 else float("nan")


def test_a_score_that_refuses_low_cells_leaves_them_unknown(slide: Path, tmp_path: Path) -> None:
    one = made(job_of(slide, filters={"own": Refuses(min=0.3)}), tmp_path)
    assert one.data["rules"]["measured_from"] == 0.4
    assert (np.isnan(one.column("score_own")) == (one.column("ratio") < 0.4)).all()
    assert re.match(
        "no scores below the threshold: filter.own: .* returned nan", *one.report.problems
    )


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_report_changes_no_run(slide: Path, tmp_path: Path) -> None:
    """What the report keeps in the cache is of no use to a run, and of no harm."""
    exporters = {
        "csv": CsvExporter(),
        "candidates": CandidatesExporter(),
        "images": ImagesExporter(),
    }
    for threshold in (0.4, 0.1):
        job = job_of(slide, mask_threshold=threshold, exporters=exporters)
        cached = replace(job, cache=tmp_path / "cache")
        for name, one in (("cached", cached), ("plain", job)):
            arrays._held.clear()
            assert run([one], tmp_path / f"{name}{threshold}", SerialEngine(), {}).exit_code == 0
        slides = [tree(tmp_path / f"{name}{threshold}/slides") for name in ("cached", "plain")]
        assert slides[0] == slides[1]
        reports = [
            made(one, tmp_path / f"report of {name} at {threshold}").folder
            for name, one in (("cached", cached), ("plain", job), ("again", cached))
        ]
        first, *others = map(tree, reports)
        assert all(other == first for other in others)


def test_the_cache_saves_the_reads_of_low_cells(slide: Path, tmp_path: Path) -> None:
    job = replace(job_of(slide), cache=tmp_path / "cache")
    first = made(job, tmp_path / "first")
    arrays._held.clear()
    place = centre(
        first, *np.argwhere((first.column("ratio") > 0) & (first.column("ratio") < 0.4))[3]
    )
    broken = replace(job, open_reader=Broken([place]))
    again = made(broken, tmp_path / "again")
    assert again.data["columns"] == first.data["columns"]


HOSTILE = ["</script><script>alert(1)</script>", "\"><img src=x onerror='1'>", "a\u2028b\u2029&lt;",
           "caf\udce9", "\x1b[31m\u202egpj", "<!--"]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(slide: Path, tmp_path: Path, name: str) -> None:
    row = {"slide_id": name, name: name, "n": 1, "nothing": None, "bad": float("nan")}
    one = made(job_of(slide, slide_id=name), tmp_path, row=row)
    assert one.data["slide_id"] == name
    assert one.data["row"] == {**row, "bad": None}
    assert all(
        re.fullmatch(r"\w+(/\w+)?/000012\w*\.(js|json|jpg)", file.name) for file in one.report.files
    )


@given(st.text() | st.lists(st.floats() | st.text() | st.none() | st.integers(-(2**53), 2**53)))
def test_scripts_read_back_as_they_are(value: Any) -> None:
    def without_nan(item: Any) -> Any:
        return None if isinstance(item, float) and not np.isfinite(item) else item

    expected = [without_nan(item) for item in value] if isinstance(value, list) else value
    assert read_script(script("some/name", value)) == ("some/name", expected)


@given(
    hnp.arrays(
        st.sampled_from(["f8", "f4", "i8", "u1", "?", "i2"]),
        hnp.array_shapes(max_dims=2, min_side=0),
    )
)
def test_packed_numbers_are_the_same(values: np.ndarray) -> None:
    found = packed(values)
    wide = values.dtype.kind in "iu" and values.size and abs(values.astype(float)).max() >= 2**31
    assert found["type"] == ("f8" if values.dtype.kind == "f" or wide else
                             "u1" if values.dtype in ("u1", "?") else "i4")  # fmt: skip
    assert np.array_equal(
        unpacked(found).reshape(values.shape), values, equal_nan=values.dtype.kind == "f"
    )


@given(st.lists(st.text()))
def test_packed_texts_are_the_same(texts: list[str]) -> None:
    found = unpacked(packed(np.array([*texts, None], object)[:-1]))
    assert found.tolist() == texts


REAL = {
    "CMU-1-Small-Region.svs": TileSpec(200, 150, MPP(0.7)),
    "TCGA-CR-7395-01A-01-TS1.svs": TileSpec(256, resolution=Level(0), edge=Edge.PAD),
    "test3-DAPI-2-(387).ndpi": TileSpec(256, resolution=Level(1)),
    "boxes.tiff": TileSpec(32, resolution=Level(0)),
    "boxes_0.dcm": TileSpec(32, resolution=Level(0)),
    "small.svs": TileSpec(64, resolution=Level(0)),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * name.startswith("TCGA")) for name in REAL],
)
def test_real_slides(shared_slides: Path, tmp_path: Path, name: str) -> None:
    job = job_of(shared_slides / name, spec=REAL[name], cache=tmp_path / "cache")
    plan = plan_slide(job, lambda: open_slide(job.path, name="a"), all_cells=True)
    one = made(job, tmp_path / "r")
    assert plan.candidates is not None
    assert (one.decision == plan.candidates.decision.text()).all()
    assert (decided(one) == one.decision).all()
    regions = plan.candidates.regions(REAL[name].resolution)
    for region in regions:
        row, column = region.columns["row"], region.columns["column"]
        places = zip(("x0", "y0", "width0", "height0"), (column, row, column, row), strict=True)
        assert tuple(one.data[key][at] for key, at in places) == region.box0
    for sample in one.data["samples"]:
        if sample["src"]:
            picture = Image.open(tmp_path / "r" / sample["src"])
            assert picture.size == tuple(one.data["size"])
    card, view = (
        Image.open(tmp_path / "r" / part / "000012.jpg") for part in ("pictures", "views")
    )
    assert max(card.size) <= 320
    assert view.size == (one.data["view"]["width"], one.data["view"]["height"])
    assert max(view.size) <= 1600
    assert card.size[0] / card.size[1] == pytest.approx(view.size[0] / view.size[1], rel=0.1)


@dataclass(frozen=True)
class InMemory:
    """Opens a slide in memory, whatever the path is."""

    pixels: np.ndarray
    bounds: tuple[int, int, int, int] | None = None
    mpp: float | None = None

    def __call__(self, path: Path, *, name: str | None = None) -> WSIReader:
        return ArrayReader(self.pixels, bounds=self.bounds, mpp=self.mpp, name=name or "a")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the file of a slide in memory."""
    path = tmp_path / "any.svs"
    path.write_bytes(b"any")
    return path


def test_bounds_and_a_fractional_downsample(file: Path, tmp_path: Path, coded_slide: Any) -> None:
    reader = InMemory(coded_slide(500, 410), (101, 53, 333, 290), mpp=0.25)
    spec = TileSpec(37, 29, MPP(0.4), edge=Edge.PAD)
    one = made(job_of(file, reader, spec=spec, mask_provider=None, filters={}), tmp_path / "r")
    assert one.data["bounds"] == [101, 53, 333, 290]
    assert (one.data["view"]["width"], one.data["view"]["height"]) == (333, 290)
    view = np.asarray(Image.open(tmp_path / "r/views/000012.jpg"), int)
    assert abs(view - coded_slide(500, 410)[53:343, 101:434]).mean() < 12
    for x, x0, width0 in zip(one.data["x"], one.data["x0"], one.data["width0"], strict=True):
        assert (x0, x0 + width0) == (round(x * 1.6), round((x + 37) * 1.6))
    assert one.data["outline"] == [[101, 53, 434, 53, 434, 343, 101, 343]]


def test_context_changes_nothing(slide: Path, tmp_path: Path) -> None:
    plain, in_context = (
        made(job_of(slide, lambda path, name: open_slide(path, name=name, mpp=0.5),
                    spec=TileSpec(SIDE, resolution=MPP(0.5)), context=context), tmp_path / name)
        for name, context in (("plain", ()), ("context", (MPP(1), MPP(2))))
    )  # fmt: skip
    assert tree(plain.folder) == tree(in_context.folder)
    assert plain.data["mpp"] == 0.5


@pytest.mark.parametrize(
    "changed",
    [
        {"mask_provider": FileMask("black.png")},
        {"spec": TileSpec(2000, resolution=Level(0))},
        {"filters": {}, "mask_provider": FileMask("black.png")},
    ],
)
def test_slides_without_tissue_or_cells(
    slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("L", (90, 62)).save("black.png")
    one = made(job_of(slide, **changed), tmp_path / "r")
    assert one.data["samples"] == []
    assert (one.data["outline"] == []) == ("mask_provider" in changed)
    assert (decided(one) == one.decision).all()
    assert (tmp_path / "r/pictures/000012.jpg").exists()


def test_labels(slide: Path, tmp_path: Path) -> None:
    ring = [[100, 100], [500, 100], [500, 400], [100, 400], [100, 100]]
    shape = {"type": "Polygon", "coordinates": [ring]}
    named = {"classification": {"name": "</script>"}}
    feature = {"type": "Feature", "geometry": shape, "properties": named}
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    labels = AnnotationLabels(path=str(path), keep=["</script>"])
    one = made(job_of(slide, labels=labels, filters={}), tmp_path / "r")
    assert [*one.data["columns"]] == ["ratio", "tissue_id", "label_</script>", "label"]
    assert {"kept", "label", "below_threshold"} == {*one.decision.ravel()}
    assert (decided(one) == one.decision).all()
    assert [sample["kind"] for sample in one.data["samples"]][-1] == "dropped"
    assert one.data["samples"][-1]["reason"] == "label (none) is not kept"


def test_samples_are_what_they_say(slide: Path, tmp_path: Path) -> None:
    one = made(job_of(slide), tmp_path)
    ratio, blur, white = (one.column(name) for name in ("ratio", "score_blur", "score_white"))
    kept, below = one.decision == "kept", one.decision == "below_threshold"
    cells = {
        sample["src"]: (sample["kind"], (sample["row"], sample["column"]))
        for sample in one.data["samples"]
    }
    assert len({place for _, place in cells.values()}) == len(cells)
    values = {src: {"ratio": ratio[place], "blur": blur[place], "white": white[place]}
              for src, (_, place) in cells.items()}  # fmt: skip
    for sample in one.data["samples"]:
        assert sample["columns"]["ratio"] == values[sample["src"]]["ratio"]
    barely = [values[src] for src, (kind, _) in cells.items() if kind == "barely_kept"]
    assert min(one["ratio"] for one in barely) == ratio[kept].min()
    assert min(one["blur"] for one in barely) == blur[kept].min()
    assert max(one["white"] for one in barely) == white[kept].max()
    (src,) = (src for src, (kind, _) in cells.items() if kind == "barely_dropped")
    assert values[src]["ratio"] == ratio[below].max()
    dropped = {one.decision[place]: values[src] for src, (kind, place) in cells.items()
               if kind == "dropped"}  # fmt: skip
    reasons = " / ".join(sample["reason"] for sample in one.data["samples"])
    assert ", closest to its min of 5 /" in reasons
    assert ", below its min of 5 /" in reasons
    assert ", above its max of 0.3" in reasons
    assert ", threshold 0.4 /" in reasons
    assert dropped["filter:blur"]["blur"] == blur[one.decision == "filter:blur"].max()
    assert dropped["filter:white"]["white"] == white[one.decision == "filter:white"].min()
    for src, (_, (row, column)) in cells.items():
        x, y = one.data["x0"][column], one.data["y0"][row]
        with open_slide(slide) as reader:
            expected = reader.read_region((x, y), (SIDE, SIDE), Level(0)).astype(int)
        assert (
            abs(np.asarray(Image.open(tmp_path / src), int) - expected).mean() < 9
        )  # JPEG of noise


@given(data=st.data())
def test_any_cells_have_the_samples_that_there_can_be(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    few = st.sampled_from([0.0, 0.25, 0.5, 1.0])

    def draw() -> np.ndarray:
        return data.draw(hnp.arrays("f8", shape, elements=few))

    values = {"score_a": draw(), "score_b": draw()}
    y, x = (np.arange(length) * 8 for length in shape)
    edges = [np.stack([one, one + 8.0], axis=1) for one in (x, y)]
    cells = Cells(x, y, *edges, Size(8, 8), 1.0, draw(), values)
    limits = st.tuples(few, few).map(sorted)
    filters = {name: Limits(min=low, max=high) for name, (low, high) in
               data.draw(st.fixed_dictionaries({"a": limits, "b": limits})).items()}  # fmt: skip
    decision = decide(cells, Rules(0.5, filters), "a")
    samples = choose(Judged(cells, decision.reasons, decision.codes), 0.5, filters)
    text = decision.text()
    found = {(sample.row, sample.column): sample.kind for sample in samples}
    assert len(found) == len(samples)
    for place, kind in found.items():
        expected = {"barely_dropped": "below_threshold"}.get(kind, "kept")
        assert kind == "dropped" or text[place] == expected
    shown = set(text[cells.ratios > 0])
    assert ("kept" in shown) == ("kept" in found.values())
    assert ("below_threshold" in shown) == ("barely_dropped" in found.values())
    dropped = [text[place] for place, kind in found.items() if kind == "dropped"]
    assert sorted(dropped) == sorted(one for one in shown if one.startswith("filter:"))


@given(st.floats(0, 1), st.integers(2, 17), st.booleans())
def test_rounded_numbers_of_a_sample_are_on_their_side_of_the_limit(
    limit: float, digits: int, above: bool
) -> None:
    limit = float(f"{limit:.{digits}g}")
    value = np.nextafter(limit, 2 if above else -1)
    ratios = np.full((1, 1), value)
    cells = Cells(*[np.zeros(1, int)] * 2, *[np.zeros((1, 2))] * 2, Size(8, 8), 1.0, ratios, {})
    codes = np.full((1, 1), 0 if above else 1, np.uint8)
    for sample in choose(Judged(cells, ("kept", "below_threshold"), codes), limit, {}):
        if "threshold" in sample.reason:
            shown = [float(part.split()[-1]) for part in sample.reason.split(",")]
            assert shown[1] == limit
            assert (shown[0] > limit) == above


@pytest.mark.parametrize("raw", [False, True])
def test_samples_are_transformed_as_the_tiles_are(slide: Path, tmp_path: Path, raw: bool) -> None:
    exporters = {"images": ImagesExporter()}
    settings = {"exporter": {"images": {"transform": {"macenko": {}}}}}
    transform = Macenko() if raw else Macenko(mpp=None)  # the slide has no mpp
    job = job_of(slide, filters={}, exporters=exporters, settings=settings,
                 transforms={"macenko": transform}, on_bad_fit="raw")  # fmt: skip
    assert run([job], tmp_path / "out", SerialEngine(), {}).exit_code == 0
    one = made(job, tmp_path / "r")
    kept = [sample for sample in one.data["samples"] if sample["kind"].endswith("kept")]
    assert kept
    for sample in kept:
        assert ("the tiles are not transformed" in sample["reason"]) == raw
        x, y = one.data["x"][sample["column"]], one.data["y"][sample["row"]]
        (path,) = (tmp_path / "out/slides/a").rglob(f"*{x}*{y}*.png")
        pair = [np.asarray(Image.open(one), int) for one in (path, tmp_path / "r" / sample["src"])]
        assert abs(pair[0] - pair[1]).mean() < 9  # JPEG of noise


@pytest.mark.parametrize("side", [60, 1500])
def test_the_outline_is_that_of_the_mask(slide: Path, tmp_path: Path, side: int) -> None:
    noise = np.random.default_rng(5).normal(size=(9, 13))
    mask = np.asarray(Image.fromarray(noise).resize((side * 90 // 62, side), 3)) > 0.2
    path = tmp_path / "mask.png"
    Image.fromarray(mask).save(path)
    one = made(job_of(slide, mask_provider=FileMask(str(path)), filters={}), tmp_path / "r")
    drawn = np.zeros((620, 900), bool)
    for ring in one.data["outline"]:
        picture = Image.new("1", (900, 620))
        ImageDraw.Draw(picture).polygon([*zip(ring[::2], ring[1::2], strict=True)], fill=1)
        drawn ^= np.asarray(picture)
    expected = np.asarray(Image.fromarray(mask).resize((900, 620), 0))
    assert (drawn != expected).mean() < 0.02
    assert sum(map(len, one.data["outline"])) < 4000


def test_the_outline_of_noise_stays_small() -> None:
    noise = np.random.default_rng(0).random((1600, 1600)) < 0.5
    rings = outline0(noise, Box(0, 0, 16000, 16000), Size(1600, 1600))
    assert 1000 < sum(map(len, rings)) < 400_000


@pytest.mark.parametrize("dark", [False, True])
def test_the_card_shows_kept_tiles_on_any_slide(file: Path, tmp_path: Path, dark: bool) -> None:
    pixels = np.full((800, 900, 3), 8 if dark else 240, np.uint8)
    mask = tmp_path / "mask.png"
    Image.fromarray(np.pad(np.full((40, 40), True), ((20, 20), (20, 30)))).save(mask)
    job = job_of(file, InMemory(pixels), spec=TileSpec(100, resolution=Level(0)), filters={},
                 mask_provider=FileMask(str(mask)))  # fmt: skip
    one = made(job, tmp_path / "r")
    card = np.asarray(Image.open(tmp_path / "r/pictures/000012.jpg"), int)
    colour = np.array(KEPT.dark if dark else KEPT.bright)
    lines = abs(card - colour).max(axis=2) < 40
    scale = card.shape[1] / 900
    y, x = np.nonzero(lines)
    rows, columns = np.nonzero(one.decision == "kept")
    assert len(rows) >= 16
    assert abs(y.min() - rows.min() * 100 * scale) < 3
    assert abs(x.max() - (columns.max() + 1) * 100 * scale) < 3
    inside = card[int(450 * scale), int(450 * scale)]
    assert abs(inside - pixels[0, 0]).max() > 15, "kept tiles are tinted"


def test_a_tile_that_the_run_lost_is_unreadable(slide: Path, tmp_path: Path) -> None:
    job = job_of(slide, filters={})
    plan = plan_slide(job, lambda: open_slide(slide, name="a"), all_cells=True)
    (x, y), facts = plan.regions.locations[2].tolist(), plan.shared
    recorded = Recorded(facts.source, facts.inputs, "", (1, 1), plan.row.candidates,
                        plan.row.kept, (DroppedTile(x, y, "lost"),))  # fmt: skip
    one = made(job, tmp_path, recorded=recorded)
    row, column = one.data["y"].index(y), one.data["x"].index(x)
    assert one.decision[row, column] == "unreadable"
    assert (one.decision != decided(one)).sum() == 1
    assert (row, column) not in [(a["row"], a["column"]) for a in one.data["samples"]]


@pytest.mark.parametrize("filters", [FILTERS, {}])
def test_tiles_that_a_run_drops_are_unreadable_on_the_page(
    slide: Path, tmp_path: Path, filters: Any
) -> None:
    """A filter cannot read them, or an exporter of tiles."""
    whole = made(job_of(slide, filters=filters), tmp_path / "whole")
    row, column = np.argwhere(whole.decision == "kept")[1].tolist()
    exporters = {"csv": CsvExporter(), "images": ImagesExporter()}
    job = job_of(slide, Broken([centre(whole, row, column)]), filters=filters, exporters=exporters,
                 on_bad_tile="drop", max_bad_fraction=0.5)  # fmt: skip
    assert run([job], tmp_path / "out", SerialEngine(), {}).exit_code == 0
    record = load_record(tmp_path / "out/slides/a")
    one = made(job, tmp_path / "report", recorded=Recorded.of(record))
    assert one.data["stale"] == ""
    assert one.decision[row, column] == "unreadable"
    counts = [(one.decision == reason).sum() for reason in ("kept", "unreadable")]
    assert counts == [record.counts.written, record.counts.failed]
    assert counts[1] == 1


def test_a_report_says_what_changed_since_the_run(slide: Path, tmp_path: Path) -> None:
    path, mask = tmp_path / "a.tiff", tmp_path / "mask.png"
    path.write_bytes(slide.read_bytes())
    Image.new("L", (90, 62), 255).save(mask)
    job = job_of(path, mask_provider=FileMask(str(mask)), filters={})
    assert run([job], tmp_path / "out", SerialEngine(), {}).exit_code == 0
    recorded = Recorded.of(load_record(tmp_path / "out/slides/a"))

    def stale(n: int) -> str:
        one = made(job, tmp_path / str(n), recorded=recorded)
        assert one.data["stale"] == one.report.stale
        return one.report.stale

    assert stale(0) == ""
    job = replace(job, code={"mask": "new"})
    recorded = replace(recorded, code={"mask": "old", "exporter.other": "old"})
    assert stale(3) == (
        "since the run, your own code changed: mask; run again to see what tiler would write now"
    )
    job = replace(job, code={})
    Image.new("L", (90, 62), 0).save(mask)
    assert stale(1) == (
        "since the run, other files changed: mask.png; the mask differs; 0 of 126 cells pass"
        " all rules now, and 126 of 126 did; run again to see what tiler would write now"
    )
    Image.new("L", (90, 62), 255).save(mask)
    path.write_bytes(slide.read_bytes() + b"more")
    assert stale(2) == (
        "since the run, the slide's file changed; run again to see what tiler would write now"
    )


def test_what_cannot_be_planned_fails_and_leaves_nothing(slide: Path, tmp_path: Path) -> None:
    for job in (job_of(tmp_path / "none.svs"), job_of(slide, problem="is not here")):
        with pytest.raises(OpenError):
            SlideReportTask(job, tmp_path / "r", 0).run(WorkerState())
    assert not (tmp_path / "r").exists()


def test_task_and_result_travel(slide: Path, tmp_path: Path) -> None:
    task = pickle.loads(pickle.dumps(SlideReportTask(job_of(slide), tmp_path, 3)))
    result = task.run(WorkerState())
    assert pickle.loads(pickle.dumps(result)) == result
    for file in result.files:
        assert (tmp_path / file.name).stat().st_size == file.size


MOVED = {
    "lower": (0.15, {"blur": Blur(min=30), "white": White(max=0.95)}, None),
    "stricter": (0.62, {"blur": Blur(min=900), "white": White(max=0.5)}, None),
    "without limits": (0.4, {"blur": Blur(min=None), "white": White(max=None)}, None),
    "sampled": (0.05, {"blur": Blur(min=100), "white": White(max=0.7)}, Random(n=11, seed=2)),
    "best": (0.3, {"blur": Blur(max=2500), "white": White(max=0.8)}, Top(n=7, by="score_white")),
}


@pytest.mark.slow
def test_the_pages_own_code_writes_the_tables_of_runs_with_moved_sliders(
    shared_slides: Path, tmp_path: Path
) -> None:
    judge = make_judge(tmp_path)
    cases, tables = [], []
    for name, (threshold, filters, sampler) in MOVED.items():
        own: dict[str, Any] = {
            "spec": TileSpec(200, resolution=MPP(0.5)), "sampler": sampler,
            "slide_id": "a<b>, é", "cache": tmp_path / "cache",
        }  # fmt: skip
        path = shared_slides / "CMU-1-Small-Region.svs"
        one = made(job_of(path, filters={"blur": Blur(), "white": White()}, **own), tmp_path / name)
        moved = job_of(path, mask_threshold=threshold, filters=filters, **own)
        assert run([moved], tmp_path / f"out {name}", SerialEngine(), {}).exit_code == 0
        (table,) = (tmp_path / f"out {name}/slides").rglob("*.csv")
        rules = {**one.data["rules"], "threshold": threshold, "filters": [
            {"name": key, "min": limits.min, "max": limits.max, "mpp": limits.mpp}
            for key, limits in filters.items()
        ]}  # fmt: skip
        cases.append({"slide": one.data, "rules": rules})
        tables.append(table.read_text())
    assert len(set(tables)) == len(tables)
    for found, table in zip(judge(cases), tables, strict=True):
        assert found["kept_csv"] == table
