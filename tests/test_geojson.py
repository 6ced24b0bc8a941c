"""GeoJSON of tissue and tiles: as QuPath has it, and read back to the same tiles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command import read_csv, tiler
from conftest import ArrayReader

from tiler import MPP, Level, TileExtractor, TileSpec
from tiler.exporters import GeojsonExporter
from tiler.labels import AnnotationLabels
from tiler.masks import AnnotationMask
from tiler.scores import Grey

shapely = pytest.importorskip("shapely")


def written(slide, extractor, folder: Path, **how) -> dict:
    regions = extractor.extract(slide)
    (file,) = GeojsonExporter(**how).export(slide, regions, extractor.mask_, folder).files
    return json.loads((folder / file.name).read_text())


@pytest.fixture
def slide() -> ArrayReader:
    return ArrayReader(np.full((431, 617, 3), 200, np.uint8), bounds=(31, 17, 540, 380), mpp=0.5)


def ragged(shape: tuple[int, int] = (19, 27)) -> np.ndarray:
    return np.random.default_rng(5).random(shape) < 0.6


def test_features_are_as_qupath_has_them(slide, tmp_path):
    extractor = TileExtractor(TileSpec((40, 30), resolution=Level(0)), mask=ragged())
    found = written(slide, extractor, tmp_path)
    assert found["type"] == "FeatureCollection"
    tiles = [one for one in found["features"] if one["properties"]["objectType"] == "tile"]
    assert len(tiles) == len(extractor.region_specs_) > 20
    for tile, region in zip(tiles, extractor.region_specs_, strict=True):
        x, y, width, height = region.box0
        box = shapely.box(x - 31, y - 17, x - 31 + width, y - 17 + height)
        assert shapely.equals(shapely.from_geojson(json.dumps(tile["geometry"])), box)
        assert tile["properties"]["measurements"] == {"ratio": region.ratio, **region.columns}
    tissue = [one for one in found["features"] if one["properties"]["objectType"] == "annotation"]
    assert {one["properties"]["classification"]["name"] for one in tissue} == {"Tissue"}
    area = sum(shapely.from_geojson(json.dumps(one["geometry"])).area for one in tissue)
    assert area == pytest.approx(ragged().mean() * 540 * 380, rel=1e-12)


@pytest.mark.parametrize("origin", ["auto", "bounds"])
def test_the_outline_read_back_gives_the_same_tiles(slide, tmp_path, origin):
    spec = TileSpec((40, 30), stride=(13, 17), resolution=Level(0))
    first = TileExtractor(spec, mask=ragged(), mask_threshold=0.55)
    written(slide, first, tmp_path)
    again = TileExtractor(
        spec,
        mask_provider=AnnotationMask(path=str(tmp_path / "{slide}.geojson"), origin=origin),
        mask_threshold=0.55,
    )
    tiles = again.extract(slide)
    assert [tile.location for tile in tiles] == [tile.location for tile in first.region_specs_]
    ratios = [[tile.ratio for tile in some] for some in (tiles, first.region_specs_)]
    assert ratios[0] == pytest.approx(ratios[1], abs=1e-12)


def test_tissue_or_tiles_can_be_left_out(slide, tmp_path):
    extractor = TileExtractor(TileSpec((40, 30), resolution=Level(0)), mask=ragged())
    for part in ("tissue", "tiles"):
        found = written(slide, extractor, tmp_path, **{part: False})
        kinds = {one["properties"]["objectType"] for one in found["features"]}
        assert kinds == {"tile" if part == "tissue" else "annotation"}
    with pytest.raises(ValueError, match="both false"):
        GeojsonExporter(tissue=False, tiles=False)


def test_a_slide_without_tissue_has_no_features(slide, tmp_path):
    extractor = TileExtractor(TileSpec(40, resolution=Level(0)), mask=np.zeros((5, 6), bool))
    assert written(slide, extractor, tmp_path)["features"] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CMU-1-Small-Region.svs", "test3-DAPI-2-(387).ndpi"])
def test_mask_to_geojson_to_annotation_keeps_the_tiles_of_real_slides(
    shared_slides, tmp_path, name
):
    common = ["slides=files", f"slides.paths='{shared_slides / name}'", "resolution=level",
              "resolution.value=0", "tile.size=200"]  # fmt: skip
    first = tiler(*common, "exporter=[csv,geojson]", "out=first", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    (row,) = read_csv(tmp_path / "first/slides.csv")
    folder = tmp_path / "first/slides" / row["slide_id"]
    path = f"mask.path='{folder}/{{slide}}.geojson'"
    again = tiler(*common, "mask=annotation", path, "out=again", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    tables = [
        read_csv(tmp_path / out / "slides" / row["slide_id"] / f"{row['slide_id']}.csv")
        for out in ("first", "again")
    ]
    assert len(tables[0]) > 5
    for one, other in zip(*tables, strict=True):
        assert (one["x"], one["y"]) == (other["x"], other["y"])
        assert float(one["ratio"]) == pytest.approx(float(other["ratio"]), abs=1e-9)


def strictly_read(text: str) -> dict:
    """Return JSON without NaN and infinities, and without a name twice in an object."""

    def refuse(constant: str):
        raise AssertionError(f"{constant} is not JSON")

    def once(pairs: list) -> dict:
        names = [name for name, _ in pairs]
        assert len(set(names)) == len(names)
        return dict(pairs)

    return json.loads(text, parse_constant=refuse, object_pairs_hook=once)


def is_text(value) -> bool:
    return isinstance(value, str) and bool(value)


def is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_colour(value) -> bool:
    return len(value) == 3 and all(isinstance(one, int) and 0 <= one <= 255 for one in value)


def is_ring(value) -> bool:
    positions = all(len(one) == 2 and all(map(is_number, one)) for one in value)
    return positions and len(value) >= 4 and value[0] == value[-1]


def is_measurements(value) -> bool:
    return all(is_text(name) and is_number(number) for name, number in value.items())


FEATURE = {
    "type": lambda value: value == "Feature",
    "geometry": {
        "type": lambda value: value == "Polygon",
        "coordinates": lambda value: bool(value) and all(map(is_ring, value)),
    },
    "properties": {
        "objectType": lambda value: value in ("annotation", "tile"),
        "classification?": {"name": is_text, "color?": is_colour},
        "measurements?": is_measurements,
    },
}
"""What QuPath's reader looks for, by name; a question mark ends the name of an optional one."""


