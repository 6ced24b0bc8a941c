"""The pages decide as tiler does: the same cells and rules through Python and TypeScript."""

import base64
import csv
import io
import zlib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from judge import make_judge

from tiler.exporters.tables.csv_json import csv_parts
from tiler.geometry import Size
from tiler.grid import Cells
from tiler.resolution import MPP
from tiler.samplers import Random, Spread, Top
from tiler.scores.limits import Limits
from tiler.selection import Candidates, Rules, decide, tiles_of

PAGES = Path(__file__).parent.parent / "pages"
SLIDE = 'a "slide", β\x1b'
LABELS = ["", "stroma", "tumour", "a,b"]
CASES = 150


@dataclass(frozen=True)
class Kept:
    """Labels with a rule only."""

    keep: tuple[str, ...] | None


@dataclass(frozen=True)
class Case:
    """Cells, the rules of the run, and others."""

    cells: Cells
    run: Rules
    chosen: Rules
    measured_from: float


def packed(values):
    if values.dtype.kind in "OU":
        texts, codes = np.unique(values.astype(str), return_inverse=True)
        return {"type": "text", "values": texts.tolist(), "codes": packed(codes.astype("<i4"))}
    kind = {"f": "f8", "i": "i4", "u": "u1"}[values.dtype.kind]
    text = base64.b64encode(zlib.compress(values.astype(f"<{kind}").tobytes())).decode()
    return {"type": kind, "z": text}


def random_rules(rng, columns):
    """Rules with values that lie on those of cells, so that ends of limits count."""
    filters = {}
    for name in ("blur", "white", "pen"):
        if f"score_{name}" in columns:
            low, high = sorted(rng.choice(np.arange(-4, 12) / 10, 2).tolist())
            filters[name] = Limits(
                min=low if rng.random() < 0.7 else None, max=high if rng.random() < 0.5 else None
            )
    keep = tuple(rng.choice(LABELS, rng.integers(0, 4), replace=False).tolist())
    labels = Kept(keep if rng.random() < 0.7 else None) if rng.random() < 0.5 else None
    return Rules(float(rng.choice([0, 0.1, 0.3, 0.5, 1])), filters, labels)


def random_sampler(rng, columns):
    amount = {
        "n": int(rng.integers(0, 20)) if rng.random() < 0.7 else None,
        "fraction": float(rng.choice([0, 0.25, 0.5, 1])) if rng.random() < 0.5 else None,
    }
    groups = [None, "row", "column", "ratio", "tissue_id", *columns]
    by = groups[rng.integers(len(groups))]
    numbers = ["ratio", *(name for name in columns if name != "label")]
    return [
        None,
        Random(**amount, seed=int(rng.integers(100)), by=by),
        Top(**amount, by=numbers[rng.integers(len(numbers))]),
        Spread(**amount),
    ][rng.integers(4)]


def random_case(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 8, 2).tolist())
    scores = {}
    for name in ("blur", "white", "pen")[: rng.integers(0, 4)]:
        scores[f"score_{name}"] = rng.integers(-4, 12, shape) / 10
        scores[f"score_{name}"][rng.random(shape) < 0.1] = np.nan
    columns = {"tissue_id": rng.integers(0, 3, shape)}
    if rng.random() < 0.5:
        columns["label_a,b"] = rng.random(shape) ** 20
        columns["label"] = rng.choice(np.array(LABELS, object), shape)
    columns |= scores
    x = 100 + 7 * np.arange(shape[1])
    y = 3 * np.arange(shape[0])
    edges = np.zeros((shape[1], 2)), np.zeros((shape[0], 2))
    ratios = rng.random(shape).round(1)
    cells = Cells(x, y, *edges, Size(7, 3), 2.5, ratios, columns)
    sampler = random_sampler(rng, columns)
    run, chosen = (replace(random_rules(rng, columns), sampler=sampler) for _ in range(2))
    exact = sampler is None or type(sampler) is not Spread
    low = float(rng.choice([0, 0.2])) if sampler is None and exact else 0.0
    return Case(cells, run, chosen, low)


def sampler_rank(sampler, cells):
    """The place of each cell in the sampler's order: how many choices of 1, 2, … lack it."""
    every = tiles_of(cells, np.ones(cells.ratios.shape, bool), SLIDE)
    count = len(every)
    more = {} if isinstance(sampler, Top) else {"by": None}
    choices = [
        replace(sampler, n=n, fraction=None, **more).choose(every) for n in range(1, count + 1)
    ]
    return count - np.sum(choices, axis=0)


