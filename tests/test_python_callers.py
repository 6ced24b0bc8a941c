"""Errors of Python callers: wrong arguments, invalid files, and fixes in Python."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import numpy as np
import openslide
import pytest
from conftest import ArrayReader
from PIL import Image

from tiler import MPP, Level, Magnification, RegionSpec, TileExtractor, TileSpec, open_slide
from tiler.errors import ArgumentError, ConfigError, MaskError, ResolutionError, SlideError
from tiler.masks import OtsuMask
from tiler.readers import ImageReader, OpenSlideReader, TiffReader
from tiler.readers.deferred import DeferredReader, known_of
from tiler.slides.demo import Size, write_demo_slide

SPEC = TileSpec((40, 30), resolution=Level(0))
CHECKED = np.indices((13, 20)).sum(0) % 2
NOISE = np.random.default_rng(3).integers(0, 255, (130, 200, 3), np.uint8)


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_slide(tmp_path_factory.mktemp("slide") / "painted.svs", Size(700, 500))


@pytest.fixture
def extractor() -> TileExtractor:
    made = TileExtractor(SPEC, mask_threshold=0)
    made.extract(ArrayReader(NOISE, mpp=0.5, name="s1"))
    return made


# --- arguments


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x.svs", "open_slide('x.svs')"),
        (Path("a/x.svs"), "open_slide('a/x.svs')"),
        (NOISE, "open_slide(path)"),
        (None, "open_slide(path)"),
        (open_slide, "open_slide(path)"),
    ],
    ids=["text", "path", "array", "none", "function"],
)
def test_the_errors_of_fit_name_the_right_argument(source: object, words: str) -> None:
    fitted = TileExtractor(SPEC)
    with pytest.raises(TypeError) as caught:
        fitted.fit(source)
    assert words in str(caught.value)
    assert isinstance(caught.value, ConfigError)
    assert len(str(caught.value)) < 300
    assert not hasattr(fitted, "source_")


def test_an_openslide_object_is_no_source(painted: Path) -> None:
    with openslide.OpenSlide(painted) as raw, pytest.raises(TypeError) as caught:
        TileExtractor(SPEC).extract(raw)
    for word in ("OpenSlide", "bounds", "open_slide(path)"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tile_spec": "256"}, "TileSpec(256, resolution="),
        ({"tile_spec": 256}, "TileSpec(256, resolution="),
        ({"tile_spec": None}, "tile_spec=None"),
        ({"mask": "mask.png"}, "mask_provider=FileMask(path)"),
        ({"mask": Path("mask.png")}, "mask_provider=FileMask(path)"),
        ({"mask": OtsuMask()}, "mask_provider=…"),
        ({"mask_provider": OtsuMask}, "OtsuMask(…)"),
        ({"mask_provider": np.ones((3, 4))}, "mask=…"),
        ({"mask_provider": "otsu"}, "OtsuMask()"),
    ],
)
def test_the_errors_of_the_constructor_name_the_right_argument(arguments: dict, words: str) -> None:
    with pytest.raises(TypeError, match=re.escape(words)):
        TileExtractor(**{"tile_spec": SPEC, **arguments})


def test_regions_of_another_kind_are_named(extractor: TileExtractor, tmp_path: Path) -> None:
    for call in (extractor.to_csv, extractor.to_json, extractor.save):
        with pytest.raises(TypeError, match=r"regions\[1\]=\(0, 0, 40, 30\).*RegionSpec"):
            call(tmp_path, [extractor.region_specs_[0], (0, 0, 40, 30)])
    assert not list(tmp_path.iterdir())


def test_one_region_is_no_list(extractor: TileExtractor, tmp_path: Path) -> None:
    for call in (extractor.to_csv, extractor.to_json, extractor.save):
        with pytest.raises(TypeError, match=r"is one region; pass a list: \[region\]"):
            call(tmp_path, extractor.region_specs_[0])


@pytest.mark.parametrize("workers", [None, 0, -1, 1.5, "2", True])
def test_the_number_of_threads_is_a_whole_number(
    extractor: TileExtractor, tmp_path: Path, workers: object
) -> None:
    with pytest.raises(
        ConfigError, match=f"max_workers={workers!r} is invalid; use a whole number"
    ):
        extractor.save(tmp_path / "tiles", max_workers=workers)
    assert not (tmp_path / "tiles").exists()


# --- masks as arrays


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.full((3, 4), 0.25), ["float64", "(3, 4)", "0.25", "mask >= 0.5"]),
        (np.array([[0.0, 1.0, np.nan]]), ["float64", "(1, 3)", "mask >= 0.5"]),
        (np.ones((3, 4, 1), bool), ["bool", "(3, 4, 1)"]),
        (np.ones(4), ["float64", "(4,)"]),
        (np.array([["a"]]), ["<U1", "(1, 1)"]),
        (np.array([[1j]]), ["complex128"]),
        ([[1, 0], [1]], ["[[1, 0], [1]]", "list"]),
    ],
    ids=["fractions", "nan", "three axes", "one axis", "text", "complex", "ragged"],
)
def test_an_invalid_static_mask_is_described(mask: object, words: list[str]) -> None:
    with pytest.raises(MaskError) as caught:
        TileExtractor(SPEC, mask).fit(ArrayReader(NOISE, name="s1"))
    for word in ("s1", *words):
        assert word in str(caught.value)


# --- the target


@pytest.mark.parametrize(
    ("resolution", "refused"),
    [(MPP(0.25), True), (MPP(0.5), False), (Magnification(40), True), (MPP(1.0), False)],
    ids=str,
)
def test_fit_refuses_to_enlarge_unless_the_slide_was_opened_so(resolution, refused) -> None:
    wish = TileExtractor(TileSpec((40, 30), resolution=resolution), mask_threshold=0)
    if refused:
        with pytest.raises(ResolutionError) as caught:
            wish.fit(ArrayReader(NOISE, mpp=0.5, magnification=20, name="s1"))
        assert "finer than the scan" in str(caught.value)
        assert "open_slide(path, allow_upsampling=True)" in str(caught.value)
        assert "reader.allow_upsampling=true" in caught.value.in_config()
        assert not hasattr(wish, "source_")
    wide = ArrayReader(NOISE, mpp=0.5, magnification=20, allow_upsampling=True)
    assert wish.extract(wide)


@pytest.mark.parametrize(
    ("location", "outside"),
    [
        ((200, 0), True),
        ((0, 130), True),
        ((-40, 0), True),
        ((0, -30), True),
        ((10_000, 10_000), True),
        ((199, 129), False),
        ((-39, -29), False),
        ((160, 100), False),
    ],
)
def test_save_refuses_a_region_that_does_not_touch_the_slide(
    extractor: TileExtractor, tmp_path: Path, location: tuple[int, int], outside: bool
) -> None:
    regions = [RegionSpec(corner, (40, 30), Level(0), 1.0) for corner in ((0, 0), location)]
    if not outside:
        assert len(extractor.save(tmp_path, regions)) == 2
        return
    with pytest.raises(ValueError, match=r"regions\[1\]") as caught:
        extractor.save(tmp_path / "out", regions)
    assert isinstance(caught.value, RuntimeError)
    for word in ("s1", f"({location[0]}, {location[1]}, 40, 30)", "200x130"):
        assert word in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_padded_tiles_are_saved_and_bounds_are_no_limit(tmp_path: Path) -> None:
    slide = ArrayReader(NOISE, mpp=0.5, name="s1", bounds=(50, 20, 100, 70))
    wish = TileExtractor(TileSpec((60, 40), resolution=MPP(1.0), edge="pad"), mask_threshold=0)
    assert len(wish.extract(slide)) == len(wish.save(tmp_path)) == 1
    assert wish.save(tmp_path, [RegionSpec((0, 0), (10, 10), MPP(1.0), 0.0)])


# --- files


def test_an_extraction_that_kept_nothing_names_the_reason(tmp_path: Path) -> None:
    slide = ArrayReader(NOISE, name="s1")
    cases = [
        (TileExtractor(SPEC, CHECKED, mask_threshold=1), "threshold: no tile reaches 1; the best"),
        (TileExtractor(SPEC, np.zeros((2, 2))), "mask: no tissue on the slide (20 candidates)"),
        (TileExtractor(TileSpec(500, resolution=Level(0))), "smaller than one tile"),
    ]
    for extractor, why in cases:
        calls = extractor.to_csv, extractor.to_json, extractor.save
        extractor.fit(slide)
        for call in calls:
            with pytest.raises(RuntimeError, match=r"slide s1: call extract\(\) first"):
                call(tmp_path / "out")
        assert extractor.extract() == []
        for call in calls:
            with pytest.raises(RuntimeError, match=r"slide s1: extract\(\) kept 0 of") as caught:
                call(tmp_path / "out")
            assert why in str(caught.value)
            assert "call extract()" not in str(caught.value)
            with pytest.raises(RuntimeError, match="the list of regions is empty"):
                call(tmp_path / "out", [])
    assert not (tmp_path / "out").exists()


def test_the_path_of_a_table_is_resolved(
    extractor: TileExtractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    for write, suffix in ((extractor.to_csv, "csv"), (extractor.to_json, "json")):
        path = write("link/../link/a")
        assert path == (tmp_path / f"real/a/s1.{suffix}").resolve()
        assert path.is_file()


@pytest.mark.parametrize("call", ["to_csv", "to_json", "save"])
@pytest.mark.parametrize("place", ["file", "below", "long", "nul"])
def test_a_folder_that_cannot_be_created_is_a_runtime_error(
    extractor: TileExtractor, tmp_path: Path, call: str, place: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    folder = {"file": "file", "below": "file/a/b", "long": "x" * 300, "nul": "a\0b"}[place]
    with pytest.raises(RuntimeError) as caught:
        getattr(extractor, call)(tmp_path / folder)
    assert str(tmp_path / folder) in str(caught.value)
    in_the_way = place in ("file", "below")
    fix = "a folder or a new name" if in_the_way else "a writable folder"
    assert f"choose {fix}" in str(caught.value)
    assert "resume" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "in the way"


FORMATS = {
    "PNG": "PNG", "Jpeg": "JPEG", "JPG": "JPEG", "jfif": "JPEG", "TIFF": "TIFF", "WebP": "WEBP",
    "bmp": "BMP", "BMP": "BMP", "gif": "GIF", "ppm": "PPM", "tga": "TGA", "jp2": "JPEG2000",
    "dib": "DIB", "pcx": "PCX",
}  # fmt: skip
LOSSLESS = ("PNG", "TIFF", "bmp", "BMP", "ppm", "tga", "jp2", "dib", "pcx")


@pytest.mark.parametrize("extension", FORMATS)
def test_save_writes_the_formats_of_pillow_in_upper_and_lower_case(
    extractor: TileExtractor, tmp_path: Path, extension: str
) -> None:
    region = extractor.region_specs_[7]
    (path,) = extractor.save(tmp_path, [region], extension=extension)
    assert path.name == f"s1_x80_y30_w40_h30_l_0_r1.00.{extension}"
    assert list(tmp_path.iterdir()) == [path]
    with Image.open(path) as image:
        assert (image.format, image.size) == (FORMATS[extension], (40, 30))
        if extension in LOSSLESS:
            pixels = NOISE[region.location.y :, region.location.x :][:30, :40]
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), pixels)


UNFIT = ["", ".png", "svs", "xbm", "h5", "msp", "ico", "icns", "../png", "p/ng", 3, None]


@pytest.mark.parametrize("extension", UNFIT)
def test_save_refuses_unsupported_extensions(
    extractor: TileExtractor, tmp_path: Path, extension: object
) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"extension={extension!r}")) as caught:
        extractor.save(tmp_path / "out", extension=extension)
    assert "png" in str(caught.value)
    assert "exporter." not in str(caught.value)
    assert not (tmp_path / "out").exists()


# --- readers in other processes


def by_openslide(path: Path):
    return OpenSlideReader(path, name="n", mpp=0.3, magnification=40, allow_upsampling=True)


def by_tiff(path: Path):
    return TiffReader(path, name="n", mpp=0.3, magnification=40, allow_upsampling=True)


def by_auto(path: Path):
    return open_slide(str(path), name="n", mpp=0.3, magnification=40, allow_upsampling=True)


def by_pillow(path: Path):
    picture = path.with_name("picture.png")
    Image.fromarray(NOISE).save(picture)
    return ImageReader(picture, name="n", mpp=0.3, magnification=40, allow_upsampling=True)


def deferred(path: Path):
    opened = by_tiff(path)
    return DeferredReader(path, "n", known_of(opened), opened.__enter__)


@pytest.mark.parametrize("opener", [by_openslide, by_tiff, by_auto, by_pillow, deferred])
@pytest.mark.parametrize("closed", [False, True])
def test_readers_pickle_and_reopen(painted: Path, opener, closed: bool) -> None:
    reader = opener(painted)
    before = reader.read_region((30, 40), (50, 20), MPP(0.2 if opener is not deferred else 0.6))
    packed = pickle.dumps(reader)
    assert len(packed) < 5000
    if closed:
        reader.close()
    for again in (pickle.loads(packed), copy.copy(reader), copy.deepcopy(reader)):
        assert type(again) is type(reader)
        assert (again.path, again.name) == (reader.path, "n")
        for fact in ("mpp", "magnification", "level_dimensions", "level_downsamples", "bounds"):
            assert getattr(again, fact) == getattr(reader, fact)
        after = again.read_region((30, 40), (50, 20), MPP(0.2 if opener is not deferred else 0.6))
        np.testing.assert_array_equal(before, after)
        again.close()


def test_a_fitted_extractor_pickles_with_its_slide(painted: Path) -> None:
    extractor = TileExtractor(TileSpec(128, resolution=Level(0)), mask_provider=OtsuMask())
    with open_slide(painted) as slide:
        found = extractor.extract(slide)
        again = pickle.loads(pickle.dumps(extractor))
    assert again.region_specs_ == found
    assert again.extract() == found
    again.source_.close()


def test_unpickling_a_reader_without_its_file_is_an_open_error(tmp_path: Path) -> None:
    Image.fromarray(NOISE).save(tmp_path / "picture.png")
    packed = pickle.dumps(open_slide(tmp_path / "picture.png"))
    (tmp_path / "picture.png").unlink()
    with pytest.raises(SlideError, match="E_OPEN slide=picture"):
        pickle.loads(packed)


@pytest.mark.parametrize("wrong", [None, 7, b"x.svs", ["x.svs"]])
@pytest.mark.parametrize("opener", [open_slide, ImageReader, OpenSlideReader, TiffReader])
def test_a_path_of_another_type_is_refused_by_all_readers(opener, wrong: object) -> None:
    with pytest.raises(ArgumentError, match=r"^path=.* is not a path; pass a str or a Path$"):
        opener(wrong)


@pytest.mark.parametrize("method", ["to_csv", "to_json", "save"])
def test_a_folder_of_another_type_is_refused(method: str) -> None:
    extractor = TileExtractor(TileSpec(8, resolution=Level(0)))
    extractor.fit_extract(ArrayReader(np.zeros((16, 24, 3), np.uint8)))
    with pytest.raises(ArgumentError, match=r"^output_dir=None \(NoneType\) is not a path; pass"):
        getattr(extractor, method)(None)
