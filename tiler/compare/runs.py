"""Runs and sweeps, read back from their folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from tiler.errors import ConfigError
from tiler.files import inside
from tiler.runner.record import NAME as RECORD
from tiler.runner.record import record_content
from tiler.runner.report import REFUSED, RUNNING, table_rows
from tiler.stored import MAX_TABLE, StoredError, read_json, read_regular

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """A run's folder and what its two tables say.

    Attributes
    ----------
    folder
        Where it lies.
    facts
        Its ``run.json``, or ``refused.json`` where that is all there is.
    rows
        Its ``slides.csv`` by slide id; empty when the run ended before it got to its slides.
    missing
        Whether it is a job that its sweep does not have.
    """

    folder: Path
    facts: Facts
    rows: Mapping[str, Mapping[str, str]]
    missing: bool = False

    @property
    def error(self) -> str:
        """Why it did not get to its slides; empty if it did."""
        return "" if self.rows else str(self.facts.get("error", ""))

    @property
    def unfinished(self) -> bool:
        """Whether it is still running, or died."""
        return self.facts.get("status") == RUNNING

    @property
    def cache(self) -> Path | None:
        """The folder of its cache, where it had one."""
        cache = self.facts.get("cache")
        folder = cache.get("folder") if isinstance(cache, dict) else None
        return self.folder / folder if folder and isinstance(folder, str) else None

    def slide_folder(self, slide_id: str) -> Path:
        """Where a slide's files lie."""
        return inside(self.folder / "slides", slide_id)

    def record(self, slide_id: str) -> Facts:
        """The record of a slide that is done, also one of another version of tiler.

        Raises
        ------
        ConfigError
            When it is missing or damaged.
        """
        folder = self.slide_folder(slide_id)
        try:
            return record_content(folder)
        except (FileNotFoundError, StoredError) as error:
            raise _unreadable(folder / RECORD, error) from error


def read_run(folder: Path) -> Run:
    """Read a run's folder, or that of a job of a sweep.

    Raises
    ------
    ConfigError
        When it is not one, or its files are damaged.
    """
    _check_there(folder)
    if not (folder / "run.json").is_file():
        if (folder / REFUSED).is_file():
            return Run(folder, _json_object(folder / REFUSED), {})
        hint = "; it is a sweep's: name one of its jobs" if _is_sweep(folder) else ""
        raise ConfigError(f"{folder} is not the folder of a run: it has no run.json{hint}")
    facts = _json_object(folder / "run.json")
    rows = _table(folder / "slides.csv", ("slide_id", "status", "reason"))
    if not rows:
        raise ConfigError(f"{folder / 'slides.csv'}: no slide in it")
    return Run(folder, facts, {row["slide_id"]: row for row in rows})


def pairs(a: Path, b: Path) -> Iterator[tuple[str, Run, Run]]:
    """The runs to compare: one pair without a name, or the jobs of two sweeps by their names.

    Raises
    ------
    ConfigError
        When a folder is neither of a run nor of a sweep.
    """
    for folder in (a, b):
        _check_there(folder)
    if not (_is_sweep(a) and _is_sweep(b)):
        yield "", read_run(a), read_run(b)
        return
    jobs = [_job_names(folder) for folder in (a, b)]
    for name in dict.fromkeys([*jobs[0], *jobs[1]]):
        first, second = (
            read_run(reduce(inside, name.split("/"), folder))  # jobs may lie deeper down
            if name in names
            else Run(folder / name, {"error": "the sweep has no such job"}, {}, missing=True)
            for folder, names in zip((a, b), jobs, strict=True)
        )
        yield name, first, second


def _check_there(folder: Path) -> None:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder")


def _is_sweep(folder: Path) -> bool:
    return (folder / "sweep.csv").is_file()


def _job_names(sweep: Path) -> list[str]:
    return list(dict.fromkeys(row["job"] for row in _table(sweep / "sweep.csv", ("job",))))


def read_text(path: Path) -> str:
    """A file of a run as text.

    Raises
    ------
    ConfigError
        When it cannot be read.
    """
    try:
        return read_regular(path, MAX_TABLE).decode(errors="surrogateescape")
    except (FileNotFoundError, StoredError) as error:
        raise _unreadable(path, error) from error


def _json_object(path: Path) -> Facts:
    try:
        return read_json(path)
    except (FileNotFoundError, StoredError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError | StoredError) -> ConfigError:
    why = "is missing" if isinstance(error, FileNotFoundError) else str(error)
    return ConfigError(f"{path} {why}; run tiler again to mend it")


def _table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a table that has at least some columns."""
    try:
        return table_rows(read_regular(path, MAX_TABLE), columns)
    except (FileNotFoundError, StoredError) as error:
        raise _unreadable(path, error) from error
