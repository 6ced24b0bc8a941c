"""Annotations as masks and labels: exact shares, and what a run says about each file."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from command import a_third_quick, complaint, fresh_tiler, read_csv, tiler
from hypothesis import given, settings
from hypothesis import strategies as st
from tracked import COMMON, picture

from tiler import MPP, Level, TileExtractor, TileSpec, open_slide
from tiler.errors import ConfigError, LabelError
from tiler.labels import AnnotationLabels
from tiler.labels.assign import labels_of
from tiler.masks import AnnotationMask, OtsuMask
from tiler.stages import grid_axes, reference_level, scale_mask, scale_tile

shapely = pytest.importorskip("shapely")

ROOT = Path(__file__).parent.parent


def geojson(shapes):
    """QuPath's format: one feature a polygon, holes included."""
    return json.dumps(
        [
            {
                "type": "Feature",
                "geometry": json.loads(shapely.to_geojson(shape)),
                "properties": {"classification": {"name": name}},
            }
            for name, shape in shapes
        ]
    )


def asap(shapes):
    """ASAP's format, which has no holes: they are a class of their own."""
    rings = [
        (name, ring)
        for cls, shape in shapes
        for name, ring in [(cls, shape.exterior), *((f"not {cls}", one) for one in shape.interiors)]
    ]
    drawn = "".join(
        f'<Annotation Type="Polygon" PartOfGroup="{name}"><Coordinates>'
        + "".join(
            f'<Coordinate Order="{n}" X="{x!r}" Y="{y!r}"/>'
            for n, (x, y) in enumerate(ring.coords[:-1])
        )
        + "</Coordinates></Annotation>"
        for name, ring in rings
    )
    return f"<ASAP_Annotations><Annotations>{drawn}</Annotations></ASAP_Annotations>"


def aperio(shapes):
    """Aperio's format: a layer for each polygon, holes as negative regions."""

    def region(ring, negative):
        points = "".join(f'<Vertex X="{x!r}" Y="{y!r}"/>' for x, y in ring.coords[:-1])
        return f'<Region Type="0" NegativeROA="{negative}"><Vertices>{points}</Vertices></Region>'

    layers = "".join(
        f'<Annotation Name="{name}"><Regions>{region(shape.exterior, 0)}'
        f"{''.join(region(ring, 1) for ring in shape.interiors)}</Regions></Annotation>"
        for name, shape in shapes
    )
    return f"<Annotations>{layers}</Annotations>"


FORMATS = {"geojson": geojson, "asap.xml": asap, "aperio.xml": aperio}


@st.composite
def polygons(draw):
    """Polygons with holes, some beyond the slide."""
    x, y = draw(st.tuples(st.floats(-40, 400), st.floats(-40, 250)))
    count = draw(st.integers(5, 11))
    radii = np.array(draw(st.lists(st.floats(20, 160), min_size=count, max_size=count)))
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    ring = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    holes = [ring * radii[:, None] * draw(st.floats(0.1, 0.8)) + (x, y)] * draw(st.integers(0, 1))
    return shapely.Polygon(ring * radii[:, None] + (x, y), holes)


