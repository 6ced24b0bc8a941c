"""``tiler-compare`` reads the same tiles from each format that an exporter writes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from command import complaint, read_csv, tiler
from conftest import ArrayReader

from tiler import MPP, TileExtractor, TileSpec
from tiler.compare.changes import tile_change
from tiler.compare.rows import Precision
from tiler.compare.tiles import read_tiles
from tiler.config.command.folder import conf_folder
from tiler.errors import ConfigError
from tiler.exporters import GeojsonExporter
from tiler.runner.store.record_file import record_content

OPTIONS = sorted(path.stem for path in (conf_folder() / "exporter").glob("*.yaml"))
PICTURES = {"mask", "overview"}
"""Options that list no tiles."""

FILES = {
    "csv": ["{}.csv"],
    "json": ["{}.json"],
    "parquet": ["{}.parquet"],
    "candidates": ["{}_candidates.csv"],
    "geojson": ["{}.geojson"],
    "hs2p": ["{}.meta.json", "{}.coordinates.npz"],
    "trident": ["{}.trident.h5"],
    "clam": ["{}.clam.h5"],
    "mussel": ["{}.mussel.h5"],
    "atlaspatch": ["{}.atlaspatch.h5"],
    "images": ["tiles"],
    "zarr": ["{}.zarr"],
    "webdataset": ["{}.shards.json", "{}-*.tar"],
}
"""The files of each format in a slide's folder."""
LAYOUTS = ("trident", "clam", "mussel", "atlaspatch")
FORMATS = [name for name in FILES if name in OPTIONS or name in LAYOUTS]


