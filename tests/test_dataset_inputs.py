"""Tables and records that a dataset reads: edited by users, damaged, or hostile."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from command import read_csv, tiler
from pyarrow import parquet
from test_dataset import write_slide

from tiler import TileDataset, TileStream
from tiler.errors import ChangedError, ConfigError, OpenError
from tiler.storage.stored import sealed


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a slide and its run, which has transforms and a table of all tiles."""
    folder = tmp_path_factory.mktemp("made")
    slide = write_slide(folder / "s.tiff", 1, 140, 260)
    done = tiler("slides=files", f"slides.paths=['{slide}']", "mask=none", "reader.mpp=1",
                 "exporter=[csv,parquet,images]", "resolution=level", "resolution.value=0",
                 "tile.size=64", "transform=[macenko,reinhard]", "out=out", cwd=folder)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "out")
    return tmp_path / "out"


def table(out: Path, **columns: Any) -> Path:
    """Write the table of a run with some columns replaced or added."""
    found = parquet.read_table(out / "tiles.parquet")
    for name, values in columns.items():
        there = found.schema.get_field_index(name)
        if there < 0:
            found = found.append_column(name, values)
        else:
            found = found.set_column(there, name, values)
    parquet.write_table(found, out / "edited.parquet")
    return out / "edited.parquet"


def column(out: Path, name: str) -> list[Any]:
    found: list[Any] = parquet.read_table(out / "tiles.parquet")[name].to_pylist()
    return found


def test_columns_never_take_the_place_of_pixels(copied: Path) -> None:
    texts = pa.array([f"thumb-{n}" for n in range(len(column(copied, "x")))])
    path = table(copied, image=texts, slide_id=texts, error=texts, note=texts)
    plain = TileDataset(copied)[1]
    for item in (TileDataset(path)[1], TileDataset(path, columns=["image", "note"])[1]):
        np.testing.assert_array_equal(item["image"], plain["image"])
        assert (item["slide_id"], item["note"]) == ("s", "thumb-1")
    assert TileDataset(path)[1]["error"] == "thumb-1"
    assert not TileDataset(path, on_bad_tile="mark")[1]["error"]
    assert next(iter(TileStream(path, batch=2)))["image"].shape == (2, 64, 64, 3)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_whole_numbers_that_a_join_made_floats_are_whole(copied: Path, suffix: str) -> None:
    places = {name: [float(one) for one in column(copied, name)] for name in ("x", "y0", "width")}
    path = table(copied, **{name: pa.array(values) for name, values in places.items()})
    if suffix == "csv":
        rows = parquet.read_table(path).to_pylist()
        path = copied / "edited.csv"
        with path.open("w", newline="", encoding="utf-8-sig") as file:  # as Excel writes it
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        assert ".0," in path.read_text()
    item = TileDataset(path)[3]
    expected = TileDataset(copied)[3]
    assert {**item, "image": 0} == {**expected, "image": 0}
    assert [type(item[name]) for name in ("x", "y", "x0", "y0")] == [int] * 4
    np.testing.assert_array_equal(item["image"], expected["image"])


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("x", None, "x=nan is no whole number"),
        ("y0", 0.5, "y0=0.5 is no whole number"),
        ("x", 1e300, r"x=1e\+300 is no whole number"),
        ("x", "7", "x has values that are no numbers"),
        ("width", "a", "width has values that are no numbers"),
        ("ratio", "a", "ratio has values that are no numbers"),
        ("ratio", None, "a ratio or a size is out of range"),
    ],
)
def test_places_that_are_no_numbers_are_refused(
    copied: Path, name: str, value: Any, what: str
) -> None:
    values = column(copied, name)
    if isinstance(value, str):
        values = [str(one) for one in values]
    elif name != "ratio":
        values = [float(one) for one in values]
    values[1] = value
    with pytest.raises(ConfigError, match=rf"edited\.parquet.* {what}"):
        TileDataset(table(copied, **{name: pa.array(values)}))


