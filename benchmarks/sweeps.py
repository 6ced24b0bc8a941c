"""What a sweep costs against its settings one by one, Hydra alone, and the obvious script."""

from __future__ import annotations

import json
import shutil
import sys
from itertools import product
from pathlib import Path

from commands import IDLE, MASK, medians, peer
from slides import yardstick

from tiler.geometry import Size

RESOLUTIONS, THRESHOLDS = "0.25,0.5,1.0", "0.1,0.3,0.5,0.7,0.9"

ONE_BY_ONE = """\
import json, subprocess, sys
for command in json.loads(sys.argv[1]):
    subprocess.run(command, check=True)
"""


def sweep(folder: Path, rounds: int) -> dict[str, object]:
    """Five thresholds and three resolutions over eight different slides, coordinates only."""
    slides, out = folder / "eight", folder / "sweep"
    _make_different(yardstick(folder, Size(12_288, 9_216)), slides, 8)
    common = ["slides=files", f"slides.paths={slides}", *MASK, "tile.size=512"]
    command = [sys.executable, "-m", "tiler", *common]
    settings = product(RESOLUTIONS.split(","), THRESHOLDS.split(","))
    one_by_one = [
        [*command, f"resolution.value={resolution}", f"threshold={threshold}", f"out={out}/{n}"]
        for n, (resolution, threshold) in enumerate(settings)
    ]
    swept = [f"resolution.value={RESOLUTIONS}", f"threshold={THRESHOLDS}", f"out={out}"]
    nothing = folder / "nothing.py"
    nothing.write_text(IDLE)
    found = medians(
        {
            "one run": ([*command, "resolution.value=0.5", "threshold=0.5", f"out={out}"], out),
            "15 commands": (
                [sys.executable, "-c", ONE_BY_ONE, json.dumps(one_by_one)], out
            ),
            "Hydra alone, 15 jobs": ([sys.executable, str(nothing), "-m", *common, *swept], out),
            "obvious script, 120 settings": (
                peer("coordinates", slides, Path(RESOLUTIONS), out, THRESHOLDS), out
            ),
            "sweep of 15": ([*command, "-m", *swept], out),
        },
        rounds,
    )  # fmt: skip
    shared = json.loads((out / "sweep.json").read_text())["shared"]
    shutil.rmtree(out)
    shutil.rmtree(slides)
    whole = found["sweep of 15"]
    return {
        "seconds": found,
        "sweep against 15 commands": whole / found["15 commands"],
        "sweep against one run": whole / found["one run"],
        "sweep against Hydra alone": whole / found["Hydra alone, 15 jobs"],
        "sweep against the obvious script": whole / found["obvious script, 120 settings"],
        "shared": shared,
    }


def selections(big: Path, folder: Path, rounds: int) -> dict[str, object]:
    """Five limits of blur, three thresholds and two samplers over four slides, against one run."""
    slides, out = folder / "four", folder / "selections"
    _make_different(big, slides, 4)
    command = [sys.executable, "-m", "tiler", "slides=files", f"slides.paths={slides}", *MASK]
    command += ["resolution=level", "resolution.value=0", "tile.size=512", "filter=[blur,white]"]
    command += ["filter.blur.mpp=null", "sampler.n=100", f"out={out}"]
    swept = ["filter.blur.min=0,50,100,200,400", "threshold=0.7,0.5,0.3", "sampler=random,spread"]
    found = medians(
        {
            "one run": ([*command, "filter.blur.min=50", "threshold=0.3", "sampler=random"], out),
            "sweep of 30": ([*command, "-m", *swept], out),
        },
        rounds,
    )
    shared = json.loads((out / "sweep.json").read_text())["shared"]
    shutil.rmtree(out)
    shutil.rmtree(slides)
    against = found["sweep of 30"] / found["one run"]
    return {"seconds": found, "sweep against one run": against, "shared": shared}


def _make_different(slide: Path, folder: Path, count: int) -> None:
    """Copies of a slide that differ in a byte after its end, and so in their hashes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for number in range(count):
        copy = Path(shutil.copy(slide, folder / f"s{number}.svs"))
        with copy.open("ab") as file:
            file.write(bytes([number]))