@settings(max_examples=3 * settings().max_examples // 20)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b"]), polygons()), min_size=1, max_size=4),
    st.sampled_from([None, (31, 17, 311, 240)]),
    st.sampled_from(sorted(FORMATS)),
)
def test_shares_of_classes_equal_shapelys(fake_reader, tmp_path_factory, shapes, bounds, form):
    slide = fake_reader(np.zeros((290, 430, 3), np.uint8), bounds=bounds, mpp=0.25, name="s")
    path = tmp_path_factory.getbasetemp() / f"s.{form}"
    path.write_text(FORMATS[form](shapes))
    areas = {
        name: shapely.union_all([shape for other, shape in shapes if other == name])
        for name in ("a", "b")
    }
    exclude = None
    if form == "asap.xml":  # holes of one polygon may lie in another
        exclude = ["not a", "not b"]
        rings = [shapely.Polygon(ring) for _, shape in shapes for ring in shape.interiors]
        outer = [(name, shapely.Polygon(shape.exterior)) for name, shape in shapes]
        areas = {
            name: shapely.union_all([shape for other, shape in outer if other == name])
            for name in ("a", "b")
        }
        holes = shapely.union_all(rings)
    whole = areas["a"].union(areas["b"])
    whole = whole.difference(holes) if exclude else whole
    left, top = slide.bounds[:2]
    corner = np.array([0, 0]) if form == "geojson" else np.array([left, top])
    inside = shapely.box(0, 0, *slide.bounds[2:])
    mask = AnnotationMask(path=str(path), exclude=exclude)
    labels = AnnotationLabels(path=str(path), classes=["a", "b"])
    for resolution in (Level(0), MPP(0.4), MPP(1.1)):
        spec = TileSpec((37, 23), resolution=resolution, edge="pad")
        downsample = resolution.downsample(slide)
        extractor = TileExtractor(spec, mask_provider=mask, mask_threshold=0)
        regions = extractor.extract(slide)
        begin = np.array([region.location for region in regions]) * downsample - (left, top)
        end = begin + np.array([37, 23]) * downsample
        cells = shapely.box(*begin.T, *end.T)
        size = 37 * 23 * downsample**2
        drawn = shapely.transform(whole, lambda points: points - corner)
        expected = shapely.area(shapely.intersection(cells, drawn.intersection(inside))) / size
        found = np.array([region.ratio for region in regions])
        np.testing.assert_allclose(found, expected, atol=1e-9)
        columns, rows = level0(spec, slide, len(set(begin[:, 0])), len(set(begin[:, 1])))
        for name, share in labels.shares(slide, columns, rows).items():
            drawn = shapely.transform(areas[name], lambda points: points - corner)
            expected = shapely.area(shapely.intersection(cells, drawn.intersection(inside)))
            np.testing.assert_allclose(share.ravel(), expected / size, atol=1e-9)


def level0(spec, slide, width, height):
    """Begin and end of the columns and rows of a grid, in level-0 pixels from the bounds."""
    reference = reference_level(slide, spec.resolution)
    mask = scale_mask(np.ones((1, 1), bool), slide, reference)
    axes = grid_axes(slide, reference, mask, scale_tile(spec, slide, reference), spec.edge)
    assert (len(axes.columns), len(axes.rows)) == (width, height)
    return axes.columns * slide.bounds.width, axes.rows * slide.bounds.height


def test_labels_are_a_pure_function_of_shares():
    shares = {
        "b": np.array([[0.0, 0.2, 0.4, 0.5, 0.1]]),
        "a": np.array([[0.0, 0.3, 0.4, 0.4, 0.0]]),
    }
    assert labels_of(shares, "majority").tolist() == [["", "a", "b", "b", "b"]]
    assert labels_of(shares, "any").tolist() == [["", "b", "b", "b", "b"]]
    assert labels_of(shares, "threshold", 0.4).tolist() == [["", "", "b", "b", ""]]
    swapped = dict(reversed(shares.items()))
    assert labels_of(swapped, "majority").tolist() == [["", "a", "a", "b", "b"]]


SQUARE = shapely.box(0, 0, 50, 100)
HALF = shapely.box(0, 0, 50, 50)


@pytest.fixture
def slide(fake_reader):
    return fake_reader(np.zeros((100, 100, 3), np.uint8), name="s")


def test_polygons_of_a_class_that_overlap_count_once(tmp_path, slide):
    path = tmp_path / "s.geojson"
    path.write_text(geojson([("t", SQUARE), ("t", HALF), ("u", HALF)]))
    edges = np.array([[0.0, 100.0]])
    labels = AnnotationLabels(path=str(path))
    shares = labels.shares(slide, edges, edges)
    assert {name: share.tolist() for name, share in shares.items()} == {"t": [[0.5]], "u": [[0.25]]}
    assert labels.assigned(shares).tolist() == [["t"]]
    assert labels.notes(slide) == ()


def test_a_class_that_a_file_lacks_has_no_share_and_a_note(tmp_path, slide):
    path = tmp_path / "s.geojson"
    path.write_text(geojson([("stroma", SQUARE)]))
    edges = np.array([[0.0, 100.0]])
    labels = AnnotationLabels(path=str(path), classes=["tumor"], keep=["tumor"])
    shares = labels.shares(slide, edges, edges)
    assert shares["tumor"].tolist() == [[0.0]]
    assert labels.assigned(shares).tolist() == [[""]]
    assert labels.notes(slide) == ("label.classes: s.geojson has no class tumor; it has stroma",)
    missing = AnnotationLabels(path="no file", classes=["tumor"], missing="empty")
    assert missing.shares(slide, edges, edges)["tumor"].tolist() == [[0.0]]
    assert missing.notes(slide) == ("label.missing=empty: no annotations in no file",)
    every = AnnotationLabels(path="no file", missing="empty")
    assert every.assigned(every.shares(slide, edges, edges)) is None
    with pytest.raises(LabelError, match="does not exist"):
        AnnotationLabels(path="no file").shares(slide, edges, edges)


