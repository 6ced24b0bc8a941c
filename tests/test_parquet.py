"""Tiles as Parquet: a table per slide and one of the run, read back by pyarrow and DuckDB."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
import tifffile
from command import read_csv, tiler
from pyarrow import parquet

from tiler.exporters import ParquetExporter
from tiler.protocols import FinishedSlide

WORDS = ["slides=files", "slides.paths=in", "reader.mpp=4", "reader.magnification=20",
         "resolution=mpp", "resolution.value=4", "tile.size=32", "out=out"]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with three slides: tissue, none, and more tissue."""
    noise = np.random.default_rng(0).integers(0, 40, (160, 224, 3))
    (tmp_path / "in").mkdir()
    for number, name in enumerate(("a", "b", "c")):
        pixels = np.full((160, 224, 3), (215, 214, 215)) + noise
        if name != "b":
            pixels[20:130, 30 : 130 + 20 * number] = (150, 60, 140)
        path = tmp_path / f"in/{name}.tiff"
        tifffile.imwrite(path, pixels.astype(np.uint8), tile=(64, 64), photometric="rgb")
    return tmp_path


def done(folder: Path, *words: str, code: int = 0) -> str:
    result = tiler(*WORDS, *words, cwd=folder)
    assert result.returncode == code, result.stderr
    return result.stderr


def facts(path: Path) -> dict[str, Any]:
    return json.loads(parquet.read_schema(path).metadata[b"tiler"])


def typed(row: dict[str, str], schema: Any) -> dict[str, Any]:
    """Return a row of a CSV table with the types of a schema; an empty number is null."""
    kinds = {"int64": int, "double": float, "string": str}
    return {
        name: kinds[str(schema.field(name).type)](cell) if cell or name == "label" else None
        for name, cell in row.items()
    }


def test_rows_are_those_of_the_csv_and_empty_slides_have_the_same_schema(folder: Path) -> None:
    drawn = {"type": "Polygon", "coordinates": [[[30, 20], [90, 20], [90, 130], [30, 20]]]}
    feature = {"type": "Feature", "geometry": drawn,
               "properties": {"classification": {"name": "tumor"}}}  # fmt: skip
    (folder / "drawn.geojson").write_text(json.dumps(feature))
    done(
        folder, "exporter=[csv,parquet,images]", "label=annotation", "label.path=drawn.geojson",
        "filter=[blur]", "filter.blur.mpp=null", "pyramid=[8.0]", "mask=otsu", "threshold=0.3",
    )  # fmt: skip
    tables = {name: folder / f"out/slides/{name}/{name}.parquet" for name in "abc"}
    schemas = {name: parquet.read_schema(path) for name, path in tables.items()}
    assert schemas["a"].equals(schemas["b"])
    assert schemas["a"].equals(schemas["c"])
    counts = {row["slide_id"]: int(row["kept"]) for row in read_csv(folder / "out/slides.csv")}
    assert counts["b"] == 0 < counts["a"] < counts["c"]
    for name, path in tables.items():
        with path.with_suffix(".csv").open(newline="") as file:
            reader = csv.DictReader(file)
            rows = [typed(row, schemas[name]) for row in reader]
            assert schemas[name].names == reader.fieldnames
        assert parquet.read_table(path).to_pylist() == rows
        assert len(rows) == counts[name]
    wanted = {"label", "label_tumor", "score_blur", "parent_id", "file", "row", "tissue_id"}
    assert wanted <= set(schemas["b"].names)
    whole = parquet.read_table(folder / "out/tiles.parquet")
    assert whole.schema.equals(schemas["a"])
    assert whole.to_pylist() == [
        row for path in tables.values() for row in parquet.read_table(path).to_pylist()
    ]


def test_duckdb_joins_the_run_with_its_slides(folder: Path) -> None:
    done(folder, "exporter=[csv,parquet]")
    out = folder / "out"
    found = duckdb.sql(
        "select s.slide_id, s.kept, count(t.slide) from"
        f" '{out}/slides.csv' s left join '{out}/tiles.parquet' t on s.slide_id = t.slide"
        " group by all order by all"
    ).fetchall()
    assert [row[0] for row in found] == ["a", "b", "c"]
    assert all(kept == count for _, kept, count in found)
    groups = parquet.ParquetFile(out / "tiles.parquet").num_row_groups
    assert groups == 1, "small slides share one"


def test_the_schema_says_how_the_tiles_were_made(folder: Path) -> None:
    done(folder, "exporter=[parquet]", "threshold=0.25", "mask=hsv", "resolution.value=8")
    own = facts(folder / "out/slides/b/b.parquet")
    assert own["settings"]["threshold"] == 0.25
    assert own["settings"]["mask"]["_target_"] == "tiler.masks.HsvMask"
    assert own["settings"]["tile"]["size"] == 32
    assert "exporter" not in own["settings"]
    del own["settings"], own["tiler"]
    assert own == {"slide": "b", "requested": "mpp_8.0", "downsample": 2.0, "effective_mpp": 8.0,
                   "mpp": 4.0, "magnification": 20.0}  # fmt: skip
    whole = facts(folder / "out/tiles.parquet")
    assert whole["settings"]["threshold"] == 0.25
    assert whole["settings"]["tile.size"] == 32
    assert (whole["slides"], whole["settings_that_differ"]) == (3, [])


