"""docs/outputs.md names every file, column, status and error code that a run can produce."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from command import tiler
from tracked import COMMON, picture

from tiler.errors import TilerError, UnforeseenError
from tiler.exporters.tables.csv_json import COLUMNS, FILE
from tiler.runner.reporting.tables import COLUMNS as SLIDE_COLUMNS
from tiler.runner.work.job import STATUSES

PAGE = (Path(__file__).parents[1] / "docs/outputs.md").read_text(encoding="utf-8")


def documented(heading: str) -> set[str]:
    """Return all names in the first column of the tables below a heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    first = re.findall(r"^\| (.+?) \|", section, re.MULTILINE)
    return {name for cell in first for name in re.findall(r"`([^`]+)`", cell)}


def codes(kind: type[Exception]) -> set[str]:
    """Return the codes of an error class and of all classes below it."""
    below = (
        codes(other) for other in kind.__subclasses__() if other.__module__.startswith("tiler")
    )
    return {kind.code}.union(*below)


def test_every_column_is_documented() -> None:
    further = {
        "row",
        "column",
        "tissue_id",
        "label",
        "label_<class>",
        "score_<filter>",
        "parent_id",
    }
    assert documented("Columns of a slide's table") == {*COLUMNS, *further, FILE}
    names = {field.name for field in SLIDE_COLUMNS}
    assert documented("Columns of `slides.csv`") == {*names, *STATUSES, "dropped_<filter>", "_…"}


def test_every_error_code_is_documented() -> None:
    assert issubclass(UnforeseenError, TilerError)
    assert documented("Error codes") == codes(TilerError) - {"E_TILER"}


@pytest.mark.slow
def test_every_file_of_a_run_and_a_sweep_is_documented(tmp_path: Path) -> None:
    picture(tmp_path)
    words = (*COMMON, "exporter=[csv,json,images,mask,overview]", "out=out")
    assert tiler(*words, "dry_run=true", cwd=tmp_path).returncode == 0
    assert tiler(*words, cwd=tmp_path).returncode == 0
    assert tiler("-m", "threshold=0.1,0.2", *COMMON, "out=sweep", cwd=tmp_path).returncode == 0
    named = {name.rstrip("/").replace("<slide_id>", "pic") for name in documented("Files of a run")}
    for place in (tmp_path / "out").iterdir():
        assert place.name in {*named, "slides"}
    for place in (tmp_path / "out/slides/pic").iterdir():
        assert {f"slides/pic/{place.name}", f"slides/pic/{place.name}/*.png"} & named
    for place in (tmp_path / "sweep").iterdir():
        assert place.name in named or place.name.startswith("threshold="), place.name


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_tab_completion_prints_what_a_shell_reads(tmp_path: Path, shell: str) -> None:
    words = [sys.executable, "-m", "tiler", "--shell-completion", f"install={shell}"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "complete" in done.stdout