def test_a_file_of_very_many_classes_needs_a_choice(tmp_path, slide):
    path = tmp_path / "s.geojson"
    path.write_text(geojson([(f"c{n}", HALF) for n in range(257)]))
    with pytest.raises(LabelError, match=r"has 257 classes, more than 256; list .*label\.classes"):
        AnnotationLabels(path=str(path)).covers(slide)
    assert len(AnnotationLabels(path=str(path), classes=["c1"]).covers(slide)) == 1


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"classes": "tumor"}, r"label\.classes='tumor' is invalid; use a list"),
        ({"classes": []}, r"label\.classes=\[\] is empty; list a name, or use null"),
        ({"keep": []}, r"label\.keep=\[\] is empty"),
        ({"classes": [1]}, r"label\.classes=\[1\] contains a value that is not text"),
        ({"assign": "most"}, r"label\.assign='most' is invalid; use majority, any, threshold"),
        ({"threshold": 0}, r"label\.threshold=0 is invalid"),
        ({"missing": "all"}, r"label\.missing=all is invalid; use fail or empty"),
        ({"assign": None, "keep": ["a"]}, r"label\.keep=\['a'\] needs labels; set label\.assign"),
        ({"classes": ["a"], "keep": ["b"]}, r"contains b, which is not in label\.classes"),
    ],
)
def test_wrong_settings_of_labels_are_named(settings, problem):
    with pytest.raises(ConfigError, match=problem):
        AnnotationLabels(path="a", **settings)


MASK = "mask.path='drawn/{slide}.*'"
RUN = (*COMMON[:4], "name=demo", "mask=annotation", MASK, "tile.size=8")


@pytest.fixture
def drawn(tmp_path):
    """A slide of 96 x 64 pixels, and the place of its annotation."""
    picture(tmp_path)
    (tmp_path / "drawn").mkdir()
    return tmp_path / "drawn/pic.geojson"


def row_of(folder, *words, code=0):
    """Run the command and return the slide's row."""
    done = tiler(*RUN, f"out={folder / 'out'}", *words, cwd=folder)
    assert done.returncode == code, done.stderr
    return read_csv(folder / "out/slides.csv")[0]


@pytest.mark.slow
def test_a_run_keeps_what_is_drawn_and_a_changed_annotation_redoes_its_slide(tmp_path, drawn):
    hexagon = shapely.Polygon([(8, 3), (40, 8), (44.5, 30), (20, 41.25), (5, 22)])
    drawn.write_text(geojson([("t", hexagon)]))
    row = row_of(tmp_path, "threshold=0.25", "cache=kept")
    assert float(row["mask_fraction"]) == pytest.approx(hexagon.area / (96 * 64), abs=1e-9)
    tiles = read_csv(tmp_path / "out/slides/pic/pic.csv")
    assert len(tiles) == int(row["kept"]) > 10
    for tile in tiles:
        x, y = int(tile["x0"]), int(tile["y0"])
        share = shapely.box(x, y, x + 8, y + 8).intersection(hexagon).area / 64
        assert float(tile["ratio"]) == pytest.approx(share, abs=1e-9)
    # From the cache: with the grid, with another grid, and without the cache.
    for words in (["tile.size=8"], ["tile.size=12"]):
        found = []
        for cache in ("cache=kept", "cache=off"):
            shutil.rmtree(tmp_path / "out")
            row = row_of(tmp_path, "threshold=0.3", cache, *words)
            row.pop("seconds")
            found.append((row, table(tmp_path)))
        assert found[0] == found[1]
    before = table(tmp_path)
    drawn.write_text(geojson([("t", shapely.box(0, 0, 24, 24))]))
    assert row_of(tmp_path, "threshold=0.3", "cache=off", "tile.size=12")["kept"] == "4"
    assert table(tmp_path) != before


