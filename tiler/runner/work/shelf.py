"""The cache as used for one slide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from tiler.runner.store.arrays import Arrays, load_or_recall, store
from tiler.runner.store.fingerprint import Fingerprint, fingerprint
from tiler.runner.work.job import SlideJob

_Read = TypeVar("_Read")

Identity = tuple[Fingerprint, Mapping[str, str]]
"""A slide's fingerprint, and the hashes of the other files that shape its output."""


def identity_of(job: SlideJob) -> Identity:
    """Return the files that the arrays of a slide are made of."""
    return fingerprint(job.path), job.input_hashes()


@dataclass
class Shelf:
    """The cached arrays of one slide.

    Attributes
    ----------
    job
        The slide's job.
    identity
        The identity of its files before anything was read.
    made, reused
        The kinds of arrays that were not in the cache, and of those that were, in order.
    notes
        Remarks about entries that could not be used.
    remarks
        Remarks about the slide for its row.
    unreadable
        The cause for each cell, (row, column), that has no scores because it cannot be read.
    """

    job: SlideJob
    identity: Identity
    made: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    unreadable: dict[tuple[int, int], str] = field(default_factory=dict)

    def get(
        self, what: str, key: str, make: Callable[[], Arrays], read: Callable[[Arrays], _Read]
    ) -> _Read:
        """Return the cached arrays of a key, or compute and store them; ``what`` is their kind."""
        found = self.find(what, key, read)
        return read(self.keep(what, key, make())) if found is None else found

    def find(self, what: str, key: str, read: Callable[[Arrays], _Read]) -> _Read | None:
        """Return the cached arrays of a key; None if there are none that can be used."""
        if self.job.cache is None:
            return None
        try:
            entry = load_or_recall(self.job.cache, key)
            found = None if entry is None else read(entry)
        except ValueError as error:
            self.notes.append(f"the cached {what} {error}; it is computed again")
            return None
        if found is not None:
            self.reused.append(what)
        return found

    def keep(self, what: str, key: str, arrays: Arrays, *, complete: bool = True) -> Arrays:
        """Store computed arrays if they are complete, and return them."""
        for array in arrays.values():
            array.flags.writeable = False  # as those are that come from the cache
        self.made.append(what)
        if complete and self.job.cache is not None and self._same_files():
            store(self.job.cache, key, arrays)
        return arrays

    def _same_files(self) -> bool:
        """Return whether the slide's files are unchanged, so that arrays may be stored."""
        try:
            return identity_of(self.job) == self.identity
        except OSError:
            return False
