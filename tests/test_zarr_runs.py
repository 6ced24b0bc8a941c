"""``exporter=zarr`` in runs: beside images, with dropped tiles, without tiles, changed, damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from command import complaint, read_csv, tiler
from PIL import Image
from test_native_tiles import change

WORDS = ["slides=files", "slides.paths=in", "resolution=level", "mask=none", "threshold=0",
         "out=out"]  # fmt: skip


def tree(folder: Path) -> dict[str, bytes]:
    """Return the files of a slide, apart from its record."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    return {name: data for name, data in found.items() if name != "record.json"}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder with a slide of noise, 320 by 220 pixels in native tiles of 64 by 64."""
    (tmp_path / "in").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (220, 320, 3), np.uint8)
    tifffile.imwrite(tmp_path / "in/a.tiff", noise, tile=(64, 64), photometric="rgb")
    return tmp_path


def same_as_images(slide: Path, name: str) -> int:
    """Compare the array with the images and the table of a slide; return the number of tiles."""
    group = zarr.open_group(slide / f"{name}.zarr", mode="r")
    rows = read_csv(slide / f"{name}.csv")
    assert group["images"].shape[0] == len(rows)
    for pixels, row in zip(group["images"][:], rows, strict=True):
        with Image.open(slide / row["file"]) as image:
            assert np.array_equal(pixels, np.asarray(image))
    for column in ("x", "y", "ratio", "x0", "y0", "width0", "height0", "row", "column"):
        kind = float if column == "ratio" else int
        assert group[column][:].tolist() == [kind(row[column]) for row in rows]
    return len(rows)


@pytest.mark.slow
def test_the_array_is_the_images_of_a_real_slide(tmp_path, shared_slides):
    (tmp_path / "in").symlink_to(shared_slides)
    words = ["slides.paths=in/CMU-1-Small-Region.svs", "resolution=mpp", "resolution.value=0.7",
             "tile.size=[200,150]", "tile.edge=pad", "mask=otsu", "threshold=0.5",
             "exporter=[csv,images,zarr]", "exporter.zarr.tiles_per_shard=7"]  # fmt: skip
    done = tiler(*WORDS, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    slide = tmp_path / "out/slides/CMU-1-Small-Region"
    count = same_as_images(slide, "CMU-1-Small-Region")
    shards = [*slide.glob("*.zarr/images/c.*")]
    assert count > 20
    assert len(shards) == -(-count // 7)


def test_tiles_that_cannot_be_read_are_not_in_the_array(made):
    change(made / "in/a.tiff", dict.fromkeys((6, 7, 19), (None, 0)))  # of 5 by 4
    words = ["tile.size=64", "on_bad_tile=drop", "max_bad_fraction=0.5",
             "exporter=[csv,images,zarr]", "exporter.zarr.tiles_per_shard=4"]  # fmt: skip
    done = tiler(*WORDS, *words, cwd=made)
    assert done.returncode == 0, done.stderr
    assert same_as_images(made / "out/slides/a", "a") == 15 - 2  # without the last row of tiles


def test_a_slide_without_tiles_has_an_array_of_length_0(made):
    done = tiler(*WORDS, "tile.size=400", "exporter=[zarr]", cwd=made)
    assert done.returncode == 0, done.stderr
    group = zarr.open_group(made / "out/slides/a/a.zarr", mode="r")
    assert group["images"].shape == (0, 400, 400, 3)
    assert group["x0"].shape == (0,)


@pytest.mark.slow
def test_other_shards_replace_all_files_and_damage_is_repaired(made):
    words = [*WORDS, "tile.size=50", "exporter=[csv,zarr]", "verify=hash"]
    slide = made / "out/slides/a"
    assert tiler(*words, "out=fresh", cwd=made).returncode == 0
    expected = tree(made / "fresh/slides/a")
    assert tiler(*words, "exporter.zarr.tiles_per_shard=5", cwd=made).returncode == 0
    assert len(tree(slide)) == len(expected) + 4  # 24 tiles
    assert tiler(*words, cwd=made).returncode == 0
    assert tree(slide) == expected
    shard = slide / "a.zarr/images/c.0.0.0.0"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    assert tiler(*words, cwd=made).returncode == 0
    assert tree(slide) == expected


def test_a_foreign_array_in_the_group_is_never_removed(made):
    words = [*WORDS, "tile.size=50", "exporter=[zarr]"]
    assert tiler(*words, cwd=made).returncode == 0
    group = zarr.open_group(made / "out/slides/a/a.zarr", mode="r+")
    group.create_array("features", data=np.ones((24, 3), np.float32))
    assert tiler(*words, cwd=made).returncode == 0
    done = tiler(*words, "tile.size=60", cwd=made)
    assert done.returncode == 3
    assert "E_OCCUPIED slide=a: " in done.stderr
    again = zarr.open_group(made / "out/slides/a/a.zarr", mode="r")
    assert again["features"].shape == (24, 3)
    assert again["images"].shape == (24, 50, 50, 3)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("0", "exporter.zarr.tiles_per_shard=0 is out of range; use 1 to 65536, or null"),
        ("1.5", "exporter.zarr.tiles_per_shard=1.5 is invalid; use a whole number or null"),
    ],
)
def test_a_bad_number_of_tiles_is_one_line_before_any_slide(made, value, problem):
    words = ["exporter=[zarr]", f"exporter.zarr.tiles_per_shard={value}"]
    done = tiler(*WORDS, *words, cwd=made)
    assert done.returncode == 2
    assert complaint(done) == f"E_CONFIG: {problem}"
    assert not (made / "out").exists()