def violations(value, schema, at: str = "feature") -> list[str]:
    """Return the places of a JSON value that do not follow a schema."""
    if callable(schema):
        return [] if schema(value) else [f"{at}={value!r}"]
    allowed = {name.rstrip("?") for name in schema}
    found = [f"{at}.{name} is unknown" for name in value if name not in allowed]
    for name, inner in schema.items():
        own = name.rstrip("?")
        if own in value:
            found += violations(value[own], inner, f"{at}.{own}")
        elif own == name:
            found.append(f"{at}.{name} is missing")
    return found


@pytest.mark.parametrize("bounds", [None, (31, 17, 540, 380)])
def test_a_validator_finds_no_fault(tmp_path, bounds):
    level0 = np.random.default_rng(3).integers(0, 256, (431, 617, 3), np.uint8)
    slide = ArrayReader(level0, bounds=bounds, mpp=0.5)
    drawn = {"type": "Polygon", "coordinates": [[[0, 0], [250, 0], [250, 400], [0, 400], [0, 0]]]}
    drawing = {"type": "Feature", "geometry": drawn,
               "properties": {"classification": {"name": 'Tumor "α"'}}}  # fmt: skip
    (tmp_path / "drawn.geojson").write_text(json.dumps(drawing))
    extractor = TileExtractor(
        TileSpec((40, 30), resolution=MPP(0.7)),
        mask=ragged(),
        filters={"grey": Grey(min=0)},
        labels=AnnotationLabels(path=str(tmp_path / "drawn.geojson")),
    )
    regions = extractor.extract(slide)
    (file,) = GeojsonExporter().export(slide, regions, extractor.mask_, tmp_path).files
    found = strictly_read((tmp_path / file.name).read_text(encoding="utf-8"))
    assert {*found} == {"type", "features"}
    assert [place for one in found["features"] for place in violations(one, FEATURE)] == []
    x, y, width, height = bounds or (0, 0, 617, 431)
    frame = shapely.box(-1, -1, width + 1, height + 1)
    for one in found["features"]:
        outline = shapely.from_geojson(json.dumps(one["geometry"]))
        assert outline.is_valid
        assert outline.exterior.is_ccw  # in a frame whose y points up, as RFC 7946 asks for
        assert not any(hole.is_ccw for hole in outline.interiors)
        assert frame.covers(outline)
    tiles = [one for one in found["features"] if one["properties"]["objectType"] == "tile"]
    assert len(tiles) == len(regions) > 20
    for tile, region in zip(tiles, regions, strict=True):
        left, top = (region.box0.x - x, region.box0.y - y)
        assert tile["geometry"]["coordinates"][0][0] == [left, top]
        assert {"ratio", "row", "column", "score_grey"} <= {*tile["properties"]["measurements"]}
    classes = {one["properties"].get("classification", {}).get("name") for one in tiles}
    assert classes == {'Tumor "α"', None}


def test_the_validator_finds_faults():
    properties = {"objectType": "cell", "measurements": {"a": None}, "size": 1}
    geometry = {"type": "Polygon", "coordinates": [[[0, 0]]]}
    tile = {"type": "Feature", "geometry": geometry, "properties": properties}
    assert len(violations(tile, FEATURE)) == 4
    with pytest.raises(AssertionError, match="NaN is not JSON"):
        strictly_read('{"a": NaN}')
