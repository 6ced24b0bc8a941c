"""Annotation files: QuPath GeoJSON, ASAP XML, Aperio XML, and what is no annotation file."""

import gzip
import json
import os
import re
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiler.annotations.file
import tiler.annotations.geojson
import tiler.annotations.xml
from tiler.annotations import AnnotationError, SlideFile, read_annotations
from tiler.errors import ConfigError, LabelError, MaskError
from tiler.masks import AnnotationMask

shapely = pytest.importorskip("shapely")

SQUARE = [[10, 20], [110, 20], [110, 70], [10, 70], [10, 20]]
HOLE = [[30, 30], [50, 30], [50, 60], [30, 60], [30, 30]]


def feature(geometry, name=None, **properties):
    if name is not None:
        properties["classification"] = {"name": name, "color": [200, 0, 0]}
    return {"type": "Feature", "id": "x", "geometry": geometry, "properties": properties}


def polygon(*rings):
    return {"type": "Polygon", "coordinates": [*rings]}


def written(folder, content, name="a.geojson"):
    path = folder / name
    text = content if isinstance(content, (str, bytes)) else json.dumps(content)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("form", ["collection", "array", "single", "geometry", "gzipped", "bom"])
def test_every_form_of_geojson_is_read(tmp_path, form):
    one = feature(polygon(SQUARE, HOLE), "tumor", objectType="annotation")
    content = {
        "collection": {"type": "FeatureCollection", "features": [one]},
        "array": [one],
        "single": one,
        "geometry": one["geometry"],
        "gzipped": gzip.compress(json.dumps([one]).encode()),
        "bom": b"\xef\xbb\xbf" + json.dumps([one]).encode(),
    }[form]
    found = read_annotations(written(tmp_path, content))
    assert list(found.areas) == ["unclassified" if form == "geometry" else "tumor"]
    assert next(iter(found.areas.values())).area == 100 * 50 - 20 * 30
    assert found.repaired == found.without_area == 0


def test_classes_are_unions_and_what_has_no_area_is_counted(tmp_path):
    right = [[60, 20], [160, 20], [160, 70], [60, 70], [60, 20]]
    content = [
        feature(polygon(SQUARE), "tumor"),
        feature({"type": "MultiPolygon", "coordinates": [[right], [HOLE]]}, "tumor"),
        feature(polygon(HOLE), "stroma"),
        feature({"type": "Point", "coordinates": [1, 2]}, "tumor"),
        feature({"type": "LineString", "coordinates": [[1, 2], [3, 4]]}),
        feature(polygon(SQUARE)),
        feature(polygon(SQUARE), "tile of an export", objectType="tile"),
        feature({"type": "GeometryCollection", "geometries": [polygon(HOLE)]}, "necrosis"),
    ]
    content[2]["properties"]["classification"] = {"names": ["stroma", "inflamed"]}
    found = read_annotations(written(tmp_path, content))
    areas = {name: shape.area for name, shape in found.areas.items()}
    other = {"stroma: inflamed": 600, "unclassified": 5000, "necrosis": 600}
    assert areas == {"tumor": 150 * 50, **other}
    assert (found.without_area, found.others) == (2, 1)
    assert found.union(["tumor", "stroma: inflamed", "no such"]).area == 7500


