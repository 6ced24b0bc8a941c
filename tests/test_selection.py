"""The decision about every cell: laws of the rules, counts that add up, and one read of pixels."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from command import read_csv, tiler
from conftest import ArrayReader
from hypothesis import given, settings
from hypothesis import strategies as st

from tiler import Level, TileExtractor, TileSpec
from tiler.cover.tissue import tissue_ids
from tiler.errors import ArgumentError, ComponentError, SlideError
from tiler.geometry import Size
from tiler.grid import Cells, coverage
from tiler.protocols import Tiles
from tiler.samplers import All, Random, Spread, Top
from tiler.scores import White
from tiler.selection import Rules, decide, tiles_of
from tiler.slides.demo import write_demo_slide


@dataclass(frozen=True)
class Limited:
    """A score with limits only: its values are in the cells already."""

    min: float | None = None
    max: float | None = None
    mpp: float | None = None


@dataclass(frozen=True)
class Kept:
    """Labels with a rule only."""

    keep: tuple[str, ...] | None

    def shares(self, source, columns, rows):
        return {}

    def assigned(self, shares):
        return None


SAMPLERS = st.sampled_from(
    [All(), Random(n=5, seed=3), Random(fraction=0.3), Top(n=7), Spread(n=4)]
)
LIMITS = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(lambda pair: Limited(*sorted(pair)))


@st.composite
def grids(draw) -> Cells:
    """Cells of a lopsided grid with two scores, labels and pieces of tissue."""
    shape = draw(st.integers(1, 6)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = {
        "tissue_id": rng.integers(0, 3, shape),
        "label": rng.choice(np.array(["", "tumor", "stroma"], object), shape),
        "score_one": rng.random(shape).round(1),
        "score_two": rng.random(shape),
    }
    x, y = np.arange(shape[1]) * 40, np.arange(shape[0]) * 30
    edges = [np.stack([at, at + 10.0], axis=1) for at in (x, y)]
    return Cells(x, y, *edges, Size(10, 10), 1.0, rng.random(shape).round(1), values)


@given(grids(), st.floats(0, 1).map(lambda t: round(t, 1)), LIMITS, LIMITS, SAMPLERS,
       st.sampled_from([None, (), ("tumor",), ("tumor", "stroma")]))  # fmt: skip
def test_the_first_rule_that_a_cell_fails_is_its_reason(cells, threshold, one, two, sampler, keep):
    rules = Rules(threshold, {"one": one, "two": two}, Kept(keep), sampler)
    found = decide(cells, rules, "slide")
    assert sum(found.counts.values()) == cells.ratios.size
    text = found.text()
    for place in np.ndindex(cells.ratios.shape):
        fails = {
            "below_threshold": cells.ratios[place] < threshold,
            "filter:one": not one.min <= cells.values["score_one"][place] <= one.max,
            "filter:two": not two.min <= cells.values["score_two"][place] <= two.max,
            "label": keep is not None and cells.values["label"][place] not in keep,
        }
        expected = next((rule for rule, failed in fails.items() if failed), None)
        assert text[place] == expected or (
            expected is None and text[place] in ("kept", "not_sampled")
        )
    left = (text == "kept") | (text == "not_sampled")
    assert (found.kept[left] == sampler.choose(tiles_of(cells, left, "slide"))).all()
    assert found.counts["kept"] == found.kept.sum()


@given(grids(), st.floats(0, 1))
def test_a_score_that_is_not_a_number_passes_no_limits(cells, threshold):
    values = {**cells.values, "score_one": np.full(cells.ratios.shape, np.nan)}
    blind = Cells(**{**vars(cells), "values": values})
    found = decide(blind, Rules(threshold, {"one": Limited()}), "slide")
    assert not found.kept.any()


def test_an_invalid_result_of_a_sampler_is_named():
    cells = Cells(
        np.arange(3),
        np.arange(2),
        np.zeros((3, 2)),
        np.zeros((2, 2)),
        Size(1, 1),
        1.0,
        np.ones((2, 3)),
    )

    class Wrong:
        def choose(self, tiles: Tiles):
            return np.ones(len(tiles))

    with pytest.raises(ComponentError, match=r"Wrong.choose returned float64 of shape \(6,\)"):
        decide(cells, Rules(0.0, sampler=Wrong()), "a")
    with pytest.raises(SlideError, match=r"slide=a: sampler\.by=score_blur is not a column"):
        decide(cells, Rules(0.0, sampler=Top(n=1, by="score_blur")), "a")


# --- pieces of tissue


@given(st.integers(0, 2**32), st.integers(3, 40), st.integers(3, 30), st.floats(1.5, 9))
@settings(max_examples=3 * settings().max_examples // 4)
def test_a_cell_belongs_to_the_piece_that_covers_most_of_it(seed, width, height, side):
    mask = np.random.default_rng(seed).random((height, width)) < 0.35
    x = np.arange(0, width, side)[:, None] + [[0, side]]
    y = np.arange(-1, height, side)[:, None] + [[0, side]]
    ids = tissue_ids(mask, x, y)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    order = np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable") + 1
    assert ids.shape == (len(y), len(x))
    assert ids.max(initial=0) < count
    shares = np.stack([coverage(pieces == piece, x, y) for piece in order]) if count > 1 else None
    assert ((ids == 0) == (coverage(mask, x, y) < 1e-9)).all()
    for place in zip(*np.nonzero(ids), strict=True):
        best = shares[(slice(None), *place)]
        assert best[ids[place] - 1] >= best.max() - 1e-6


def test_pieces_are_numbered_from_the_largest():
    mask = np.zeros((20, 30), bool)
    mask[2:4, 2:4] = mask[10:19, 1:9] = mask[3:9, 20:26] = True
    edges = np.arange(0, 30, 5)[:, None] + [[0, 5]]
    ids = tissue_ids(mask, edges, edges[:4])
    assert ids[0, 0] == 3
    assert ids[1, 4] == 2
    assert ids[3, 1] == 1
    assert ids[0, 2] == 0


# --- the class


def painted(name: str = "fake") -> ArrayReader:
    """A slide of 300 x 200 pixels: glass, with coloured tissue on the left."""
    pixels = np.full((200, 300, 3), 245, np.uint8)
    pixels[:, :180] = (170, 90, 150)
    pixels[40:60, 20:60] = 250
    return ArrayReader(pixels, mpp=0.5, name=name)


def test_the_class_decides_as_the_command_does_and_lists_all_cells():
    extractor = TileExtractor(
        TileSpec((30, 20), resolution=Level(0)),
        mask_threshold=0,
        filters={"white": White(max=0.5, mpp=None)},
        sampler=Random(n=20, seed=1),
    )
    regions = extractor.extract(painted())
    table = extractor.candidates_
    assert len(regions) == 20 == (table["decision"] == "kept").sum()
    assert len(table["decision"]) == 100
    dropped = table["decision"] == "filter:white"
    assert ((table["score_white"] > 0.5) == dropped).all()
    assert (table["x"] >= 180)[dropped].sum() == 40
    first = regions[0]
    where = (table["row"] == first.columns["row"]) & (table["column"] == first.columns["column"])
    assert (table["x"][where].item(), table["y"][where].item()) == first.location
    assert first.columns.keys() == {"row", "column", "tissue_id", "score_white"}


def test_the_tables_of_the_class_have_all_columns(tmp_path):
    extractor = TileExtractor(
        TileSpec((30, 20), resolution=Level(0)), filters={"white": White(mpp=None)}
    )
    regions = extractor.extract(painted())
    (row, *_) = rows = read_csv(extractor.to_csv(tmp_path))
    (item, *_) = items = json.loads(extractor.to_json(tmp_path).read_text())
    assert [*row] == [*item] == [
        "slide", "x", "y", "width", "height", "resolution", "ratio", "x0", "y0", "width0",
        "height0", "row", "column", "tissue_id", "score_white",
    ]  # fmt: skip
    assert len(rows) == len(items) == len(regions)
    assert [float(one["score_white"]) for one in rows] == [one["score_white"] for one in items]


def test_a_slide_without_kept_tiles_names_the_rules_that_dropped_them(tmp_path):
    extractor = TileExtractor(
        TileSpec((30, 20), resolution=Level(0)),
        filters={"white": White(min=0.99, max=None, mpp=None)},
        sampler=Random(n=0),
    )
    assert extractor.extract(painted()) == []
    with pytest.raises(RuntimeError, match=r"100 tiles reach .* \(white 59, not_sampled 41\)"):
        extractor.to_csv(tmp_path)


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ({"filters": [White()]}, "not a mapping"),
        ({"filters": {"white": 0.5}}, "neither maps"),
        ({"labels": "tumor"}, "no shares and no assigned"),
        ({"sampler": Random}, "an instance"),
        ({"sampler": 5}, "no choose"),
    ],
)
def test_objects_of_the_wrong_kind_are_refused(argument, text):
    with pytest.raises(ArgumentError, match=text):
        TileExtractor(TileSpec(30, resolution=Level(0)), **argument)


# --- the command

FILTERS = "filter=[white,blur,pen]"


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three small slides: parts of the synthetic one, which differ in width."""
    folder = tmp_path_factory.mktemp("slides")
    for number in range(3):
        write_demo_slide(folder / f"s{number}.svs", Size(1280 + 256 * number, 1024))
    return folder


