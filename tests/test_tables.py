"""Coordinates as CSV and JSON, as other tools read them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tiler import MPP, Level, Magnification, RegionMaskSpec, RegionSpec
from tiler.errors import ConfigError
from tiler.exporters import CsvExporter, ImagesExporter, JsonExporter
from tiler.exporters.tables.csv_json import csv_parts, json_parts, write_csv, write_json
from tiler.geometry import Size
from tiler.regions import Regions
from tiler.storage.csv_text import csv_rows
from tiler.storage.safe_text import visible

COLUMNS = ["slide", "x", "y", "width", "height", "resolution", "ratio"]
COLUMNS += ["x0", "y0", "width0", "height0"]

REGIONS = [
    RegionSpec((7, 3), (20, 30), MPP(0.5), 1 / 3, 2.0),
    RegionSpec((27, 3), (20, 30), MPP(0.5), 0.1, 2.0),
    RegionSpec((-4, 33), (20, 30), MPP(0.5), 1, 2.0),
]


def csv_text(slide, regions):
    return "".join(csv_parts(slide, regions))


def json_text(slide, regions, indent):
    return "".join(json_parts(slide, regions, indent))


def test_the_columns_are_those_of_the_specification():
    lines = csv_text("S1", REGIONS).splitlines()
    assert lines == [
        "slide,x,y,width,height,resolution,ratio,x0,y0,width0,height0",
        "S1,7,3,20,30,mpp_0.5,0.3333333333333333,14,6,40,60",
        "S1,27,3,20,30,mpp_0.5,0.1,54,6,40,60",
        "S1,-4,33,20,30,mpp_0.5,1.0,-8,66,40,60",
    ]


def test_the_objects_have_the_same_keys_in_the_same_order():
    objects = json.loads(json_text("S1", REGIONS, 2))
    assert [list(o) for o in objects] == [COLUMNS] * 3
    rows = list(csv.reader(csv_text("S1", REGIONS).splitlines()))[1:]
    assert [[str(v) for v in o.values()] for o in objects] == rows


REGION = st.builds(
    RegionSpec,
    st.tuples(st.integers(-999, 10**7), st.integers(-999, 10**7)),
    st.tuples(st.integers(1, 9999), st.integers(1, 9999)),
    st.one_of(
        st.builds(Level, st.integers(0, 9)),
        st.builds(MPP, st.floats(0.05, 20)),
        st.builds(Magnification, st.floats(0.5, 80)),
    ),
    st.floats(0, 1),
    st.floats(1, 300),
)


@example(slide="carriage\rreturn", region=REGIONS[0])
@example(slide="100%s, or %", region=REGIONS[0])
@given(slide=st.text(st.characters(exclude_categories=["Cs"]), min_size=1), region=REGION)
def test_a_row_read_back_is_the_same_tile(slide, region, tmp_path_factory):
    box = region.box0
    expected = [slide, *region.location, *region.shape, region.resolution.token, region.ratio, *box]
    assert list(json.loads(json_text(slide, [region], None))[0].values()) == expected
    folder = tmp_path_factory.getbasetemp()
    path = folder / "row.csv"
    path.write_bytes(csv_text(slide, [region]).encode())
    with path.open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["slide"] == visible(slide)
    assert float(row["ratio"]) == region.ratio
    assert row["resolution"] == region.resolution.token
    whole = [int(row[name]) for name in COLUMNS if name not in ("slide", "resolution", "ratio")]
    assert whole == [*region.location, *region.shape, *box]


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2500])
@pytest.mark.parametrize("indent", [None, 3])
def test_a_table_in_pieces_is_the_table_in_one(count, indent):
    tiles = np.array([REGIONS[0].location, *([i, 7 * i] for i in range(1, count))])[:count]
    regions = Regions(tiles, np.linspace(0, 1, count), Size(20, 30), MPP(0.5), 2.0)
    pieces = list(json_parts("S1", regions, indent))
    objects = json.loads("".join(pieces))
    assert [(o["x"], o["y"]) for o in objects] == [r.location for r in regions]
    separators = None if indent else (",", ":")
    assert "".join(pieces) == json.dumps(objects, indent=indent, separators=separators) + "\n"
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *(o.values() for o in objects)])
    assert csv_text("S1", regions) == text.getvalue()
    assert max(map(len, pieces)) < 1000 * 300
    # Tiles of different shapes are pieces of their own.
    mixed = [*regions[:3], *REGIONS, *regions[-3:]]
    assert len(json.loads(json_text("S1", mixed, indent))) == len(mixed)


@pytest.mark.parametrize("indent", [0, None])
def test_an_indent_of_0_or_none_is_compact(indent):
    text = json_text("S1", REGIONS, indent)
    assert text.count("\n") == 1
    assert ": " not in text
    assert text.startswith('[{"slide":"S1","x":7,')
    assert json.loads(text) == json.loads(json_text("S1", REGIONS, 4))
    assert json_text("S1", REGIONS, 4).splitlines()[1] == "    {"


@given(
    slide=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    regions=st.lists(REGION, max_size=5),
    shard=st.sampled_from([0, 3, 300]),
    extension=st.sampled_from(["png", "jpg", "jpeg"]),
)
def test_a_tables_file_is_where_the_image_is_written(slide, regions, shard, extension):
    images = ImagesExporter(extension, shard=shard)
    names = [images.file_name(slide, region) for region in regions]
    text = "".join(csv_parts(slide, regions, images))
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["file"] for row in rows] == names
    without = csv.DictReader(io.StringIO(csv_text(slide, regions), newline=""))
    assert [{**row, "file": name} for row, name in zip(without, names, strict=True)] == rows
    for indent in (None, 2):
        objects = json.loads("".join(json_parts(slide, regions, indent, images)))
        assert [item.pop("file") for item in objects] == names
        assert objects == json.loads(json_text(slide, regions, indent))


def test_the_column_of_files_is_the_twelfth():
    for regions in ([], REGIONS):
        header = "".join(csv_parts("S1", regions, ImagesExporter())).splitlines()[0]
        assert header.split(",") == [*COLUMNS, "file"]
    (item, *_) = json.loads("".join(json_parts("S1", REGIONS, 0, ImagesExporter())))
    assert list(item) == [*COLUMNS, "file"]


def test_masks_are_not_written():
    mask = np.ones((3, 5), bool)
    region = RegionMaskSpec((7, 3), (20, 30), MPP(0.5), 1 / 3, 2.0, mask, (0, 0, 5, 3))
    assert csv_text("S1", [region]) == csv_text("S1", REGIONS[:1])
    assert json_text("S1", [region], 2) == json_text("S1", REGIONS[:1], 2)


@pytest.mark.parametrize("write", [write_csv, write_json])
def test_missing_parents_are_created_and_no_other_file_remains(tmp_path, write):
    path = write(tmp_path / "a" / "b", "S 1,é", REGIONS)
    assert path.parent == tmp_path / "a" / "b"
    assert path.stem == "S 1,é"
    assert list(path.parent.iterdir()) == [path]
    before = path.read_bytes()
    assert write(tmp_path / "a" / "b", "S 1,é", REGIONS).read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_name_that_is_no_utf_8_is_read_back_unchanged(tmp_path):
    name = os.fsdecode(b"\xff\xfe-slide")
    with write_csv(tmp_path, name, REGIONS).open(errors="surrogateescape", newline="") as file:
        assert {row["slide"] for row in csv.DictReader(file)} == {name}
    objects = json.loads(write_json(tmp_path, name, REGIONS).read_text(encoding="ascii"))
    assert {item["slide"] for item in objects} == {name}


@pytest.mark.parametrize("write", [write_csv, write_json])
def test_a_name_never_leads_out_of_the_folder(tmp_path, write):
    with pytest.raises(ConfigError, match="plain name"):
        write(tmp_path / "in", "../out", REGIONS)
    assert not (tmp_path / "out.csv").exists()
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("exporter", [CsvExporter(), JsonExporter(indent=0)])
def test_exporters_report_the_file_they_wrote(tmp_path, exporter):
    source = SimpleNamespace(name="S1")
    report = exporter.export(source, REGIONS, np.ones((1, 1), bool), tmp_path)
    (written,) = report.files
    data = (tmp_path / written.name).read_bytes()
    assert written.size == len(data) > 100
    assert written.sha256 == hashlib.sha256(data).hexdigest()
    assert not exporter.per_tile
    # A slide without tiles still has its table; only the class refuses to write one.
    exporter.export(source, [], np.ones((1, 1), bool), tmp_path)


def test_a_negative_indent_is_named():
    with pytest.raises(ConfigError, match="indent=-1"):
        JsonExporter(indent=-1)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (b"a,b\n1,2", "its last line is incomplete"),
        (b"a,b\n1,2\n\n3\n", "line 4: 1 cells, not 2"),
        (b"a,b\n1,2,3\n", "line 2: 3 cells, not 2"),
        (b'a,b\n1,"2\n', "line 2: unexpected end of data"),
    ],
)
def test_a_damaged_table_names_its_line(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{why}$"):
        list(csv_rows(data))


def test_a_table_that_excel_wrote_has_the_same_rows() -> None:
    rows = [["a", "b"], ["1\n2", 'x"']]
    assert list(csv_rows(b'\xef\xbb\xbfa,b\r\n"1\n2","x"""\r\n\r\n')) == rows
    assert list(csv_rows(b'a,b\n\n"1\n2","x"""\n')) == rows
