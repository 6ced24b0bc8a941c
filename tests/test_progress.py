"""Log lines during a run and at its end."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path

import pytest
from command import read_csv, tiler
from hypothesis import given
from hypothesis import strategies as st
from tracked import COMMON, picture

from tiler.runner.ledger import summary
from tiler.runner.reporting.progress import progress
from tiler.runner.work.job import STATUSES, SlideRow

TESTS = Path(__file__).parent
STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


@given(st.lists(st.tuples(st.sampled_from(STATUSES), st.integers(0, 10**7)), max_size=30))
def test_the_last_line_counts_every_slide_and_tile(slides: list[tuple[str, int]]) -> None:
    rows = [SlideRow(f"s{n}", status, kept=kept) for n, (status, kept) in enumerate(slides)]
    text = summary(rows).replace(",", "")
    found = re.fullmatch(
        r"(\d+) slides?: (\d+) done(?: \((\d+) empty\))?(?: (\d+) failed)?(?: (\d+) interrupted)?;"
        r" (\d+) tiles?",
        text,
    )
    assert found, text
    total, done, empty, failed, interrupted, tiles = (int(group or 0) for group in found.groups())
    assert total == len(rows) == done + failed + interrupted
    assert empty == sum(row.status == "done_empty" for row in rows)
    assert failed == sum(row.status == "failed" for row in rows)
    assert tiles == sum(row.kept for row in rows)


def test_a_run_ends_with_its_counts_and_keeps_its_log(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        picture(tmp_path, name)
    (tmp_path / "c.png").write_bytes(b"")
    words = ("slides=files", "slides.paths=[a.png,b.png,c.png]", *COMMON[2:], "out=out")
    first = tiler(*words, cwd=tmp_path)
    assert first.returncode == 3, first.stderr
    tiles = sum(int(row["kept"]) for row in read_csv(tmp_path / "out/slides.csv"))
    last = f"3 slides: 2 done, 1 failed; {tiles} tiles; report: tiler-report out"
    assert first.stderr.splitlines()[-1].endswith(f"INFO {last}")
    log = (tmp_path / "out/run.log").read_text()
    lines = log.splitlines()
    assert all(re.match(rf"{STAMP} [A-Z]+ ", line) for line in lines), log
    assert lines[-1].endswith(last)
    assert sum("c failed: E_OPEN" in line for line in lines) == 1

    (tmp_path / "c.png").unlink()
    assert tiler(*words, cwd=tmp_path).returncode == 3
    both = (tmp_path / "out/run.log").read_text()
    assert both.startswith(log)
    assert "2 of 3 slides are done already" in both[len(log) :]


TALKING = {"TILER_TARGETS": "faulty", "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}


@pytest.mark.parametrize(
    "words",
    [
        ["engine=serial"],
        ["engine=processes", "engine.workers=2"],
        pytest.param(["engine=dask", "engine.workers=2"], marks=pytest.mark.slow),
        pytest.param(
            ["-m", "threshold=0", "engine=processes", "engine.workers=2"], marks=pytest.mark.slow
        ),
        pytest.param(
            ["-m", "threshold=0", "hydra/launcher=submitit_local"], marks=pytest.mark.slow
        ),
    ],
    ids=" ".join,
)
def test_lines_of_workers_are_in_the_log_once_and_name_their_slide(
    tmp_path: Path, words: list[str]
) -> None:
    for name in ("a.png", "b.png"):
        picture(tmp_path, name)
    common = ("slides=files", "slides.paths=[a.png,b.png]", *COMMON[2:5], "out=out")
    mask = ("mask=otsu", "mask._target_=faulty.TalkingMask")
    done = tiler(*words, *common, *mask, cwd=tmp_path, env=TALKING)
    assert done.returncode == 0, done.stderr
    (log,) = tmp_path.glob("out/**/run.log")
    lines = [re.sub(rf"^{STAMP} ", "", line) for line in log.read_text().splitlines()]
    for slide in ("a", "b"):
        assert lines.count(f"WARNING slide={slide} found 2 pens") == 1, lines
        assert lines.count(f"INFO slide={slide} is pale") == 1, lines
        assert lines.count(f"ERROR slide={slide} no normalisation") == 1, lines
    assert [line.strip() for line in lines].count("LookupError: no stain") == 2
    assert not any("nobody wants to know" in line for line in lines)
    if "-m" not in words:
        assert done.stderr.count("found 2 pens") == 2


@pytest.mark.slow
def test_lines_of_a_worker_that_died_are_in_the_log(tmp_path: Path) -> None:
    picture(tmp_path, "killed.png")
    common = ("slides=files", "slides.paths=killed.png", *COMMON[2:5], "out=out")
    mask = ("mask=otsu", "mask._target_=faulty.TalkingMask")
    words = ("engine=processes", "engine.workers=1", *common, *mask)
    assert tiler(*words, cwd=tmp_path, env=TALKING).returncode == 3
    log = (tmp_path / "out/run.log").read_text()
    assert log.count("slide=killed found 2 pens") == 2  # it is tried twice


@pytest.mark.parametrize(("kind", "code"), [("theirs", 2), ("link", 4)])
def test_a_run_log_that_is_not_tilers_stays_as_it_is(tmp_path: Path, kind: str, code: int) -> None:
    picture(tmp_path, "a.png")
    (tmp_path / "out").mkdir()
    log, notes = tmp_path / "out/run.log", tmp_path / "notes.txt"
    notes.write_text("my own words\n")
    log.symlink_to(notes) if kind == "link" else log.write_text("my own words\n")
    words = ("slides=files", "slides.paths=a.png", *COMMON[2:], "out=out")
    done = tiler(*words, cwd=tmp_path)
    assert done.returncode in (2, code), done.stderr
    assert "run.log" in done.stderr
    assert log.read_text() == "my own words\n"


def test_a_long_slide_is_named_regularly_without_a_terminal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "tiler")
    with progress(2, every_s=0.02) as bar:
        bar.began("long")
        bar.began("other")
        wait_for(caplog, "long: finding tissue; other: finding tissue")
        bar.planned("long", 4000)
        bar.tiles("long", 1200)
        bar.slide(SlideRow("other", "done"))
        wait_for(caplog, "under way: long: 1,200 of 4,000 tiles")
        bar.slide(SlideRow("long", "done"))
    caplog.clear()
    time.sleep(0.1)
    assert not caplog.records


def wait_for(caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Wait until a line is logged; fail after ten seconds."""
    end = time.monotonic() + 10
    while not any(text in record.getMessage() for record in caplog.records):
        assert time.monotonic() < end, [record.getMessage() for record in caplog.records]
        time.sleep(0.01)
