"""Write and read ``record.json``, and compare its files with those of the folder."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator, Mapping
from dataclasses import fields
from itertools import accumulate
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

from tiler.checks.hints import fits, made_of
from tiler.files import digest, write_chunks
from tiler.runner.store.fingerprint import full_hash
from tiler.runner.store.record import Counts, Record
from tiler.runner.store.settings import EXPORTER
from tiler.runner.work.job import SlideRow
from tiler.storage.destinations import inside
from tiler.storage.safe_text import visible_json, without_secrets
from tiler.storage.stored import StoredError, read_sealed, sealed
from tiler.written import WrittenFile, WrittenFiles

NAME = "record.json"

MAX_BYTES = 1 << 30
"""Maximum bytes of a record: about six million tiles."""

_AT_ONCE = 1000  # files


def write_record(folder: Path, record: Record, versions: Mapping[str, str]) -> None:
    """Write the record with a checksum of all of it, flushed to the disk."""
    settings = without_secrets(record.settings)
    content = {
        **{field.name: getattr(record, field.name) for field in fields(record)},
        "settings": _in_order(settings),
        "code": dict(sorted(record.code.items())),
        "row": _row_content(record.row),
        "source": vars(record.source),
        "mask": vars(record.mask),
        "counts": vars(record.counts),
        "dropped": [vars(tile) for tile in record.dropped],
        "settings_sha256": digest(json.dumps(settings, sort_keys=True).encode()),
        "versions": dict(versions),
        "exporters": {name: len(record.exporters[name]) for name in sorted(record.exporters)},
    }
    text = _text(f'{visible_json(_encoded(content))[:-1]}, "files": [', record.files)
    chunks = (part.encode(errors="surrogateescape") for part in text)
    write_chunks(inside(folder, NAME), sealed(chunks), durable=True)


_UNRECORDED = ("code", "seconds")
_ROW_ENDS = ("dropped", "blank_tiles", "bytes", "output")
"""Values of a row that are known last; they are written last."""


def _row_content(row: SlideRow) -> dict[str, Any]:
    """Return a row as the record contains it: no time, and ``dropped`` only where there are any."""
    values = {name: value for name, value in vars(row).items() if name not in _UNRECORDED}
    ends = {name: values.pop(name) for name in _ROW_ENDS}
    if not row.dropped:
        del ends["dropped"]
    return {**values, **ends}


def _in_order(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return settings with those of exporters sorted by name: exporters may be added later."""
    exporters = settings.get(EXPORTER)
    if not isinstance(exporters, Mapping):
        return settings
    return {**settings, EXPORTER: dict(sorted(exporters.items()))}


def _text(head: str, files: WrittenFiles) -> Iterator[str]:
    """Yield the text of a record in pieces: as one, a million files would fill the memory."""
    yield head
    for start in range(0, len(files), _AT_ONCE):
        yield ", " if start else ""
        yield ", ".join(map(file_text, files[start : start + _AT_ONCE]))
    yield "]"


def file_text(file: WrittenFile) -> str:
    """Return the entry of a file in the record."""
    name, size, sha256 = file
    return f'{{"name": {encode_basestring(name)}, "size": {size}, "sha256": "{sha256}"}}'


_PARTS = {
    "slide_id": str,
    "row": dict,
    "source": dict,
    "settings": dict,
    "counts": dict,
    "files": list,
}

_encoded = json.JSONEncoder(ensure_ascii=False).encode


def read_record(folder: Path) -> Record | None:
    """Return the record of a slide's folder; None if it is missing or cannot be trusted."""
    try:
        return load_record(folder)
    except (FileNotFoundError, StoredError):
        return None


def load_record(folder: Path) -> Record:
    """Return the record of a slide's folder, after a check of its checksum and every field.

    Raises
    ------
    FileNotFoundError
        If the folder contains no record.
    StoredError
        If it cannot be trusted; the error states the reason.
    """
    content = record_content(folder)
    try:
        files = WrittenFiles.of(WrittenFile(**file) for file in content["files"])
        if (bad := files.outside()) is not None:
            raise ValueError(f"{bad!r} is not a name below the slide's folder")
        exporters = _shared_out(files, content.get("exporters"))
        record = made_of(Record, {**content, "exporters": exporters})
        row = record.row
        out = row.below_threshold + sum(row.filtered.values()) + row.not_sampled
        seen = row.candidates, row.kept, out, row.dropped
        if row.slide_id != record.slide_id or Counts(*seen) != record.counts:
            raise ValueError("its row is of another slide or other tiles")
    except (ValueError, TypeError, OverflowError, AssertionError) as error:
        raise StoredError(f"is damaged: {error}") from error
    return record


def record_content(folder: Path) -> dict[str, Any]:
    """Return a slide's record as plain values, also one of another version of tiler.

    Raises
    ------
    FileNotFoundError, StoredError
        See ``load_record``; the checksum, the row and the types of the other fields are checked.
    """
    content = read_sealed(folder / NAME, MAX_BYTES)
    for name, kind in _PARTS.items():
        if not isinstance(content.get(name), kind):
            raise StoredError(f"is damaged: no {name!r}")
    try:
        made_of(SlideRow, content["row"])
    except ValueError as error:
        raise StoredError(f"is damaged: {error}") from error
    return content


def _shared_out(files: WrittenFiles, counts: object) -> dict[str, WrittenFiles]:
    """Divide the files between exporters, by their counts in this order.

    Raises
    ------
    ValueError
        If the counts are invalid.
    """
    if not isinstance(counts, dict) or not fits(counts, Mapping[str, int]):
        raise ValueError("'exporters' must be an object (a whole number each)")
    ends = list(accumulate(counts.values()))
    if min(counts.values(), default=0) < 0 or (ends or [0])[-1] != len(files):
        raise ValueError(f"{len(files)} files, but {counts} of the exporters")
    return {
        name: files[end - count : end]
        for (name, count), end in zip(counts.items(), ends, strict=True)
    }


def damage(folder: Path, files: WrittenFiles, verify: str) -> Iterator[str]:
    """Yield the damage of a folder's files, compared by ``size`` (and presence) or by ``hash``."""
    for file in files:
        path = folder / file.name
        try:
            facts = path.lstat()
        except OSError:
            yield f"{file.name} is missing"
            continue
        if not stat.S_ISREG(facts.st_mode):
            yield f"{file.name} is not a regular file"
        elif facts.st_size != file.size:
            yield f"{file.name} has {facts.st_size} bytes, was written with {file.size}"
        elif verify == "hash" and full_hash(path) != file.sha256:
            yield f"{file.name} has another sha256"
