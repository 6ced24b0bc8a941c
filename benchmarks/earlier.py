"""Commands of this version and of an earlier one in turns, on jobs of ten seconds and more."""

from __future__ import annotations

from pathlib import Path

from commands import JPEG, LEVEL0, PNG, TWO, medians, tiler
from slides import copies, repeated, yardstick

from tiler.geometry import Size

JOBS = {
    "passthrough": ["tile.size=256", "mask=none", "threshold=0", *JPEG,
                    "exporter.images.passthrough=true"],
    "png": ["tile.size=512", *PNG],
    "jpeg": ["tile.size=512", *JPEG],
}  # fmt: skip


def earlier(checkout: Path, folder: Path, rounds: int) -> dict[str, object]:
    """Two or three slides each. ``checkout`` is a work tree of the earlier version.

    ``git worktree add checkout 49b598c`` makes one of version 0.1.0. It runs with the libraries of
    this version.
    """
    textured = copies(yardstick(folder, Size(49_152, 36_864)), 2)
    sources = {
        "passthrough": copies(repeated(folder, Size(100_000, 80_000)), 3),
        "png": textured,
        "jpeg": textured,
    }
    out = folder / "earlier"
    results: dict[str, object] = {}
    for name, words in JOBS.items():
        command = tiler(sources[name], out, *LEVEL0, *words, *TWO)
        there = ["env", f"PYTHONPATH={checkout.resolve()}", *command]
        here = ["env", f"PYTHONPATH={Path(__file__).resolve().parents[1]}", *command]
        found = medians({"earlier": (there, out), "now": (here, out)}, rounds)
        results[name] = {"seconds": found, "time against earlier": found["now"] / found["earlier"]}
    return results