def test_a_csv_with_a_number_of_100_bits_is_refused(copied: Path) -> None:
    rows = read_csv(copied / "slides/s/s.csv")
    rows[0]["x"] = str(2**100)
    with (copied / "edited.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(ConfigError, match="is no whole number of pixels"):
        TileDataset(copied / "edited.csv")


def test_numbers_of_all_kinds_are_numbers(copied: Path) -> None:
    count = len(column(copied, "x"))
    odd = [None if n == 0 else n % 2 == 1 for n in range(count)]
    path = table(
        copied,
        price=pa.array([Decimal(f"{n}.50") for n in range(count)]),
        big=pa.array([2**63 + n for n in range(count)], pa.uint64()),
        odd=pa.array(odd),
    )
    assert len(TileDataset(path, where="price > 2.25")) == count - 2
    assert len(TileDataset(path, where="big > 5")) == count
    assert len(TileDataset(path, where="odd == True")) == odd.count(True)
    assert TileDataset(path)[2]["big"] == 2**63 + 2


def test_truth_values_in_a_csv_are_those_of_any_program(copied: Path) -> None:
    rows = read_csv(copied / "slides/s/s.csv")
    for spelled in ("True", "true", "TRUE"):
        other = spelled.replace("True", "False").replace("true", "false").replace("TRUE", "FALSE")
        for number, row in enumerate(rows):
            row["odd"] = spelled if number % 2 else other
            row["some"] = "" if number == 1 else row["odd"]
            row["note"] = row["odd"] + "?"
        with (copied / "edited.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        found = TileDataset(copied / "edited.csv", where="odd")
        assert found.column("odd").tolist() == [True] * (len(rows) // 2)
        some = TileDataset(copied / "edited.csv").column("some")
        np.testing.assert_array_equal(some[:4], [0, np.nan, 0, 1])
        assert found.column("note")[0] == f"{spelled}?"


@pytest.mark.parametrize("places", [("x", "x0"), ("y", "y0")])
@pytest.mark.parametrize("place", [261, -64, 2**52])
def test_a_tile_outside_the_slide_is_refused(
    copied: Path, places: tuple[str, str], place: int
) -> None:
    edited = {name: pa.array([place, *column(copied, name)[1:]]) for name in places}
    with pytest.raises(ChangedError, match=f"slide=s: {places[1]}={place} .* outside the slide"):
        TileDataset(table(copied, **edited), on_bad_tile="mark")[0]


# --- hostile records


def reader(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda record: record["settings"]["reader"].update(values)


def transforms(**values: Any) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        record["settings"]["exporter"]["images"]["transform"].update(values)

    return change


@pytest.mark.parametrize(
    "change",
    [
        reader(_target_="os.system"),
        reader(_target_="tiler.readers.auto.Path"),
        reader(_target_="tiler.masks.otsu"),
        reader(path="/etc/passwd"),
        reader(name="other"),
        reader(_args_=["/etc/passwd"]),
        reader(mpp={"_target_": "os.system"}),
        reader(mpp="1"),
        transforms(order={}),
        transforms(order=["macenko"]),
        transforms(order=[["macenko"], "reinhard"]),
        transforms(order=None),
    ],
)
def test_a_hostile_record_is_an_error_of_its_slide(
    copied: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    path = copied / "slides/s/record.json"
    record = json.loads(path.read_text())
    del record["sha256"]
    untouched = json.dumps(record)
    change(record)
    assert json.dumps(record) != untouched
    path.write_bytes(b"".join(sealed(iter([untouched[:-1].encode()]))))
    TileDataset(copied)[0]
    path.write_bytes(b"".join(sealed(iter([json.dumps(record)[:-1].encode()]))))
    with pytest.raises(OpenError, match=r"slide=s: record\.json .* cannot be used"):
        TileDataset(copied)[0]


@pytest.mark.parametrize(
    ("name", "value"), [("kept", "²"), ("kept", "-1"), ("kept", "1" * 30), ("downsample", "abc")]
)
def test_a_damaged_row_of_slides_is_named(copied: Path, name: str, value: str) -> None:
    (row,) = read_csv(copied / "slides.csv")
    with (copied / "slides.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow({**row, name: value})
    with pytest.raises(ConfigError, match=rf"slides\.csv is damaged: slide s has {name}="):
        TileDataset(copied)
