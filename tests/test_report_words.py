"""A run in words and numbers: its settings, its funnel, and the data of its page."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from report_data import loaded

from tiler.config.command.folder import conf_folder
from tiler.report.pages import write_run_pages
from tiler.report.run.data import Card, run_data
from tiler.report.run.funnel import funnel
from tiler.report.run.rows import typed_rows
from tiler.report.run.words import overrides_in_words, rule_labels, settings_in_words
from tiler.runner.reporting.tables import slides_table
from tiler.runner.work.job import STATUSES, SlideRow

PLAIN = {
    "tile": {"_target_": "tiler.spec.TileSpec", "size": 256, "stride": None, "unit": "pixels"},
    "resolution": {"_target_": "tiler.resolution.MPP", "value": 0.5},
    "mask": {"_target_": "tiler.masks.OtsuMask"},
    "threshold": 0.5,
}
OWN = "lab.things.Own"
WORDED = ("mask", "filter", "label", "sampler", "tile", "resolution", "transform")
RULES = ("blur", "white", "label")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "256 px at 0.5 µm/px, stride 256, Otsu tissue, threshold 0.5"),
        ({"resolution": {"_target_": "tiler.resolution.Magnification", "value": 20}},
         "256 px at 20×, stride 256"),
        ({"resolution": {"_target_": "tiler.resolution.Level", "value": 1}}, "256 px at level 1"),
        ({"tile": {"size": [256, 128], "stride": [64, 32], "unit": "um", "edge": "pad"}},
         "256 × 128 µm at 0.5 µm/px, stride 64 × 32, edge pad, "),
        ({"tile": {"size": 256, "stride": None, "overlap": 0.25}},
         "256 px at 0.5 µm/px, overlap 25 %"),
        ({"threshold": 0.1234567891}, "threshold 0.1234567891"),
        ({"threshold": 0}, "threshold 0"),
        ({"mask": {"_target_": "tiler.masks.OtsuMask", "remove_pen": True}},
         "Otsu tissue, pen left out"),
        ({"mask": {"_target_": OWN}}, "mask Own"),
        ({"mask": {"_target_": "tiler.masks.CombineMask",
                   "all": {"tissue": {"_target_": "tiler.masks.OtsuMask"},
                           "mine": {"_target_": OWN}},
                   "any": {}, "none": {"pen": {"_target_": "tiler.masks.PenMask"}}}},
         "combined masks (all of Otsu tissue, mask Own; none of pen)"),
        ({"filter": {"blur": {"_target_": "tiler.scores.Blur", "min": 40.0, "max": None},
                     "white": {"_target_": "tiler.scores.White", "min": None, "max": 0.9},
                     "grey": {"_target_": "tiler.scores.Grey", "min": 0.1, "max": 0.7},
                     "mine": {"_target_": OWN}}},
         "threshold 0.5, blur ≥ 40, white ≤ 0.9, grey from 0.1 to 0.7, mine (Own) without limits"),
        ({"label": {"_target_": "tiler.labels.AnnotationLabels", "assign": "threshold",
                    "threshold": 0.3, "keep": ["tumor", "stroma"]}},
         "labels from annotations (threshold 0.3), kept: tumor, stroma"),
        ({"label": {"_target_": OWN}}, "labels by Own"),
        ({"label": {"_target_": "tiler.labels.no_labels"}}, "threshold 0.5"),
        ({"sampler": {"_target_": "tiler.samplers.Random", "n": 100, "fraction": 0.07,
                      "by": "label", "seed": 3}},
         "sampler random 100 tiles 7 % by label, seed 3"),
        ({"sampler": {"_target_": "tiler.samplers.Top", "n": 5, "by": "score_blur"}},
         "sampler top 5 tiles by score_blur"),
        ({"sampler": {"_target_": OWN, "n": 5}}, "sampler Own 5 tiles"),
        ({"sampler": {"_target_": "tiler.samplers.All", "n": None}}, "threshold 0.5"),
        ({"transform": {"icc": {"_target_": "tiler.transforms.Icc"}, "x": {"_target_": OWN}}},
         "transform icc and Own"),
        ({"context": [1.0, 2.0], "pyramid": [4.0]},
         "context at 1 µm/px and 2 µm/px, parents at 4 µm/px"),
    ],
)  # fmt: skip
def test_settings_are_told_in_words(changes: dict[str, Any], says: str) -> None:
    assert says in settings_in_words({**PLAIN, **changes})


@pytest.mark.parametrize(
    "path",
    sorted(path for path in conf_folder().glob("*/*.yaml") if path.parent.name in WORDED),
    ids=lambda path: f"{path.parent.name}={path.stem}",
)  # fmt: skip
def test_every_option_has_words_without_names_of_classes(path: Path) -> None:
    node = yaml.safe_load(path.read_text())
    group = path.parent.name
    several = group in ("filter", "transform")
    text = settings_in_words({**PLAIN, group: {path.stem: node} if several else node})
    target = str(node.get("_target_", "CombineMask")).rpartition(".")[2]
    assert target not in text or target in ("Level",)
    if several:
        assert path.stem in text


def test_nothing_that_is_missing_is_made_up() -> None:
    assert settings_in_words({}) == ""
    assert settings_in_words({"tile": None, "filter": [], "context": None}) == ""
    assert rule_labels({}) == {}


def test_overrides_have_their_values_and_keys_without_one_stay() -> None:
    settings = {"tile": {"size": [64, 32]}, "label": {"keep": None, "path": "a b"}}
    keys = ("tile.size", "label.keep", "label.path", "context", "tile.size.x")
    words = "tile.size=[64, 32] label.keep=null label.path=a b context tile.size.x"
    assert overrides_in_words(settings, keys) == words


counts = st.lists(
    st.fixed_dictionaries(
        {
            "status": st.sampled_from(STATUSES),
            "below_threshold": st.integers(0, 99),
            "filtered": st.dictionaries(st.sampled_from(RULES), st.integers(0, 99)),
            "not_sampled": st.integers(0, 9),
            "dropped": st.integers(0, 9),
            "kept": st.integers(0, 99),
            "output": st.sampled_from(["", "current", "earlier"]),
        }
    ),
    max_size=8,
)  # fmt: skip


@given(counts)
def test_the_funnel_accounts_for_every_cell_of_finished_slides(rows: list[dict[str, Any]]) -> None:
    slides = [
        SlideRow(
            f"s{n}",
            candidates=sum(row["filtered"].values())
            + sum(row[name] for name in ("below_threshold", "not_sampled", "dropped", "kept")),
            **row,
        )
        for n, row in enumerate(rows)
    ]
    table = typed_rows(slides_table(slides, [{}] * len(slides)))
    stages = funnel(table, {})
    done = [
        slide
        for slide in slides  # a slide with too many unreadable tiles failed, and has the others
        if slide.status in ("done", "done_empty")
        or (slide.status, slide.output) == ("failed", "current")
    ]
    assert stages[0]["left"] == sum(slide.candidates for slide in done)
    assert stages[-1]["left"] == sum(slide.kept for slide in done)
    for before, after in pairwise(stages):
        assert after["left"] == before["left"] - after["dropped"]
        assert after["left"] >= 0
    reasons = [stage["reason"] for stage in stages]
    assert reasons[:2] == ["", "below_threshold"]
    if "label" in reasons:  # after the filters, as tiler decides
        assert not any(reason.startswith("filter:") for reason in reasons[reasons.index("label") :])


@pytest.mark.slow
def test_ten_thousand_slides_are_written_in_seconds(tmp_path: Path) -> None:
    slides = [
        SlideRow(f"slide {n}", "failed" if n % 7 == 0 else "done", reason="E_READ slide=x: bad",
                 candidates=1000, kept=400, below_threshold=600, coverage=0.5)
        for n in range(10_000)
    ]  # fmt: skip
    began = time.process_time()
    rows = typed_rows(slides_table(slides, [{}] * len(slides)))
    cards = [Card(f"pictures/{n:06d}.jpg", f"data/slides/{n:06d}.js") for n in range(len(rows))]
    data = run_data([], rows, cards, {"config": PLAIN, "counts": {}, "status": "failed"})
    files = write_run_pages(tmp_path, data, rows, 0, {})
    assert time.process_time() - began < 10
    assert loaded(tmp_path / "data/run.js")["slides"]["slide_id"][-1] == "slide 9999"
    assert files["index.html"].size < 200_000
    assert files["data/run.js"].size < 4_000_000


@pytest.mark.parametrize(
    ("name", "title"), [("2026-01-31_14-05-09", "lungs"), ("first try", "first try"), ("", "")]
)
def test_a_run_named_by_its_date_has_the_title_of_its_folder(name: str, title: str) -> None:
    run = {"config": {**PLAIN, "name": name}, "counts": {}, "status": "done"}
    assert run_data([], [], [], run, "lungs")["name"] == title