def table(folder):
    return (folder / "out/slides/pic/pic.csv").read_bytes()


BOW = shapely.Polygon([(0, 0), (64, 64), (64, 0), (0, 64)])
FAR = shapely.box(900, 900, 990, 990)


@pytest.mark.parametrize(
    ("shapes", "words", "status", "said"),
    a_third_quick(
        [
            ([("t", BOW)], [], "done", "pic.geojson: polygons that cross themselves, repaired: 1"),
            ([("t", HALF), ("u", FAR)], [], "done", "polygons outside the slide's bounds: 1 of 2"),
            (
                [("t", FAR)],
                [],
                "done_empty",
                "pic.geojson has the classes t, outside the slide's bounds or excluded; check",
            ),
            (
                [("t", HALF), ("s", HALF)],
                ["mask.classes=[tumour]"],
                "done_empty",
                "pic.geojson has the classes s, t, but mask.classes is tumour",
            ),
            (
                [("t", HALF)],
                ["mask.classes=[t,x]"],
                "done",
                "mask.classes: pic.geojson has no class x; it has t",
            ),
            (
                [("t", HALF)],
                ["mask.exclude=[x]"],
                "done",
                "mask.exclude: pic.geojson has no class x",
            ),
            (
                [],
                [],
                "failed",
                "E_MASK slide=pic: annotation drawn/pic.geojson contains no areas; draw",
            ),
            (
                [],
                ["mask.missing=empty"],
                "done_empty",
                "mask.missing=empty: no annotations in pic.*",
            ),
            (None, [], "failed", "E_MASK slide=pic: annotation drawn/pic.* does not exist; draw"),
            (None, ["mask.missing=all"], "done", "mask.missing=all: no annotations in pic.*"),
            (b"", ["mask.missing=empty"], "failed", "annotation drawn/pic.geojson is empty"),
            (b"{", [], "failed", "annotation drawn/pic.geojson is invalid JSON"),
        ]
    ),
)
def test_a_row_says_what_is_wrong_with_an_annotation(tmp_path, drawn, shapes, words, status, said):
    if isinstance(shapes, bytes):
        drawn.write_bytes(shapes)
    elif shapes is not None:
        drawn.write_text(geojson(shapes))
    row = row_of(tmp_path, *words, code=3 * (status == "failed"))
    assert row["status"] == status
    assert said in row["reason"] + row["notes"]
    assert (row["kept"] not in ("0", "")) is (status == "done")


def test_two_annotations_of_a_slide_are_refused(tmp_path, drawn):
    drawn.write_text(geojson([("t", HALF)]))
    drawn.with_suffix(".xml").write_text(aperio([("t", HALF)]))
    what = "mask.path=drawn/{slide}.* matches 2 files (pic.geojson, pic.xml); keep one"
    assert what in row_of(tmp_path, code=3)["reason"]