def rules_of(case, rules):
    sampler = rules.sampler
    return {
        "threshold": rules.threshold,
        "filters": [
            {"name": name, "min": score.min, "max": score.max, "mpp": score.mpp}
            for name, score in rules.filters.items()
        ],
        "keep": None if rules.labels is None else rules.labels.keep,
        "sampler": sampler
        and {
            "name": type(sampler).__name__.lower(),
            "n": sampler.n,
            "fraction": sampler.fraction,
            "by": getattr(sampler, "by", None),
            "exact": not isinstance(sampler, Spread),
        },
        "measured_from": case.measured_from,
    }


def slide_of(case, decision):
    cells = case.cells
    columns = {"ratio": cells.ratios, **cells.values}
    if isinstance(case.run.sampler, Random | Top):
        columns["sampler_rank"] = sampler_rank(case.run.sampler, cells)
    x0 = [round(value * 2.5) for value in cells.x.tolist()]
    y0 = [round(value * 2.5) for value in cells.y.tolist()]
    return {
        "version": 1,
        "n": 0,
        "slide_id": SLIDE,
        "resolution": "mpp_0.5",
        "size": [7, 3],
        "x": cells.x.tolist(),
        "y": cells.y.tolist(),
        "x0": x0,
        "y0": y0,
        "width0": [round((value + 7) * 2.5) - x0[i] for i, value in enumerate(cells.x.tolist())],
        "height0": [round((value + 3) * 2.5) - y0[i] for i, value in enumerate(cells.y.tolist())],
        "columns": {name: packed(values) for name, values in columns.items()},
        "decision": packed(decision.codes),
        "reasons": list(decision.reasons),
    }


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Each case with Python's decision about the chosen rules, and what the page finds."""
    judge = make_judge(tmp_path_factory.mktemp("judge"))
    cases = [random_case(seed) for seed in range(CASES)]
    before = [decide(case.cells, case.run, SLIDE) for case in cases]
    after = [decide(case.cells, case.chosen, SLIDE) for case in cases]
    sent = [
        {"slide": slide_of(case, decision), "rules": rules_of(case, case.chosen)}
        for case, decision in zip(cases, before, strict=True)
    ]
    return [*zip(cases, before, after, judge(sent), strict=True)]


def reasons(found):
    return [found["reasons"][code] for code in found["codes"]]


def test_codes_and_counts_are_those_of_tiler(judged):
    exact = Counter()
    for case, _, decision, found in judged:
        expected = decision.text().ravel().tolist()
        shown = reasons(found)
        if isinstance(case.chosen.sampler, Spread):  # the page knows only the number
            expected = ["left_to_sampler" if e in ("kept", "not_sampled") else e for e in expected]
            assert found["kept"] == decision.counts["kept"]
        elif case.chosen.filters and case.measured_from:
            ratios = case.cells.ratios.ravel()
            unknown = (ratios >= case.chosen.threshold) & (ratios < case.measured_from)
            expected = ["unknown" if u else e for e, u in zip(expected, unknown, strict=True)]
        else:
            assert {**dict.fromkeys(found["reasons"], 0), **decision.counts} == dict(
                zip(found["reasons"], found["counts"], strict=True)
            )
            assert found["kept"] == decision.counts["kept"]
        assert shown == expected
        exact.update(set(shown))
        exact[type(case.chosen.sampler).__name__] += 1
    for reason in ("kept", "below_threshold", "unreadable", "filter:pen", "label", "not_sampled"):
        assert exact[reason] > 5, reason
    for sampler in ("Random", "Top", "Spread", "NoneType"):
        assert exact[sampler] > 5, sampler
    assert exact["unknown"] > 1


def test_the_kept_table_is_the_csv_of_tiler(judged):
    compared = 0
    for case, _, decision, found in judged:
        if isinstance(case.chosen.sampler, Spread) or case.measured_from:
            continue
        regions = Candidates(case.cells, decision).regions(MPP(0.5))
        kept = regions.take(np.flatnonzero(decision.kept.ravel()))
        del kept.columns["decision"]
        if len(kept):  # without rows, tiler's table has no further columns
            assert found["kept_csv"] == "".join(csv_parts(SLIDE, kept))
            compared += 1
    assert compared > 30


def test_the_table_of_changes_lists_gained_and_lost_tiles(judged):
    for case, before, decision, found in judged:
        if isinstance(case.chosen.sampler, Spread) or case.measured_from:
            continue
        was, now = before.kept.ravel(), decision.kept.ravel()
        assert found["changed"] == np.flatnonzero(was != now).tolist()
        rows = [*csv.DictReader(io.StringIO(found["changes_csv"]))]
        assert [row["before"] == "kept" for row in rows] == was[was != now].tolist()
        assert [row["after"] == "kept" for row in rows] == now[was != now].tolist()
        nx = len(case.cells.x)
        assert [int(row["row"]) * nx + int(row["column"]) for row in rows] == found["changed"]
