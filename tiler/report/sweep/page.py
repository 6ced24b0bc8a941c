"""The HTML page of a sweep, and the data and assets that it loads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tiler.report.arrays import script
from tiler.report.pages import frame, html, write_files
from tiler.runner.ledger import counted
from tiler.runner.products.listed import Written
from tiler.runner.products.report_files import INDEX
from tiler.storage.safe_text import listed
from tiler.sweep.table import JobRecord

_WHY = {
    "died": "The job was killed.",
    "interrupted": "The job was interrupted. Start the same command again to resume.",
}


def write_sweep_pages(
    folder: Path,
    content: Mapping[str, Any],
    jobs: Sequence[JobRecord],
    charts: Mapping[str, bytes],
) -> dict[str, Written]:
    """Write the page of a sweep with its data and assets; return the files by their paths.

    Parameters
    ----------
    folder
        The folder to write to.
    content
        The content of ``data/sweep.js``.
    jobs
        The jobs in the order of the content.
    charts
        Its charts by their paths.
    """
    values = {
        "sweep": content,
        "words": words(content),
        "problems": problems(content["jobs"], jobs),
        "tiles": sum(int(row.get("kept") or 0) for job in jobs for row in job.rows),
        **frame(content, charts),
    }
    pages = {"data/sweep.js": script("sweep", content), INDEX: html("sweep.html", values)}
    return write_files(folder, {**charts, **pages})


def problems(facts: Sequence[Mapping[str, Any]], jobs: Sequence[JobRecord]) -> list[dict[str, Any]]:
    """Return the jobs that did not do all of their slides, those with the same reason together.

    Parameters
    ----------
    facts
        The jobs in ``data/sweep.js``.
    jobs
        The same jobs.
    """
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one, job in zip(facts, jobs, strict=True):
        if text := trouble(one, job):
            found.setdefault((one["status"], text), []).append(one)
    return [
        {"status": status, "text": text, "jobs": same} for (status, text), same in found.items()
    ]


def words(content: Mapping[str, Any]) -> str:
    """Return what a sweep compares, in words."""
    keys = [
        f"{key} ({counted(len({job['settings'].get(key) for job in content['jobs']}), 'value')})"
        for key in content["keys"]
    ]
    count = counted(len(content["jobs"]), "setting")
    swept = f" of {', '.join(keys)}" if keys else ""
    return f"{count}{swept} on {counted(len(content['slides']), 'slide')}"


def trouble(facts: Mapping[str, Any], job: JobRecord) -> str:
    """Return why a job did not do all of its slides; empty if it did.

    Parameters
    ----------
    facts
        The job in ``data/sweep.js``.
    job
        Its records.
    """
    failed = [row["slide_id"] for row in job.rows if row["status"] == "failed"]
    left = sum(row["status"] == "interrupted" for row in job.rows)
    texts = [facts["error"], _WHY.get(facts["status"], "")]
    if failed:
        texts.append(f"{counted(len(failed), 'slide')} failed: {listed(failed)}.")
    if left:
        texts.append(f"{counted(left, 'slide')} not reached.")
    if not any(texts) and facts["exit_code"]:
        texts.append(f"The job ended with exit code {facts['exit_code']}.")
    return " ".join(text for text in texts if text)
