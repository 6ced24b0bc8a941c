"""The slides of a run and their tables, found without opening a slide."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.checks.arguments import as_path
from tiler.dataset.tables import Table, is_of, read_columns, table_of, tables_by_slide
from tiler.errors import ConfigError
from tiler.runner.reporting.tables import read_slides
from tiler.runner.work.job import DONE
from tiler.storage.destinations import expanded, inside
from tiler.storage.named import is_file, is_folder
from tiler.storage.safe_text import listed, plain_text
from tiler.storage.stored import StoredError, read_json

log = logging.getLogger("tiler")


@dataclass(frozen=True)
class Run:
    """A run's folder, and the content of its ``run.json``; empty if there is none.

    ``start`` is the working folder when the run was found: later changes of it matter to no path.
    """

    folder: Path
    facts: Mapping[str, Any]
    start: Path

    @property
    def base(self) -> str:
        """The folder that relative paths of slides count from."""
        slides = self.facts.get("slides")
        base = str(slides.get("base", ".")) if isinstance(slides, Mapping) else "."
        return str(self.start / expanded(base))

    def setting(self, name: str) -> Any:
        """Return a setting of the run; None if it is not known."""
        config = self.facts.get("config")
        return config.get(name) if isinstance(config, Mapping) else None


@dataclass(frozen=True)
class Slide:
    """A slide that has tiles.

    Attributes
    ----------
    run
        The run that tiled it.
    slide_id
        Its name in outputs.
    given
        Its path as the user of that run wrote it.
    tiles
        The number of its tiles.
    downsample
        Level-0 pixels per pixel of its tiles; NaN if it is not known.
    table
        Its tiles; None if they are in its folder.
    """

    run: Run
    slide_id: str
    given: str
    tiles: int
    downsample: float
    table: Table | None = None

    @property
    def folder(self) -> Path:
        """The folder of its files."""
        return inside(self.run.folder / "slides", self.slide_id)

    def table_path(self) -> Path:
        """Return the path of its table in its folder.

        Raises
        ------
        ConfigError
            If the folder contains no table.
        """
        paths = [inside(self.folder, self.slide_id + end) for end in (".parquet", ".csv")]
        if find_spec("pyarrow") is None:
            paths.reverse()
        for path in paths:
            if is_file(path):
                return path
        raise ConfigError(
            f"{self.folder} contains no table ({self.slide_id}.parquet or {self.slide_id}.csv);"
            " run tiler again with exporter=[csv]"
        )

    def read_table(self) -> Table:
        """Return its tiles.

        Raises
        ------
        ConfigError
            If the table is missing or damaged, or is not the one that ``slides.csv`` counts.
        """
        if self.table is not None:
            return self.table
        path = self.table_path()
        columns = read_columns(path)
        table = table_of(columns, path)
        if not is_of(columns, self.slide_id):
            raise ConfigError(f"{path} has rows of another slide; run tiler again")
        if len(table) != self.tiles:
            what = f"{path} has {len(table)} tiles, and slides.csv counts {self.tiles}"
            raise ConfigError(f"{what}; give an edited table by its own path, or run tiler again")
        return table


Rows = npt.NDArray[np.int64]


def read_source(source: str | Path) -> tuple[list[Slide], Rows | None]:
    """Return the slides of a run's folder or of a table of tiles.

    Returns
    -------
    slides
        Slides with tiles, in the order of the table.
    rows
        For a table, the position of each of its rows among the tiles of all slides; else None.

    Raises
    ------
    ConfigError
        If there is no run.
    """
    path = as_path(source, "run").absolute()
    if is_folder(path):
        if not is_file(path / "slides.csv") and is_file(path / "sweep.csv"):
            raise ConfigError(f"{path} contains a sweep; give one of its jobs")
        run, rows = _run(path, "give the folder of a run")
        return _finished(run, rows), None
    if path.suffix not in (".csv", ".parquet"):
        raise ConfigError(f"{path} is no folder and no .csv or .parquet file; check the path")
    if path.name in ("slides.csv", "sweep.csv"):
        raise ConfigError(f"{path} is no table of tiles; give its folder, {path.parent}")
    columns = read_columns(path)
    own = path.parent.parent.name == "slides" and not is_file(path.parent / "slides.csv")
    folder = path.parents[2] if own else path.parent  # a slide's own table is deeper
    run, rows = _run(folder, f"save {path.name} beside slides.csv in the folder of its run")
    known = {plain_text(row["slide_id"]): row for row in rows}
    slides: list[Slide] = []
    places: list[npt.NDArray[np.int64]] = []
    for name, table, positions in tables_by_slide(columns, path):
        row = known.get(plain_text(name))
        if row is None:
            raise ConfigError(f"{path}: slide {name!r} is not in {run.folder / 'slides.csv'}")
        slides.append(_slide(run, row, len(table), table))
        places.append(positions)
    order = np.concatenate([*places, np.empty(0, np.int64)])
    at = np.empty(len(order), np.int64)
    at[order] = np.arange(len(order))
    return slides, at


def chosen(slides: Sequence[Slide], names: Sequence[str]) -> list[bool]:
    """Return which slides have one of these ids.

    Raises
    ------
    ConfigError
        If a name is not the id of a slide with tiles.
    """
    if isinstance(names, str):
        raise ConfigError(f"slides={names!r} is a text; use a list of slide ids")
    wanted = {str(name) for name in names}
    known = {slide.slide_id for slide in slides}
    for name in sorted(wanted - known):
        stem = Path(name).stem  # of a slide's file
        close = [stem] if stem in known else difflib.get_close_matches(name, list(known), n=1)
        fix = f"did you mean {close[0]!r}?" if close else "see slides.csv"
        raise ConfigError(f"slides: {name!r} is not the id of a slide with tiles; {fix}")
    return [slide.slide_id in wanted for slide in slides]


def _run(folder: Path, fix: str) -> tuple[Run, list[dict[str, str]]]:
    """Return a run and the rows of its ``slides.csv``; ``fix`` is the advice if there is none."""
    name = "slides.csv"
    try:
        rows, name = read_slides(folder), "run.json"
        facts = read_json(folder / name)
    except FileNotFoundError:
        facts = {}
    except StoredError as error:
        raise ConfigError(f"{folder / name} {error}; run tiler again") from error
    if not rows:
        raise ConfigError(f"{folder} contains no slides.csv with slides; {fix}")
    return Run(folder, facts, Path.cwd()), rows


def _finished(run: Run, rows: Sequence[Mapping[str, str]]) -> list[Slide]:
    unfinished = [row["slide_id"] for row in rows if row["status"] not in DONE]
    if unfinished:
        some = listed(unfinished)
        log.warning("%s: slides that are not done have no tiles here: %s", run.folder, some)
    done = (row for row in rows if row["status"] == "done")
    return [_slide(run, row, _count(run, row)) for row in done]


def _count(run: Run, row: Mapping[str, str]) -> int:
    text = row["kept"]
    if text.isascii() and text.isdigit() and len(text) < 12 and int(text):
        return int(text)
    raise _damaged(run, row, "kept")


def _downsample(run: Run, row: Mapping[str, str]) -> float:
    try:
        return float(row.get("downsample") or "nan")
    except ValueError:
        raise _damaged(run, row, "downsample") from None


def _damaged(run: Run, row: Mapping[str, str], name: str) -> ConfigError:
    what = f"slide {row['slide_id']} has {name}={row[name]!r}"
    return ConfigError(f"{run.folder / 'slides.csv'} is damaged: {what}; run tiler again")


def _slide(run: Run, row: Mapping[str, str], tiles: int, table: Table | None = None) -> Slide:
    given = row.get("path") or ""
    return Slide(run, row["slide_id"], given, tiles, _downsample(run, row), table)
