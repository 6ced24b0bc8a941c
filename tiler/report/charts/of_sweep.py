"""The charts of a sweep, from the records of its jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tiler.report.charts.of_run import FOLDER
from tiler.report.charts.sweep import ChartJob, SweepCharts, sweep_charts
from tiler.runner.work.job import DONE
from tiler.sweep.table import JobRecord


def sweep_chart_files(
    keys: Sequence[str], jobs: Sequence[JobRecord], formats: Sequence[str]
) -> dict[str, bytes]:
    """Draw the charts of a sweep, by their paths in the folder of its report.

    Parameters
    ----------
    keys
        The swept keys.
    jobs
        The jobs as ``sweep.csv`` has them.
    formats
        ``svg``, ``png``, both, or none.
    """
    data = SweepCharts(
        keys,
        [
            ChartJob(
                job.run["sweep"]["settings"], {row["slide_id"]: _kept(row) for row in job.rows}
            )
            for job in jobs
        ],
    )
    return {f"{FOLDER}/{name}": content for name, content in sweep_charts(data, formats).items()}


def _kept(row: Mapping[str, str]) -> int | None:
    return int(row["kept"] or 0) if row["status"] in DONE else None
