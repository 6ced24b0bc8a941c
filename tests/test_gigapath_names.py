"""Tiles named as Prov-GigaPath reads them: coordinates parsed from the name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command import complaint, read_csv, tiler
from PIL import Image

from tiler.errors import ConfigError
from tiler.exporters import ImagesExporter
from tiler.geometry import Point, Size
from tiler.regions import RegionSpec, packed
from tiler.resolution import MPP

HALF = ("resolution=mpp", "resolution.value=1", "tile.size=256", "mask=otsu", "threshold=0.2")


def as_gigapath(path: Path) -> tuple[int, int]:
    """Return the coordinates of a file's name, by the rule of its tile encoder's data set."""
    x, y = path.name.split(".png")[0].split("_")
    return int(x.replace("x", "")), int(y.replace("y", ""))


def place(x: int, y: int) -> RegionSpec:
    return RegionSpec(Point(x, y), Size(256, 256), MPP(0.5), 1.0, 1.0)


@pytest.mark.slow
def test_names_are_the_coordinates_of_the_table_and_pixels_stay(
    shared_slides: Path, tmp_path: Path
) -> None:
    slide = f"slides.paths={shared_slides / 'CMU-1-Small-Region.svs'}"
    for naming in ("tiler", "gigapath"):
        done = tiler(
            "slides=files", slide, *HALF, "exporter=[csv,images]", f"out={naming}",
            f"exporter.images.naming={naming}", cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    theirs, ours = (
        tmp_path / naming / "slides/CMU-1-Small-Region" for naming in ("gigapath", "tiler")
    )
    rows = read_csv(theirs / "CMU-1-Small-Region.csv")
    files = sorted((theirs / "tiles").iterdir())
    assert len(files) == len(rows) > 5
    assert {as_gigapath(file) for file in files} == {(int(r["x"]), int(r["y"])) for r in rows}
    by_place = {(row["x"], row["y"]): row for row in read_csv(ours / "CMU-1-Small-Region.csv")}
    for row in rows:
        assert as_gigapath(theirs / row["file"]) == (int(row["x"]), int(row["y"]))
        with (
            Image.open(theirs / row["file"]) as mine,
            Image.open(ours / by_place[row["x"], row["y"]]["file"]) as other,
        ):
            np.testing.assert_array_equal(np.asarray(mine), np.asarray(other))


@pytest.mark.parametrize("place_of", [(0, 0), (7, 65536), (99_999, 5), (131_072, 1_048_576)])
def test_coordinates_of_any_length_are_read_back(place_of: tuple[int, int]) -> None:
    exporter = ImagesExporter(naming="gigapath")
    (name,) = exporter.file_names("a.b", *packed([place(*place_of)]))
    assert name == exporter.file_name("a.b", place(*place_of))
    assert as_gigapath(Path(name)) == place_of
    assert Path(name).parent == Path("tiles")
    assert len(Path(name).name) >= len("00000x_00000y.png")


@pytest.mark.parametrize("place_of", [(-1, 0), (0, -256)])
def test_a_negative_coordinate_is_refused(place_of: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match="negative coordinate; use naming=tiler"):
        ImagesExporter(naming="gigapath").file_name("a", place(*place_of))


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["naming=gigapth"], "naming='gigapth' is invalid; use tiler or gigapath"),
        (["naming=gigapath", "extension=jpg"], "naming=gigapath with extension=jpg"),
        (["naming=gigapath", "extension=jxl"], "naming=gigapath with extension=jxl"),
        (["naming=gigapath", "shard=4"], "naming=gigapath with shard=4"),
        (["naming=gigapath", "context"], "naming=gigapath with context=mpp_2.0"),
        (["extension=jpg", "lossless=true"], "lossless=true with extension=jpg"),
        (["extension=jxl", "passthrough=true"], "passthrough=true with extension=jxl"),
        (["extension=jxl", "lossless=true", "quality=80"], "lossless=true with quality=80"),
    ],
)
def test_combinations_that_cannot_be_are_refused_in_one_line(
    shared_slides: Path, tmp_path: Path, words: list[str], problem: str
) -> None:
    settings = [
        "context=[2.0]" if word == "context" else f"exporter.images.{word}" for word in words
    ]
    slide = f"slides.paths={shared_slides / 'CMU-1-Small-Region.svs'}"
    refused = tiler(
        "slides=files", slide, *HALF, "exporter=[images]", *settings, "out=out", cwd=tmp_path
    )
    assert refused.returncode == 2
    assert f"exporter.images.{problem}" in complaint(refused)
    assert not (tmp_path / "out").exists()