def test_a_polygon_that_crosses_itself_is_repaired_and_counted(tmp_path):
    bow = [[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]
    found = read_annotations(written(tmp_path, [feature(polygon(bow), "t")]))
    assert (found.repaired, found.areas["t"].area) == (1, 50)


def test_a_repaired_loop_is_area_and_a_hole_beyond_its_polygon_is_none(tmp_path):
    loop = [[0, 0], [30, 0], [30, 30], [10, 30], [10, 10], [20, 10], [20, 20], [0, 20], [0, 0]]
    beyond = [[90, 30], [150, 30], [150, 60], [90, 60], [90, 30]]
    content = [feature(polygon(loop), "loop"), feature(polygon(SQUARE, beyond), "hole")]
    found = read_annotations(written(tmp_path, content))
    around = shapely.Polygon([[0, 0], [30, 0], [30, 30], [10, 30], [10, 20], [0, 20]])
    assert found.areas["loop"].equals(around)
    assert found.areas["hole"].area == 100 * 50 - 20 * 30
    assert found.repaired == 2


def test_holes_add_no_area_wherever_they_lie(tmp_path):
    apart = [[500, 20], [510, 20], [510, 70], [500, 20]]
    around = [[0, 0], [900, 0], [900, 900], [0, 900], [0, 0]]
    content = [
        feature(polygon(SQUARE, HOLE, apart), "apart"),
        feature(polygon(SQUARE, HOLE, [[31, 31], [40, 31], [40, 40], [31, 31]]), "nested"),
        feature(polygon(SQUARE, around), "around"),
    ]
    found = read_annotations(written(tmp_path, content))
    assert {name: shape.area for name, shape in found.areas.items()} == {
        "apart": 4400,
        "nested": 4400,
    }
    assert (found.repaired, found.collapsed) == (2, 1)


def test_polygons_without_area_are_ignored_and_counted(tmp_path, slide):
    flat = [[1, 1], [5, 5], [9, 9], [1, 1]]
    rings = [[], [[]], [[[1, 1]]], [[[1, 1], [2, 2]]], [[[1, 1]] * 4], [flat]]
    shapes = [{"type": "Polygon", "coordinates": some} for some in rings]
    path = written(tmp_path, [feature(shape, "flat") for shape in shapes])
    with pytest.raises(MaskError, match="contains no areas, only 6 polygons without area; draw"):
        SlideFile(str(path)).read(slide)
    path = written(tmp_path, [*(feature(shape) for shape in shapes), feature(polygon(SQUARE), "t")])
    found = read_annotations(path)
    assert ([*found.areas], found.collapsed, found.repaired) == (["t"], 6, 0)
    remarks = [*SlideFile(str(path)).notes(found, slide)]
    assert remarks == ["a.geojson: polygons without area, ignored: 6"]


def test_detections_are_told_apart_however_qupath_spells_them(tmp_path):
    kinds = ["detection", "Detection", "PathDetectionObject", "TMA_core"]
    content = [feature(polygon(SQUARE), objectType=kind) for kind in kinds]
    found = read_annotations(written(tmp_path, content))
    assert (found.areas, found.others) == ({}, 4)


def test_features_of_old_qupath_files_are_told_apart_by_their_id(tmp_path):
    drawn, cell = feature(polygon(SQUARE), "t"), feature(polygon(HOLE), "t")
    drawn["id"], cell["id"] = "PathAnnotationObject", "PathCellObject"
    drawn["properties"]["measurements"] = [{"name": "area", "value": float("nan")}]
    found = read_annotations(written(tmp_path, [drawn, cell]))
    assert (found.areas["t"].area, found.others) == (5000, 1)


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        (" Tumor\n \tcells ", "Tumor cells"),
        ("a\x1b[31m", "a\\x1b[31m"),
        ("\ud800x", "?x"),
        (7, "unclassified"),
    ],
)
def test_names_of_classes_are_safe_to_show_and_to_write(tmp_path, name, seen):
    one = feature(polygon(SQUARE), "x")
    one["properties"]["classification"]["name"] = name
    assert list(read_annotations(written(tmp_path, [one])).areas) == [seen]


ASAP = """<?xml version="1.0"?><ASAP_Annotations><Annotations>
<Annotation Name="A0" Type="{kind}" PartOfGroup="{group}" Color="#F4FA58"><Coordinates>
<Coordinate Order="2" X="110" Y="70"/><Coordinate Order="0" X="10" Y="20"/>
<Coordinate Order="1" X="110.0" Y="20"/><Coordinate Order="3" X="10" Y="7e1"/>
</Coordinates></Annotation></Annotations><AnnotationGroups/></ASAP_Annotations>"""


