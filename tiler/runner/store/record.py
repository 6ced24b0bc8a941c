"""``record.json``: written last into a slide's folder, it vouches for everything in it."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import accumulate
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

import numpy as np

from tiler.checks.hints import fits, made_of
from tiler.files import digest, inside, write_chunks
from tiler.protocols import Mask
from tiler.runner.store.fingerprint import Fingerprint, full_hash
from tiler.runner.work.job import DroppedTile, SlideRow
from tiler.storage.safe_text import visible_json, without_secrets
from tiler.storage.stored import StoredError, read_sealed, sealed
from tiler.written import WrittenFile, WrittenFiles, joined

NAME = "record.json"

MAX_BYTES = 1 << 30
"""Bytes of a record: about six million tiles."""

OUTPUT_VERSION = 3
"""Raised when the same settings make other output, so that older results are redone."""

_AT_ONCE = 1000  # files


@dataclass(frozen=True)
class Counts:
    """Every grid cell is accounted for.

    Attributes
    ----------
    planned
        Cells of the grid.
    written
        Tiles kept.
    filtered
        Cells below the threshold.
    failed
        Tiles that could not be read and were dropped.
    """

    planned: int
    written: int
    filtered: int
    failed: int

    def __post_init__(self) -> None:
        parts = self.written, self.filtered, self.failed
        if self.planned != sum(parts) or min(parts) < 0:
            raise AssertionError(f"tiles do not add up: {self}")


@dataclass(frozen=True)
class MaskFacts:
    """The mask that a slide was tiled with.

    Attributes
    ----------
    key
        What it is cached under.
    sha256
        Of its pixels.
    width, height
        In mask pixels.
    grid
        What its coverage of the grid is cached under.
    """

    key: str
    sha256: str
    width: int
    height: int
    grid: str

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 1:
            raise ValueError(f"a mask of {self.width}x{self.height} pixels")


@dataclass(frozen=True)
class Record:
    """What a slide's folder was made from, with and of. Holds no time: reruns are identical.

    Attributes
    ----------
    slide_id
        The slide's name in outputs.
    row
        The slide's row, without its seconds.
    source
        The slide's fingerprint.
    inputs
        SHA-256 of other files that shaped the output, such as a mask, by name.
    settings
        The configuration that shapes the output; below ``exporter`` that of each in ``exporters``.
    code
        As of ``SlideJob``: of the components that the user brought.
    mask
        The mask that it was tiled with.
    counts
        The accounting of its tiles.
    dropped
        Tiles that were left out.
    exporters
        The files of each exporter: together everything in the folder but the record itself.
    path
        The slide's file as the user wrote it.
    """

    slide_id: str
    row: SlideRow
    source: Fingerprint
    inputs: Mapping[str, str]
    settings: Mapping[str, Any]
    code: Mapping[str, str]
    mask: MaskFacts
    counts: Counts
    dropped: Sequence[DroppedTile]
    exporters: Mapping[str, WrittenFiles]
    output_version: int = OUTPUT_VERSION
    path: str = ""

    @cached_property
    def files(self) -> WrittenFiles:
        """The files of all exporters, one exporter after the other by their names."""
        return joined(self.exporters[name] for name in sorted(self.exporters))


def mask_facts(mask: Mask, key: str, grid_key: str) -> MaskFacts:
    """What a record says of a mask, (h, w), without holding it."""
    height, width = mask.shape
    return MaskFacts(key, digest(np.packbits(mask).tobytes()), width, height, grid_key)


def write_record(folder: Path, record: Record, versions: Mapping[str, str]) -> None:
    """Write the record with a checksum of all of it, flushed to the disk."""
    files = [record.exporters[name] for name in sorted(record.exporters)]
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
    ordered = joined(some.take(some.by_name) for some in files)
    text = _text(f'{visible_json(_encoded(content))[:-1]}, "files": [', ordered)
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
    """Settings with those of exporters by their names: they may be made one after the other."""
    exporters = settings.get(EXPORTER)
    if not isinstance(exporters, Mapping):
        return settings
    return {**settings, EXPORTER: dict(sorted(exporters.items()))}


def _text(head: str, files: WrittenFiles) -> Iterator[str]:
    """A record piece by piece: in one, that of a million files would fill the memory."""
    yield head
    for start in range(0, len(files), _AT_ONCE):
        yield ", " if start else ""
        yield ", ".join(map(file_text, files[start : start + _AT_ONCE]))
    yield "]"


def file_text(file: WrittenFile) -> str:
    """A file as the record lists it."""
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
    """The record of a slide's folder, or None where there is none that can be trusted."""
    try:
        return load_record(folder)
    except (FileNotFoundError, StoredError):
        return None


def load_record(folder: Path) -> Record:
    """The record of a slide's folder, its checksum and every field of it checked.

    Raises
    ------
    FileNotFoundError
        When there is none.
    StoredError
        When there is one that cannot be trusted, saying why.
    """
    content = record_content(folder)
    try:
        files = WrittenFiles.of(WrittenFile(**file) for file in content["files"])
        if (bad := files.outside()) is not None:
            raise ValueError(f"{bad!r} is not a name below the slide's folder")
        exporters = _shared_out(files, content.get("exporters"))
        record = made_of(Record, {**content, "exporters": exporters})
        row = record.row
        seen = row.candidates, row.kept, row.below_threshold, row.dropped
        if row.slide_id != record.slide_id or Counts(*seen) != record.counts:
            raise ValueError("its row is of another slide or other tiles")
    except (ValueError, TypeError, OverflowError, AssertionError) as error:
        raise StoredError(f"is damaged: {error}") from error
    return record


def record_content(folder: Path) -> dict[str, Any]:
    """A slide's record as plain values, also one of another version of tiler.

    Raises
    ------
    FileNotFoundError, StoredError
        As ``load_record``; the checksum, the row and the kinds of the other parts are checked.
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
    """Each exporter's part of the files: so many each, in this order.

    Raises
    ------
    ValueError
        When it is not that.
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
    """What is wrong with some of a folder's files: by ``size`` (and presence), or by ``hash``."""
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


EXPORTER = "exporter"
"""The key of settings that differ between exporters; all others are shared by them."""


def shared(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that all exporters share, without secrets: one that changed is no change."""
    return {key: without_secrets(value) for key, value in settings.items() if key != EXPORTER}


def of_exporter(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The settings of an exporter, without secrets; empty where they are not known."""
    found = (settings.get(EXPORTER) or {}).get(name)
    return without_secrets(found) if isinstance(found, Mapping) else {}


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Every setting that differs, as ``threshold was 0.5, now 0.3``."""
    for key, before, after in changes(old, new, prefix):
        yield f"{key} was {before}, now {after}"


def changes(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str, str]]:
    """Every setting that differs: its dotted key, the old value and the new one as text."""
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from changes(before, after, f"{prefix}{key}.")
        elif before != after:
            yield f"{prefix}{key}", _shown(before), _shown(after)


def _shown(value: Any) -> str:
    return "not set" if value is None else str(value)
