"""Decisions of a run about a slide's folder: what to do, and which files stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tiler.errors import (
    ChangedError,
    OccupiedError,
    OpenError,
    ReadError,
    SlideError,
)
from tiler.protocols import NamesTiles
from tiler.readers.preflight import look
from tiler.runner.kept import kept_reason
from tiler.runner.store.fingerprint import fingerprint, full_hash
from tiler.runner.store.owned import refuse_foreign
from tiler.runner.store.record import OUTPUT_VERSION, Record
from tiler.runner.store.record_file import damage, read_record
from tiler.runner.store.settings import (
    EXPORTER,
    as_fitted,
    differences,
    of_exporter,
    shared,
)
from tiler.runner.work.job import SlideJob, SlideRow
from tiler.storage.destinations import inside


@dataclass(frozen=True)
class FolderState:
    """State of a slide's folder, compared with its job.

    Attributes
    ----------
    row
        The slide's row, if nothing is to be done: it is done, or failed and stays as it is.
    job
        Otherwise the job to do: its exporters are those that have to run.
    why
        The reason why files of an earlier run are replaced; empty where none are.
    settings_changed
        Whether other settings, or other code of the user's, are a reason.
    tiles
        The number of tiles in the output that is replaced.
    removed
        The exporters that this run leaves out, but whose files are removed.
    earlier
        Whether the folder contains finished output of an earlier run.
    """

    row: SlideRow | None = None
    job: SlideJob | None = None
    why: str = ""
    settings_changed: bool = False
    tiles: int = 0
    removed: tuple[str, ...] = ()
    earlier: bool = False


def find_done(job: SlideJob, out: Path, verify: str) -> FolderState:
    """Compare a slide's folder with its record, its input and the current settings.

    Parameters
    ----------
    job
        The slide's job.
    out
        The run's folder.
    verify
        ``size`` compares the size of every file, ``hash`` its content too, ``none`` neither.
    """
    folder = inside(out / "slides", job.slide_id)
    record = read_record(folder)
    if record is None or record.slide_id != job.slide_id:
        return _unless_occupied(FolderState(job=job), folder, "the slide's files belong there")
    changed = _shared_changes(job, record)
    try:
        reason = _input_changes(job, record) or _version_changes(record)
    except SlideError as error:
        reason = kept_reason(job, record, error)
        row = SlideRow(job.slide_id, "failed", reason, output="earlier", code=error.code)
        return FolderState(
            row=row, why="; ".join(changed), settings_changed=bool(changed), earlier=True
        )
    if changed or reason:
        found = _whole(job, record, "; ".join(changed) or reason, settings_changed=bool(changed))
    else:
        found = _compared_exporters(job, record, folder, verify)
    if found.job is None:
        return found
    added = f"the files of {', '.join(found.job.exporters)} have to be added"
    need = f"the slide has to be redone ({found.why})" if found.why else added
    return _unless_occupied(found, folder, need)


def _unless_occupied(found: FolderState, folder: Path, need: str) -> FolderState:
    """Return the state of a folder, or a failed row if foreign files are in it."""
    slide_id = folder.name
    try:
        refuse_foreign(folder, need)
    except OccupiedError as error:
        output = "earlier" if found.earlier else ""
        row = SlideRow(slide_id, "failed", error.in_config(), output=output, code=error.code)
        return replace(found, row=row, job=None)
    return found


def _whole(
    job: SlideJob, record: Record, why: str, *, settings_changed: bool = False
) -> FolderState:
    """Return the state of a slide whose output is replaced as a whole."""
    return FolderState(
        job=job,
        why=why,
        settings_changed=settings_changed,
        tiles=record.counts.written,
        removed=tuple(sorted(record.exporters.keys() - job.exporters.keys())),
        earlier=True,
    )


def _compared_exporters(job: SlideJob, record: Record, folder: Path, verify: str) -> FolderState:
    """Return the work on a slide whose shared settings are unchanged."""
    if record.row.status == "failed":
        return _whole(job, record, "it had tiles that could not be read")
    reasons: list[str] = []
    redone: set[str] = set()
    settings_changed = False
    for name in sorted(job.exporters.keys() & record.exporters.keys()):
        found = list(_exporter_changes(job, record, name))
        settings_changed = settings_changed or bool(found)
        if not found and verify != "none":
            found = [next(damage(folder, record.exporters[name], verify), "")]
        if any(found):
            reasons += found
            redone.add(name)
    todo = redone | (job.exporters.keys() - record.exporters.keys())
    if not todo:
        return FolderState(row=replace(record.row, path=job.given, output="current"), earlier=True)
    removed = _stale_tables(job, record, redone)
    stay = record.exporters.keys() - redone - removed
    return FolderState(
        job=replace(
            job,
            exporters={name: it for name, it in job.exporters.items() if name in todo},
            kept=tuple(sorted(stay)),
            dropped=tuple(record.dropped) if stay else (),
        ),
        why="; ".join(reasons),
        settings_changed=settings_changed,
        tiles=record.counts.written if redone else 0,
        removed=tuple(sorted(removed)),
        earlier=True,
    )


def _shared_changes(job: SlideJob, record: Record) -> list[str]:
    """Yield the differences in settings and code that all exporters share."""
    settings = differences(shared(record.settings), shared(job.settings))
    names = sorted({*record.code, *job.code})
    code = (
        f"the code of {name} changed"
        for name in names
        if not name.startswith(f"{EXPORTER}.") and record.code.get(name) != job.code.get(name)
    )
    return [*settings, *code]


def _exporter_changes(job: SlideJob, record: Record, name: str) -> list[str]:
    """Yield the differences in settings and code of one exporter."""
    key = f"{EXPORTER}.{name}"
    old, new = (of_exporter(settings, name) for settings in (record.settings, job.settings))
    found = list(differences(*_as_listed(as_fitted(old, new), new), f"{key}."))
    if record.code.get(key) != job.code.get(key):
        found.append(f"the code of {key} changed")
    return found


def _as_listed(
    old: Mapping[str, Any], new: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the settings of a table to compare; a table that may list images stays as it is."""
    if "file" in new and new["file"] is None and "file" in old:
        return old, {**new, "file": old["file"]}
    if old.get("file", 0) is None and new.get("file") is False:
        return {**old, "file": False}, new
    return old, new