@pytest.mark.parametrize(("group", "name"), [("Tumor", "Tumor"), ("None", "unclassified")])
@pytest.mark.parametrize("kind", ["Polygon", "Spline", "Rectangle"])
def test_asap_points_are_taken_in_their_order(tmp_path, group, name, kind):
    found = read_annotations(written(tmp_path, ASAP.format(kind=kind, group=group), "a.xml"))
    assert {key: shape.area for key, shape in found.areas.items()} == {name: 5000}


def test_an_asap_rectangle_of_two_corners_is_their_box(tmp_path):
    text = ASAP.format(kind="Rectangle", group="x")
    for order in (1, 3):
        text = re.sub(rf'<Coordinate Order="{order}"[^>]*>', "", text)
    assert read_annotations(written(tmp_path, text, "a.xml")).areas["x"].area == 5000


def test_asap_dots_have_no_area(tmp_path):
    found = read_annotations(written(tmp_path, ASAP.format(kind="Dot", group="x"), "a.xml"))
    assert (found.areas, found.without_area) == ({}, 1)


def aperio(*layers):
    return f'<Annotations MicronsPerPixel="0.5">{"".join(layers)}</Annotations>'


def layer(name, *regions):
    return f'<Annotation Id="1" Name="{name}"><Regions>{"".join(regions)}</Regions></Annotation>'


def region(points, kind=0, negative=0):
    vertices = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in points)
    return (
        f'<Region Type="{kind}" NegativeROA="{negative}"><Vertices>{vertices}</Vertices></Region>'
    )


def test_aperio_regions_negative_regions_rectangles_and_ellipses(tmp_path):
    text = aperio(
        layer("Tumor", region(SQUARE[:-1]), region(HOLE, negative=1)),
        layer("Box", region([(0, 0), (4, 3)], kind=1)),
        layer("Round", region([(0, 0), (40, 20)], kind=2)),
        layer("Corners", region([(0, 0), (40, 0), (40, 20), (0, 20)], kind=2)),
        layer("Line", region([(0, 0), (40, 20)])),
        layer("Arrow", region([(0, 0), (9, 9)], kind=3)),
        layer("Empty"),
    )
    found = read_annotations(written(tmp_path, text, "a.xml"))
    areas = {name: shape.area for name, shape in found.areas.items()}
    round_ = pytest.approx(200 * 3.14159265, rel=1e-4)
    assert areas == {"Tumor": 4400, "Box": 12, "Round": round_, "Corners": round_}
    assert (found.without_area, found.collapsed) == (1, 1)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"hello", "neither GeoJSON nor XML"),
        (b"\xff\xd8\xff\xe0", "is not text in UTF-8; save it as UTF-8"),
        (b"{", "invalid JSON"),
        (b"[1]", "expected features"),
        (b'{"type": "FeatureCollection"}', "without a list of features"),
        (b'{"type": "Topology"}', "expected features"),
        (json.dumps([feature(polygon([[0, 0], [1, None], [2, 2]]))]).encode(), r"\[1, None\]; ex"),
        (json.dumps([feature(polygon([[0, 0], [1e12, 1], [2, 2]]))]).encode(), "up to 1e"),
        (json.dumps([feature(polygon(["12", "34", "50"]))]).encode(), "pair of numbers: '12'; ex"),
        (json.dumps([feature(polygon(SQUARE), "x" * 999)]).encode(), "name of 999 characters"),
        (json.dumps([feature({"type": "Polygon"})]).encode(), "without rings"),
        (json.dumps([feature({"type": "Polygon", "coordinates": [3]})]).encode(), "not a list"),
        (
            b'[{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[NaN]]}}]',
            "not a list of points|not a number|pair of numbers",
        ),
        (b"<a", "invalid XML"),
        (b"<html></html>", "neither ASAP's XML nor Aperio's"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><Annotations/>', "document type"),
        (b"\x1f\x8b\x08not gzip", "cannot be read"),
        (
            aperio(layer("a", region([(0, 0), ("1,5", 1), (2, 2)]))).encode(),
            r"numbers: \('1,5', '1'\)",
        ),
    ],
)
def test_an_invalid_annotation_file_is_refused_with_its_problem(tmp_path, content, problem):
    with pytest.raises(AnnotationError, match=problem):
        read_annotations(written(tmp_path, content))