def job(folder: Path, *words: str, out: str = "out", code: int = 0) -> Path:
    """Run on slides of 0.5 microns per pixel at 0.7, which is no level."""
    done = tiler(
        "slides=files", "slides.paths=in", "reader.mpp=0.5", "resolution=mpp", "mask=otsu",
        "resolution.value=0.7", "tile.size=32", "threshold=0.3", "mask.min_tissue_mm2=0",
        "mask.mpp=1", f"out={out}", *words, cwd=folder,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return folder / out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a slide of tissue and one without."""
    folder = tmp_path_factory.mktemp("formats")
    noise = np.random.default_rng(0).integers(0, 40, (300, 420, 3))
    (folder / "in").mkdir()
    for name in ("a.1", "empty"):
        pixels = np.full((300, 420, 3), (215, 214, 215)) + noise
        if name != "empty":
            pixels[57:233, 91:307] = (150, 60, 140)
        path = folder / f"in/{name}.tiff"
        tifffile.imwrite(path, pixels.astype(np.uint8), tile=(64, 64), photometric="rgb")
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    """Return a run with all exporters."""
    names = ",".join(OPTIONS)
    return job(folder, f"exporter=[{names}]", f"exporter.hdf5.layout=[{','.join(LAYOUTS)}]")


def only(run: Path, to: Path, name: str) -> Path:
    """Copy a run with the files of one format alone."""
    to.mkdir()
    for file in ("run.json", "slides.csv"):
        shutil.copy(run / file, to)
    for slide in (run / "slides").iterdir():
        (to / "slides" / slide.name).mkdir(parents=True)
        shutil.copy(slide / "record.json", to / "slides" / slide.name)
        for pattern in FILES[name]:
            for path in slide.glob(pattern.format(slide.name)):
                copy = shutil.copytree if path.is_dir() else shutil.copy
                copy(path, to / "slides" / slide.name / path.name)
    return to


def tiles_of(run: Path, slide: str) -> Any:
    place = run / "slides" / slide
    return read_tiles(place, slide, record_content(place))


def test_every_exporter_is_known_here() -> None:
    assert set(OPTIONS) - {"hdf5"} - PICTURES <= set(FILES)


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_has_the_tiles_of_the_csv(run: Path, tmp_path: Path, name: str) -> None:
    alone = only(run, tmp_path / "b", name)
    precision = {"hs2p": Precision.SINGLE, "images": Precision.TWO_DECIMALS}
    for slide in ("a.1", "empty"):
        expected, found = tiles_of(run, slide), tiles_of(alone, slide)
        assert set(found.ratios) == set(expected.ratios)
        assert sorted(found.boxes0.tolist()) == sorted(expected.boxes0.tolist())
        change = tile_change(expected, found)
        assert change.equal
        assert change.overlap == 1
        if slide == "a.1":
            assert len(found.ratios) > 15
            assert len(set(expected.ratios.values())) > 3
            assert change.ratio_change == 0
            assert found.precision == precision.get(name, Precision.EXACT)


@pytest.mark.parametrize(("first", "second"), [("trident", "hs2p"), ("mussel", "parquet")])
def test_runs_in_other_formats_are_compared_by_the_command(
    run: Path, folder: Path, tmp_path: Path, first: str, second: str
) -> None:
    a, b = only(run, tmp_path / "a", first), only(run, tmp_path / "b", second)
    same = tiler(str(a), str(b), cwd=tmp_path, module="tiler.compare")
    assert same.returncode == 0, same.stdout + same.stderr
    assert ("B: tiles read from a.1.meta.json; ratios have 32 bits" in same.stdout) == (
        second == "hs2p"
    )
    other = job(folder, "exporter=[hdf5]", "threshold=0.9", out=f"other-{first}")
    less = tiler(str(other), str(b), cwd=tmp_path, module="tiler.compare")
    assert less.returncode == 7, less.stdout + less.stderr
    lost = {row["slide_id"]: int(row["kept"]) for row in read_csv(run / "slides.csv")}["a.1"]
    kept = {row["slide_id"]: int(row["kept"]) for row in read_csv(other / "slides.csv")}["a.1"]
    assert 0 < kept < lost
    assert f"{kept} kept, {lost - kept} gained, 0 lost" in less.stdout


def test_names_of_gigapath_have_no_ratio_which_is_reported(folder: Path, run: Path) -> None:
    named = job(folder, "exporter=[images]", "exporter.images.naming=gigapath", out="gigapath")
    same = tiler(str(named), str(run), cwd=folder, module="tiler.compare")
    assert same.returncode == 0, same.stdout + same.stderr
    said = "A: tiles read from the names of images; they have no ratios, so these are not compared"
    assert said in same.stdout


def test_an_outline_counts_from_the_corner_of_the_bounds(tmp_path: Path) -> None:
    pixels = np.full((200, 300, 3), 200, np.uint8)
    slide = ArrayReader(pixels, name="s", bounds=(37, 21, 230, 160), mpp=0.5)
    extractor = TileExtractor(TileSpec(24, resolution=MPP(0.8)), mask_threshold=0)
    regions = extractor.fit(slide).extract()
    GeojsonExporter().export(slide, regions, np.ones((16, 23), bool), tmp_path)
    record = {
        "files": [{"name": "s.geojson", "sha256": ""}],
        "row": {"downsample": 1.6, "requested": "mpp_0.8"},
        "mask": {"bounds": [37, 21, 230, 160]},
        "counts": {"written": len(regions)},
    }
    found = read_tiles(tmp_path, "s", record)
    assert [tile[1:] for tile in found.ratios] == [(*one.location, *one.shape) for one in regions]
    assert found.boxes0.tolist() == [list(one.box0) for one in regions]


def test_an_outline_without_tiles_is_no_table(folder: Path) -> None:
    out = job(folder, "exporter=[geojson]", "exporter.geojson.tiles=false", out="tissue")
    with pytest.raises(ConfigError, match="contains no table"):
        tiles_of(out, "a.1")


def test_level0_pixels_do_not_tell_tiles_that_are_finer(tmp_path: Path) -> None:
    record = {
        "files": [{"name": "s.geojson", "sha256": ""}],
        "row": {"downsample": 0.5, "requested": "mpp_0.25"},
        "mask": {"bounds": [0, 0, 9, 9]},
        "counts": {"written": 0},
    }
    (tmp_path / "s.geojson").write_text('{"features": []}')
    with pytest.raises(ConfigError, match=r"level-0 pixels alone, .* tiles of downsample 0\.5"):
        read_tiles(tmp_path, "s", record)


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    changed = bytearray(data)
    for at in range(0, len(changed), max(1, len(changed) // 50)):
        changed[at] ^= 0x55
    return bytes(changed)


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("csv", "images")])
@pytest.mark.parametrize("damage", [cut, flipped, lambda data: b"", lambda data: b"{}"])
def test_a_damaged_file_is_one_line(
    run: Path, tmp_path: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    alone = only(run, tmp_path / "b", name)
    for pattern in FILES[name]:
        for path in (alone / "slides/a.1").glob(pattern.format("a.1")):
            for file in (path, *path.rglob("*")):
                if file.is_file():
                    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ConfigError, match=r"damaged|contains no|is missing"):
        tiles_of(alone, "a.1")


def test_a_missing_library_is_one_line(run: Path, tmp_path: Path) -> None:
    alone = only(run, tmp_path / "b", "clam")
    code = (
        "import sys; sys.modules['h5py'] = None\n"
        "from tiler.compare.main import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(run), str(alone)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "a.1.clam.h5 needs h5py; run: pip install 'tiler[hdf5]'" in complaint(done)
