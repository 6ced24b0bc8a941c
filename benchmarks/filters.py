"""The cost of filters: a run without images, with and without them, against a PNG export."""

from __future__ import annotations

import shutil
from pathlib import Path

from commands import LEVEL0, PNG, TWO, medians, tiler

NONE = ["filter.blur.min=null"]
SETS = {
    "blur at 1 µm and white at 4 µm per pixel": [
        "filter=[blur,white]",
        *NONE,
        "filter.white.max=null",
    ],
    "blur at the target resolution": ["filter=[blur]", *NONE, "filter.blur.mpp=null"],
}


def filters(big: Path, folder: Path, rounds: int) -> dict[str, object]:
    """The time that filters add to a run, as a share of a PNG export of the same tiles."""
    out = folder / "filters"
    results: dict[str, object] = {}
    for name, engine in (("serial", ["engine=serial"]), ("processes", TWO)):
        common = [*LEVEL0, "tile.size=512", *engine]
        cases = {
            "coordinates": tiler(big, out, *common),
            **{what: tiler(big, out, *common, *options) for what, options in SETS.items()},
            "png": tiler(big, out, *common, *PNG),
        }
        found = medians({what: (command, out) for what, command in cases.items()}, rounds)
        added = {what: found[what] - found["coordinates"] for what in SETS}
        shares = {what: added[what] / found["png"] for what in SETS}
        results[name] = {"seconds": found, "share of a PNG export": shares}
    shutil.rmtree(out)
    return results
