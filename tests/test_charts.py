"""Charts for papers: valid files, the same bytes each time, and names that stay text."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from command import read_csv, tiler
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tracked import COMMON, picture

from tiler.errors import ConfigError
from tiler.report.charts.bins import read_bins
from tiler.report.charts.figure import FORMATS, check_charts, check_formats, label, length
from tiler.report.charts.histogram_chart import Limits
from tiler.report.charts.histograms import added, bar_edges, bars, binned
from tiler.report.charts.of_run import chart_files
from tiler.report.charts.run import ChartSlide, RunCharts, Stage, run_charts
from tiler.report.charts.sweep import ChartJob, SweepCharts, sweep_charts
from tiler.runner.reporting.tracking import artifacts, charts_of

HOSTILE = [
    "<script>alert(1)</script>",
    "$x^2$",
    r"$\frac{",
    "a&b;\"'",
    "\x1b[31m\x00\n\ud800\udcff\ufffe",
    "\u202etxt.exe",
    "]]><svg/onload=1>",
    "",
    "组织切片" * 90,
    "W" * 300,
]
RANDOM = np.random.default_rng(3)
RUN = RunCharts(
    slides=[ChartSlide(name, 7 * n + 3, 0.5 + n / 100) for n, name in enumerate(HOSTILE)],
    funnel=[Stage("grid cells", 4321), Stage("coverage ≥ 0.5", 1234, 3087), Stage("$x$", 7, 1227)],
    coverage=binned(np.concatenate([np.zeros(3000), np.ones(1000), RANDOM.random(321)])),
    threshold=0.35,
    scores={"blur": binned(RANDOM.lognormal(3, 1, 1234)), "$y$": binned(RANDOM.random(50))},
    limits={"blur": Limits(min=20.5, max=90), "$y$": Limits(max=0.25)},
    left_out=2,
)
SWEEP = SweepCharts(
    ["threshold", "filter.$x$.min", "mask"],
    [
        ChartJob(
            {"threshold": str(t), "filter.$x$.min": str(low), "mask": mask},
            {name: None if n == 1 and t > 0.3 else 100 * n + low for n, name in enumerate(HOSTILE)},
        )
        for t, low, mask in product((0.1, 0.3, 0.5), (1, 20), ("otsu", "<b>"))
    ],
)


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    return run_charts(RUN, FORMATS) | sweep_charts(SWEEP, FORMATS)


def texts(svg: bytes) -> list[str]:
    """Return the texts of a picture; an element that is not one of a drawing fails."""
    allowed = {"svg", "defs", "style", "g", "path", "text", "use", "clipPath", "rect", "image",
               "tspan", "pattern", "metadata", "RDF", "Work", "linearGradient", "stop"}  # fmt: skip
    root = ElementTree.fromstring(svg)
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert names <= allowed
    return ["".join(element.itertext()) for element in root.iter() if element.tag.endswith("text")]


def test_each_chart_is_made_in_each_format(made: dict[str, bytes]) -> None:
    names = {"funnel", "coverage", "score_blur", "score__y_", "tiles", "mpp", "heat_map"}
    names |= {"lines_threshold", "lines_filter_x_min", "lines_mask"}
    assert set(made) == {f"{name}.{suffix}" for name in names for suffix in FORMATS}


@pytest.mark.slow
def test_the_same_data_give_the_same_bytes(made: dict[str, bytes]) -> None:
    parts = {"funnel": RUN.funnel, "scores": {"blur": RUN.scores["blur"]}, "slides": RUN.slides}
    again = run_charts(replace(RunCharts(limits=RUN.limits, left_out=2), **parts), FORMATS)
    for name, suffix in product(("funnel", "score_blur", "tiles"), FORMATS):
        assert again[f"{name}.{suffix}"] == made[f"{name}.{suffix}"]
    for data in made.values():
        assert b"202" not in data or b"<dc:date>" not in data
        assert b"matplotlib.org" not in data.lower()
        assert b"Software" not in data


@pytest.mark.slow
def test_a_new_process_and_a_settings_file_change_no_byte(made: dict[str, bytes], tmp_path) -> None:
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.size: 30\nsvg.fonttype: path\n")
    code = "\n".join([
        "import sys; sys.path.insert(0, sys.argv[1])",
        "from test_charts import *",
        "data = run_charts(replace(RUN, slides=[], scores={}), FORMATS)",
        "assert 'matplotlib.pyplot' not in sys.modules",
        "print(json.dumps({name: hashlib.sha256(one).hexdigest() for name, one in data.items()}))",
    ])  # fmt: skip
    folder = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", code, folder], cwd=tmp_path, text=True,
                          capture_output=True, timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr
    digests = json.loads(done.stdout)
    assert len(digests) == 4
    assert digests == {name: hashlib.sha256(made[name]).hexdigest() for name in digests}


def test_settings_of_the_caller_stay() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    run_charts(RunCharts(funnel=RUN.funnel), ["svg"])
    assert dict(mpl.rcParams) == before


def test_names_are_text_and_never_formulas(made: dict[str, bytes]) -> None:
    for chart in ("tiles", "mpp", "heat_map"):
        seen = texts(made[f"{chart}.svg"])
        for name in ("<script>alert(1)", "$x^2$", r"$\frac{", "a&b;\"'"):
            assert any(name[:8] in text for text in seen), (chart, name)
        assert b"<script" not in made[f"{chart}.svg"]
        assert not any("\u202e" in text or "\x1b" in text for text in seen)
    assert any("filter.$x$.min" in text for text in texts(made["lines_filter_x_min.svg"]))
    assert "score $y$" in texts(made["score__y_.svg"])


@given(st.text(st.characters(codec=None), max_size=80), st.integers(8, 40))
def test_a_label_is_one_short_line_of_text_that_xml_may_contain(name: str, longest: int) -> None:
    line = label(name, longest)
    assert length(line) <= longest
    root = ElementTree.fromstring(f"<a>{_escaped(line)}</a>")
    assert (root.text or "") == line


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def test_charts_contain_their_numbers_as_text(made: dict[str, bytes]) -> None:
    assert {"4,321", "1,234 (−3,087)", "7 (−1,227)", "coverage ≥ 0.5"} <= set(
        texts(made["funnel.svg"])
    )
    assert {"threshold 0.35", "4,321 cells"} <= set(texts(made["coverage.svg"]))
    assert {"min 20.5", "max 90", "1,234 cells"} <= set(texts(made["score_blur.svg"]))
    kept = [slide.kept for slide in RUN.slides]
    assert {str(count) for count in kept} <= set(texts(made["tiles.svg"]))
    assert any("2 without result" in text for text in texts(made["tiles.svg"]))


def test_axes_have_units(made: dict[str, bytes]) -> None:
    assert "effective mpp (µm per pixel)" in texts(made["mpp.svg"])
    assert "coverage (share of tissue in a cell)" in texts(made["coverage.svg"])
    assert "grid cells (log axis)" in texts(made["coverage.svg"])


def test_pictures_are_85_mm_wide_and_their_text_is_legible(made: dict[str, bytes]) -> None:
    for name, data in made.items():
        if name.endswith(".png"):
            picture = Image.open(io.BytesIO(data))
            picture.load()
            assert abs(picture.width - 85 / 25.4 * 300) < 1
            assert 20 < picture.height / 300 * 25.4 <= 225
            assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        else:
            root = ElementTree.fromstring(data)
            assert float(root.get("width", "").removesuffix("pt")) == pytest.approx(85 / 25.4 * 72)
            sizes = _font_sizes(data.decode())
            assert sizes
            assert min(sizes) >= 7


def _font_sizes(svg: str) -> list[float]:
    return [float(size) for size in re.findall(r"font(?:-size)?: *([0-9.]+)px", svg)]


def test_nothing_at_the_edge_is_cut(made: dict[str, bytes]) -> None:
    for name, data in made.items():
        if name.endswith(".png"):
            pixels = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
            rim = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
            assert rim.min() > 240, name


def test_kept_and_dropped_differ_in_grey(made: dict[str, bytes]) -> None:
    grey = np.asarray(Image.open(io.BytesIO(made["coverage.png"])).convert("L"))
    bars_dark = grey[200:400, 600:1000]
    assert (bars_dark < 110).mean() > 0.1
    assert (grey[200:400, 160:360] < 110).mean() < 0.05


def test_there_is_no_chart_where_there_is_nothing_to_show() -> None:
    assert run_charts(RunCharts(), FORMATS) == {}
    assert sweep_charts(SweepCharts([], []), FORMATS) == {}
    empty = RunCharts(
        slides=[ChartSlide("a", 0)], funnel=[Stage("grid cells", 0)], coverage=binned(np.zeros(0))
    )
    assert run_charts(empty, FORMATS) == {}
    one = replace(empty, slides=[ChartSlide("a", 5, 0.5)], funnel=[Stage("grid cells", 5)])
    assert set(run_charts(one, ["svg"])) == {"funnel.svg"}
    same = [ChartSlide("a", 5, 0.5), ChartSlide("b", 5, 0.5)]
    assert set(run_charts(RunCharts(same), ["svg"])) == {"tiles.svg"}
    assert sweep_charts(SweepCharts(["k"], [ChartJob({"k": "1"}, {"a": None})]), FORMATS) == {}
    failed = [ChartJob({"k": "1"}, {"a": 3}), ChartJob({"k": "2"}, {"a": None})]
    assert set(sweep_charts(SweepCharts(["k"], failed), ["svg"])) == {"heat_map.svg"}


ODD = {
    "all zero": (np.zeros(5), Limits(0.5)),
    "one value": (np.full(9, 123.4), Limits(5, 1e9)),
    "around zero": (RANDOM.normal(0, 1e-9, 999), Limits(-1e9, 0)),
    "huge": (RANDOM.lognormal(30, 20, 999), Limits(1e30)),
    "tiny": (np.array([1e-300, 1e-40, 1e-30]), Limits()),
    "not finite": (np.array([np.inf, -np.inf, np.nan, 1, 2]), Limits(-np.inf, np.inf)),
    "both signs": (RANDOM.normal(size=99) ** 9 * 1e6, Limits(0, 0)),
    "inverted": (RANDOM.random(100) * 255, Limits(200, 100)),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_scores_are_drawn_complete(kind: str) -> None:
    values, limits = ODD[kind]
    made = run_charts(RunCharts(scores={"x": binned(values)}, limits={"x": limits}), FORMATS)
    seen = texts(made["score_x.svg"])
    assert f"{np.isfinite(values).sum():,} cells" in seen
    assert not any("inf" in text or "nan" in text for text in seen)
    pixels = np.asarray(Image.open(io.BytesIO(made["score_x.png"])).convert("L"))
    rim = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert rim.min() > 240, "nothing is cut"


def test_a_bar_is_as_wide_as_a_bin() -> None:
    data = binned(np.full(9, 123.4))
    edges, _ = bar_edges(data)
    assert sorted(bars(data, edges).tolist())[-1] == 9


def test_settings_with_the_same_short_label_are_numbered() -> None:
    paths = [f"[/data/a/very/long/path/{n}/that/goes/on.svs]" for n in range(3)]
    jobs = [ChartJob({"slides.paths": path}, {"s": n}) for n, path in enumerate(paths)]
    made = sweep_charts(SweepCharts(["slides.paths"], jobs), ["svg"])
    for name in ("heat_map", "lines_slides_paths"):
        found = [text for text in texts(made[f"{name}.svg"]) if text.endswith(".svs]")]
        assert [text[:2] for text in found] == ["1:", "2:", "3:"]


@pytest.mark.slow
def test_charts_of_10000_slides_stay_small() -> None:
    kept = RANDOM.lognormal(5, 2, 10_000).astype(int)
    mpp = 0.5 + RANDOM.random(10_000) / 100
    slides = [
        ChartSlide(f"s{n}", int(k), float(m))
        for n, (k, m) in enumerate(zip(kept, mpp, strict=True))
    ]
    made = run_charts(RunCharts(slides), FORMATS)
    assert set(made) == {"tiles.svg", "tiles.png", "mpp.svg", "mpp.png"}
    assert max(map(len, made.values())) < 250_000
    assert f"{kept.sum():,} tiles of 10,000 slides" in texts(made["tiles.svg"])
    jobs = [ChartJob({"k": str(n)}, {s.slide_id: s.kept // n for s in slides}) for n in (1, 2, 3)]
    assert max(map(len, sweep_charts(SweepCharts(["k"], jobs), FORMATS).values())) < 250_000


def test_many_jobs_fit_on_a_page() -> None:
    jobs = [ChartJob({"a": str(n), "b": str(m)}, {"x": n * m}) for n in range(25) for m in range(8)]
    made = sweep_charts(SweepCharts(["a", "b"], jobs), FORMATS)
    assert set(made) == {f"{name}.{s}" for name in ("heat_map", "lines_a", "lines_b")
                         for s in FORMATS}  # fmt: skip
    assert Image.open(io.BytesIO(made["heat_map.png"])).height <= 225 / 25.4 * 300


# --- in a run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three slides with charts in both formats, then the same again with another tracker."""
    folder = tmp_path_factory.mktemp("charts")
    for name in ("a.png", "$b$.png", "c.png"):
        picture(folder, name)
    (folder / "d.png").write_bytes(b"no slide")
    words = [*COMMON, 'slides.paths="*.png"', "filter=[white]", "filter.white.mpp=null",
             "out=out", "exporter=[csv,candidates]", "report=html"]  # fmt: skip
    for more in (["report.charts=[svg,png]", "tracker=jsonl"], ["report.charts=[svg]"], []):
        done = tiler(*words, *more, cwd=folder)
        assert done.returncode == 3, done.stderr
        shutil.copytree(folder / "out/report", folder / f"report{len(more)}")
    return folder


