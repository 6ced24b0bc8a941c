"""``record.json``: written last into a slide's folder, it vouches for everything in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

import numpy as np

from tiler.files import digest, inside, write_chunks
from tiler.protocols import Mask
from tiler.runner.fingerprint import Fingerprint
from tiler.written import WrittenFile, WrittenFiles

NAME = "record.json"

OUTPUT_VERSION = 1
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
        if self.planned != self.written + self.filtered + self.failed:
            raise AssertionError(f"tiles do not add up: {self}")


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
        The configuration that shapes the output.
    mask
        Of its mask: the key that it is cached under, the SHA-256 of its pixels, width, height;
        and the key of its coverage of the grid.
    counts
        The accounting of its tiles.
    dropped
        Tiles left out because they could not be read: position and cause.
    files
        Everything in the folder but the record itself.
    """

    slide_id: str
    row: Mapping[str, Any]
    source: Fingerprint
    inputs: Mapping[str, str]
    settings: Mapping[str, Any]
    mask: Mapping[str, Any]
    counts: Counts
    dropped: Sequence[Mapping[str, Any]]
    files: WrittenFiles
    output_version: int = OUTPUT_VERSION


def mask_facts(mask: Mask, key: str, grid_key: str) -> dict[str, Any]:
    """What a record says of a mask, (h, w), without holding it."""
    height, width = mask.shape
    sha256 = digest(np.packbits(mask).tobytes())
    return {"key": key, "sha256": sha256, "width": width, "height": height, "grid": grid_key}


def write_record(folder: Path, record: Record, versions: Mapping[str, str]) -> None:
    """Write the record, flushed to the disk."""
    content = {
        **vars(record),
        "source": vars(record.source),
        "counts": vars(record.counts),
        "settings_sha256": digest(json.dumps(record.settings, sort_keys=True).encode()),
        "versions": dict(versions),
    }
    del content["files"]
    text = _text(f'{_encoded(content)[:-1]}, "files": [', record.files)
    chunks = (part.encode(errors="surrogateescape") for part in text)
    write_chunks(inside(folder, NAME), chunks, durable=True)


def _text(head: str, files: WrittenFiles) -> Iterator[str]:
    """A record piece by piece: in one, that of a million files would fill the memory."""
    yield head
    for start in range(0, len(files), _AT_ONCE):
        yield ", " if start else ""
        yield ", ".join(map(file_text, files.take(files.by_name[start : start + _AT_ONCE])))
    yield "]}\n"


def file_text(file: WrittenFile) -> str:
    """A file as the record lists it."""
    name, size, sha256 = file
    return f'{{"name": {encode_basestring(name)}, "size": {size}, "sha256": "{sha256}"}}'


_encoded = json.JSONEncoder(ensure_ascii=False).encode


def read_record(folder: Path) -> Record | None:
    """The record of a slide's folder, or None where there is none that can be trusted."""
    try:
        content = json.loads((folder / NAME).read_bytes().decode(errors="surrogateescape"))
        return Record(
            slide_id=content["slide_id"],
            row=content["row"],
            source=Fingerprint(**content["source"]),
            inputs=content["inputs"],
            settings=content["settings"],
            mask=content["mask"],
            counts=Counts(**content["counts"]),
            dropped=content["dropped"],
            files=WrittenFiles.of(WrittenFile(**file) for file in content["files"]),
            output_version=content["output_version"],
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError, AssertionError):
        return None


def damage(folder: Path, record: Record, verify: str) -> Iterator[str]:
    """What is wrong with a folder's files: by ``size`` (and presence), or by ``hash`` too."""
    for file in record.files:
        path = folder / file.name
        try:
            size = path.stat().st_size
        except OSError:
            yield f"{file.name} is missing"
            continue
        if size != file.size:
            yield f"{file.name} has {size} bytes, was written with {file.size}"
        elif verify == "hash" and digest(path.read_bytes()) != file.sha256:
            yield f"{file.name} has another sha256"


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Every setting that differs, as ``threshold was 0.5, now 0.3``."""
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from differences(before, after, f"{prefix}{key}.")
        elif before != after:
            yield f"{prefix}{key} was {_shown(before)}, now {_shown(after)}"


def _shown(value: Any) -> str:
    return "not set" if value is None else str(value)
