"""Tar shards against a file per tile, on 100,000 tiles."""

from __future__ import annotations

import shutil
from pathlib import Path

from commands import LEVEL0, TWO, medians, tiler
from slides import repeated

from tiler.geometry import Size

TILES = Size(400, 250)


def webdataset(folder: Path, rounds: int, tiles: Size = TILES) -> dict[str, object]:
    """The time of images and of shards: encoded, and passed through, where files cost the most."""
    slide = repeated(folder, Size(tiles.width * 256, tiles.height * 256))
    wish = [*LEVEL0, "tile.size=256", "mask=none", "threshold=0", *TWO]
    results: dict[str, object] = {"tiles": tiles.width * tiles.height}
    for name, options in (
        ("jpeg", ["extension=jpg", "quality=80"]),
        ("passthrough", ["extension=jpg", "passthrough=true"]),
    ):
        cases = {}
        for exporter in ("images", "webdataset"):
            out = folder / f"shards_{exporter}"
            own = [f"exporter.{exporter}.{option}" for option in options]
            cases[exporter] = (tiler(slide, out, *wish, f"exporter=[csv,{exporter}]", *own), out)
        found = medians(cases, min(rounds, 3))
        files = {what: sum(1 for _ in out.rglob("*.*")) for what, (_, out) in cases.items()}
        results[name] = {
            "seconds": found,
            "files": files,
            "times faster than images": found["images"] / found["webdataset"],
        }
        for _, out in cases.values():
            shutil.rmtree(out)
    return results
