"""The run page as it is without JavaScript: reasons grouped, statuses, hostile names."""

from __future__ import annotations

import html
import re
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiler.report.run.failures import SHOWN, Group, grouped, split_reason

HOSTILE = "<script>alert(1)</script>\"'&"


def row(slide_id: str, reason: str) -> dict[str, object]:
    return {"slide_id": slide_id, "reason": reason}


def page(failures: list[Group] | None = None, empty: list[Group] | None = None, **run: Any) -> str:
    """Return the page of a run, a quarter of whose cells are kept unless stated."""
    counts = {"slides": 5, "done": 5, "done_empty": 0, "failed": 0, "interrupted": 0}
    facts = {
        "name": "r",
        "words": "256 px at 0.5 µm/px",
        "status": "done",
        "exit_code": 0,
        "counts": {**counts, "candidates": 8000, "kept": 2000},
        "funnel": [
            {"label": "grid cells", "reason": "", "left": 8000, "dropped": 0},
            {"label": "coverage at least 0.5", "reason": "x", "left": 2000, "dropped": 6000},
        ],
        **run,
    }
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("tiler.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    return templates.get_template("run.html").render(
        run=facts,
        failures=failures or [],
        empty=empty or [],
        missing=[],
        charts=[],
        stale=0,
        tiler="1",
        made="now",
    )


def test_reasons_that_differ_in_names_and_numbers_are_one_group() -> None:
    rows = [
        row("a1", "E_READ slide=a1: level 0 at (0, 7) 3x3: Bogus marker length"),
        row("other", "E_OPEN slide=other: other.svs is not a slide; get the file again"),
        row("b2", "E_READ slide=b2: level 0 at (512, 9) 3x3: Bogus marker length"),
    ]
    first, second = grouped(enumerate(rows))
    assert (first.code, first.count, first.text) == ("E_READ", 2, "")
    assert [(line.n, line.slide_id) for line in first.lines] == [(0, "a1"), (2, "b2")]
    assert first.lines[1].text == "level 0 at (512, 9) 3x3: Bogus marker length"
    assert second.text == "other.svs is not a slide; get the file again"
    assert [line.text for line in second.lines] == [""]


def test_a_slide_whose_name_is_in_a_word_of_the_reason_is_in_the_group() -> None:
    reason = "the slide is smaller than one tile"
    (group,) = grouped(enumerate([row("small", reason), row("other", reason)]))
    assert (group.title, group.text) == ("The slide is smaller than one tile", "")


@given(st.lists(st.sampled_from(["", "E_READ slide=x: bad", "no tissue", "1 tile"]), max_size=9))
def test_each_slide_is_in_one_group(reasons: list[str]) -> None:
    groups = grouped(enumerate(row(f"s{n}", reason) for n, reason in enumerate(reasons)))
    assert sorted(line.n for group in groups for line in group.lines) == [*range(len(reasons))]
    counts = [group.count for group in groups]
    assert counts == sorted(counts, reverse=True)


def test_a_long_group_lists_some_slides_and_counts_all() -> None:
    (group,) = grouped((n, row(f"s{n}", "E_READ slide=x: bad")) for n in range(SHOWN + 7))
    assert (group.count, len(group.lines)) == (SHOWN + 7, SHOWN)
    assert "and 7 more" in page([group])


def test_many_reasons_are_listed_in_part_and_counted_all() -> None:
    reasons = [chr(97 + n % 26) * (1 + n // 26) for n in range(50)]
    text = page(grouped(enumerate(row("s", f"E_READ slide=s: {reason}") for reason in reasons)))
    assert text.count('class="group"') == 40
    assert "and 10 other reasons of 10 slides" in text


def test_a_slide_id_with_a_colon_does_not_cut_the_reason() -> None:
    reason = "E_READ slide=a: b: level 0 is damaged"
    assert split_reason(reason, "a: b") == ("E_READ", "level 0 is damaged")


@pytest.mark.parametrize(
    ("status", "failed", "says"),
    [
        ("done", 0, "All slides are tiled"),
        ("interrupted", 0, "Start the same command again"),
        ("died", 0, "was killed"),
        ("failed", 5, "No slide could be tiled"),
        ("failed", 2, "2 slides could not be tiled"),
    ],
)
def test_the_page_states_how_the_run_ended(status: str, failed: int, says: str) -> None:
    counts = {"slides": 5, "failed": failed, "candidates": 9, "kept": 7}
    assert says in page(status=status, counts=counts)


def test_the_page_of_a_run_that_was_stopped_after_its_slides_does_not_miss_any() -> None:
    counts = {"slides": 5, "done": 5, "kept": 7, "interrupted": 0}
    assert "All slides have ended, but the run was stopped" in page(
        status="interrupted", counts=counts
    )
    left = page(status="interrupted", counts={**counts, "done": 4, "interrupted": 1})
    assert "The run ended before 1 slide." in left


def test_the_page_says_which_slides_of_a_finished_run_have_no_tiles() -> None:
    some = page(counts={"slides": 5, "done": 3, "done_empty": 2, "kept": 7})
    assert "All slides are tiled; 2 slides have no tile to keep" in some
    assert "No slide has a tile to keep" in page(counts={"slides": 5, "done_empty": 5, "kept": 0})


def test_an_empty_run_names_what_to_check() -> None:
    text = page(counts={"slides": 0}, funnel=[])
    assert "The run has no slides" in text
    assert 'id="slides"' not in text


def test_bars_of_the_funnel_are_the_shares() -> None:
    text = page()
    assert 'class="bar-kept" width="25.00"' in text
    assert 'x="25.00" width="75.00"' in text
    assert "25.0 %" in text


def test_hostile_names_are_text() -> None:
    failures = grouped([(0, row(HOSTILE, f"E_OPEN slide={HOSTILE}: {HOSTILE}"))])
    funnel = [{"label": HOSTILE, "reason": HOSTILE, "left": 1, "dropped": 0}]
    text = page(failures, name=HOSTILE, words=HOSTILE, funnel=funnel)
    assert text.count("<script") == 1  # the page's own
    assert html.unescape(text).count(HOSTILE) >= 5


def test_the_page_has_no_inline_script_or_style() -> None:
    text = page(grouped([(0, row("a", "E_OPEN slide=a: b"))]))
    assert not re.search(r"\sstyle=|<style|\son\w+=|javascript:", text)
    assert "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'" in text
    assert all("://" not in link for link in re.findall(r'(?:href|src)="([^"]*)"', text))
