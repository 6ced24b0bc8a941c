"""Masks of masks: rasters and polygons in any combination, from Python and from commands."""

import json
from dataclasses import replace

import numpy as np
import pytest
from command import complaint, read_csv, tiler
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tracked import COMMON, picture

from tiler import Level, TileExtractor, TileSpec
from tiler.cover import rasters
from tiler.errors import ConfigError, LimitError, MaskError
from tiler.masks import AnnotationMask, CombineMask, OtsuMask, PenMask
from tiler.readers import ImageReader

shapely = pytest.importorskip("shapely")


class Fixed:
    """A mask that is given."""

    def __init__(self, mask, why=""):
        self.mask, self.why = np.asarray(mask, bool), why

    def generate(self, source):
        return self.mask

    def why_empty(self, source):
        return self.why


def masks(*shapes):
    """Masks of given shapes (height, width)."""

    def of(bits, h, w):
        return np.array([bits >> i & 1 for i in range(h * w)], bool).reshape(h, w)

    numbers = (st.integers(0, 2 ** (h * w) - 1) for h, w in shapes)
    return st.tuples(*numbers).map(
        lambda found: [of(bits, *shape) for bits, shape in zip(found, shapes, strict=True)]
    )


def drawn(path, box, name="t"):
    """Write a box as an annotation."""
    feature = {
        "type": "Feature",
        "geometry": json.loads(shapely.to_geojson(box)),
        "properties": {"classification": {"name": name}},
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([feature]))
    return str(path)


