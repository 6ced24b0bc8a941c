"""examples/embed.py, with a model that is a function of NumPy."""

from __future__ import annotations

import runpy
from pathlib import Path

import h5py
import numpy as np
from test_stream import key

from tiler import TileDataset, TileStream

EXAMPLE = Path(__file__).parent.parent / "examples/embed.py"
COLUMNS = ["width", "width0"]


def test_each_slide_has_features_and_coordinates(streamed: Path, tmp_path: Path) -> None:
    example = runpy.run_path(str(EXAMPLE))
    batches = TileStream(streamed / "out", slide_root=streamed, batch=7, columns=COLUMNS)
    example["embed"](batches, lambda images: images.mean((1, 2)), tmp_path / "features")
    found = TileDataset(streamed / "out", slide_root=streamed, columns=("width", "width0"))
    expected = {key(item): item for item in map(found.__getitem__, range(len(found)))}
    seen = 0
    for path in sorted((tmp_path / "features").iterdir()):
        with h5py.File(path) as file:
            assert file["coords"].attrs["patch_size"] == 64
            assert file["coords"].attrs["patch_size_level0"] == 64
            assert file["features"].dtype == np.float32
            for corner, feature in zip(file["coords"][()], file["features"][()], strict=True):
                item = expected[path.stem, *corner.tolist()]  # the tiles are level-0 pixels
                np.testing.assert_allclose(feature, item["image"].mean((0, 1)), rtol=1e-6)
                seen += 1
    assert seen == len(expected)


def test_the_example_has_forty_lines() -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 40
