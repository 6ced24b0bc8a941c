"""The sweep's own run in a tracker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tiler.runner.reporting.tracking import Guarded, charts_of, status_of
from tiler.sweep.table import JobRecord


def end_tracked_sweep(
    tracker: Guarded, folder: Path, jobs: Sequence[JobRecord], exit_code: int
) -> None:
    """End a sweep's own run in its tracker, with counts over all jobs and the sweep's files."""
    counts = [job.run.get("counts", {}) for job in jobs]
    metrics = {
        "jobs": len(jobs),
        "failures": sum(job.run["exit_code"] != 0 for job in jobs),
        "slides": sum(count.get("slides", 0) for count in counts),
        "tiles": sum(count.get("kept", 0) for count in counts),
    }
    files = {name: folder / name for name in ("sweep.csv", "sweep.json", "sweep.png")}
    tracker.end(status_of(exit_code), metrics, files | charts_of(folder))