def words(slides: Path, *more: str) -> list[str]:
    return ["slides=files", f"slides.paths={slides}", "tile.size=64", "resolution.value=1", *more]


def rows_of(out: Path) -> list[dict[str, str]]:
    return read_csv(out / "slides.csv")


def adds_up(row: dict[str, str]) -> bool:
    out = sum(int(n) for name, n in row.items() if name.startswith("dropped") and n)
    parts = int(row["kept"]), int(row["below_threshold"]), int(row["not_sampled"]), out
    return int(row["candidates"]) == sum(parts)


def test_candidates_tell_why_each_cell_was_dropped(slides, tmp_path):
    done = tiler(*words(slides, FILTERS, "filter.blur.min=300", "sampler=random", "sampler.n=3",
                        "exporter=[csv,candidates]", "out=out"), cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    for row in rows_of(tmp_path / "out"):
        folder = tmp_path / "out/slides" / row["slide_id"]
        cells = read_csv(folder / f"{row['slide_id']}_candidates.csv")
        tiles = read_csv(folder / f"{row['slide_id']}.csv")
        assert adds_up(row)
        assert len(cells) == int(row["candidates"])
        counted = {one["decision"]: 0 for one in cells}
        for one in cells:
            counted[one["decision"]] += 1
        for decision, column in (
            ("kept", "kept"), ("below_threshold", "below_threshold"),
            ("filter:white", "dropped_white"), ("filter:blur", "dropped_blur"),
            ("filter:pen", "dropped_pen"), ("not_sampled", "not_sampled"),
        ):  # fmt: skip
            assert counted.get(decision, 0) == int(row[column]), decision
        assert counted["filter:blur"] > 0
        kept = [one for one in cells if one.pop("decision") == "kept"]
        assert kept == tiles
        assert len(tiles) == 3


@pytest.mark.slow
def test_a_sweep_over_limits_and_samplers_reads_pixels_once(slides, tmp_path):
    two = [f"slides.paths=[{slides}/s0.svs,{slides}/s2.svs]", FILTERS]
    done = tiler("-m", *words(slides, *two, "filter.blur.min=250,900", "threshold=0.7,0.4",
                 "sampler=random,spread", "sampler.n=9", "out=sweep"), cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    definition = json.loads((tmp_path / "sweep/sweep.json").read_text())
    assert len(definition["jobs"]) == 8
    assert definition["shared"] == {
        "masks made": 2, "masks reused": 14, "grids made": 2, "grids reused": 14,
        "scores made": 6, "scores reused": 42,
    }  # fmt: skip
    rows = read_csv(tmp_path / "sweep/sweep.csv")
    assert len(rows) == 16
    assert all(map(adds_up, rows))
    kept = {}
    for row in rows:
        limits = float(row["filter.blur.min"]), float(row["threshold"])
        kept[row["slide_id"], row["sampler"], *limits] = int(row["kept"])
    for (slide, sampler, blur, threshold), count in kept.items():
        assert count >= kept[slide, sampler, 900.0, threshold]
        assert count >= kept[slide, sampler, blur, 0.7]
    alone = tiler(*words(slides, *two, "filter.blur.min=250", "threshold=0.4", "sampler=random",
                         "sampler.n=9", "out=alone"), cwd=tmp_path)  # fmt: skip
    assert alone.returncode == 0, alone.stderr
    for row in rows_of(tmp_path / "alone"):
        assert int(row["kept"]) == kept[row["slide_id"], "random", 250.0, 0.4]


@pytest.mark.slow
def test_a_changed_limit_or_sampler_redoes_slides_without_their_pixels(slides, tmp_path):
    for more in (["filter.blur.min=10"], ["filter.blur.min=400"], ["sampler=top", "sampler.n=3"]):
        done = tiler(*words(slides, FILTERS, *more, "out=out"), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        record = json.loads((tmp_path / "out/run.json").read_text())
        made = {what for what in record["cache"] if what.endswith("made")}
        assert made == ({"masks made", "grids made", "scores made"} if "filter.blur.min=10" in more
                        else set())  # fmt: skip
        assert record["counts"]["kept"] == sum(
            int(row["kept"]) for row in rows_of(tmp_path / "out")
        )
    assert {row["kept"] for row in rows_of(tmp_path / "out")} == {"3"}


def places(out: Path, slide: str) -> set[tuple[str, str]]:
    return {(row["x"], row["y"]) for row in read_csv(out / f"slides/{slide}/{slide}.csv")}


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "spread", "top"])
def test_a_sample_depends_on_no_other_slide_and_no_engine(slides, tmp_path, sampler):
    common = ["threshold=0", f"sampler={sampler}", "sampler.n=11", "mask=none"]
    (tmp_path / "one").mkdir()
    shutil.copy(slides / "s2.svs", tmp_path / "one")
    runs = {
        "all": words(slides, *common),
        "processes": words(slides, *common, "engine=processes", "engine.workers=2"),
        "one": words(tmp_path / "one", *common),
    }
    if sampler != "random":
        del runs["processes"]
    for name, line in runs.items():
        done = tiler(*line, f"out=out-{name}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    found = {name: places(tmp_path / f"out-{name}", "s2") for name in runs}
    assert all(one == found["all"] for one in found.values())
    assert len(found["all"]) == 11


def test_too_few_tiles_are_remarked_in_the_slides_row(slides, tmp_path):
    one = words(slides / "s0.svs", "sampler=random", "sampler.n=100000", "out=out")
    done = tiler(*one, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for row in rows_of(tmp_path / "out"):
        assert int(row["kept"]) > 0
        assert f"sampler.n=100000: only {row['kept']} tiles" in row["notes"]


def test_an_empty_selection_states_the_reason(slides, tmp_path):
    done = tiler(*words(slides, "filter=[white]", "filter.white.min=0.999", "filter.white.max=null",
                        "out=out"), cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    for row in rows_of(tmp_path / "out"):
        assert row["status"] == "done_empty"
        assert row["reason"].startswith("selection: ")
        assert f"all dropped (white {row['dropped_white']})" in row["reason"]


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("sampler.n=-1", "sampler.n=-1 is not a whole number"),
        ("sampler.fraction=2", "sampler.fraction=2 is out of range"),
        ("sampler.seed=x", "sampler.seed"),
        ("filter=blur,white", "write a list as 'filter=[blur,white]'"),
        ("filter=[blurr]", "no such option"),
        ("filter.blur.min=5", "filter"),
        ("filter=[blur] filter.blur.min=9 filter.blur.max=3", "filter.blur.min=9"),
    ],
)
def test_mistakes_are_one_line_each(tmp_path, word, text):
    done = tiler("sampler=random", *word.split(), "out=out", cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("E_CONFIG")
    assert text in line


@pytest.mark.slow
def test_parquet_has_the_same_candidates(slides, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    for kind in ("csv", "parquet"):
        done = tiler(*words(slides / "s0.svs", FILTERS, "exporter=[candidates]",
                     f"exporter.candidates.format={kind}", f"out={kind}"),
                     cwd=tmp_path)  # fmt: skip
        assert done.returncode == 0, done.stderr
    table = parquet.read_table(tmp_path / "parquet/slides/s0/s0_candidates.parquet")
    with (tmp_path / "csv/slides/s0/s0_candidates.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert table.column_names == header
    assert table.num_rows == len(rows)
    for number, name in enumerate(header):
        values = ["" if value is None else str(value) for value in table[name].to_pylist()]
        assert values == [row[number] for row in rows], name


REAL = ["CMU-1-Small-Region.svs", "TCGA-CR-7395-01A-01-TS1.svs", "test3-DAPI-2-(387).ndpi",
        "boxes.tiff", "small.svs", "boxes_0.dcm"]  # fmt: skip


@pytest.mark.slow
def test_counts_add_up_on_real_slides(shared_slides, tmp_path):
    names = "[" + ",".join(f"'{shared_slides / name}'" for name in REAL) + "]"
    filters = "[black,blur,entropy,grey,pen,saturation,stain,white]"
    own = [f"filter.{name}.mpp=null" for name in filters[1:-1].split(",")]
    done = tiler("slides=files", f"slides.paths={names}", "resolution=level", "resolution.value=0",
                 "tile.size=128", "threshold=0.2", f"filter={filters}", *own, "sampler=spread",
                 "sampler.n=20", "exporter=[candidates]", "out=out",
                 cwd=tmp_path, env={**os.environ})  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path / "out")
    assert len(rows) == len(REAL)
    assert all(map(adds_up, rows))
    assert sum(int(row["kept"]) for row in rows) > 20


@pytest.mark.slow
def test_the_scores_in_a_table_do_not_depend_on_the_cache(tmp_path: Path, shared_slides: Path):
    """A cache that was measured from a lower threshold gives the same bytes as none."""
    slide = f"slides.paths={shared_slides}/CMU-1-Small-Region.svs"
    common = ["slides=files", slide, "filter=[white]", "exporter=[csv,candidates]"]
    cached = ["tile.size=512", "cache=cache"]
    assert tiler(*common, *cached, "threshold=0", "out=low", cwd=tmp_path).returncode == 0
    assert tiler(*common, *cached, "out=cached", cwd=tmp_path).returncode == 0
    run = tiler(*common, "tile.size=512", "cache=off", "out=alone", cwd=tmp_path)
    assert run.returncode == 0
    tables = [
        (tmp_path / out / "slides/CMU-1-Small-Region/CMU-1-Small-Region_candidates.csv").read_text()
        for out in ("low", "cached", "alone")
    ]
    assert tables[0] != tables[1] == tables[2]