def _stale_tables(job: SlideJob, record: Record, redone: set[str]) -> set[str]:
    """Return exporters left out by this run whose tables or context tiles name images as before."""
    namings = [
        dict(it.name_settings)
        for name in redone
        if isinstance(it := job.exporters[name], NamesTiles)
    ]
    left_out = record.exporters.keys() - job.exporters.keys()
    listed = {name: _naming(of_exporter(record.settings, name)) for name in left_out}
    return {
        name
        for name, naming in listed.items()
        if isinstance(naming, Mapping) and namings and dict(naming) not in namings
    }


def _naming(settings: Mapping[str, Any]) -> Any:
    """Return the settings that name the images of a table, or those beside context tiles."""
    if "context" in settings:
        return {name: settings.get(name) for name in ("extension", "shard")}
    return settings.get("file")


def _version_changes(record: Record) -> str:
    other = record.output_version != OUTPUT_VERSION
    return "it was made by a version of tiler that made other output" if other else ""


def _input_changes(job: SlideJob, record: Record) -> str:
    """Return the difference of a slide's files from its record; empty if there is none.

    Raises
    ------
    SlideError
        If they cannot be read now.
    """
    if job.problem:
        raise OpenError(job.slide_id, f"{job.problem}; check it, or leave it out")
    look(job.path, job.slide_id)
    try:
        if fingerprint(job.path) != record.source:
            return "the slide's fingerprint differs: it was replaced or touched"
        if job.input_hashes() != record.inputs:
            return "its mask file differs"
        if job.expected_sha256 and full_hash(job.path) != job.expected_sha256.lower():
            raise ChangedError(job.slide_id, "the file's sha256 is not the expected one")
    except OSError as error:
        raise ReadError(job.slide_id, f"{job.path.name}: {error.strerror or error}") from error
    except SlideError:
        raise
    except Exception as error:  # of a mask of the user's own: doing the slide tells its line
        return f"its mask cannot list its files: {error!r}"
    return ""