@settings(max_examples=5 * settings().max_examples // 16)
@given(masks(*[(3, 4)] * 5))
def test_masks_of_one_size_combine_as_arrays_do(fake_reader, made):
    slide = fake_reader(np.zeros((30, 40, 3), np.uint8))
    a, b, c, d, e = map(Fixed, made)
    combined = CombineMask(all={"a": a, "b": b}, any={"c": c, "d": d}, none={"e": e})
    expected = a.mask & b.mask & (c.mask | d.mask) & ~e.mask
    mask = TileExtractor(TileSpec(5, resolution=Level(0)), mask_provider=combined).make_mask(slide)
    assert mask.cover is None, "one even raster is a plain mask"
    assert (mask.picture == (expected if expected.any() else np.zeros((1, 1), bool))).all()
    assert (combined.generate(slide) == mask.picture).all()
    nested = CombineMask(all={"in": CombineMask(any={"a": a, "b": b})}, none={"c": c, "d": d})
    found = nested.cover(slide).rendered()
    expected = (a.mask | b.mask) & ~(c.mask | d.mask)
    assert (found == (expected if expected.any() else np.zeros((1, 1), bool))).all()


@settings(max_examples=5 * settings().max_examples // 16)
@given(masks((2, 3), (4, 5), (3, 6)), st.integers(3, 11), st.integers(2, 9))
def test_masks_of_other_sizes_and_polygons_combine_exactly(
    fake_reader, tmp_path_factory, made, size, stride
):
    """On a slide of 60 x 60 pixels every edge is a whole pixel: numpy has the answer."""
    slide = fake_reader(np.zeros((60, 60, 3), np.uint8), name="s")
    path = drawn(tmp_path_factory.getbasetemp() / "boxes/s.geojson", shapely.box(7, 5, 41, 52))
    combined = CombineMask(
        all={"drawn": AnnotationMask(path=path)},
        any={"a": Fixed(made[0]), "b": Fixed(made[1])},
        none={"c": Fixed(made[2])},
    )
    a, b, c = (np.kron(mask, np.ones((60 // mask.shape[0], 60 // mask.shape[1]))) > 0
               for mask in made)  # fmt: skip
    box = np.zeros((60, 60), bool)
    box[5:52, 7:41] = True
    pixels = box & (a | b) & ~c
    extractor = TileExtractor(
        TileSpec(size, stride, resolution=Level(0)), mask_provider=combined, mask_threshold=0
    )
    for region in extractor.extract(slide):
        x, y = region.location
        share = pixels[y : y + size, x : x + size].mean()
        assert region.ratio == pytest.approx(share, abs=1e-9)
    assert extractor.make_mask(slide).fraction == pytest.approx(pixels.mean(), abs=1e-9)


def test_an_empty_combination_names_its_empty_masks(fake_reader):
    slide = fake_reader(np.zeros((60, 60, 3), np.uint8))
    left, right = Fixed([[1, 0]]), Fixed([[0, 1]])
    empty = Fixed([[0, 0]], "all pen")
    both = CombineMask(all={"a": left, "b": empty}, any={"c": empty, "d": right})
    why = "mask.all.b is empty (all pen); mask.any.c is empty (all pen)"
    assert both.why_empty(slide) == why
    apart = CombineMask(all={"a": left, "b": right})
    assert apart.why_empty(slide) == "the masks have no tissue in common"
    assert not apart.cover(slide).terms
    assert CombineMask(all={"a": OtsuMask()}).thresholds
    assert not apart.thresholds


def test_masks_inside_a_combination_name_their_own_keys(fake_reader, tmp_path):
    slide = fake_reader(np.zeros((60, 60, 3), np.uint8))
    missing = AnnotationMask(path=str(tmp_path / "mask.json"))
    inner = CombineMask(any={"drawn": missing})
    with pytest.raises(MaskError) as caught:
        CombineMask(all={"a": Fixed([[1]]), "in": inner}).cover(slide)
    assert caught.value.what.endswith("mask.json does not exist; draw annotations, or set"
                                      " mask.all.in.any.drawn.missing=empty")  # fmt: skip
    allowed = CombineMask(none={"in": CombineMask(any={"drawn": replace(missing, missing="all")})})
    note = "mask.none.in.any.drawn.missing=all: no annotations in mask.json"
    assert allowed.cover(slide).notes == (note,)
    empty = CombineMask(all={"in": CombineMask(any={"drawn": replace(missing, missing="empty")})})
    why = "mask.all.in.any.drawn.missing=empty, and there is no annotation"
    assert f"mask.all.in.any.drawn is empty ({why})" in empty.why_empty(slide)


def test_masks_inside_fit_the_tiles_as_they_do_alone(shared_slides):
    """Otsu's mask is finer for small tiles, also inside a combination; pen is not."""
    spec = TileSpec(96, resolution=Level(0))
    with ImageReader(shared_slides / "thumbs/tcga-red-pen.png", mpp=1.0) as slide:
        alone, inside, without = (
            TileExtractor(spec, mask_provider=provider).make_mask(slide)
            for provider in (
                OtsuMask(),
                CombineMask(any={"in": CombineMask(all={"tissue": OtsuMask()})}),
                CombineMask(all={"tissue": OtsuMask()}, none={"pen": PenMask()}),
            )
        )
        assert alone.picture.shape == (112, 118), "twice as fine as 8 µm"
        pen = PenMask().generate(slide)
    assert inside.cover is without.cover is None, "one even raster is a plain mask"
    assert (inside.picture == alone.picture).all()
    assert (without.picture == alone.picture & ~np.kron(pen, np.ones((2, 2), bool))).all()


def test_a_combination_is_cached_by_the_masks_inside():
    user = CombineMask(all={"a": Fixed([[1]]), "tissue": OtsuMask(mpp=4)})
    text = "CombineMask(all={'a': test_combine.Fixed, 'tissue': OtsuMask(mpp=4"
    assert repr(user).startswith(text)
    assert repr(user).endswith(", any={}, none={})")


def test_masks_that_refine_each_other_too_much_are_refused(fake_reader, monkeypatch):
    monkeypatch.setattr(rasters, "MAX_PIXELS", 100)
    slide = fake_reader(np.zeros((60, 60, 3), np.uint8))
    combined = CombineMask(all={"a": Fixed(np.ones((7, 5))), "b": Fixed(np.ones((9, 8)))})
    with pytest.raises(LimitError, match=r"combine: .* to 13 x 16 pixels; use masks of one mpp"):
        combined.cover(slide)


@pytest.mark.parametrize(
    ("masks", "problem"),
    [({}, "has no masks; add one"), ({"any": {"a": 3}}, r"mask\.any\.a=3 is not a mask; choose")],
)
def test_a_component_that_is_not_a_mask_is_named(masks, problem):
    with pytest.raises(ConfigError, match=problem):
        CombineMask(**masks)


@pytest.mark.parametrize("name", ["tcga-green-pen.png", "tcga-red-pen.png", "wsi-blue-pen.png"])
def test_tissue_without_pen_is_that_of_otsu_less_the_pen(name, shared_slides):
    with ImageReader(shared_slides / "thumbs" / name) as slide:
        tissue, pen = OtsuMask().generate(slide), PenMask().generate(slide)
        mask = CombineMask(all={"tissue": OtsuMask()}, none={"pen": PenMask()}).generate(slide)
    assert (mask == tissue & ~pen).all()
    assert 0.005 < (tissue & pen).mean() < 0.3, "there is pen, and it was tissue"


RUN = (*COMMON[:5], "mask.all.tissue.min_tissue_fraction=0", "name=demo", "threshold=0.3")


@pytest.mark.slow
def test_commands_compose_masks_and_override_their_keys(tmp_path):
    picture(tmp_path)
    drawn(tmp_path / "a/pic.geojson", shapely.box(0, 0, 40.5, 64))
    drawn(tmp_path / "b/pic.geojson", shapely.box(24, 8, 96, 40))
    words = (
        *RUN,
        "mask=tissue_in_annotation",
        "mask@mask.all.tissue=hsv",
        "mask.all.tissue.saturation=[0,255]",
        "mask.all.tissue.value=[0,255]",
        "mask.all.annotation.path='a/{slide}.geojson'",
        "+mask@mask.none.other=annotation",
        "mask.none.other.path='b/{slide}.geojson'",
        "out=out",
    )
    done = tiler(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = {(int(r["x"]), int(r["y"])): float(r["ratio"]) for r in table(tmp_path)}
    area = shapely.box(0, 0, 40.5, 64).difference(shapely.box(24, 8, 96, 40))
    cells = {(x, y): shapely.box(x, y, x + 16, y + 16) for x in range(0, 96, 16)
             for y in range(0, 64, 16)}  # fmt: skip
    shares = {at: cell.intersection(area).area / 256 for at, cell in cells.items()}
    assert found == pytest.approx({at: share for at, share in shares.items() if share >= 0.3})
    before = table(tmp_path)
    drawn(tmp_path / "b/pic.geojson", shapely.box(0, 0, 96, 40))  # of one name with the other
    assert tiler(*words, cwd=tmp_path).returncode == 0
    assert table(tmp_path) != before


def table(folder):
    return read_csv(folder / "out/slides/pic/pic.csv")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mask=combine"], "mask=combine has no masks"),
        (["mask=tissue_in_annotation"], "mask.all.annotation.path is not set"),
        (["mask=tissue_without_pen", "mask.none.pen.mp=4"], "unknown key 'mask.none.pen.mp'"),
        (
            ["mask=tissue_without_pen", "mask.none.pen.mpp=x"],
            "mask.none.pen.mpp='x' is invalid; use",
        ),
        (["mask=combine", "+mask@mask.any.a=otus"], "mask/otus: no such option"),
        (["mask=combine", "+mask.all.x._target_=os.remove"], "mask.all.x._target_=os.remove"),
        (["mask=combine", "+mask.all.x=3"], "mask.all.x=3 is not a mask; choose one as mask@"),
    ],
)
def test_mistakes_inside_a_combination_are_named(tmp_path, words, said):
    picture(tmp_path)
    done = tiler(*COMMON[:5], *words, "out=out", cwd=tmp_path)
    assert done.returncode == 2
    assert said in complaint(done)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_pen_preset_runs_on_a_picture(tmp_path, shared_slides):
    with Image.open(shared_slides / "thumbs/tcga-green-pen.png") as image:
        image.convert("RGB").reduce(2).save(tmp_path / "pic.png")
    common = (*COMMON[:5], "tile.size=16", "threshold=0.5")
    kept = {}
    for mask in ("otsu", "tissue_without_pen"):
        done = tiler(*common, f"mask={mask}", f"out={mask}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        kept[mask] = int(read_csv(tmp_path / mask / "slides.csv")[0]["kept"])
    assert 0 < kept["tissue_without_pen"] < kept["otsu"]


def test_paths_of_a_table_count_from_its_folder_inside_combinations_too(tmp_path):
    folder = tmp_path / "lab"
    for name, box in (("a", shapely.box(0, 0, 32, 64)), ("b", shapely.box(0, 0, 96, 16))):
        drawn(folder / f"{name}.geojson", box)
        picture(folder, f"{name}.png")
    drawn(folder / "labels.geojson", shapely.box(0, 0, 96, 64), "t")
    (folder / "slides.csv").write_text(
        "path,mask.all.annotation.path,label.path\n"
        "a.png,a.geojson,labels.geojson\nb.png,b.geojson,labels.geojson\n"
    )
    words = ("slides=table", "slides.table=lab/slides.csv", "mask=tissue_in_annotation")
    done = tiler(
        *words, *COMMON[2:5], "mask@mask.all.tissue=none", "label=annotation", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "outputs").iterdir()
    assert [row["kept"] for row in read_csv(run / "slides.csv")] == ["8", "6"]
