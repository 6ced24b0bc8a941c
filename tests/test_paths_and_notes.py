"""Every row contains the slide's path as given, and the user's own columns."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from command import read_csv, tiler
from hypothesis import given
from hypothesis import strategies as st
from tracked import COMMON, picture

from tiler.runner.reporting.tables import read_slides, slides_table
from tiler.runner.work.job import SlideRow
from tiler.storage.csv_text import csv_text
from tiler.sweep.parquet import _kind, write_parquet

SETTINGS = COMMON[2:]
TEXT = st.text(st.characters(exclude_characters="\0"), max_size=20)
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]|\r(?!\n)")


def shown(text: str) -> str:
    """Return a text as a table contains it."""
    return CONTROL.sub(lambda found: ascii(found[0])[1:-1].replace("\\r", "\\x0d"), text)


def test_paths_are_reported_as_given(tmp_path: Path) -> None:
    for name in ("in/a.png", "in/sub/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        picture(tmp_path, name)
    (tmp_path / "in/gone.png").symlink_to("nowhere.png")
    (tmp_path / "in/t.csv").write_text("path\nsub/b.png\n../in/a.png\nmissing.png\n")
    cases = {
        "slides.paths='in/**/*.png'": (".", ["in/a.png", "in/gone.png", "in/sub/b.png"]),
        "slides.paths='~/in/a.png'": (".", ["~/in/a.png"]),
        "slides.table=in/t.csv": ("in", ["sub/b.png", "../in/a.png", "missing.png"]),
        "slides.table='~/in/t.csv'": ("~/in", ["sub/b.png", "../in/a.png", "missing.png"]),
    }
    for number, (words, (base, paths)) in enumerate(cases.items()):
        group = "table" if "table" in words else "files"
        out = tmp_path / f"out{number}"
        done = tiler(f"slides={group}", words, *SETTINGS, f"out=out{number}", cwd=tmp_path,
                     env={"HOME": str(tmp_path)})  # fmt: skip
        assert done.returncode == (0 if len(paths) == 1 else 3), done.stderr
        rows = read_csv(out / "slides.csv")
        assert [row["path"] for row in rows] == paths
        assert json.loads((out / "run.json").read_text())["slides"] == {"base": base}
        for row in rows:
            if row["status"] == "done":
                record = json.loads((out / f"slides/{row['slide_id']}/record.json").read_text())
                assert record["path"] == record["row"]["path"] == row["path"]
        written = b"".join(path.read_bytes() for path in out.rglob("*.[jc]s*"))
        assert str(tmp_path).encode() not in written, "nothing that the user did not write"
    again = tiler("slides=table", "slides.table=in/t.csv", *SETTINGS, "out=out3", cwd=tmp_path)
    assert "2 of 3 slides are done already" in again.stderr
    assert [row["path"] for row in read_csv(tmp_path / "out3/slides.csv")] == paths


def test_a_run_over_moved_slides_lists_their_new_paths(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    path = picture(tmp_path, "old/a.png")
    for folder in ("old", "new"):
        if folder == "new":
            shutil.move(path.parent, tmp_path / "new")
        done = tiler(
            "slides=files", f"slides.paths={folder}/a.png", *SETTINGS, "out=out", cwd=tmp_path
        )
        (row,) = read_csv(tmp_path / "out/slides.csv")
        assert row["path"] == f"{folder}/a.png"
    assert "1 of 1 slides are done already" in done.stderr


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=4))
def test_a_table_of_slides_is_read_back_with_any_cells(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str, str]]
) -> None:
    out = tmp_path_factory.getbasetemp()
    rows = [
        SlideRow(f"s{n}", "done", reason, path=path) for n, (reason, path, _) in enumerate(cells)
    ]
    table = slides_table(rows, [{"_note": note} for _, _, note in cells])
    (out / "slides.csv").write_bytes(table)
    data = table
    assert not CONTROL.search(data.decode(errors="surrogateescape"))
    found = read_slides(out)
    assert [(row["reason"], row["path"], row["_note"]) for row in found] == [
        tuple(map(shown, row)) for row in cells
    ]


NOTES = ("path,_who,threshold,_a label\n"
         'pic.png,"Müller, ""A""\r\nB",,=1+1\n'
         "other.png,,0.1,NA\n"
         "missing.png,\t007 ,,\x1b[31mred\n")  # fmt: skip


def test_notes_of_the_users_table_are_carried(tmp_path: Path) -> None:
    picture(tmp_path)
    picture(tmp_path, "other.png")
    (tmp_path / "t.csv").write_bytes(NOTES.encode())
    expected = [
        ('Müller, "A"\r\nB', "=1+1"),
        ("", "NA"),
        ("007", r"\x1b[31mred"),
    ]
    words = ["slides=table", "slides.table=t.csv", *SETTINGS]
    assert tiler(*words, "out=out", cwd=tmp_path).returncode == 3
    rows = read_csv(tmp_path / "out/slides.csv")
    assert [(row["_who"], row["_a label"]) for row in rows] == expected
    assert list(rows[0])[-2:] == ["_who", "_a label"]
    done = tiler("-m", *words, "tile.size=16,32", "out=sweep", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    rows = read_csv(tmp_path / "sweep/sweep.csv")
    assert [(row["_who"], row["_a label"]) for row in rows] == expected * 2
    same = tiler("out", "sweep/tile.size=16", cwd=tmp_path, module="tiler.compare")
    assert same.returncode == 0, same.stdout + same.stderr
    parquet = pytest.importorskip("pyarrow.parquet", reason="tiler[parquet] is not installed")
    table = parquet.read_table(tmp_path / "sweep/sweep.parquet").to_pylist()
    assert [(row["_who"] or "", row["_a label"] or "") for row in table] == expected * 2
    assert [row["tile.size"] for row in table] == [16] * 3 + [32] * 3


NAMES = ["001", "1", "0010", "1e5", "NA", "nan", "True", "null", "2021-01-02", "1_0", "0x10", "N"]


@pytest.mark.slow
def test_slides_called_like_numbers_or_nothing_stay_text(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="tiler[parquet] is not installed")
    (tmp_path / "in").mkdir()
    for name in NAMES:
        picture(tmp_path, f"in/{name}.png")
    words = ["slides=files", "slides.paths='in/*.png'", *SETTINGS[:3], "exporter=[csv,json]"]
    done = tiler("-m", *words, "mask=none", "threshold=0,1", "out=sweep", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = parquet.read_table(tmp_path / "sweep/sweep.parquet").to_pylist()
    assert sorted(row["slide_id"] for row in table) == sorted(NAMES * 2)
    assert {row["path"] for row in table} == {f"in/{name}.png" for name in NAMES}
    assert {row["threshold"] for row in table} == {0, 1}
    for name in NAMES:
        (path,) = (tmp_path / "sweep/threshold=0").rglob(f"{name}.json")
        assert {item["slide"] for item in json.loads(path.read_text())} == {name}
    same = tiler("sweep", "sweep", cwd=tmp_path, module="tiler.compare")
    assert same.returncode == 0, same.stdout + same.stderr
    assert f"equal: {len(NAMES) * 2} slides" in same.stdout


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["0.1", "0.5"], float),
        (["1e5", "-2"], float),
        (["16", "null", "0"], int),
        (["001", "1"], str),
        (["1_0", "2"], str),
        (["NA", "1"], str),
        (["null", ""], str),
        (["true", "false"], bool),
        (["True", "1"], str),
        (["9" * 30, "1"], float),
        (["'1'", "'2'"], str),
        (["[1,2]", "3"], str),
        (["١", "٢"], str),
    ],
)
def test_a_swept_column_has_the_type_of_its_values(
    tmp_path: Path, cells: list[str], kind: type
) -> None:
    assert _kind(cells) is kind
    parquet = pytest.importorskip("pyarrow.parquet", reason="tiler[parquet] is not installed")
    rows = [{"job": cell, "swept": cell} for cell in cells]
    (tmp_path / "sweep.csv").write_text(csv_text(["job", "swept"], rows))
    write_parquet(tmp_path / "sweep.csv")
    table = parquet.read_table(tmp_path / "sweep.parquet").to_pydict()
    assert table["job"] == [cell or None for cell in cells]
    missing = ("", "null") if kind is not str else ("",)
    for value, cell in zip(table["swept"], cells, strict=True):
        assert value is None if cell in missing else type(value) is kind


@pytest.mark.slow
def test_a_name_that_is_no_utf_8_does_not_end_a_sweep(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="tiler[parquet] is not installed")
    name = os.fsdecode(b"caf\xe9.png")
    picture(tmp_path, name)
    words = ["slides=files", "slides.paths='*.png'", *SETTINGS, "threshold=0,1", "out=sweep"]
    done = tiler("-m", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {row["path"] for row in read_csv(tmp_path / "sweep/sweep.csv")} == {name}
    table = parquet.read_table(tmp_path / "sweep/sweep.parquet").to_pydict()
    assert set(table["path"]) == {r"caf\xe9.png"}