BOMB = """<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>
<Annotations><Annotation Name="&b;"/></Annotations>"""
OUTSIDE = """<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>
<Annotations><Annotation Name="&a;"/></Annotations>"""


@pytest.mark.parametrize("text", [BOMB, OUTSIDE])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_never_expanded(tmp_path, text, encoding):
    with pytest.raises(AnnotationError, match="document type"):
        read_annotations(written(tmp_path, text.encode(encoding), "a.xml"))


def test_sizes_and_depth_are_bounded(tmp_path, monkeypatch):
    deep = b"[" * 200_000 + b"]" * 200_000
    collections: object = polygon(SQUARE)
    for _ in range(20):
        collections = {"type": "GeometryCollection", "geometries": [collections]}
    cases = {
        "nested too deeply": [deep, json.dumps(collections).encode()],
        "more than 100": [b"[" + b"0," * 200 + b"0]", b"<Annotations>" + b"<a/>" * 200],
        "larger than 3,000 bytes": [gzip.compress(b"[" + b" " * 4_000_000), b"[" + b" " * 4000],
    }
    for problem, contents in cases.items():
        if problem != "nested too deeply":
            monkeypatch.setattr(tiler.annotations.file, "MAX_BYTES", 3000)
            monkeypatch.setattr(tiler.annotations.geojson, "_MOST_VALUES", 100)
            monkeypatch.setattr(tiler.annotations.xml, "_MOST_TAGS", 100)
        for number, content in enumerate(contents):
            with pytest.raises(AnnotationError, match=problem):
                read_annotations(written(tmp_path, content, f"{problem[:6]}{number}"))


def test_deeply_nested_xml_is_read(tmp_path):
    text = "<Annotations>" + "<a>" * 100_000 + "</a>" * 100_000 + "</Annotations>"
    assert read_annotations(written(tmp_path, text, "a.xml")).areas == {}


def test_declared_encodings_are_honoured(tmp_path):
    text = '<?xml version="1.0" encoding="ISO-8859-1"?>' + aperio(
        layer("Zähler", region(SQUARE[:-1]))
    )
    assert list(read_annotations(written(tmp_path, text.encode("latin-1"), "a.xml")).areas) == [
        "Zähler"
    ]


def test_a_fifo_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "a.xml")
    with pytest.raises(AnnotationError, match="regular file"):
        read_annotations(tmp_path / "a.xml")


def test_a_file_that_changed_is_read_again(tmp_path):
    path = written(tmp_path, [feature(polygon(SQUARE), "a")])
    assert list(read_annotations(path).areas) == ["a"]
    written(tmp_path, [feature(polygon(SQUARE), "other")])
    assert list(read_annotations(path).areas) == ["other"]


@pytest.fixture
def slide(fake_reader):
    return fake_reader(np.zeros((300, 500, 3), np.uint8), bounds=(60, 30, 400, 210), name="s[1]")


def test_wildcards_find_one_file_and_the_name_of_a_slide_is_no_wildcard(tmp_path, slide):
    place = SlideFile(f"{tmp_path}/*/{{slide}}.*")
    (tmp_path / "a").mkdir()
    assert place.inputs("s[1]") == ()
    written(tmp_path / "a", [feature(polygon(SQUARE))], "s1.geojson")
    with pytest.raises(MaskError, match=r"annotation .*/s\[1\]\.\* does not exist; draw"):
        place.read(slide)
    written(tmp_path / "a", [feature(polygon(SQUARE))], "s[1].geojson")
    assert place.read(slide).areas["unclassified"].area == 5000
    written(tmp_path / "a", aperio(layer("x", region(SQUARE))), "s[1].xml")
    with pytest.raises(MaskError, match=r"matches 2 files \(s\[1\].geojson, s\[1\].xml\); keep"):
        place.read(slide)


