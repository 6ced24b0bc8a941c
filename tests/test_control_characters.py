"""Control characters in names reach neither terminals, nor logs, nor tables."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from command import read_csv, tiler
from hypothesis import given
from hypothesis import strategies as st
from tracked import picture

from tiler.runner.reporting.log_records import clean_log_records
from tiler.storage.csv_text import csv_text
from tiler.storage.safe_text import json_text, visible

ODD = "\x1b]0;title\x07\x1b[2J\r\x9b31m\u202egnp\u2066\x08\x7f"
"""ESC, OSC, BEL, CR, C1, overrides of the text direction, backspace and delete."""

_RANGES = (0, 0x20), (0x7F, 0xA0), (0x2028, 0x202F), (0x2066, 0x206A)
CONTROLS = {chr(code) for first, end in _RANGES for code in range(first, end)} - {"\n", "\t"}
TEXTS = ("run.log", "run.json", "slides.csv", "events.jsonl", "record.json", "sweep.csv",
         "sweep.json", "multirun.yaml", "odd.csv", "odd.json")  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Slides, a folder and a table's column with control characters; one file is no slide."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / f"in{ODD}").mkdir()
    picture(folder / f"in{ODD}", f"a{ODD}.png")
    (folder / f"in{ODD}/b{ODD}.svs").write_text(f"no slide {ODD}")
    picture(folder, "odd.png")
    rows = [("path", f"_note{ODD}"), (f"in{ODD}/a{ODD}.png", f"n{ODD}"), ("odd.png", "n"),
            (f"in{ODD}/b{ODD}.svs", "x"), (f"gone{ODD}.svs", "x")]  # fmt: skip
    quoted = (",".join(f'"{cell}"' for cell in row) for row in rows)
    (folder / "slides.csv").write_text("\n".join(quoted) + "\n", newline="")
    return folder


def controls_in(text: str) -> set[str]:
    return CONTROLS & set(text.replace("\r\n", "\n"))


COMMON = ("resolution=level", "resolution.value=0", "tile.size=16", "mask=none",
          "exporter=[csv,json]")  # fmt: skip


TABLE = ("slides=table", "slides.table=slides.csv")
FILES = ("slides=files", "slides.paths=['in*/*',odd.png]")


@pytest.mark.parametrize(
    ("engine", "slides"),
    [
        ("serial", TABLE),
        ("serial", FILES),
        ("processes", TABLE),
        pytest.param("dask", TABLE, marks=pytest.mark.slow),
    ],
)
def test_no_engine_passes_on_control_characters(
    folder: Path, engine: str, slides: tuple[str, ...]
) -> None:
    if engine == "dask":
        pytest.importorskip("distributed", reason="tiler[dask] is not installed")
    workers = [] if engine == "serial" else ["engine.workers=1"]
    out = f"{engine}_{slides[0][7:]}"
    done = tiler(*COMMON, *slides, f"engine={engine}", *workers, f"out={out}", cwd=folder)
    assert done.returncode == 3, done.stderr
    assert controls_in(done.stderr + done.stdout) == set()
    assert r"\x1b" in done.stderr
    check_files(folder / out)
    rows = read_csv(folder / out / "slides.csv")
    assert {row["status"] for row in rows} == {"done", "failed"}
    assert controls_in("".join(row["slide_id"] for row in rows)) == set()
    same = tiler(out, out, cwd=folder, module="tiler.compare")
    assert controls_in(same.stdout + same.stderr) == set()


def test_no_sweep_passes_on_control_characters(folder: Path) -> None:
    words = ("-m", "threshold=0,0.1", *COMMON, *TABLE)
    done = tiler(*words, "out=sweep", cwd=folder)
    assert done.returncode == 3, done.stderr
    assert controls_in(done.stderr + done.stdout) == set()
    check_files(folder / "sweep")


def check_files(out: Path) -> None:
    """Check all texts of a run; its names of files are safe, and its JSON means the same."""
    names = [path.relative_to(out).as_posix() for path in out.rglob("*")]
    assert controls_in("".join(names)) == set()
    texts = [path for path in out.rglob("*") if path.name in TEXTS or path.suffix == ".csv"]
    assert {"run.log", "run.json", "slides.csv", "record.json"} <= {path.name for path in texts}
    for path in texts:
        assert controls_in(path.read_bytes().decode(errors="replace")) == set(), path
    run = next(out.rglob("run.json"))
    records = [json.loads(path.read_text()) for path in run.parent.glob("slides/*/record.json")]
    assert {record["path"] for record in records} >= {"odd.png"}
    assert any(f"a{ODD}.png" in record["path"] for record in records), "as it was given"


@pytest.mark.parametrize(
    "words",
    [[f"slides.paths=/nowhere{ODD}"], [f"threshold={ODD}"], [f"x{ODD}=1"], [f"reader=x{ODD}"],
     [f"exporter=[csv{ODD}]"], [f"--config-dir=x{ODD}"], ["--rerun", f"x{ODD}"]],
)  # fmt: skip
def test_no_refusal_passes_on_control_characters(tmp_path: Path, words: list[str]) -> None:
    done = tiler("slides=files", *words, "out=out", cwd=tmp_path)
    assert done.returncode in (2, 3)
    assert controls_in(done.stderr + done.stdout) == set()
    assert "Traceback" not in done.stderr


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_is_visible_and_json_means_the_same(text: str) -> None:
    assert controls_in(visible(text)) == set()
    assert controls_in(csv_text([text], [{text: text}])) == set()
    safe = json_text({"x": [text]})
    assert controls_in(safe) == set()
    if "@" not in text and not {"=", ":"} & set(text):
        assert json.loads(safe) == {"x": [text]}
        assert visible(text) == text or controls_in(text)


def test_a_log_record_is_one_entry_whatever_its_arguments(caplog: pytest.LogCaptureFixture) -> None:
    before = logging.getLogRecordFactory()
    clean_log_records()
    try:
        clean_log_records()
        try:
            raise ValueError(f"bad\n12:00:00 INFO forged {ODD}")
        except ValueError:
            logging.getLogger("anybody").exception("slide %s: %d", f"a\n{ODD}", 3)
    finally:
        logging.setLogRecordFactory(before)
    assert controls_in(caplog.text) == set()
    _, *further = caplog.text.splitlines()
    assert all(line.startswith((" ", "Traceback (most recent")) for line in further)
    assert ": 3" in caplog.text
    assert "forged" in caplog.text