@pytest.mark.slow
def test_labels_of_a_run_are_columns_and_keep_tiles_for_the_price_of_a_threshold(tmp_path, drawn):
    path = "label.path='drawn/{slide}.geojson'"
    tumor, stroma = shapely.box(0, 0, 40, 40), shapely.Polygon([(30, 0), (96, 0), (96, 30)])
    drawn.write_text(geojson([("tumor", tumor), ("stroma", stroma), ("tumor", HALF)]))
    words = ("mask=none", "tile.size=16", "label=annotation", path)
    common = (*COMMON[:4], "name=demo", "cache=kept", f"out={tmp_path / 'out'}", *words)
    for rules, kept in (
        (["label.keep=[tumor]"], lambda t, s: t >= s and t > 0),
        (["label.keep=[stroma]", "label.assign=any", "label.classes=[stroma,tumor]"],
         lambda t, s: s > 0),
        (["label.keep=[tumor]", "label.assign=threshold", "label.threshold=0.9"],
         lambda t, s: t >= 0.9 and t >= s),
    ):  # fmt: skip
        done = tiler(*common, *rules, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        found = {(int(row["x0"]), int(row["y0"])): row
                 for row in read_csv(tmp_path / "out/slides/pic/pic.csv")}  # fmt: skip
        cells = {(x, y): shapely.box(x, y, x + 16, y + 16)
                 for x in range(0, 96, 16) for y in range(0, 64, 16)}  # fmt: skip
        both = tumor.union(HALF)
        shares = {at: (cell.intersection(both).area / 256, cell.intersection(stroma).area / 256)
                  for at, cell in cells.items()}  # fmt: skip
        assert set(found) == {at for at, share in shares.items() if kept(*share)}
        for at, row in found.items():
            assert float(row["label_tumor"]) == pytest.approx(shares[at][0], abs=1e-9)
            assert float(row["label_stroma"]) == pytest.approx(shares[at][1], abs=1e-9)
            assert row["label"] == rules[0].partition("[")[2].rstrip("]")
    assert "labels: 0 made, 1 reused" in done.stderr
    drawn.write_text(geojson([("tumor", FAR), ("other", HALF)]))
    done = tiler(*common, "label.classes=[stroma]", "label.keep=[stroma]", cwd=tmp_path)
    (row,) = read_csv(tmp_path / "out/slides.csv")
    assert (row["status"], row["kept"]) == ("done_empty", "0")
    assert "label.classes: pic.geojson has no class stroma; it has other, tumor" in row["notes"]
    assert row["reason"].endswith("all dropped (label 24); their labels: none")
    tiler(*common, "label.keep=[tumour]", cwd=tmp_path)
    (row,) = read_csv(tmp_path / "out/slides.csv")
    assert row["reason"].endswith("all dropped (label 24); their labels: other")


@pytest.mark.slow
def test_a_kept_label_that_no_class_has_is_noted(tmp_path, drawn):
    drawn.write_text(geojson([("tumor", HALF), ("stroma", HALF)]))
    words = ("mask=none", "tile.size=16", "label=annotation", "label.path='drawn/{slide}.geojson'")
    common = (*COMMON[:4], "name=demo", f"out={tmp_path / 'out'}", *words)
    for keep, said in (
        ("[stroma]", ""),
        ("[stroma,'']", ""),
        ("[stroma,tumour]", "label.keep: no class tumour; the classes are stroma, tumor"),
    ):
        done = tiler(*common, f"label.keep={keep}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert read_csv(tmp_path / "out/slides.csv")[0]["notes"] == said


def test_a_fifo_in_place_of_an_annotation_is_refused_at_once(tmp_path, drawn):
    os.mkfifo(drawn)
    assert "drawn/pic.geojson is not a regular file" in row_of(tmp_path, code=3)["reason"]


@pytest.mark.slow
def test_a_missing_library_is_one_line_before_anything_is_written(tmp_path, drawn):
    (tmp_path / "code").mkdir()
    hidden = "import importlib.util as u; f = u.find_spec; "
    hidden += "u.find_spec = lambda name, *rest: None if name == 'shapely' else f(name, *rest)"
    (tmp_path / "code/sitecustomize.py").write_text(hidden)
    env = {"PYTHONPATH": os.pathsep.join([str(tmp_path / "code"), str(ROOT)])}
    done = fresh_tiler(*RUN, "out=out", cwd=tmp_path, env=env)
    assert done.returncode == 2
    said = "E_CONFIG: mask=annotation needs shapely; run: pip install 'tiler[annotations]'"
    assert complaint(done) == said
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_mask_that_is_drawn_as_polygons_gives_the_same_tiles(tmp_path, shared_slides):
    path = tmp_path / "drawn.geojson"
    spec = TileSpec(128, resolution=MPP(1.0))
    with open_slide(shared_slides / "CMU-1-Small-Region.svs") as slide:
        before = TileExtractor(spec, mask_provider=OtsuMask(), mask_threshold=0.3)
        regions = before.extract(slide)
        height, width = before.mask_.shape
        across, down = slide.bounds.width / width, slide.bounds.height / height
        y, x = np.nonzero(before.mask_)
        pixels = shapely.box(x * across, y * down, (x + 1) * across, (y + 1) * down)
        outline = shapely.union_all(pixels, grid_size=1e-6)
        path.write_text(geojson([("tissue", outline)]))
        mask = AnnotationMask(path=str(path))
        again = TileExtractor(spec, mask_provider=mask, mask_threshold=0.3).extract(slide)
    assert [region.location for region in again] == [region.location for region in regions]
    ratios = [region.ratio for region in regions]
    assert [region.ratio for region in again] == pytest.approx(ratios, abs=1e-7)
    assert len(regions) > 20
