"""Read runs and sweeps from their folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from tiler.checks.hints import made_of
from tiler.errors import ConfigError
from tiler.runner.reporting.tables import REFUSED, RUNNING, table_rows
from tiler.runner.store.record_file import NAME as RECORD
from tiler.runner.store.record_file import record_content
from tiler.storage.destinations import inside
from tiler.storage.named import is_file, is_folder
from tiler.storage.stored import MAX_TABLE, StoredError, read_json, read_regular

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class _Told:
    """The keys of a ``run.json`` that are compared."""

    config: Facts | None = None
    versions: Facts | None = None
    cache: Facts | None = None


@dataclass(frozen=True)
class Run:
    """A run's folder with the content of its ``run.json`` and ``slides.csv``.

    Attributes
    ----------
    folder
        The run's folder.
    facts
        Content of ``run.json``, or of ``refused.json`` where there is no ``run.json``.
    rows
        Rows of ``slides.csv`` by slide id; empty when the run stopped before its slides.
    missing
        Whether the sweep has no such job.
    """

    folder: Path
    facts: Facts
    rows: Mapping[str, Mapping[str, str]]
    missing: bool = False

    @property
    def error(self) -> str:
        """Reason why the run stopped before its slides; empty if it did not."""
        return "" if self.rows else str(self.facts.get("error", ""))

    @property
    def unfinished(self) -> bool:
        """Return whether the run is still running or was killed."""
        return self.facts.get("status") == RUNNING

    @property
    def cache(self) -> Path | None:
        """Folder of the run's cache; None if it had none."""
        cache = self.facts.get("cache")
        folder = cache.get("folder") if isinstance(cache, dict) else None
        return self.folder / folder if folder and isinstance(folder, str) else None

    def slide_folder(self, slide_id: str) -> Path:
        """Return the folder of a slide's files."""
        return inside(self.folder / "slides", slide_id)

    def record(self, slide_id: str) -> Facts:
        """Return the record of a finished slide, also one from another version of tiler.

        Raises
        ------
        ConfigError
            If the record is missing or damaged.
        """
        folder = self.slide_folder(slide_id)
        try:
            return record_content(folder)
        except (FileNotFoundError, StoredError) as error:
            raise _unreadable(folder / RECORD, error) from error


def read_run(folder: Path) -> Run:
    """Read the folder of a run, or of a job of a sweep.

    Raises
    ------
    ConfigError
        If the folder contains no run, or its files are damaged.
    """
    _check_there(folder)
    if not is_file(folder / "run.json"):
        if is_file(folder / REFUSED):
            return Run(folder, _json_object(folder / REFUSED), {})
        hint = "; it contains a sweep: give one of its jobs" if _is_sweep(folder) else ""
        raise ConfigError(f"{folder} contains no run.json, so no run{hint}")
    facts = _json_object(folder / "run.json")
    rows = _table(folder / "slides.csv", ("slide_id", "status", "reason"))
    if not rows:
        raise ConfigError(f"{folder / 'slides.csv'} contains no slide; run tiler again")
    return Run(folder, facts, {row["slide_id"]: row for row in rows})


def pairs(a: Path, b: Path) -> Iterator[tuple[str, Run, Run]]:
    """Yield the runs to compare: one unnamed pair, or the jobs of two sweeps by name.

    Raises
    ------
    ConfigError
        If a folder contains neither a run nor a sweep.
    """
    for folder in (a, b):
        _check_there(folder)
    if not (_is_sweep(a) and _is_sweep(b)):
        yield "", read_run(a), read_run(b)
        return
    jobs = [_job_names(folder) for folder in (a, b)]
    for name in dict.fromkeys([*jobs[0], *jobs[1]]):
        first, second = (
            read_run(reduce(inside, name.split("/"), folder))  # a job's name may be a path
            if name in names
            else Run(
                folder / name, {"error": "the sweep has no job of this name"}, {}, missing=True
            )
            for folder, names in zip((a, b), jobs, strict=True)
        )
        yield name, first, second


def _check_there(folder: Path) -> None:
    if not is_folder(folder):
        raise ConfigError(f"{folder}: the folder is missing; check the path")


def _is_sweep(folder: Path) -> bool:
    return is_file(folder / "sweep.csv")


def _job_names(sweep: Path) -> list[str]:
    return list(dict.fromkeys(row["job"] for row in _table(sweep / "sweep.csv", ("job",))))


def read_bytes(path: Path) -> bytes:
    """Return the content of a file of a run.

    Raises
    ------
    ConfigError
        If the file cannot be read.
    """
    try:
        return read_regular(path, MAX_TABLE)
    except (FileNotFoundError, StoredError) as error:
        raise _unreadable(path, error) from error


def _json_object(path: Path) -> Facts:
    try:
        facts = read_json(path)
        made_of(_Told, facts)
    except (FileNotFoundError, StoredError) as error:
        raise _unreadable(path, error) from error
    except ValueError as error:
        raise _unreadable(path, StoredError(f"is damaged: {error}")) from error
    return facts


def _unreadable(path: Path, error: OSError | StoredError) -> ConfigError:
    why = "is missing" if isinstance(error, FileNotFoundError) else str(error)
    return ConfigError(f"{path} {why}; run tiler again to rewrite it")


def _table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Return the rows of a table that has at least the given columns."""
    try:
        return table_rows(read_regular(path, MAX_TABLE), columns)
    except (FileNotFoundError, StoredError) as error:
        raise _unreadable(path, error) from error
