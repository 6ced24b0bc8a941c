"""The jobs of a finished run, built again from its ``run.json`` and ``slides.csv``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tiler.compare.overlay import matching
from tiler.config.build import Plan, build
from tiler.config.checks.validate import leaves
from tiler.config.components import SHAPES_OUTPUT
from tiler.config.literal import literal
from tiler.config.schema import Config
from tiler.errors import ConfigError
from tiler.protocols import SlideEntry
from tiler.runner.identity import assign_ids
from tiler.runner.products.listed import SLIDES
from tiler.runner.reporting.tables import OWN
from tiler.runner.store.fingerprint import fingerprint
from tiler.runner.store.record import Record
from tiler.runner.store.record_file import read_record
from tiler.runner.store.settings import differences, shared
from tiler.runner.work.job import SlideJob
from tiler.slides import find_slides, read_table
from tiler.storage.destinations import expanded, inside
from tiler.storage.named import is_folder
from tiler.storage.safe_text import has_mask
from tiler.storage.stored import StoredError, read_json

SERIAL = {"_target_": "tiler.runner.engines.SerialEngine"}

_NO_SLIDES = {"_target_": "tiler.slides.find_slides", "paths": []}
"""Never called: the slides are those of ``slides.csv``."""

_FIX = "start where the run was started, or give the folder of the slides with --slides"

_LEVELS_UP = 3
"""The largest number of folders from a job's folder up to the sweep's."""


@dataclass(frozen=True)
class Rebuilt:
    """A run whose slides can be read again.

    Attributes
    ----------
    plan
        Its jobs, one for each row of ``slides.csv``, and the engine; no report and no tracker.
    unread
        The reason why a slide cannot be read as the run read it, by its number.
    """

    plan: Plan
    unread: Mapping[int, str]


def rebuilt(
    out: Path,
    run: Mapping[str, Any],
    rows: Sequence[Mapping[str, str]],
    where: str | None = None,
    engine: Mapping[str, Any] = SERIAL,
) -> Rebuilt:
    """Build the jobs of a run again, with its cache.

    Parameters
    ----------
    out
        The run's folder.
    run, rows
        The content of ``run.json``, and the rows of ``slides.csv``.
    where
        A file, folder or glob of slides that moved since.
    engine
        The node of the engine instead of that of the run.

    Raises
    ------
    ConfigError
        If the configuration is missing, lacks a secret, or cannot be built any more.
    """
    config = run.get("config")
    if not isinstance(config, dict) or not config:
        raise ConfigError(f"{out / 'run.json'} contains no configuration of a run")
    plain = {**config, **_own(out, config), "engine": engine}
    _check_secrets(plain)
    records = [_record(out, row) for row in rows]
    entries = _entries(config, run, rows)
    found = _candidates(where)
    entries = [
        _moved(entry, record, found) if found else entry
        for entry, record in zip(entries, records, strict=True)
    ]
    try:
        made = OmegaConf.merge(OmegaConf.structured(Config), literal(plain))
    except OmegaConfBaseException as error:
        what = str(error).splitlines()[0]
        raise ConfigError(f"{out / 'run.json'}: the configuration is invalid: {what}") from error
    assert isinstance(made, DictConfig)
    root, lowest = _home_of_cache(out, run)
    plan = build(made, root, measure_from=lowest, entries=entries)
    return Rebuilt(plan, dict(_unread(plan.jobs, records)))


def _own(out: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in place of the run's: nothing is tiled, and no folder is made."""
    cache = config.get("cache")
    gone = isinstance(cache, str) and not is_folder(Path(expanded(cache)))
    return {
        **({"cache": "off"} if gone else {}),
        "slides": _NO_SLIDES,
        "tracker": {"_target_": "tiler.trackers.NoTracker"},
        "report": {"_target_": "tiler.report.no_report"},
        "out": str(out),
        "dry_run": False,
    }