@pytest.mark.slow
def test_a_run_draws_the_cells_of_all_its_slides(runs: Path) -> None:
    charts = runs / "report2/charts"
    names = {"funnel", "coverage", "score_white", "tiles"}
    assert {path.name for path in charts.iterdir()} == {f"{n}.{s}" for n in names for s in FORMATS}
    rows = read_csv(runs / "out/slides.csv")
    cells = sum(int(row["candidates"] or 0) for row in rows)
    kept = sum(int(row["kept"] or 0) for row in rows)
    assert f"{cells:,} cells" in texts((charts / "coverage.svg").read_bytes())
    assert f"{cells:,}" in texts((charts / "funnel.svg").read_bytes())
    seen = texts((charts / "tiles.svg").read_bytes())
    assert f"{kept:,} tiles of 3 slides; 1 without result left out" in seen
    assert any("$b$" in text or "_b_" in text for text in seen)


def test_trackers_get_the_charts(runs: Path) -> None:
    lines = (runs / "out/tracking.jsonl").read_text().splitlines()
    files = set(json.loads(lines[-1])["files"])
    assert {f"report/charts/{path.name}" for path in (runs / "report2/charts").iterdir()} <= files
    assert not (runs / "report0/charts").exists()
    assert charts_of(runs / "out") == {}


