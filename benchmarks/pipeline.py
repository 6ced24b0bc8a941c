"""JPEG and PNG against the codecs and a cuCIM script, and all exporters at once against each alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from commands import LEVEL0, TWO, medians, peer, seconds, tiler
from slides import copies

WHOLE = ["mask=none", "threshold=0"]
JPEG = ["exporter=[csv,images]", "exporter.images.extension=jpg", "exporter.images.quality=80"]
HALF = ["resolution=mpp", "resolution.value=0.5", "tile.size=256"]
EXPORTERS = {
    "json": [],
    "parquet": [],
    "geojson": [],
    "hs2p": [],
    "hdf5": ["exporter.hdf5.layout=[trident,clam,mussel,atlaspatch]"],
    "images": ["exporter.images.extension=jpg"],
    "webdataset": [],
    "zarr": [],
}
"""Exporters beside csv, and their overrides."""


def pipeline(slide: Path, folder: Path, rounds: int) -> dict[str, object]:
    """On all tiles of a slide, glass included; of two such slides, where one takes below 10 s."""
    return {
        "jpeg": at_level0(slide, folder, rounds),
        "png at mpp 0.5": reduced(slide, folder, rounds),
        "all exporters": at_once(slide, folder, rounds),
        "cucim against openslide, grey values": difference(slide),
    }


def cucim(slide: Path, table: Path, out: Path, extension: str) -> dict[str, tuple[list[str], Path]]:
    """Return the command of the cuCIM script; none where cuCIM is not installed."""
    if find_spec("cucim") is None:
        print("  cucim is not installed: pip install cucim")
        return {}
    return {"cucim": (peer("cucim", slide, table, out / "cucim", extension), out / "cucim")}


def table_of(slide: Path, folder: Path, *wish: str) -> Path:
    out = folder / "table"
    seconds(tiler(slide, out, *wish, *WHOLE), out)
    (found,) = (out / "slides").glob("*/*.csv")
    return Path(shutil.copy(found, folder / "tiles.csv"))


def at_level0(slide: Path, folder: Path, rounds: int) -> dict[str, object]:
    wish, out = [*LEVEL0, "tile.size=512"], folder / "pipeline"
    table, twice = table_of(slide, folder, *wish), copies(slide, 2)
    found = medians(
        {
            "floor": (peer("floor", twice, table, out / "floor", "jpg"), out / "floor"),
            **cucim(twice, table, out, "jpg"),
            "tiler": (tiler(twice, out / "tiler", *wish, *WHOLE, *JPEG, *TWO), out / "tiler"),
        },
        rounds,
    )
    shutil.rmtree(out)
    peers = [name for name in found if name != "tiler"]
    against = {f"time against {name}": found["tiler"] / found[name] for name in peers}
    return {"seconds": found, **against}


def reduced(slide: Path, folder: Path, rounds: int) -> dict[str, object]:
    out, png = folder / "pipeline", ["exporter=[csv,images]"]
    table, twice = table_of(slide, folder, *HALF), copies(slide, 2)
    found = medians(
        {
            **cucim(twice, table, out, "png"),
            "tiler": (tiler(twice, out / "tiler", *HALF, *WHOLE, *png, *TWO), out / "tiler"),
        },
        rounds,
    )
    shutil.rmtree(out)
    times = {"times faster than cucim": found["cucim"] / found["tiler"]} if "cucim" in found else {}
    return {"seconds": found, **times}


def at_once(slide: Path, folder: Path, rounds: int) -> dict[str, object]:
    """What each exporter adds to the coordinates alone, and what all add together."""
    out = folder / "pipeline"

    def command(*names: str) -> tuple[list[str], Path]:
        more = [word for name in names for word in EXPORTERS[name]]
        listed = f"exporter=[{','.join(('csv', *names))}]"
        return tiler(slide, out, *LEVEL0, "tile.size=512", *WHOLE, listed, *more, *TWO), out

    cases = {"csv": command(), **{name: command(name) for name in EXPORTERS}}
    found = medians({**cases, "all": command(*EXPORTERS)}, rounds)
    peak = peak_mb(command(*EXPORTERS)[0], out)
    shutil.rmtree(out)
    added = {name: found[name] - found["csv"] for name in found if name != "csv"}
    each = sum(seconds for name, seconds in added.items() if name != "all")
    return {"seconds": found, "added, against the sum": added["all"] / each, "peak MB": peak}


def peak_mb(command: list[str], out: Path) -> float:
    """Return the peak memory of the largest process of a command, in MB."""
    shutil.rmtree(out, ignore_errors=True)
    probe = "import resource,subprocess,sys; subprocess.run(sys.argv[1:], check=True);" \
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", probe, *command], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[-1]) * (1 if sys.platform == "darwin" else 1024) / 1e6


def difference(slide: Path) -> dict[str, float]:
    """Mean and largest difference of cuCIM's pixels from OpenSlide's, on some tiles."""
    if find_spec("cucim") is None:
        return {}
    import openslide
    from cucim import CuImage

    image, found = CuImage(str(slide)), []
    with openslide.OpenSlide(slide) as opened:
        width, height = opened.dimensions
        for y in range(0, height - 512, 4096):
            for x in range(0, width - 512, 4096):
                ours = opened.read_region((x, y), 0, (512, 512)).convert("RGB")
                theirs = np.asarray(image.read_region((x, y), (512, 512), level=0))
                found.append(np.abs(np.asarray(ours).astype(float) - theirs))
    return {"mean": float(np.mean(found)), "largest": float(np.max(found))}
