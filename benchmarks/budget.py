"""The ratio of a dry run's prediction to the run that follows it."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path


def accuracy(commands: dict[str, list[str]], out: Path, rounds: int) -> dict[str, object]:
    """Predicted over real, of each command (which writes to ``out``): lowest, median, highest."""
    ratios: dict[str, dict[str, list[float]]] = {}
    for _ in range(rounds):
        for name, command in commands.items():
            shutil.rmtree(out, ignore_errors=True)
            subprocess.run([*command, "dry_run=true"], capture_output=True, check=True)
            predicted = json.loads((out / "budget.json").read_text())["total"]
            start = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)
            seconds = time.perf_counter() - start
            files = [path for path in (out / "slides").rglob("*") if path.is_file()]
            tiles = json.loads((out / "run.json").read_text())["counts"]["kept"]
            found = ratios.setdefault(name, {"tiles": [], "bytes": [], "seconds": []})
            found["tiles"].append(predicted["tiles"] / tiles)
            found["bytes"].append(predicted["bytes"] / sum(p.stat().st_size for p in files))
            found["seconds"].append(predicted["seconds"] / seconds)
            print(f"  {name}: {found['seconds'][-1]:.2f} of the time", flush=True)
    shutil.rmtree(out, ignore_errors=True)
    return {
        name: {
            what: [sorted(values)[i] for i in (0, len(values) // 2, -1)]
            for what, values in found.items()
        }
        for name, found in ratios.items()
    }
