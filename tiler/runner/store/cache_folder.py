"""The cache's folder: its size, and the report about its use by a run."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tiler.runner.store.arrays import SUFFIX, is_key
from tiler.runner.work.job import SlideJob

MAX_BYTES = 4 << 30
"""The largest size of a cache; entries that were not used for longest are removed first."""

log = logging.getLogger("tiler")


def prune_caches(jobs: Iterable[SlideJob]) -> None:
    """Remove old entries from the caches of a run."""
    for folder in {job.cache for job in jobs if job.cache is not None}:
        prune(folder)


def cache_facts(out: Path, jobs: Iterable[SlideJob], counts: Mapping[str, int]) -> dict[str, Any]:
    """Return the cache's folder, relative to ``out``, and counts of its use; log the counts.

    ``counts`` are those of ``Schedule.shared``.
    """
    if counts:
        said = [
            f"{what}s: {counts.get(f'{what}s made', 0)} made,"
            f" {counts.get(f'{what}s reused', 0)} reused"
            for what in ("mask", "grid", "label", "score", "tissue sample")
            if what in ("mask", "grid") or {f"{what}s made", f"{what}s reused"} & counts.keys()
        ]
        log.info("%s", "; ".join(said))
    folder = next((job.cache for job in jobs if job.cache is not None), None)
    return {"folder": folder and _seen_from(out, folder), **counts}


def _seen_from(place: Path, folder: Path) -> str:
    """Return a relative path to a folder; its absolute one if it is on another drive of Windows."""
    try:
        return os.path.relpath(folder, place)
    except ValueError:
        return str(folder)


def prune(folder: Path, max_bytes: int = MAX_BYTES) -> None:
    """Remove entries, those used longest ago first, until the folder is small enough.

    Files with other names than those of entries stay: ``cache`` may name any folder.
    """
    if not folder.is_dir():
        return
    entries = []
    for path in folder.glob(f"*{SUFFIX}"):
        if not is_key(path.name.removesuffix(SUFFIX)):
            continue
        try:
            facts = path.stat()
        except OSError:  # another run made room at the same time
            continue
        entries.append((facts.st_mtime_ns, facts.st_size, path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= max_bytes:
            return
        with suppress(OSError):  # gone by itself, or another user's
            path.unlink()
            total -= size