def test_a_tracker_gets_no_charts_of_other_results(tmp_path: Path) -> None:
    report = tmp_path / "report"
    (report / "charts").mkdir(parents=True)
    (report / "charts/funnel.svg").write_bytes(b"old")
    assert charts_of(tmp_path) == {}
    (report / "index.html").write_bytes(b"")
    assert charts_of(tmp_path) == {"report/charts/funnel.svg": report / "charts/funnel.svg"}
    assert charts_of(tmp_path).items() <= artifacts(tmp_path).items()


def test_charts_of_another_run_are_the_same_bytes_and_formats_can_change(runs: Path) -> None:
    (first, second) = runs / "report2/charts", runs / "report1/charts"
    assert {path.suffix for path in second.iterdir()} == {".svg"}
    for path in second.iterdir():
        assert path.read_bytes() == (first / path.name).read_bytes()
    assert "charts/funnel.svg" in (runs / "report1/index.html").read_text()
    assert "charts/funnel.svg" not in (runs / "report0/index.html").read_text()


def test_the_histograms_of_a_slide_count_the_cells_of_its_table(runs: Path) -> None:
    rows = read_csv(runs / "out/slides/a/a_candidates.csv")
    number = [row["slide_id"] for row in read_csv(runs / "out/slides.csv")].index("a")
    found = read_bins((runs / f"report2/bins/{number:06d}.json").read_bytes())
    assert set(found) == {"ratio", "score_white"}
    assert found["ratio"].total == len(rows)
    scores = np.array([float(row["score_white"]) for row in rows if row["score_white"]])
    same = binned(scores)
    assert np.array_equal(found["score_white"].codes, same.codes)
    assert np.array_equal(found["score_white"].counts, same.counts)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b'{"ratio": 1}', b'{"ratio": {"codes": {"type": "i4", "z": "eA=="}}}',
     b'{"ratio": {"codes": {"type": "zz", "z": ""}, "counts": {"type": "i4", "z": ""}}}'],
)  # fmt: skip
def test_a_damaged_histogram_is_left_out_with_a_warning(data, tmp_path, caplog) -> None:
    (tmp_path / "000000.json").write_bytes(data)
    page = {"slides": {"slide_id": ["a"], "status": ["done"], "kept": [5]}, "rules": None,
            "funnel": [{"label": "Grid cells", "left": 5, "dropped": 0}]}  # fmt: skip
    made = chart_files(page, [tmp_path / "000000.json", tmp_path / "gone.json"], ["svg"])
    assert set(made) <= {"charts/funnel.svg"}
    assert caplog.text.count("the charts of all slides lack it") == 2