@pytest.mark.parametrize("name", ["a.geojson", "a.xml"])
@pytest.mark.parametrize("origin", ["auto", "slide", "bounds"])
def test_coordinates_count_from_the_origin(tmp_path, slide, name, origin):
    text = aperio(layer("x", region(SQUARE[:-1])))
    content = [feature(polygon(SQUARE))] if name == "a.geojson" else text
    place = SlideFile(str(written(tmp_path, content, name)), origin)
    found = place.read(slide)
    cover = place.cover(next(iter(found.areas.values())), found, slide)
    from_bounds = origin == "bounds" or (origin == "auto" and name == "a.geojson")
    (x, y), size = (10, 20) if from_bounds else (10 - 60, 20 - 30), (100, 50)
    assert cover.ratios(np.array([[x, x + 100.0]]), np.array([[y, y + 50.0]])) == (
        1 if from_bounds else 0.5 * 0.8
    )
    assert cover.fraction * 400 * 210 == pytest.approx(
        (min(x + size[0], 400) - max(x, 0)) * (y + size[1] - max(y, 0))
    )


def test_repaired_polygons_those_outside_and_missing_classes_are_noted(tmp_path, slide):
    bow = [[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]
    far = [[900, 900], [950, 900], [950, 950], [900, 900]]
    content = [feature(polygon(points), name) for points, name in ((bow, "t"), (far, "s"))]
    place = SlideFile(str(written(tmp_path, content)))
    found = place.read(slide)
    assert [*place.notes(found, slide), *place.absent("classes", ["t", "x"], found, slide)] == [
        "a.geojson: polygons that cross themselves, repaired: 1",
        "a.geojson: polygons outside the slide's bounds: 1 of 2",
        "mask.classes: a.geojson has no class x; it has s, t",
    ]


def test_an_empty_list_excludes_nothing():
    assert AnnotationMask(path="a", exclude=[]).exclude == ()
    with pytest.raises(ConfigError, match=r"mask\.classes=\[\] is empty"):
        AnnotationMask(path="a", classes=[])


def test_a_name_that_is_too_long_for_a_file_is_no_bug(slide):
    with pytest.raises(MaskError, match=r"does not exist|cannot be read"):
        SlideFile("a" * 300 + "*").read(slide)


def test_a_slide_without_annotations_fails_or_is_noted(tmp_path, slide):
    path = str(tmp_path / "a.geojson")
    with pytest.raises(LabelError, match=r"does not exist; draw .*, or set label\.missing"):
        SlideFile(path, group="label").read(slide)
    missing = SlideFile(path, missing="empty")
    assert missing.read(slide) is None
    assert list(missing.notes(None, slide)) == ["mask.missing=empty: no annotations in a.geojson"]
    content = [feature({"type": "Point", "coordinates": [1, 2]}), feature(None)]
    content.append(feature(polygon(SQUARE), objectType="detection"))
    written(tmp_path, content)
    what = "contains no areas, only 2 points and lines and 1 detections or tiles; draw"
    with pytest.raises(MaskError, match=what):
        SlideFile(path).read(slide)
    assert missing.read(slide) is None


@pytest.mark.parametrize(
    "wrong", [{"path": ""}, {"path": "a\0"}, {"origin": "here"}, {"missing": "none"}]
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ConfigError, match=rf"mask\.{next(iter(wrong))}="):
        SlideFile(**{"path": "a", **wrong})


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_annotations(tmp_path / "none.geojson")
    with pytest.raises(AnnotationError, match="regular file"):
        read_annotations(tmp_path)


PLAIN = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=3)
KEYS = st.sampled_from(["type", "features", "geometry", "coordinates", "properties", "x"])
TYPES = st.sampled_from(["Feature", "FeatureCollection", "Polygon", "MultiPolygon"])
TREES = st.recursive(
    PLAIN | TYPES, lambda t: st.lists(t, max_size=4) | st.dictionaries(KEYS, t, max_size=4)
)


@settings(max_examples=5 * settings().max_examples // 8)
@given(TREES)
def test_any_json_is_read_or_refused(tmp_path_factory, tree):
    path = tmp_path_factory.getbasetemp() / "any.geojson"
    path.write_text(json.dumps(tree))
    with suppress(AnnotationError):
        read_annotations(path)
