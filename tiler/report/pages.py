"""The HTML files of a run's report, and the data and assets that they load."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiler.errors import ConfigError
from tiler.report.arrays import script
from tiler.report.assets import assets
from tiler.report.charts.of_run import shown
from tiler.report.files import write_below
from tiler.report.run.failures import grouped
from tiler.runner.products.listed import Written
from tiler.runner.products.report_files import INDEX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment

    from tiler.report.run.rows import Row


def write_run_pages(
    folder: Path,
    data: Mapping[str, Any],
    rows: Sequence[Row],
    stale: int,
    charts: Mapping[str, bytes],
) -> dict[str, Written]:
    """Write all files of a report but those of slides; return them by their paths.

    Parameters
    ----------
    folder
        The folder to write to.
    data
        The data of the run's page.
    rows
        The rows of ``slides.csv``.
    stale
        The number of slides whose data may differ from what the run wrote.
    charts
        Its charts by their paths.
    """
    numbered = [*enumerate(rows)]
    values = {
        "run": data,
        **frame(data, charts),
        "stale": stale,
        **{
            name: grouped((n, row) for n, row in numbered if row["status"] == status)
            for name, status in (
                ("failures", "failed"),
                ("empty", "done_empty"),
                ("missing", "interrupted"),
            )
        },
    }
    pages = {
        "data/run.js": script("run", data),
        "slide.html": html("slide.html", {**values, "made": ""}),
        INDEX: html("run.html", values),
    }
    return write_files(folder, {**charts, **pages})


def frame(data: Mapping[str, Any], charts: Iterable[str]) -> dict[str, Any]:
    """Return the values that the templates of all pages have.

    Parameters
    ----------
    data
        The data of the page.
    charts
        The paths of its charts.
    """
    made = data["made"].replace("T", " ").replace("+00:00", " UTC")
    return {"tiler": data["tiler"], "made": made, "charts": shown([*charts])}


def now() -> str:
    """Return the time as data files state it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_files(folder: Path, files: Mapping[str, bytes]) -> dict[str, Written]:
    """Write the files of a report and its assets below a folder; return them by their paths."""
    made = [write_below(folder, *file) for file in {**dict(assets()), **files}.items()]
    return {file.name: Written(file.size, file.sha256) for file in made}


def html(template: str, values: Mapping[str, Any]) -> bytes:
    """Return a page made from a template. Every value is escaped."""
    text = _environment().get_template(template).render(values)
    return text.encode(errors="backslashreplace")  # names of files may be no text


def check_templates() -> None:
    """Refuse to make a report without Jinja2.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    if find_spec("jinja2") is None:
        raise ConfigError(
            "the report needs jinja2, which tiler requires; run: pip install jinja2, or use"
            " report=none"
        )


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).with_name("templates")
    return Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