def _check_secrets(plain: Mapping[str, Any]) -> None:
    """Refuse a configuration in which ``***`` stands for a secret that slides are read with."""
    for key, value in leaves({key: plain[key] for key in SHAPES_OUTPUT if key in plain}):
        if has_mask(value):
            raise ConfigError(
                f"{key}={value}: run.json does not contain the secret, so the slides cannot be"
                " read again; run tiler again with report=html"
            )


def _entries(
    config: Mapping[str, Any], run: Mapping[str, Any], rows: Sequence[Mapping[str, str]]
) -> list[SlideEntry]:
    """Return the slides of a run, with the overrides of its table."""
    facts = run.get("slides")
    found = facts.get("base") if isinstance(facts, dict) else None
    base = found if isinstance(found, str) else "."
    overrides = _overrides(config)
    return [
        SlideEntry(
            Path(expanded(base), expanded(row.get("path") or row["slide_id"])),
            row["slide_id"],
            overrides=overrides.get(row["slide_id"], {}),
            given=row.get("path") or row["slide_id"],
            base=base,
            columns={name: text for name, text in row.items() if name.startswith(OWN)},
        )
        for row in rows
    ]


def _overrides(config: Mapping[str, Any]) -> dict[str, Mapping[str, str]]:
    """Return the settings that a table of slides has for each, by slide id; none without a table.

    A slide whose settings differ from its record is not read: a table may have changed.
    """
    slides = config.get("slides")
    table = slides.get("table") if isinstance(slides, dict) else None
    if not isinstance(table, str):
        return {}
    try:
        entries = read_table(table)
        return {
            name: entry.overrides for name, entry in zip(assign_ids(entries), entries, strict=True)
        }
    except ConfigError:  # the table is missing, or was replaced
        return {}


def _candidates(where: str | None) -> list[Path]:
    if where is None:
        return []
    try:
        return [entry.path for entry in find_slides(where)]
    except ConfigError as error:
        raise ConfigError(f"--slides {where}: no slide found") from error


def _moved(entry: SlideEntry, record: Record | None, candidates: Sequence[Path]) -> SlideEntry:
    """Return a slide at its present place: its file, or a candidate with the same content."""
    if record is None or _is_same(entry.path, record):
        return entry
    source = {"size": record.source.size, "content": record.source.content}
    path = next(matching(source, candidates), entry.path)
    return replace(entry, path=path)


def _is_same(path: Path, record: Record) -> bool:
    try:
        return fingerprint(path).content == record.source.content
    except (OSError, ValueError):  # ValueError: an impossible file name
        return False


def _record(out: Path, row: Mapping[str, str]) -> Record | None:
    if row.get("output") != "current":
        return None
    return read_record(inside(out / SLIDES, row["slide_id"]))


def _unread(
    jobs: Sequence[SlideJob], records: Sequence[Record | None]
) -> Iterator[tuple[int, str]]:
    """Yield the slides that cannot be read as the run read them, and why."""
    for n, (job, record) in enumerate(zip(jobs, records, strict=True)):
        if record is None:
            continue
        if not os.path.lexists(job.path):
            yield n, f"there is no file {job.given} here; {_FIX}"
            continue
        changed = [*differences(shared(record.settings), shared(job.settings))]
        if changed:
            yield n, f"its settings are not those of run.json and the table ({changed[0]})"


def _home_of_cache(out: Path, run: Mapping[str, Any]) -> tuple[Path, float | None]:
    """Return the folder that the cache is in, and from which coverage a sweep measured scores."""
    sweep = run.get("sweep")
    if not isinstance(sweep, dict):
        return out, None
    above = out.absolute().parents[:_LEVELS_UP]
    for folder in above:
        try:
            found = read_json(folder / "sweep.json")
        except (FileNotFoundError, StoredError):
            continue
        if found.get("id") == sweep.get("id"):
            return folder, _lowest(found)
    return next((folder for folder in above if (folder / ".cache").is_dir()), out), None


def _lowest(sweep: Mapping[str, Any]) -> float | None:
    """Return the lowest threshold of a sweep's jobs; None if it sweeps none."""
    try:
        return min((float(job["settings"]["threshold"]) for job in sweep["jobs"]), default=None)
    except (KeyError, TypeError, ValueError):
        return None
