"""What a sweep costs against one run, against Hydra alone, and against the obvious script."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from commands import IDLE, MASK, medians, peer

RESOLUTIONS, THRESHOLDS = "0.25,0.5,1.0", "0.1,0.3,0.5,0.7,0.9"


def sweep(mid: Path, folder: Path, rounds: int) -> dict[str, object]:
    """Five thresholds and three resolutions over eight slides, coordinates only.

    The slides are hard links, as disk is scarce, and so have one fingerprint: with its cache the
    single run makes one mask. It is measured without as well, where it makes eight.
    """
    slides, out = folder / "eight", folder / "sweep"
    shutil.rmtree(slides, ignore_errors=True)
    slides.mkdir()
    for number in range(8):
        os.link(mid, slides / f"s{number}.svs")
    command = [sys.executable, "-m", "tiler"]
    common = ["slides=files", f"slides.paths={slides}", f"out={out}", *MASK, "tile.size=512"]
    one = [*command, *common, "resolution.value=0.5", "threshold=0.5"]
    swept = ["-m", *common, f"resolution.value={RESOLUTIONS}", f"threshold={THRESHOLDS}"]
    nothing = folder / "nothing.py"
    nothing.write_text(IDLE)
    found = medians(
        {
            "one run": (one, out),
            "one run, cache=off": ([*one, "cache=off"], out),
            "Hydra alone, 15 jobs": ([sys.executable, str(nothing), *swept], out),
            "obvious script, 120 settings": (
                peer("coordinates", slides, Path(RESOLUTIONS), out, THRESHOLDS), out
            ),
            "sweep of 15": ([*command, *swept], out),
        },
        rounds,
    )  # fmt: skip
    shared = json.loads((out / "sweep.json").read_text())["shared"]
    shutil.rmtree(out)
    shutil.rmtree(slides)
    whole = found["sweep of 15"]
    return {
        "seconds": found,
        "sweep against one run": whole / found["one run"],
        "sweep against one run, cache=off": whole / found["one run, cache=off"],
        "sweep against Hydra alone": whole / found["Hydra alone, 15 jobs"],
        "sweep against the obvious script": whole / found["obvious script, 120 settings"],
        "shared": shared,
    }