@pytest.mark.slow
def test_a_sweep_draws_the_numbers_of_its_table(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        picture(tmp_path, name)
    words = [*COMMON, "slides.paths=[a.png,b.png]", "threshold=0.1,0.9", "tile.size=16,32"]
    more = ["out=out", "report=html", "report.charts=[svg]", "tracker=jsonl"]
    done = tiler("-m", *[word for word in words if word != "tile.size=16"], *more, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    charts = tmp_path / "out/report/charts"
    names = {"heat_map.svg", "lines_threshold.svg", "lines_tile_size.svg"}
    assert {path.name for path in charts.iterdir()} == names
    rows = read_csv(tmp_path / "out/sweep.csv")
    seen = texts((charts / "heat_map.svg").read_bytes())
    numbers = [text for text in seen if text.replace(",", "").isdigit()]
    for kept in {row["kept"] for row in rows}:
        assert numbers.count(kept) >= sum(row["kept"] == kept for row in rows)
    assert "kept tiles by threshold, tile.size" in seen
    page = (tmp_path / "out/report/index.html").read_text()
    assert all(f"charts/{name}" in page for name in names)
    last = json.loads((tmp_path / "out/tracking.jsonl").read_text().splitlines()[-1])
    assert {f"report/charts/{name}" for name in names} <= set(last["files"])


# --- without matplotlib, and unknown formats


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"contains 'pdf'; use svg, png or both"):
        check_formats(["svg", "pdf"])


def test_without_matplotlib_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiler.report.charts.figure.find_spec", lambda name: None)
    check_charts([])
    with pytest.raises(ConfigError, match=r"needs matplotlib; run: pip install 'tiler\[charts\]'"):
        run_charts(RUN, ["svg"])


# --- histograms

VALUES = st.lists(
    st.one_of(
        st.floats(-1e6, 1e6),
        st.floats(0, 1),
        st.sampled_from([0.0, -0.0, 1.0, 0.5, float("nan"), float("inf")]),
    ),
    max_size=60,
)


@given(VALUES)
def test_every_value_is_in_its_bin(values: list[float]) -> None:
    data = binned(np.array(values, np.float64))
    finite = [value for value in values if np.isfinite(value)]
    assert data.total == len(finite)
    assert (np.diff(data.codes) > 0).all()
    for value in finite:
        near = float(np.float32(value))
        assert ((data.low <= near + 1e-38) & (near - 1e-38 <= data.high)).any()
    big = np.abs(data.low) > 1e-30
    widths = (data.high - data.low)[big]
    assert (widths <= np.maximum(np.abs(data.low), np.abs(data.high))[big] / 100).all()


@given(VALUES, VALUES)
def test_counts_of_slides_add_up(one: list[float], other: list[float]) -> None:
    together = binned(np.array([*one, *other], np.float64))
    summed = added([binned(np.array(one)), binned(np.array(other))])
    assert np.array_equal(together.codes, summed.codes)
    assert np.array_equal(together.counts, summed.counts)


@given(VALUES, st.lists(st.floats(-1e3, 1e3), max_size=2))
def test_bars_contain_all_values(values: list[float], limits: list[float]) -> None:
    data = binned(np.array(values, np.float64))
    if not data.total:
        return
    edges, _ = bar_edges(data, limits)
    assert 2 <= len(edges) <= 130
    assert (np.diff(edges) > 0).all()
    counts = bars(data, edges)
    assert counts.sum() == data.total
    assert (counts >= 0).all()
    slack = 1e-6 * max(abs(edges[0]), abs(edges[-1])) + 1e-9
    for low, high in zip(data.low.tolist(), data.high.tolist(), strict=True):
        assert edges[0] - slack <= low
        assert high <= edges[-1] + slack or low == 1.0


@pytest.mark.parametrize("threshold", [0.05, 0.35, 0.5, 0.8])
def test_bars_end_at_a_usual_threshold_and_count_as_the_run_does(threshold: float) -> None:
    values = np.concatenate([np.zeros(70), np.ones(30), [threshold] * 9, RANDOM.random(2000)])
    edges, _ = bar_edges(binned(values), [threshold])
    at = int(np.argmin(np.abs(edges - threshold)))
    assert edges[at] == pytest.approx(threshold)
    above = int(bars(binned(values), edges)[at:].sum())
    assert above == pytest.approx(int((values >= threshold).sum()), abs=12)


def test_shares_go_from_0_to_1() -> None:
    edges, by_factor = bar_edges(binned(np.array([0.2, 1.0])))
    assert (edges[0], edges[-1], by_factor) == (0, 1, False)
    assert bars(binned(np.array([0.2, 1.0, 1.0])), edges)[-1] == 2
