"""The built front end of the pages: scripts, styles and licences, which every report contains."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tiler.errors import ConfigError

FOLDER = Path(__file__).with_name("assets")

NAMES = ("pages.js", "pages.css", "licences.txt")


def check_assets() -> None:
    """Refuse to make a report without the built front end.

    Raises
    ------
    ConfigError
        If a file is missing.
    """
    missing = [name for name in NAMES if not (FOLDER / name).is_file()]
    if missing:
        raise ConfigError(
            f"the pages of the report are not built ({FOLDER.name}/{missing[0]} is missing in"
            f" {FOLDER.parent}); run 'make pages', install tiler from a wheel, or use report=none"
        )


def assets() -> Iterator[tuple[str, bytes]]:
    """Yield the path of each file below the report's folder, and its content."""
    for name in NAMES:
        yield f"assets/{name}", (FOLDER / name).read_bytes()