def test_settings_and_columns_that_differ_between_slides_are_named(folder: Path) -> None:
    (folder / "t.csv").write_text("path,threshold\nin/a.tiff,0.2\nin/c.tiff,0.6\n")
    words = [word for word in WORDS if not word.startswith("slides")]
    result = tiler("slides=table", "slides.table=t.csv", *words, "exporter=[parquet]", cwd=folder)
    assert result.returncode == 0, result.stderr
    whole = facts(folder / "out/tiles.parquet")
    assert whole["settings_that_differ"] == ["threshold"]
    assert "threshold" not in whole["settings"]


def test_a_column_that_a_slide_lacks_is_null(tmp_path: Path) -> None:
    import pyarrow

    slides = []
    for name, columns in (("a", {"x": [1]}), ("b", {"x": [2], "label_t": [0.5]}), ("c", {})):
        folder = tmp_path / name
        folder.mkdir()
        table = pyarrow.table({"slide": [name] * len(columns.get("x", [])), **columns})
        parquet.write_table(table, folder / f"{name}.parquet")
        slides.append(slide_of(folder))
    (content,) = ParquetExporter().run_files(slides).values()
    (tmp_path / "t.parquet").write_bytes(b"".join(content))
    whole = parquet.read_table(tmp_path / "t.parquet")
    assert whole.column("label_t").to_pylist() == [None, 0.5]
    assert whole.column("slide").to_pylist() == ["a", "b"]
    assert whole.column("width").to_pylist() == [None, None]


def slide_of(folder: Path) -> FinishedSlide:
    return FinishedSlide(folder.name, folder, (), (), (), 1, "l_0", 1.0, None, None, None, {})


@pytest.mark.slow
def test_the_files_are_the_same_bytes_each_time(folder: Path) -> None:
    done(folder, "exporter=[parquet]")
    before = {path: path.read_bytes() for path in folder.rglob("*.parquet")}
    assert len(before) == 4
    shutil.rmtree(folder / "out")
    done(folder, "exporter=[images,parquet]", "exporter.parquet.file=false",
         "engine=processes", "engine.workers=2")  # fmt: skip
    assert {path: path.read_bytes() for path in folder.rglob("*.parquet")} == before


@pytest.mark.slow
def test_a_damaged_table_is_one_line_and_leaves_no_stale_table_of_the_run(folder: Path) -> None:
    done(folder, "exporter=[parquet]")
    path = folder / "out/slides/a/a.parquet"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1  # of the footer's length
    path.write_bytes(data)
    (folder / "out/tiles.parquet").unlink()
    said = done(folder, "exporter=[parquet]", code=3)
    (line,) = (line for line in said.splitlines() if "E_READ" in line)
    assert "slide=a: a.parquet cannot be read for tiles.parquet" in line
    assert not (folder / "out/tiles.parquet").exists()
    done(folder, "exporter=[parquet]", "verify=hash")
    assert parquet.read_table(folder / "out/tiles.parquet").num_rows > 0


@pytest.mark.slow
def test_a_job_of_a_sweep_has_its_own_table(folder: Path) -> None:
    result = tiler("-m", *WORDS, "threshold=0.2,0.9", "exporter=[parquet]", cwd=folder)
    assert result.returncode == 0, result.stderr
    rows = {
        path.parent.name: parquet.read_table(path).num_rows
        for path in folder.glob("out/*/tiles.parquet")
    }
    assert rows.keys() == {"threshold=0.2", "threshold=0.9"}
    assert rows["threshold=0.2"] > rows["threshold=0.9"]


def test_a_users_table_of_that_name_is_refused(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out/tiles.parquet").write_bytes(b"mine")
    said = done(folder, "exporter=[parquet]", code=2)
    assert "tiles.parquet is not a file that tiler wrote" in said
    assert [path.name for path in (folder / "out").iterdir()] == ["tiles.parquet"]
    assert (folder / "out/tiles.parquet").read_bytes() == b"mine"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measures the memory of a process")
def test_memory_does_not_grow_with_the_slides(tmp_path: Path) -> None:
    code = """
import sys, resource
from pathlib import Path
import pyarrow as pa
from pyarrow import parquet
from tiler.exporters import ParquetExporter
from tiler.protocols import FinishedSlide
folder, count = Path(sys.argv[1]), int(sys.argv[2])
numbers = list(range(50000))
table = pa.table({"slide": ["s"] * 50000, "x": numbers, "ratio": [i / 7 for i in numbers]})
parquet.write_table(table, folder / "s.parquet")
slide = FinishedSlide("s", folder, (), (), (), 1, "l_0", 1.0, None, None, None, {})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
(content,) = ParquetExporter().run_files([slide] * count).values()
print(sum(map(len, content)), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""

    def grown(count: int) -> tuple[int, int]:
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), str(count)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        size, memory = map(int, done.stdout.split())
        return size, memory

    (small, first), (large, second) = grown(3), grown(60)
    assert large > 15 * small
    assert second < first + 60_000, "KiB; the tables of 57 more slides are 60 MB"
