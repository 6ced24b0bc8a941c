"""The commands that are measured, and how their time is taken."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

TWO = ["engine=processes", "engine.workers=2"]
LEVEL0 = ["resolution=level", "resolution.value=0"]
JPEG = ["exporter=[csv,images]", "exporter.images.extension=jpg", "exporter.images.quality=80"]
PNG = ["exporter=[csv,images]"]
# The yardstick's tissue is found by Otsu's threshold alone, as the scripts that it is from do.
MASK = ["mask.saturation=[0,255]"]

IDLE = """\
import hydra
from tiler.config.command.folder import conf_folder
from tiler.config.sweeps.multirun import register_resolvers
from tiler.config.schema import register_schema
register_schema()
register_resolvers()
@hydra.main(version_base='1.3', config_path=str(conf_folder()), config_name='config')
def main(config):
    pass
main()
"""
"""A program in which Hydra composes tiler's own configuration for a task that does nothing."""


def tiler(slide: Path, out: Path, *arguments: str) -> list[str]:
    mask = [] if "mask=none" in arguments else MASK
    return [sys.executable, "-m", "tiler", "slides=files", f"slides.paths={slide}", f"out={out}",
            *mask, *arguments]  # fmt: skip


def peer(what: str, slide: Path, table: Path, out: Path, extension: str) -> list[str]:
    script = str(Path(__file__).resolve().parent / "peers.py")
    return [sys.executable, script, what, str(slide), str(table), str(out), extension]


def seconds(command: list[str], out: Path | None) -> float:
    """Run a command once, into a folder that is not there yet."""
    if out is not None:
        shutil.rmtree(out, ignore_errors=True)
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    elapsed = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return elapsed


def medians(cases: dict[str, tuple[list[str], Path | None]], rounds: int) -> dict[str, float]:
    """The median time of each command, all of them taking turns."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, (command, out) in cases.items():
            times[name].append(seconds(command, out))
            print(f"  {name}: {times[name][-1]:.2f} s", flush=True)
    return {name: statistics.median(values) for name, values in times.items()}
