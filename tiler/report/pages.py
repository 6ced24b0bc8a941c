"""The HTML files of a run's report, and the data and assets that they load."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiler.errors import ConfigError
from tiler.files import write_whole
from tiler.report.arrays import script
from tiler.report.assets import assets
from tiler.report.charts.of_run import shown
from tiler.report.failures import grouped
from tiler.runner.products.listed import Written
from tiler.runner.products.report_files import INDEX
from tiler.storage.destinations import make_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment

    from tiler.report.rows import Row


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
        Where.
    data
        The data of the run's page.
    rows
        Of the slides.
    stale
        How many slides have data that may differ from what the run wrote.
    charts
        Its charts by their paths.
    """
    numbered = [*enumerate(rows)]
    values = {
        "run": data,
        "tiler": data["tiler"],
        "made": data["made"].replace("T", " ").replace("+00:00", " UTC"),
        "stale": stale,
        "charts": shown([*charts]),
        **{
            name: grouped((n, row) for n, row in numbered if row["status"] == status)
            for name, status in (
                ("failures", "failed"),
                ("empty", "done_empty"),
                ("missing", "interrupted"),
            )
        },
    }
    files = {
        **dict(assets()),
        **charts,
        "data/run.js": script("run", data),
        "slide.html": html("slide.html", {**values, "made": ""}),
        INDEX: html("run.html", values),
    }
    return {path: write_file(folder, path, content) for path, content in files.items()}


def write_file(folder: Path, path: str, content: bytes) -> Written:
    """Write a file below a folder, and return its size and SHA-256."""
    place = folder / path
    make_folder(place.parent)
    return Written(*write_whole(place, content))


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
